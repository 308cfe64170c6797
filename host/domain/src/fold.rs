//! Folds: how derived facts grow with events, and what they read at an instant.
//!
//! A state grows by [`Fold::step`], two disjoint histories join by [`Fold::combine`], in any order with the same
//! result; [`Fold::read`] gives the value at an instant and until when it holds if nothing new happens.
//! To add a built-in fold: a [`Kind`], its state, and a row in each of the three functions; the property test below
//! compares it with a plain computation over the sorted events.

use compact_str::CompactString;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::condition::{self, Condition};
use crate::event::Event;
use crate::stamp::Stamp;
use crate::time::Timestamp;
use crate::value::{Number, Value, exact};

/// The algebra that traits, aggregates, behavioural conditions and plugin derivations share.
pub trait Fold {
    /// What is kept per fragment. `Default` is the state of no events.
    type State: Default;

    /// Takes one event in. Each event is given once; the order does not matter.
    fn step(&self, state: &mut Self::State, event: &Event);

    /// Joins two disjoint histories. Commutative and associative; the default state is neutral.
    fn combine(&self, left: Self::State, right: Self::State) -> Self::State;

    /// The value at `as_of`.
    fn read(&self, state: &Self::State, as_of: Timestamp) -> Reading;
}

/// A fold's value at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// The value; None is "missing", which is not zero and not false.
    pub value: Option<Value>,
    /// The first later instant at which the value may change without a new event.
    pub valid_until: Option<Timestamp>,
}

/// Which built-in fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// How many events; 0 of nothing.
    Count,
    /// The exact sum of a property; 0 of nothing.
    Sum,
    /// The smallest number a property had.
    Min,
    /// The greatest.
    Max,
    /// The property of the first event in canonical order, or its time when no property is named.
    First,
    /// The same of the last.
    Last,
}

/// A built-in fold over the events of one type.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Aggregate {
    /// Which fold.
    pub kind: Kind,
    /// The event type that counts.
    pub event: CompactString,
    /// JSON pointer into `properties`.
    pub property: Option<CompactString>,
    /// Conditions on the event, all of which must hold.
    pub filter: Vec<Condition>,
}

/// The state of an [`Aggregate`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum State {
    /// No event counted yet.
    #[default]
    Nothing,
    /// How many.
    Count(u64),
    /// The sum in units of 10⁻¹², so that it is exact in any order.
    Sum(i128),
    /// The smallest or greatest so far.
    Extreme(#[serde(with = "exact")] Decimal),
    /// The first or last event's value.
    Edge(Stamp, Value),
}

/// Decimal places that sums keep.
pub const SUM_SCALE: u32 = 12;
/// Numbers at or above 10¹⁸, or with more than 12 decimal places, do not count in sums.
pub const SUM_VALUE_MAX: i64 = 1_000_000_000_000_000_000;

impl Aggregate {
    /// Whether this event counts.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        self.event == event.kind
            && self.filter.iter().all(|condition| {
                condition::holds(
                    condition.op,
                    event.property(&condition.property),
                    &condition.value,
                    event.time,
                )
                .holds
            })
    }

    fn number(&self, event: &Event) -> Option<Decimal> {
        event.property(self.property.as_deref()?)?.as_decimal()
    }

    /// None when the event has no such property: it then is neither first nor last.
    fn edge(&self, event: &Event) -> Option<Value> {
        match &self.property {
            Some(pointer) => event.property(pointer).filter(|value| **value != Value::Null).cloned(),
            None => Some(Value::Text(event.time.to_string().into())),
        }
    }
}

fn scaled(number: Decimal) -> Option<i128> {
    let number = number.normalize();
    if number.scale() > SUM_SCALE || number.abs() >= Decimal::from(SUM_VALUE_MAX) {
        return None;
    }
    Some(number.mantissa() * 10_i128.pow(SUM_SCALE - number.scale()))
}

impl Fold for Aggregate {
    type State = State;

    fn step(&self, state: &mut State, event: &Event) {
        if !self.wants(event) {
            return;
        }
        let alone = match self.kind {
            Kind::Count => Some(State::Count(1)),
            Kind::Sum => self.number(event).and_then(scaled).map(State::Sum),
            Kind::Min | Kind::Max => self.number(event).map(State::Extreme),
            Kind::First | Kind::Last => {
                if let State::Edge(stamp, _) = state {
                    // Most events of a history are neither first nor last: spare them the copies.
                    let later = (event.time, event.source.as_str(), event.id.as_str())
                        > (stamp.time(), stamp.source(), stamp.id());
                    if later != (self.kind == Kind::Last) {
                        return;
                    }
                }
                self.edge(event).map(|value| State::Edge(event.stamp(), value))
            }
        };
        if let Some(alone) = alone {
            *state = self.combine(std::mem::take(state), alone);
        }
    }

