//! The engines: how guests are compiled, and what they may have of the machine.
//!
//! Two kinds of work, two engines. *Pure* work is metered by fuel and synchronous: it stops at the same instruction on
//! every machine. *I/O* work waits for others, so it is interrupted by epochs, runs as a future, and has a deadline on
//! the clock. Everything else is the same for both: no threads, no garbage-collected types, no exceptions, no 64-bit
//! memories, no relaxed vectors, no async components, one form of NaN.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasmtime::{Config, Enabled, Engine, OptLevel, PoolingAllocationConfig, Strategy};

use crate::admission::{CORE_INSTANCES_MAX, MEMORIES_MAX, TABLES_MAX};
use crate::cache::Cache;
use crate::code::{Code, Shared, read};
use crate::compiler::Compiler;
use crate::connector::{self, Io, Planner, Session};
use crate::deriver::Deriver;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Cause, Error, Fault};
use crate::guest::{Guest, KEPT_MAX};
use crate::inspect::{self, Inspection, World};
use crate::limits::Limits;
use crate::places::locked;
use crate::refusal::Refusal;
use crate::told::Told;
use crate::transformer::Transformer;

/// How a runtime is set up.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where compiled components are kept; None compiles at each start.
    pub cache_dir: Option<PathBuf>,
    /// Authenticates the files there; the same at each start, known to nobody else, used for nothing else.
    pub cache_key: [u8; 32],
    /// No call gets more than this.
    pub limits: Limits,
    /// Who compiles. None compiles in this process, without bounds on time and memory: for tools and tests.
    pub compiler: Option<Compiler>,
    /// After this long without a call, a plugin that was prepared from a file gives up what it holds in memory, about; None
    /// leaves that to calls of [`Runtime::rest`].
    pub idle: Option<Duration>,
}

/// A component that is ready to run, as what it serves.
#[derive(Debug, Clone)]
pub enum Plugin {
    /// Changes, drops or multiplies events on their way in.
    Transformer(Arc<Transformer>),
    /// Derives attributes by folding events.
    Deriver(Arc<Deriver>),
    /// Plans deliveries; the host sends.
    Planner(Arc<Planner>),
    /// Delivers by itself.
    Session(Arc<Session>),
}

impl Plugin {
    /// What it serves as.
    #[must_use]
    pub fn world(&self) -> World {
        match self {
            Self::Transformer(_) => World::Transformer,
            Self::Deriver(_) => World::Deriver,
            Self::Planner(_) => World::ConnectorPlan,
            Self::Session(_) => World::ConnectorIo,
        }
    }

    /// What the plugin says it is and needs.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        match self {
            Self::Transformer(transformer) => transformer.descriptor(),
            Self::Deriver(deriver) => deriver.descriptor(),
            Self::Planner(planner) => planner.descriptor(),
            Self::Session(session) => session.descriptor(),
        }
    }

    /// What inspection found.
    #[must_use]
    pub fn inspection(&self) -> &Inspection {
        match self {
            Self::Transformer(transformer) => transformer.inspection(),
            Self::Deriver(deriver) => deriver.inspection(),
            Self::Planner(planner) => planner.inspection(),
            Self::Session(session) => session.inspection(),
        }
    }

    /// Lets the plugin judge a configuration; the inner result is its answer, each string one problem.
    ///
    /// # Errors
    /// The fault, when there is no answer.
    pub fn check_config(&self, config: &str) -> Result<Result<(), Vec<String>>, Fault> {
        match self {
            Self::Transformer(transformer) => transformer.check_config(config),
            Self::Deriver(deriver) => deriver.check_config(config),
            Self::Planner(planner) => planner.check_config(config),
            Self::Session(session) => session.check_config(config),
        }
    }
}

/// Where the machine code of a prepared component came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheUse {
    /// Another guest of this runtime has it in memory.
    Shared,
    /// The compiled component was on disk and genuine.
    Loaded,
    /// It was compiled, and is on disk now.
    Stored,
    /// It was compiled; there is no cache, or it could not be written.
    Compiled,
}

/// Kinds of work, and so of engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Work {
    /// Transformers, derivers, and connectors that plan.
    Pure,
    /// Connectors that send.
    Io,
}

impl Work {
    /// `pure` or `io`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pure => "pure",
            Self::Io => "io",
        }
    }

    /// What a component of this world does.
    #[must_use]
    pub fn of(world: World) -> Self {
        match world {
            World::Transformer | World::Deriver | World::ConnectorPlan => Self::Pure,
            World::ConnectorIo => Self::Io,
        }
    }
}

/// Runs at once, over all threads; further ones wait for their turn. One less than there are cores: guests that compute
/// as long as they may leave a core to those that answer clients, whatever the system's scheduler makes of them.
fn places() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.saturating_sub(1).clamp(1, 64)
}

