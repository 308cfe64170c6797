//! Bringing plugins' folds forward: between writes, many profiles a call, at instants that the journal alone decides.
//!
//! No guest runs inside a write, so what plugins derive follows a little later than what the server folds itself: at the
//! next [`DERIVE_EVERY_MS`] of the clock that records carry. Events that came until then are folded in one call, the
//! profiles they belong to are read in another, and what turned is written and evaluated at that instant, as for a timer.
//! The instants come from times of receipt and from timers only, so a rebuild stops at the same ones, with the same
//! events behind it, and comes to the same bytes and the same turns.
//!
//! What could not be done in order is done anew: an event that comes late where order matters, a void, an event whose
//! time came. The fragment's events are read from the journal then and folded from nothing, in canonical order.

mod breaker;
mod bring;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use cdp_domain::event::Event;
use cdp_domain::ids::FragmentId;
use cdp_domain::segment::earlier;
use cdp_domain::time::Timestamp;
use cdp_store::keys::{self, tag};
use cdp_store::kv::Order;
use compact_str::CompactString;

use super::apply::Applier;
use super::evaluate::Cause;
use super::plan::{Plan, Touched};
use crate::config::Config;
use crate::derivations::{Fresh, Kept, Known, Underway};
use crate::error::Result;
use crate::rows::{Look, decode, encode};
use crate::tenant::Core;

pub(crate) use bring::{Brought, BroughtReading, compute};

/// Plugins' folds are brought forward at whole multiples of this many milliseconds, where there is something to do.
pub const DERIVE_EVERY_MS: i64 = 50;
/// A reading that ends by itself is made again at a whole multiple of this, after it ended.
pub const READ_AGAIN_GRID_MS: i64 = 1_000;
/// And at the soonest so long after it was made.
pub const READ_AGAIN_MS_MIN: i64 = 60_000;
/// What a plugin could not be asked for is tried again after this.
pub const DERIVE_AGAIN_MS: i64 = 60_000;
/// Timers taken at a time.
const TIMERS_PAGE: usize = 1024;

/// The plugins behind derivations, bound and ready; a sentence where one cannot be.
#[derive(Default)]
pub(crate) struct Derivers {
    bound: HashMap<u32, std::result::Result<cdp_runtime::Derivation, String>>,
}

impl Derivers {
    /// Binds what the plan needs, keeping what is bound.
    pub(crate) fn update(&mut self, core: &Core, plan: &Plan) {
        self.bound.retain(|no, bound| bound.is_ok() && plan.derivations.iter().any(|one| one.no == *no));
        for derivation in &plan.derivations {
            self.bound.entry(derivation.no).or_insert_with(|| {
                let bound = crate::derivations::bind(core, &derivation.version);
                if let Err(reason) = &bound {
                    tracing::error!(
                        tenant = core.info.no.0,
                        plugin = derivation.plugin.as_str(),
                        reason,
                        "a plugin that derives cannot be used; its values stand still until it can"
                    );
                }
                bound
            });
        }
    }

    pub(crate) fn get(&self, no: u32) -> std::result::Result<&cdp_runtime::Derivation, &str> {
        match self.bound.get(&no) {
            Some(Ok(bound)) => Ok(bound),
            Some(Err(reason)) => Err(reason),
            None => Err("it is not loaded"),
        }
    }
}

/// What is to be brought forward at an instant.
#[derive(Default)]
pub(crate) struct Task {
    pub(crate) events: Vec<Fresh>,
    pub(crate) taken: Vec<Fresh>,
    pub(crate) anew: BTreeSet<FragmentId>,
    pub(crate) moved: BTreeSet<FragmentId>,
    /// By derivation: profiles whose reading ended.
    pub(crate) ended: BTreeMap<u32, BTreeSet<FragmentId>>,
}

