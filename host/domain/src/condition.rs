//! Operators: how a value is compared with what a rule asks for, and until when the answer holds.
//!
//! Missing is not false: on a missing or wrongly typed value every operator answers no, except `not_exists`
//! on a missing one. `not` around a condition turns that answer round.

use std::hash::{Hash, Hasher};
use std::sync::OnceLock;

use compact_str::CompactString;
use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::problem::{Code, Problem, step};
use crate::time::Timestamp;
use crate::value::{Object, Value};
use crate::window::Window;

/// Milliseconds of a day of 24 hours.
pub const DAY_MS: i64 = 86_400_000;
/// Bytes of a pattern of `matches`.
pub const PATTERN_BYTES_MAX: usize = 512;
/// Bytes that a compiled pattern of `matches` may take; the engine matches in linear time.
pub const PATTERN_COMPILED_BYTES_MAX: usize = 256 * 1024;
/// Conditions in one `where`.
pub const WHERE_MAX: usize = 32;

/// A comparison of one property of an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Condition {
    /// JSON pointer into `properties`.
    pub property: CompactString,
    /// How to compare, and with what.
    pub test: Test,
}

/// An operator and what it compares with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Test {
    /// How to compare.
    pub op: Op,
    /// With what.
    pub value: Value,
    /// The compiled pattern of `matches`, made at its first use.
    #[serde(skip)]
    pattern: OnceLock<Option<Regex>>,
    /// The amounts that an ordering compares with, made at its first use.
    #[serde(skip)]
    bounds: OnceLock<Option<(i128, i128)>>,
}

/// Amounts from here on are compared as decimals, which have 28 digits.
const BOUND_MAX: i128 = 10_i128.pow(27);

impl PartialEq for Test {
    fn eq(&self, other: &Self) -> bool {
        self.op == other.op && self.value == other.value
    }
}

impl Eq for Test {}

impl Hash for Test {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.op, &self.value).hash(state);
    }
}

impl Test {
    /// A test that is known to be well formed.
    #[must_use]
    pub fn new(op: Op, value: Value) -> Self {
        Self { op, value, pattern: OnceLock::new(), bounds: OnceLock::new() }
    }

    /// Compares `left` with what is asked for; see [`holds`].
    #[must_use]
    pub fn holds(&self, left: Option<&Value>, as_of: Timestamp) -> Answer {
        if self.op == Op::Matches {
            let Some(Value::Text(text)) = left else { return false.into() };
            let pattern = self.pattern.get_or_init(|| compile(self.value.as_text()?).ok());
            return pattern.as_ref().is_some_and(|pattern| pattern.is_match(text)).into();
        }
        holds(self.op, left, &self.value, as_of)
    }

    /// What [`Self::holds`] says of an amount in units of 10⁻¹² (None: there is none), without printing and reading it;
    /// None where it is not one of the orderings between numbers.
    pub(crate) fn holds_units(&self, units: Option<i128>) -> Option<bool> {
        let (low, high) = self
            .bounds
            .get_or_init(|| {
                let units = |value: &Value| crate::fold::units(value.as_decimal()?);
                match (self.op, &self.value) {
                    (Op::Gt | Op::Gte | Op::Lt | Op::Lte, value) => units(value).map(|one| (one, one)),
                    (Op::Between, Value::List(ends)) if ends.len() == 2 => {
                        units(&ends[0]).zip(units(&ends[1]))
                    }
                    _ => None,
                }
            })
            .as_ref()
            .copied()?;
        let Some(units) = units else { return Some(false) };
        (units.abs() < BOUND_MAX).then(|| match self.op {
            Op::Gt => units > low,
            Op::Gte => units >= low,
            Op::Lt => units < low,
            Op::Lte => units <= low,
            _ => (low..=high).contains(&units),
        })
    }

    /// The fields `op` and `value` as clients write them.
    #[must_use]
    pub fn write(&self) -> Vec<(&'static str, Value)> {
        let mut members = vec![("op", Value::from(self.op.name()))];
        if !matches!(self.op, Op::Exists | Op::NotExists) {
            members.push(("value", self.value.clone()));
        }
        members
    }

    /// The numbers that it compares with: between them its answer on numbers does not change.
    pub(crate) fn thresholds(&self) -> Vec<rust_decimal::Decimal> {
        match &self.value {
            Value::List(items) => items.iter().filter_map(Value::as_decimal).collect(),
            one => one.as_decimal().into_iter().collect(),
        }
    }
}

fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("must be a pattern of at most {PATTERN_BYTES_MAX} bytes"));
    }
    RegexBuilder::new(pattern)
        .size_limit(PATTERN_COMPILED_BYTES_MAX)
        .dfa_size_limit(PATTERN_COMPILED_BYTES_MAX)
        .nest_limit(32)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => {
                format!("must be a pattern that compiles to at most {PATTERN_COMPILED_BYTES_MAX} bytes")
            }
            _ => "must be a regular expression".to_owned(),
        })
}

