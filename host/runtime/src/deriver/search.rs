//! The budget of a call, and the search for what is at fault among things that do not depend on each other.

use std::ops::Range;

use super::{Answers, Failed};
use crate::error::Fault;
use crate::guest::Cost;
use crate::limits::Limits;
use crate::logs::Log;
use crate::outcome::Failure;
use crate::transformer::Usage;

/// A call may use this many times the fuel that it was expected to need, before the rest is given up.
const SEARCH_FACTOR: u64 = 6;
/// What a run counts for, at least, in that sum.
const RUN_FUEL_MIN: u64 = 100_000;
/// A call isolates at most this many things at fault, before the rest is given up.
const POISON_MAX: usize = 32;

/// What a call has used so far, and when it has used enough.
pub(super) struct Ledger {
    pub(super) usage: Usage,
    log: Log,
    spent: u64,
    fuel_max: u64,
    isolated: usize,
}

impl Ledger {
    /// For a call over so many things.
    pub(super) fn new(limits: &Limits, things: usize) -> Self {
        let fuel_max = limits.fuel(things).saturating_mul(SEARCH_FACTOR);
        Self { usage: Usage::default(), log: Log::new(limits), spent: 0, fuel_max, isolated: 0 }
    }

    /// Whether the rest is to be given up.
    pub(super) fn is_spent(&self) -> bool {
        self.spent >= self.fuel_max || self.isolated >= POISON_MAX
    }

    /// Notes a run; its log counts when the run does.
    pub(super) fn note(&mut self, cost: Cost, counts: bool) {
        self.usage += &cost;
        self.spent = self.spent.saturating_add(cost.fuel.max(RUN_FUEL_MIN));
        if counts {
            cost.log.into(&mut self.log);
        }
    }

    /// Notes something that stands alone at fault.
    pub(super) fn isolate(&mut self) {
        self.isolated += 1;
    }

    pub(super) fn close<T>(self, items: Vec<Result<T, Failed>>) -> Answers<T> {
        Answers { items, usage: self.usage, log: self.log.lines, log_lines_dropped: self.log.dropped }
    }
}

/// Whether cutting could help: a configuration, a table that is not there and a host without room are everybody's.
pub(super) fn is_worth_cutting(failed: &Failed) -> bool {
    !matches!(
        failed,
        Failed::Fault(Fault::Host(_)) | Failed::Said(Failure::Misconfigured(_) | Failure::Transient(_))
    )
}

/// Runs things `0..count` in companies of at most `company`, cutting a run that fails in halves until what is at fault
/// stands alone.
pub(super) fn each<T>(
    limits: &Limits,
    count: usize,
    company: usize,
    mut run: impl FnMut(Range<usize>) -> (Result<Vec<T>, Failed>, Cost),
) -> Answers<T> {
    let mut ledger = Ledger::new(limits, count);
    let mut items: Vec<Result<T, Failed>> = Vec::with_capacity(count);
    let mut open: Vec<Range<usize>> =
        (0..count).step_by(company).map(|start| start..(start + company).min(count)).rev().collect();
    // Answers come in order: what is cut is put back left before right.
    while let Some(range) = open.pop() {
        if ledger.is_spent() {
            items.extend(range.map(|_| Err(Failed::Fault(Fault::Abandoned))));
            continue;
        }
        let (result, cost) = run(range.clone());
        let alone = range.len() == 1;
        match result {
            Ok(answers) => {
                ledger.note(cost, true);
                items.extend(answers.into_iter().map(Ok));
            }
            Err(failed) if alone || !is_worth_cutting(&failed) => {
                ledger.note(cost, true);
                ledger.isolate();
                items.extend(range.map(|_| Err(failed.clone())));
            }
            Err(_) => {
                ledger.note(cost, false);
                let middle = range.start + range.len() / 2;
                open.push(middle..range.end);
                open.push(range.start..middle);
            }
        }
    }
    ledger.close(items)
}
