//! The append-only truth of one tenant: what happened, in the order of acceptance, sealed.
//!
//! # Shape
//!
//! A journal is a stream of bytes, cut into segment files named by the position of their first byte.
//! A [`Position`] counts bytes of that stream, segment headers included, so it grows strictly and finds its file and offset by itself.
//! Records are framed with a checksum over everything, stand at multiples of 8 bytes, and never span segments ([`frame`]).
//!
//! # Life of an append
//!
//! [`Journal::append`] lays frames out into memory, in call order, and returns their positions at once.
//! One thread per journal takes all that is pending, writes it, syncs it once, and only then moves [`Journal::durable`];
//! while it syncs, the next commit gathers. Readers see durable records only.
//! An append is not atomic over a crash: some of its first records may survive while it was never acknowledged. Its caller sends again and finds duplicates.
//!
//! # When writing fails
//!
//! A failed write or allocation (a full disk) happens before any sync, so what is on disk is known: everything up to `durable`.
//! The journal **rolls back**: all pending appends are lost, their waiters get the error, positions continue from `durable`,
//! and the file is cut there so that no stale bytes survive. Appends are refused until the file could be repaired;
//! that is tried when an append comes, at most once per [`Options::probe_every`].
//!
//! Positions handed out before a rollback are given to other records after it.
//! Therefore waiting takes the [`Appended`] token, which knows its generation: a lost append fails for ever,
//! even when later records were synced beyond its end. Whoever keeps something by position for records that are not durable yet
//! (a table of recent event identities) must keep the tokens, and forget the entries of every token whose wait fails.
//!
//! As with any append that was not acknowledged, a crash before the repair can leave lost records on disk, and the next start takes them for real:
//! whoever was told of the failure sends again, and finds a duplicate.
//!
//! A failed **sync** ends the process: nobody knows what the page cache holds then, and the next start reads what is really there.
//!
//! # Recovery
//!
//! Opening cuts the torn tail of the last segment, and only there. The first record of every commit says
//! "all before me was durable when I was written"; an invalid frame with such a record behind it is damage and is reported, not cut.
//! Closing writes one last such record. What remains undetected: damage inside the very last commit before a crash looks like a torn tail.
//! Earlier segments are checked for header and length at opening and for every byte when they are read ([`Journal::verify`] reads all).
//!
//! # Payloads that give way
//!
//! What was written stays, but for one thing: the payload of a record in a finished segment may give way to a smaller one,
//! or to none, at the same place ([`Journal::redact`]). The segment is written anew under its name, whole or not at all;
//! positions, digests and times stay, so nothing else notices.
//!
//! To add a kind of record: one variant of [`RecordKind`] and its code in [`frame`]; codes are never reused.

mod append;
mod commit;
mod extent;
pub mod fault;
pub mod frame;
mod handle;
mod reader;
mod recover;
mod redact;
mod segment;
#[cfg(test)]
mod tests;

pub use append::Appended;
pub use cdp_domain::ids::Position;
pub use extent::extents;
pub use frame::{Draft, Header, PAYLOAD_BYTES_MAX, Record, RecordKind, RecordRef};
pub use handle::{Journal, Options};
pub use reader::Reader;
pub use redact::Redaction;
