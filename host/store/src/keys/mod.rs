//! The catalogue of keys: what every stored key looks like, formed in one place.
//!
//! A key is the tenant (u32), a tag (u8), and parts of fixed width, all big-endian, so that keys sort by tenant, table, and then by their parts in order.
//! Only [`TenantContext`] forms keys, so a use case without one cannot touch a tenant's data, and one with it cannot touch another's.
//!
//! | tag | table | parts | holds |
//! | ---: | --- | --- | --- |
//! | 0x01 | meta | name (bytes) | one value per name: applied position, counters |
//! | 0x02 | fragment | fragment (16) | what is known under one set of identifiers |
//! | 0x03 | profile | root fragment (16) | what is joined from several fragments |
//! | 0x04 | identifier | digest (16), fragment (16) | which fragments carry an identifier |
//! | 0x05 | ordinal | ordinal (u32) | the root fragment behind a dense number |
//! | 0x06 | contact | digest (16) | a contact point, shared by whoever shares it |
//! | 0x07 | member | segment (u32), chunk (u16) | membership bitmap of 65,536 ordinals |
//! | 0x08 | timer | due at (i64, order kept), ordinal (u32) | when a reading ceases to hold |
//! | 0x09 | change | segment (u32), position (u64), n (u32) | a membership change |
//! | 0x0a | dead letter | position (u64) | an event that could not be applied, and why |
//! | 0x0b | timeline log | position (u64), n (u16) | what is shown on a timeline and is no event |
//! | 0x0c | job | job (16) | a background job |
//! | 0x0d | export | export (16) | one run of an export |
//! | 0x0e | config | – | the tenant's configuration as applied |
//! | 0x20 | replay | position (u64) | how often the event there was tried again, and with what result |
//! | 0x21 | pipeline | position (u64) | which transformers run from here on |
//! | 0x22 | definition | number (u32) | which segment version a number in state belongs to |
//! | 0x23 | catalogue | number (u32) | what is known of an event type |
//! | 0x30 | company | digest (16) | with whom an identifier was seen that very many fragments carry |
//! | 0x31 | identity log | position (u64), n (u32) | a merge, a split, a change of a profile's id |
//! | 0x32 | identity alert | digest (16) | an identifier or a fragment that stopped linking people |
//! | 0x14 | void | event identity (16) | an event that was taken back, and since when |
//! | 0x15 | waiting | event time (i64, order kept), position (u64) | an event whose time has not come |
//! | 0x40 | ledger | digest of a contact point (16), position (u64), n (u32) | a consent decision, as it was reported |
//! | 0x41 | suppression | keyed digest (16) | an identifier or a contact point of somebody who was erased |
//! | 0x42 | erasure | job (16) | an erasure, and what came of it |
//! | 0x43 | restriction | number (u32) | somebody who is kept and not used, in digests
//! | 0x44 | subject request | id (16) | a request in OpenDSR form, and what came of it
//! | 0x50 | derived state | fragment (16), number (u32) | what a plugin's fold keeps of a fragment |
//! | 0x51 | derived reading | root fragment (16), number (u32) | what a plugin's fold reads of a profile |
//! | 0x52 | derived timer | due at (i64, order kept), root fragment (16), number (u32) | when to read it again |
//! | 0xff | continuation | another key without its tenant, piece (u16) | pieces of a large value ([`crate::state`]) |
//!
//! Tags are never reused. Signed numbers have their sign bit flipped, so that earlier times sort first.
//!
//! To add a table: a line here, a tag, a function on [`TenantContext`], a decoder if it is scanned, and its golden bytes in the tests.

mod context;
mod decode;
#[cfg(test)]
mod tests;

use std::fmt;

pub use context::{KeyRange, TenantContext};
pub use decode::{
    aging, change, dead_letter, derived_reading, derived_state, derived_timer, erasure, export, fragment,
    identifier, identity_alert, identity_log, job, ledger, member, ordinal, pipeline, profile, replay,
    restriction, subject_request, suppression, timeline_log, timer, void, waiting,
};