impl Applier<'_> {
    /// Notes an event that plugins fold.
    pub(super) fn derive_event(&mut self, fragment: FragmentId, received_at: Timestamp, event: &Event) {
        if !self.plan.derivations.iter().any(|derivation| derivation.wants(&event.kind)) {
            return;
        }
        let fresh = Fresh { fragment, received_at, event: event.clone() };
        self.hand.inner.underway.events.push(fresh);
        self.derive_soon();
    }

    /// Notes events of a fragment that plugins folded and that were taken back.
    pub(super) fn derive_taken(&mut self, fragment: FragmentId, taken: Vec<(Timestamp, Event)>) {
        let derivations = &self.plan.derivations;
        let wanted = taken.into_iter().filter(|(_, event)| derivations.iter().any(|one| one.takes(event)));
        let fresh = wanted.map(|(received_at, event)| Fresh { fragment, received_at, event });
        let before = self.hand.inner.underway.taken.len();
        self.hand.inner.underway.taken.extend(fresh);
        if self.hand.inner.underway.taken.len() > before {
            self.derive_soon();
        }
    }

    /// Notes a fragment whose events plugins have to fold anew; `kind` is that of the event which is the cause, or empty.
    pub(crate) fn derive_anew(&mut self, id: FragmentId, kind: &str) {
        if self.plan.derivations.iter().any(|derivation| kind.is_empty() || derivation.wants(kind)) {
            self.hand.inner.underway.anew.insert(id);
            self.derive_soon();
        }
    }

    /// Notes a profile that has other fragments than before.
    pub(super) fn derive_moved(&mut self, id: FragmentId) {
        if !self.plan.derivations.is_empty() {
            self.hand.inner.underway.moved.insert(id);
            self.derive_soon();
        }
    }

    fn derive_soon(&mut self) {
        let at = next_instant(self.hand.inner.summary.as_of);
        let underway = &mut self.hand.inner.underway;
        underway.at = earlier(underway.at, Some(at));
    }

    /// Takes what is to be done at `at`.
    fn take_task(&mut self, at: Timestamp) -> Result<Task> {
        let context = *self.hand.context();
        let mut ended: BTreeMap<u32, BTreeSet<FragmentId>> = BTreeMap::new();
        loop {
            let due = self.hand.scan(&context.derived_timers_due(at), Order::Forward, TIMERS_PAGE)?;
            for (key, _) in &due {
                if let Some((_, root, no)) = keys::derived_timer(key) {
                    ended.entry(no).or_default().insert(root);
                }
                self.hand.delete(*key);
            }
            if due.len() < TIMERS_PAGE {
                break;
            }
        }
        let next = self.hand.scan(&context.table(tag::DERIVED_TIMER), Order::Forward, 1)?;
        let read_at = next.first().and_then(|(key, _)| keys::derived_timer(key)).map(|(at, ..)| at);
        let underway = &mut self.hand.inner.underway;
        let taken = std::mem::replace(underway, Underway { read_at, ..Underway::default() });
        let Underway { events, taken, anew, moved, .. } = taken;
        Ok(Task { events, taken, anew, moved, ended })
    }

    /// Writes what was brought forward, and evaluates what depends on it.
    pub(crate) fn put_brought(&mut self, brought: Vec<Brought>, at: Timestamp, evaluate: bool) -> Result<()> {
        let context = *self.hand.context();
        let mut turned: BTreeMap<FragmentId, (Touched, bool)> = BTreeMap::new();
        for Brought { deriving, states, readings, gone, later } in brought {
            for (id, kept) in states {
                self.hand.put(context.derived_state(id, deriving.no), encode(&kept));
            }
            for id in gone {
                self.drop_reading(id, deriving.no)?;
            }
            if !later.is_empty() {
                let underway = &mut self.hand.inner.underway;
                underway.anew.extend(later);
                underway.at = earlier(underway.at, Some(Timestamp(at.0.saturating_add(DERIVE_AGAIN_MS))));
            }
            for BroughtReading { root, values, valid_until, by_event } in readings {
                let changed = self.put_reading(root, deriving.no, (values, valid_until), at)?;
                if changed && deriving.serves {
                    let (touched, event) = turned.entry(root).or_default();
                    touched.derivations.push(deriving.slot);
                    *event |= by_event;
                }
            }
        }
        if evaluate {
            for (root, (touched, event)) in turned {
                let cause = if event { Cause::Event } else { Cause::Timer };
                self.evaluate(root, at, cause, &touched)?;
            }
        }
        Ok(())
    }

    /// Puts a reading and its timer; whether its values are others than before.
    fn put_reading(
        &mut self,
        root: FragmentId,
        no: u32,
        (values, valid_until): (Vec<Option<cdp_domain::value::Value>>, Option<Timestamp>),
        at: Timestamp,
    ) -> Result<bool> {
        let context = *self.hand.context();
        let key = context.derived_reading(root, no);
        let before: Option<Known> = self.hand.row(&key)?.map(|bytes| decode(&bytes)).transpose()?;
        let again_at = valid_until.map(|until| again(until, at));
        let known = Known { values, valid_until, again_at };
        if before.as_ref() == Some(&known) && again_at.is_none_or(|again| again > at) {
            // The timer may have been the one that fired.
            if let Some(again) = again_at {
                self.hand.put(context.derived_timer(again, root, no), Vec::new());
                self.read_again_at(again);
            }
            return Ok(false);
        }
        if let Some(old) = before.as_ref().and_then(|before| before.again_at)
            && Some(old) != again_at
        {
            self.hand.delete(context.derived_timer(old, root, no));
        }
        if let Some(again) = again_at {
            self.hand.put(context.derived_timer(again, root, no), Vec::new());
            self.read_again_at(again);
        }
        let changed = before.as_ref().is_none_or(|before| before.values != known.values);
        self.hand.put(key, encode(&known));
        Ok(changed)
    }

    fn read_again_at(&mut self, at: Timestamp) {
        let read_at = &mut self.hand.inner.underway.read_at;
        *read_at = earlier(*read_at, Some(at));
    }

    fn drop_reading(&mut self, id: FragmentId, no: u32) -> Result<()> {
        let context = *self.hand.context();
        let key = context.derived_reading(id, no);
        let Some(bytes) = self.hand.row(&key)? else { return Ok(()) };
        let known: Known = decode(&bytes)?;
        if let Some(again) = known.again_at {
            self.hand.delete(context.derived_timer(again, id, no));
        }
        self.hand.delete(key);
        Ok(())
    }

    /// Drops everything that plugins' folds keep of fragments which leave state, and what waits for them; how many states
    /// and readings that were.
    pub(crate) fn leave_derived(&mut self, fragments: &BTreeSet<FragmentId>) -> Result<u64> {
        let underway = &mut self.hand.inner.underway;
        underway.events.retain(|fresh| !fragments.contains(&fresh.fragment));
        underway.taken.retain(|fresh| !fragments.contains(&fresh.fragment));
        underway.anew.retain(|id| !fragments.contains(id));
        underway.moved.retain(|id| !fragments.contains(id));
        let mut left = 0;
        // Without derivations there are no such rows, see `forget_derived`.
        if self.hand.inner.config.derivations.is_empty() {
            return Ok(left);
        }
        let context = *self.hand.context();
        for id in fragments {
            // A slot has three versions at most, so there are few.
            let states = self.hand.scan(&context.derived_states_of(*id), Order::Forward, usize::MAX)?;
            let readings = self.hand.scan(&context.derived_readings_of(*id), Order::Forward, usize::MAX)?;
            left += (states.len() + readings.len()) as u64;
            states.into_iter().for_each(|(key, _)| self.hand.delete(key));
            for (_, no) in readings.iter().filter_map(|(key, _)| keys::derived_reading(key)) {
                self.drop_reading(*id, no)?;
            }
        }
        Ok(left)
    }

    /// Drops everything that derivations keep which are gone.
    pub(super) fn forget_derived(&mut self, gone: &[u32]) -> Result<()> {
        let context = *self.hand.context();
        for table in [tag::DERIVED_STATE, tag::DERIVED_READING, tag::DERIVED_TIMER] {
            let mut range = context.table(table);
            loop {
                let page = self.hand.scan(&range, Order::Forward, TIMERS_PAGE)?;
                let Some((last, _)) = page.last() else { break };
                range = range.after(last);
                for (key, _) in &page {
                    let no = keys::derived_state(key)
                        .or_else(|| keys::derived_reading(key))
                        .or_else(|| keys::derived_timer(key).map(|(_, id, no)| (id, no)));
                    if no.is_some_and(|(_, no)| gone.contains(&no)) {
                        self.hand.delete(*key);
                    }
                }
            }
        }
        Ok(())
    }
}

