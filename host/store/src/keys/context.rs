//! Forming keys and ranges of keys, for one tenant.

use cdp_domain::ids::{ExportId, FragmentId, JobId, Ordinal, Position, TenantNo};
use cdp_domain::time::Timestamp;

use super::{Key, META_NAME_BYTES_MAX, tag};

/// The right to form a tenant's keys: made where a request is authenticated or a tenant's worker is started, and passed down from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TenantContext {
    tenant: TenantNo,
}

/// Keys from `from` (inclusive) to `to` (exclusive), all of one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key, inclusive.
    pub from: Key,
    /// Where the range ends, exclusive.
    pub to: Key,
}

impl KeyRange {
    /// The rest of the range behind `key`, to scan on forward after a page that ended with it.
    #[must_use]
    pub fn after(&self, key: &Key) -> Self {
        Self { from: Key::new(&[key.as_bytes(), &[0]]), to: self.to }
    }

    /// The rest of the range before `key`, to scan on backward after a page that ended with it.
    #[must_use]
    pub fn before(&self, key: &Key) -> Self {
        Self { from: self.from, to: *key }
    }
}

impl TenantContext {
    /// Forms the context. To be called only where the caller was authenticated for this tenant, or works for it.
    #[must_use]
    pub const fn new(tenant: TenantNo) -> Self {
        Self { tenant }
    }

    /// The tenant.
    #[must_use]
    pub const fn tenant(&self) -> TenantNo {
        self.tenant
    }

    /// The value called `name`.
    ///
    /// # Panics
    /// When the name is longer than [`META_NAME_BYTES_MAX`]; names are written in the program.
    #[must_use]
    pub fn meta(&self, name: &'static str) -> Key {
        assert!(name.len() <= META_NAME_BYTES_MAX, "the name of a meta key is short");
        self.key(tag::META, &[name.as_bytes()])
    }

    /// A fragment.
    #[must_use]
    pub fn fragment(&self, fragment: FragmentId) -> Key {
        self.key(tag::FRAGMENT, &[&fragment.0])
    }

    /// The profile whose root is this fragment.
    #[must_use]
    pub fn profile(&self, root: FragmentId) -> Key {
        self.key(tag::PROFILE, &[&root.0])
    }

    /// That `fragment` carries the identifier with this keyed digest.
    #[must_use]
    pub fn identifier(&self, digest: [u8; 16], fragment: FragmentId) -> Key {
        self.key(tag::IDENTIFIER, &[&digest, &fragment.0])
    }

    /// All fragments that carry an identifier.
    #[must_use]
    pub fn identifier_range(&self, digest: [u8; 16]) -> KeyRange {
        self.range(tag::IDENTIFIER, &[&digest])
    }

    /// A dense number.
    #[must_use]
    pub fn ordinal(&self, ordinal: Ordinal) -> Key {
        self.key(tag::ORDINAL, &[&ordinal.0.to_be_bytes()])
    }

    /// A contact point, by keyed digest.
    #[must_use]
    pub fn contact(&self, digest: [u8; 16]) -> Key {
        self.key(tag::CONTACT, &[&digest])
    }

    /// A chunk of a segment's members: ordinals `chunk << 16` to `(chunk << 16) + 65535`.
    #[must_use]
    pub fn member(&self, segment: u32, chunk: u16) -> Key {
        self.key(tag::MEMBER, &[&segment.to_be_bytes(), &chunk.to_be_bytes()])
    }

    /// All chunks of a segment's members, ascending.
    #[must_use]
    pub fn member_range(&self, segment: u32) -> KeyRange {
        self.range(tag::MEMBER, &[&segment.to_be_bytes()])
    }

    /// The state of a plugin's fold in a fragment.
    #[must_use]
    pub fn derived_state(&self, fragment: FragmentId, no: u32) -> Key {
        self.key(tag::DERIVED_STATE, &[&fragment.0, &no.to_be_bytes()])
    }

    /// The states of all plugins' folds in a fragment.
    #[must_use]
    pub fn derived_states_of(&self, fragment: FragmentId) -> KeyRange {
        self.range(tag::DERIVED_STATE, &[&fragment.0])
    }

    /// The reading of a plugin's fold of the profile with this root.
    #[must_use]
    pub fn derived_reading(&self, root: FragmentId, no: u32) -> Key {
        self.key(tag::DERIVED_READING, &[&root.0, &no.to_be_bytes()])
    }

    /// The readings of all plugins' folds of the profile with this root.
    #[must_use]
    pub fn derived_readings_of(&self, root: FragmentId) -> KeyRange {
        self.range(tag::DERIVED_READING, &[&root.0])
    }

