//! Moving state's time on: timers, events that waited for their time, and both in steps that leave others their turn.

use cdp_domain::ids::{FragmentId, Ordinal, Position};
use cdp_domain::segment::earlier;
use cdp_domain::time::Timestamp;
use cdp_store::keys::{self, KeyRange, tag};
use cdp_store::kv::Order;

use super::MICRO_BATCH;
use super::apply::Applier;
use super::derive;
use super::evaluate::Cause;
use super::plan::Touched;
use super::run::Writer;
use crate::error::Result;
use crate::feed::Item;
use crate::rows::{Generation, Look};

/// Timers read at a time.
const TIMERS_PAGE: usize = 256;
/// Timers fired under one lock: what a reader may have to wait for.
const TIMERS_STEP: usize = 256;

impl Applier<'_> {
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
            let key = context.timer(next, ordinal);
            self.hand.put(key, Vec::new());
            let inner = &mut self.hand.inner;
            inner.timers_from = inner.timers_from.map(|from| from.min(key));
            inner.summary.next_due = earlier(inner.summary.next_due, Some(next));
            self.soonest = earlier(self.soonest, Some(next));
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
        self.advance_some(to, usize::MAX).map(drop)
    }

    /// The same for at most about `most` timers; whether nothing is left to happen. Before that state's time stays, so
    /// that whoever goes on later does exactly what would have been done now.
    fn advance_some(&mut self, to: Timestamp, most: usize) -> Result<bool> {
        let context = *self.hand.context();
        let is_due = |inner: &Generation| inner.summary.next_due.is_some_and(|due| due <= to);
        // Asked for every event: nothing is due, most often.
        let places = match is_due(&self.hand.inner) {
            true => self.plan.affected(&Touched { time: true, ..Touched::default() }),
            false => Vec::new(),
        };
        let mut left = most;
        while is_due(&self.hand.inner) {
            if left == 0 {
                return Ok(false);
            }
            let due = self.timers(&context.timers_due(to), TIMERS_PAGE)?;
            let waiting = self.hand.scan(&context.table(tag::WAITING), Order::Forward, 1)?;
            let waiting = waiting.first().and_then(|(key, _)| keys::waiting(key)).map(|(at, _)| at);
            if let Some(at) =
                waiting.filter(|at| *at <= to && due.first().is_none_or(|(first, _)| at <= first))
            {
                self.arrive(at)?;
                left = left.saturating_sub(1);
                continue;
            }
            if due.is_empty() {
                let first = self.timers(&context.table(tag::TIMER), 1)?.first().map(|(at, _)| *at);
                self.hand.inner.summary.next_due = earlier(first, waiting);
                break;
            }
            self.soonest = None;
            for (at, ordinal) in due.into_iter().take(left) {
                // What fired may have set one that comes before the next of this page.
                if self.soonest.is_some_and(|soonest| soonest <= at)
                    || waiting.is_some_and(|waiting| waiting <= at)
                {
                    break;
                }
                self.fire(at, ordinal, &places)?;
                left -= 1;
            }
        }
        let as_of = &mut self.hand.inner.summary.as_of;
        *as_of = (*as_of).max(to);
        Ok(true)
    }

    /// The first timers of a range. What fired leaves holes until it is in the store; scanning begins behind them.
    fn timers(&self, range: &KeyRange, most: usize) -> Result<Vec<(Timestamp, Ordinal)>> {
        let from = self.hand.inner.timers_from.map_or(range.from, |from| from.max(range.from));
        if from >= range.to {
            return Ok(Vec::new());
        }
        let due = self.hand.scan(&KeyRange { from, to: range.to }, Order::Forward, most)?;
        Ok(due.iter().filter_map(|(key, _)| keys::timer(key)).collect())
    }

    /// Looks again at what time alone can turn. The head goes on naming the instant that passed, which counts as none: to
    /// write the whole fragment for that would cost more than all the rest. So a second timer of a profile may stand for a
    /// while, and a timer may find nothing to turn; neither does harm.
    fn fire(&mut self, at: Timestamp, ordinal: Ordinal, places: &[usize]) -> Result<()> {
        let key = self.hand.context().timer(at, ordinal);
        self.hand.delete(key);
        self.hand.inner.timers_from = Some(key);
        match self.hand.root(ordinal)? {
            Some(root) => self.evaluate_at(root, at, Some(Cause::Timer), places),
            None => Ok(()),
        }
    }

    /// The instant at which so many timers will have become due that they are not left to one micro-batch, if that is
    /// before `to`.
    fn crowded(&self, to: Timestamp) -> Result<Option<Timestamp>> {
        if self.hand.inner.summary.next_due.is_none_or(|due| due > to) {
            return Ok(None);
        }
        let due = self.timers(&self.hand.context().timers_due(to), TIMERS_STEP)?;
        Ok(due.last().filter(|_| due.len() == TIMERS_STEP).map(|(at, _)| *at))
    }
}

