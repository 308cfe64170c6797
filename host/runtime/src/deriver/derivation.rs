//! A deriver bound to a configuration, and the calls that take no events.

use std::ops::Range;
use std::sync::Arc;

use cdp_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::fold::{self, Folded, Group};
use super::read::{self, Reading};
use super::search::each;
use super::{Deriver, Shape, States};
use crate::bindings::{self, BytesList, Readings};
use crate::error::Fault;
use crate::grants::Grants;
use crate::guest::Cost;
use crate::limits::Limits;
use crate::logs::LogLine;
use crate::outcome::Failure;
use crate::state::State;
use crate::transformer::{Usage, inert};

/// A deriver with its configuration, grants, limits and shape; cheap to share, and the same answers from each copy.
#[derive(Debug, Clone)]
pub struct Derivation {
    pub(super) deriver: Arc<Deriver>,
    pub(super) config: String,
    pub(super) grants: Grants,
    pub(super) limits: Limits,
    shape: Shape,
}

/// Why a deriver could not be bound to a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// `shape` did not come to an end.
    #[error("asking the plugin for its shape")]
    Fault(#[source] Fault),
    /// `shape` answers with something the contract does not allow; each string is one problem.
    #[error("the plugin's shape is not acceptable: {}", .0.join("; "))]
    Shape(Vec<String>),
}

/// Why something has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Failed {
    /// The run came to no end, or its answer broke the contract.
    #[error(transparent)]
    Fault(Fault),
    /// The plugin itself says so.
    #[error(transparent)]
    Said(Failure),
}

impl Failed {
    /// A stable word for metrics and dead letters.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Fault(fault) => fault.code(),
            Self::Said(Failure::Rejected(_)) => "rejected",
            Self::Said(Failure::Transient(_)) => "transient",
            Self::Said(Failure::Misconfigured(_)) => "misconfigured",
        }
    }

    /// Whether the same call will fail again; otherwise it deserves another try.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Fault(fault) => fault.is_final(),
            Self::Said(failure) => !matches!(failure, Failure::Transient(_)),
        }
    }
}

/// What came of a call over many things.
#[derive(Debug)]
pub struct Answers<T> {
    /// One for each thing of the call, same order.
    pub items: Vec<Result<T, Failed>>,
    /// What all its runs used.
    pub usage: Usage,
    /// What the plugin wrote down in the runs that count.
    pub log: Vec<LogLine>,
    /// Lines that were not kept.
    pub log_lines_dropped: u64,
}

/// States of one run, at most.
pub(super) const STATES_MAX: usize = 1024;

impl Derivation {
    pub(super) fn new(
        deriver: Arc<Deriver>,
        config: String,
        grants: Grants,
        limits: Limits,
        shape: Shape,
    ) -> Self {
        Self { deriver, config, grants, limits, shape }
    }

    /// The deriver.
    #[must_use]
    pub fn deriver(&self) -> &Arc<Deriver> {
        &self.deriver
    }

    /// The configuration, as text.
    #[must_use]
    pub fn config(&self) -> &str {
        &self.config
    }

