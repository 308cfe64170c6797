//! The values inside a window: the newest [`SAMPLES_MAX`] events that have one.
//!
//! A person with more of them in the window is read by the newest; which those are does not depend on the order of delivery.

use serde::{Deserialize, Serialize};

use super::tally::Tally;
use crate::stamp::Stamp;
use crate::time::{Timestamp, Zone};
use crate::value::Value;
use crate::window::Window;

/// Events whose values are kept per window and fragment.
pub const SAMPLES_MAX: usize = 256;

/// One event's value and weight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sample {
    stamp: Stamp,
    pub(super) value: Value,
    weight: i128,
}

impl Sample {
    /// When it happened.
    pub(super) fn at(&self) -> Timestamp {
        self.stamp.time()
    }
}

/// Samples in canonical order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Samples(Vec<Sample>);

impl Samples {
    pub(super) fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Sample>() + 120 * self.0.len()
    }

    pub(super) fn one(stamp: Stamp, value: Value, weight: i128) -> Self {
        Self(vec![Sample { stamp, value, weight }])
    }

    pub(super) fn add(&mut self, other: Self, horizon_ms: i64) {
        for sample in other.0 {
            let at = self.0.partition_point(|known| known.stamp < sample.stamp);
            self.0.insert(at, sample);
        }
        let surplus = self.0.len().saturating_sub(SAMPLES_MAX);
        self.0.drain(..surplus);
        let Some(newest) = self.0.last() else { return };
        let cut = newest.stamp.time().0.saturating_sub(horizon_ms);
        let gone = self.0.partition_point(|sample| sample.stamp.time().0 <= cut);
        self.0.drain(..gone);
    }

    /// The samples inside the window at `as_of`, and when the first of them leaves.
    pub(super) fn within(
        &self,
        window: Window,
        as_of: Timestamp,
        zone: &Zone,
    ) -> (&[Sample], Option<Timestamp>) {
        let begins = window.begins(as_of, zone);
        let inside = &self.0[self.0.partition_point(|sample| sample.stamp.time() < begins)..];
        (inside, inside.first().map(|sample| window.expires(sample.stamp.time(), zone)))
    }
}

pub(super) fn tally(samples: &[Sample]) -> Tally {
    let mut tally = Tally::default();
    samples.iter().for_each(|sample| tally.add(Tally::one(sample.value.clone(), sample.weight)));
    tally
}
