//! Instants in whole milliseconds since 1970-01-01T00:00:00Z, read from and written as RFC 3339.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An instant, in milliseconds. Finer parts of a text are cut off, towards the past.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The earliest instant that is accepted: 0001-01-01T00:00:00Z.
    pub const MIN: Self = Self(-62_135_596_800_000);
    /// The latest instant that is accepted: 9999-12-30T22:00:00Z, what the calendar library can hold.
    pub const MAX: Self = Self(253_402_207_200_000);

    /// Reads an RFC 3339 text with a zone (`Z` or an offset); a date alone means its midnight in UTC.
    ///
    /// # Errors
    /// One sentence that says what is wrong, for the client.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(ms) = parse_plain(text.as_bytes()) {
            return Ok(Self(ms));
        }
        let text = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
        let parsed: jiff::Timestamp =
            text.parse().map_err(|_| "is not an RFC 3339 time such as 2026-11-23T11:58:00Z".to_owned())?;
        let ms = parsed.as_nanosecond().div_euclid(1_000_000);
        let ms = Self(i64::try_from(ms).map_err(|_| "is out of range".to_owned())?);
        if ms < Self::MIN || ms > Self::MAX {
            return Err("is out of range (0001 to 9999)".to_owned());
        }
        Ok(ms)
    }
}

/// Whether `name` is a time zone of the IANA database that is built in.
#[must_use]
pub fn is_zone(name: &str) -> bool {
    name == "UTC" || jiff::tz::TimeZoneDatabase::bundled().get(name).is_ok()
}

/// A time zone, for windows that count calendar days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Zone {
    /// Coordinated universal time: every day has 24 hours.
    Utc,
    /// A zone of the IANA database that is built in.
    Named(jiff::tz::TimeZone),
}

impl Zone {
    /// The zone of this IANA name; None when there is no such.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        if name == "UTC" {
            return Some(Self::Utc);
        }
        jiff::tz::TimeZoneDatabase::bundled().get(name).ok().map(Self::Named)
    }

    /// The first instant of the local day that comes `days` after the one that `at` lies in.
    ///
    /// Where midnight does not exist the day begins when the clock went on, where it comes twice the first time counts.
    /// Days outside the calendar are those at its ends.
    #[must_use]
    pub fn day_start(&self, at: Timestamp, days: i64) -> Timestamp {
        const DAY: i64 = 86_400_000;
        let Self::Named(zone) = self else {
            return Timestamp(at.0.div_euclid(DAY).saturating_add(days).saturating_mul(DAY));
        };
        let end = if days < 0 { Timestamp::MIN } else { Timestamp::MAX };
        let start = || {
            let local = jiff::Timestamp::from_millisecond(at.0).ok()?.to_zoned_datetime(zone.clone());
            let date = local.date().checked_add(jiff::Span::new().try_days(days).ok()?).ok()?;
            let first = date.to_zoned_datetime(zone.clone()).ok()?.start_of_day().ok()?;
            Some(Timestamp(first.timestamp().as_millisecond()))
        };
        start().unwrap_or(end)
    }

    /// An instant as clocks of this zone show it, in the form that `strftime` takes, such as `%Y-%m-%d %H:%M`.
    #[must_use]
    pub fn show(&self, at: Timestamp, form: &str) -> String {
        let zone = match self {
            Self::Utc => jiff::tz::TimeZone::UTC,
            Self::Named(zone) => zone.clone(),
        };
        match jiff::Timestamp::from_millisecond(at.0) {
            Ok(instant) => {
                let local = instant.to_zoned_datetime(zone);
                jiff::fmt::strtime::format(form, &local).unwrap_or_else(|_| at.to_string())
            }
            Err(_) => at.to_string(),
        }
    }

    /// The first instant of a day such as `2026-11-23` in this zone; None when it is no day.
    #[must_use]
    pub fn day(&self, text: &str) -> Option<Timestamp> {
        let date: jiff::civil::Date = text.trim().parse().ok()?;
        // Noon exists everywhere on every day.
        let noon = match self {
            Self::Utc => date.at(12, 0, 0, 0).to_zoned_datetime(jiff::tz::TimeZone::UTC),
            Self::Named(zone) => date.at(12, 0, 0, 0).to_zoned_datetime(zone.clone()),
        };
        Some(self.day_start(Timestamp(noon.ok()?.timestamp().as_millisecond()), 0))
    }
}

