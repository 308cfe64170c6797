//! What a fold is: which events it takes, and what it keeps of them.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::amount::{Amount, scaled};
use super::distinct::Distinct;
use super::recent::Recent;
use super::samples::Samples;
use super::series::Series;
use super::state::{State, hash, is_small};
use super::steps::Steps;
use super::tally::Tally;
use super::{Fold, SUM_SCALE};
use crate::condition::Condition;
use crate::event::{Event, VOID};
use crate::time::Timestamp;
use crate::value::Value;

/// Which events.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Source {
    /// The types that count, sorted; empty means every type.
    pub events: Vec<CompactString>,
    /// Conditions on the event, all of which must hold.
    pub filter: Vec<Condition>,
    /// Only events at or after this.
    pub from: Option<Timestamp>,
    /// Only events before this.
    pub until: Option<Timestamp>,
}

impl Source {
    /// Whether this event counts.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        (if self.events.is_empty() { event.kind != VOID } else { self.events.contains(&event.kind) })
            && self.from.is_none_or(|from| event.time >= from)
            && self.until.is_none_or(|until| event.time < until)
            && self
                .filter
                .iter()
                .all(|condition| condition.test.holds(event.property(&condition.property), event.time).holds)
    }
}

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Keep {
    /// How many.
    Count,
    /// The exact sum.
    Sum(Amount),
    /// Sum and number.
    Mean(Amount),
    /// The smallest amount.
    Least(Amount),
    /// The greatest.
    Greatest(Amount),
    /// The value of the first event in canonical order that has the property; its time when none is named.
    First(Option<CompactString>),
    /// The same of the last.
    Last(Option<CompactString>),
    /// The time of the first.
    FirstAt,
    /// The time of the last.
    LastAt,
    /// How often each value came, or the sum of its weights.
    Tally(CompactString, Option<CompactString>),
    /// Which different values came.
    Distinct(CompactString),
    /// The values seen last.
    Recent(CompactString),
    /// Times and amounts for so many milliseconds.
    Series(Option<Amount>, i64),
    /// Values (times when no property is named) and weights for so many milliseconds.
    Samples(Option<CompactString>, Option<CompactString>, i64),
    /// The steps of a sequence, one per source, with an equal property.
    Steps(Option<CompactString>),
}

/// A fold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Spec {
    /// Which events: one source, or one per step of a sequence.
    pub sources: Vec<Source>,
    /// What is kept of them.
    pub keep: Keep,
}

impl Spec {
    /// A fold over one source.
    #[must_use]
    pub fn new(source: Source, keep: Keep) -> Self {
        Self { sources: vec![source], keep }
    }

