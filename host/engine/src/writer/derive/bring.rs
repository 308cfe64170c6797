//! One derivation, brought forward: events folded, profiles joined and read. Runs guests, so never under a lock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cdp_domain::event::VOID;
use cdp_domain::ids::{FragmentId, Position};
use cdp_domain::stamp::Stamp;
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_runtime::{Answers, Derivation, Failed, Fault, Folded, Group, Reading, Row};

use super::{Task, kept};
use crate::config::Carries;
use crate::derivations::{Fresh, Kept};
use crate::error::Result;
use crate::feed::Item;
use crate::past::Past;
use crate::rows::Look;
use crate::tenant::Core;
use crate::writer::plan::Deriving;
use crate::writer::void_since;

/// What came of a derivation.
pub(crate) struct Brought {
    pub(crate) deriving: Deriving,
    pub(crate) states: Vec<(FragmentId, Kept)>,
    pub(crate) readings: Vec<BroughtReading>,
    /// Fragments that are no root any more.
    pub(crate) gone: Vec<FragmentId>,
    /// Fragments to be folded anew later: the plugin could not be asked.
    pub(crate) later: BTreeSet<FragmentId>,
}

/// A profile was read anew.
pub(crate) struct BroughtReading {
    pub(crate) root: FragmentId,
    /// One a declared output.
    pub(crate) values: Vec<Option<Value>>,
    /// Until when they hold; None: until the next event.
    pub(crate) valid_until: Option<Timestamp>,
    /// Whether an event is the cause, and not time or a join.
    pub(crate) by_event: bool,
}

impl Brought {
    /// Forgets what came of these fragments and profiles.
    pub(crate) fn leave_out(&mut self, ids: &BTreeSet<FragmentId>) {
        self.states.retain(|(id, _)| !ids.contains(id));
        self.readings.retain(|reading| !ids.contains(&reading.root));
        self.gone.retain(|id| !ids.contains(id));
    }

    fn nothing(deriving: &Deriving) -> Self {
        Self {
            deriving: deriving.clone(),
            states: Vec::new(),
            readings: Vec::new(),
            gone: Vec::new(),
            later: BTreeSet::new(),
        }
    }
}

/// How often what the host itself could not run is tried.
const HOST_TRIES: u32 = 5;
/// Events that are folded anew in one go, about.
const ANEW_EVENTS: usize = 16_384;

pub(super) fn bring(
    core: &Arc<Core>,
    deriving: &Deriving,
    guest: std::result::Result<&Derivation, &str>,
    task: &Task,
    at: Timestamp,
) -> Result<Brought> {
    let mut fresh: BTreeMap<FragmentId, Vec<&Fresh>> = BTreeMap::new();
    for event in task.events.iter().filter(|fresh| deriving.takes(&fresh.event)) {
        fresh.entry(event.fragment).or_default().push(event);
    }
    let mut taken: BTreeMap<FragmentId, Vec<&Fresh>> = BTreeMap::new();
    for event in task.taken.iter().filter(|fresh| deriving.takes(&fresh.event)) {
        taken.entry(event.fragment).or_default().push(event);
    }
    let ended = task.ended.get(&deriving.no).cloned().unwrap_or_default();
    let nothing_new = fresh.is_empty() && taken.is_empty();
    if nothing_new && task.anew.is_empty() && task.moved.is_empty() && ended.is_empty() {
        return Ok(Brought::nothing(deriving));
    }
    let Ok(guest) = guest else {
        let mut nothing = Brought::nothing(deriving);
        nothing.later = fresh.into_keys().chain(taken.into_keys()).chain(task.anew.iter().copied()).collect();
        nothing.later.extend(&task.moved);
        nothing.later.extend(ended);
        return Ok(nothing);
    };
    let mut work = Work::new(core, deriving, guest, at);
    let anew = work.take_out(taken, &fresh, &task.anew)?;
    work.fold(fresh, &anew)?;
    let by_event: BTreeSet<FragmentId> = work.states.keys().copied().collect();
    let mut touched = by_event.clone();
    touched.extend(&task.moved);
    touched.extend(&ended);
    work.read(&touched, &by_event)?;
    Ok(work.finish())
}