    /// When a reading of a plugin's fold is to be made again.
    #[must_use]
    pub fn derived_timer(&self, at: Timestamp, root: FragmentId, no: u32) -> Key {
        self.key(tag::DERIVED_TIMER, &[&ordered(at), &root.0, &no.to_be_bytes()])
    }

    /// All readings that are to be made again at `now`: their timer is earlier or equal.
    #[must_use]
    pub fn derived_timers_due(&self, now: Timestamp) -> KeyRange {
        let all = self.table(tag::DERIVED_TIMER);
        let to = now
            .0
            .checked_add(1)
            .map_or(all.to, |after| self.key(tag::DERIVED_TIMER, &[&ordered(Timestamp(after))]));
        KeyRange { from: all.from, to }
    }

    /// A timer of a profile.
    #[must_use]
    pub fn timer(&self, at: Timestamp, ordinal: Ordinal) -> Key {
        self.key(tag::TIMER, &[&ordered(at), &ordinal.0.to_be_bytes()])
    }

    /// All timers that are due at `now`: theirs is earlier or equal.
    #[must_use]
    pub fn timers_due(&self, now: Timestamp) -> KeyRange {
        let all = self.table(tag::TIMER);
        let to =
            now.0.checked_add(1).map_or(all.to, |after| self.key(tag::TIMER, &[&ordered(Timestamp(after))]));
        KeyRange { from: all.from, to }
    }

    /// The row of membership changes of a segment whose last is the `n`-th that the record at `position` caused.
    #[must_use]
    pub fn change(&self, segment: u32, position: Position, n: u32) -> Key {
        self.key(tag::CHANGE, &[&segment.to_be_bytes(), &position.0.to_be_bytes(), &n.to_be_bytes()])
    }

    /// The rows of changes of a segment that end with the `n`-th of the record at `from` or behind it.
    #[must_use]
    pub fn change_range(&self, segment: u32, from: Position, n: u32) -> KeyRange {
        let all = self.range(tag::CHANGE, &[&segment.to_be_bytes()]);
        KeyRange { from: self.change(segment, from, n), to: all.to }
    }

    /// The dead letter of the record at `position`.
    #[must_use]
    pub fn dead_letter(&self, position: Position) -> Key {
        self.key(tag::DEAD_LETTER, &[&position.0.to_be_bytes()])
    }

    /// The replays of the event at `position`.
    #[must_use]
    pub fn replay(&self, position: Position) -> Key {
        self.key(tag::REPLAY, &[&position.0.to_be_bytes()])
    }

    /// Which transformers run from the record at `position` on.
    #[must_use]
    pub fn pipeline(&self, position: Position) -> Key {
        self.key(tag::PIPELINE, &[&position.0.to_be_bytes()])
    }

    /// What a number in state belongs to.
    #[must_use]
    pub fn definition(&self, no: u32) -> Key {
        self.key(tag::DEFINITION, &[&no.to_be_bytes()])
    }

    /// An event type, by the number it was given when it was first seen.
    #[must_use]
    pub fn catalogue(&self, no: u32) -> Key {
        self.key(tag::CATALOGUE, &[&no.to_be_bytes()])
    }

    /// The `n`-th timeline entry that the record at `position` caused.
    #[must_use]
    pub fn timeline_log(&self, position: Position, n: u16) -> Key {
        self.key(tag::TIMELINE_LOG, &[&position.0.to_be_bytes(), &n.to_be_bytes()])
    }

    /// All timeline entries that the record at `position` caused.
    #[must_use]
    pub fn timeline_log_range(&self, position: Position) -> KeyRange {
        self.range(tag::TIMELINE_LOG, &[&position.0.to_be_bytes()])
    }

    /// A job.
    #[must_use]
    pub fn job(&self, job: JobId) -> Key {
        self.key(tag::JOB, &[&job.0])
    }

    /// A run of an export.
    #[must_use]
    pub fn export(&self, export: ExportId) -> Key {
        self.key(tag::EXPORT, &[&export.0])
    }

    /// The company of an identifier, by keyed digest.
    #[must_use]
    pub fn company(&self, digest: [u8; 16]) -> Key {
        self.key(tag::COMPANY, &[&digest])
    }

    /// The `n`-th merge or split that the record at `position` caused.
    #[must_use]
    pub fn identity_log(&self, position: Position, n: u32) -> Key {
        self.key(tag::IDENTITY_LOG, &[&position.0.to_be_bytes(), &n.to_be_bytes()])
    }

    /// The alert on an identifier (by keyed digest) or a fragment.
    #[must_use]
    pub fn identity_alert(&self, digest: [u8; 16]) -> Key {
        self.key(tag::IDENTITY_ALERT, &[&digest])
    }

