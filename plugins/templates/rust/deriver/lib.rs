//! What a person ordered: how many orders, what they came to, and when the last one was.

use cdp_plugin_sdk::decimal::Decimal;
use cdp_plugin_sdk::{
    Deriver, Descriptor, Kind, Laws, Problem, Reading, Row, Shape, State, export_deriver, field, output, time,
};

struct Plugin;

const REVENUE: usize = 0;
const ORDER_COUNT: usize = 0;
const TOTAL_SPEND: usize = 1;
const LAST_ORDER_AT: usize = 2;

#[derive(Default)]
struct Orders {
    count: u64,
    spend: Decimal,
    last: i64,
}

impl State for Orders {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (count, rest) = bytes.split_first_chunk()?;
        let (last, spend) = rest.split_first_chunk()?;
        Some(Self {
            count: u64::from_le_bytes(*count),
            last: i64::from_le_bytes(*last),
            spend: Decimal::decode(spend)?,
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.count.to_le_bytes());
        out.extend(self.last.to_le_bytes());
        self.spend.encode(out);
    }
}

impl Deriver for Plugin {
    type Config = ();
    type State = Orders;

    const DESCRIPTOR: Descriptor = Descriptor {
        name: "{{name}}",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Orders, what they came to, and when the last one was.",
        event_types: &["Order Completed"],
        reads: &[field("/properties/revenue", Kind::Decimal)],
        ..Descriptor::EMPTY
    };
    const SHAPE: Shape = Shape {
        state_version: 1,
        laws: Laws { commutative: true, mergeable: true, idempotent: false },
        outputs: &[
            output("order_count", Kind::Integer),
            output("total_spend", Kind::Decimal),
            output("last_order_at", Kind::Text),
        ],
        max_state_bytes: 64,
        lookback_days: None,
    };

    fn configure(_: &str) -> Result<(), Vec<Problem>> {
        Ok(())
    }

    fn fold(row: Row<'_>, (): &(), orders: &mut Orders) -> Result<(), String> {
        if let Some(revenue) = row.decimal(REVENUE) {
            let revenue = Decimal::parse(revenue).ok_or("the revenue has too many digits")?;
            orders.spend = orders.spend.checked_add(revenue).ok_or("the sum has too many digits")?;
        }
        orders.last = if orders.count == 0 { row.occurred_at() } else { orders.last.max(row.occurred_at()) };
        orders.count += 1;
        Ok(())
    }

    fn combine(into: &mut Orders, other: &Orders, (): &()) {
        into.spend = into.spend.checked_add(other.spend).expect("a sum has at most 38 digits");
        into.last = if into.count == 0 { other.last } else { into.last.max(other.last) };
        into.count += other.count;
    }

    fn read(orders: &Orders, _: i64, (): &(), reading: &mut Reading<'_>) {
        reading.set_integer(ORDER_COUNT, i64::try_from(orders.count).unwrap_or(i64::MAX));
        reading.set_decimal(TOTAL_SPEND, &orders.spend.to_string());
        if orders.count > 0 {
            reading.set_text(LAST_ORDER_AT, &time::iso(orders.last));
        }
    }
}

export_deriver!(Plugin);
