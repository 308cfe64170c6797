//! Trying events again: the request, the job, and going on with it after a restart.
//!
//! A replay is a journal record per event. Where that record stands, the event goes through the transformers of that
//! place and, if they keep it, is applied: folds put it at its own canonical place, so it counts as if it had never been
//! kept out. The letter goes in the same batch; a record for an event without a letter does nothing. So each event is
//! applied at most once, whoever asks how often, and a rebuild does the same at the same place.
//!
//! A request is a record too. A job that a crash ended begins again at the next start and passes over what it tried.

use std::collections::HashSet;
use std::sync::Arc;

use cdp_domain::ids::{JobId, Position};
use cdp_domain::problem::{Code as Wrong, Problem};
use cdp_domain::value::Value;
use cdp_jobs::{Outcome, Progress};
use cdp_store::keys::{self, tag};
use cdp_store::kv::Order;
use cdp_store::seal::open_in_place;
use serde::{Deserialize, Serialize};

use super::{Attempts, Filter, Kept};
use crate::acceptance::{self, Checked};
use crate::catalogue::Said;
use crate::config::Change;
use crate::error::{Refused, Result};
use crate::rows::{Look, decode};
use crate::tenant::{Core, Tenant, new_job};

/// Replays of one tenant that may be under way.
pub const REPLAYS_MAX: usize = 16;
/// Events whose replay is asked for in one append.
const EVENTS_AT_A_TIME: usize = 128;

/// A request that is not carried out yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    /// The job that does it.
    pub job: JobId,
    /// Which events.
    pub filter: Filter,
    /// Only events before this place: what fails while it runs is not tried for ever.
    pub upto: Position,
}

/// What a job did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
struct Tally {
    /// Events tried.
    replayed: u64,
    /// Of them, those that are in state now.
    applied: u64,
    /// Of them, those that were kept out again.
    kept_out: u64,
}

impl Tenant {
    /// Has events that were kept out tried again, by a job. Without a word on how they are kept, those that failed.
    ///
    /// Returns when the request is durable: it is carried out even if the server stops.
    ///
    /// # Errors
    /// [`Refused::Invalid`] for suppressed events, which only lifting the suppression lets in; [`Refused::Conflict`] at
    /// [`REPLAYS_MAX`].
    pub async fn replay_dead_letters(&self, filter: Filter) -> Result<JobId> {
        let filter = Filter { kept: Some(filter.kept.unwrap_or(Kept::DeadLetter)), ..filter };
        if filter.kept == Some(Kept::Suppressed) {
            let detail = "can only be `dead_letter` or `dropped`: what is suppressed stays out";
            return Err(Refused::invalid(Problem::new("/status", Wrong::Invalid, detail)));
        }
        let core = &self.core;
        let _changing = core.changing.lock().await;
        room_for_another(self.config().replays.len())?;
        let job = new_job()?;
        let replay = Replay { job, filter, upto: core.journal.end() };
        core.change(Change::ReplayRequested { replay: replay.clone() }).await?;
        submit(core, replay)?;
        Ok(job)
    }
}

fn room_for_another(there: usize) -> Result<()> {
    if there < REPLAYS_MAX {
        return Ok(());
    }
    Err(Refused::Conflict(format!("{REPLAYS_MAX} replays are under way already")))
}

/// Submits the jobs of every request that is not carried out: after a start.
pub(crate) fn resume(core: &Arc<Core>) {
    for replay in core.rows.read().inner.config.replays.clone() {
        if let Err(error) = submit(core, replay) {
            tracing::error!(error = %error, "a replay could not be resumed");
        }
    }
}

fn submit(core: &Arc<Core>, replay: Replay) -> Result<()> {
    let (shared, job) = (core.clone(), replay.job);
    let work = Box::new(move |progress: &Progress| run(&shared, &replay, progress));
    core.jobs
        .submit(core.info.no, job, "dead_letter_replay", work)
        .map_err(|_| Refused::Overloaded { retry_after: 5 })
}

