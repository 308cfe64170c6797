//! A deriver bound to a configuration, and the calls that take no events.

use std::sync::Arc;

use cdp_domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use wasmtime::component::{ComponentNamedList, Lift, Lower};

use super::fold::{self, Folded, Group};
use super::read::{self, Reading};
use super::search::each;
use super::{Deriver, Shape, States};
use crate::bindings::{self, BytesList, Readings};
use crate::call::Cost;
use crate::error::Fault;
use crate::exports::Export;
use crate::grants::Grants;
use crate::guest::{KeepKey, keep_key};
use crate::limits::{Limits, ROWS_MAX};
use crate::logs::LogLine;
use crate::outcome::Failure;
use crate::state::Setting;
use crate::transformer::Usage;

/// A deriver with its configuration, grants, limits and shape; cheap to share, and the same answers from each copy.
#[derive(Debug, Clone)]
pub struct Derivation {
    pub(super) deriver: Arc<Deriver>,
    pub(super) config: String,
    pub(super) grants: Grants,
    pub(super) limits: Limits,
    shape: Shape,
    /// What may share a kept instance with this one.
    key: KeepKey,
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

impl<T> Answers<T> {
    /// The answers of a call that cannot be made: none.
    #[must_use]
    pub fn none(count: usize) -> Self {
        let fault = || Err(Failed::Fault(Fault::Contract("the plugin has no such function".to_owned())));
        let items = (0..count).map(|_| fault()).collect();
        Self { items, usage: Usage::default(), log: Vec::new(), log_lines_dropped: 0 }
    }
}

impl Derivation {
    pub(super) fn new(
        deriver: Arc<Deriver>,
        config: String,
        grants: Grants,
        limits: Limits,
        shape: Shape,
    ) -> Self {
        let key = keep_key(&config, &grants);
        Self { deriver, config, grants, limits, shape, key }
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
        fold::run(self, Export::Fold, groups, true)
    }

    /// Takes each group's rows out of its state again; None when the plugin cannot. A group of which one row fails has
    /// no answer: fold it anew.
    #[must_use]
    pub fn retract(&self, groups: &[Group<'_>]) -> Option<Answers<Folded>> {
        self.deriver.retracts().then(|| fold::run(self, Export::Retract, groups, false))
    }

    /// Joins the states of disjoint histories, pair by pair.
    #[must_use]
    pub fn combine(&self, pairs: &[(&[u8], &[u8])]) -> Answers<Vec<u8>> {
        each(self, pairs.len(), |range| {
            let pairs = &pairs[range];
            let left = list(pairs.iter().map(|pair| pair.0));
            let right = list(pairs.iter().map(|pair| pair.1));
            let params = (self.config.as_str(), &left, &right);
            self.ask(Export::Combine, params, |answer| self.states(answer, pairs.len()))
        })
    }

    /// Reads each state at `as_of`.
    #[must_use]
    pub fn read(&self, as_of: Timestamp, states: &[&[u8]]) -> Answers<Reading> {
        each(self, states.len(), |range| {
            let asked = list(states[range.clone()].iter().copied());
            let params = (self.config.as_str(), as_of.0, &asked);
            self.ask(Export::Read, params, |answer: Result<Readings, bindings::Failure>| {
                read::checked(&answer?, &self.shape.outputs, range.len(), as_of)
                    .map_err(|why| Failed::Fault(Fault::Contract(why)))
            })
        })
    }

    /// Brings states of an older state version to the current one; None when the plugin cannot.
    #[must_use]
    pub fn migrate(&self, old_version: u32, states: &[&[u8]]) -> Option<Answers<Vec<u8>>> {
        self.deriver.migrates().then(|| {
            each(self, states.len(), |range| {
                let old = list(states[range.clone()].iter().copied());
                let params = (self.config.as_str(), old_version, &old);
                self.ask(Export::Migrate, params, |answer| self.states(answer, range.len()))
            })
        })
    }

    /// Makes a call and judges the answer. What a kept instance answers is not held against the plugin before a fresh
    /// one answers the same.
    pub(super) fn ask<P, R, T>(
        &self,
        export: Export,
        params: P,
        judge: impl Fn(R) -> Result<T, Failed>,
    ) -> (Result<T, Failed>, Cost)
    where
        P: ComponentNamedList + Lower + Clone + Send + Sync,
        R: PartialEq + Send + Sync + 'static,
        (R,): ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let guest = &self.deriver.guest;
        let tables = self.grants.tables(&self.deriver.descriptor.tables);
        let setting = Setting::new(self.limits, self.deriver.digest().0, tables);
        let call = |key| {
            let (answer, cost) = guest.run::<P, R>(export, params.clone(), &setting, key);
            (answer.map_err(Failed::Fault).and_then(&judge), cost)
        };
        let (judged, cost) = call(Some(&self.key));
        if guest.keeps() && judged.is_err() {
            let (again, more) = call(None);
            return (again, more.and(&cost));
        }
        (judged, cost)
    }

    /// How many states go into one run: so many that all of them at their largest fill a quarter of what may come out,
    /// and no more than are likely to stay within the bounds.
    pub(super) fn company(&self) -> usize {
        let states = self.limits.output_bytes / 4 / self.shape.max_state_bytes;
        states.clamp(1, ROWS_MAX).min(self.deriver.guest.likely.rows())
    }

    /// States that a guest answers with, checked.
    pub(super) fn states(&self, answer: States, count: usize) -> Result<Vec<Vec<u8>>, Failed> {
        let broken = |why| Failed::Fault(Fault::Contract(why));
        items(&answer?, count, self.shape.max_state_bytes).map_err(broken)
    }
}

impl From<bindings::Failure> for Failed {
    fn from(failure: bindings::Failure) -> Self {
        Self::Said(failure.into())
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
