//! The world `connector-io`: a connector that sends by itself, step by step.
//!
//! It runs on an engine of its own, interrupted by epochs instead of fuel: its time is spent waiting for others. A
//! delivery has a deadline on the clock. Whatever it computes is cut off there by the next tick; what it asks of the host
//! is told how much time is left; and whoever called stops waiting there even if the host itself does not answer.
//!
//! Every delivery has a thread and a fresh instance of its own. A waiting thread costs a few pages; what would be saved
//! by futures would be paid with a stack for each of them, and with an engine that can switch stacks.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use wasmtime::component::{ComponentExportIndex, InstancePre, Linker};
use wasmtime::{Engine, Store, StoreContextMut};

use super::ITEMS_MAX;
use super::check::{self, Declared, Refused};
use super::planner::verdicts;
use super::words::{ConnectorCall, Delivery, HttpError, HttpRequest, HttpResponse, KvError, Verdict};
use crate::bindings;
use crate::bindings::cdp::plugin::{delivery_types, http_types, kv as raw_kv};
use crate::cache::Cache;
use crate::call::fault;
use crate::code::{compile, exports};
use crate::compiler::Compiler;
use crate::deriver::Failed;
use crate::descriptor::{Descriptor, Request};
use crate::digest::Digest;
use crate::engine::{self, CacheUse, Work};
use crate::error::{Cause, Error, Fault};
use crate::exports::Export;
use crate::grants::Grants;
use crate::imports;
use crate::inert;
use crate::inspect::{Inspection, World};
use crate::limits::Limits;
use crate::places::locked;
use crate::state::{Setting, State};
use crate::told::Told;

/// Deliveries that run at once, over all connectors; further ones are refused as [`Fault::Host`].
pub const SESSIONS_MAX: usize = 32;
/// Requests that one delivery may send.
pub const REQUESTS_MAX: u32 = 1_000;
/// Time between two looks whether a guest has run into its deadline.
const TICK: Duration = Duration::from_millis(5);
/// What describing itself and judging a configuration may take.
const ASKING: Duration = Duration::from_secs(1);
/// How long after its deadline a delivery is given up even though the host itself has not answered.
const GRACE: Duration = Duration::from_millis(10);
/// Bytes of the stack of a delivery's thread.
const THREAD_STACK_BYTES: usize = 2 << 20;

/// What the host lends a session. One value serves one tenant and one plugin.
///
/// Calls come from the delivery's thread, one at a time. They must be back by `deadline`; one that is not holds its
/// thread and its place until it is, and the delivery ends without it.
pub trait Outside: Send + Sync {
    /// Sends a request that passed every check here. Resolves its name and filters the addresses, inserts the secrets it
    /// names, follows no redirect, and cuts the body to what it may have.
    fn send(&self, request: HttpRequest, deadline: Instant) -> Result<HttpResponse, HttpError>;

    /// The value under a key of the plugin's own store.
    ///
    /// # Errors
    /// See [`Shelf`](super::Shelf), which has the quotas.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError>;

    /// Keeps a value in the plugin's own store.
    ///
    /// # Errors
    /// As [`Self::get`].
    fn put(&self, key: &str, value: Vec<u8>, ttl_seconds: Option<u32>) -> Result<(), KvError>;
}

/// What a session is asked, beside the items.
#[derive(Clone)]
pub struct DeliverCall<'a> {
    /// Configuration, grants, bounds and the instant.
    pub call: ConnectorCall<'a>,
    /// How long the delivery may take on the clock.
    pub deadline: Duration,
    /// What the host lends it.
    pub outside: Arc<dyn Outside>,
}

/// A connector that sends by itself. Shared by all threads of a tenant.
pub struct Session {
    inner: Arc<Inner>,
    descriptor: Descriptor,
}

struct Inner {
    inspection: Inspection,
    cache_use: CacheUse,
    limits: Limits,
    io: Arc<Io>,
    pre: InstancePre<State>,
    exports: Vec<(Export, ComponentExportIndex)>,
}

/// The engine for sessions, and the clock that interrupts them.
pub(crate) struct Io {
    engine: Engine,
    running: AtomicUsize,
    /// Deliveries that the clock ticks for.
    ticking: Mutex<usize>,
    wake: Condvar,
    clock: OnceLock<()>,
}

/// What is lent to one delivery.
pub(crate) struct Lent {
    outside: Arc<dyn Outside>,
    grants: Grants,
    hosts: Vec<String>,
    secrets: Vec<String>,
    deadline: Instant,
    requests_left: u32,
}

