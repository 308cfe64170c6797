//! Deriver: recency, frequency and monetary value of each customer.
//!
//! | output | kind | what |
//! | --- | --- | --- |
//! | `recency_days` | integer | whole days since the last purchase |
//! | `frequency` | integer | purchases |
//! | `monetary` | decimal | what purchases brought in, less what was refunded |
//! | `score` | text | three digits from 1 to 5, such as `535`: recency, frequency, monetary |
//!
//! An event counts by its type: `purchases` and `refunds` of the configuration say which, each a list with commas.
//! Its amount is `/properties/revenue`, or else `/properties/total`; without one it counts nothing to `monetary`.
//!
//! The digits come from four bounds each, so that a customer's score depends on that customer alone:
//! `recency` (days, `"30,90,180,365"`: a purchase within 30 days is a 5), `frequency` (`"2,4,8,16"`: 16 purchases are a
//! 5) and `monetary` (`"50,200,1000,5000"`).
//!
//! As a model for other derivers: the state is three numbers in a fixed form, sums are whole numbers of millionths and so
//! the same in any order, and `changes_at` is said only where a digit or a day turns.

use cdp_plugin_sdk::config::{Setting, flat};
use cdp_plugin_sdk::{
    Deriver, Descriptor, Kind, Laws, Problem, Reading, Row, Shape, State, export_deriver, field, output,
};

/// The plugin.
pub struct Rfm;

/// Which events count, and the bounds of the digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    purchases: Vec<String>,
    refunds: Vec<String>,
    recency: [i64; 4],
    frequency: [i64; 4],
    /// In millionths.
    monetary: [i128; 4],
}

/// What is known of a customer's purchases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Known {
    /// Milliseconds since 1970; meaningful when there are purchases.
    last: i64,
    purchases: u64,
    refunds: u64,
    /// Purchases less refunds, in millionths.
    balance: i128,
}

const DAY_MS: i64 = 86_400_000;
const STATE_BYTES: usize = 40;
/// Positions of the outputs.
const RECENCY: usize = 0;
const FREQUENCY: usize = 1;
const MONETARY: usize = 2;
const SCORE: usize = 3;
/// Decimals of an amount, at most.
const DECIMALS: usize = 6;

const SCHEMA: &str = r#"{"type":"object","additionalProperties":false,"properties":{"purchases":{"type":"string","default":"Order Completed,purchase"},"refunds":{"type":"string","default":"Order Refunded,refund"},"recency":{"type":"string","default":"30,90,180,365"},"frequency":{"type":"string","default":"2,4,8,16"},"monetary":{"type":"string","default":"50,200,1000,5000"}}}"#;

impl Deriver for Rfm {
    type Config = Config;
    type State = Known;

    const DESCRIPTOR: Descriptor = Descriptor {
        name: "rfm",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Recency, frequency and monetary value of each customer.",
        reads: &[field("/properties/revenue", Kind::Decimal), field("/properties/total", Kind::Decimal)],
        config_schema: SCHEMA,
        ..Descriptor::EMPTY
    };

    const SHAPE: Shape = Shape {
        state_version: 1,
        laws: Laws { commutative: true, mergeable: true, idempotent: false },
        outputs: &[
            output("recency_days", Kind::Integer),
            output("frequency", Kind::Integer),
            output("monetary", Kind::Decimal),
            output("score", Kind::Text),
        ],
        max_state_bytes: STATE_BYTES as u32,
        lookback_days: None,
    };

