//! The writer: one thread per tenant that brings state forward, record by record, in the journal's order.
//!
//! Beside it runs a thread that writes frozen generations to the store. Nothing here reads a clock to decide about
//! data: a record's time of receipt is the time, and timers due by then fire before it. Only when nothing is left to apply
//! do timers fire by the clock, and then later records are received no earlier than the timer's instant.
//! So a rebuild from the journal comes to the same state, flip by flip.

mod apply;
mod derive;
mod evaluate;
mod freeze;
mod later;
mod merge;
mod person;
mod plan;
mod rearrange;
mod reidentify;
mod run;
mod time;
mod transform;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

pub(crate) use apply::{Applier, Fate};
pub(crate) use derive::{Brought, BroughtReading, compute, name_of, put_brought};
pub use derive::{DERIVE_AGAIN_MS, DERIVE_EVERY_MS, READ_AGAIN_GRID_MS, READ_AGAIN_MS_MIN};
pub(crate) use evaluate::Cause;
pub(crate) use later::{refold, void_row, void_since, waiting_fragment};
pub(crate) use person::Person;
pub(crate) use plan::{Deriving, Plan, Touched};
pub(crate) use run::error_chain;
pub(crate) use transform::Chain;
pub use transform::FAULTS_IN_A_ROW_MAX;
pub(crate) use transform::{Once, run_once};

use cdp_threads::stand_back;

use crate::tenant::Core;

/// Items taken from the feed or the journal at a time.
pub(crate) const TAKEN_MAX: usize = 1024;
/// Events applied under one lock: what a reader may have to wait for.
pub(crate) const MICRO_BATCH: usize = 128;
/// Changed rows after which a generation is frozen.
pub(crate) const GENERATION_ROWS: usize = 98_304;
/// Changed rows at which the writer waits for the store, as at four thirds of [`GENERATION_MEMORY`]: the bound on what one tenant's unwritten state takes in memory.
pub(crate) const GENERATION_ROWS_MAX: usize = 131_072;
/// Bytes that changed rows take in memory, about, after which a generation is frozen: with one that is on its way to the
/// store, a busy tenant has at most two and a third of them beside the cache.
pub(crate) const GENERATION_MEMORY: u64 = 192 << 20;
/// Bytes of journal after which a generation is frozen: what a start after a crash has to apply again, at most about twice.
pub(crate) const GENERATION_BYTES: u64 = 128 << 20;
/// Milliseconds after which a generation is frozen, however small.
pub(crate) const GENERATION_MS: u64 = 5000;

/// Starts a tenant's threads.
pub(crate) fn spawn(core: &Arc<Core>) -> std::io::Result<Vec<JoinHandle<()>>> {
    let (freeze, frozen) = std::sync::mpsc::sync_channel(1);
    let of = |name: &str| std::thread::Builder::new().name(format!("{name}-{}", core.info.no.0));
    let shared = core.clone();
    let committer = of("commit").spawn(move || freeze::commit_loop(&shared, &frozen))?;
    let shared = core.clone();
    let writer = of("writer").spawn(move || run::Writer::new(shared, freeze).run())?;
    let shared = core.clone();
    let learner = of("known").spawn(move || learn_known(&shared))?;
    Ok(vec![writer, committer, learner])
}

fn learn_known(core: &Core) {
    stand_back();
    let closing = || core.closing.load(Ordering::Acquire);
    loop {
        let renewals = core.renewals.load(Ordering::Acquire);
        let renewed = || core.renewals.load(Ordering::Acquire) != renewals;
        let Err(error) = core.rows.learn_known(|| closing() || renewed()) else {
            // What was listed in part before the store was opened again says nothing of it.
            if renewed() && !closing() {
                continue;
            }
            return;
        };
        if core.session.is_stale() && !closing() {
            std::thread::sleep(std::time::Duration::from_millis(100));
            continue;
        }
        // Nothing is wrong without it; every look-up goes to the store.
        tracing::warn!(
            tenant = core.info.no.0,
            error = error_chain(&error),
            "the keys in the store could not be listed; looking up new customers stays slower"
        );
        return;
    }
}
