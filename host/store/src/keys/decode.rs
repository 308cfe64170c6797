//! Reading the parts of keys that scans give. A key of another table or length gives `None`.

use cdp_domain::ids::{ExportId, FragmentId, JobId, Ordinal, Position};
use cdp_domain::time::Timestamp;

use super::{Key, tag};

/// The fragment of a key of the fragment table.
#[must_use]
pub fn fragment(key: &Key) -> Option<FragmentId> {
    parts::<16>(key, tag::FRAGMENT).map(FragmentId)
}

/// The root fragment of a key of the profile table.
#[must_use]
pub fn profile(key: &Key) -> Option<FragmentId> {
    parts::<16>(key, tag::PROFILE).map(FragmentId)
}

/// The digest and the fragment of a key of the identifier table.
#[must_use]
pub fn identifier(key: &Key) -> Option<([u8; 16], FragmentId)> {
    let parts = parts::<32>(key, tag::IDENTIFIER)?;
    Some((part(&parts, 0), FragmentId(part(&parts, 16))))
}

/// The ordinal of a key of the ordinal table.
#[must_use]
pub fn ordinal(key: &Key) -> Option<Ordinal> {
    parts(key, tag::ORDINAL).map(|parts| Ordinal(u32::from_be_bytes(parts)))
}

/// The segment and the chunk of a key of the member table.
#[must_use]
pub fn member(key: &Key) -> Option<(u32, u16)> {
    let parts = parts::<6>(key, tag::MEMBER)?;
    Some((u32::from_be_bytes(part(&parts, 0)), u16::from_be_bytes(part(&parts, 4))))
}

/// The time and the ordinal of a key of the timer table.
#[must_use]
pub fn timer(key: &Key) -> Option<(Timestamp, Ordinal)> {
    let parts = parts::<12>(key, tag::TIMER)?;
    let at = Timestamp(i64::from_be_bytes(part(&parts, 0)) ^ i64::MIN);
    Some((at, Ordinal(u32::from_be_bytes(part(&parts, 8)))))
}

/// The segment, the position and the number of a key of the change table.
#[must_use]
pub fn change(key: &Key) -> Option<(u32, Position, u32)> {
    let parts = parts::<16>(key, tag::CHANGE)?;
    let position = Position(u64::from_be_bytes(part(&parts, 4)));
    Some((u32::from_be_bytes(part(&parts, 0)), position, u32::from_be_bytes(part(&parts, 12))))
}

/// The position of a key of the dead letter table.
#[must_use]
pub fn dead_letter(key: &Key) -> Option<Position> {
    parts(key, tag::DEAD_LETTER).map(|parts| Position(u64::from_be_bytes(parts)))
}

/// The position of a key of the replay table.
#[must_use]
pub fn replay(key: &Key) -> Option<Position> {
    parts(key, tag::REPLAY).map(|parts| Position(u64::from_be_bytes(parts)))
}

/// The position of a key of the pipeline table.
#[must_use]
pub fn pipeline(key: &Key) -> Option<Position> {
    parts(key, tag::PIPELINE).map(|parts| Position(u64::from_be_bytes(parts)))
}

/// The position and the number of a key of the timeline log.
#[must_use]
pub fn timeline_log(key: &Key) -> Option<(Position, u16)> {
    let parts = parts::<10>(key, tag::TIMELINE_LOG)?;
    Some((Position(u64::from_be_bytes(part(&parts, 0))), u16::from_be_bytes(part(&parts, 8))))
}

/// The job of a key of the job table.
#[must_use]
pub fn job(key: &Key) -> Option<JobId> {
    parts::<16>(key, tag::JOB).map(JobId)
}

/// The export of a key of the export table.
#[must_use]
pub fn export(key: &Key) -> Option<ExportId> {
    parts::<16>(key, tag::EXPORT).map(ExportId)
}

