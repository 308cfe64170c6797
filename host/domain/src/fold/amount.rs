//! Amounts: exact numbers of events, and money, which never crosses currencies.

use compact_str::CompactString;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::currency;
use crate::event::Event;
use crate::value::{Number, Value};

/// Decimal places that amounts keep.
pub const SUM_SCALE: u32 = 12;
/// Numbers at or above 10¹⁸, or with more than 12 decimal places, are no amounts: they do not count.
pub const SUM_VALUE_MAX: i64 = 1_000_000_000_000_000_000;

/// Where an event's amount stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Amount {
    /// JSON pointer into `properties`.
    pub property: CompactString,
    /// Whether it is money, and of which currencies.
    pub money: Option<Money>,
}

/// Which currency an amount is in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// JSON pointer to the currency's code.
    pub property: CompactString,
    /// Only amounts of this currency count; None keeps each currency apart.
    pub only: Option<CompactString>,
    /// Amounts are whole minor units: 6420 is €64.20, 1089 is ¥1089.
    pub minor_units: bool,
}

impl Amount {
    /// The event's amount in units of 10⁻¹², and its currency where each is kept apart.
    pub(super) fn of(&self, event: &Event) -> Option<(i128, Option<CompactString>)> {
        let number = event.property(&self.property)?.as_decimal()?;
        let Some(money) = &self.money else { return Some((scaled(number)?, None)) };
        let code = event.property(&money.property)?.as_text().filter(|code| currency::is_code(code))?;
        if money.only.as_deref().is_some_and(|only| only != code) {
            return None;
        }
        let mut units = scaled(number)?;
        if money.minor_units {
            let shift = 10_i128.pow(currency::places(code));
            // A fraction of a minor unit is no amount of money.
            if units % 10_i128.pow(SUM_SCALE) != 0 {
                return None;
            }
            units /= shift;
        }
        Some((units, money.only.is_none().then(|| code.into())))
    }
}

/// A number in units of 10⁻¹²; None beyond the bounds.
pub(crate) fn scaled(number: Decimal) -> Option<i128> {
    let number = number.normalize();
    if number.scale() > SUM_SCALE || number.abs() >= Decimal::from(SUM_VALUE_MAX) {
        return None;
    }
    Some(number.mantissa() * 10_i128.pow(SUM_SCALE - number.scale()))
}

/// Units of 10⁻¹² as clients see them: with the currency's decimal places where it is money, else as short as it is.
pub(super) fn print(units: i128, code: Option<&str>) -> Value {
    let mut text = Number::scaled(units, SUM_SCALE).plain();
    if let Some(code) = code {
        let places = currency::places(code) as usize;
        let has = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        if has < places {
            if has == 0 {
                text.push('.');
            }
            text.extend(std::iter::repeat_n('0', places - has));
        }
    }
    Value::Text(text)
}

/// `sum / n` to 6 decimal places, half to even.
pub(super) fn mean(sum: i128, n: u64) -> Option<Value> {
    let divisor = i128::from(n).checked_mul(10_i128.pow(SUM_SCALE - 6)).filter(|divisor| *divisor > 0)?;
    let (whole, rest) = (sum.div_euclid(divisor), sum.rem_euclid(divisor));
    let up = match (rest * 2).cmp(&divisor) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => whole & 1,
        std::cmp::Ordering::Greater => 1,
    };
    Some(Value::Text(Number::scaled(whole + up, 6).plain()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_rounded_half_to_even() {
        let one = 10_i128.pow(SUM_SCALE);
        let of = |sum, n| mean(sum, n);
        assert_eq!(of(one, 3), Some("0.333333".into()));
        assert_eq!(of(-one, 3), Some("-0.333333".into()));
        assert_eq!(of(5 * one / 10_000_000, 1), Some("0".into()), "0.0000005 goes down to 0.000000");
        assert_eq!(of(15 * one / 10_000_000, 1), Some("0.000002".into()));
        assert_eq!(of(25 * one / 10_000_000, 1), Some("0.000002".into()));
        assert_eq!(of(-5 * one / 10_000_000, 1), Some("0".into()));
        assert_eq!(of(0, 0), None);
    }

    #[test]
    fn money_is_printed_with_its_places_and_never_rounded() {
        let one = 10_i128.pow(SUM_SCALE);
        assert_eq!(print(642 * one / 10, Some("EUR")), "64.20".into());
        assert_eq!(print(1089 * one, Some("JPY")), "1089".into());
        assert_eq!(print(12 * one / 10, Some("KWD")), "1.200".into());
        assert_eq!(print(12345 * one / 10_000, Some("EUR")), "1.2345".into());
        assert_eq!(print(-5 * one, Some("EUR")), "-5.00".into());
        assert_eq!(print(642 * one / 10, None), "64.2".into());
    }
}
