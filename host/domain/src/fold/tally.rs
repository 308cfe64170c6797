//! Tallies: how often each value came, or the sum of its weights.
//!
//! Exact up to [`TALLY_VALUES_MAX`] values. Beyond, the values whose hashes are smallest stay, with exact weights: a
//! value that stays at the end stayed all the time, whatever the order. Borrowed idea: bottom-k sketches (Cohen, Kaplan, 2007).

use serde::{Deserialize, Serialize};

use super::order::order;
use super::state::hash;
use crate::value::Value;

/// Different values that a tally keeps per fragment.
pub const TALLY_VALUES_MAX: usize = 4096;

/// Values in order, with their weights in units of 10⁻¹².
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally(Vec<(Value, i128)>);

impl Tally {
    pub(super) fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<(Value, i128)>() + 24 * self.0.len()
    }

    pub(super) fn one(value: Value, weight: i128) -> Self {
        Self(vec![(value, weight)])
    }

    pub(super) fn add(&mut self, other: Self) {
        for (value, weight) in other.0 {
            match self.0.binary_search_by(|(known, _)| order(known, &value)) {
                Ok(at) => self.0[at].1 = self.0[at].1.saturating_add(weight),
                Err(at) => self.0.insert(at, (value, weight)),
            }
        }
        if self.0.len() > TALLY_VALUES_MAX {
            let mut hashes: Vec<u64> = self.0.iter().map(|(value, _)| hash(value)).collect();
            hashes.sort_unstable();
            let last = hashes[TALLY_VALUES_MAX - 1];
            self.0.retain(|(value, _)| hash(value) <= last);
        }
    }

    /// The value with the greatest weight; on a tie the smallest value.
    pub(super) fn greatest(&self) -> Option<&Value> {
        // The last of equals would win, and the smallest comes first: turn it round.
        self.0.iter().rev().max_by_key(|(_, weight)| *weight).map(|(value, _)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(range: std::ops::Range<i64>) -> Tally {
        let mut tally = Tally::default();
        for n in range {
            tally.add(Tally::one(Value::from(n), 1 + i128::from(n % 7)));
        }
        tally
    }

    #[test]
    fn beyond_the_limit_the_same_values_stay_in_any_order() {
        let max = TALLY_VALUES_MAX as i64;
        assert_eq!(tally(0..max).0.len(), TALLY_VALUES_MAX);
        let whole = tally(0..max + 1000);
        assert_eq!(whole.0.len(), TALLY_VALUES_MAX);
        let mut halves = tally(max / 2..max + 1000);
        halves.add(tally(0..max / 2));
        assert_eq!(halves, whole);
    }

    #[test]
    fn a_tie_goes_to_the_smallest_value() {
        let mut tally = Tally::default();
        for (value, weight) in [("b", 2), ("a!", 2), ("a", 1), ("a", 1)] {
            tally.add(Tally::one(value.into(), weight));
        }
        assert_eq!(tally.greatest(), Some(&"a".into()));
    }
}