    /// That the event of this identity was taken back.
    #[must_use]
    pub fn void(&self, identity: [u8; 16]) -> Key {
        self.key(tag::VOID, &[&identity])
    }

    /// The event at `position`, whose time comes at `at`.
    #[must_use]
    pub fn waiting(&self, at: Timestamp, position: Position) -> Key {
        self.key(tag::WAITING, &[&ordered(at), &position.0.to_be_bytes()])
    }

    /// The `n`-th decision that the record at `position` reported about a contact point, by keyed digest.
    #[must_use]
    pub fn ledger(&self, contact: [u8; 16], position: Position, n: u32) -> Key {
        self.key(tag::LEDGER, &[&contact, &position.0.to_be_bytes(), &n.to_be_bytes()])
    }

    /// All decisions about a contact point, in the order of their receipt.
    #[must_use]
    pub fn ledger_range(&self, contact: [u8; 16]) -> KeyRange {
        self.range(tag::LEDGER, &[&contact])
    }

    /// That what has this keyed digest belongs to somebody who was erased.
    #[must_use]
    pub fn suppression(&self, digest: [u8; 16]) -> Key {
        self.key(tag::SUPPRESSION, &[&digest])
    }

    /// An erasure, by its job.
    #[must_use]
    pub fn erasure(&self, job: JobId) -> Key {
        self.key(tag::ERASURE, &[&job.0])
    }

    /// A restriction, by its number.
    #[must_use]
    pub fn restriction(&self, id: u32) -> Key {
        self.key(tag::RESTRICTION, &[&id.to_be_bytes()])
    }

    /// A request in OpenDSR form, by its id.
    #[must_use]
    pub fn subject_request(&self, id: [u8; 16]) -> Key {
        self.key(tag::SUBJECT_REQUEST, &[&id])
    }

    /// What events of a fragment that are gone by their age amounted to.
    #[must_use]
    pub fn aged(&self, fragment: FragmentId) -> Key {
        self.key(tag::AGED, &[&fragment.0])
    }

    /// Events that are to be redacted, by the place of the record that says so.
    #[must_use]
    pub fn aging(&self, record: Position) -> Key {
        self.key(tag::AGING, &[&record.0.to_be_bytes()])
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> Key {
        self.key(tag::CONFIG, &[])
    }

    /// A whole table, by its tag of [`tag`].
    #[must_use]
    pub fn table(&self, tag: u8) -> KeyRange {
        self.range(tag, &[])
    }

    /// Everything of the tenant, without the pieces of large values.
    #[must_use]
    pub fn all(&self) -> KeyRange {
        KeyRange { from: self.key(0, &[]), to: self.key(tag::CONTINUATION, &[]) }
    }

    /// The range in which all pieces of large values stand.
    pub(crate) fn continuations(&self) -> KeyRange {
        self.range(tag::CONTINUATION, &[])
    }

    /// A piece of the large value under `head`.
    pub(crate) fn continuation(&self, head: &Key, piece: u16) -> Key {
        self.key(tag::CONTINUATION, &[&head.as_bytes()[4..], &piece.to_be_bytes()])
    }

    /// Whether a key belongs to this tenant.
    pub(crate) fn owns(&self, key: &Key) -> bool {
        key.as_bytes().starts_with(&self.tenant.0.to_be_bytes())
    }

    fn key(&self, tag: u8, parts: &[&[u8]]) -> Key {
        let tenant = self.tenant.0.to_be_bytes();
        let head: [&[u8]; 2] = [&tenant, &[tag]];
        let mut all: [&[u8]; 6] = [&[]; 6];
        all[..2].copy_from_slice(&head);
        all[2..2 + parts.len()].copy_from_slice(parts);
        Key::new(&all[..2 + parts.len()])
    }

    /// All keys that begin with these parts.
    fn range(&self, tag: u8, parts: &[&[u8]]) -> KeyRange {
        let from = self.key(tag, parts);
        KeyRange { from, to: successor(&from) }
    }
}

/// Milliseconds as bytes that sort as the numbers do, negative ones first.
pub(super) fn ordered(at: Timestamp) -> [u8; 8] {
    (at.0 ^ i64::MIN).to_be_bytes()
}

/// The smallest key behind all keys that begin with `prefix`.
fn successor(prefix: &Key) -> Key {
    let bytes = prefix.as_bytes();
    let Some(last) = bytes.iter().rposition(|byte| *byte != 0xff) else {
        // The very last tenant's very last table has no successor; nothing that we store sorts behind this.
        return Key::new(&[&[0xff; super::KEY_BYTES]]);
    };
    let mut next = [0; super::KEY_BYTES];
    next[..=last].copy_from_slice(&bytes[..=last]);
    next[last] += 1;
    Key::new(&[&next[..=last]])
}