/// Everything of the profiles of these fragments, folded anew from the journal or taken over from what serves.
pub(crate) fn compute(
    core: &Arc<Core>,
    deriving: &Deriving,
    guest: &Derivation,
    fragments: &BTreeSet<FragmentId>,
    at: Timestamp,
) -> Result<Brought> {
    let mut work = Work::new(core, deriving, guest, at);
    let anew = work.carry_over(fragments)?;
    work.fold_anew(&anew)?;
    work.read(fragments, &BTreeSet::new())?;
    Ok(work.finish())
}

struct Work<'a> {
    core: &'a Arc<Core>,
    deriving: &'a Deriving,
    guest: &'a Derivation,
    at: Timestamp,
    /// The last record of the journal that is applied: an index may know events behind it, in a rebuild.
    last: Position,
    states: BTreeMap<FragmentId, Kept>,
    out: Brought,
}

/// An event of the past with what a plugin needs of it.
struct Old {
    stamp: Stamp,
    fresh: Fresh,
}

impl<'a> Work<'a> {
    fn new(core: &'a Arc<Core>, deriving: &'a Deriving, guest: &'a Derivation, at: Timestamp) -> Self {
        let last = core.rows.read().inner.summary.last;
        Self { core, deriving, guest, at, last, states: BTreeMap::new(), out: Brought::nothing(deriving) }
    }

    fn finish(mut self) -> Brought {
        let later = &self.out.later;
        self.out.states = self.states.into_iter().filter(|(id, _)| !later.contains(id)).collect();
        self.out
    }

    /// Takes events out of states again where that is exact; what is to be folded anew comes back.
    fn take_out(
        &mut self,
        taken: BTreeMap<FragmentId, Vec<&Fresh>>,
        fresh: &BTreeMap<FragmentId, Vec<&Fresh>>,
        anew: &BTreeSet<FragmentId>,
    ) -> Result<BTreeSet<FragmentId>> {
        let held = self.deriving.version.held;
        let mut again = anew.clone();
        let mut back: Vec<(FragmentId, Kept, Vec<&Fresh>)> = Vec::new();
        for (id, events) in taken {
            // What came at the same time may be the very event, which is in no state yet.
            if again.contains(&id)
                || fresh.contains_key(&id)
                || !held.retract
                || !held.steps
                || !self.deriving.built
            {
                again.insert(id);
                continue;
            }
            let known = kept(&self.core.rows.read(), id, self.deriving.no)?.unwrap_or_default();
            let is_last = |fresh: &&Fresh| known.last.as_ref() == Some(&fresh.event.stamp());
            if known.skipped > 0 || known.state.is_empty() || events.iter().any(is_last) {
                again.insert(id);
            } else {
                back.push((id, known, events));
            }
        }
        let rows: Vec<Vec<Row<'_>>> = back.iter().map(|(_, _, events)| fresh_rows(events)).collect();
        let groups: Vec<Group<'_>> =
            back.iter().zip(&rows).map(|((_, known, _), rows)| Group { state: &known.state, rows }).collect();
        let left = self.try_hard(
            |left: &[usize]| {
                let some: Vec<Group<'_>> = left.iter().map(|at| groups[*at]).collect();
                self.guest.retract(&some).unwrap_or_else(|| Answers::none(some.len()))
            },
            groups.len(),
        );
        for ((id, known, _), left) in back.iter().zip(left) {
            match left {
                Ok(left) => {
                    let last = known.last.clone();
                    self.states.insert(*id, Kept { state: left.state, last, skipped: 0 });
                }
                Err(_) => _ = again.insert(*id),
            }
        }
        Ok(again)
    }

    /// Takes states over from the version that serves, where that is exact; the fragments that are to be folded anew come
    /// back.
    fn carry_over(&mut self, fragments: &BTreeSet<FragmentId>) -> Result<Vec<FragmentId>> {
        let all = || fragments.iter().copied().collect();
        let Some(Carries { no, state_version }) = self.deriving.version.carries else { return Ok(all()) };
        {
            let view = self.core.rows.read();
            let slot = view.inner.config.slots.get(&self.deriving.slot);
            if slot.and_then(|slot| slot.active) != Some(no) {
                return Ok(all());
            }
        }
        let (mut anew, mut carried) = (Vec::new(), Vec::new());
        for id in fragments {
            match kept(&self.core.rows.read(), *id, no)? {
                Some(known) if known.skipped == 0 && !known.state.is_empty() => carried.push((*id, known)),
                _ => anew.push(*id),
            }
        }
        let states = self.try_hard(
            |left: &[usize]| {
                let some: Vec<&[u8]> = left.iter().map(|at| carried[*at].1.state.as_slice()).collect();
                self.guest.migrate(state_version, &some).unwrap_or_else(|| Answers::none(some.len()))
            },
            carried.len(),
        );
        for ((id, known), state) in carried.into_iter().zip(states) {
            match state {
                Ok(state) => _ = self.states.insert(id, Kept { state, ..known }),
                Err(_) => anew.push(id),
            }
        }
        Ok(anew)
    }