impl Io {
    pub(crate) fn new(limits: &Limits) -> wasmtime::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            engine: engine::io(limits, SESSIONS_MAX)?,
            running: AtomicUsize::new(0),
            ticking: Mutex::new(0),
            wake: Condvar::new(),
            clock: OnceLock::new(),
        }))
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Takes a place for a delivery and has the clock tick for it.
    fn enter(self: &Arc<Self>) -> Option<Running> {
        let room = |running: usize| (running < SESSIONS_MAX).then_some(running + 1);
        self.running.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok()?;
        self.clock.get_or_init(|| {
            let weak = Arc::downgrade(self);
            let tick = move || {
                while let Some(io) = weak.upgrade() {
                    let ticking = locked(&io.ticking);
                    if *ticking == 0 {
                        // Looks now and then whether anybody still needs it.
                        drop(io.wake.wait_timeout(ticking, Duration::from_secs(1)));
                        continue;
                    }
                    drop(ticking);
                    io.engine.increment_epoch();
                    drop(io);
                    std::thread::sleep(TICK);
                }
            };
            // Without a clock a guest that computes for ever would never end: then nothing is run at all.
            std::thread::Builder::new()
                .name("plugins-tick".to_owned())
                .spawn(tick)
                .expect("threads can be had");
        });
        *locked(&self.ticking) += 1;
        self.wake.notify_all();
        Some(Running(Arc::clone(self)))
    }
}

/// A delivery that has a place.
struct Running(Arc<Io>);

impl Drop for Running {
    fn drop(&mut self) {
        *locked(&self.0.ticking) -= 1;
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Session {
    pub(crate) fn new(
        io: &Arc<Io>,
        component: &[u8],
        inspection: Inspection,
        limits: Limits,
        compiler: Option<&Compiler>,
        cache: Option<&Cache>,
    ) -> Result<Self, Error> {
        let link = |error: wasmtime::Error| Error::Link(error.into());
        let found = cache.and_then(|cache| cache.load(&io.engine, inspection.digest));
        let (compiled, cache_use) = match found {
            Some((compiled, _)) => (compiled, CacheUse::Loaded),
            None => compile((&io.engine, Work::Io), compiler, cache, component, &inspection)?,
        };
        let mut linker = Linker::new(&io.engine);
        imports::link_log(&mut linker).map_err(link)?;
        lend(&mut linker).map_err(link)?;
        inert::link(&mut linker, &compiled, &inspection.imports).map_err(link)?;
        let inner = Arc::new(Inner {
            exports: exports(&compiled, &inspection).map_err(link)?,
            pre: linker.instantiate_pre(&compiled).map_err(link)?,
            inspection,
            cache_use,
            limits,
            io: Arc::clone(io),
        });
        let told = Told::kept_or(cache, &inner.inspection, || inner.ask())?;
        Ok(Self { inner, descriptor: told.descriptor })
    }

    /// Names the component.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.inner.inspection.digest
    }

    /// What inspection found.
    #[must_use]
    pub fn inspection(&self) -> &Inspection {
        &self.inner.inspection
    }

    /// What the plugin says it is and needs.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Everything it asks of a tenant, in a stable order.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.descriptor.requests()
    }

    /// Whether preparing it had to compile.
    #[must_use]
    pub fn cache_use(&self) -> CacheUse {
        self.inner.cache_use
    }

    /// Lets the plugin judge a configuration; the inner result is its answer, each string one problem.
    ///
    /// # Errors
    /// The fault, when there is no answer.
    pub fn check_config(&self, config: &str) -> Result<Result<(), Vec<String>>, Fault> {
        let config = config.to_owned();
        self.inner.on_thread(ASKING, move |inner, deadline| {
            let params = (config.as_str(),);
            inner.call(Export::CheckConfig, params, inner.limits, deadline, None)
        })
    }

