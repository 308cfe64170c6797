//! Patterns of five fields (minute, hour, day of month, month, day of week), read in a time zone.
//!
//! Where clocks go forward, a time that does not exist counts at the instant at which they do; several such times count
//! once. Where clocks go back, a time that comes twice counts the first time; a pattern whose hour is `*` or `*/n` means
//! every such hour, and counts both times.

use std::fmt;

use cdp_domain::time::Timestamp;
use chrono::{DateTime, NaiveDateTime, TimeDelta};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::{AmbiguousOffset, TimeZone};

/// Bytes of a pattern.
pub const CRON_BYTES_MAX: usize = 200;
/// How far clocks are ever put, and more.
const SHIFT_MAX: TimeDelta = TimeDelta::hours(3);

/// A pattern in a zone.
pub struct Pattern {
    cron: Cron,
    every_hour: bool,
    zone: TimeZone,
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({} in {:?})", self.cron.as_str(), self.zone.iana_name())
    }
}

impl Pattern {
    /// Reads a pattern and the name of a zone.
    ///
    /// # Errors
    /// Which of the two is wrong, by its field, and why.
    pub fn read(cron: &str, zone: &str) -> Result<Self, (&'static str, String)> {
        if cron.len() > CRON_BYTES_MAX {
            return Err(("cron", format!("has more than {CRON_BYTES_MAX} bytes")));
        }
        let fields: Vec<_> = cron.split_whitespace().collect();
        if fields.len() != 5 {
            let detail = "must have five fields: minute, hour, day of month, month, day of week";
            return Err(("cron", detail.to_owned()));
        }
        let every_hour = fields[1].starts_with('*');
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(cron).map_err(|error| ("cron", format!("cannot be read: {error}")))?;
        let zone = if zone == "UTC" {
            TimeZone::UTC
        } else {
            let known = jiff::tz::TimeZoneDatabase::bundled().get(zone);
            known.map_err(|_| ("time_zone", "is not an IANA time zone such as Europe/Riga".to_owned()))?
        };
        Ok(Self { cron, every_hour, zone })
    }