    fn configure(text: &str) -> Result<Config, Vec<Problem>> {
        let mut config = Config::default();
        let mut problems = Vec::new();
        for (name, setting) in flat(text)? {
            let Setting::Text(value) = setting else {
                problems.push(Problem::new(format!("/{name}"), "is a string"));
                continue;
            };
            let whole = |bound: &str| bound.parse::<i64>().ok().filter(|bound| *bound >= 0);
            let ok = match name.as_str() {
                "purchases" => names(&value, &mut config.purchases),
                "refunds" => names(&value, &mut config.refunds),
                "recency" => bounds(&value, whole, &mut config.recency),
                "frequency" => bounds(&value, whole, &mut config.frequency),
                "monetary" => bounds(&value, millionths, &mut config.monetary),
                _ => {
                    problems.push(Problem::new(format!("/{name}"), "is no setting of this plugin"));
                    continue;
                }
            };
            if !ok {
                let what = match name.as_str() {
                    "purchases" | "refunds" => "is a list of event types with commas between them",
                    _ => "is four ascending numbers with commas between them",
                };
                problems.push(Problem::new(format!("/{name}"), what));
            }
        }
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    fn fold(row: Row<'_>, config: &Config, known: &mut Known) -> Result<(), String> {
        let amount = || match row.decimal(0).or_else(|| row.decimal(1)) {
            Some(digits) => {
                millionths(digits).ok_or_else(|| format!("the amount has more than {DECIMALS} decimals"))
            }
            None => Ok(0),
        };
        let of = |kinds: &[String]| kinds.iter().any(|kind| kind == row.event_type());
        if of(&config.purchases) {
            known.balance = known.balance.saturating_add(amount()?);
            known.last =
                if known.purchases == 0 { row.occurred_at() } else { known.last.max(row.occurred_at()) };
            known.purchases += 1;
        } else if of(&config.refunds) {
            known.balance = known.balance.saturating_sub(amount()?);
            known.refunds += 1;
        }
        Ok(())
    }

    fn combine(into: &mut Known, other: &Known, _: &Config) {
        into.last = match (into.purchases, other.purchases) {
            (_, 0) => into.last,
            (0, _) => other.last,
            _ => into.last.max(other.last),
        };
        into.purchases += other.purchases;
        into.refunds += other.refunds;
        into.balance = into.balance.saturating_add(other.balance);
    }

    fn read(known: &Known, as_of: i64, config: &Config, reading: &mut Reading<'_>) {
        reading.set_integer(FREQUENCY, i64::try_from(known.purchases).unwrap_or(i64::MAX));
        reading.set_decimal(MONETARY, &digits(known.balance));
        if known.purchases == 0 {
            return;
        }
        // A purchase of the future was today.
        let days = as_of.saturating_sub(known.last).max(0) / DAY_MS;
        reading.set_integer(RECENCY, days);
        reading.changes_at(known.last.saturating_add((days + 1) * DAY_MS));
        let purchases = i64::try_from(known.purchases).unwrap_or(i64::MAX);
        // For recency less is better.
        let recency = 5 - config.recency.iter().filter(|&&bound| days >= bound).count();
        let frequency = 1 + config.frequency.iter().filter(|&&bound| purchases >= bound).count();
        let monetary = 1 + config.monetary.iter().filter(|&&bound| known.balance >= bound).count();
        reading.set_text(SCORE, &format!("{recency}{frequency}{monetary}"));
    }
}

export_deriver!(Rfm);

impl State for Known {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; STATE_BYTES] = bytes.try_into().ok()?;
        let (last, rest) = bytes.split_first_chunk::<8>()?;
        let (purchases, rest) = rest.split_first_chunk::<8>()?;
        let (refunds, balance) = rest.split_first_chunk::<8>()?;
        Some(Self {
            last: i64::from_le_bytes(*last),
            purchases: u64::from_le_bytes(*purchases),
            refunds: u64::from_le_bytes(*refunds),
            balance: i128::from_le_bytes(balance.try_into().ok()?),
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        if *self == Self::default() {
            return;
        }
        out.extend_from_slice(&self.last.to_le_bytes());
        out.extend_from_slice(&self.purchases.to_le_bytes());
        out.extend_from_slice(&self.refunds.to_le_bytes());
        out.extend_from_slice(&self.balance.to_le_bytes());
    }
}

impl Default for Config {
    fn default() -> Self {
        let words = |words: [&str; 2]| words.map(str::to_owned).to_vec();
        Self {
            purchases: words(["Order Completed", "purchase"]),
            refunds: words(["Order Refunded", "refund"]),
            recency: [30, 90, 180, 365],
            frequency: [2, 4, 8, 16],
            monetary: [50, 200, 1000, 5000].map(|whole: i128| whole * 1_000_000),
        }
    }
}

/// Takes a list of event types; an empty text is an empty list.
fn names(text: &str, into: &mut Vec<String>) -> bool {
    into.clear();
    into.extend(text.split(',').map(|name| name.trim().to_owned()));
    if text.trim().is_empty() {
        into.clear();
    }
    into.iter().all(|name| !name.is_empty())
}

/// Takes four ascending bounds.
fn bounds<N: Copy + PartialOrd>(text: &str, read: impl Fn(&str) -> Option<N>, into: &mut [N; 4]) -> bool {
    let found: Option<Vec<N>> = text.split(',').map(|bound| read(bound.trim())).collect();
    match found.and_then(|found| <[N; 4]>::try_from(found).ok()) {
        Some(found) if found.is_sorted_by(|a, b| a < b) => {
            *into = found;
            true
        }
        _ => false,
    }
}

/// An amount in plain notation as whole millionths; None when it has more than six decimals or is no such number.
fn millionths(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = fraction.trim_end_matches('0');
    if whole.is_empty() || whole.len() > 24 || fraction.len() > DECIMALS {
        return None;
    }
    let number = |text: &str| {
        text.bytes().try_fold(0_i128, |sum, b| b.is_ascii_digit().then(|| sum * 10 + i128::from(b - b'0')))
    };
    let scale = 10_i128.pow(u32::try_from(DECIMALS - fraction.len()).ok()?);
    let value = number(whole)? * 1_000_000 + number(fraction)? * scale;
    Some(if negative { -value } else { value })
}

/// Whole millionths in plain notation.
fn digits(millionths: i128) -> String {
    let (sign, size) = (if millionths < 0 { "-" } else { "" }, millionths.unsigned_abs());
    let (whole, fraction) = (size / 1_000_000, size % 1_000_000);
    if fraction == 0 {
        return format!("{sign}{whole}");
    }
    let text = format!("{sign}{whole}.{fraction:06}");
    text.trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests;