impl Writer {
    /// Fires timers by the clock, when every record received so far is applied.
    pub(super) fn fire_by_clock(&mut self) -> Result<()> {
        let now = self.core.clock.now();
        let next = {
            let view = self.core.rows.read();
            earlier(view.inner.summary.next_due, view.inner.underway.next())
        };
        if next.is_none_or(|due| due > now) {
            return Ok(());
        }
        let mut gate = self.core.gate.lock();
        if self.core.journal.end() > self.next {
            // Records before it are on their way; they fire it.
            let durable = self.core.journal.durable();
            if durable > self.next && self.only_markers_until(durable)? {
                self.next = durable;
            } else if self.core.journal.end() > self.next {
                return Ok(());
            }
        }
        // What is accepted from here on was received no earlier, so the gate need not stay shut for it.
        gate.received_at = gate.received_at.max(now);
        drop(gate);
        self.reach(now, self.next)
    }

    /// Whether no record stands between what is applied and `until`: a journal may end with a mark of its own.
    fn only_markers_until(&self, until: Position) -> Result<bool> {
        let mut reader = self.core.journal.reader(self.next);
        Ok(reader.next_header()?.is_none() && reader.position() >= until)
    }

    /// Moves state's time on to `to`, in steps: between two of them readers see what turned, and a generation that has
    /// become large goes to the store. Everything before `before` is applied, and nothing behind it.
    pub(super) fn reach(&mut self, to: Timestamp, before: Position) -> Result<()> {
        let (core, plan) = (self.core.clone(), self.plan.clone());
        while !plan.derivations.is_empty()
            && let Some(step) = derive::next_step(&core, to)?
        {
            self.step_to(step.at, before)?;
            if step.ticks {
                derive::tick(&core, &plan, &self.derivers, step.at)?;
            }
        }
        self.step_to(to, before)
    }

    fn step_to(&mut self, to: Timestamp, before: Position) -> Result<()> {
        let (core, plan) = (self.core.clone(), self.plan.clone());
        loop {
            let mut applier = Applier::new(&core, &plan);
            let done = applier.advance_some(to, TIMERS_STEP)?;
            applier.finish();
            if done {
                return Ok(());
            }
            if before > self.next {
                self.next = before;
                core.rows.write().inner.summary.applied = before;
            }
            self.freeze_if_due(false)?;
        }
    }

    /// Fires what is due before the first of some events, and says how many of them make the next micro-batch: as many as
    /// may be, unless many timers become due among them.
    pub(super) fn reach_next(&mut self, events: &[Item]) -> Result<usize> {
        let most = events.len().min(MICRO_BATCH);
        let (Some(first), Some(last)) = (events[0].received_at(), events[most - 1].received_at()) else {
            return Ok(most);
        };
        let due = {
            let view = self.core.rows.read();
            earlier(view.inner.summary.next_due, view.inner.underway.next())
        };
        if due.is_none_or(|due| due > last) {
            return Ok(most);
        }
        self.reach(first, events[0].position())?;
        let core = self.core.clone();
        let crowded = Applier::new(&core, &self.plan).crowded(last)?;
        Ok(match crowded {
            Some(at) => events[..most].partition_point(|event| event.received_at() < Some(at)).max(1),
            None => most,
        })
    }
}
