//! Building the past of folds and measuring rankings: work beside the writer, handed to it in slices.
//!
//! A build reads the journal in order and can be cancelled; what was handed over stays, so it goes on from there. While
//! events come in it works a third of the time, so that they keep most of the machine.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cdp_domain::event::VOID;
use cdp_domain::expr::{Cutoffs, cutoffs};
use cdp_domain::fold::{At, Fold, Spec, State};
use cdp_domain::ids::{FragmentId, JobId, Ordinal, Position};
use cdp_domain::time::Timestamp;
use cdp_jobs::{Outcome, Progress};

use crate::config::{Change, Config};
use crate::error::{Refused, Result};
use crate::feed::{Item, Message};
use crate::past::Past;
use crate::rows::Look;
use crate::tenant::{Core, new_job};
use crate::writer::{Person, void_since};

/// Events folded before a slice of the past is handed to the writer.
const SLICE_EVENTS: usize = 100_000;
/// Profiles read at a time; the writer waits no longer than that takes.
pub(crate) const PROFILES_AT_A_TIME: u32 = 500;
/// Milliseconds after which rankings are measured anew: how old they are at most, beside the time it takes.
pub const RANKING_EVERY_MS: i64 = 3_600_000;

/// States of the past, by fold and fragment.
pub(crate) type States = HashMap<(u32, FragmentId), State>;

/// What the events between two places of the journal amount to.
pub(crate) struct PastStates {
    /// The folds that are built to `from`.
    pub(crate) folds: Vec<u32>,
    pub(crate) from: Position,
    pub(crate) upto: Position,
    /// How often the past had been changed behind a backfill when the events were read.
    pub(crate) retouched: u64,
    pub(crate) states: States,
}

/// Has the writer add what is missing of the past of these folds. Whether it went through; false when it was cancelled,
/// or state was taken anew since, at so many renewals, the work began.
pub(crate) fn fold_past(
    core: &Arc<Core>,
    wanted: &[u32],
    renewals: u64,
    progress: &Progress,
) -> Result<bool> {
    fold_missing(core, wanted, progress, |past| {
        let (done, wait) = std::sync::mpsc::sync_channel(1);
        let sent = core.feed.send(Message::Slice { past: Box::new(past), renewals, done });
        Ok(if sent { wait.recv().ok() } else { None })
    })
}

/// Gives what is missing of the past of these folds to `add`, slice by slice; it says whether a slice was added, and
/// nothing when there is no use in going on.
pub(crate) fn fold_missing(
    core: &Arc<Core>,
    wanted: &[u32],
    progress: &Progress,
    mut add: impl FnMut(PastStates) -> Result<Option<bool>>,
) -> Result<bool> {
    let mut slice_events = SLICE_EVENTS;
    loop {
        let (config, retouched, as_of) = {
            let view = core.rows.read();
            let summary = &view.inner.summary;
            (view.inner.config.clone(), summary.retouched, summary.as_of)
        };
        let missing = || {
            wanted.iter().filter_map(|no| Some((*no, config.folds.get(no).filter(|fold| !fold.is_built())?)))
        };
        let Some(from) = missing().map(|(_, fold)| fold.built_to).min() else { return Ok(true) };
        let group: Vec<(u32, Spec, Position)> = missing()
            .filter(|(_, fold)| fold.built_to == from)
            .map(|(no, fold)| (no, fold.spec.clone(), fold.at))
            .collect();
        let slice = Slice { core, config: config.clone(), group: &group, as_of };
        let Some((upto, states)) = slice.read(from, slice_events, progress)? else { return Ok(false) };
        let folds = group.iter().map(|(no, ..)| *no).collect();
        match add(PastStates { folds, from, upto, retouched, states })? {
            Some(true) => slice_events = SLICE_EVENTS,
            // Something of the past changed meanwhile: a shorter slice is likelier to get through.
            Some(false) => slice_events = (slice_events / 2).max(crate::past::PAGE),
            None => return Ok(false),
        }
    }
}