    /// Delivers items, at most [`ITEMS_MAX`](super::ITEMS_MAX), and says what became of each, in their order.
    ///
    /// Blocks until then or until the deadline; keep it off threads that serve.
    ///
    /// # Errors
    /// [`Failed`]; then nothing is known about the items, and they may have been delivered.
    pub fn deliver(&self, call: &DeliverCall<'_>, items: &[Delivery]) -> Result<Vec<Verdict>, Failed> {
        if items.len() > ITEMS_MAX {
            return Err(Failed::Fault(Fault::Host(format!(
                "{} items, {ITEMS_MAX} are allowed",
                items.len()
            ))));
        }
        let DeliverCall { call: asked, deadline, outside } = call;
        let raw: Vec<delivery_types::Delivery> = items.iter().map(Into::into).collect();
        let limits = self.inner.limits.and(asked.limits);
        let (config, now) = (asked.config.to_owned(), asked.now.0);
        let (outside, grants) = (Arc::clone(outside), asked.grants.clone());
        let (hosts, secrets) = (self.descriptor.hosts.clone(), self.descriptor.secrets.clone());
        let answer = self.inner.on_thread(*deadline, move |inner, deadline| {
            let lent = Lent { outside, grants, hosts, secrets, deadline, requests_left: REQUESTS_MAX };
            let params = (config.as_str(), now, raw.as_slice());
            inner.call::<_, RawVerdicts>(Export::Deliver, params, limits, deadline, Some(lent))
        });
        verdicts(answer.map_err(Failed::Fault)??, items.len()).map_err(Failed::Fault)
    }
}

type RawVerdicts = Result<Vec<delivery_types::Verdict>, bindings::Failure>;

impl Inner {
    fn store(&self, limits: Limits, lent: Option<Lent>) -> Store<State> {
        let setting = Setting::new(limits, self.inspection.digest.0, None);
        let state = State { lent, metered: false, ..State::new(&setting) };
        let mut store = Store::new(&self.io.engine, state);
        store.limiter(|state| &mut state.meter);
        store.set_hostcall_fuel(limits.output_bytes);
        store.set_max_component_handles(limits.handles);
        store.epoch_deadline_trap();
        store
    }

    fn at(&self, export: Export) -> Option<&ComponentExportIndex> {
        self.exports.iter().find(|(known, _)| *known == export).map(|(_, at)| at)
    }

    /// As [`Told::ask`]. Instances are never kept.
    fn ask(self: &Arc<Self>) -> Result<Told, Error> {
        self.check_types().map_err(|error| Error::Link(error.into()))?;
        let raw = self.on_thread(ASKING, |inner, deadline| {
            inner.call::<(), bindings::Descriptor>(Export::Describe, (), inner.limits, deadline, None)
        });
        let descriptor =
            Descriptor::of(World::ConnectorIo, raw.map_err(Error::Describe)?).map_err(Error::Descriptor)?;
        Ok(Told { descriptor, dear: false })
    }

    /// Checks that the exports have the types of the contract.
    fn check_types(&self) -> wasmtime::Result<()> {
        let Some(_running) = self.io.enter() else { return Ok(()) };
        let mut store = self.store(self.limits, None);
        store.set_epoch_deadline(ticks(ASKING));
        let Ok(instance) = self.pre.instantiate(&mut store) else { return Ok(()) };
        let wrong = |name: &str, error: wasmtime::Error| {
            error.context(format!("{name} has another type than the contract gives it"))
        };
        let at = |export| self.at(export).expect("required exports were found when it was linked");
        let store = &mut store;
        instance
            .get_typed_func::<(), (bindings::Descriptor,)>(&mut *store, at(Export::Describe))
            .map_err(|error| wrong("metadata.describe", error))?;
        instance
            .get_typed_func::<(&str,), (Result<(), Vec<String>>,)>(&mut *store, at(Export::CheckConfig))
            .map_err(|error| wrong("metadata.check-config", error))?;
        instance
            .get_typed_func::<(&str, i64, &[delivery_types::Delivery]), (RawVerdicts,)>(
                &mut *store,
                at(Export::Deliver),
            )
            .map_err(|error| wrong("session-connector.deliver", error))?;
        Ok(())
    }

