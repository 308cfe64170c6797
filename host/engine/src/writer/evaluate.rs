//! Evaluating segments: who enters, who leaves, and when to look again.

use cdp_domain::condition::Answer;
use cdp_domain::fold::At;
use cdp_domain::ids::{FragmentId, Ordinal};
use cdp_domain::segment::earlier;
use cdp_domain::time::Timestamp;
use cdp_store::keys::{self, tag};
use cdp_store::kv::Order;
use serde::{Deserialize, Serialize};

use super::apply::Applier;
use super::plan::Touched;
use super::{Person, Plan};
use crate::error::{Refused, Result};
use crate::rows::{Logged, Look, Turn};

/// Timers read at a time.
const TIMERS_PAGE: usize = 256;

/// Why a membership changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Cause {
    Event,
    Timer,
    Merge,
    Split,
    Ranking,
    Definition,
    Erasure,
    Restriction,
}

impl Cause {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Timer => "time",
            Self::Merge => "merge",
            Self::Split => "split",
            Self::Ranking => "ranking",
            Self::Definition => "definition",
            Self::Erasure => "erasure",
            Self::Restriction => "restriction",
        }
    }

    /// Nothing happened but that time went on.
    pub(crate) fn is_time(self) -> bool {
        matches!(self, Self::Timer)
    }
}

