//! JSON values kept exactly: numbers do not pass through floating point, objects are sorted and free of duplicates.
//!
//! Two documents that differ only in key order, white space or the spelling of numbers are equal here,
//! and have the same encoding: that is the canonical form by which redelivered events are recognised.

use std::fmt;

use compact_str::CompactString;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Value {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An exact number.
    Number(Number),
    /// A string.
    Text(CompactString),
    /// An array.
    List(Vec<Value>),
    /// An object.
    Object(Object),
}

impl Value {
    /// The string, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The object, if it is one.
    #[must_use]
    pub fn as_object(&self) -> Option<&Object> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// The number as an exact decimal: numbers, and strings that spell one (money travels as text).
    /// None when it is neither, or has more than 28 significant digits.
    #[must_use]
    pub fn as_decimal(&self) -> Option<Decimal> {
        match self {
            Self::Number(number) => number.to_decimal(),
            Self::Text(text) => Number::parse(text)?.to_decimal(),
            _ => None,
        }
    }

    /// What the JSON type is called in messages.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// The value at a JSON pointer (RFC 6901) inside this one; the empty pointer is the value itself.
    #[must_use]
    pub fn pointer(&self, pointer: &str) -> Option<&Value> {
        if pointer.is_empty() {
            return Some(self);
        }
        pointer.strip_prefix('/')?.split('/').try_fold(self, |at, token| match at {
            Self::Object(object) if token.contains('~') => {
                object.get(&token.replace("~1", "/").replace("~0", "~"))
            }
            Self::Object(object) => object.get(token),
            Self::List(items) => items.get(token.parse::<usize>().ok()?),
            _ => None,
        })
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(Number::Int(number))
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

/// An object's members, sorted by the bytes of their names; no name stands twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Object(Vec<(CompactString, Value)>);

impl Object {
    /// Takes members in any order.
    ///
    /// # Errors
    /// The name that stands twice.
    pub fn new(mut members: Vec<(CompactString, Value)>) -> Result<Self, CompactString> {
        if !members.is_sorted_by(|a, b| a.0 < b.0) {
            members.sort_by(|a, b| a.0.cmp(&b.0));
            if let Some(pair) = members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                return Err(pair[0].0.clone());
            }
        }
        Ok(Self(members))
    }

    /// The member of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        // Objects are small: a scan beats a search up to a dozen members.
        if self.0.len() <= 8 {
            return self.0.iter().find(|member| member.0 == name).map(|member| &member.1);
        }
        self.0.binary_search_by(|member| member.0.as_str().cmp(name)).ok().map(|at| &self.0[at].1)
    }

    /// The member of this name, looked for first where `near` says. Objects that come one after the other mostly have the
    /// same members, so who keeps `near` between them finds it there without a search. `near` is set to where it was found.
    #[must_use]
    #[inline]
    pub fn get_near(&self, name: &str, near: &mut usize) -> Option<&Value> {
        if let Some((known, value)) = self.0.get(*near)
            && known == name
        {
            return Some(value);
        }
        let at = match self.0.len() {
            0..=8 => self.0.iter().position(|member| member.0 == name)?,
            _ => self.0.binary_search_by(|member| member.0.as_str().cmp(name)).ok()?,
        };
        *near = at;
        Some(&self.0[at].1)
    }

    /// Sets a member; the old value comes back.
    pub fn insert(&mut self, name: &str, value: Value) -> Option<Value> {
        match self.0.binary_search_by(|member| member.0.as_str().cmp(name)) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, value)),
            Err(at) => {
                self.0.insert(at, (name.into(), value));
                None
            }
        }
    }

    /// Takes a member out.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.0.binary_search_by(|member| member.0.as_str().cmp(name)).ok().map(|at| self.0.remove(at).1)
    }

    /// The members in order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&CompactString, &Value)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Object {
    type Item = (CompactString, Value);
    type IntoIter = std::vec::IntoIter<Self::Item>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromIterator<(CompactString, Value)> for Object {
    /// Collects members; of several with one name the last stays.
    fn from_iter<I: IntoIterator<Item = (CompactString, Value)>>(members: I) -> Self {
        let mut members: Vec<_> = members.into_iter().collect();
        members.sort_by(|a, b| a.0.cmp(&b.0));
        members.reverse();
        members.dedup_by(|a, b| a.0 == b.0);
        members.reverse();
        Self(members)
    }
}

/// Digits of a number's exponent, without leading zeros: beyond, a number could not be kept exactly.
pub const EXPONENT_DIGITS_MAX: usize = 12;

/// An exact number; equal numbers are equal here however they were spelt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Number {
    /// A whole number that fits.
    Int(i64),
    /// Up to 28 significant digits, without trailing zeros.
    Decimal(#[serde(with = "exact")] Decimal),
    /// Anything larger or finer, as `[-]DIGITS[e[-]EXPONENT]` without leading or trailing zeros.
    Big(CompactString),
}