    /// Has something done on a thread of its own, and waits for it until its deadline and no longer.
    fn on_thread<R: Send + 'static>(
        self: &Arc<Self>,
        within: Duration,
        work: impl FnOnce(&Self, Instant) -> Result<R, Fault> + Send + 'static,
    ) -> Result<R, Fault> {
        let running =
            self.io.enter().ok_or_else(|| Fault::Host("all places for deliveries are taken".to_owned()))?;
        let deadline = Instant::now() + within;
        let inner = Arc::clone(self);
        let (tell, told) = mpsc::sync_channel(1);
        let thread =
            std::thread::Builder::new().name("plugin-session".to_owned()).stack_size(THREAD_STACK_BYTES);
        let spawned = thread.spawn(move || {
            let result = work(&inner, deadline);
            // The place is free before anybody hears of it.
            drop(running);
            _ = tell.send(result);
        });
        spawned.map_err(|error| Fault::Host(format!("no thread for the delivery: {error}")))?;
        match told.recv_timeout(within + TICK + GRACE) {
            Ok(result) => result,
            Err(mpsc::RecvTimeoutError::Timeout) => Err(Fault::Deadline),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                Err(Fault::Host("the delivery's thread ended".to_owned()))
            }
        }
    }

    fn call<P, R>(
        &self,
        export: Export,
        params: P,
        limits: Limits,
        deadline: Instant,
        lent: Option<Lent>,
    ) -> Result<R, Fault>
    where
        P: wasmtime::component::ComponentNamedList + wasmtime::component::Lower + Send + Sync,
        R: Send + Sync + 'static,
        (R,): wasmtime::component::ComponentNamedList + wasmtime::component::Lift + Send + Sync + 'static,
    {
        let mut store = self.store(limits, lent);
        store.set_epoch_deadline(ticks(deadline.saturating_duration_since(Instant::now())));
        let at = self.at(export).expect("required exports were found when it was linked");
        let result = self.pre.instantiate(&mut store).and_then(|instance| {
            let function = instance.get_typed_func::<P, (R,)>(&mut store, at)?;
            Ok(function.call(&mut store, params)?.0)
        });
        result.map_err(|error| fault(&error, store.data().meter.refused))
    }
}

/// Ticks that pass within a time, at least one.
fn ticks(time: Duration) -> u64 {
    let ticks = time.as_millis() / TICK.as_millis();
    u64::try_from(ticks).unwrap_or(u64::MAX / 4).clamp(1, u64::MAX / 4)
}

/// Offers `http` and `kv` of the contract.
fn lend(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.instance("cdp:plugin/http@1.0.0")?.func_wrap(
        "send",
        |mut store: StoreContextMut<'_, State>, (raw,): (http_types::Request,)| {
            let reply = send(store.data_mut().lent.as_mut(), raw.into());
            let reply: Result<http_types::Response, http_types::HttpError> =
                reply.map(Into::into).map_err(Into::into);
            in_time(&store)?;
            Ok((reply,))
        },
    )?;
    let mut kv = linker.instance("cdp:plugin/kv@1.0.0")?;
    kv.func_wrap("get", |store: StoreContextMut<'_, State>, (key,): (String,)| {
        let found = match &store.data().lent {
            Some(lent) => lent.outside.get(&key),
            None => Err(KvError::Unavailable),
        };
        in_time(&store)?;
        Ok((found.map_err(raw_kv::KvError::from),))
    })?;
    kv.func_wrap(
        "put",
        |store: StoreContextMut<'_, State>, (key, value, ttl): (String, Vec<u8>, Option<u32>)| {
            let kept = match &store.data().lent {
                Some(lent) => lent.outside.put(&key, value, ttl),
                None => Err(KvError::Unavailable),
            };
            in_time(&store)?;
            Ok((kept.map_err(raw_kv::KvError::from),))
        },
    )
}

/// A host call that comes back too late ends the delivery.
fn in_time(store: &StoreContextMut<'_, State>) -> wasmtime::Result<()> {
    match &store.data().lent {
        Some(lent) if Instant::now() >= lent.deadline => Err(wasmtime::Trap::Interrupt.into()),
        _ => Ok(()),
    }
}

fn send(lent: Option<&mut Lent>, request: HttpRequest) -> Result<HttpResponse, HttpError> {
    let Some(lent) = lent else { return Err(HttpError::Denied("nothing is sent here".to_owned())) };
    if lent.requests_left == 0 {
        return Err(HttpError::Quota);
    }
    let declared = Declared { hosts: &lent.hosts, secrets: &lent.secrets };
    check::request(&request, &declared, &lent.grants).map_err(|refused| match refused {
        Refused::Denied(why) => HttpError::Denied(why),
        Refused::Malformed(why) => HttpError::Other(why),
    })?;
    lent.requests_left -= 1;
    let own = Instant::now() + Duration::from_millis(u64::from(request.timeout_ms));
    lent.outside.send(request, own.min(lent.deadline))
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("descriptor", &self.descriptor).finish_non_exhaustive()
    }
}

/// Builds the engine for sessions when the first is prepared.
pub(crate) fn build(limits: &Limits) -> Result<Arc<Io>, Error> {
    Io::new(limits).map_err(|error| Error::Engine(Cause::from(error)))
}