/// When what comes in at `as_of` is brought forward: at the next instant after it.
fn next_instant(as_of: Timestamp) -> Timestamp {
    Timestamp((as_of.0.div_euclid(DERIVE_EVERY_MS) + 1).saturating_mul(DERIVE_EVERY_MS))
}

/// When a reading is made again that was made at `at` and holds until `until`.
fn again(until: Timestamp, at: Timestamp) -> Timestamp {
    let grid = READ_AGAIN_GRID_MS;
    let soonest = until.0.max(at.0.saturating_add(READ_AGAIN_MS_MIN));
    Timestamp(soonest.saturating_add(grid - 1).div_euclid(grid).saturating_mul(grid))
}

/// Writes what was built of the past, in the writer's turn.
pub(crate) fn put_brought(core: &Core, brought: Brought, at: Timestamp) -> Result<()> {
    let plan = core.plan(&core.rows.read().inner.config.clone());
    let mut applier = Applier::new(core, &plan);
    applier.put_brought(vec![brought], at, false)?;
    applier.finish();
    Ok(())
}

/// Brings everything forward to `at`, which is not before state's time.
pub(super) fn tick(core: &Arc<Core>, plan: &Plan, derivers: &Derivers, at: Timestamp) -> Result<()> {
    let mut applier = Applier::new(core, plan);
    let task = applier.take_task(at)?;
    // Who waits for what is taken goes on waiting.
    applier.hand.inner.deriving = true;
    applier.finish();
    let replaying = core.replaying.load(std::sync::atomic::Ordering::Acquire);
    let mut brought = Vec::new();
    for deriving in &plan.derivations {
        // A rebuild builds the past where it is published.
        if deriving.built || !replaying {
            brought.push(bring::bring(core, deriving, derivers.get(deriving.no), &task, at)?);
        }
    }
    breaker::watch(core, plan);
    let mut applier = Applier::new(core, plan);
    applier.put_brought(brought, at, true)?;
    applier.hand.inner.deriving = false;
    let last = applier.hand.inner.summary.last;
    applier.finish();
    core.derived.send_replace(last);
    Ok(())
}

