//! When what failed is tried again: at once less and less often, never in step with others, and not for ever.

use std::time::Duration;

use cdp_egress::retry::{DISABLED_AFTER, Schedule};

/// How long after each failure in a row the next attempt comes, before jitter; the last one repeats.
pub const RETRY_AFTER_SECONDS: [u64; 9] = [1, 5, 30, 120, 600, 1800, 3600, 7200, 14_400];
/// A destination that failed for so long without a success in between is disabled: five days.
pub const DISABLED_AFTER_MS: i64 = DISABLED_AFTER.as_millis() as i64;

/// How long to wait after so many failures in a row. `drawn` is any number, for the jitter; what the receiver asked for is
/// obeyed where it is longer.
pub(crate) fn wait_for(failures: u32, asked: Option<Duration>, drawn: u64) -> Duration {
    let schedule = Schedule::new(RETRY_AFTER_SECONDS.map(Duration::from_secs).to_vec());
    let attempt = failures.clamp(1, RETRY_AFTER_SECONDS.len() as u32);
    schedule.delay(attempt, asked, drawn).unwrap_or_default()
}

/// Whether a destination that has failed since `since` has failed for too long.
pub(crate) fn is_too_long(since: i64, now: i64) -> bool {
    now.saturating_sub(since) > DISABLED_AFTER_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_follow_the_schedule_within_the_jitter() {
        for (n, seconds) in RETRY_AFTER_SECONDS.iter().enumerate() {
            let usual = Duration::from_secs(*seconds);
            let (mut least, mut most) = (Duration::MAX, Duration::ZERO);
            for drawn in 0..20_000 {
                let wait = wait_for(n as u32 + 1, None, drawn * 7919);
                (least, most) = (least.min(wait), most.max(wait));
            }
            let percent = |percent: u32| usual * percent / 100;
            let jitter = cdp_egress::retry::JITTER_PERCENT as u32;
            assert!(least >= percent(100 - jitter) && most <= percent(100 + jitter), "{least:?} {most:?}");
            assert!(least < percent(85) && most > percent(115), "{least:?} {most:?}");
        }
        assert_eq!(wait_for(0, None, 0), wait_for(1, None, 0));
        assert_eq!(wait_for(1000, None, 0), wait_for(RETRY_AFTER_SECONDS.len() as u32, None, 0));
        assert_eq!(
            wait_for(1, Some(Duration::from_secs(77)), 0),
            Duration::from_secs(77),
            "who asks is obeyed"
        );
        assert!(wait_for(9, Some(Duration::from_secs(77)), 0) > Duration::from_secs(77), "and never hurried");
    }

    #[test]
    fn five_days_are_enough() {
        assert!(!is_too_long(1000, 1000 + DISABLED_AFTER_MS));
        assert!(is_too_long(1000, 1001 + DISABLED_AFTER_MS));
    }
}
