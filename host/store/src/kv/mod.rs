//! The seam on ordered bytes: everything above it can live on any store that keeps sorted keys.
//!
//! # What a backend promises
//!
//! - Keys are ordered by their bytes. Keys are at most [`KEY_BYTES_MAX`], values at most [`VALUE_BYTES_MAX`] bytes.
//! - [`Kv::write`] is all or nothing, also after a crash. It need not be durable when it returns: what is stored here is derived,
//!   and carries the position up to which it was derived in the same batch. After a crash the store may be at any earlier batch, never between two.
//! - A scan is **not** a snapshot: it may see a part of a batch that is written meanwhile. Whoever needs one reads from the writing thread.
//!
//! A backend that failed is closed and opened again in place, see [`Backend`].
//! Deliberately absent: transactions, iterators that live long, ranges deleted at once.
//!
//! To add a backend: implement [`Kv`], and call [`conformance::check`] from its tests.

mod batch;
pub mod conformance;
mod memory;
mod redo;
mod reopen;
mod rewrite;
mod sled;

use std::fmt;
use std::ops::Deref;

pub use batch::Batch;
pub use memory::MemoryKv;
pub use reopen::{Backend, Opener, Session};
pub use sled::{Opened, REOPEN_FREE_BYTES_MIN, SledKv, SledOpener, SledOptions};

use crate::Result;

/// The longest key, in bytes, inclusive.
pub const KEY_BYTES_MAX: usize = 64;
/// The largest value, in bytes, inclusive. [`crate::state`] cuts what is larger into pieces.
pub const VALUE_BYTES_MAX: usize = 4096;

/// In which direction a scan goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// From the smallest key up.
    Forward,
    /// From the largest key down.
    Backward,
}

/// Keys and values of a scan, in its order.
pub type Pairs = Vec<(Vec<u8>, Value)>;

/// A store of ordered bytes.
pub trait Kv: Send + Sync + fmt::Debug {
    /// Reads many keys; the answers stand in the order of the questions.
    ///
    /// # Errors
    /// [`crate::Error::Backend`].
    fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Value>>>;

    /// Reads at most `limit` pairs with `from <= key < to`.
    ///
    /// # Errors
    /// [`crate::Error::Backend`].
    fn scan(&self, from: &[u8], to: &[u8], order: Order, limit: usize) -> Result<Pairs>;

    /// Applies a batch, all or nothing. Of several operations on one key the last one counts.
    ///
    /// # Errors
    /// [`crate::Error::TooLarge`] for a key or a value: nothing was applied. [`crate::Error::Backend`]: a large batch may have been
    /// applied in part. Then write it again; or the next opening completes it.
    fn write(&self, batch: Batch) -> Result<()>;

    /// Hands everything to the operating system. Not a sync.
    ///
    /// # Errors
    /// [`crate::Error::Backend`].
    fn flush(&self) -> Result<()>;

    /// Bytes that the store takes on disk, approximately.
    ///
    /// # Errors
    /// [`crate::Error::Backend`].
    fn size_on_disk(&self) -> Result<u64>;

    /// Lets go of everything, waiting for calls that are under way; every later call is [`crate::Error::StateClosed`].
    /// What was written and not flushed may be lost.
    fn close(&self);
}

/// A value as the backend holds it, cheap to clone.
#[derive(Clone)]
pub struct Value(Held);

#[derive(Clone)]
enum Held {
    Sled(::sled::IVec),
    Shared(std::sync::Arc<[u8]>),
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Held::Shared(bytes.into()))
    }
}

impl From<::sled::IVec> for Value {
    fn from(bytes: ::sled::IVec) -> Self {
        Self(Held::Sled(bytes))
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Held::Sled(bytes) => bytes,
            Held::Shared(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Value {}

impl fmt::Debug for Value {
    /// Shows the length only: values are customer data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} bytes)", self.len())
    }
}
