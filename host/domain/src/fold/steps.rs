//! Events that are steps of a sequence: A, then B, then C, with an equal property and within a time.
//!
//! Later means later in canonical order, so of two steps at the same millisecond the one whose source and id sort first
//! comes first. One event is one step at most. The newest [`STEPS_KEPT_MAX`] matching events of a fragment are looked at.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::stamp::Stamp;
use crate::time::Timestamp;

/// Steps of one sequence.
pub const STEPS_MAX: usize = 8;
/// Matching events that are kept per sequence and fragment.
pub const STEPS_KEPT_MAX: usize = 512;

/// An event that is a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Step {
    stamp: Stamp,
    /// Bit n: it can be step n.
    which: u8,
    /// Hash of the property that must be equal; 0 when none must.
    key: u64,
}

/// Steps in canonical order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Steps(Vec<Step>);

impl Steps {
    pub(super) fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Step>() + 120 * self.0.len()
    }

    pub(super) fn one(stamp: Stamp, which: u8, key: u64) -> Self {
        Self(vec![Step { stamp, which, key }])
    }

    pub(super) fn add(&mut self, other: Self) {
        for step in other.0 {
            let at = self.0.partition_point(|known| known.stamp < step.stamp);
            self.0.insert(at, step);
        }
        let surplus = self.0.len().saturating_sub(STEPS_KEPT_MAX);
        self.0.drain(..surplus);
    }

    /// Whether the steps were taken in order, the last less than `within_ms` after the first; `may` says whether an event
    /// at a time may still be a step.
    pub(super) fn taken(
        &self,
        steps: usize,
        within_ms: Option<i64>,
        may: impl Fn(usize, Timestamp) -> bool,
    ) -> bool {
        // Per key: the latest time at which a chain that ends with step n began. Later is always better.
        let mut began: HashMap<u64, [Option<Timestamp>; STEPS_MAX]> = HashMap::new();
        for step in &self.0 {
            let began = began.entry(step.key).or_default();
            let at = step.stamp.time();
            // From the last step down, so that one event is not two steps.
            for n in (0..steps).rev() {
                if step.which & 1 << n == 0 || !may(n, at) {
                    continue;
                }
                let start = match n.checked_sub(1) {
                    None => Some(at),
                    Some(before) => began[before]
                        .filter(|start| within_ms.is_none_or(|within| at.0.saturating_sub(start.0) < within)),
                };
                if start.is_some() && n + 1 == steps {
                    return true;
                }
                began[n] = began[n].max(start);
            }
        }
        false
    }

    /// The times of the events that can be step `n`, ascending.
    pub(super) fn times(&self, n: usize) -> impl Iterator<Item = Timestamp> + '_ {
        self.0.iter().filter(move |step| step.which & 1 << n != 0).map(|step| step.stamp.time())
    }
}