    /// What it says about its states and outputs under this configuration.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Folds each group's rows onto its state; the empty state is that of no events.
    ///
    /// Rows of types that the plugin does not want are passed over. The rows of a group are folded in the order in which
    /// they stand, which is to be the canonical one. A row at fault is left out and named in [`Folded::skipped`].
    #[must_use]
    pub fn fold(&self, groups: &[Group<'_>]) -> Answers<Folded> {
        fold::run(self, &self.deriver.calls.fold, groups, true)
    }

    /// Takes each group's rows out of its state again; None when the plugin cannot. A group of which one row fails has
    /// no answer: fold it anew.
    #[must_use]
    pub fn retract(&self, groups: &[Group<'_>]) -> Option<Answers<Folded>> {
        let export = self.deriver.calls.retract.as_ref()?;
        Some(fold::run(self, export, groups, false))
    }

    /// Joins the states of disjoint histories, pair by pair.
    #[must_use]
    pub fn combine(&self, pairs: &[(&[u8], &[u8])]) -> Answers<Vec<u8>> {
        each(&self.limits, pairs.len(), self.company(), |range| {
            let pairs = &pairs[range];
            let left = list(pairs.iter().map(|pair| pair.0));
            let right = list(pairs.iter().map(|pair| pair.1));
            let params = (self.config.as_str(), &left, &right);
            let (answer, cost) = self.deriver.guest.run::<_, States>(
                &self.deriver.calls.combine,
                params,
                self.limits.fuel(1),
                &self.limits,
                self.state(None),
            );
            (self.states(answer, pairs.len()), cost)
        })
    }

    /// Reads each state at `as_of`.
    #[must_use]
    pub fn read(&self, as_of: Timestamp, states: &[&[u8]]) -> Answers<Reading> {
        each(&self.limits, states.len(), self.company(), |range| {
            let asked = list(states[range.clone()].iter().copied());
            let (answer, cost) = self.deriver.guest.run::<_, Result<Readings, bindings::Failure>>(
                &self.deriver.calls.read,
                (self.config.as_str(), as_of.0, &asked),
                self.limits.fuel(1),
                &self.limits,
                self.state(Some(as_of)),
            );
            let readings = flat(answer).and_then(|raw| {
                read::checked(&raw, &self.shape.outputs, range.len(), as_of)
                    .map_err(|why| Failed::Fault(Fault::Contract(why)))
            });
            (readings, cost)
        })
    }

    /// Brings states of an older state version to the current one; None when the plugin cannot.
    #[must_use]
    pub fn migrate(&self, old_version: u32, states: &[&[u8]]) -> Option<Answers<Vec<u8>>> {
        let export = self.deriver.calls.migrate.as_ref()?;
        Some(each(&self.limits, states.len(), self.company(), |range: Range<usize>| {
            let old = list(states[range.clone()].iter().copied());
            let params = (self.config.as_str(), old_version, &old);
            let (answer, cost): (_, Cost) = self.deriver.guest.run::<_, States>(
                export,
                params,
                self.limits.fuel(1),
                &self.limits,
                self.state(None),
            );
            (self.states(answer, range.len()), cost)
        }))
    }

    /// How many states go into one run: so many that all of them at their largest fill a quarter of what may come out.
    pub(super) fn company(&self) -> usize {
        (self.limits.output_bytes / 4 / self.shape.max_state_bytes).clamp(1, STATES_MAX)
    }

    pub(super) fn state(&self, wall: Option<Timestamp>) -> State {
        let tables = self.grants.tables(&self.deriver.descriptor.tables);
        State::new(&self.limits, inert(self.deriver.digest(), wall), tables)
    }

    /// States that a guest answers with, checked.
    pub(super) fn states(&self, answer: Result<States, Fault>, count: usize) -> Result<Vec<Vec<u8>>, Failed> {
        let list = flat(answer)?;
        let broken = |why| Failed::Fault(Fault::Contract(why));
        items(&list, count, self.shape.max_state_bytes).map_err(broken)
    }
}

fn flat<T>(answer: Result<Result<T, bindings::Failure>, Fault>) -> Result<T, Failed> {
    match answer {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(failure)) => Err(Failed::Said(failure.into())),
        Err(fault) => Err(Failed::Fault(fault)),
    }
}

/// Many byte strings as one.
pub(super) fn list<'a>(items: impl Iterator<Item = &'a [u8]>) -> BytesList {
    let mut out = BytesList { ends: Vec::new(), data: Vec::new() };
    for item in items {
        out.data.extend_from_slice(item);
        out.ends.push(u32::try_from(out.data.len()).expect("a run carries a few megabytes"));
    }
    out
}

/// One list of bytes as many, if it is well made.
fn items(list: &BytesList, count: usize, bytes_max: usize) -> Result<Vec<Vec<u8>>, String> {
    if list.ends.len() != count {
        return Err(format!("states has {} items for {count}", list.ends.len()));
    }
    let mut start = 0;
    let mut out = Vec::with_capacity(count);
    for (at, &end) in list.ends.iter().enumerate() {
        let end = end as usize;
        let Some(item) = list.data.get(start..end) else {
            return Err(format!("states: end {at} is {end}, after {start}, of {} bytes", list.data.len()));
        };
        if item.len() > bytes_max {
            return Err(format!(
                "states: item {at} has {} bytes, the shape says at most {bytes_max}",
                item.len()
            ));
        }
        out.push(item.to_vec());
        start = end;
    }
    if start != list.data.len() {
        return Err(format!("states: the last end is {start} of {} bytes", list.data.len()));
    }
    Ok(out)
}