/// The common form `YYYY-MM-DDTHH:MM:SS[.fff…]Z`, without going through the general parser: it stands in every event.
fn parse_plain(b: &[u8]) -> Option<i64> {
    let n = b.len();
    if n < 20
        || b[n - 1] != b'Z'
        || b[4] != b'-'
        || b[7] != b'-'
        || b[10] != b'T'
        || b[13] != b':'
        || b[16] != b':'
    {
        return None;
    }
    let two = |i: usize| -> Option<i64> {
        (b[i].is_ascii_digit() && b[i + 1].is_ascii_digit())
            .then(|| i64::from(b[i] - b'0') * 10 + i64::from(b[i + 1] - b'0'))
    };
    let year = two(0)? * 100 + two(2)?;
    let (month, day, hour, minute, second) = (two(5)?, two(8)?, two(11)?, two(14)?, two(17)?);
    if !(1..=9998).contains(&year) || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let days = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if day < 1 || day > days[usize::try_from(month - 1).ok()?] {
        return None;
    }
    let mut ms = 0;
    if n > 20 {
        let fraction = &b[20..n - 1];
        if b[19] != b'.' || fraction.is_empty() || !fraction.iter().all(u8::is_ascii_digit) {
            return None;
        }
        for i in 0..3 {
            ms = ms * 10 + fraction.get(i).map_or(0, |d| i64::from(d - b'0'));
        }
    }
    // Days from the civil calendar (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y - era * 400;
    let doy = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    let days = era * 146_097 + doe - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + ms)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_) => write!(f, "out of range ({} ms)", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn offsets_dates_and_fractions_are_read() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.0019Z", 1),
            ("1969-12-31T23:59:59.9999Z", -1),
            ("2024-03-01T09:00:00.000+01:00", 1_709_280_000_000),
            ("2024-02-29", 1_709_164_800_000),
        ] {
            assert_eq!(Timestamp::parse(text), Ok(Timestamp(ms)), "{text}");
        }
    }

    #[test]
    fn days_have_the_hours_that_their_zone_gives_them() {
        let hours = |zone: &str, at: &str| {
            let (zone, at) = (Zone::named(zone).unwrap(), Timestamp::parse(at).unwrap());
            (zone.day_start(at, 1).0 - zone.day_start(at, 0).0) / 3_600_000
        };
        let start = |zone: &str, at: &str| {
            Zone::named(zone).unwrap().day_start(Timestamp::parse(at).unwrap(), 0).to_string()
        };
        assert_eq!(hours("America/New_York", "2026-03-08T12:00:00Z"), 23);
        assert_eq!(hours("America/New_York", "2026-11-01T12:00:00Z"), 25);
        assert_eq!(hours("America/New_York", "2026-07-01T12:00:00Z"), 24);
        // In São Paulo the clock went from 23:59:59 to 01:00:00: midnight did not exist.
        assert_eq!(hours("America/Sao_Paulo", "2018-11-04T12:00:00Z"), 23);
        assert_eq!(start("America/Sao_Paulo", "2018-11-04T12:00:00Z"), "2018-11-04T03:00:00.000Z");
        assert_eq!(start("Asia/Kolkata", "2026-01-01T18:29:59.999Z"), "2025-12-31T18:30:00.000Z");
        assert_eq!(start("Asia/Kolkata", "2026-01-01T18:30:00Z"), "2026-01-01T18:30:00.000Z");
        assert_eq!(start("UTC", "1969-12-31T23:59:59.999Z"), "1969-12-31T00:00:00.000Z");
        assert!(Zone::named("Mars/Olympus").is_none());
    }

    #[test]
    fn an_instant_is_shown_as_the_clocks_of_a_zone_do_and_a_day_begins_there() {
        let at = Timestamp::parse("2026-07-01T23:30:00Z").unwrap();
        let show = |zone: &str| Zone::named(zone).unwrap().show(at, "%Y-%m-%d %H:%M");
        assert_eq!(
            (show("UTC"), show("Europe/Riga")),
            ("2026-07-01 23:30".into(), "2026-07-02 02:30".into())
        );
        let day = |zone: &str, text: &str| Zone::named(zone).unwrap().day(text).map(|at| at.to_string());
        assert_eq!(day("Europe/Riga", "2026-07-02").as_deref(), Some("2026-07-01T21:00:00.000Z"));
        assert_eq!(day("America/Sao_Paulo", "2018-11-04").as_deref(), Some("2018-11-04T03:00:00.000Z"));
        assert_eq!(day("UTC", " 1970-01-02 ").as_deref(), Some("1970-01-02T00:00:00.000Z"));
        assert_eq!((day("UTC", "2026-02-30"), day("UTC", "soon")), (None, None));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in [
            "",
            "yesterday",
            "2024-02-30T00:00:00Z",
            "2023-02-29",
            "2024-01-01T25:00:00Z",
            "2024-01-01 10:00",
        ] {
            assert!(Timestamp::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn printing_and_reading_agree_with_the_library(ms in -62_135_596_800_000_i64..253_402_207_200_000) {
            let text = Timestamp(ms).to_string();
            prop_assert_eq!(Timestamp::parse(&text), Ok(Timestamp(ms)));
        }
    }
}
