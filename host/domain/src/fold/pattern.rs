//! Yes or no over the times of events: what people do for the first time, stop, take up again, do regularly or in order.

use serde::{Deserialize, Serialize};

use super::State;
use super::read::At;
use crate::condition::{Answer, earlier};
use crate::time::Timestamp;
use crate::window::Window;

/// Periods that `regularly` may look at.
pub const PERIODS_MAX: u32 = 366;

/// A shape that the times of events can have.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Pattern {
    /// The first time ever lies in the window.
    FirstTime(Window),
    /// It happened inside `before`, and not inside `quiet`.
    Stopped {
        /// Nothing happened inside this.
        quiet: Window,
        /// Something happened inside this, which is longer.
        before: Window,
    },
    /// It happened inside `recent` for the first time after at least `gap_ms` without.
    Restarted {
        /// When it began again.
        recent: Window,
        /// How long it had not happened.
        gap_ms: i64,
    },
    /// In at least `at_least` of the last `periods` periods it happened.
    Regularly {
        /// How long a period is; the current one ends now.
        period_ms: i64,
        /// How many are looked at.
        periods: u32,
        /// In how many of them it must have happened.
        at_least: u32,
    },
    /// The steps were taken in order.
    Sequence {
        /// The last step came less than this after the first.
        within_ms: Option<i64>,
        /// Per step: only events inside this window count.
        windows: Vec<Option<Window>>,
    },
}

impl Pattern {
    /// Whether the state has this shape at an instant, and the first later instant at which that may turn by itself.
    /// `horizon_ms` is the fold's own.
    #[must_use]
    pub fn answer(&self, state: &State, horizon_ms: i64, at: At<'_>) -> Answer {
        let until = |at: Timestamp| Answer { holds: true, valid_until: Some(at) };
        match (self, state) {
            (Self::FirstTime(window), State::FirstAt(first)) => {
                let expires = window.expires(*first, at.zone);
                if at.as_of < expires { until(expires) } else { false.into() }
            }
            (Self::Stopped { quiet, before }, State::Series(series)) => {
                let Some(last) = series.times(horizon_ms).next_back() else { return false.into() };
                let (quiet, before) = (quiet.expires(last, at.zone), before.expires(last, at.zone));
                if at.as_of < quiet {
                    Answer { holds: false, valid_until: Some(quiet) }
                } else if at.as_of < before {
                    until(before)
                } else {
                    false.into()
                }
            }
            (Self::Restarted { recent, gap_ms }, State::Series(series)) => {
                let mut before = series.first();
                let mut ends = None;
                for time in series.times(horizon_ms) {
                    let gap = before.is_some_and(|before| time.0.saturating_sub(before.0) >= *gap_ms);
                    let expires = recent.expires(time, at.zone);
                    if gap && at.as_of < expires {
                        ends = ends.max(Some(expires));
                    }
                    before = Some(time);
                }
                Answer { holds: ends.is_some(), valid_until: ends }
            }
            (Self::Regularly { period_ms, periods, at_least }, State::Series(series)) => {
                regularly(series.times(horizon_ms), *period_ms, i64::from(*periods), *at_least, at.as_of)
            }
            (Self::Sequence { within_ms, windows }, State::Steps(steps)) => {
                let inside = |n: usize, time: Timestamp| {
                    windows[n].is_none_or(|window| at.as_of < window.expires(time, at.zone))
                };
                let holds = steps.taken(windows.len(), *within_ms, inside);
                let mut valid_until = None;
                // Events only leave: what does not hold cannot come by itself.
                for (n, window) in windows.iter().enumerate().filter(|_| holds) {
                    let Some(window) = window else { continue };
                    let leaves = steps.times(n).map(|time| window.expires(time, at.zone));
                    valid_until = earlier(valid_until, leaves.filter(|leaves| *leaves > at.as_of).min());
                }
                Answer { holds, valid_until }
            }
            _ => false.into(),
        }
    }
}

fn regularly(
    times: impl Iterator<Item = Timestamp>,
    period_ms: i64,
    periods: i64,
    at_least: u32,
    as_of: Timestamp,
) -> Answer {
    let mut met = vec![false; usize::try_from(periods).unwrap_or(0)];
    let mut next: Option<Timestamp> = None;
    for time in times {
        let age = as_of.0.saturating_sub(time.0).max(0);
        let period = age / period_ms;
        if period >= periods {
            continue;
        }
        met[period as usize] = true;
        next = earlier(next, Some(Timestamp(time.0.saturating_add((period + 1).saturating_mul(period_ms)))));
    }
    let count = met.iter().filter(|met| **met).count() as u32;
    Answer { holds: count >= at_least, valid_until: next }
}
