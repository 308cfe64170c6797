//! The values seen last, each once: beyond [`RECENT_MAX`] the one whose last time is oldest goes.
//!
//! Only the last time of each value matters, and a value among the newest at the end re-entered with its last event,
//! so that the state does not depend on the order.

use serde::{Deserialize, Serialize};

use super::order::order;
use crate::time::Timestamp;
use crate::value::Value;

/// Values that a unique list keeps.
pub const RECENT_MAX: usize = 100;

/// Values with their last times, newest first; equal times in the order of values.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Recent(Vec<(Value, Timestamp)>);

impl Recent {
    pub(super) fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<(Value, Timestamp)>() + 24 * self.0.len()
    }

    pub(super) fn one(value: Value, at: Timestamp) -> Self {
        Self(vec![(value, at)])
    }

    pub(super) fn add(&mut self, other: Self) {
        for (value, at) in other.0 {
            if let Some(known) = self.0.iter().position(|(known, _)| *known == value) {
                if self.0[known].1 >= at {
                    continue;
                }
                self.0.remove(known);
            }
            let place = self.0.partition_point(|(known, since)| {
                (*since).cmp(&at).reverse().then_with(|| order(known, &value)).is_lt()
            });
            self.0.insert(place, (value, at));
        }
        self.0.truncate(RECENT_MAX);
    }

    pub(super) fn list(&self) -> Value {
        Value::List(self.0.iter().map(|(value, _)| value.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_seen_last_stay_in_any_order() {
        let items: Vec<(i64, i64)> = (0..300).map(|n| (n * 7 % 130, n * 11 % 97)).collect();
        let run = |items: &[(i64, i64)]| {
            let mut recent = Recent::default();
            items.iter().for_each(|(value, at)| recent.add(Recent::one(Value::from(*value), Timestamp(*at))));
            recent
        };
        let forward = run(&items);
        assert_eq!(forward.0.len(), RECENT_MAX);
        let backward: Vec<_> = items.iter().rev().copied().collect();
        assert_eq!(run(&backward), forward);
        let mut halves = run(&items[150..]);
        halves.add(run(&items[..150]));
        assert_eq!(halves, forward);
    }
}
