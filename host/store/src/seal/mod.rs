//! Sealing of payloads: what is in the journal cannot be read without a key, nor moved to another record.
//!
//! # Keys
//!
//! One master key per installation, in a file outside the data directory or from the environment ([`MasterKey`]).
//! It wraps one secret, kept in the data directory, from which all digests follow ([`MasterKey::unlock`]): so the master
//! key can be changed, and what was sealed and found by digest stays readable.
//! Each tenant has a table of data keys ([`KeyRing`]), sealed with a key of its own that is wrapped in turn.
//! It is small and rewritten whole, under a fresh key, whenever something is destroyed: no log keeps its old bytes.
//! A key per reference comes out of a tree whose leaves can be destroyed one by one (`tree`).
//!
//! # Sealing
//!
//! ChaCha20-Poly1305. Authenticated with the payload: tenant, kind, id digest, body digest and key reference,
//! so that a payload opens only under the header it was sealed for.
//!
//! # Nonces never repeat
//!
//! A nonce is four random bytes and a counter of 64 bits that starts at a random value, both drawn once per process.
//! Within a process the counter does not come back to a value: at ten million seals a second that takes 58,000 years.
//! Two processes repeat a nonce only if they drew the same four bytes and their stretches of the counter overlap:
//! for stretches of 2^40 seals each, one chance in 2^55; and it matters only under the same data key, of one key reference.

mod digests;
mod lately;
mod master;
mod payload;
mod ring;
mod sign;
mod table;
mod tree;

pub use digests::Digests;
pub use master::MasterKey;
pub use payload::{SEAL_BYTES, fits, is_empty, open_in_place, seal_in_place, seal_in_room};
pub use ring::{DataKey, DataKeys, KeyRing};
pub use sign::{Signer, is_signed};
