//! Names of things, as types: an id of one kind cannot be passed where another is wanted.
//!
//! Printed ids carry a short prefix (`prf_…`, `evt_…`); the bytes inside are fixed-width so that keys are too.
//! To add a kind: one line in `digest_id!` or `number_id!`, and its prefix in the documentation of the HTTP contract.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A string that is not an id of the wanted kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {0}…")]
pub struct NotAnId(pub &'static str);

macro_rules! digest_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// What printed ids of this kind begin with.
            pub const PREFIX: &'static str = $prefix;

            /// The bytes, as they stand in keys.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                text.strip_prefix($prefix).and_then(crate::hex::decode).map(Self).ok_or(NotAnId($prefix))
            }
        }
    };
}

digest_id!(
    /// A fragment: what is known under one exact set of identifiers. Also names the profile whose earliest fragment it is.
    FragmentId, "prf_"
);
digest_id!(
    /// Somebody who works in the console.
    UserId, "usr_"
);
digest_id!(
    /// A job that runs in the background.
    JobId, "job_"
);
digest_id!(
    /// One run of an export.
    ExportId, "exp_"
);
digest_id!(
    /// A tenant, as clients see it.
    TenantId, "ten_"
);
digest_id!(
    /// An API key's public half.
    KeyId, "key_"
);

/// A tenant's number inside this installation: the fixed-width prefix of its keys. Never reused; 0 is the installation itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TenantNo(pub u32);

/// A place in a tenant's journal: the byte offset of a record's first byte, counted over all segment files.
///
/// Positions grow with the order of acceptance. Printed as decimal text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Position {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        text.parse().map(Self).map_err(|_| NotAnId("0"))
    }
}

/// Dense number of a profile's root fragment within its tenant: what membership bitmaps hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ordinal(pub u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_id_parses_back() {
        let id = FragmentId([0xa7; 16]);
        assert_eq!(id.to_string().parse::<FragmentId>(), Ok(id));
    }

    #[test]
    fn other_prefixes_lengths_and_capitals_are_refused() {
        for bad in
            ["key_a7", "prf_", "prf_A7A7A7A7A7A7A7A7A7A7A7A7A7A7A7A7", "a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7"]
        {
            assert!(bad.parse::<FragmentId>().is_err(), "{bad}");
        }
    }
}
