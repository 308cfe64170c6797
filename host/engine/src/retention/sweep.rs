//! The job: looks for events whose days are over, has them leave state, and redacts them in the journal.
//!
//! In rounds of a bounded number of events. A round writes its records, waits until the store has what they come to, takes
//! the events out of the timeline and only then redacts the journal; so nothing that state was made of is gone before
//! state can do without. Where it was interrupted it goes on at the next start.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cdp_domain::ids::{FragmentId, Position};
use cdp_jobs::{Outcome, Progress};
use cdp_store::journal::RecordRef;
use cdp_store::keys::{self, tag};
use cdp_store::kv::{Kv as _, Order};
use cdp_store::seal::{DataKeys as _, fits, seal_in_room};
use parking_lot::Mutex;
use serde_json::json;

use super::plan::{self, Dues};
use super::{AgingRow, Derived, Stub, apply};
use crate::config::Change;
use crate::error::{Refused, Result};
use crate::feed::Item;
use crate::past::Past;
use crate::rows::decode;
use crate::tenant::{Core, Tenant, new_job};

/// Events whose days are over are looked for this often.
pub const RETENTION_EVERY_MS: i64 = 86_400_000;
/// What could not be done is tried again after this.
const AGAIN_AFTER: Duration = Duration::from_secs(60);
/// How often a round is begun again whose records were overtaken.
const TRIES: u32 = 5;
/// Events of a round: what is to be redacted is held in memory.
const ROUND_EVENTS_MAX: usize = 200_000;
/// Records that are asked for in one append, and their bytes: about, for those of a fragment are asked for together.
const RECORDS_AT_A_TIME: usize = 128;
const RECORD_BYTES_AT_A_TIME: usize = 8 << 20;

/// What is under way of it in this process.
#[derive(Default)]
pub(crate) struct Sweeping {
    running: AtomicBool,
    tried: Mutex<Option<Instant>>,
    /// What an earlier process left was seen to.
    resumed: AtomicBool,
    dues: Mutex<Dues>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    /// Events that left state.
    events: u64,
    /// Payloads that were redacted.
    redacted: u64,
    /// Events that have to wait for the next time.
    waiting: u64,
    /// Events that left state and that the journal still has, sealed: their stub does not fit, or could not be made.
    kept: u64,
}

impl Sweeping {
    /// Waits until none runs, and keeps the next one from beginning.
    pub(crate) fn pause(&self) -> impl Drop + '_ {
        self.dues.lock()
    }
}

/// Has the job run when it is due.
pub(crate) fn sweep_if_due(core: &Arc<Core>) {
    let due = {
        let view = core.rows.read();
        let retention = &view.inner.config.retention;
        let swept = retention.swept_at.filter(|at| retention.set_at.is_none_or(|set| *at >= set));
        let now = core.clock.now();
        let since = swept.is_none_or(|at| now.0.saturating_sub(at.0) >= RETENTION_EVERY_MS);
        let left = !view.inner.aging.is_empty() && !core.sweeping.resumed.load(Ordering::Acquire);
        !retention.rules.is_empty() && since || left
    };
    // A shadow only compares.
    if !due || core.ledger.is_none() || core.replaying.load(Ordering::Acquire) {
        return;
    }
    let sweeping = &core.sweeping;
    if sweeping.tried.lock().is_some_and(|at| at.elapsed() < AGAIN_AFTER) {
        return;
    }
    submit(core);
}

/// Submits the job, unless it runs.
fn submit(core: &Arc<Core>) {
    let sweeping = &core.sweeping;
    if sweeping.running.swap(true, Ordering::AcqRel) {
        return;
    }
    *sweeping.tried.lock() = Some(Instant::now());
    let shared = core.clone();
    let work = Box::new(move |progress: &Progress| -> Outcome {
        let done = sweep(&shared, progress);
        match &done {
            Ok(tally) if tally.waiting == 0 => *shared.sweeping.tried.lock() = None,
            // Whatever was found is looked for again.
            _ => *shared.sweeping.dues.lock() = Dues::default(),
        }
        shared.sweeping.running.store(false, Ordering::Release);
        let tally = done.map_err(|error| crate::writer::error_chain(&error))?;
        Ok(
            json!({ "events": tally.events, "redacted": tally.redacted, "waiting": tally.waiting, "kept": tally.kept }),
        )
    });
    let submitted = new_job().map(|job| core.jobs.submit(core.info.no, job, "retention", work).is_ok());
    if !submitted.unwrap_or(false) {
        sweeping.running.store(false, Ordering::Release);
    }
}

