//! Telephone numbers as identifiers: E.164, by the numbering plans of libphonenumber.
//!
//! # What is read
//!
//! A number with its country code in any spelling (`+44 (0)20 7946 0018`, `tel:+44-20-7946-0018`, full-width digits), and,
//! where a region is known, a number as it is dialled there. Without a region nothing is guessed: `020 7946 0018` is refused.
//! A number must exist in its country's plan. An extension is cut: E.164 has none, so colleagues behind one number share it.
//!
//! # Plans change
//!
//! A later release of the plans may call a number valid that was not, or cut a prefix that it kept. What was accepted
//! must not change under a stored event, so the form that a number got is kept beside the number as it was sent
//! (see [`super::pinned`]), and [`METADATA`] says by which plans.

use std::fmt::Write as _;

use compact_str::CompactString;
use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat, Region as Plan};

/// The release of libphonenumber's numbering plans inside [`LIBRARY`].
pub const METADATA: &str = "9.0.42";
/// The library and its version. A test compares it with what is built, so that both are looked at when it changes.
pub const LIBRARY: (&str, &str) = ("rlibphonenumber", "2.2.15");

/// A country or territory with a numbering plan: two capital letters of ISO 3166-1, and AC, TA and XK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Region(Plan);

impl Region {
    /// The region of a code.
    ///
    /// # Errors
    /// One sentence for the client.
    pub fn parse(code: &str) -> Result<Self, String> {
        let known = code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase());
        let plan = if known { code.parse::<Plan>().ok() } else { None };
        plan.map(Self).ok_or_else(|| "is not the code of a country, such as LV".to_owned())
    }
}

/// The E.164 form of a number without white space around it.
///
/// # Errors
/// One sentence that says why it is not acceptable, without repeating it.
pub fn normalise(raw: &str, region: Option<Region>) -> Result<CompactString, String> {
    let number = PHONE_NUMBER_UTIL.parse(raw, region.map(|region| region.0)).map_err(|_| match region {
        None => "is not a telephone number with its country code, such as +37120000000".to_owned(),
        Some(_) => "is not a telephone number".to_owned(),
    })?;
    if !number.is_valid() {
        return Err("is not a telephone number that exists in its country's plan".to_owned());
    }
    let mut out = CompactString::default();
    write!(out, "{}", number.format_as(PhoneNumberFormat::E164)).expect("writing to a string");
    // Some plans allow more digits than any network carries.
    if is_e164(&out) { Ok(out) } else { Err("has more digits than a telephone number has: 15".to_owned()) }
}

/// Whether a text has the shape of an E.164 number, whatever the plans say of it.
#[must_use]
pub fn is_e164(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or_default().as_bytes();
    (2..=15).contains(&digits.len()) && digits[0] != b'0' && digits.iter().all(u8::is_ascii_digit)
}
