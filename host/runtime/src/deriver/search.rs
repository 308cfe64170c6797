//! The budget of a call, and the search for what is at fault among things that do not depend on each other.

use std::ops::Range;

use super::{Answers, Derivation, Failed};
use crate::call::Cost;
use crate::error::Fault;
use crate::likely::Found;
use crate::logs::Log;
use crate::outcome::Failure;
use crate::transformer::{POISON_ROWS_MAX, RUN_FUEL_MIN, SEARCH_RUNS, Usage};

/// What a call has used so far, and when it has used enough.
pub(super) struct Ledger<'a> {
    derivation: &'a Derivation,
    pub(super) usage: Usage,
    log: Log,
    spent: u64,
    found: Found,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(derivation: &'a Derivation) -> Self {
        let log = Log::new(&derivation.limits);
        Self { derivation, usage: Usage::default(), log, spent: 0, found: Found::default() }
    }

    /// Whether the rest is to be given up.
    pub(super) fn is_spent(&mut self) -> bool {
        let spent = self.spent >= self.derivation.limits.fuel.saturating_mul(SEARCH_RUNS);
        self.found.gave_up |= spent;
        spent || self.found.isolated >= POISON_ROWS_MAX
    }

    /// Notes a run over so many things that gave answers.
    pub(super) fn went_well(&mut self, cost: Cost, things: usize) {
        self.usage += &cost;
        self.found.fitting = self.found.fitting.max(things);
        cost.log.into(&mut self.log);
    }

    /// Notes a run over several things that failed and is to be cut.
    pub(super) fn cut(&mut self, cost: &Cost, failed: &Failed) {
        self.usage += cost;
        self.spent = self.spent.saturating_add(cost.fuel.max(RUN_FUEL_MIN));
        self.found.over |= matches!(failed, Failed::Fault(fault) if fault.is_of_a_bound());
    }

    /// Notes a run that failed for good: what it was over stands alone, or nothing else would help.
    pub(super) fn failed(&mut self, cost: Cost) {
        self.usage += &cost;
        self.spent = self.spent.saturating_add(cost.fuel.max(RUN_FUEL_MIN));
        self.found.isolated += 1;
        cost.log.into(&mut self.log);
    }

    pub(super) fn close<T>(self, things: usize, items: Vec<Result<T, Failed>>) -> Answers<T> {
        self.derivation.deriver.guest.likely.learn(things, &self.found);
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

/// Runs things `0..count` in companies, cutting a run that fails in halves until what is at fault stands alone.
pub(super) fn each<T>(
    derivation: &Derivation,
    count: usize,
    mut run: impl FnMut(Range<usize>) -> (Result<Vec<T>, Failed>, Cost),
) -> Answers<T> {
    let mut ledger = Ledger::new(derivation);
    let company = derivation.company();
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
                ledger.went_well(cost, range.len());
                items.extend(answers.into_iter().map(Ok));
            }
            Err(failed) if alone || !is_worth_cutting(&failed) => {
                ledger.failed(cost);
                items.extend(range.map(|_| Err(failed.clone())));
            }
            Err(failed) => {
                ledger.cut(&cost, &failed);
                let middle = range.start + range.len() / 2;
                open.push(middle..range.end);
                open.push(range.start..middle);
            }
        }
    }
    ledger.close(count, items)
}
