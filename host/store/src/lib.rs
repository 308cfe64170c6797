//! The only crate that knows bytes on disk: journal, state, indexes.
//!
//! # What is true and what is derived
//!
//! The **journal** is the truth: what it calls durable survives a crash, and nothing else has to.
//! Everything else here is computed from it and may be thrown away and rebuilt: the **state** (small values by key),
//! and the **runs** (sorted index files).
//! That is why only the journal, the lock and the durable files sync, and why a damaged state is set aside instead of repaired.
//!
//! # Invariants
//!
//! - A position is never reported durable before `fdatasync` returned; a failed sync ends the process.
//! - Damage is told from a torn tail and never guessed away: [`Error::Damaged`] names the file and the offset.
//! - A tenant's keys are formed in one place, from a [`keys::TenantContext`].
//! - One write of the state is one atomic batch; no stored value exceeds [`kv::VALUE_BYTES_MAX`].
//! - Every queue here has a documented bound, and every stored form a version.
//! - No secret, identifier or body is ever logged.
//!
//! | module | gives |
//! | --- | --- |
//! | [`journal`] | the append-only truth of one tenant: append, group commit, read, recover |
//! | [`kv`] | the seam on ordered bytes, with its backends and their conformance suite |
//! | [`keys`] | the catalogue of keys |
//! | [`state`] | versioned values of any size over the seam |
//! | [`seal`] | sealing of payloads, the installation's master key, keyed digests |
//! | [`runs`] | immutable sorted runs of fixed-width entries, for indexes beside the journal |
//! | [`lock`] | one process per data directory |
//! | [`chain`] | append-only files whose entries are chained by hashes, and whose contents can be erased |
//! | [`backup`] | copies of what state is made of |
//! | [`files`] | files that are there entirely or not at all |

pub mod backup;
pub mod chain;
mod error;
pub mod files;
pub mod journal;
pub mod keys;
pub mod kv;
pub mod lock;
pub mod runs;
pub mod seal;
pub mod state;

pub use error::{Error, Result};
