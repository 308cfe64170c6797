//! Reading a state: the value at an instant, and until when it holds.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::State;
use super::amount::{SUM_SCALE, mean, print};
use super::recent::Recent;
use super::samples::{Sample, tally};
use super::series::Total;
use crate::time::{Timestamp, Zone};
use crate::value::{Object, Value};
use crate::window::Window;

/// One, in the units that amounts are kept in.
const UNITS: i128 = 10_i128.pow(SUM_SCALE);

/// When something is read, and in which zone days are counted.
#[derive(Debug, Clone, Copy)]
pub struct At<'a> {
    /// The instant. No event in a state is later.
    pub as_of: Timestamp,
    /// The tenant's zone.
    pub zone: &'a Zone,
}

impl At<'_> {
    /// The same zone at another instant.
    #[must_use]
    pub fn moved(self, as_of: Timestamp) -> Self {
        Self { as_of, ..self }
    }
}

/// A value at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// The value; None is "missing", which is not zero and not false.
    pub value: Option<Value>,
    /// The first later instant at which the value may change without a new event.
    pub valid_until: Option<Timestamp>,
}

impl Reading {
    fn of(value: impl Into<Option<Value>>) -> Self {
        Self { value: value.into(), valid_until: None }
    }
}

/// In what a stretch of time is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Unit {
    Seconds,
    Minutes,
    Hours,
    Days,
}

impl Unit {
    /// Milliseconds of one.
    #[must_use]
    pub const fn ms(self) -> i64 {
        match self {
            Self::Seconds => 1000,
            Self::Minutes => 60_000,
            Self::Hours => 3_600_000,
            Self::Days => 86_400_000,
        }
    }
}

/// What is read of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of the kinds of attributes")]
pub enum How {
    Count,
    Sum,
    Mean,
    Least,
    Greatest,
    First,
    Last,
    MostFrequent,
    DistinctCount,
    UniqueList,
    /// Whole units since the first event, not below 0.
    SinceFirst(Unit),
    /// Whole units since the last event, not below 0.
    SinceLast(Unit),
}

/// How amounts are printed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Printed {
    /// As short as they are.
    #[default]
    Plain,
    /// With the decimal places of this currency.
    Money(CompactString),
    /// An object with an amount per currency.
    Each,
}

/// What is read of a fold, in which window.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Read {
    /// What.
    pub how: How,
    /// Of which stretch of time; None is the whole history.
    pub window: Option<Window>,
    /// The fold's own, see [`super::Spec::horizon_ms`].
    pub horizon_ms: i64,
    /// How amounts look.
    pub printed: Printed,
}

impl Read {
    /// The value at an instant.
    #[must_use]
    pub fn read(&self, state: &State, at: At<'_>) -> Reading {
        match (&self.printed, state) {
            (Printed::Each, State::Groups(groups)) => self.groups(groups, at),
            (Printed::Each, _) => Reading::of(self.is_counting().then(|| Value::Object(Object::default()))),
            (Printed::Money(code), state) => self.one(state, Some(code), at),
            (Printed::Plain, state) => self.one(state, None, at),
        }
    }

    /// What [`Self::read`] says where that is a plain number: in units of 10⁻¹² before anything is printed, with the instant
    /// until which it holds; None where it is something else.
    pub(crate) fn units(&self, state: &State, at: At<'_>) -> Option<(Option<i128>, Option<Timestamp>)> {
        let count = |n: u64| i128::from(n) * UNITS;
        if matches!(self.printed, Printed::Each) {
            return None;
        }
        match (state, self.how) {
            (State::Nothing, How::Count | How::Sum) => Some((Some(0), None)),
            (State::Nothing, How::Least | How::Greatest) => Some((None, None)),
            (State::Count(n), _) => Some((Some(count(*n)), None)),
            (State::Sum(units) | State::Least(units) | State::Greatest(units), _) => {
                Some((Some(*units), None))
            }
            (State::Series(series), How::Count | How::Sum | How::Least | How::Greatest) => {
                let window = self.window.unwrap_or(Window::Rolling(i64::MAX));
                let (total, until) = series.within(window, self.horizon_ms, at.as_of, at.zone);
                let some = |amount| (total.amounts > 0).then_some(amount);
                let units = match self.how {
                    How::Count => Some(count(total.count)),
                    How::Sum => Some(total.sum),
                    How::Least => some(total.least),
                    _ => some(total.greatest),
                };
                Some((units, until))
            }
            _ => None,
        }
    }

    /// The time that a reading of "since" counts from, in the whole history.
    #[must_use]
    pub fn since(&self, state: &State) -> Option<(Timestamp, Unit)> {
        match (self.how, state) {
            (How::SinceFirst(unit), State::FirstAt(at)) | (How::SinceLast(unit), State::LastAt(at)) => {
                Some((*at, unit))
            }
            _ => None,
        }
    }

    fn is_counting(&self) -> bool {
        matches!(self.how, How::Count | How::Sum)
    }

