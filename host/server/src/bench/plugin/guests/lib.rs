//! The bench's work as a Rust guest: see `work.rs` of the bench.

use cdp_plugin_sdk::{Decision, Descriptor, Kind, Patch, Problem, Row, Transformer, export_transformer, field};

struct Plugin;

impl Transformer for Plugin {
    type Config = ();

    const DESCRIPTOR: Descriptor = Descriptor {
        name: "bench",
        version: "1.0.0",
        summary: "Writes beside each order what it is worth.",
        event_types: &["Order Completed"],
        reads: &[
            field("/properties/total", Kind::Number),
            field("/properties/currency", Kind::Text),
            field("/properties/country", Kind::Text),
            field("/properties/lines", Kind::Integer),
        ],
        writes: &[field("/properties/value_band", Kind::Text)],
        ..Descriptor::EMPTY
    };

    fn configure(text: &str) -> Result<(), Vec<Problem>> {
        while text == r#"{"forever":true}"# {
            core::hint::black_box(());
        }
        Ok(())
    }

    fn apply(row: Row<'_>, (): &(), patch: &mut Patch<'_>) -> Decision {
        if row.integer(3).unwrap_or(0) == 0 {
            return Decision::Drop(String::new());
        }
        let Some(total) = row.number(0) else { return Decision::Keep };
        let rate = match row.text(1) {
            Some("GBP") => 1.17,
            Some("USD") => 0.92,
            _ => 1.0,
        };
        let home = if row.text(2) == Some("United Kingdom") { 1.0 } else { 0.9 };
        let worth = total * rate * home;
        patch.set_text(0, if worth >= 200.0 { "high" } else if worth >= 50.0 { "mid" } else { "low" });
        Decision::Keep
    }
}

export_transformer!(Plugin);