/// How to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it; the documentation has the table")]
pub enum Op {
    Eq,
    Ne,
    Gt,
    Gte,
    Lt,
    Lte,
    Between,
    In,
    NotIn,
    Contains,
    NotContains,
    StartsWith,
    EndsWith,
    Matches,
    Exists,
    NotExists,
    Before,
    After,
    WithinLast,
    WithinNext,
}

/// All operators with their names in rules.
pub const OPS: [(&str, Op); 20] = [
    ("eq", Op::Eq),
    ("ne", Op::Ne),
    ("gt", Op::Gt),
    ("gte", Op::Gte),
    ("lt", Op::Lt),
    ("lte", Op::Lte),
    ("between", Op::Between),
    ("in", Op::In),
    ("not_in", Op::NotIn),
    ("contains", Op::Contains),
    ("not_contains", Op::NotContains),
    ("starts_with", Op::StartsWith),
    ("ends_with", Op::EndsWith),
    ("matches", Op::Matches),
    ("exists", Op::Exists),
    ("not_exists", Op::NotExists),
    ("before", Op::Before),
    ("after", Op::After),
    ("within_last", Op::WithinLast),
    ("within_next", Op::WithinNext),
];

/// A yes or no at an instant, and the first later instant at which it may turn without anything new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Whether it holds.
    pub holds: bool,
    /// When that may change by itself.
    pub valid_until: Option<Timestamp>,
}

/// The earlier of two instants, where None is never.
#[must_use]
pub fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

impl From<bool> for Answer {
    fn from(holds: bool) -> Self {
        Self { holds, valid_until: None }
    }
}

/// Compares `left` with `right` at `as_of`.
///
/// Numbers compare exactly, also with strings that spell a number on the other side of a number; strings compare by
/// bytes; `before`, `after` and the windows read RFC 3339 strings. `{"days": n}` is n × 24 hours, its start exclusive:
/// `within_last` holds while `as_of − t < n days` and t is not in the future. `matches` is answered by [`Test::holds`].
#[must_use]
pub fn holds(op: Op, left: Option<&Value>, right: &Value, as_of: Timestamp) -> Answer {
    let left = left.filter(|value| **value != Value::Null);
    let Some(left) = left else { return (op == Op::NotExists).into() };
    match op {
        Op::Exists => true.into(),
        Op::NotExists => false.into(),
        Op::Eq => (equal(left, right) == Some(true)).into(),
        Op::Ne => (equal(left, right) == Some(false)).into(),
        Op::Gt | Op::Gte | Op::Lt | Op::Lte => compare(left, right)
            .is_some_and(|order| match op {
                Op::Gt => order.is_gt(),
                Op::Gte => order.is_ge(),
                Op::Lt => order.is_lt(),
                _ => order.is_le(),
            })
            .into(),
        Op::Between => match right {
            Value::List(ends) if ends.len() == 2 => {
                let above = compare(left, &ends[0]).is_some_and(std::cmp::Ordering::is_ge);
                (above && compare(left, &ends[1]).is_some_and(std::cmp::Ordering::is_le)).into()
            }
            _ => false.into(),
        },
        Op::In | Op::NotIn => match right {
            Value::List(items) => {
                let answers = || items.iter().map(|item| equal(left, item));
                let found = answers().any(|answer| answer == Some(true));
                (if op == Op::In { found } else { !found && answers().any(|answer| answer == Some(false)) })
                    .into()
            }
            _ => false.into(),
        },
        Op::Contains | Op::NotContains => {
            let found = match (left, right) {
                (Value::Text(text), Value::Text(part)) => Some(text.contains(part.as_str())),
                (Value::List(items), item) => {
                    Some(items.iter().any(|other| equal(other, item) == Some(true)))
                }
                _ => None,
            };
            (found == Some(op == Op::Contains)).into()
        }
        Op::StartsWith | Op::EndsWith => match (left, right) {
            (Value::Text(text), Value::Text(part)) if op == Op::StartsWith => {
                text.starts_with(part.as_str()).into()
            }
            (Value::Text(text), Value::Text(part)) => text.ends_with(part.as_str()).into(),
            _ => false.into(),
        },
        Op::Matches => false.into(),
        Op::Before | Op::After => match (time(left), time(right)) {
            (Some(a), Some(b)) => (if op == Op::Before { a < b } else { a > b }).into(),
            _ => false.into(),
        },
        Op::WithinLast | Op::WithinNext => match (time(left), window_ms(right)) {
            (Some(at), Some(length)) if op == Op::WithinLast => {
                within(as_of, at, Timestamp(at.0.saturating_add(length)))
            }
            (Some(at), Some(length)) => within(
                as_of,
                Timestamp(at.0.saturating_sub(length).saturating_add(1)),
                Timestamp(at.0.saturating_add(1)),
            ),
            _ => false.into(),
        },
    }
}

