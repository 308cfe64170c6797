//! Immutable sorted runs beside the journal: a small log-structured index for entries of 32 bytes (key 16, value 16).
//!
//! Used for what is found by a digest and would make the state store large: event identity → position, fragment → (time, position).
//! Entries are a set: the same entry inserted twice is there once. Keys are expected to be digests, spread evenly; others are right but slower.
//!
//! # Life of an entry
//!
//! [`RunSet::insert`] puts it into a table in memory. A full table is *frozen*, stays searchable, and once everything in it is durable
//! in the journal, a background thread writes it as a run file: sorted, with a checksum per block and a filter, synced and renamed into place.
//! [`Options::fanout`] runs of one level are merged into one of the next, streaming, while readers go on with the old ones.
//! The thread lives only while there is work.
//!
//! # What is derived, and what may be lost
//!
//! Everything here follows from the journal. [`RunSet::covered`] says up to where the run files do; after a start the owner inserts
//! again what lies behind. Inserting too much is harmless. A run that fails its checks makes *all* runs go, and `covered` is 0.
//!
//! # The rollback protocol
//!
//! The owner may insert entries of records that are appended and not durable yet. Run files cannot forget, so a frozen table waits in memory until
//! [`Frontier::durable`] reached what was inserted when it was frozen. When the journal rolls back, the owner calls
//! [`RunSet::remove_recent`] for every entry of the lost appends and [`RunSet::roll_back_to`] with the journal's durable end,
//! before it inserts anything new; all of them are still in memory.
//!
//! # Cost
//!
//! A lookup of an unknown key asks each run's filter in memory (BinaryFuse8, about 9 bits a key, wrong once in 256) and reads nothing.
//! A found one reads one or two blocks of 4 KiB. Memory: about 9.5 bits per entry in runs, about 60 bytes per entry in tables,
//! of which there are at most three.

mod background;
mod build;
mod forget;
mod format;
mod open;
mod run;
mod set;
mod table;
#[cfg(test)]
mod tests;

pub use set::{Frontier, Options, Rotation, RunSet};
