//! Calls that take events into states, or out of them: many groups in one run, cut where they fail.

use std::ops::Range;

use super::derivation::list;
use super::search::{Ledger, is_worth_cutting};
use super::{Answers, Derivation, Failed, States, WithEvents};
use crate::call::Cost;
use crate::error::Fault;
use crate::exports::Export;
use crate::transformer::Row;

/// Events to be taken into one state.
#[derive(Debug, Clone, Copy)]
pub struct Group<'a> {
    /// The state they are folded onto; empty is that of no events.
    pub state: &'a [u8],
    /// In canonical order.
    pub rows: &'a [Row<'a>],
}

/// What a group's events came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded {
    /// The state with the events taken in.
    pub state: Vec<u8>,
    /// Rows that could not be folded and were left out.
    pub skipped: Vec<Skipped>,
}

/// A row that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its position among the group's rows.
    pub row: usize,
    /// Why.
    pub why: Failed,
}

/// Some rows of a group, in a run.
#[derive(Clone)]
struct Slice {
    group: usize,
    /// Positions among the group's wanted rows.
    rows: Range<usize>,
}

/// Runs a call over groups. With `skips`, a single row that fails is left out; without, its group has no answer.
pub(super) fn run(
    derivation: &Derivation,
    export: Export,
    groups: &[Group<'_>],
    skips: bool,
) -> Answers<Folded> {
    let wanted: Vec<Vec<usize>> = groups
        .iter()
        .map(|group| {
            let wants = |&at: &usize| derivation.deriver.wants(&group.rows[at].event.kind);
            (0..group.rows.len()).filter(wants).collect()
        })
        .collect();
    let rows: usize = wanted.iter().map(Vec::len).sum();
    let mut work = Work {
        derivation,
        export,
        groups,
        open: companies(&wanted, derivation.company(), derivation.deriver.guest.likely.rows()),
        wanted,
        items: groups
            .iter()
            .map(|group| Ok(Folded { state: group.state.to_vec(), skipped: Vec::new() }))
            .collect(),
    };
    let mut ledger = Ledger::new(derivation);
    while let Some(company) = work.open.pop() {
        work.go(company, &mut ledger, skips);
    }
    ledger.close(rows, work.items)
}

/// Cuts the groups' rows into runs. A group with more rows than a run takes goes on in a later run; runs are popped from
/// the end, so that a group's earlier rows come first.
fn companies(wanted: &[Vec<usize>], groups_max: usize, rows_max: usize) -> Vec<Vec<Slice>> {
    let mut out: Vec<Vec<Slice>> = Vec::new();
    let mut open: Vec<Slice> = Vec::new();
    let mut room = rows_max;
    for (group, rows) in wanted.iter().enumerate() {
        let mut start = 0;
        while start < rows.len() {
            if room == 0 || open.len() == groups_max {
                out.push(std::mem::take(&mut open));
                room = rows_max;
            }
            let end = rows.len().min(start + room);
            open.push(Slice { group, rows: start..end });
            room -= end - start;
            start = end;
        }
    }
    if !open.is_empty() {
        out.push(open);
    }
    out.reverse();
    out
}

struct Work<'a> {
    derivation: &'a Derivation,
    export: Export,
    groups: &'a [Group<'a>],
    wanted: Vec<Vec<usize>>,
    open: Vec<Vec<Slice>>,
    items: Vec<Result<Folded, Failed>>,
}

impl Work<'_> {
    fn go(&mut self, mut company: Vec<Slice>, ledger: &mut Ledger<'_>, skips: bool) {
        // A group that has failed for good takes no more rows.
        company.retain(|slice| self.items[slice.group].is_ok());
        if company.is_empty() {
            return;
        }
        if ledger.is_spent() {
            return self.settle(&company, &Failed::Fault(Fault::Abandoned));
        }
        let (result, cost) = self.call(&company);
        match result {
            Ok(states) => {
                ledger.went_well(cost, company.iter().map(|slice| slice.rows.len()).sum());
                for (slice, state) in company.iter().zip(states) {
                    if let Ok(folded) = &mut self.items[slice.group] {
                        folded.state = state;
                    }
                }
            }
            Err(failed) if !is_worth_cutting(&failed) => {
                ledger.failed(cost);
                self.settle(&company, &failed);
            }
            Err(failed) => match halves(&company) {
                Some((left, right)) => {
                    ledger.cut(&cost, &failed);
                    self.open.push(right);
                    self.open.push(left);
                }
                None => {
                    ledger.failed(cost);
                    self.leave_out(&company, failed, skips);
                }
            },
        }
    }

    fn call(&self, company: &[Slice]) -> (Result<Vec<Vec<u8>>, Failed>, Cost) {
        let Derivation { deriver, config, grants, .. } = self.derivation;
        let mut rows: Vec<&Row<'_>> = Vec::new();
        let mut ends: Vec<u32> = Vec::with_capacity(company.len());
        for slice in company {
            let all = &self.groups[slice.group].rows;
            rows.extend(self.wanted[slice.group][slice.rows.clone()].iter().map(|&at| &all[at]));
            ends.push(u32::try_from(rows.len()).expect("a run has at most ROWS_MAX rows"));
        }
        let states = list(company.iter().map(|slice| match &self.items[slice.group] {
            Ok(folded) => folded.state.as_slice(),
            Err(_) => &[],
        }));
        let batch = deriver.plan.batch(rows.iter().copied(), grants, usize::MAX);
        let params: WithEvents<'_> = (config.as_str(), &states, ends.as_slice(), &batch);
        let judge = |answer: States| self.derivation.states(answer, company.len());
        self.derivation.ask(self.export, params, judge)
    }

    fn settle(&mut self, company: &[Slice], failed: &Failed) {
        for slice in company {
            self.items[slice.group] = Err(failed.clone());
        }
    }

    /// What stands alone at fault: one row of one group.
    fn leave_out(&mut self, company: &[Slice], failed: Failed, skips: bool) {
        for slice in company {
            let row = self.wanted[slice.group][slice.rows.start];
            match &mut self.items[slice.group] {
                Ok(folded) if skips => folded.skipped.push(Skipped { row, why: failed.clone() }),
                item => *item = Err(failed.clone()),
            }
        }
    }
}

/// Cuts between groups, or a single group between its rows; None when one row is left.
fn halves(company: &[Slice]) -> Option<(Vec<Slice>, Vec<Slice>)> {
    match company {
        [Slice { group, rows }] => {
            let middle = rows.start + rows.len() / 2;
            let half = |rows: Range<usize>| vec![Slice { group: *group, rows }];
            (rows.len() > 1).then(|| (half(rows.start..middle), half(middle..rows.end)))
        }
        _ => {
            let (left, right) = company.split_at(company.len() / 2);
            Some((left.to_vec(), right.to_vec()))
        }
    }
}