fn sweep(core: &Arc<Core>, progress: &Progress) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut dues = core.sweeping.dues.lock();
    // What an earlier one left.
    redact(core, &mut tally)?;
    core.sweeping.resumed.store(true, Ordering::Release);
    let now = core.clock.now();
    let mut overtaken = 0;
    loop {
        let config = core.rows.read().inner.config.clone();
        let retention = &config.retention;
        if retention.rules.is_empty() {
            return Ok(tally);
        }
        let freezes = retention.rules.values().any(|keep| keep.derived == Derived::Frozen);
        if freezes && config.folds.values().any(|fold| !fold.is_built()) {
            let why = "a definition is being built; events are removed when it is";
            return Err(Refused::Unavailable(why.to_owned()));
        }
        let found = plan::find(core, &mut dues, now, ROUND_EVENTS_MAX)?;
        let total = found.fragments.len() as u64;
        let plan = core.plan(&config);
        let (mut changes, mut bytes) = (Vec::new(), 0);
        let mut events = 0;
        for (n, (id, over)) in found.fragments.iter().enumerate() {
            let (records, waiting) = plan::records(core, &plan, *id, over, now)?;
            tally.waiting += waiting;
            for (aged, its_bytes) in records {
                bytes += its_bytes;
                events += (aged.gone.len() + aged.stubs.len()) as u64;
                changes.push(Change::Aged { fragment: *id, aged: Box::new(aged) });
            }
            let enough = changes.len() >= RECORDS_AT_A_TIME || bytes >= RECORD_BYTES_AT_A_TIME;
            if enough || n + 1 == found.fragments.len() {
                pollster::block_on(core.changes(std::mem::take(&mut changes)))?;
                bytes = 0;
            }
            progress.set(n as u64 + 1, total);
            if progress.cancelled() || core.jobs.is_closing() {
                return Err(Refused::Unavailable("it was interrupted; it goes on later".to_owned()));
            }
        }
        let left = core.rows.read().inner.aging.len() as u64 - tally.kept;
        tally.events += left;
        redact(core, &mut tally)?;
        // What was overtaken by an event that was taken back meanwhile, or by a new definition, is worked out again.
        overtaken = if left < events { overtaken + 1 } else { 0 };
        if overtaken > 0 {
            *dues = Dues::default();
        }
        if overtaken == TRIES {
            return Err(Refused::Unavailable(
                "what is to be removed goes on changing; it is tried again".to_owned(),
            ));
        }
        if overtaken == 0 && (!found.more || events == 0) {
            break;
        }
    }
    if tally.waiting == 0 {
        pollster::block_on(core.change(Change::RetentionSwept { at: now }))?;
    }
    Ok(tally)
}

/// Redacts what left state, once the store has that, and says so in the journal.
fn redact(core: &Arc<Core>, tally: &mut Tally) -> Result<()> {
    let (rows, upto) = pending(core)?;
    let Some(upto) = upto else { return Ok(()) };
    let tenant = Tenant { core: core.clone() };
    durable(&tenant)?;
    let config = core.rows.read().inner.config.clone();
    let mut past = Past::with_aging(core, config);
    let (mut stubs, mut kept, mut positions) = (HashMap::new(), HashSet::new(), Vec::new());
    let mut left = Vec::new();
    for row in &rows {
        positions.extend(&row.gone);
        for position in &row.stubs {
            let record = core.journal.read_at(*position)?;
            if record.header.redacted || core.keys.key(&record.header.key_ref).is_err() {
                continue;
            }
            let family = past.family(*position)?;
            let mut family = family.iter().filter_map(|item| match item {
                Item::Event(pending) => Some(&**pending),
                _ => None,
            });
            let stub = family.next().map(|accepted| Stub::of(accepted, family));
            match stub.filter(|stub| fits(&stub.write(), record.payload.len())) {
                Some(stub) => {
                    kept.extend(stub.places(*position));
                    stubs.insert(*position, stub.write());
                    positions.push(*position);
                }
                None => left.push(*position),
            }
        }
    }
    let aged = apply::by_fragment(&rows);
    let fragments: Arc<HashSet<[u8; 16]>> = Arc::new(aged.keys().map(|id| id.0).collect());
    let done = stubs.keys().copied().collect::<HashSet<_>>();
    let goes: Arc<crate::timeline::Goes> = Arc::new(move |key: &[u8; 16], value: &[u8; 16]| {
        let place = crate::past::place_of(value);
        let leaves_stub = aged.get(&FragmentId(*key)).and_then(|places| places.get(&place.position));
        match leaves_stub {
            None => false,
            Some(false) => true,
            // What the stub does not stand for; of one that could not be made, or was, nothing.
            Some(true) => done.contains(&place.position) && !kept.contains(&place),
        }
    });
    crate::timeline::forget(core, &fragments, &goes)?;
    // So that no start finds in the log what the journal does not have.
    durable(&tenant)?;
    let (keys, no) = (&core.keys, core.info.no);
    tally.redacted += core.journal.redact(&positions, &mut |record: RecordRef<'_>| {
        if record.header.redacted {
            return Ok(None);
        }
        let stub = stubs.get(&record.position).cloned();
        match seal_in_room(keys, no, &record.header, stub, record.payload.len()) {
            // The person was erased meanwhile: nobody can read it.
            Err(cdp_store::Error::KeyDestroyed) => Ok(None),
            sealed => sealed,
        }
    })?;
    tally.kept = left.len() as u64;
    if !left.is_empty() {
        tracing::warn!(
            tenant = no.0,
            events = left.len(),
            "events that are gone by their age are still in the journal, sealed"
        );
    }
    pollster::block_on(core.change(Change::AgedRedacted { upto, kept: left }))?;
    Ok(())
}

/// Waits until what is applied is on disk, not only handed to the store: a process that is killed keeps it.
fn durable(tenant: &Tenant) -> Result<()> {
    tenant.wait_until_applied()?;
    Ok(tenant.core.session.flush()?)
}

/// What is to be redacted, and up to which record.
fn pending(core: &Core) -> Result<(Vec<AgingRow>, Option<Position>)> {
    let (mut rows, mut upto) = (Vec::new(), None);
    let mut range = core.rows.context().table(tag::AGING);
    loop {
        let page = core.rows.read().scan(&range, Order::Forward, 256)?;
        let Some((last, _)) = page.last() else { return Ok((rows, upto)) };
        range = range.after(last);
        for (key, bytes) in &page {
            upto = keys::aging(key);
            rows.push(decode(bytes)?);
        }
    }
}