/// The position and the number of a key of the identity log.
#[must_use]
pub fn identity_log(key: &Key) -> Option<(Position, u32)> {
    let parts = parts::<12>(key, tag::IDENTITY_LOG)?;
    Some((Position(u64::from_be_bytes(part(&parts, 0))), u32::from_be_bytes(part(&parts, 8))))
}

/// The digest of a key of the alert table.
#[must_use]
pub fn identity_alert(key: &Key) -> Option<[u8; 16]> {
    parts::<16>(key, tag::IDENTITY_ALERT)
}

/// The event identity of a key of the void table.
#[must_use]
pub fn void(key: &Key) -> Option<[u8; 16]> {
    parts::<16>(key, tag::VOID)
}

/// The time and the position of a key of the waiting table.
#[must_use]
pub fn waiting(key: &Key) -> Option<(Timestamp, Position)> {
    let parts = parts::<16>(key, tag::WAITING)?;
    let at = Timestamp(i64::from_be_bytes(part(&parts, 0)) ^ i64::MIN);
    Some((at, Position(u64::from_be_bytes(part(&parts, 8)))))
}

/// The contact point's digest, the position and the number of a key of the ledger.
#[must_use]
pub fn ledger(key: &Key) -> Option<([u8; 16], Position, u32)> {
    let parts = parts::<28>(key, tag::LEDGER)?;
    let position = Position(u64::from_be_bytes(part(&parts, 16)));
    Some((part(&parts, 0), position, u32::from_be_bytes(part(&parts, 24))))
}

/// The digest of a key of the table of suppressions.
#[must_use]
pub fn suppression(key: &Key) -> Option<[u8; 16]> {
    parts::<16>(key, tag::SUPPRESSION)
}

/// The job of a key of the table of erasures.
#[must_use]
pub fn erasure(key: &Key) -> Option<JobId> {
    parts::<16>(key, tag::ERASURE).map(JobId)
}

/// The number of a key of the table of restrictions.
#[must_use]
pub fn restriction(key: &Key) -> Option<u32> {
    parts(key, tag::RESTRICTION).map(u32::from_be_bytes)
}

/// The id of a key of the table of requests in OpenDSR form.
#[must_use]
pub fn subject_request(key: &Key) -> Option<[u8; 16]> {
    parts::<16>(key, tag::SUBJECT_REQUEST)
}

/// The place of the record in a key of the table of what is to be redacted.
#[must_use]
pub fn aging(key: &Key) -> Option<Position> {
    parts(key, tag::AGING).map(|place| Position(u64::from_be_bytes(place)))
}

/// The fragment and the number of a key of the table of derived states.
#[must_use]
pub fn derived_state(key: &Key) -> Option<(FragmentId, u32)> {
    let parts = parts::<20>(key, tag::DERIVED_STATE)?;
    Some((FragmentId(part(&parts, 0)), u32::from_be_bytes(part(&parts, 16))))
}

/// The root and the number of a key of the table of derived readings.
#[must_use]
pub fn derived_reading(key: &Key) -> Option<(FragmentId, u32)> {
    let parts = parts::<20>(key, tag::DERIVED_READING)?;
    Some((FragmentId(part(&parts, 0)), u32::from_be_bytes(part(&parts, 16))))
}

/// The instant, the root and the number of a key of the table of derived timers.
#[must_use]
pub fn derived_timer(key: &Key) -> Option<(Timestamp, FragmentId, u32)> {
    let parts = parts::<28>(key, tag::DERIVED_TIMER)?;
    let at = Timestamp(i64::from_be_bytes(part(&parts, 0)) ^ i64::MIN);
    Some((at, FragmentId(part(&parts, 8)), u32::from_be_bytes(part(&parts, 24))))
}

fn parts<const N: usize>(key: &Key, tag: u8) -> Option<[u8; N]> {
    let bytes = key.as_bytes();
    (bytes.get(4) == Some(&tag)).then(|| bytes[5..].try_into().ok()).flatten()
}

fn part<const N: usize>(parts: &[u8], at: usize) -> [u8; N] {
    parts[at..at + N].try_into().expect("the table's parts have these widths")
}
