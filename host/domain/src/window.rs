//! Windows in time: rolling ones exact to the millisecond, and calendar days of a zone.
//!
//! An event at `t` is inside while `begins(as_of) <= t <= as_of`, which is the same as `as_of < expires(t)`.
//! A rolling window of n days is n × 24 hours, its start exclusive.
//! A window of n calendar days is today and the n − 1 days before it, in the tenant's zone.

use serde::{Deserialize, Serialize};

use crate::problem::{Code, Problem};
use crate::time::{Timestamp, Zone};
use crate::value::{Number, Value};

/// Days that a window may span.
pub const WINDOW_DAYS_MAX: i64 = 36_500;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// A stretch of time that ends now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Window {
    /// So many milliseconds, at least one.
    Rolling(i64),
    /// So many calendar days, today included, at least one.
    CalendarDays(u32),
}

const UNITS: [(&str, i64); 3] = [("days", DAY_MS), ("hours", HOUR_MS), ("minutes", MINUTE_MS)];

impl Window {
    /// What a window must look like, for messages.
    pub const FORM: &str = "must be {\"days\": n}, {\"hours\": n}, {\"minutes\": n} or {\"calendar_days\": n} with a whole n \
                            from 1 and at most 36500 days";

    /// Reads a window without saying what is wrong.
    #[must_use]
    pub fn of(value: &Value) -> Option<Self> {
        let object = value.as_object().filter(|object| object.len() == 1)?;
        let (name, value) = object.iter().next()?;
        let Value::Number(Number::Int(n)) = value else { return None };
        if name == "calendar_days" {
            return (1..=WINDOW_DAYS_MAX).contains(n).then_some(Self::CalendarDays(*n as u32));
        }
        let (_, unit) = UNITS.into_iter().find(|(unit, _)| unit == name)?;
        (1..=WINDOW_DAYS_MAX * DAY_MS / unit).contains(n).then(|| Self::Rolling(n * unit))
    }

    /// Reads a window; None after adding to `problems`.
    pub(crate) fn read(value: &Value, place: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        let window = Self::of(value);
        if window.is_none() {
            problems.push(Problem::new(place, Code::Invalid, Self::FORM));
        }
        window
    }

    /// The same, where only stretches of fixed length make sense.
    pub(crate) fn read_rolling(value: &Value, place: &str, problems: &mut Vec<Problem>) -> Option<i64> {
        match Self::of(value) {
            Some(Self::Rolling(ms)) => Some(ms),
            _ => {
                let detail =
                    "must be {\"days\": n}, {\"hours\": n} or {\"minutes\": n} with a whole n from 1";
                problems.push(Problem::new(place, Code::Invalid, detail));
                None
            }
        }
    }

    /// Writes the window as clients do.
    #[must_use]
    pub fn write(self) -> Value {
        let (name, n) = match self {
            Self::CalendarDays(n) => ("calendar_days", i64::from(n)),
            Self::Rolling(ms) => {
                let (name, unit) =
                    UNITS.into_iter().find(|(_, unit)| ms % unit == 0).unwrap_or(UNITS[UNITS.len() - 1]);
                (name, ms / unit)
            }
        };
        Value::Object([(name.into(), Value::from(n))].into_iter().collect())
    }

    /// The first instant that is inside at `as_of`.
    #[must_use]
    pub fn begins(self, as_of: Timestamp, zone: &Zone) -> Timestamp {
        match self {
            Self::Rolling(ms) => Timestamp(as_of.0.saturating_sub(ms).saturating_add(1)),
            Self::CalendarDays(n) => zone.day_start(as_of, 1 - i64::from(n)),
        }
    }

    /// The instant from which an event at `at` is no longer inside.
    #[must_use]
    pub fn expires(self, at: Timestamp, zone: &Zone) -> Timestamp {
        match self {
            Self::Rolling(ms) => Timestamp(at.0.saturating_add(ms)),
            Self::CalendarDays(n) => zone.day_start(at, i64::from(n)),
        }
    }

    /// No event stays inside for longer than this many milliseconds, in any zone.
    #[must_use]
    pub fn horizon_ms(self) -> i64 {
        match self {
            Self::Rolling(ms) => ms,
            // A day may have more than 24 hours, and zones skip whole days: two days more are always enough.
            Self::CalendarDays(n) => (i64::from(n) + 2) * DAY_MS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_window_reads_back_as_it_was_written() {
        for window in [
            Window::Rolling(90 * DAY_MS),
            Window::Rolling(36 * HOUR_MS),
            Window::Rolling(MINUTE_MS),
            Window::CalendarDays(7),
        ] {
            assert_eq!(Window::of(&window.write()), Some(window));
        }
    }

    #[test]
    fn lengths_are_taken_from_1_to_the_limit() {
        let of = |name: &str, n: i64| {
            Window::of(&Value::Object([(name.into(), Value::from(n))].into_iter().collect())).is_some()
        };
        for name in ["days", "calendar_days"] {
            assert!(
                of(name, 1) && of(name, WINDOW_DAYS_MAX) && !of(name, 0) && !of(name, WINDOW_DAYS_MAX + 1)
            );
        }
        assert!(
            of("hours", WINDOW_DAYS_MAX * 24) && !of("hours", WINDOW_DAYS_MAX * 24 + 1) && !of("weeks", 1)
        );
    }

    proptest! {
        #[test]
        fn beginning_and_expiry_say_the_same(
            at in 1_500_000_000_000_i64..1_800_000_000_000, later in 0_i64..400 * DAY_MS,
            n in 1_u32..9, zone in 0_usize..4, rolling in any::<bool>(),
        ) {
            let zone = ["UTC", "America/New_York", "America/Sao_Paulo", "Asia/Kolkata"][zone];
            let zone = Zone::named(zone).unwrap();
            let window = if rolling { Window::Rolling(i64::from(n) * DAY_MS) } else { Window::CalendarDays(n) };
            let later = later / if later % 2 == 0 { 40 } else { 1 };
            let as_of = Timestamp(at + later);
            let inside = window.begins(as_of, &zone) <= Timestamp(at);
            prop_assert_eq!(inside, as_of < window.expires(Timestamp(at), &zone));
            prop_assert!(!inside || later < window.horizon_ms());
        }
    }
}
