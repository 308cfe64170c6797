//! Events of fixtures and files, read as the server reads them.

use cdp_domain::event::{Defaults, Event};
use cdp_domain::identity::Rules;
use cdp_domain::json as domain_json;
use cdp_domain::time::Timestamp;
use cdp_domain::value::Number;
use cdp_runtime::Row;
use serde_json::Value;

/// Who reports events that do not say.
const SOURCE: &str = "test";
/// When events that do not say happened: 2026-01-01T00:00:00Z.
const TIME: Timestamp = Timestamp(1_767_225_600_000);

/// Events that a plugin is asked about.
#[derive(Debug, Default)]
pub(super) struct Events {
    all: Vec<Event>,
}

impl Events {
    /// Reads events; an event without an id is named by its place, one without identifiers is of nobody in particular.
    ///
    /// # Errors
    /// Every problem, each with a JSON pointer.
    pub(super) fn of(values: &[Value]) -> Result<Self, Vec<String>> {
        let rules = Rules::default();
        let defaults = Defaults { source: SOURCE, time: TIME, rules: &rules };
        let mut all = Vec::with_capacity(values.len());
        let mut problems = Vec::new();
        for (at, value) in values.iter().enumerate() {
            let mut value = value.clone();
            if let Some(event) = value.as_object_mut() {
                event.entry("id").or_insert_with(|| format!("e{}", at + 1).into());
                event
                    .entry("identifiers")
                    .or_insert_with(|| serde_json::json!([{"type": "user_id", "value": "somebody"}]));
            }
            let parsed = domain_json::parse(value.to_string().as_bytes(), domain_json::Options::default());
            match parsed.map_err(|error| vec![format!("/{at}: {error}")]).and_then(|value| {
                Event::from_value(value, defaults).map_err(|found| {
                    found.iter().map(|one| format!("/{at}{}: {}", one.pointer, one.detail)).collect()
                })
            }) {
                Ok(event) => all.push(event),
                Err(found) => problems.extend::<Vec<String>>(found),
            }
        }
        if problems.is_empty() { Ok(Self { all }) } else { Err(problems) }
    }

    /// The rows, in the order in which they were given; each was received a second after it happened.
    pub(super) fn rows(&self) -> Vec<Row<'_>> {
        let received = |event: &Event| Timestamp(event.time.0.saturating_add(1_000));
        self.all.iter().map(|event| Row { event, received_at: received(event) }).collect()
    }

    /// The rows in canonical order, as a derivation gets them.
    pub(super) fn canonical(&self) -> Vec<Row<'_>> {
        let mut rows = self.rows();
        rows.sort_by_key(|row| row.event.stamp());
        rows
    }

    /// The last instant at which something happened, or when events without a time did.
    pub(super) fn last_at(&self) -> Timestamp {
        self.all.iter().map(|event| event.time).max().unwrap_or(TIME)
    }
}

/// Whether a value is the one expected; numbers are compared as numbers, however they are written.
pub(super) fn is_same(expected: &Value, actual: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::String(text) => Number::parse(text).map(|number| number.plain()),
        Value::Number(number) => Number::parse(&number.to_string()).map(|number| number.plain()),
        _ => None,
    };
    match (expected, actual) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| is_same(a, b)))
        }
        _ => expected == actual || number(expected).is_some_and(|a| number(actual) == Some(a)),
    }
}
