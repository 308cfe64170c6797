//! Times and amounts inside a window.
//!
//! The newest [`SERIES_EXACT_MAX`] entries are kept to the millisecond. Older ones are counted in buckets, of which
//! [`SERIES_BUCKETS`] span the window; a bucket leaves a window when its last millisecond does. So a person with more
//! entries in a window than are kept exactly has right amounts whose oldest part expires late, by less than 1/256 of the window.
//! What is older than the window, counted back from the newest entry, is gone. All of this is a function of the set of
//! entries: the newest of a union are among the newest of its parts.

use serde::{Deserialize, Serialize};

use super::entries::{Entries, Entry};
use crate::time::{Timestamp, Zone};
use crate::window::Window;

/// Entries of a window that are kept to the millisecond, per fragment.
pub const SERIES_EXACT_MAX: usize = 512;
/// Buckets that older entries of a window are counted in.
pub const SERIES_BUCKETS: i64 = 256;

/// What is kept of the entries in a window.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Series {
    exact: Entries,
    /// Ascending by slot.
    coarse: Vec<(i64, Total)>,
    /// The earliest time ever, also when it is not kept.
    first: Option<Timestamp>,
}

/// Entries summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Total {
    /// How many entries.
    pub(super) count: u64,
    /// How many of them have an amount.
    pub(super) amounts: u64,
    pub(super) sum: i128,
    pub(super) least: i128,
    pub(super) greatest: i128,
}

impl Total {
    fn one(amount: Option<i128>) -> Self {
        let sum = amount.unwrap_or(0);
        Self { count: 1, amounts: u64::from(amount.is_some()), sum, least: sum, greatest: sum }
    }

    pub(super) fn add(&mut self, other: &Self) {
        if other.amounts > 0 {
            let none = self.amounts == 0;
            self.least = if none { other.least } else { self.least.min(other.least) };
            self.greatest = if none { other.greatest } else { self.greatest.max(other.greatest) };
        }
        self.count += other.count;
        self.amounts += other.amounts;
        self.sum = self.sum.saturating_add(other.sum);
    }
}

fn slot_ms(horizon_ms: i64) -> i64 {
    (horizon_ms / SERIES_BUCKETS).max(1)
}

impl Series {
    pub(super) fn heap_bytes(&self) -> usize {
        self.exact.capacity() * size_of::<Entry>() + self.coarse.capacity() * size_of::<(i64, Total)>()
    }

    pub(super) fn one(at: Timestamp, amount: Option<i128>) -> Self {
        Self { exact: Entries::one(at, amount), coarse: Vec::new(), first: Some(at) }
    }

    /// What [`Self::add`] makes of [`Self::one`].
    pub(super) fn take(&mut self, at: Timestamp, amount: Option<i128>, horizon_ms: i64) {
        self.insert(Entry::new(at, amount));
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        self.trim(horizon_ms);
    }

    fn insert(&mut self, entry: Entry) {
        let at = self.exact.partition_point(|known| *known < entry);
        self.exact.insert(at, entry);
    }

    pub(super) fn add(&mut self, other: Self, horizon_ms: i64) {
        for &entry in &*other.exact {
            self.insert(entry);
        }
        for (slot, total) in other.coarse {
            self.add_coarse(slot, &total);
        }
        self.first = match (self.first, other.first) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.trim(horizon_ms);
    }

    /// Keeps what is exact within its bound, and everything within the horizon.
    fn trim(&mut self, horizon_ms: i64) {
        let width = slot_ms(horizon_ms);
        let surplus = self.exact.len().saturating_sub(SERIES_EXACT_MAX);
        let old: Vec<Entry> = self.exact.drain(..surplus).collect();
        for entry in old {
            self.add_coarse(entry.at().0.div_euclid(width), &Total::one(entry.amount()));
        }
        let Some(newest) = self.exact.last() else { return };
        let cut = newest.at().0.saturating_sub(horizon_ms);
        let gone = self.exact.partition_point(|entry| entry.at().0 <= cut);
        self.exact.drain(..gone);
        let gone = self.coarse.partition_point(|(slot, _)| slot_end(*slot, width).0 <= cut);
        self.coarse.drain(..gone);
    }