impl Number {
    /// Reads a JSON number; None when the text is not one, or its exponent has more than [`EXPONENT_DIGITS_MAX`] digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        if digits.is_empty()
            || (digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit())
        {
            return None;
        }
        if digits.len() <= 18 && digits.bytes().all(|b| b.is_ascii_digit()) {
            let whole: i64 = digits.parse().ok()?;
            return Some(Self::Int(if negative { -whole } else { whole }));
        }
        Self::parse_general(negative, digits)
    }

    fn parse_general(negative: bool, text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (text, None),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let exponent: i64 = match exponent {
            None => 0,
            Some(e) => {
                let (negative, digits) = match e.as_bytes().first()? {
                    b'-' => (true, &e[1..]),
                    b'+' => (false, &e[1..]),
                    _ => (false, e),
                };
                let short = digits.trim_start_matches('0');
                if digits.is_empty() || !all_digits(digits) || short.len() > EXPONENT_DIGITS_MAX {
                    return None;
                }
                let size: i64 = if short.is_empty() { 0 } else { short.parse().ok()? };
                if negative { -size } else { size }
            }
        };
        Some(Self::from_digits(negative, &format!("{whole}{fraction}"), exponent - fraction.len() as i64))
    }

    /// `±digits × 10^exponent`, in its one canonical form.
    fn from_digits(negative: bool, digits: &str, exponent: i64) -> Self {
        let digits = digits.trim_start_matches('0');
        let short = digits.trim_end_matches('0');
        if short.is_empty() {
            return Self::Int(0);
        }
        let exponent = exponent + (digits.len() - short.len()) as i64;
        let sign = if negative { "-" } else { "" };
        let length = short.len() as i64;
        if exponent >= 0 && length + exponent <= 19 {
            let whole = short.parse::<i128>().expect("at most 19 digits") * 10_i128.pow(exponent as u32);
            if let Ok(whole) = i64::try_from(if negative { -whole } else { whole }) {
                return Self::Int(whole);
            }
        }
        if length <= 28 && (-28..=0).contains(&exponent) || (exponent > 0 && length + exponent <= 28) {
            let mantissa: i128 = short.parse().expect("at most 28 digits");
            let mantissa = mantissa * 10_i128.pow(exponent.max(0) as u32);
            let scale = (-exponent).max(0) as u32;
            if let Ok(decimal) =
                Decimal::try_from_i128_with_scale(if negative { -mantissa } else { mantissa }, scale)
            {
                return Self::Decimal(decimal);
            }
        }
        let text = if exponent == 0 { format!("{sign}{short}") } else { format!("{sign}{short}e{exponent}") };
        Self::Big(text.into())
    }

    /// `units × 10^-scale`, exactly.
    #[must_use]
    pub fn scaled(units: i128, scale: u32) -> Self {
        Self::from_digits(units < 0, &units.unsigned_abs().to_string(), -i64::from(scale))
    }

    /// Its digits without an exponent, as long as that takes at most 64 of them.
    #[must_use]
    pub fn plain(&self) -> CompactString {
        let text = compact_str::format_compact!("{self}");
        let Some((digits, exponent)) = text.split_once('e') else { return text };
        let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
        match exponent.parse::<i64>() {
            Ok(zeros @ 0..=64) => {
                compact_str::format_compact!("{sign}{digits}{}", "0".repeat(zeros as usize))
            }
            Ok(shift @ -64..=-1) => {
                let places = shift.unsigned_abs() as usize;
                let padded = format!("{digits:0>width$}", width = places + 1);
                let (whole, fraction) = padded.split_at(padded.len() - places);
                compact_str::format_compact!("{sign}{whole}.{fraction}")
            }
            _ => text,
        }
    }

    /// As an exact decimal; None when it has more than 28 significant digits or is too large or small.
    #[must_use]
    pub fn to_decimal(&self) -> Option<Decimal> {
        match self {
            Self::Int(whole) => Some(Decimal::from(*whole)),
            Self::Decimal(decimal) => Some(*decimal),
            Self::Big(_) => None,
        }
    }

    /// The nearest double.
    #[must_use]
    pub fn to_f64(&self) -> f64 {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "the nearest double is what is asked for")]
            Self::Int(whole) => *whole as f64,
            // Both halves are exact doubles, and a division rounds once: to the nearest (Clinger 1990).
            #[expect(clippy::cast_precision_loss, reason = "it fits the 53 bits of a double")]
            Self::Decimal(decimal)
                if decimal.mantissa().unsigned_abs() <= 1 << 53
                    && (decimal.scale() as usize) < POWERS_OF_TEN.len() =>
            {
                decimal.mantissa() as i64 as f64 / POWERS_OF_TEN[decimal.scale() as usize]
            }
            other => other.to_string().parse().unwrap_or(f64::NAN),
        }
    }
}

