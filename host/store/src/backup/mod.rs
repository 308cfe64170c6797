//! Backups: a copy of what state is made of, taken while a server writes or while none does.
//!
//! # What is in one
//!
//! The journals, the chains, the wrapped keys, components and tables of plugins. State and indexes are not: they are made
//! anew from the journal. Export files are not, for they hold people in plain; answers to repeated requests are not.
//! Everything that names people is sealed as it is in the data directory, and the master key is not in it.
//!
//! # Why a running server need not stop
//!
//! A journal is only ever appended to, and recovery takes any beginning of one; so its files are copied as far as whole
//! records stand in them. What refers to the journal is copied in the order in which that is safe: the chains before it,
//! because they may be behind it and are completed when state is made anew, and never ahead of it; keys and components
//! after it, because they may be ahead of it and never behind.
//! Keys that were destroyed meanwhile are destroyed in the copy too.
//!
//! # How it is known to be whole
//!
//! It is written beside its place and named when everything is on disk. The list names every file with its length and
//! BLAKE3 digest and ends with a digest of itself: a flipped byte, a missing file and one too many are found.
//!
//! # Erased people stay erased
//!
//! Erasures are written down outside of the data directory too, in a file that a backup remembers and does not contain.
//! Restoring asks for that file, and refuses one that is older than the backup.

mod create;
mod list;
mod restore;
#[cfg(test)]
mod tests;
mod verify;

pub use create::{Made, create};
pub use list::LIST;
pub use restore::restore;
pub use verify::{Checked, verify};