/// An instant at which something happens to what plugins derive.
pub(super) struct Step {
    pub(super) at: Timestamp,
    /// They are brought forward then; otherwise an event that waited has its time.
    pub(super) ticks: bool,
}

/// The first such instant until `to`; time is moved on to it before it is dealt with.
pub(super) fn next_step(core: &Core, to: Timestamp) -> Result<Option<Step>> {
    let view = core.rows.read();
    let range = core.rows.context().table(tag::WAITING);
    let first = view.scan(&range, Order::Forward, 1)?;
    let waiting = first.first().and_then(|(key, _)| keys::waiting(key)).map(|(at, _)| at);
    let next = view.inner.underway.next();
    let as_of = view.inner.summary.as_of;
    let first = earlier(next, waiting).filter(|at| *at <= to);
    Ok(first.map(|at| at.max(as_of)).map(|at| Step { at, ticks: next.is_some_and(|next| next <= at) }))
}

/// Brings state's time forward to `to`, and with it everything that plugins derive until then.
pub(super) fn reach(core: &Arc<Core>, plan: &Plan, derivers: &Derivers, to: Timestamp) -> Result<()> {
    while let Some(step) = next_step(core, to)? {
        let mut applier = Applier::new(core, plan);
        applier.advance(step.at)?;
        applier.finish();
        if step.ticks {
            tick(core, plan, derivers, step.at)?;
        }
    }
    Ok(())
}

/// What derivations are there no more after a change.
pub(super) fn gone(before: &Config, after: &Config) -> Vec<u32> {
    before.derivations.keys().filter(|no| !after.derivations.contains_key(no)).copied().collect()
}

/// The slots in which another version serves after a change.
pub(super) fn switched(before: &Config, after: &Config) -> Vec<u32> {
    let active = |config: &Config, no: u32| config.slots.get(&no).and_then(|slot| slot.active);
    let differs = |no: &&u32| active(before, **no).is_some() && active(before, **no) != active(after, **no);
    before.slots.keys().filter(differs).copied().collect()
}

/// Names a derivation for people.
pub(crate) fn name_of(plugin: &CompactString, version: u32, digest: &str) -> CompactString {
    compact_str::format_compact!("{plugin}@{version}/{digest}")
}

/// Decodes what is kept of a fragment.
pub(super) fn kept(look: &dyn Look, id: FragmentId, no: u32) -> Result<Option<Kept>> {
    look.row(&look.context().derived_state(id, no))?.map(|bytes| decode(&bytes)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_in_is_brought_forward_at_the_next_instant_and_never_at_its_own() {
        let every = DERIVE_EVERY_MS;
        for (as_of, at) in [(0, every), (every - 1, every), (every, 2 * every), (-1, 0), (-every, 0)] {
            assert_eq!(next_instant(Timestamp(as_of)), Timestamp(at), "{as_of}");
        }
    }

    #[test]
    fn a_reading_is_made_again_when_it_ended_and_no_sooner_than_a_minute_after_it_was_made() {
        let grid = READ_AGAIN_GRID_MS;
        let soonest = READ_AGAIN_MS_MIN;
        for (until, again_at) in [
            (0, soonest),
            (soonest, soonest),
            (soonest + 1, soonest + grid),
            (soonest + grid, soonest + grid),
            (i64::MIN, soonest),
        ] {
            assert_eq!(again(Timestamp(until), Timestamp(0)), Timestamp(again_at), "{until}");
        }
        assert!(again(Timestamp(i64::MAX), Timestamp(0)).0 > i64::MAX - 2 * grid);
    }
}
