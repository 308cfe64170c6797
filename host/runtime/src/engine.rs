//! The engine for pure work: metered by fuel, without threads, time or anything else that varies.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wasmtime::component::Component;
use wasmtime::{Config, Enabled, Engine, OptLevel, PoolingAllocationConfig, Strategy};

use crate::cache::Cache;
use crate::deriver::Deriver;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, Fault};
use crate::guest::Guest;
use crate::inspect::{self, CORE_INSTANCES_MAX, Inspection, MEMORIES_MAX, TABLES_MAX, World};
use crate::limits::Limits;
use crate::refusal::Refusal;
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
}

/// Whether the last compilation was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheUse {
    /// The compiled component was on disk and genuine.
    Loaded,
    /// It was compiled, and is on disk now.
    Stored,
    /// It was compiled; there is no cache, or it could not be written.
    Compiled,
}

/// A component that is ready to run, as what it serves.
#[derive(Debug, Clone)]
pub enum Plugin {
    /// Changes, drops or multiplies events on their way in.
    Transformer(Arc<Transformer>),
    /// Derives attributes by folding events.
    Deriver(Arc<Deriver>),
}

impl Plugin {
    /// What it serves as.
    #[must_use]
    pub fn world(&self) -> World {
        match self {
            Self::Transformer(_) => World::Transformer,
            Self::Deriver(_) => World::Deriver,
        }
    }

    /// What the plugin says it is and needs.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        match self {
            Self::Transformer(transformer) => transformer.descriptor(),
            Self::Deriver(deriver) => deriver.descriptor(),
        }
    }

    /// What inspection found.
    #[must_use]
    pub fn inspection(&self) -> &Inspection {
        match self {
            Self::Transformer(transformer) => transformer.inspection(),
            Self::Deriver(deriver) => deriver.inspection(),
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
        }
    }
}

/// Instances that may be alive at once, over all threads; one a call.
const INSTANCES_MAX: u32 = 64;
/// Instances whose memory stays warm when idle. With 256 KiB each this bounds what an idle server holds.
const WARM_MAX: u32 = 16;
/// Bytes of each idle memory that are wiped instead of given back.
const KEEP_RESIDENT: usize = 256 << 10;
/// Bytes of the native stack a guest may use.
const STACK_BYTES_MAX: usize = 512 << 10;

/// Inspects, compiles and runs components. One for a process; cheap to share by reference.
///
/// Reserves some hundred gigabytes of address space and little memory.
#[derive(Debug)]
pub struct Runtime {
    engine: Engine,
    cache: Option<Cache>,
    limits: Limits,
}

impl Runtime {
    /// Builds the engine and opens the cache.
    ///
    /// # Errors
    /// [`Error::Engine`] when the machine does not offer what is needed; [`Error::CacheDir`] when the directory cannot
    /// be made.
    pub fn new(options: Options) -> Result<Self, Error> {
        let engine = build(&options.limits).map_err(|error| Error::Engine(error.into()))?;
        let cache = match &options.cache_dir {
            Some(dir) => Some(Cache::open(dir, options.cache_key, &engine).map_err(Error::CacheDir)?),
            None => None,
        };
        Ok(Self { engine, cache, limits: options.limits })
    }

    /// Looks at an upload; nothing of it runs or is compiled. Takes milliseconds for a megabyte.
    ///
    /// # Errors
    /// Every reason against it.
    pub fn inspect(&self, component: &[u8]) -> Result<Inspection, Vec<Refusal>> {
        inspect::inspect(component)
    }

    /// Makes a plugin of a component: inspects it, compiles it or takes it from the cache, links it and asks it
    /// once what it is, under the limits of one run without rows.
    ///
    /// Compiling takes half a second and more, on all cores; from the cache it is some milliseconds: keep it off
    /// threads that serve.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Compile`], [`Error::Link`], [`Error::Describe`] or [`Error::Descriptor`], in the
    /// order of the steps.
    pub fn load(&self, component: &[u8]) -> Result<Plugin, Error> {
        let inspection = self.inspect(component).map_err(Error::Refused)?;
        let world = inspection.world;
        let (compiled, cache_use) = self.compile(component, inspection.digest)?;
        let guest = Guest::link(&compiled, inspection).map_err(|error| Error::Link(error.into()))?;
        match world {
            World::Deriver => {
                Deriver::new(guest, self.limits, cache_use).map(|deriver| Plugin::Deriver(Arc::new(deriver)))
            }
            _ => Transformer::new(guest, self.limits, cache_use)
                .map(|transformer| Plugin::Transformer(Arc::new(transformer))),
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

    fn compile(&self, component: &[u8], digest: Digest) -> Result<(Component, CacheUse), Error> {
        if let Some(compiled) = self.cache.as_ref().and_then(|cache| cache.load(&self.engine, digest)) {
            return Ok((compiled, CacheUse::Loaded));
        }
        let compiled =
            Component::from_binary(&self.engine, component).map_err(|error| Error::Compile(error.into()))?;
        // A cache that cannot be written costs time at the next start and nothing else.
        let stored = self.cache.as_ref().is_some_and(|cache| cache.store(digest, &compiled).is_ok());
        Ok((compiled, if stored { CacheUse::Stored } else { CacheUse::Compiled }))
    }
}

fn build(limits: &Limits) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(true)
        .consume_fuel(true)
        .concurrency_support(false)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .wasm_wide_arithmetic(false)
        .max_wasm_stack(STACK_BYTES_MAX)
        .wasm_backtrace_max_frames(None)
        .native_unwind_info(false)
        .allocation_strategy(pool(limits));
    Engine::new(&config)
}

fn pool(limits: &Limits) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES_MAX)
        .total_core_instances(INSTANCES_MAX * 16)
        .total_memories(INSTANCES_MAX * 2)
        .total_tables(INSTANCES_MAX * 16)
        .max_core_instances_per_component(CORE_INSTANCES_MAX as u32)
        .max_memories_per_component(MEMORIES_MAX as u32)
        .max_tables_per_component(TABLES_MAX as u32)
        .max_core_instance_size(1 << 20)
        .max_component_instance_size(1 << 20)
        .max_memory_size(limits.memory_bytes)
        .table_elements(limits.table_elements)
        .max_unused_warm_slots(WARM_MAX)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(16 << 10)
        .pagemap_scan(Enabled::Auto);
    pool
}
