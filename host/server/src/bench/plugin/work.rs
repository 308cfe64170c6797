//! What is measured: orders of about 1 KB with 24 properties, of which the work reads four and sets one.
//!
//! Every way does the same: an order without lines (one in ten) is dropped; the others get `value_band`, which depends on the
//! total, the currency and the country.

use cdp_domain::event::{Defaults, Event};
use cdp_domain::identity::Rules;
use cdp_domain::json;
use cdp_domain::time::Timestamp;
use cdp_domain::value::{Number, Value};
use cdp_runtime::RowOutcome;

use crate::demo::client::Fallible;

/// What the work decides about an order: None drops it.
pub(super) type Band = Option<&'static str>;

const CURRENCIES: [&str; 4] = ["GBP", "EUR", "USD", "EUR"];
const COUNTRIES: [&str; 4] = ["United Kingdom", "France", "Germany", "EIRE"];

/// The same orders each time, as JSON text.
pub(super) fn texts(count: usize) -> Vec<String> {
    (0..count)
        .map(|n| {
            // A fixed sequence that looks irregular.
            let random = (n as u64).wrapping_mul(6_364_136_223_846_793_005).rotate_right(29);
            let (total, lines) = (random % 40_000, if n % 10 == 3 { 0 } else { random % 12 + 1 });
            let filler: Vec<String> = (0..18).map(|i| format!(r#""attribute_{i:02}":"value {i} of order {n:06}""#)).collect();
            format!(
                r#"{{"id":"order-{n}","source":"shop","type":"Order Completed","time":"2026-03-01T12:00:00Z","identifiers":[{{"type":"customer_id","value":"{}"}}],"properties":{{{},"order_id":"{n:08}","total":{}.{:02},"currency":"{}","country":"{}","lines":{lines},"gift":{}}}}}"#,
                n % 977, filler.join(","), total / 100, total % 100,
                CURRENCIES[(random >> 20) as usize % 4], COUNTRIES[(random >> 24) as usize % 4], n % 7 == 0
            )
        })
        .collect()
}

/// The same as a server keeps them.
pub(super) fn events(texts: &[String]) -> Fallible<Vec<Event>> {
    let rules = Rules::default();
    let defaults = Defaults { source: "shop", time: Timestamp(0), rules: &rules };
    let event = |text: &String| {
        let value = json::parse(text.as_bytes(), json::Options::default())?;
        Event::from_value(value, defaults).map_err(|problems| format!("{problems:?}").into())
    };
    texts.iter().map(event).collect()
}

/// The work itself, on four values.
#[inline]
pub(super) fn judge(total: Option<f64>, currency: &str, country: &str, lines: i64) -> Result<Band, ()> {
    if lines == 0 {
        return Ok(None);
    }
    let Some(total) = total else { return Err(()) };
    let rate = match currency {
        "GBP" => 1.17,
        "USD" => 0.92,
        _ => 1.0,
    };
    let worth = total * rate * if country == "United Kingdom" { 1.0 } else { 0.9 };
    Ok(Some(if worth >= 200.0 {
        "high"
    } else if worth >= 50.0 {
        "mid"
    } else {
        "low"
    }))
}

/// The work on a stored event, where it stands.
pub(super) fn in_place(event: &Event) -> Result<Band, ()> {
    let text = |name: &str| event.properties.get(name).and_then(Value::as_text).unwrap_or_default();
    let total = match event.properties.get("total") {
        Some(Value::Number(number)) => Some(number.to_f64()),
        _ => None,
    };
    let lines = match event.properties.get("lines") {
        Some(Value::Number(Number::Int(lines))) => *lines,
        _ => 0,
    };
    judge(total, text("currency"), text("country"), lines)
}

/// The same columns that a guest gets.
#[derive(Debug, Default)]
pub(super) struct Columns {
    totals: Vec<f64>,
    lines: Vec<i64>,
    currencies: Texts,
    countries: Texts,
}

#[derive(Debug, Default)]
struct Texts {
    ends: Vec<u32>,
    data: Vec<u8>,
}

impl Texts {
    fn push(&mut self, text: &str) {
        self.data.extend_from_slice(text.as_bytes());
        self.ends.push(self.data.len() as u32);
    }

    fn get<'t>(&self, text: &'t str, at: usize) -> &'t str {
        let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        &text[start..self.ends[at] as usize]
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.data).unwrap_or_default()
    }
}

impl Columns {
    /// Takes the four fields out of stored events.
    pub(super) fn of(events: &[Event]) -> Self {
        let mut out = Self::default();
        for event in events {
            let get = |name: &str| event.properties.get(name);
            out.totals.push(match get("total") {
                Some(Value::Number(number)) => number.to_f64(),
                _ => 0.0,
            });
            out.lines.push(match get("lines") {
                Some(Value::Number(Number::Int(lines))) => *lines,
                _ => 0,
            });
            out.currencies.push(get("currency").and_then(Value::as_text).unwrap_or_default());
            out.countries.push(get("country").and_then(Value::as_text).unwrap_or_default());
        }
        out
    }

    /// The work over the columns, answered as a guest answers: decisions, and the column that is set.
    pub(super) fn judge(&self) -> (Vec<u8>, Vec<u32>, Vec<u32>, Vec<u8>) {
        let (currencies, countries) = (self.currencies.text(), self.countries.text());
        let (mut decisions, mut rows, mut set) = (Vec::new(), Vec::new(), Texts::default());
        for at in 0..self.totals.len() {
            let judged = judge(
                Some(self.totals[at]),
                self.currencies.get(currencies, at),
                self.countries.get(countries, at),
                self.lines[at],
            );
            match judged {
                Ok(Some(band)) => {
                    decisions.push(0);
                    rows.push(at as u32);
                    set.push(band);
                }
                Ok(None) => decisions.push(1),
                Err(()) => decisions.push(0),
            }
        }
        (decisions, rows, set.ends, set.data)
    }
}

/// What a guest's outcome says, in the form of [`judge`].
pub(super) fn band(outcome: &RowOutcome) -> Option<String> {
    match outcome {
        RowOutcome::Keep { assignments, .. } => {
            assignments.first().and_then(|(_, value)| value.as_ref()?.as_text().map(str::to_owned))
        }
        _ => None,
    }
}
