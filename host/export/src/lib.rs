//! The only crate that turns a segment into an audience and hands it out.
//!
//! An audience is a segment at a position, for one purpose on one channel. Consent is asked for every row at the moment
//! the row is written or sent, and again for every attempt; whoever may not be reached is withheld and counted by reason.
//! Nothing leaves that is not named by a field.
//!
//! | module | decides |
//! | --- | --- |
//! | [`plan`] | what is asked for |
//! | `project`, `format` | values into rows, rows into bytes |
//! | [`run`] | how a run is done, goes on after a crash, and ends |
//! | `ledger` | what we sent to a destination, and what differs from it |
//! | [`destination`] | where audiences go |
//! | [`manifest`] | what a run wrote and on what grounds, to be checked offline |
//! | [`schedule`] | when audiences go by themselves |
//!
//! A run's record is a journal record; what it sent stands in files beside the journal, so that no event waits for it.

mod callbacks;
pub mod destination;
mod destinations;
mod expiry;
pub mod format;
mod ledger;
mod letters;
pub mod manifest;
pub mod plan;
mod preview;
mod project;
mod proofs;
pub mod run;
mod runs;
pub mod schedule;
mod schedules;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use cdp_domain::ids::{ExportId, JobId, TenantNo};
use cdp_egress::{Egress, Policy};
use cdp_engine::Engine;
use parking_lot::{Condvar, Mutex};

pub use callbacks::TELL_MS_MAX;
pub use expiry::FILES_KEPT_MS;
pub use ledger::{Change, SORT_RECORDS};
pub use letters::Replayed;
pub use plan::{BATCH_ROWS_MAX, FIELDS_MAX, Plan, SCALE_MAX};
pub use preview::PREVIEW_ROWS_MAX;
pub use runs::{Held, Started};

/// Audiences of an installation: runs, destinations, schedules. Cheap to clone.
#[derive(Clone)]
pub struct Exports(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) egress: Egress,
    /// Who writes which line.
    pub(crate) lines: ledger::Lines,
    /// What connectors keep.
    pub(crate) shelves: destination::Shelves,
    /// Runs that are not over, by their jobs, with where they go.
    pub(crate) under_way: Mutex<HashMap<(TenantNo, JobId), Option<String>>>,
    /// Runs that somebody stopped for now.
    pub(crate) paused: Mutex<HashSet<(TenantNo, ExportId)>>,
    /// Whether the runs of before the start have taken their lines again: nobody goes before them.
    resumed: AtomicBool,
    closing: Mutex<bool>,
    closed: Condvar,
    keepers: Mutex<Vec<JoinHandle<()>>>,
}

impl Inner {
    pub(crate) fn is_resumed(&self) -> bool {
        self.resumed.load(Ordering::Acquire)
    }
}

impl Exports {
    /// The audiences of an engine; runs that a restart interrupted go on, and schedules are kept. `allowed` names the
    /// hosts and networks that may be dialled although they usually may not, as [`Policy::read`] reads it.
    ///
    /// # Errors
    /// A sentence: what of `allowed` cannot be read, or that the system gives no threads.
    pub fn open(engine: Engine, allowed: &str) -> std::result::Result<Self, String> {
        let policy = Policy::read(allowed).map_err(|error| error.to_string())?;
        let egress = Egress::new(policy).map_err(|error| format!("no way out could be made: {error}"))?;
        Ok(Self::new(engine, egress))
    }

    fn new(engine: Engine, egress: Egress) -> Self {
        let exports = Self(Arc::new(Inner {
            engine,
            egress,
            lines: ledger::Lines::default(),
            shelves: destination::Shelves::default(),
            under_way: Mutex::default(),
            paused: Mutex::default(),
            resumed: AtomicBool::new(false),
            closing: Mutex::new(false),
            closed: Condvar::new(),
            keepers: Mutex::default(),
        }));
        for (name, work) in [("exports", Self::keep as fn(&Self)), ("callbacks", Self::keep_telling)] {
            let this = exports.clone();
            match std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&this)) {
                Ok(keeper) => exports.0.keepers.lock().push(keeper),
                Err(error) => {
                    tracing::error!(%error, name, "what was interrupted or is due waits for the next start")
                }
            }
        }
        exports
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// Stops keeping schedules and telling. Runs stop with the engine's jobs and go on after the next start.
    pub fn close(&self) {
        *self.0.closing.lock() = true;
        self.0.closed.notify_all();
        for keeper in std::mem::take(&mut *self.0.keepers.lock()) {
            if keeper.join().is_err() {
                tracing::error!("a keeper of exports panicked");
            }
        }
    }

    /// Resumes what was interrupted, then keeps schedules, and files for their time, until it is closed.
    fn keep(&self) {
        self.resume_all();
        if self.is_closing() {
            return;
        }
        self.0.resumed.store(true, Ordering::Release);
        let mut looked = None;
        loop {
            self.fire_due();
            self.expire_due(&mut looked);
            let mut closing = self.0.closing.lock();
            if *closing {
                return;
            }
            self.0.closed.wait_for(&mut closing, schedule::LOOK_EVERY);
            if *closing {
                return;
            }
        }
    }

    pub(crate) fn is_closing(&self) -> bool {
        *self.0.closing.lock()
    }
}

/// The folder of a tenant's exports.
pub(crate) fn exports_dir(engine: &Engine, tenant: TenantNo) -> PathBuf {
    engine.data_dir().join("exports").join(format!("{:08x}", tenant.0))
}