    /// Folds new events onto what is kept where that is exact, and fragments anew where it is not.
    fn fold(&mut self, fresh: BTreeMap<FragmentId, Vec<&Fresh>>, anew: &BTreeSet<FragmentId>) -> Result<()> {
        let held = self.deriving.version.held;
        let mut again: BTreeSet<FragmentId> = anew.clone();
        let mut forward: Vec<(FragmentId, Kept, Vec<&Fresh>)> = Vec::new();
        for (id, mut events) in fresh {
            if again.contains(&id) || !held.steps {
                again.insert(id);
                continue;
            }
            let known = kept(&self.core.rows.read(), id, self.deriving.no)?;
            // Until the past is built, what is not kept says nothing; what is has everything up to these events.
            if known.is_none() && !self.deriving.built {
                again.insert(id);
                continue;
            }
            let kept = known.unwrap_or_default();
            events.sort_by_cached_key(|fresh| fresh.event.stamp());
            let first = events[0].event.stamp();
            if !held.commutative && kept.last.as_ref().is_some_and(|last| *last >= first) {
                again.insert(id);
            } else {
                forward.push((id, kept, events));
            }
        }
        let rows: Vec<Vec<Row<'_>>> = forward.iter().map(|(_, _, events)| fresh_rows(events)).collect();
        let groups: Vec<Group<'_>> = forward
            .iter()
            .zip(&rows)
            .map(|((_, kept, _), rows)| Group { state: &kept.state, rows })
            .collect();
        let folded = self.call_fold(&groups);
        for ((id, kept, events), folded) in forward.iter().zip(folded) {
            let last = events.last().map(|fresh| fresh.event.stamp());
            let last = last.max(kept.last.clone());
            self.take(*id, (folded, events.len()), last, kept.skipped);
        }
        self.fold_anew(&again.into_iter().collect::<Vec<_>>())
    }

    /// Folds all events of fragments from nothing, in canonical order, some fragments at a time.
    fn fold_anew(&mut self, fragments: &[FragmentId]) -> Result<()> {
        let mut batch: Vec<(FragmentId, Vec<Old>)> = Vec::new();
        let mut count = 0;
        for id in fragments {
            if self.core.rows.read().fragment(*id)?.is_none() {
                continue;
            }
            let events = self.history(*id)?;
            count += events.len();
            batch.push((*id, events));
            if count >= ANEW_EVENTS || batch.len() >= 256 {
                self.fold_batch(std::mem::take(&mut batch));
                count = 0;
            }
        }
        self.fold_batch(batch);
        Ok(())
    }

    fn fold_batch(&mut self, batch: Vec<(FragmentId, Vec<Old>)>) {
        let rows: Vec<Vec<Row<'_>>> = batch.iter().map(|(_, events)| rows_of(events)).collect();
        let groups: Vec<Group<'_>> = rows.iter().map(|rows| Group { state: &[], rows }).collect();
        let folded = self.call_fold(&groups);
        for ((id, events), folded) in batch.iter().zip(folded) {
            self.take(*id, (folded, events.len()), events.last().map(|old| old.stamp.clone()), 0);
        }
    }

    fn take(
        &mut self,
        id: FragmentId,
        (folded, events): (std::result::Result<Folded, Failed>, usize),
        last: Option<Stamp>,
        skipped: u32,
    ) {
        let told = folded.as_ref().map(|folded| folded.skipped.as_slice());
        self.core.plugin_health.note_fold(&self.deriving.version.digest, events, told);
        match folded {
            Ok(folded) => {
                let skipped = skipped.saturating_add(u32::try_from(folded.skipped.len()).unwrap_or(u32::MAX));
                self.states.insert(id, Kept { state: folded.state, last, skipped });
            }
            Err(_) => _ = self.out.later.insert(id),
        }
    }