/// Instances whose memory stays warm when idle. With 256 KiB each this bounds what an idle server holds.
const WARM_MAX: u32 = 16;
/// Bytes of each idle memory that are wiped instead of given back.
const KEEP_RESIDENT: usize = 256 << 10;
/// Bytes of the native stack a guest may use.
pub(crate) const STACK_BYTES_MAX: usize = 512 << 10;
/// Largest instance, in bytes of the engine's own records; interpreters have large ones.
const INSTANCE_BYTES_MAX: usize = 1 << 20;

/// Inspects, compiles and runs components. One for a process; cheap to share by reference.
///
/// Reserves some hundred gigabytes of address space and little memory.
pub struct Runtime {
    shared: Arc<Shared>,
    /// Where compiled components are kept and what authenticates them.
    cache: Option<(PathBuf, [u8; 32])>,
    /// The engine for sessions and its cache, built with the first of them.
    io: Mutex<Option<(Arc<Io>, Option<Cache>)>>,
}

impl Runtime {
    /// Builds the engine for pure work and opens the cache.
    ///
    /// # Errors
    /// [`Error::Engine`] when the machine does not offer what is needed; [`Error::CacheDir`] when the directory cannot
    /// be made.
    pub fn new(options: Options) -> Result<Self, Error> {
        let Options { cache_dir, cache_key, limits, compiler, idle } = options;
        let places = places();
        let engine = pure(&limits, places).map_err(|error| Error::Engine(error.into()))?;
        let open = |dir: &PathBuf| Cache::open(dir, cache_key, &engine).map_err(Error::CacheDir);
        let cache = cache_dir.as_ref().map(open).transpose()?;
        let shared = Arc::new(Shared::new(engine, limits, places, compiler, cache));
        if let Some(idle) = idle {
            let weak = Arc::downgrade(&shared);
            let look = move || {
                while let Some(shared) = weak.upgrade() {
                    shared.rest(idle);
                    drop(shared);
                    std::thread::sleep((idle / 4).min(Duration::from_secs(5)));
                }
            };
            let spawned = std::thread::Builder::new().name("plugins-rest".to_owned()).spawn(look);
            spawned.map_err(|error| Error::Engine(Cause::new(error.to_string())))?;
        }
        Ok(Self { shared, cache: cache_dir.map(|dir| (dir, cache_key)), io: Mutex::default() })
    }

    /// Looks at an upload; nothing of it runs or is compiled. Takes milliseconds for a megabyte.
    ///
    /// # Errors
    /// Every reason against it.
    pub fn inspect(&self, component: &[u8]) -> Result<Inspection, Vec<Refusal>> {
        inspect::inspect(component)
    }

    /// Makes a plugin of a component: inspects it, compiles it or takes it from the cache, links it and asks it what it
    /// is, under the limits of one run.
    ///
    /// Compiling takes half a second and more; from the cache it is some milliseconds: keep it off threads that serve.
    /// Load once for each tenant: instances may be kept between calls, and must not pass between tenants. The machine
    /// code is shared all the same, and stays in memory as long as the plugin lives.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Compile`], [`Error::Compiler`], [`Error::Link`], [`Error::Describe`] or
    /// [`Error::Descriptor`], in the order of the steps.
    pub fn load(&self, component: &[u8]) -> Result<Plugin, Error> {
        self.ready(component, None)
    }

    /// As [`Self::load`], of a component that lies in a file and must have this digest. Its machine code is given up
    /// when nobody calls it for a while ([`Options::idle`], [`Self::rest`]), and comes back with the next call.
    ///
    /// # Errors
    /// As [`Self::load`], and [`Error::Source`].
    pub fn load_file(&self, path: &Path, digest: Digest) -> Result<Plugin, Error> {
        // The component itself, which may be large, is needed only where the cache has nothing.
        if let Some(code) = self.shared.find(digest)? {
            return self.plugin(code, Some(path));
        }
        self.ready(&read(path, digest)?, Some(path))
    }

    fn ready(&self, component: &[u8], source: Option<&Path>) -> Result<Plugin, Error> {
        let inspection = self.inspect(component).map_err(Error::Refused)?;
        if inspection.world == World::ConnectorIo {
            let session = self.session(component, inspection)?;
            return Ok(Plugin::Session(Arc::new(session)));
        }
        self.plugin(self.shared.load(component, &inspection)?, source)
    }

    fn plugin(&self, code: (Arc<Code>, CacheUse), source: Option<&Path>) -> Result<Plugin, Error> {
        let Told { descriptor, dear } = self.shared.told(&code.0)?;
        let (world, limits) = (code.0.inspection.world, self.shared.limits);
        let guest = Guest::new(Arc::clone(&self.shared), source.map(Path::to_owned), code, dear);
        Ok(match world {
            World::Deriver => Plugin::Deriver(Arc::new(Deriver::new(guest, descriptor, limits))),
            World::ConnectorPlan => Plugin::Planner(Arc::new(Planner::new(guest, descriptor, limits))),
            World::Transformer | World::ConnectorIo => {
                Plugin::Transformer(Arc::new(Transformer::new(guest, descriptor, limits)))
            }
        })
    }

