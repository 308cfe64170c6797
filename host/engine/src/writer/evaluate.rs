//! Evaluating segments: who enters, who leaves, and when to look again.

use cdp_domain::condition::Answer;
use cdp_domain::fold::At;
use cdp_domain::ids::{FragmentId, Ordinal};
use cdp_domain::segment::earlier;
use cdp_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::apply::Applier;
use super::plan::Touched;
use super::{Person, Plan};
use crate::error::{Refused, Result};
use crate::rows::{Logged, Look, Turn};

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
    Retention,
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
            Self::Retention => "retention",
        }
    }

    /// Nothing happened but that time went on.
    pub(crate) fn is_time(self) -> bool {
        matches!(self, Self::Timer)
    }
}

impl Applier<'_> {
    /// Evaluates what can turn of the profile of a fragment at `as_of`, records what turned, and sets its timer.
    pub(crate) fn evaluate(
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
    pub(super) fn evaluate_at(
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
        // A timer that fired stays in the head: see `time`.
        let (ordinal, next_before) = (head.ordinal, head.next_turn.filter(|before| *before > as_of));
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
}