impl From<Decimal> for Number {
    fn from(decimal: Decimal) -> Self {
        let decimal = decimal.normalize();
        if decimal.scale() == 0
            && let Ok(whole) = i64::try_from(decimal.mantissa())
        {
            return Self::Int(whole);
        }
        Self::Decimal(decimal)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(whole) => whole.fmt(f),
            Self::Decimal(decimal) => decimal.fmt(f),
            Self::Big(text) => f.write_str(text),
        }
    }
}

/// The powers of ten that doubles hold exactly.
const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// How a decimal is stored: in binary forms mantissa and scale, so that encoding costs no formatting; in JSON its digits
/// as text, because what reads tagged JSON knows no number of 128 bits.
pub mod exact {
    use rust_decimal::Decimal;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    /// For `#[serde(with = "exact")]`.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(decimal: &Decimal, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            return to.collect_str(decimal);
        }
        (decimal.mantissa(), decimal.scale()).serialize(to)
    }

    /// For `#[serde(with = "exact")]`.
    ///
    /// # Errors
    /// When the mantissa has more than 96 bits or the scale is above 28.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Decimal, D::Error> {
        if from.is_human_readable() {
            let text = String::deserialize(from)?;
            return Decimal::from_str_exact(&text).map_err(de::Error::custom);
        }
        let (mantissa, scale) = <(i128, u32)>::deserialize(from)?;
        Decimal::try_from_i128_with_scale(mantissa, scale).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_spelling_of_a_number_does_not_matter() {
        for group in [
            &["1", "1.0", "1e0", "10e-1", "0.1E+1"][..],
            &["0", "-0", "0.000", "0e99"],
            &["64.2", "64.20", "6420e-2"],
            &["123456789012345678901234567890123", "123456789012345678901234567890123.0"],
            &["1e400", "10e399"],
            &["100000000000000000000", "1e20"],
        ] {
            let first = Number::parse(group[0]).unwrap();
            for text in group {
                assert_eq!(Number::parse(text).as_ref(), Some(&first), "{text}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_nearest_double_is_that_of_the_text(units in -(1_i64 << 54)..1 << 54, scale in 0_u32..28) {
            let number = Number::scaled(units.into(), scale);
            let text: f64 = number.plain().parse().unwrap();
            prop_assert_eq!(number.to_f64().to_bits(), text.to_bits());
        }
    }

    #[test]
    fn different_numbers_differ_however_close() {
        assert_ne!(Number::parse("9007199254740993"), Number::parse("9007199254740992"));
        assert_ne!(Number::parse("0.1"), Number::parse("0.1000000000000000055511151231257827"));
        assert_eq!(Number::parse("1e400").unwrap().to_string(), "1e400");
    }

    #[test]
    fn an_exponent_is_kept_up_to_12_digits_and_refused_beyond() {
        assert_eq!(Number::parse("1e999999999999").unwrap().to_string(), "1e999999999999");
        assert_eq!(Number::parse("10e-000999999999999").unwrap().to_string(), "1e-999999999998");
        assert_ne!(Number::parse("1e999999999998"), Number::parse("1e999999999999"));
        for bad in ["1e1000000000000", "1e-1000000000000", "1e9223372036854775807", "10e-9223372036854775808"]
        {
            assert_eq!(Number::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_no_json_number_is_none() {
        for bad in ["", "-", "01", "1.", ".5", "1e", "+1", "NaN", "1e+", "0x1", "1 ", "--1"] {
            assert_eq!(Number::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_decimal_survives_tagged_json_and_the_binary_form() {
        #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(tag = "kind")]
        enum Tagged {
            Limit { value: Value },
        }
        for text in ["-0.000000000001", "99.5", "79228162514264337593543950335", "1e400"] {
            let tagged = Tagged::Limit { value: Value::Number(Number::parse(text).unwrap()) };
            let json = serde_json::to_string(&tagged).unwrap();
            assert_eq!(serde_json::from_str::<Tagged>(&json).unwrap(), tagged, "{json}");
            let Tagged::Limit { value } = &tagged;
            let bytes = postcard::to_stdvec(value).unwrap();
            assert_eq!(&postcard::from_bytes::<Value>(&bytes).unwrap(), value);
        }
    }

    proptest! {
        #[test]
        fn a_printed_number_reads_back(text in "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?") {
            let number = Number::parse(&text).expect("a JSON number");
            prop_assert_eq!(Number::parse(&number.to_string()), Some(number));
        }
    }
}