    fn add_coarse(&mut self, slot: i64, total: &Total) {
        match self.coarse.binary_search_by_key(&slot, |(known, _)| *known) {
            Ok(at) => self.coarse[at].1.add(total),
            Err(at) => self.coarse.insert(at, (slot, *total)),
        }
    }

    /// Everything inside the window at `as_of`, and when the first of it leaves.
    pub(super) fn within(
        &self,
        window: Window,
        horizon_ms: i64,
        as_of: Timestamp,
        zone: &Zone,
    ) -> (Total, Option<Timestamp>) {
        let begins = window.begins(as_of, zone);
        let mut total = Total::default();
        let width = slot_ms(horizon_ms);
        let mut oldest = None;
        for (slot, coarse) in &self.coarse {
            let end = slot_end(*slot, width);
            if end >= begins {
                oldest = oldest.or(Some(end));
                total.add(coarse);
            }
        }
        for entry in &self.exact[self.exact.partition_point(|entry| entry.at() < begins)..] {
            oldest = oldest.or(Some(entry.at()));
            total.add(&Total::one(entry.amount()));
        }
        (total, oldest.map(|at| window.expires(at, zone)))
    }

    /// The times that are kept, ascending; a bucket stands for its last millisecond.
    pub(super) fn times(&self, horizon_ms: i64) -> impl DoubleEndedIterator<Item = Timestamp> + '_ {
        let width = slot_ms(horizon_ms);
        let coarse = self.coarse.iter().map(move |(slot, _)| slot_end(*slot, width));
        coarse.chain(self.exact.iter().map(|entry| entry.at()))
    }

    /// The earliest time ever.
    pub(super) fn first(&self) -> Option<Timestamp> {
        self.first
    }
}

fn slot_end(slot: i64, width: i64) -> Timestamp {
    Timestamp(slot.saturating_add(1).saturating_mul(width).saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HORIZON: i64 = 100_000;

    fn run(items: &[(i64, Option<i128>)]) -> Series {
        let mut series = Series::default();
        items.iter().for_each(|(at, amount)| series.add(Series::one(Timestamp(*at), *amount), HORIZON));
        series
    }

    #[test]
    fn beyond_the_limit_amounts_stay_right_and_leave_late_by_less_than_a_bucket() {
        let items: Vec<_> = (0..2000).map(|n| (n * 10, Some(i128::from(n)))).collect();
        let series = run(&items);
        let as_of = Timestamp(19_990);
        let (total, _) = series.within(Window::Rolling(HORIZON), HORIZON, as_of, &Zone::Utc);
        assert_eq!((total.count, total.sum, total.least, total.greatest), (2000, 1999 * 1000, 0, 1999));
        for later in [60_000, 100_000, 110_000, 119_000] {
            let (total, next) =
                series.within(Window::Rolling(HORIZON), HORIZON, Timestamp(later), &Zone::Utc);
            let exact = items.iter().filter(|(at, _)| later - at < HORIZON).count() as u64;
            let late =
                items.iter().filter(|(at, _)| later - at < HORIZON + HORIZON / SERIES_BUCKETS).count() as u64;
            assert!((exact..=late).contains(&total.count), "{later}: {} of {exact}", total.count);
            assert!(next.is_none_or(|next| next > Timestamp(later)));
        }
    }

    proptest! {
        #[test]
        fn any_order_and_any_cut_keep_the_same(
            seed in proptest::collection::vec((0_i64..400_000, proptest::option::of(-5_i128..5)), 0..1500),
            cut in any::<prop::sample::Index>(), turn in any::<prop::sample::Index>(),
        ) {
            let whole = run(&seed);
            let mut turned = seed.clone();
            if !turned.is_empty() { let by = turn.index(seed.len()); turned.rotate_left(by); turned.reverse(); }
            prop_assert_eq!(&run(&turned), &whole);
            let (a, b) = seed.split_at(if seed.is_empty() { 0 } else { cut.index(seed.len()) });
            let mut joined = run(b);
            joined.add(run(a), HORIZON);
            prop_assert_eq!(joined, whole);
        }
    }
}