    fn session(&self, component: &[u8], inspection: Inspection) -> Result<Session, Error> {
        let mut io = locked(&self.io);
        let (io, cache) = match &mut *io {
            Some(ready) => ready,
            none => {
                let engine = connector::build(&self.shared.limits)?;
                let open = |(dir, key): &(PathBuf, [u8; 32])| {
                    Cache::open(dir, *key, engine.engine()).map_err(Error::CacheDir)
                };
                let cache = self.cache.as_ref().map(open).transpose()?;
                none.insert((engine, cache))
            }
        };
        let compiler = self.shared.compiler.as_ref();
        Session::new(io, component, inspection, self.shared.limits, compiler, cache.as_ref())
    }

    /// As [`Self::prepare`], of a component that lies in a file. See [`Self::load_file`].
    ///
    /// # Errors
    /// Those of [`Self::load_file`], and [`Error::World`] when it is something else.
    pub fn prepare_file(&self, path: &Path, digest: Digest) -> Result<Arc<Transformer>, Error> {
        match self.load_file(path, digest)? {
            Plugin::Transformer(transformer) => Ok(transformer),
            other => Err(Error::World { found: other.world().name(), wanted: World::Transformer.name() }),
        }
    }

    /// Makes a transformer of a component. See [`Self::load`].
    ///
    /// # Errors
    /// Those of [`Self::load`], and [`Error::World`] when it is something else.
    pub fn prepare(&self, component: &[u8]) -> Result<Arc<Transformer>, Error> {
        match self.load(component)? {
            Plugin::Transformer(transformer) => Ok(transformer),
            other => Err(Error::World { found: other.world().name(), wanted: World::Transformer.name() }),
        }
    }

    /// Makes a deriver of a component. See [`Self::load`].
    ///
    /// # Errors
    /// Those of [`Self::load`], and [`Error::World`] when it is something else.
    pub fn prepare_deriver(&self, component: &[u8]) -> Result<Arc<Deriver>, Error> {
        match self.load(component)? {
            Plugin::Deriver(deriver) => Ok(deriver),
            other => Err(Error::World { found: other.world().name(), wanted: World::Deriver.name() }),
        }
    }

    /// Has plugins that were prepared from files and that nobody called for `idle` give up what they hold in memory;
    /// tells how many gave up machine code. Call it now and then.
    pub fn rest(&self, idle: Duration) -> usize {
        self.shared.rest(idle)
    }

    /// Plugins whose machine code is in memory.
    #[must_use]
    pub fn loaded(&self) -> usize {
        self.shared.loaded()
    }

    /// No call gets more than this.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.shared.limits
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("limits", &self.shared.limits).finish_non_exhaustive()
    }
}

/// What decides about machine code; the same where it is made and where it runs.
fn config(work: Work) -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(true)
        .consume_fuel(work == Work::Pure)
        .epoch_interruption(work == Work::Io)
        .concurrency_support(false)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .wasm_wide_arithmetic(false)
        .max_wasm_stack(STACK_BYTES_MAX)
        .wasm_backtrace_max_frames(None)
        // Nobody reads backtraces, and it would have to be loaded with the code.
        .generate_address_map(false)
        .native_unwind_info(false);
    config
}

/// An engine that only compiles: it reserves no address space. How instances are allocated is no part of machine code.
pub(crate) fn compiling(work: Work) -> wasmtime::Result<Engine> {
    Engine::new(&config(work))
}

fn pure(limits: &Limits, places: usize) -> wasmtime::Result<Engine> {
    Engine::new(config(Work::Pure).allocation_strategy(pool(limits, 2 * places + KEPT_MAX)))
}

/// The engine for sessions. Its guests have large stacks of their own threads, and are few.
pub(crate) fn io(limits: &Limits, instances: usize) -> wasmtime::Result<Engine> {
    Engine::new(config(Work::Io).allocation_strategy(pool(limits, instances)))
}

fn pool(limits: &Limits, instances: usize) -> PoolingAllocationConfig {
    // Two for each run, for a kept instance may be compared with a fresh one; and those that are kept.
    let instances = u32::try_from(instances).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances * CORE_INSTANCES_MAX as u32)
        .total_memories(instances * 4)
        .total_tables(instances * 16)
        .max_core_instances_per_component(CORE_INSTANCES_MAX as u32)
        .max_memories_per_component(MEMORIES_MAX as u32)
        .max_tables_per_component(TABLES_MAX as u32)
        .max_memories_per_module(MEMORIES_MAX as u32)
        .max_tables_per_module(TABLES_MAX as u32)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        .max_memory_size(limits.memory_bytes)
        .table_elements(limits.table_elements)
        .max_unused_warm_slots(WARM_MAX)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(16 << 10)
        .pagemap_scan(Enabled::Auto);
    pool
}
