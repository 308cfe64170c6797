//! Transformer: makes an event of each line of an order, so that products can be counted, summed and segmented.
//!
//! Reads `/properties/products`, a list of objects as shop systems send it with `Order Completed`, and makes an event of
//! each object: type and time of the new event are the setting `event` and the order's time, its properties are those of
//! the object, and beside them `order_id`, `currency` and `line` (from 1), where the object has none of that name.
//! The order itself stays as it is, but for `/properties/line_events`: how many events were made of it. That are at most
//! 64; further lines are not turned into events.
//!
//! Settings: `event`, the type of the new events (`Product Ordered`); `only`, the type of the orders; all types without it.

use cdp_plugin_sdk::config::{Setting, flat};
use cdp_plugin_sdk::{
    Decision, Descriptor, Kind, Patch, Problem, Row, Transformer, export_transformer, field,
};

mod lines;

/// The plugin.
pub struct OrderLines;

/// What a tenant set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The type of the new events.
    event: String,
    /// The type of the orders.
    only: Option<String>,
}

/// Events that the host lets one event become.
const LINES_MAX: usize = 64;

const PRODUCTS: usize = 0;
/// What of the order goes into each line, as (read, name).
const OF_ORDER: [(usize, &str); 2] = [(1, "order_id"), (2, "currency")];

const SCHEMA: &str = r#"{"type":"object","additionalProperties":false,"properties":{"event":{"description":"The type of the new events","type":"string","minLength":1,"default":"Product Ordered"},"only":{"description":"The type of the orders; without it every event with products is one","type":"string","minLength":1}}}"#;

impl Transformer for OrderLines {
    type Config = Config;

    const DESCRIPTOR: Descriptor = Descriptor {
        name: "order-lines",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Makes an event of each line of an order.",
        reads: &[
            field("/properties/products", Kind::Json),
            field("/properties/order_id", Kind::Json),
            field("/properties/currency", Kind::Json),
        ],
        writes: &[field("/properties/line_events", Kind::Integer)],
        config_schema: SCHEMA,
        ..Descriptor::EMPTY
    };

    fn configure(text: &str) -> Result<Config, Vec<Problem>> {
        let mut config = Config { event: "Product Ordered".to_owned(), only: None };
        let mut problems = Vec::new();
        for (name, setting) in flat(text)? {
            match (name.as_str(), setting) {
                ("event", Setting::Text(kind)) if !kind.is_empty() => config.event = kind,
                ("only", Setting::Text(kind)) if !kind.is_empty() => config.only = Some(kind),
                ("event" | "only", _) => {
                    problems.push(Problem::new(format!("/{name}"), "is the name of an event type"));
                }
                _ => problems.push(Problem::new(format!("/{name}"), "is no setting of this plugin")),
            }
        }
        if config.only.as_deref() == Some(&*config.event) {
            problems.push(Problem::new("/event", "is the type of the orders"));
        }
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    fn apply(row: Row<'_>, config: &Config, patch: &mut Patch<'_>) -> Decision {
        // Lines are not split again, whatever they hold.
        let kind = row.event_type();
        if kind == config.event || config.only.as_deref().is_some_and(|only| only != kind) {
            return Decision::Keep;
        }
        let Some(lines) = row.json(PRODUCTS).and_then(lines::objects) else { return Decision::Keep };
        let of_order: Vec<_> =
            OF_ORDER.iter().filter_map(|(at, name)| Some((*name, row.json(*at)?))).collect();
        for (n, members) in lines.iter().take(LINES_MAX).enumerate() {
            patch.bear(&config.event, row.occurred_at(), &document(members, &of_order, n + 1));
        }
        patch.set_integer(0, lines.len().min(LINES_MAX) as i64);
        Decision::Keep
    }
}

export_transformer!(OrderLines);

/// The document of a line's event.
fn document(members: &[lines::Member<'_>], of_order: &[(&str, &str)], line: usize) -> String {
    let mut out = String::from(r#"{"properties":{"#);
    let has = |name: &str| members.iter().any(|member| member.name == format!("\"{name}\""));
    let mut put = |name: &str, value: &str| {
        if !out.ends_with('{') {
            out.push(',');
        }
        out.push_str(name);
        out.push(':');
        out.push_str(value);
    };
    for member in members {
        put(member.name, member.value);
    }
    for (name, value) in of_order.iter().filter(|(name, _)| !has(name)) {
        put(&format!("\"{name}\""), value);
    }
    if !has("line") {
        put("\"line\"", &line.to_string());
    }
    out.push_str("}}");
    out
}

#[cfg(test)]
mod tests;