impl Applier<'_> {
    /// Evaluates what can turn of the profile of a fragment at `as_of`, records what turned, and sets its timer.
    pub(super) fn evaluate(
        &mut self,
        id: FragmentId,
        as_of: Timestamp,
        cause: Cause,
        touched: &Touched,
    ) -> Result<()> {
        if touched.everything {
            self.derive_moved(id);
        }
        let places = self.plan.affected(touched);
        self.evaluate_at(id, as_of, Some(cause), &places)
    }

    /// Evaluates everything of the profile of a fragment where state stands: what is asked of it changed, and not what is
    /// known.
    pub(crate) fn judge_anew(&mut self, id: FragmentId, cause: Cause) -> Result<()> {
        let places: Vec<usize> = (0..self.plan.segments.len()).collect();
        let as_of = self.hand.inner.summary.as_of;
        self.evaluate_at(id, as_of, Some(cause), &places)
    }

    /// With no `cause` nothing is reported.
    fn evaluate_at(
        &mut self,
        id: FragmentId,
        as_of: Timestamp,
        cause: Option<Cause>,
        places: &[usize],
    ) -> Result<()> {
        if places.is_empty() {
            return Ok(());
        }
        let plan: &Plan = self.plan;
        let fragments = self.hand.profile(id)?;
        let (root, first) =
            fragments.first().ok_or_else(|| Refused::internal("a profile has no fragment"))?;
        let root = *root;
        let head = first.head.as_ref().ok_or_else(|| Refused::internal("a profile's root has no head"))?;
        let (ordinal, next_before) = (head.ordinal, head.next_turn);
        let mut next = None;
        let mut turned: Vec<(u32, bool, bool)> = Vec::new();
        let person = Person {
            fragments: &fragments,
            plan,
            digests: &self.core.digests,
            look: &self.hand,
            overlay: None,
        };
        let at = At { as_of, zone: &plan.zone };
        let restricted = person.is_restricted();
        for segment in places.iter().map(|at| &plan.segments[*at]) {
            // Whoever is restricted is in no segment, whatever its rule says, until that is lifted.
            let answer = match restricted {
                true => Answer { holds: false, valid_until: None },
                false => segment.formula.evaluate(&person, at),
            };
            next = earlier(next, answer.valid_until);
            let member = self.hand.members(segment.no).is_some_and(|members| members.contains(ordinal.0));
            if answer.holds != member {
                turned.push((segment.no, segment.serves, answer.holds));
            }
        }
        drop(fragments);
        for (no, serves, entered) in turned {
            self.hand.set_member(no, ordinal, entered);
            if let (true, Some(cause)) = (serves, cause) {
                self.report(no, Turn { profile: root, entered, at: as_of, cause });
            }
        }
        // A timer that stands earlier stays: it looks again then, at everything that can turn, and finds the instant that
        // comes next. Events push that instant on and on, and a timer that went along would write two rows an event.
        if next.is_some_and(|next| next_before.is_none_or(|before| next < before)) {
            self.set_timer(root, ordinal, next_before, next)?;
        }
        Ok(())
    }

    /// Evaluates the profiles behind `count` ordinals from `from` on; with `only` no other segment, with no `cause`
    /// without reporting.
    pub(crate) fn evaluate_many(
        &mut self,
        from: Ordinal,
        count: u32,
        only: Option<u32>,
        touched: &Touched,
        cause: Option<Cause>,
    ) -> Result<()> {
        let as_of = self.hand.inner.summary.as_of;
        let end = from.0.saturating_add(count).min(self.hand.inner.summary.next_ordinal);
        let plan: &Plan = self.plan;
        let mut places = plan.affected(touched);
        places.retain(|at| only.is_none_or(|only| plan.segments[*at].no == only));
        for ordinal in from.0..end {
            if let Some(root) = self.hand.root(Ordinal(ordinal))? {
                self.evaluate_at(root, as_of, cause, &places)?;
            }
        }
        Ok(())
    }

    /// Reports who is in the new version of a segment and was not in the one before, and the other way round.
    pub(super) fn announce(&mut self, name: &str, no: u32) -> Result<()> {
        let config = self.hand.inner.config.clone();
        let Some(before) = config.segments.get(name).and_then(|segment| segment.active.as_ref()) else {
            return Ok(());
        };
        let members = |no: u32| self.hand.members(no).cloned().unwrap_or_default();
        let (old, new) = (members(before.no), members(no));
        let at = self.hand.inner.summary.as_of;
        for (ordinals, entered) in [(&old - &new, false), (&new - &old, true)] {
            for ordinal in ordinals {
                if let Some(profile) = self.hand.root(Ordinal(ordinal))? {
                    self.report(no, Turn { profile, entered, at, cause: Cause::Definition });
                }
            }
        }
        Ok(())
    }

    pub(crate) fn report(&mut self, segment: u32, turn: Turn) {
        let summary = &mut self.hand.inner.summary;
        let (position, n) = (summary.last, summary.changes_at_last);
        summary.changes_at_last += 1;
        self.hand.log_turn(segment, Logged { position, n, turn });
    }

    pub(super) fn set_timer(
        &mut self,
        root: FragmentId,
        ordinal: Ordinal,
        before: Option<Timestamp>,
        next: Option<Timestamp>,
    ) -> Result<()> {
        let context = *self.hand.context();
        if let Some(before) = before {
            self.hand.delete(context.timer(before, ordinal));
        }
        if let Some(next) = next {
            self.hand.put(context.timer(next, ordinal), Vec::new());
            let due = &mut self.hand.inner.summary.next_due;
            *due = earlier(*due, Some(next));
        }
        let root = self.hand.fragment_mut(root)?;
        if let Some(head) = root.and_then(|root| root.head.as_mut()) {
            head.next_turn = next;
        }
        Ok(())
    }

    /// Moves state's time on to `to`: what is due until then happens in the order of time, events that were waiting
    /// for their time before the timers of the same instant.
    pub(crate) fn advance(&mut self, to: Timestamp) -> Result<()> {
        while self.hand.inner.summary.next_due.is_some_and(|due| due <= to) {
            let context = *self.hand.context();
            let due = self.hand.scan(&context.timers_due(to), Order::Forward, TIMERS_PAGE)?;
            let due: Vec<_> = due.iter().filter_map(|(key, _)| keys::timer(key)).collect();
            let waiting = self.hand.scan(&context.table(tag::WAITING), Order::Forward, 1)?;
            let waiting = waiting.first().and_then(|(key, _)| keys::waiting(key)).map(|(at, _)| at);
            if let Some(at) =
                waiting.filter(|at| *at <= to && due.first().is_none_or(|(first, _)| at <= first))
            {
                self.arrive(at)?;
                continue;
            }
            let Some((instant, _)) = due.first().copied() else {
                let all = self.hand.scan(&context.table(tag::TIMER), Order::Forward, 1)?;
                let timer = all.first().and_then(|(key, _)| keys::timer(key)).map(|timer| timer.0);
                self.hand.inner.summary.next_due = earlier(timer, waiting);
                break;
            };
            // What fires may set timers before the next instant of this page: take one instant at a time.
            for (at, ordinal) in due.into_iter().take_while(|(at, _)| *at == instant) {
                self.fire(at, ordinal)?;
            }
        }
        let as_of = &mut self.hand.inner.summary.as_of;
        *as_of = (*as_of).max(to);
        Ok(())
    }

    fn fire(&mut self, at: Timestamp, ordinal: Ordinal) -> Result<()> {
        let key = self.hand.context().timer(at, ordinal);
        self.hand.delete(key);
        let Some(root) = self.hand.root(ordinal)? else { return Ok(()) };
        let Some(fragment) = self.hand.fragment_mut(root)? else { return Ok(()) };
        match fragment.head.as_mut() {
            Some(head) if head.next_turn == Some(at) => head.next_turn = None,
            _ => return Ok(()),
        }
        let touched = Touched { time: true, ..Touched::default() };
        self.evaluate(root, at, Cause::Timer, &touched)
    }
}