    /// The events of a fragment that count at the instant, in canonical order.
    fn history(&self, id: FragmentId) -> Result<Vec<Old>> {
        let config = self.core.rows.read().inner.config.clone();
        let mut past = Past::new(self.core, config);
        let mut out = Vec::new();
        let mut before = None;
        loop {
            let page = self.core.timeline.scan_back(&id.0, before, crate::past::PAGE)?;
            before = page.last().copied();
            let places: Vec<_> = page.iter().map(crate::past::place_of).collect();
            for item in past.events(&places)? {
                let Item::Event(pending) = item else { continue };
                let (received_at, position) = (pending.received_at, pending.position);
                let event = pending.event;
                if position > self.last
                    || event.kind == VOID
                    || event.time > self.at
                    || !self.deriving.takes(&event)
                {
                    continue;
                }
                let view = self.core.rows.read();
                if view.inner.summary.voids > 0 && void_since(self.core, &view, &event)?.is_some() {
                    continue;
                }
                drop(view);
                let stamp = event.stamp();
                out.push(Old { stamp, fresh: Fresh { fragment: id, received_at, event } });
            }
            // The newest come first.
            let oldest = page.last().map(crate::past::time_of);
            let begins = self.deriving.version.begins;
            let done = begins.zip(oldest).is_some_and(|(begins, oldest)| oldest < begins);
            if page.len() < crate::past::PAGE || done {
                out.sort_by(|a, b| a.stamp.cmp(&b.stamp));
                return Ok(out);
            }
        }
    }

    /// Reads the profiles of these fragments.
    fn read(&mut self, fragments: &BTreeSet<FragmentId>, by_event: &BTreeSet<FragmentId>) -> Result<()> {
        let mut people: BTreeMap<FragmentId, (Vec<FragmentId>, bool)> = BTreeMap::new();
        for id in fragments {
            if self.out.later.contains(id) {
                continue;
            }
            let profile = self.core.rows.read().profile(*id)?;
            let Some((root, _)) = profile.first() else {
                self.out.gone.push(*id);
                continue;
            };
            let root = *root;
            let members = || profile.iter().map(|(id, _)| *id).collect::<Vec<_>>();
            let (_, event) = people.entry(root).or_insert_with(|| (members(), false));
            *event |= by_event.contains(id);
        }
        // Being built, a profile may have taken in fragments whose turn has not come.
        if !self.deriving.built {
            let mut missing = Vec::new();
            for id in people.values().flat_map(|(members, _)| members) {
                if !self.states.contains_key(id)
                    && !self.out.later.contains(id)
                    && kept(&self.core.rows.read(), *id, self.deriving.no)?.is_none()
                {
                    missing.push(*id);
                }
            }
            self.fold_anew(&missing)?;
        }
        let mut roots: Vec<(FragmentId, bool)> = Vec::with_capacity(people.len());
        let mut joined: Vec<Vec<Vec<u8>>> = Vec::with_capacity(people.len());
        for (root, (mut members, event)) in people {
            self.out.gone.extend(members.iter().filter(|id| **id != root));
            members.sort_unstable();
            let states = self.states_of(&members)?;
            roots.push((root, event));
            joined.push(states);
        }
        let states = self.join(joined);
        let mut asked: Vec<&[u8]> = Vec::new();
        let mut of = Vec::new();
        for ((root, event), state) in roots.iter().zip(&states) {
            match state {
                Ok(state) => {
                    asked.push(state);
                    of.push((*root, *event));
                }
                Err(failed) => self.failed_reading(*root, failed, *event),
            }
        }
        let answers = self.try_hard(
            |left: &[usize]| {
                let some: Vec<&[u8]> = left.iter().map(|at| asked[*at]).collect();
                self.guest.read(self.at, &some)
            },
            asked.len(),
        );
        for ((root, event), reading) in of.into_iter().zip(answers) {
            match reading {
                Ok(Reading { values, valid_until }) => {
                    self.core.plugin_health.note_reading(&self.deriving.version.digest, None);
                    self.out.readings.push(BroughtReading { root, values, valid_until, by_event: event });
                }
                Err(failed) => self.failed_reading(root, &failed, event),
            }
        }
        Ok(())
    }

    /// A profile that cannot be read has no values, and is tried again.
    fn failed_reading(&mut self, root: FragmentId, failed: &Failed, event: bool) {
        self.core.plugin_health.note_reading(&self.deriving.version.digest, Some(failed));
        let values = vec![None; self.deriving.version.outputs.len()];
        let valid_until = Some(self.at);
        self.out.readings.push(BroughtReading { root, values, valid_until, by_event: event });
    }