/// True from `start` until just before `end`, with the instant of the next turn.
fn within(as_of: Timestamp, start: Timestamp, end: Timestamp) -> Answer {
    if as_of < start {
        Answer { holds: false, valid_until: Some(start) }
    } else if as_of < end {
        Answer { holds: true, valid_until: Some(end) }
    } else {
        false.into()
    }
}

fn time(value: &Value) -> Option<Timestamp> {
    Timestamp::parse(value.as_text()?).ok()
}

fn window_ms(value: &Value) -> Option<i64> {
    match Window::of(value) {
        Some(Window::Rolling(ms)) => Some(ms),
        _ => None,
    }
}

/// None when the two are of kinds that cannot be equal.
pub(crate) fn equal(left: &Value, right: &Value) -> Option<bool> {
    match (left, right) {
        (Value::Number(_), _) | (_, Value::Number(_)) => Some(left.as_decimal()? == right.as_decimal()?),
        (Value::Text(a), Value::Text(b)) => Some(a == b),
        (Value::Bool(a), Value::Bool(b)) => Some(a == b),
        (Value::List(a), Value::List(b)) => Some(a == b),
        (Value::Object(a), Value::Object(b)) => Some(a == b),
        _ => None,
    }
}

/// As numbers where both are (or spell) numbers, else strings by bytes.
pub(crate) fn compare(left: &Value, right: &Value) -> Option<std::cmp::Ordering> {
    match (left.as_decimal(), right.as_decimal()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => match (left, right) {
            (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
            _ => None,
        },
    }
}

impl Op {
    /// The word on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        OPS.iter().find(|(_, op)| *op == self).expect("every operator is in the table").0
    }
}

impl Test {
    /// Reads an operator and the value it needs from a condition's fields; None after adding to `problems`.
    pub(crate) fn read(object: &Object, place: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        let name = match object.get("op") {
            Some(Value::Text(name)) => name.as_str(),
            Some(other) => {
                let detail = format!("must be a string, not {}", other.type_name());
                problems.push(Problem::new(format!("{place}/op"), Code::WrongType, detail));
                return None;
            }
            None => {
                problems.push(Problem::new(format!("{place}/op"), Code::Required, "is required"));
                return None;
            }
        };
        let Some((_, op)) = OPS.into_iter().find(|(known, _)| *known == name) else {
            let known: Vec<_> = OPS.iter().map(|(known, _)| *known).collect();
            let detail = format!("is not an operator; there are {}", known.join(", "));
            problems.push(Problem::new(format!("{place}/op"), Code::Unknown, detail));
            return None;
        };
        let value = object.get("value").cloned().unwrap_or_default();
        let number = |v: &Value| v.as_decimal().is_some();
        let complaint = match op {
            Op::Exists | Op::NotExists => None,
            Op::Eq | Op::Ne | Op::Contains | Op::NotContains if value == Value::Null => Some("is required"),
            Op::Gt | Op::Gte | Op::Lt | Op::Lte if !number(&value) && value.as_text().is_none() => {
                Some("must be a number or a string")
            }
            Op::Between if !matches!(&value, Value::List(ends) if ends.len() == 2) => {
                Some("must be an array of two values")
            }
            Op::In | Op::NotIn if !matches!(&value, Value::List(items) if !items.is_empty()) => {
                Some("must be an array of values")
            }
            Op::StartsWith | Op::EndsWith if value.as_text().is_none() => Some("must be a string"),
            Op::Before | Op::After if time(&value).is_none() => Some("must be an RFC 3339 time"),
            Op::WithinLast | Op::WithinNext if window_ms(&value).is_none() => {
                Some("must be {\"days\": n}, {\"hours\": n} or {\"minutes\": n} with a whole n from 1")
            }
            Op::Matches if value.as_text().is_none() => Some("must be a regular expression"),
            _ => None,
        };
        if op == Op::Matches
            && let Some(Err(detail)) = value.as_text().map(compile)
        {
            problems.push(Problem::new(format!("{place}/value"), Code::Invalid, detail));
            return None;
        }
        if let Some(detail) = complaint {
            problems.push(Problem::new(format!("{place}/value"), Code::Invalid, detail));
            return None;
        }
        Some(Self::new(op, value))
    }
}

