//! Sealing of payloads: what is in the journal cannot be read without a key, nor moved to another record.
//!
//! # Keys
//!
//! One master key per installation, in a file outside the data directory ([`MasterKey`]).
//! From it each tenant's key is derived, and from that one data key per key reference ([`KeyRing`]).
//! Nothing derived is stored. The lookup is a trait ([`DataKeys`]), so that erasure can come: keys that are stored, and destroyed,
//! instead of derived. Until then a destroyed key is only refused, since whoever has the master key can derive it again.
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
mod master;
mod payload;
mod ring;

pub use digests::Digests;
pub use master::MasterKey;
pub use payload::{SEAL_BYTES, open_in_place, seal_in_place};
pub use ring::{DataKey, DataKeys, KeyRing};
