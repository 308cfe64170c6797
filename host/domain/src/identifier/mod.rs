//! Identifiers and how they become comparable: two spellings of one address are one identifier.
//!
//! Every normal form is its own normal form. Which addresses are read, and as what: [`email`], [`phone`].

pub mod email;
pub mod phone;
mod pinned;
#[cfg(test)]
mod vectors;

use compact_str::CompactString;
pub use pinned::Pinned;
use serde::{Deserialize, Serialize};

use crate::limits::{IDENTIFIER_BYTES_MAX, IDENTIFIER_TYPE_BYTES_MAX};

/// A namespace and a normalised value in it; equal identifiers name the same person, device or account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identifier {
    /// The namespace: `email`, `user_id`, `anonymous_id`, or the brand's own.
    #[serde(rename = "type")]
    pub kind: CompactString,
    /// The normalised value.
    pub value: CompactString,
}

impl Identifier {
    /// Bytes that no other identifier has: what digests of identifiers are made from.
    #[must_use]
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.kind.len() + self.value.len() + 1);
        out.extend_from_slice(self.kind.as_bytes());
        out.push(0);
        out.extend_from_slice(self.value.as_bytes());
        out
    }
}

/// How values of an identifier type become comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normaliser {
    /// Lower case, composed (NFC), the domain in ASCII form. Dots and `+tags` stay: they are the provider's business.
    /// See [`email`].
    Email,
    /// E.164, for numbers written with their country code. See [`phone`].
    Phone,
    /// As sent.
    Opaque,
}

impl Normaliser {
    /// What is used for a type or channel that no rule speaks of.
    #[must_use]
    pub fn usual_for(kind: &str) -> Self {
        match kind {
            "email" => Self::Email,
            "phone" | "sms" | "whatsapp" => Self::Phone,
            _ => Self::Opaque,
        }
    }

    /// The comparable form of `raw`.
    ///
    /// # Errors
    /// One sentence that says why `raw` is not acceptable, without repeating it.
    pub fn normalise(self, raw: &str) -> Result<CompactString, String> {
        if raw.is_empty() {
            return Err("must not be empty".to_owned());
        }
        if raw.len() > IDENTIFIER_BYTES_MAX {
            return Err(format!("is longer than {IDENTIFIER_BYTES_MAX} bytes"));
        }
        match self {
            Self::Opaque if raw.bytes().any(|b| b < b' ' || b == 0x7f) => {
                Err("must not contain control characters".to_owned())
            }
            Self::Opaque if raw.trim().is_empty() => Err("must not be blank".to_owned()),
            Self::Opaque => Ok(raw.into()),
            Self::Email => email::normalise(raw.trim()),
            Self::Phone => phone::normalise(raw.trim(), None),
        }
    }
}

/// Checks the name of an identifier type.
///
/// # Errors
/// One sentence for the client.
pub fn check_kind(kind: &str) -> Result<(), String> {
    if kind.is_empty() || kind.len() > IDENTIFIER_TYPE_BYTES_MAX {
        return Err(format!("must have 1 to {IDENTIFIER_TYPE_BYTES_MAX} characters"));
    }
    if !kind.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-$".contains(&b)) {
        return Err("may only contain letters, digits and _ . : - $".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_address_are_one() {
        for (raw, want) in [
            ("Maria@Example.COM", "maria@example.com"),
            (" maria@example.com ", "maria@example.com"),
            ("ma.ria+tag@example.com", "ma.ria+tag@example.com"),
            ("user@bücher.example", "user@xn--bcher-kva.example"),
        ] {
            assert_eq!(Normaliser::Email.normalise(raw).as_deref(), Ok(want));
        }
        for raw in ["+44 20 7183 8750", "+442071838750", "+44 (0)20 7183 8750"] {
            assert_eq!(Normaliser::Phone.normalise(raw).as_deref(), Ok("+442071838750"), "{raw}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "",
            "a",
            "@b.c",
            "a@",
            "a@b",
            "a b@c.de",
            "a@b..c",
            "a@-b.c",
            "a@[1.2.3.4]",
            "a..b@c.de",
            "a@1.2.3.4",
        ] {
            assert!(Normaliser::Email.normalise(bad).is_err(), "{bad}");
        }
        for bad in ["", "12345", "+1", "+3367a829916", "+4940018825589269", "phone"] {
            assert!(Normaliser::Phone.normalise(bad).is_err(), "{bad}");
        }
        assert!(Normaliser::Opaque.normalise("a\u{0}b").is_err());
    }

    #[test]
    fn the_length_limit_holds_at_n_and_n_plus_1() {
        assert!(Normaliser::Opaque.normalise(&"x".repeat(IDENTIFIER_BYTES_MAX)).is_ok());
        assert!(Normaliser::Opaque.normalise(&"x".repeat(IDENTIFIER_BYTES_MAX + 1)).is_err());
    }

    proptest! {
        #[test]
        fn a_normal_form_is_its_own_normal_form(raw in "\\PC{0,40}") {
            for normaliser in [Normaliser::Email, Normaliser::Phone, Normaliser::Opaque] {
                if let Ok(once) = normaliser.normalise(&raw) {
                    prop_assert_eq!(normaliser.normalise(&once), Ok(once));
                }
            }
        }
    }
}