    fn combine(&self, left: State, right: State) -> State {
        match (left, right) {
            (State::Nothing, other) | (other, State::Nothing) => other,
            (State::Count(a), State::Count(b)) => State::Count(a + b),
            (State::Sum(a), State::Sum(b)) => State::Sum(a.saturating_add(b)),
            (State::Extreme(a), State::Extreme(b)) => {
                State::Extreme(if self.kind == Kind::Min { a.min(b) } else { a.max(b) })
            }
            (State::Edge(a, x), State::Edge(b, y)) => {
                if (a < b) == (self.kind == Kind::First) {
                    State::Edge(a, x)
                } else {
                    State::Edge(b, y)
                }
            }
            // States of one fold have one shape; a foreign one says nothing about this fold.
            (left, _) => left,
        }
    }

    fn read(&self, state: &State, _as_of: Timestamp) -> Reading {
        let value = match (state, self.kind) {
            (State::Nothing, Kind::Count) => Some(Value::from(0)),
            (State::Nothing, Kind::Sum) => Some(Value::from("0")),
            (State::Nothing, _) => None,
            (State::Count(n), _) => Some(Value::from(i64::try_from(*n).unwrap_or(i64::MAX))),
            (State::Sum(sum), _) => Some(Value::Text(Number::scaled(*sum, SUM_SCALE).plain())),
            (State::Extreme(number), _) => Some(Value::Text(Number::from(*number).plain())),
            (State::Edge(_, value), _) => Some(value.clone()),
        };
        Reading { value, valid_until: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Defaults;
    use crate::identity::Rules;
    use crate::json;
    use proptest::prelude::*;

    fn event(id: usize, time: i64, total: &str) -> Event {
        let text = format!(
            r#"{{"id":"{id}","type":"buy","time":"{}","identifiers":[{{"type":"u","value":"1"}}],"properties":{{"total":{total}}}}}"#,
            Timestamp(time)
        );
        let value = json::parse(text.as_bytes(), json::Options::default()).unwrap();
        Event::from_value(value, Defaults { source: "s", time: Timestamp(0), rules: &Rules::default() })
            .unwrap()
    }

    fn aggregate(kind: Kind) -> Aggregate {
        let property = (kind != Kind::Count).then(|| "/total".into());
        Aggregate { kind, event: "buy".into(), property, filter: Vec::new() }
    }

    fn naive(kind: Kind, events: &[Event]) -> Option<Value> {
        let mut sorted: Vec<_> = events.iter().collect();
        sorted.sort_by_key(|event| event.stamp());
        let of = |event: &&Event| event.property("/total").unwrap().clone();
        let numbers: Vec<_> = sorted.iter().map(|event| of(event).as_decimal().unwrap()).collect();
        let text = |number: Decimal| Value::Text(number.normalize().to_string().into());
        match kind {
            Kind::Count => Some(Value::from(sorted.len() as i64)),
            Kind::Sum => Some(text(numbers.iter().sum())),
            Kind::Min => numbers.iter().min().copied().map(text),
            Kind::Max => numbers.iter().max().copied().map(text),
            Kind::First => sorted.first().map(of),
            Kind::Last => sorted.last().map(of),
        }
    }

    proptest! {
        #[test]
        fn any_order_and_any_cut_give_what_a_plain_computation_gives(
            items in proptest::collection::vec((0_i64..5, -1000_i64..1000, 0_u32..4), 0..20),
            cut in any::<prop::sample::Index>(),
        ) {
            let events: Vec<_> = items.iter().enumerate()
                .map(|(id, &(time, m, s))| event(id, time, &Decimal::new(m, s).to_string())).collect();
            for kind in [Kind::Count, Kind::Sum, Kind::Min, Kind::Max, Kind::First, Kind::Last] {
                let fold = aggregate(kind);
                let run = |part: &[Event]| part.iter().rev().fold(State::default(), |mut s, e| { fold.step(&mut s, e); s });
                let (left, right) = events.split_at(if events.is_empty() { 0 } else { cut.index(events.len()) });
                let state = fold.combine(run(left), run(right));
                prop_assert_eq!(fold.read(&state, Timestamp(9)).value, naive(kind, &events));
            }
        }
    }

    #[test]
    fn sums_are_exact_where_doubles_are_not() {
        let fold = aggregate(Kind::Sum);
        let mut state = State::default();
        for id in 0..10 {
            fold.step(&mut state, &event(id, 0, "0.1"));
        }
        assert_eq!(fold.read(&state, Timestamp(0)).value, Some("1".into()));
    }

    #[test]
    fn sums_take_numbers_up_to_their_bounds_and_no_further() {
        let sum = |total: &str| {
            let fold = aggregate(Kind::Sum);
            let mut state = State::default();
            fold.step(&mut state, &event(1, 0, total));
            fold.read(&state, Timestamp(0)).value
        };
        assert_eq!(sum("9999999999999999.999999999999"), Some("9999999999999999.999999999999".into()));
        assert_eq!(sum("999999999999999999"), Some("999999999999999999".into()));
        assert_eq!(sum("1000000000000000000"), Some("0".into()));
        assert_eq!(sum("0.0000000000001"), Some("0".into()));
    }
}