/// What all events before `until` amount to in these folds, beside state. None when it was cancelled.
pub(crate) fn fold_all(
    core: &Arc<Core>,
    specs: &[(u32, Spec)],
    until: Position,
    progress: &Progress,
) -> Result<Option<States>> {
    let (config, as_of) = {
        let view = core.rows.read();
        (view.inner.config.clone(), view.inner.summary.as_of)
    };
    let group: Vec<_> = specs.iter().map(|(no, spec)| (*no, spec.clone(), until)).collect();
    let slice = Slice { core, config, group: &group, as_of };
    Ok(slice.read(Position(0), usize::MAX, progress)?.map(|(_, states)| states))
}

struct Slice<'a> {
    core: &'a Arc<Core>,
    config: Arc<Config>,
    group: &'a [(u32, Spec, Position)],
    as_of: Timestamp,
}

impl Slice<'_> {
    /// Folds events from `from` on, until so many were, or all were that the group needs.
    fn read(&self, from: Position, events: usize, progress: &Progress) -> Result<Option<(Position, States)>> {
        let until = self.group.iter().map(|(_, _, at)| *at).max().unwrap_or(from);
        let mut past = Past::new(self.core, self.config.clone());
        let mut reader = self.core.journal.reader(from);
        let mut states = States::new();
        let mut throttle = Throttle::new(self.core);
        let mut read = 0;
        while let Some(items) = past.next_page(&mut reader, until)? {
            read += items.len();
            for item in &items {
                self.fold(item, &mut states)?;
            }
            progress.set(reader.position().0.min(until.0), until.0);
            if progress.cancelled() {
                return Ok(None);
            }
            if read >= events {
                return Ok(Some((reader.position().min(until), states)));
            }
            throttle.rest(self.core);
        }
        Ok(Some((until, states)))
    }

    fn fold(&self, item: &Item, states: &mut States) -> Result<()> {
        let Item::Event(pending) = item else { return Ok(()) };
        let event = &pending.event;
        // What is to come is folded in at its time.
        if event.kind == VOID || event.time > self.as_of {
            return Ok(());
        }
        let mut void = None;
        for (no, spec, at) in self.group {
            if pending.position >= *at || !spec.wants(event) {
                continue;
            }
            let is_void = match void {
                Some(known) => known,
                None => {
                    let view = self.core.rows.read();
                    let known =
                        view.inner.summary.voids > 0 && void_since(self.core, &view, event)?.is_some();
                    *void.insert(known)
                }
            };
            if !is_void {
                spec.step(states.entry((*no, pending.fragment)).or_default(), event);
            }
        }
        Ok(())
    }
}

/// With more journal than this waiting for the writer, other work rests.
const LAG_BYTES: u64 = 64 << 10;

/// Leaves the machine to what comes in.
pub(crate) struct Throttle {
    accepted: u64,
    since: Instant,
}

impl Throttle {
    pub(crate) fn new(core: &Core) -> Self {
        Self { accepted: core.counters.accepted.load(Ordering::Relaxed), since: Instant::now() }
    }

    /// Rests twice as long as was worked, where events came in meanwhile or wait to be applied.
    pub(crate) fn rest(&mut self, core: &Core) {
        let accepted = core.counters.accepted.load(Ordering::Relaxed);
        let applied = core.rows.read().inner.summary.applied;
        if accepted != self.accepted || core.journal.durable().0 > applied.0 + LAG_BYTES {
            self.accepted = accepted;
            std::thread::sleep((self.since.elapsed() * 2).min(Duration::from_millis(100)));
        }
        self.since = Instant::now();
    }
}

/// Measures rankings over all profiles, in the order of their numbers. None when it was cancelled.
pub(crate) fn measure(
    core: &Arc<Core>,
    wanted: &[u32],
    progress: &Progress,
) -> Result<Option<Vec<(u32, Cutoffs)>>> {
    let mut tables = Vec::new();
    for no in wanted {
        let mut values = Vec::new();
        let mut from: u32 = 0;
        let mut throttle = Throttle::new(core);
        loop {
            let view = core.rows.read();
            let Some(ranking) = view.inner.config.rankings.get(no).cloned() else { break };
            let last = view.inner.summary.next_ordinal;
            let plan = core.plan(&view.inner.config);
            let at = At { as_of: core.clock.now().max(view.inner.summary.as_of), zone: &plan.zone };
            for ordinal in from..from.saturating_add(PROFILES_AT_A_TIME).min(last) {
                let Some(root) = view.root(Ordinal(ordinal))? else { continue };
                let fragments = view.profile(root)?;
                let person = Person {
                    fragments: &fragments,
                    plan: &plan,
                    digests: &core.digests,
                    look: &view,
                    overlay: None,
                };
                if !person.is_restricted() {
                    values.extend(ranking.of.read(&person, at).value);
                }
            }
            drop(view);
            from = from.saturating_add(PROFILES_AT_A_TIME);
            progress.set(u64::from(from.min(last)), u64::from(last));
            if progress.cancelled() {
                return Ok(None);
            }
            if from >= last {
                tables.push((*no, cutoffs(std::mem::take(&mut values), ranking.buckets)));
                break;
            }
            throttle.rest(core);
        }
    }
    Ok(Some(tables))
}

