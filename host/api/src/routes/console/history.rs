//! How events came in lately: accepted, repeated and refused, minute by minute and hour by hour, since the server started.

use std::collections::{HashMap, VecDeque};

use cdp_domain::ids::{Position, TenantNo};
use cdp_domain::time::Timestamp;
use cdp_engine::Stats;
use parking_lot::Mutex;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Minutes that are kept.
pub(super) const MINUTES_KEPT: usize = 60;
/// Places of the journal that are kept.
const MARKS_KEPT: usize = 64;
/// Hours that are kept.
pub(super) const HOURS_KEPT: usize = 7 * 24;

/// Events of a stretch of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) accepted: u64,
    pub(crate) repeated: u64,
    pub(crate) refused: u64,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.repeated += other.repeated;
        self.refused += other.refused;
    }

    fn any(self) -> bool {
        self != Self::default()
    }
}

#[derive(Default)]
struct Track {
    /// What was counted when it was looked the last time.
    seen: Counts,
    since: Option<Timestamp>,
    minutes: VecDeque<(i64, Counts)>,
    hours: VecDeque<(i64, Counts)>,
    marks: VecDeque<Position>,
}

/// The histories of all tenants.
#[derive(Default)]
pub(crate) struct Histories(Mutex<HashMap<TenantNo, Track>>);

fn put(kept: &mut VecDeque<(i64, Counts)>, slot: i64, counts: Counts, most: usize) {
    match kept.back_mut() {
        Some((last, known)) if *last == slot => known.add(counts),
        _ => kept.push_back((slot, counts)),
    }
    while kept.len() > most || kept.front().is_some_and(|(first, _)| slot - first >= most as i64) {
        kept.pop_front();
    }
}

impl Histories {
    /// Notes what a tenant's counters say now.
    pub(crate) fn note(&self, tenant: TenantNo, stats: &Stats, now: Timestamp) {
        let counts = Counts { accepted: stats.accepted, repeated: stats.duplicates, refused: stats.rejected };
        let mut all = self.0.lock();
        let track = all.entry(tenant).or_default();
        track.since.get_or_insert(now);
        let new = Counts {
            accepted: counts.accepted.saturating_sub(track.seen.accepted),
            repeated: counts.repeated.saturating_sub(track.seen.repeated),
            refused: counts.refused.saturating_sub(track.seen.refused),
        };
        track.seen = counts;
        if new.any() {
            put(&mut track.minutes, now.0.div_euclid(MINUTE_MS), new, MINUTES_KEPT);
            put(&mut track.hours, now.0.div_euclid(HOUR_MS), new, HOURS_KEPT);
        }
    }

    /// Notes where a tenant's journal ends now: from there events are read that came since.
    pub(crate) fn mark(&self, tenant: TenantNo, end: Position) {
        let mut all = self.0.lock();
        let marks = &mut all.entry(tenant).or_default().marks;
        if marks.back() != Some(&end) {
            marks.push_back(end);
            if marks.len() > MARKS_KEPT {
                marks.pop_front();
            }
        }
    }

    /// The places that were noted, the newest last.
    pub(crate) fn marks(&self, tenant: TenantNo) -> Vec<Position> {
        self.0.lock().get(&tenant).map(|track| track.marks.iter().copied().collect()).unwrap_or_default()
    }

    /// The last minutes, or hours, oldest first, those without events too; and since when it is noted.
    pub(crate) fn of(
        &self,
        tenant: TenantNo,
        now: Timestamp,
        hours: bool,
    ) -> (Vec<(Timestamp, Counts)>, Option<Timestamp>) {
        let (length, most) = if hours { (HOUR_MS, HOURS_KEPT) } else { (MINUTE_MS, MINUTES_KEPT) };
        let all = self.0.lock();
        let track = all.get(&tenant);
        let last = now.0.div_euclid(length);
        let find = |slot: i64| {
            let kept = track.map(|track| if hours { &track.hours } else { &track.minutes })?;
            kept.iter().find(|(at, _)| *at == slot).map(|(_, counts)| *counts)
        };
        let slots = (0..most as i64).rev().map(|back| last - back);
        let items = slots.map(|slot| (Timestamp(slot * length), find(slot).unwrap_or_default()));
        (items.collect(), track.and_then(|track| track.since))
    }

    /// Events of the last day, as far as it is known.
    pub(crate) fn last_day(&self, tenant: TenantNo, now: Timestamp) -> Counts {
        let (hours, _) = self.of(tenant, now, true);
        let mut sum = Counts::default();
        hours.iter().rev().take(24).for_each(|(_, counts)| sum.add(*counts));
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_is_told_by_the_minute_and_by_the_hour() {
        let histories = Histories::default();
        let tenant = TenantNo(1);
        let mut stats = cdp_engine::Stats::default();
        let mut at = |accepted: u64, ms: i64| {
            stats.accepted = accepted;
            histories.note(tenant, &stats, Timestamp(ms));
        };
        at(5, 0);
        at(7, MINUTE_MS - 1);
        at(7, MINUTE_MS);
        at(10, 3 * MINUTE_MS);
        let (minutes, since) = histories.of(tenant, Timestamp(3 * MINUTE_MS), false);
        let last: Vec<_> = minutes.iter().rev().take(4).map(|(_, counts)| counts.accepted).collect();
        assert_eq!((last, minutes.len(), since), (vec![3, 0, 0, 7], MINUTES_KEPT, Some(Timestamp(0))));
        let later = Timestamp(3 * MINUTE_MS + MINUTES_KEPT as i64 * MINUTE_MS);
        assert!(histories.of(tenant, later, false).0.iter().all(|(_, counts)| !counts.any()), "out of sight");
        assert_eq!(histories.last_day(tenant, later).accepted, 10);
    }
}
