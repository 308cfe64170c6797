//! Exact decimals, for money.

use std::cmp::Ordering;
use std::fmt;

/// Digits after the point, at most.
const SCALE_MAX: u32 = 38;

/// An exact number of up to 38 digits; [`Default`] is 0. Equal numbers are equal however they were spelt.
///
/// ```
/// use cdp_plugin_sdk::decimal::Decimal;
/// let sum = Decimal::parse("139.12").unwrap().checked_add(Decimal::parse("22.2").unwrap()).unwrap();
/// assert_eq!(sum.to_string(), "161.32");
/// assert!(sum < Decimal::from(200));
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Decimal {
    units: i128,
    scale: u32,
}

impl Decimal {
    /// Reads plain notation such as `-64.20`; None when it is none, or has too many digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (minus, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let mut units: i128 = 0;
        let mut scale = None;
        let mut any = false;
        for byte in digits.bytes() {
            match byte {
                b'0'..=b'9' => {
                    units = units.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
                    scale = scale.map(|scale| scale + 1);
                    any = true;
                }
                b'.' if scale.is_none() && any => scale = Some(0),
                _ => return None,
            }
        }
        let ends_well = any && scale != Some(0);
        ends_well
            .then(|| Self { units: if minus { -units } else { units }, scale: scale.unwrap_or(0) }.shortest())
    }

    /// The exact sum; None when it has too many digits.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        let units = self.at(scale)?.checked_add(other.at(scale)?)?;
        Some(Self { units, scale }.shortest())
    }

    /// The exact difference; None when it has too many digits.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.checked_add(Self { units: other.units.checked_neg()?, scale: other.scale })
    }

    /// Writes it in 17 bytes; equal numbers in equal ones.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::try_from(self.scale).expect("at most 38"));
        out.extend(self.units.to_le_bytes());
    }

    /// Reads what [`Self::encode`] wrote, and nothing else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&scale, units) = bytes.split_first()?;
        let read = Self { units: i128::from_le_bytes(units.try_into().ok()?), scale: u32::from(scale) };
        let shortest = read.shortest();
        (u32::from(scale) <= SCALE_MAX && shortest.scale == read.scale).then_some(read)
    }

    fn at(self, scale: u32) -> Option<i128> {
        self.units.checked_mul(10_i128.checked_pow(scale - self.scale)?)
    }

    fn shortest(mut self) -> Self {
        while self.scale > 0 && self.units % 10 == 0 {
            self.units /= 10;
            self.scale -= 1;
        }
        self
    }
}

impl From<i64> for Decimal {
    fn from(whole: i64) -> Self {
        Self { units: i128::from(whole), scale: 0 }
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let scale = self.scale.max(other.scale);
        match (self.at(scale), other.at(scale)) {
            (Some(a), Some(b)) => a.cmp(&b),
            // The one that cannot be written so finely is the larger by far.
            (None, _) => self.units.cmp(&0),
            (_, None) => 0.cmp(&other.units),
        }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scale == 0 {
            return write!(f, "{}", self.units);
        }
        let sign = if self.units < 0 { "-" } else { "" };
        let places = self.scale as usize;
        let digits = format!("{:0>width$}", self.units.unsigned_abs(), width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        write!(f, "{sign}{whole}.{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn sums_are_exact() {
        for (a, b, sum) in [
            ("0.1", "0.2", "0.3"),
            ("1.50", "-1.5", "0"),
            ("-0.05", "0.01", "-0.04"),
            ("99999999999999999999", "0.00000001", "99999999999999999999.00000001"),
        ] {
            assert_eq!(decimal(a).checked_add(decimal(b)).unwrap().to_string(), sum);
            assert_eq!(decimal(sum).checked_sub(decimal(b)).unwrap(), decimal(a));
        }
        assert_eq!(decimal(&"9".repeat(38)).checked_add(decimal("0.1")), None);
    }

    #[test]
    fn spelling_does_not_matter() {
        let bytes = |text| {
            let mut out = Vec::new();
            decimal(text).encode(&mut out);
            out
        };
        assert_eq!(bytes("1.50"), bytes("01.5"));
        assert_eq!(Decimal::decode(&bytes("-64.2")), Some(decimal("-64.20")));
        let wasteful = [&[1], &10_i128.to_le_bytes()[..]].concat();
        assert_eq!(Decimal::decode(&wasteful), None);
    }

    #[test]
    fn order_is_that_of_numbers() {
        assert!(decimal("-2") < decimal("-1.9") && decimal("0.9") < decimal("0.91"));
        let huge = decimal(&"9".repeat(38));
        assert!(huge > decimal("0.0000000001") && decimal(&format!("-{}", "9".repeat(38))) < decimal("0.1"));
    }

    #[test]
    fn what_is_no_decimal_is_none() {
        for text in ["", "-", ".5", "5.", "1e3", "+1", "1.2.3", "1 ", &"9".repeat(40)] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }
}
