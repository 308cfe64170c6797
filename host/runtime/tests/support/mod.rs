//! Where tests of the runtime find guests, and how they make events.
//!
//! Guests are built by `cargo xtask guests` into `target/guests`; `CDP_GUESTS_DIR` names another place.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test binary uses its part")]

use std::path::PathBuf;
use std::sync::Arc;

use cdp_domain::event::Event;
use cdp_domain::identifier::Identifier;
use cdp_domain::json;
use cdp_domain::time::Timestamp;
use cdp_domain::value::{Object, Value};
use cdp_runtime::{Applied, Call, Fault, Grants, Limits, Options, Row, RowOutcome, Runtime, Transformer};

/// The bytes of a guest, such as `misbehave`.
pub fn guest(name: &str) -> Vec<u8> {
    let usual = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/guests");
    let dir = std::env::var_os("CDP_GUESTS_DIR").map_or_else(|| PathBuf::from(usual), PathBuf::from);
    let path = dir.join(format!("{name}.wasm"));
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("run `cargo xtask guests` ({}: {error})", path.display()))
}

/// A runtime without a cache, and limits that make misdeeds end quickly.
pub fn runtime() -> Runtime {
    Runtime::new(Options { limits: limits(), ..Options::default() }).unwrap()
}

/// Small limits: 20 million fuel, 16 MiB.
pub fn limits() -> Limits {
    Limits { fuel: 20_000_000, memory_bytes: 16 << 20, ..Limits::default() }
}

/// The misbehaving guest, ready.
pub fn misbehave() -> Arc<Transformer> {
    runtime().prepare(&guest("misbehave")).unwrap()
}

/// An event with these properties, as JSON text.
pub fn event(id: &str, properties: &str) -> Event {
    Event {
        id: id.into(),
        source: "shop".into(),
        kind: "purchase".into(),
        time: Timestamp(1_735_689_600_000),
        identifiers: [Identifier { kind: "email".into(), value: "ada@example.com".into() }]
            .into_iter()
            .collect(),
        properties: object(properties),
        traits: Object::default(),
        channels: vec![],
        verified: Vec::new(),
        consents: vec![],
        extra: Object::default(),
    }
}

/// An object from JSON text.
pub fn object(text: &str) -> Object {
    match json::parse(text.as_bytes(), json::Options::default()) {
        Ok(Value::Object(object)) => object,
        other => panic!("{text}: {other:?}"),
    }
}

/// Events `e0`, `e1`, … without properties.
pub fn events(count: usize) -> Vec<Event> {
    (0..count).map(|n| event(&format!("e{n}"), "{}")).collect()
}

/// Puts events through a plugin, with every grant.
pub fn apply(plugin: &Transformer, config: &str, events: &[Event]) -> Applied {
    apply_granted(plugin, config, events, &Grants::all())
}

/// Puts events through a plugin, with some grants.
pub fn apply_granted(plugin: &Transformer, config: &str, events: &[Event], grants: &Grants) -> Applied {
    let received_at = Timestamp(1_735_689_601_234);
    let rows: Vec<Row<'_>> = events.iter().map(|event| Row { event, received_at }).collect();
    plugin.apply(&Call { config, grants, limits: Limits::default(), rows: &rows })
}

/// What one event alone comes to.
pub fn alone(plugin: &Transformer, config: &str) -> Result<RowOutcome, Fault> {
    apply(plugin, config, &events(1)).rows.remove(0)
}

/// What a kept row sets, as text.
pub fn set(outcome: &RowOutcome) -> Vec<(String, Option<String>)> {
    let RowOutcome::Keep { assignments, .. } = outcome else { panic!("{outcome:?}") };
    let text = |value: &Value| value.as_text().map_or_else(|| json::to_string(value), str::to_owned);
    assignments.iter().map(|(pointer, value)| (pointer.to_string(), value.as_ref().map(text))).collect()
}