/// Measures those of these rankings that never were, and writes the tables down. Whether it went through.
pub(crate) fn measure_missing(core: &Arc<Core>, wanted: &[u32], progress: &Progress) -> Result<bool> {
    let config = core.rows.read().inner.config.clone();
    let missing = |no: &&u32| config.rankings.get(no).is_some_and(|ranking| ranking.cutoffs.is_none());
    // One after the other: a ranking may rest on another.
    for no in wanted.iter().filter(missing) {
        match measure(core, &[*no], progress)? {
            Some(tables) => write_tables(core, tables)?,
            None => return Ok(false),
        }
    }
    Ok(true)
}

fn write_tables(core: &Core, tables: Vec<(u32, Cutoffs)>) -> Result<()> {
    if tables.is_empty() {
        return Ok(());
    }
    let at = core.clock.now();
    pollster::block_on(async {
        let _changing = core.changing.lock().await;
        core.change(Change::RankingsMeasured { tables, at }).await.map(|_| ())
    })
}

/// Has all rankings measured anew; the job.
///
/// # Errors
/// [`Refused::Overloaded`] when too many jobs wait.
pub(crate) fn submit_measuring(core: &Arc<Core>) -> Result<JobId> {
    let (shared, job) = (core.clone(), new_job()?);
    let work = Box::new(move |progress: &Progress| -> Outcome {
        let measured = measure_all(&shared, progress);
        shared.measuring.store(false, Ordering::Release);
        match measured {
            Ok(Some(count)) => Ok(serde_json::json!({ "rankings": count })),
            Ok(None) => Err("cancelled; rankings are measured again later".to_owned()),
            Err(error) => Err(crate::writer::error_chain(&error)),
        }
    });
    core.jobs.submit(core.info.no, job, "ranking", work).map_err(|_| {
        core.measuring.store(false, Ordering::Release);
        Refused::Overloaded { retry_after: 5 }
    })?;
    Ok(job)
}

fn measure_all(core: &Arc<Core>, progress: &Progress) -> Result<Option<usize>> {
    let wanted: Vec<u32> = core.rows.read().inner.config.rankings.keys().copied().collect();
    for no in &wanted {
        match measure(core, &[*no], progress)? {
            Some(tables) => write_tables(core, tables)?,
            None => return Ok(None),
        }
    }
    Ok(Some(wanted.len()))
}

/// Submits the jobs of everything that is still being built: after a start.
pub(crate) fn resume_builds(core: &Arc<Core>) {
    let config = core.rows.read().inner.config.clone();
    for (name, attribute) in &config.attributes {
        if let Some(building) = &attribute.building
            && let Err(error) =
                crate::attributes::submit_attribute(core, name.clone(), building.no, building.job)
        {
            tracing::error!(error = %error, "an attribute's build could not be resumed");
        }
    }
    for (no, slot) in &config.slots {
        let job = slot.building.and_then(|building| config.derivations.get(&building)).map(|one| one.job);
        // A slot that serves nothing yet is built by the job of the attribute that waits for it.
        if let Some(job) = job.filter(|_| slot.active.is_some())
            && let Err(error) = crate::derivations::submit_slots(core, vec![(*no, job)])
        {
            tracing::error!(error = %error, "the build of a derivation could not be resumed");
        }
    }
    for (name, segment) in &config.segments {
        if let Some(building) = &segment.building
            && let Err(error) = crate::segments::submit_segment(core, name.clone(), building.no, building.job)
        {
            tracing::error!(error = %error, "a segment's build could not be resumed");
        }
    }
}
