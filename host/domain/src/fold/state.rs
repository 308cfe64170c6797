//! The states of all folds, and how two of them become one.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::distinct::Distinct;
use super::recent::Recent;
use super::samples::Samples;
use super::series::Series;
use super::steps::Steps;
use super::tally::Tally;
use crate::json;
use crate::stamp::Stamp;
use crate::time::Timestamp;
use crate::value::Value;

/// Bytes, as JSON, of a value that tallies, unique lists and windows of values take; longer ones do not count there.
pub const VALUE_BYTES_MAX: usize = 1024;
/// Currencies that a fold keeps apart; beyond, those whose codes sort first stay.
pub const CURRENCIES_MAX: usize = 32;

/// What is kept per fragment. One variant per shape; each fold always has the same one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of what is kept")]
pub enum State {
    /// No event counted yet.
    #[default]
    Nothing,
    Count(u64),
    /// In units of 10⁻¹², so that it is exact in any order.
    Sum(i128),
    Mean(u64, i128),
    Least(i128),
    Greatest(i128),
    First(Stamp, Value),
    Last(Stamp, Value),
    FirstAt(Timestamp),
    LastAt(Timestamp),
    Tally(Tally),
    Distinct(Distinct),
    Recent(Recent),
    Series(Series),
    Samples(Samples),
    Steps(Steps),
    /// By currency, sorted.
    Groups(Vec<(CompactString, State)>),
}

impl State {
    /// Bytes of memory that hang on it, about: what a cache weighs.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Series(series) => series.heap_bytes(),
            Self::Tally(tally) => tally.heap_bytes(),
            Self::Distinct(distinct) => distinct.heap_bytes(),
            Self::Recent(recent) => recent.heap_bytes(),
            Self::Samples(samples) => samples.heap_bytes(),
            Self::Steps(steps) => steps.heap_bytes(),
            Self::First(..) | Self::Last(..) => 120,
            Self::Groups(groups) => groups.iter().map(|(_, state)| 120 + state.heap_bytes()).sum(),
            _ => 0,
        }
    }

    /// Joins another history into this one.
    pub(super) fn add(&mut self, other: Self, horizon_ms: i64) {
        match (&mut *self, other) {
            (_, Self::Nothing) => {}
            (Self::Nothing, other) => *self = other,
            (Self::Count(a), Self::Count(b)) => *a += b,
            (Self::Sum(a), Self::Sum(b)) => *a = a.saturating_add(b),
            (Self::Mean(n, a), Self::Mean(m, b)) => (*n, *a) = (*n + m, a.saturating_add(b)),
            (Self::Least(a), Self::Least(b)) => *a = (*a).min(b),
            (Self::Greatest(a), Self::Greatest(b)) => *a = (*a).max(b),
            (Self::First(a, _), Self::First(b, y)) if b < *a => *self = Self::First(b, y),
            (Self::Last(a, _), Self::Last(b, y)) if b > *a => *self = Self::Last(b, y),
            (Self::FirstAt(a), Self::FirstAt(b)) => *a = (*a).min(b),
            (Self::LastAt(a), Self::LastAt(b)) => *a = (*a).max(b),
            (Self::Tally(a), Self::Tally(b)) => a.add(b),
            (Self::Distinct(a), Self::Distinct(b)) => a.add(b),
            (Self::Recent(a), Self::Recent(b)) => a.add(b),
            (Self::Series(a), Self::Series(b)) => a.add(b, horizon_ms),
            (Self::Samples(a), Self::Samples(b)) => a.add(b, horizon_ms),
            (Self::Steps(a), Self::Steps(b)) => a.add(b),
            (Self::Groups(a), Self::Groups(b)) => {
                for (code, state) in b {
                    match a.binary_search_by(|(known, _)| known.cmp(&code)) {
                        Ok(at) => a[at].1.add(state, horizon_ms),
                        Err(at) => a.insert(at, (code, state)),
                    }
                }
                a.truncate(CURRENCIES_MAX);
            }
            // The other edge is the one that stays; states of one fold have one shape, a foreign one says nothing.
            _ => {}
        }
    }
}

/// Whether a value is short enough to be kept by the thousand.
pub(super) fn is_small(value: &Value) -> bool {
    match value {
        Value::Text(text) => text.len() <= VALUE_BYTES_MAX,
        Value::List(_) | Value::Object(_) => json::to_string(value).len() <= VALUE_BYTES_MAX,
        _ => true,
    }
}

/// 64 bits that differ between different values.
pub(super) fn hash(value: &Value) -> u64 {
    let digest = blake3::hash(json::to_string(value).as_bytes());
    u64::from_le_bytes(digest.as_bytes()[..8].try_into().expect("a digest has 32 bytes"))
}
