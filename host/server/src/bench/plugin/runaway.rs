//! How soon a guest that computes for ever is stopped, and what an idle one still holds.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cdp_domain::event::Event;
use cdp_domain::time::Timestamp;
use cdp_runtime::connector::{
    Change, ConnectorCall, DeliverCall, Delivery, HttpError, HttpRequest, HttpResponse, KvError, Outside,
};
use cdp_runtime::{Call, Digest, Failed, Fault, Grants, Limits, Options, Plugin, Runtime, Transformer};
use serde::Serialize;

use super::{apply, rows};
use crate::bench::usage::resident_kib;
use crate::demo::client::Fallible;

/// How often each is stopped.
const TIMES: usize = 20;
/// How long a delivery may take.
const DEADLINE: Duration = Duration::from_millis(100);

/// How soon runaways of one kind were stopped.
#[derive(Debug, Serialize)]
pub(super) struct Stopped {
    pub(super) what: String,
    /// What it had: fuel, or time.
    pub(super) had: String,
    pub(super) ms: f64,
    pub(super) ms_max: f64,
    /// How far the last one ran over its deadline on the clock; None where the deadline is counted in fuel.
    pub(super) over_ms_max: Option<f64>,
}

/// Pure work has its deadline in fuel, which is the same on every machine; how long that is, is this machine's.
pub(super) fn pure(language: &str, plugin: &Transformer, events: &[Event]) -> Fallible<Stopped> {
    let rows = &rows(events)[..1];
    let limits = Limits::default();
    let mut took = Vec::new();
    for _ in 0..TIMES {
        let started = Instant::now();
        let applied =
            plugin.apply(&Call { config: r#"{"forever":true}"#, grants: &Grants::all(), limits, rows });
        took.push(started.elapsed());
        if applied.rows != [Err(Fault::Fuel)] {
            return Err(format!("{language}: the runaway came to {:?}", applied.rows).into());
        }
    }
    Ok(stopped(format!("{language} guest, in pure work"), format!("{} fuel", limits.fuel), took, None))
}

/// A delivery has its deadline on the clock.
pub(super) fn session(component: &[u8]) -> Fallible<Stopped> {
    let runtime = Runtime::new(Options::default())?;
    let Plugin::Session(session) = runtime.load(component)? else {
        return Err("the guest is no session".into());
    };
    let delivery = Delivery { id: "1".into(), change: Change::Added, document: "{}".into(), attempt: 0 };
    let call = DeliverCall {
        call: ConnectorCall {
            config: "",
            grants: &Grants::all(),
            limits: Limits::default(),
            now: Timestamp(0),
        },
        deadline: DEADLINE,
        outside: Arc::new(Nothing),
    };
    let mut took = Vec::new();
    for _ in 0..TIMES {
        let started = Instant::now();
        let answer = session.deliver(&call, std::slice::from_ref(&delivery));
        took.push(started.elapsed());
        if answer != Err(Failed::Fault(Fault::Deadline)) {
            return Err(format!("the runaway session came to {answer:?}").into());
        }
    }
    let had = format!("{} ms", DEADLINE.as_millis());
    Ok(stopped("Rust guest, while delivering".to_owned(), had, took, Some(DEADLINE)))
}

fn stopped(what: String, had: String, mut took: Vec<Duration>, deadline: Option<Duration>) -> Stopped {
    took.sort_unstable();
    let ms = |took: Duration| took.as_secs_f64() * 1e3;
    let (middle, last) = (took[took.len() / 2], took[took.len() - 1]);
    let over = deadline.map(|deadline| ms(last.saturating_sub(deadline)));
    Stopped { what, had, ms: ms(middle), ms_max: ms(last), over_ms_max: over }
}

/// There is no world around the bench.
struct Nothing;

impl Outside for Nothing {
    fn send(&self, _: HttpRequest, _: Instant) -> Result<HttpResponse, HttpError> {
        Err(HttpError::Connect)
    }

    fn get(&self, _: &str) -> Result<Option<Vec<u8>>, KvError> {
        Err(KvError::Unavailable)
    }

    fn put(&self, _: &str, _: Vec<u8>, _: Option<u32>) -> Result<(), KvError> {
        Err(KvError::Unavailable)
    }
}

/// What plugins hold that nobody calls.
#[derive(Debug, Serialize)]
pub(super) struct Idle {
    /// Components whose machine code is in memory, of those that were called.
    pub(super) loaded: usize,
    /// What the process holds before they are loaded, after each was called, and after they rested, in KiB; absent where the
    /// system does not say it.
    pub(super) resident_kib: Option<[u64; 3]>,
}

/// Loads plugins from the cache, calls each, and has them rest.
pub(super) fn idle(cache: &Path, components: &[Vec<u8>], events: &[Event]) -> Fallible<Idle> {
    let options = Options { cache_dir: Some(cache.to_owned()), cache_key: [7; 32], ..Options::default() };
    let runtime = Runtime::new(options)?;
    let resident = || resident_kib(std::process::id());
    let before = resident();
    let mut plugins = Vec::new();
    for (n, component) in components.iter().enumerate() {
        let file = cache.join(format!("idle-{n}.wasm"));
        std::fs::write(&file, component)?;
        let Plugin::Transformer(plugin) = runtime.load_file(&file, Digest::of(component))? else {
            return Err("the guest is no transformer".into());
        };
        apply(&plugin, &rows(&events[..16]));
        plugins.push(plugin);
    }
    let used = resident();
    runtime.rest(Duration::ZERO);
    let resident_kib = before.zip(used).zip(resident()).map(|((before, used), idle)| [before, used, idle]);
    Ok(Idle { loaded: runtime.loaded(), resident_kib })
}