    /// The states of a profile's fragments that are not empty; one state folded anew where states cannot be joined.
    fn states_of(&mut self, members: &[FragmentId]) -> Result<Vec<Vec<u8>>> {
        let mut states = Vec::new();
        for id in members {
            let state = match self.states.get(id) {
                Some(kept) => kept.state.clone(),
                None => kept(&self.core.rows.read(), *id, self.deriving.no)?.unwrap_or_default().state,
            };
            if !state.is_empty() {
                states.push(state);
            }
        }
        if states.len() < 2 || self.deriving.version.held.mergeable {
            return Ok(states);
        }
        let mut events = Vec::new();
        for id in members {
            events.extend(self.history(*id)?);
        }
        events.sort_by(|a, b| a.stamp.cmp(&b.stamp));
        let rows = rows_of(&events);
        match self.call_fold(&[Group { state: &[], rows: &rows }]).pop() {
            Some(Ok(folded)) => Ok(vec![folded.state]),
            Some(Err(failed)) => {
                self.core.plugin_health.note_failed(&self.deriving.version.digest, &failed);
                Ok(Vec::new())
            }
            None => Ok(Vec::new()),
        }
    }

    /// Joins each profile's states, two of each in a call, in the order in which they stand.
    fn join(&self, mut people: Vec<Vec<Vec<u8>>>) -> Vec<std::result::Result<Vec<u8>, Failed>> {
        let mut failed: BTreeMap<usize, Failed> = BTreeMap::new();
        loop {
            let several: Vec<usize> = (0..people.len()).filter(|at| people[*at].len() > 1).collect();
            if several.is_empty() {
                break;
            }
            let answers = self.try_hard(
                |left: &[usize]| {
                    let pairs: Vec<(&[u8], &[u8])> = left
                        .iter()
                        .map(|at| {
                            let states = &people[several[*at]];
                            (states[0].as_slice(), states[1].as_slice())
                        })
                        .collect();
                    self.guest.combine(&pairs)
                },
                several.len(),
            );
            for (at, answer) in several.into_iter().zip(answers) {
                match answer {
                    Ok(state) => _ = people[at].splice(0..2, [state]),
                    Err(why) => {
                        people[at].clear();
                        failed.insert(at, why);
                    }
                }
            }
        }
        let state = |(at, mut states): (usize, Vec<Vec<u8>>)| match failed.remove(&at) {
            Some(why) => Err(why),
            None => Ok(states.pop().unwrap_or_default()),
        };
        people.into_iter().enumerate().map(state).collect()
    }

    fn call_fold(&self, groups: &[Group<'_>]) -> Vec<std::result::Result<Folded, Failed>> {
        self.try_hard(
            |left: &[usize]| {
                let some: Vec<Group<'_>> = left.iter().map(|at| groups[*at]).collect();
                self.guest.fold(&some)
            },
            groups.len(),
        )
    }

    /// Asks until everything was judged: what a call gave up on is asked again, each call judges some; what the host
    /// itself cannot run is tried some times.
    fn try_hard<T>(
        &self,
        call: impl Fn(&[usize]) -> Answers<T>,
        count: usize,
    ) -> Vec<std::result::Result<T, Failed>> {
        let mut out: Vec<_> = (0..count).map(|_| Err(Failed::Fault(Fault::Abandoned))).collect();
        let mut left: Vec<usize> = (0..count).collect();
        let mut in_vain = 0;
        while !left.is_empty() {
            let answers = call(&left);
            self.core.plugin_health.note_call(
                &self.deriving.version.digest,
                left.len(),
                &answers.usage,
                &answers.log,
            );
            let asked = left.len();
            for (at, answer) in left.iter().zip(answers.items) {
                out[*at] = answer;
            }
            let again = |failed: &Failed| matches!(failed, Failed::Fault(Fault::Host(_) | Fault::Abandoned));
            left.retain(|at| out[*at].as_ref().is_err_and(again));
            if left.len() == asked {
                in_vain += 1;
                if in_vain == HOST_TRIES {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
        out
    }
}

fn fresh_rows<'a>(events: &[&'a Fresh]) -> Vec<Row<'a>> {
    events.iter().map(|fresh| Row { event: &fresh.event, received_at: fresh.received_at }).collect()
}

fn rows_of(events: &[Old]) -> Vec<Row<'_>> {
    events.iter().map(|old| Row { event: &old.fresh.event, received_at: old.fresh.received_at }).collect()
}