/// Reads a list of conditions on an event (`where`).
pub(crate) fn read_list(value: &Value, place: &str, problems: &mut Vec<Problem>) -> Vec<Condition> {
    let Value::List(items) = value else {
        problems.push(Problem::new(place, Code::WrongType, "must be an array of conditions"));
        return Vec::new();
    };
    if items.len() > WHERE_MAX {
        problems.push(Problem::new(place, Code::TooLong, format!("has more than {WHERE_MAX} conditions")));
        return Vec::new();
    }
    let mut out = Vec::new();
    for (n, item) in items.iter().enumerate() {
        let place = format!("{place}/{n}");
        let Some(object) = item.as_object() else {
            problems.push(Problem::new(place, Code::WrongType, "a condition is an object"));
            continue;
        };
        unknown(object, &["property", "op", "value"], &place, problems);
        let property =
            object.get("property").and_then(Value::as_text).filter(|pointer| pointer.starts_with('/'));
        if property.is_none() {
            let detail = "must be a JSON pointer into the properties, such as /total";
            problems.push(Problem::new(format!("{place}/property"), Code::Invalid, detail));
        }
        if let (Some(test), Some(property)) = (Test::read(object, &place, problems), property) {
            out.push(Condition { property: property.into(), test });
        }
    }
    out
}

/// Writes a list of conditions as clients do.
pub(crate) fn write_list(conditions: &[Condition]) -> Value {
    let one = |condition: &Condition| {
        let mut members = vec![("property", Value::Text(condition.property.clone()))];
        members.extend(condition.test.write());
        object(members)
    };
    Value::List(conditions.iter().map(one).collect())
}

/// An object with these members.
pub(crate) fn object(members: Vec<(&str, Value)>) -> Value {
    Value::Object(members.into_iter().map(|(name, value)| (CompactString::from(name), value)).collect())
}

/// Adds a problem for each member that is not among `known`.
pub fn unknown(object: &Object, known: &[&str], place: &str, problems: &mut Vec<Problem>) {
    for (name, _) in object.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
        let detail = format!("is not a field here; there are {}", known.join(", "));
        problems.push(Problem::new(format!("{place}{}", step(name)), Code::Unknown, detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn value(text: &str) -> Value {
        json::parse(text.as_bytes(), json::Options::default()).unwrap()
    }

    #[test]
    fn a_missing_value_answers_no_to_everything_but_not_exists() {
        for (name, op) in OPS {
            assert_eq!(holds(op, None, &value("1"), Timestamp(0)).holds, name == "not_exists", "{name}");
            assert_eq!(
                holds(op, Some(&Value::Null), &value("1"), Timestamp(0)).holds,
                name == "not_exists",
                "{name}"
            );
        }
    }

    #[test]
    fn the_operators_answer_as_documented() {
        for (op, left, right, want) in [
            (Op::Eq, "\"64.20\"", "64.2", true),
            (Op::Eq, "\"a\"", "\"b\"", false),
            (Op::Ne, "\"a\"", "\"b\"", true),
            (Op::Ne, "true", "\"b\"", false),
            (Op::Gte, "\"1000\"", "\"999\"", true),
            (Op::Lt, "\"abc\"", "\"abd\"", true),
            (Op::Gt, "\"abc\"", "5", false),
            (Op::Between, "5", "[5, 6]", true),
            (Op::Between, "7", "[5, 6]", false),
            (Op::In, "\"GB\"", "[\"DE\", \"GB\"]", true),
            (Op::NotIn, "\"GB\"", "[\"DE\", \"GB\"]", false),
            (Op::Contains, "[\"a\", 1]", "1", true),
            (Op::NotContains, "\"hello\"", "\"ell\"", false),
            (Op::StartsWith, "\"hello\"", "\"he\"", true),
            (Op::EndsWith, "\"hello\"", "\"he\"", false),
            (Op::Before, "\"2024-01-01T00:00:00+01:00\"", "\"2024-01-01T00:00:00Z\"", true),
        ] {
            assert_eq!(
                holds(op, Some(&value(left)), &value(right), Timestamp(0)).holds,
                want,
                "{left} {op:?} {right}"
            );
        }
    }

    #[test]
    fn a_window_ends_on_the_millisecond() {
        let at = Value::Text(Timestamp(1000).to_string().into());
        let days = value(r#"{"days": 2}"#);
        let end = 1000 + 2 * DAY_MS;
        let answer = |as_of| holds(Op::WithinLast, Some(&at), &days, Timestamp(as_of));
        assert_eq!(answer(999), Answer { holds: false, valid_until: Some(Timestamp(1000)) });
        assert_eq!(answer(1000), Answer { holds: true, valid_until: Some(Timestamp(end)) });
        assert!(answer(end - 1).holds);
        assert_eq!(answer(end), Answer { holds: false, valid_until: None });
        assert!(holds(Op::WithinNext, Some(&at), &days, Timestamp(1000)).holds);
        assert!(!holds(Op::WithinNext, Some(&at), &days, Timestamp(1001)).holds);
        assert!(!holds(Op::WithinNext, Some(&at), &days, Timestamp(1000 - 2 * DAY_MS)).holds);
    }
}