/// Tags of the tables, in the fifth byte of every key.
pub mod tag {
    /// Values by name.
    pub const META: u8 = 0x01;
    /// Fragments.
    pub const FRAGMENT: u8 = 0x02;
    /// Profiles.
    pub const PROFILE: u8 = 0x03;
    /// Identifiers and the fragments that carry them.
    pub const IDENTIFIER: u8 = 0x04;
    /// Dense numbers.
    pub const ORDINAL: u8 = 0x05;
    /// Contact points.
    pub const CONTACT: u8 = 0x06;
    /// Membership bitmaps.
    pub const MEMBER: u8 = 0x07;
    /// Timers.
    pub const TIMER: u8 = 0x08;
    /// Membership changes.
    pub const CHANGE: u8 = 0x09;
    /// Dead letters.
    pub const DEAD_LETTER: u8 = 0x0a;
    /// Timeline entries that are no events.
    pub const TIMELINE_LOG: u8 = 0x0b;
    /// Jobs.
    pub const JOB: u8 = 0x0c;
    /// Runs of exports.
    pub const EXPORT: u8 = 0x0d;
    /// The configuration.
    pub const CONFIG: u8 = 0x0e;
    /// Replays of events that were kept out of state.
    pub const REPLAY: u8 = 0x20;
    /// Which transformers run.
    pub const PIPELINE: u8 = 0x21;
    /// What numbers in state belong to.
    pub const DEFINITION: u8 = 0x22;
    /// Event types.
    pub const CATALOGUE: u8 = 0x23;
    /// Company of identifiers.
    pub const COMPANY: u8 = 0x30;
    /// Merges and splits.
    pub const IDENTITY_LOG: u8 = 0x31;
    /// Alerts of identity.
    pub const IDENTITY_ALERT: u8 = 0x32;
    /// Events that were taken back.
    pub const VOID: u8 = 0x14;
    /// Events whose time has not come.
    pub const WAITING: u8 = 0x15;
    /// Consent decisions.
    pub const LEDGER: u8 = 0x40;
    /// Who was erased.
    pub const SUPPRESSION: u8 = 0x41;
    /// Erasures.
    pub const ERASURE: u8 = 0x42;
    /// Who is kept and not used.
    pub const RESTRICTION: u8 = 0x43;
    /// Requests in OpenDSR form.
    pub const SUBJECT_REQUEST: u8 = 0x44;
    /// What events that are gone by their age amounted to.
    pub const AGED: u8 = 0x45;
    /// Events that are to be redacted because of their age.
    pub const AGING: u8 = 0x46;
    /// States of plugins' folds.
    pub const DERIVED_STATE: u8 = 0x50;
    /// Readings of plugins' folds.
    pub const DERIVED_READING: u8 = 0x51;
    /// When plugins' folds are read again.
    pub const DERIVED_TIMER: u8 = 0x52;
    /// Pieces of large values.
    pub(crate) const CONTINUATION: u8 = 0xff;
}

/// The longest name of a meta key, in bytes, inclusive.
pub const META_NAME_BYTES_MAX: usize = 32;

/// The longest key: an identifier's (or the longest meta name's) with the parts of a continuation.
pub(crate) const KEY_BYTES: usize = 48;

/// A key, formed by a [`TenantContext`]; held in place, without allocation. Ordered as the store orders it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    // Unused bytes are zero; comparing them before the length keeps the order of the used ones, for "ab" < "ab\0" too.
    bytes: [u8; KEY_BYTES],
    len: u8,
}

impl Key {
    pub(crate) fn new(parts: &[&[u8]]) -> Self {
        let mut key = Self { bytes: [0; KEY_BYTES], len: 0 };
        for part in parts {
            let from = usize::from(key.len);
            key.bytes[from..from + part.len()].copy_from_slice(part);
            key.len += u8::try_from(part.len()).expect("keys are short");
        }
        key
    }

    /// The key as stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// A key read back from the store, if it is of a length we write.
    pub(crate) fn from_stored(bytes: &[u8]) -> Option<Self> {
        (bytes.len() >= 5 && bytes.len() <= KEY_BYTES).then(|| Self::new(&[bytes]))
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Debug for Key {
    /// Shows tenant and tag only: parts can be digests of identifiers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:02x?}…, {} bytes)", &self.bytes[..5], self.len)
    }
}