fn run(core: &Arc<Core>, replay: &Replay, progress: &Progress) -> Outcome {
    let failed = |error: Refused| crate::writer::error_chain(&error);
    let tally = try_all(core, replay, progress).map_err(failed)?;
    if core.jobs.is_closing() {
        return Err("the server is stopping; it is resumed at the next start".to_owned());
    }
    pollster::block_on(core.change(Change::ReplayEnded { job: replay.job })).map_err(failed)?;
    if progress.cancelled() {
        return Err(format!("cancelled after {} events", tally.replayed));
    }
    serde_json::to_value(tally).map_err(|error| error.to_string())
}

fn try_all(core: &Arc<Core>, replay: &Replay, progress: &Progress) -> Result<Tally> {
    let tenant = Tenant { core: core.clone() };
    let total = core.rows.read().inner.summary.kept(replay.filter.kept.unwrap_or(Kept::DeadLetter));
    let (mut tally, mut after) = (Tally::default(), None);
    while !progress.cancelled() {
        let page = tenant.dead_letters(&replay.filter, EVENTS_AT_A_TIME, after)?;
        let mut events = Vec::with_capacity(page.items.len());
        for letter in page.items.iter().filter(|letter| letter.position < replay.upto) {
            if !attempts(core, letter.position)?.tried_by(replay.job) {
                events.push(letter.position);
            }
        }
        let mut records = Vec::with_capacity(events.len());
        for event in &events {
            let checked = checked_today(core, *event)?;
            records.push(Change::EventReplayed { event: *event, job: replay.job, checked });
        }
        pollster::block_on(core.changes(records))?;
        for event in events {
            let applied = attempts(core, event)?.applied_at().is_some();
            tally.replayed += 1;
            tally.applied += u64::from(applied);
            tally.kept_out += u64::from(!applied);
        }
        progress.set(tally.replayed, total.max(tally.replayed));
        after = page.next.filter(|next| *next < replay.upto);
        if after.is_none() {
            break;
        }
    }
    Ok(tally)
}

/// What the schema of an event's type says now. There is nobody to refuse it to: what would be blocked is quarantined.
fn checked_today(core: &Core, event: Position) -> Result<Option<Checked>> {
    let schemas = core.schemas.read().clone();
    if schemas.is_empty() {
        return Ok(None);
    }
    let record = match core.journal.read_at(event) {
        Err(cdp_store::Error::NotARecord { .. }) => return Ok(None),
        read => read?,
    };
    let mut payload = record.payload;
    match open_in_place(&core.keys, core.info.no, &record.header, &mut payload) {
        Err(cdp_store::Error::KeyDestroyed) => return Ok(None),
        opened => opened?,
    }
    let (value, _) = acceptance::read(&payload)?;
    let Value::Object(mut event) = value else { return Ok(None) };
    Ok(match schemas.judge(&mut event) {
        Said::Nothing => None,
        Said::Block(checked) | Said::Note(checked) => Some(checked),
    })
}

/// What came of trying the event at a position again.
pub(crate) fn attempts(core: &Core, event: Position) -> Result<Attempts> {
    let view = core.rows.read();
    let row = view.row(&core.rows.context().replay(event))?;
    row.map_or_else(|| Ok(Attempts::default()), |bytes| decode(&bytes))
}

/// Every event that was not applied where it stands: those that are kept out, and those that were replayed.
pub(crate) fn not_applied_in_place(core: &Core) -> Result<HashSet<Position>> {
    let mut all = HashSet::new();
    for (table, position) in [
        (tag::DEAD_LETTER, keys::dead_letter as fn(&keys::Key) -> Option<Position>),
        (tag::REPLAY, keys::replay),
    ] {
        let mut range = core.rows.context().table(table);
        loop {
            let page = core.rows.read().scan(&range, Order::Forward, 256)?;
            let Some((last, _)) = page.last() else { break };
            range = range.after(last);
            all.extend(page.iter().filter_map(|(key, _)| position(key)));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_up_to_the_limit() {
        assert!(room_for_another(REPLAYS_MAX - 1).is_ok());
        assert!(matches!(room_for_another(REPLAYS_MAX), Err(Refused::Conflict(_))));
    }
}
