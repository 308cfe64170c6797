//! Says of each buyer what the last order was worth: high, mid or low. Test orders go no further.

use cdp_plugin_sdk::decimal::Decimal;
use cdp_plugin_sdk::{
    Decision, Descriptor, Kind, Patch, Problem, Row, Transformer, export_transformer, field,
};

struct Plugin;

const REVENUE: usize = 0;
const TEST: usize = 1;
const BAND: usize = 0;

impl Transformer for Plugin {
    type Config = ();

    const DESCRIPTOR: Descriptor = Descriptor {
        name: "{{name}}",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Says of each buyer what the last order was worth.",
        event_types: &["Order Completed"],
        reads: &[field("/properties/revenue", Kind::Decimal), field("/properties/test", Kind::Boolean)],
        writes: &[field("/traits/last_order_band", Kind::Text)],
        ..Descriptor::EMPTY
    };

    fn configure(_: &str) -> Result<(), Vec<Problem>> {
        Ok(())
    }

    fn apply(row: Row<'_>, (): &(), patch: &mut Patch<'_>) -> Decision {
        if row.boolean(TEST) == Some(true) {
            return Decision::Drop("a test order".into());
        }
        let Some(revenue) = row.decimal(REVENUE).and_then(Decimal::parse) else { return Decision::Keep };
        if revenue < Decimal::from(0) {
            return Decision::Reject("the revenue is below zero".into());
        }
        let band = match revenue {
            worth if worth >= Decimal::from(200) => "high",
            worth if worth >= Decimal::from(50) => "mid",
            _ => "low",
        };
        patch.set_text(BAND, band);
        Decision::Keep
    }
}

export_transformer!(Plugin);

#[cfg(test)]
mod tests {
    use super::*;
    use cdp_plugin_sdk::testing::{Answer, TestRow, run};

    #[test]
    fn an_order_gets_its_band() {
        let order = |revenue: &str| TestRow::new("Order Completed").with("/properties/revenue", revenue);
        let answers = run::<Plugin>("", &[order("200"), order("-1")]);
        assert_eq!(answers[0], Answer::kept([("/traits/last_order_band", "high")]));
        assert_eq!(answers[1], Answer::Rejected("the revenue is below zero".into()));
    }
}