    fn groups(&self, groups: &[(CompactString, State)], at: At<'_>) -> Reading {
        let mut out = Object::default();
        let mut valid_until = None;
        for (code, state) in groups {
            let reading = self.one(state, Some(code), at);
            valid_until = crate::condition::earlier(valid_until, reading.valid_until);
            // A currency of which nothing is left in the window is not shown as zero.
            let empty = matches!(state, State::Series(_)) && reading.valid_until.is_none();
            if let Some(value) = reading.value.filter(|_| !empty) {
                out.insert(code, value);
            }
        }
        let missing = out.is_empty() && !self.is_counting();
        Reading { value: (!missing).then_some(Value::Object(out)), valid_until }
    }

    fn one(&self, state: &State, code: Option<&str>, at: At<'_>) -> Reading {
        let count = |n: u64| Value::from(i64::try_from(n).unwrap_or(i64::MAX));
        match state {
            State::Nothing | State::Groups(_) => Reading::of(self.nothing(code)),
            State::Count(n) => Reading::of(count(*n)),
            State::Sum(units) | State::Least(units) | State::Greatest(units) => {
                Reading::of(print(*units, code))
            }
            State::Mean(n, units) => Reading::of(mean(*units, *n)),
            State::First(_, value) | State::Last(_, value) => Reading::of(value.clone()),
            State::FirstAt(since) | State::LastAt(since) => self.elapsed(*since, at),
            State::Tally(tally) => Reading::of(tally.greatest().cloned()),
            State::Distinct(distinct) => Reading::of(Value::from(distinct.count())),
            State::Recent(recent) => Reading::of(recent.list()),
            State::Series(series) => {
                let window = self.window.unwrap_or(Window::Rolling(i64::MAX));
                if let How::SinceFirst(_) | How::SinceLast(_) = self.how {
                    let begins = window.begins(at.as_of, at.zone);
                    let mut inside = series.times(self.horizon_ms).filter(|time| *time >= begins);
                    let found = if matches!(self.how, How::SinceFirst(_)) {
                        inside.next()
                    } else {
                        inside.next_back()
                    };
                    let Some(since) = found else { return Reading::default() };
                    let reading = self.elapsed(since, at);
                    let leaves = Some(window.expires(since, at.zone));
                    let valid_until = crate::condition::earlier(reading.valid_until, leaves);
                    return Reading { valid_until, ..reading };
                }
                let (total, valid_until) = series.within(window, self.horizon_ms, at.as_of, at.zone);
                Reading { value: self.total(&total, code), valid_until }
            }
            State::Samples(samples) => {
                let window = self.window.unwrap_or(Window::Rolling(i64::MAX));
                let (inside, valid_until) = samples.within(window, at.as_of, at.zone);
                Reading { value: self.samples(inside), valid_until }
            }
            State::Steps(_) => Reading::default(),
        }
    }

    fn nothing(&self, code: Option<&str>) -> Option<Value> {
        match self.how {
            How::Count => Some(Value::from(0)),
            How::Sum => Some(print(0, code)),
            _ => None,
        }
    }

    fn total(&self, total: &Total, code: Option<&str>) -> Option<Value> {
        match self.how {
            How::Count => Some(Value::from(i64::try_from(total.count).unwrap_or(i64::MAX))),
            How::Sum => Some(print(total.sum, code)),
            How::Mean => mean(total.sum, total.amounts),
            How::Least => (total.amounts > 0).then(|| print(total.least, code)),
            How::Greatest => (total.amounts > 0).then(|| print(total.greatest, code)),
            _ => None,
        }
    }

    fn samples(&self, inside: &[Sample]) -> Option<Value> {
        match self.how {
            How::First => inside.first().map(|sample| sample.value.clone()),
            How::Last => inside.last().map(|sample| sample.value.clone()),
            How::MostFrequent => tally(inside).greatest().cloned(),
            How::DistinctCount | How::UniqueList => {
                let mut last = Recent::default();
                let mut count = 0;
                let mut seen: Vec<&Value> = Vec::new();
                for sample in inside.iter().rev() {
                    if !seen.contains(&&sample.value) {
                        seen.push(&sample.value);
                        count += 1;
                        last.add(Recent::one(sample.value.clone(), sample.at()));
                    }
                }
                if count == 0 {
                    return None;
                }
                Some(if self.how == How::DistinctCount { Value::from(count) } else { last.list() })
            }
            _ => None,
        }
    }

    fn elapsed(&self, since: Timestamp, at: At<'_>) -> Reading {
        let (How::SinceFirst(unit) | How::SinceLast(unit)) = self.how else { return Reading::default() };
        let units = (at.as_of.0.saturating_sub(since.0)).max(0) / unit.ms();
        let next = Timestamp(since.0.saturating_add((units + 1).saturating_mul(unit.ms())));
        Reading { value: Some(Value::from(units)), valid_until: Some(next) }
    }
}