    /// The first instant behind `after`; None when there is none in sight.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let local = self.local(after)?;
        let mut at = local.checked_sub_signed(SHIFT_MAX)?;
        let mut best: Option<Timestamp> = None;
        let mut inclusive = true;
        loop {
            at = self.cron.find_next_occurrence(&at, inclusive).ok()?;
            inclusive = false;
            for instant in self.instants(at).into_iter().flatten() {
                if instant > after && best.is_none_or(|best| instant < best) {
                    best = Some(instant);
                }
            }
            // What is later on the wall by more than clocks are put is later in truth.
            let far = at.checked_sub_signed(SHIFT_MAX).is_some_and(|at| at > local);
            match best {
                Some(_) if far => return best,
                Some(found) if self.local(found).is_some_and(|found| at > found + SHIFT_MAX) => return best,
                _ => {}
            }
        }
    }

    /// The instants that a time on the wall means.
    fn instants(&self, at: NaiveDateTime) -> [Option<Timestamp>; 2] {
        let civil = |at: NaiveDateTime| {
            let ms = at.and_utc().timestamp_millis();
            jiff::Timestamp::from_millisecond(ms)
                .ok()
                .map(|at| at.to_zoned_datetime(TimeZone::UTC).datetime())
        };
        let Some(wall) = civil(at) else { return [None, None] };
        let instant = |offset: jiff::tz::Offset| {
            offset.to_timestamp(wall).ok().map(|at| Timestamp(at.as_millisecond()))
        };
        match self.zone.to_ambiguous_timestamp(wall).offset() {
            AmbiguousOffset::Unambiguous { offset } => [instant(offset), None],
            AmbiguousOffset::Gap { .. } => [self.gap_end(at), None],
            AmbiguousOffset::Fold { before, after } if self.every_hour => [instant(before), instant(after)],
            AmbiguousOffset::Fold { before, .. } => [instant(before), None],
        }
    }

    /// The instant at which clocks go forward over this time on the wall.
    fn gap_end(&self, at: NaiveDateTime) -> Option<Timestamp> {
        let ms = at.and_utc().timestamp_millis() - SHIFT_MAX.num_milliseconds() * 8;
        let from = jiff::Timestamp::from_millisecond(ms).ok()?;
        let next = self.zone.following(from).next()?;
        Some(Timestamp(next.timestamp().as_millisecond()))
    }

    fn local(&self, at: Timestamp) -> Option<NaiveDateTime> {
        let instant = jiff::Timestamp::from_millisecond(at.0).ok()?;
        let offset = self.zone.to_offset(instant);
        let ms = at.0.checked_add(i64::from(offset.seconds()) * 1000)?;
        DateTime::from_timestamp_millis(ms).map(|at| at.naive_utc())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The instants from one on, until another.
    fn all(cron: &str, zone: &str, from: &str, to: &str) -> Vec<String> {
        let pattern = Pattern::read(cron, zone).unwrap();
        let (mut at, to) = (Timestamp::parse(from).unwrap(), Timestamp::parse(to).unwrap());
        let mut found = Vec::new();
        while let Some(next) = pattern.next(at).filter(|next| *next < to) {
            assert!(next > at);
            found.push(next.to_string());
            at = next;
        }
        found
    }

    #[test]
    fn a_pattern_is_read_in_its_zone() {
        assert_eq!(
            all("30 7 * * MON-FRI", "Europe/Riga", "2026-11-26T00:00:00Z", "2026-12-01T00:00:00Z"),
            ["2026-11-26T05:30:00.000Z", "2026-11-27T05:30:00.000Z", "2026-11-30T05:30:00.000Z"]
                .map(|at| Timestamp::parse(at).unwrap().to_string())
        );
        assert_eq!(all("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", "2033-01-01T00:00:00Z").len(), 2);
    }

    fn times(times: &[&str]) -> Vec<String> {
        times.iter().map(|at| Timestamp::parse(at).unwrap().to_string()).collect()
    }

    #[test]
    fn a_time_that_is_skipped_counts_when_clocks_go_forward() {
        // In Berlin 2026-03-29 there is no 02:00 to 02:59: at 01:00Z clocks go from 02:00 to 03:00.
        let berlin = |cron| all(cron, "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z");
        assert_eq!(berlin("30 2 * * *"), times(&["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]));
        assert_eq!(berlin("0,20,40 2 * * *")[..2], times(&["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"]));
        assert_eq!(berlin("0 3 * * *"), times(&["2026-03-29T01:00:00Z", "2026-03-30T01:00:00Z"]));
        let hourly = all("0 * * * *", "Europe/Berlin", "2026-03-28T23:30:00Z", "2026-03-29T03:30:00Z");
        let want =
            ["2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z", "2026-03-29T03:00:00Z"];
        assert_eq!(hourly, times(&want));
    }

    #[test]
    fn a_time_that_comes_twice_counts_once_and_every_hour_counts_every_hour() {
        // In Berlin 2026-10-25 02:00 to 02:59 comes twice: from 00:00Z and from 01:00Z.
        let berlin = |cron| all(cron, "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z");
        assert_eq!(berlin("30 2 * * *"), times(&["2026-10-25T00:30:00Z"]));
        let hourly = all("30 * * * *", "Europe/Berlin", "2026-10-24T23:00:00Z", "2026-10-25T03:00:00Z");
        let want =
            ["2026-10-24T23:30:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"];
        assert_eq!(hourly, times(&want));
        // From the middle of the hour that is repeated on.
        assert_eq!(
            all("*/20 * * * *", "Europe/Berlin", "2026-10-25T00:50:00Z", "2026-10-25T01:50:00Z"),
            times(&["2026-10-25T01:00:00Z", "2026-10-25T01:20:00Z", "2026-10-25T01:40:00Z"])
        );
    }

    #[test]
    fn an_hour_every_hour_of_a_year_in_every_kind_of_zone() {
        for zone in ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"] {
            let found = all("0 * * * *", zone, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
            // Half an hour's shift leaves one hour that begins at half past the other's.
            assert!((8758..=8761).contains(&found.len()), "{zone}: {}", found.len());
        }
    }

    #[test]
    fn what_is_no_pattern_or_zone_is_refused_by_its_field() {
        for cron in ["", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "x * * * *", "@daily"] {
            assert_eq!(Pattern::read(cron, "UTC").unwrap_err().0, "cron", "{cron}");
        }
        let long = format!("{} * * * *", "1,".repeat(CRON_BYTES_MAX));
        assert_eq!(Pattern::read(&long, "UTC").unwrap_err().0, "cron");
        assert_eq!(Pattern::read("* * * * *", "Mars/Olympus").unwrap_err().0, "time_zone");
        assert!(Pattern::read("0 0 31 2 *", "UTC").map_or(true, |never| never.next(Timestamp(0)).is_none()));
    }
}