    /// Whether this event counts.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        self.sources.iter().any(|source| source.wants(event))
    }

    /// The event types that can count; None when every type can.
    #[must_use]
    pub fn kinds(&self) -> Option<Vec<&CompactString>> {
        let mut kinds = Vec::new();
        for source in &self.sources {
            if source.events.is_empty() {
                return None;
            }
            kinds.extend(&source.events);
        }
        kinds.sort_unstable();
        kinds.dedup();
        Some(kinds)
    }

    /// Whether whatever is read from `other` can be read from this fold as well.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        if self.sources != other.sources {
            return false;
        }
        match (&self.keep, &other.keep) {
            (Keep::Series(a, long), Keep::Series(b, short)) => {
                long >= short
                    && (a == b || (b.is_none() && a.as_ref().is_some_and(|amount| amount.money.is_none())))
            }
            (Keep::Samples(a, x, long), Keep::Samples(b, y, short)) => long >= short && a == b && x == y,
            (a, b) => a == b,
        }
    }

    /// Milliseconds for which a series or samples are kept.
    #[must_use]
    pub fn horizon_ms(&self) -> i64 {
        match &self.keep {
            Keep::Series(_, horizon) | Keep::Samples(_, _, horizon) => *horizon,
            _ => 0,
        }
    }

    /// The state of this one event.
    pub(super) fn alone(&self, event: &Event) -> Option<State> {
        let value = |pointer: &str| event.property(pointer).filter(|value| **value != Value::Null);
        let small = |pointer: &str| value(pointer).filter(|value| is_small(value)).cloned();
        let weight = |pointer: &Option<CompactString>| match pointer {
            Some(pointer) => scaled(event.property(pointer)?.as_decimal()?),
            None => Some(10_i128.pow(SUM_SCALE)),
        };
        let edge = |pointer: &Option<CompactString>| match pointer {
            Some(pointer) => value(pointer).cloned(),
            None => Some(Value::Text(event.time.to_string().into())),
        };
        let amount = |amount: &Amount, state: fn(i128) -> State| {
            let (units, code) = amount.of(event)?;
            Some(match code {
                Some(code) => State::Groups(vec![(code, state(units))]),
                None => state(units),
            })
        };
        match &self.keep {
            Keep::Count => Some(State::Count(1)),
            Keep::Sum(of) => amount(of, State::Sum),
            Keep::Mean(of) => amount(of, |units| State::Mean(1, units)),
            Keep::Least(of) => amount(of, State::Least),
            Keep::Greatest(of) => amount(of, State::Greatest),
            Keep::First(pointer) => edge(pointer).map(|value| State::First(event.stamp(), value)),
            Keep::Last(pointer) => edge(pointer).map(|value| State::Last(event.stamp(), value)),
            Keep::FirstAt => Some(State::FirstAt(event.time)),
            Keep::LastAt => Some(State::LastAt(event.time)),
            Keep::Tally(pointer, by) => Some(State::Tally(Tally::one(small(pointer)?, weight(by)?))),
            Keep::Distinct(pointer) => Some(State::Distinct(Distinct::one(hash(value(pointer)?)))),
            Keep::Recent(pointer) => Some(State::Recent(Recent::one(small(pointer)?, event.time))),
            Keep::Series(None, _) => Some(State::Series(Series::one(event.time, None))),
            Keep::Series(Some(of), _) if of.money.is_none() => {
                Some(State::Series(Series::one(event.time, of.of(event).map(|(units, _)| units))))
            }
            Keep::Series(Some(of), _) => {
                let (units, code) = of.of(event)?;
                let series = State::Series(Series::one(event.time, Some(units)));
                Some(match code {
                    Some(code) => State::Groups(vec![(code, series)]),
                    None => series,
                })
            }
            Keep::Samples(pointer, by, _) => {
                let value = edge(pointer).filter(is_small)?;
                Some(State::Samples(Samples::one(event.stamp(), value, weight(by)?)))
            }
            Keep::Steps(same) => {
                let key = match same {
                    Some(pointer) => hash(value(pointer)?),
                    None => 0,
                };
                let bits =
                    self.sources.iter().enumerate().map(|(n, source)| u8::from(source.wants(event)) << n);
                Some(State::Steps(Steps::one(event.stamp(), bits.fold(0, |a, b| a | b), key)))
            }
        }
    }

    /// Takes in an event of which [`Self::wants`] said that it counts.
    pub fn take(&self, state: &mut State, event: &Event) {
        if self.is_spared(state, event) {
            return;
        }
        match (&self.keep, &mut *state) {
            (Keep::Count, State::Count(count)) => *count += 1,
            (Keep::Series(of, horizon), State::Series(series)) => {
                let amount = of.as_ref().and_then(|of| of.of(event)).map(|(units, _)| units);
                // An event without an amount has its place among times, and none among money.
                let is_money = of.as_ref().is_some_and(|of| of.money.is_some());
                if amount.is_some() || !is_money {
                    series.take(event.time, amount, *horizon);
                }
            }
            _ => {
                if let Some(alone) = self.alone(event) {
                    state.add(alone, self.horizon_ms());
                }
            }
        }
    }

    /// Whether the event, which counts, changes nothing: most events of a history are neither first nor last.
    fn is_spared(&self, state: &State, event: &Event) -> bool {
        let later = |stamp: &crate::stamp::Stamp| {
            (event.time, event.source.as_str(), event.id.as_str())
                > (stamp.time(), stamp.source(), stamp.id())
        };
        match state {
            State::First(stamp, _) => later(stamp),
            State::Last(stamp, _) => !later(stamp),
            _ => false,
        }
    }
}

impl Fold for Spec {
    type State = State;

    fn step(&self, state: &mut State, event: &Event) {
        if self.wants(event) {
            self.take(state, event);
        }
    }

    fn combine(&self, mut left: State, right: State) -> State {
        left.add(right, self.horizon_ms());
        left
    }
}
