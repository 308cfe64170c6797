//! When to try again: pure, with time and chance as arguments.

use std::time::{Duration, SystemTime};

/// By how much chance makes a step shorter or longer.
pub const JITTER_PERCENT: u64 = 20;
/// The longest time that another side may ask to be left alone; a longer one counts as this.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(6 * 3600);
/// A destination to which nothing got through for so long is disabled, and its owner told.
pub const DISABLED_AFTER: Duration = Duration::from_secs(5 * 24 * 3600);

/// Time before each further attempt, before chance makes it shorter or longer by [`JITTER_PERCENT`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule(Vec<Duration>);

impl Schedule {
    /// A schedule of these steps; whoever sends knows how long it may take.
    #[must_use]
    pub fn new(steps: Vec<Duration>) -> Self {
        Self(steps)
    }

    /// How long to wait after attempt number `attempt` (from 1) failed, or none when it was the last.
    ///
    /// `chance` is any number, a fresh one each time. What the other side asked for is obeyed where it is longer than
    /// the step, and never shortens it.
    #[must_use]
    pub fn delay(&self, attempt: u32, after: Option<Duration>, chance: u64) -> Option<Duration> {
        let step = *self.0.get(usize::try_from(attempt).ok()?.checked_sub(1)?)?;
        let percent = 100 - JITTER_PERCENT + chance % (2 * JITTER_PERCENT + 1);
        let millis = u64::try_from(step.as_millis()).unwrap_or(u64::MAX) / 100 * percent;
        let asked = after.unwrap_or_default().min(RETRY_AFTER_MAX);
        Some(Duration::from_millis(millis).max(asked))
    }

    /// Attempts in all, the first included.
    #[must_use]
    pub fn attempts(&self) -> usize {
        self.0.len() + 1
    }
}

/// Reads `Retry-After`: whole seconds, or a date of HTTP. A time that has passed is zero, one too far off is
/// [`RETRY_AFTER_MAX`], and what is neither is nothing.
#[must_use]
pub fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let asked = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        value.parse().map_or(RETRY_AFTER_MAX, Duration::from_secs)
    } else {
        httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default()
    };
    Some(asked.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STEPS: [Duration; 7] = [
        Duration::from_secs(5),
        Duration::from_secs(300),
        Duration::from_secs(1_800),
        Duration::from_secs(7_200),
        Duration::from_secs(18_000),
        Duration::from_secs(36_000),
        Duration::from_secs(36_000),
    ];

    fn schedule() -> Schedule {
        Schedule::new(STEPS.to_vec())
    }

    #[test]
    fn retry_after_is_read_in_both_forms_and_bounded() {
        let now = httpdate::parse_http_date("Thu, 26 Nov 2026 10:00:00 GMT").unwrap();
        for (value, expected) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("21600", Some(21_600)),
            ("21601", Some(21_600)),
            ("99999999999999999999999", Some(21_600)),
            ("Thu, 26 Nov 2026 10:00:30 GMT", Some(30)),
            ("Thursday, 26-Nov-26 10:01:00 GMT", Some(60)),
            ("Thu Nov 26 10:00:05 2026", Some(5)),
            ("Thu, 26 Nov 2026 09:00:00 GMT", Some(0)),
            ("Thu, 26 Nov 2099 09:00:00 GMT", Some(21_600)),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
            ("2026-11-26T10:00:30Z", None),
        ] {
            assert_eq!(retry_after(value, now), expected.map(Duration::from_secs), "{value:?}");
        }
    }

    #[test]
    fn the_schedule_has_as_many_attempts_as_it_says() {
        let schedule = schedule();
        let given = (1..100).take_while(|&attempt| schedule.delay(attempt, None, 0).is_some()).count();
        assert_eq!((given + 1, schedule.attempts()), (8, 8));
        assert_eq!(schedule.delay(0, None, 0), None);
        let whole: Duration = (1..8).filter_map(|attempt| schedule.delay(attempt, None, 20)).sum();
        assert_eq!(whole, STEPS.iter().sum::<Duration>());
    }

    proptest! {
        #[test]
        fn chance_keeps_within_its_bounds_and_a_wish_is_obeyed(
            attempt in 1_u32..8,
            chance in any::<u64>(),
            asked in prop::option::of(0_u64..100_000),
        ) {
            let step = STEPS[attempt as usize - 1].as_secs_f64();
            let delay = schedule().delay(attempt, asked.map(Duration::from_secs), chance).unwrap();
            let asked = asked.unwrap_or(0).min(RETRY_AFTER_MAX.as_secs()) as f64;
            prop_assert!(delay.as_secs_f64() >= step * 0.8 - 0.001 && delay.as_secs_f64() >= asked);
            prop_assert!(delay.as_secs_f64() <= (step * 1.2 + 0.001).max(asked));
        }
    }

    #[test]
    fn chance_spreads_over_the_whole_width() {
        let seen: std::collections::BTreeSet<Duration> =
            (0..41).filter_map(|chance| schedule().delay(2, None, chance)).collect();
        assert_eq!(seen.first(), Some(&Duration::from_secs(240)));
        assert_eq!(seen.last(), Some(&Duration::from_secs(360)));
        assert_eq!(seen.len(), 41);
    }
}
