//! Versioned values of any size over the ordered-bytes seam, for one tenant.
//!
//! # How a value is stored
//!
//! A value is a format version (one byte, at most [`VERSION_MAX`]) and bytes. Up to the backend's bound both stand under the key itself.
//! A larger value is cut: under its key stands a *head* (0xff, version, number of further pieces as u16, length as u32, CRC-32, the first piece),
//! and the further pieces stand under continuation keys (tag 0xff), where no scan of a table meets them.
//! Both numbers of the head and the checksum are big-endian.
//!
//! # How stale pieces go
//!
//! Overwriting or deleting a large value must remove pieces that are no longer used, and must not read before every write to find out.
//! So each [`State`] knows which keys hold large values, and how many pieces: it lists the continuation keys once when it is opened, and keeps the list up to date.
//! Writing a small value over a small one costs one look into a small table in memory, and no read.
//! This is right because a tenant's state has **one writer**: open it once and clone the handle.
//! The list takes about 100 bytes per large value; large values are exceptions (bitmaps, very long profiles).
//!
//! # Reading beside the writer
//!
//! A reader may meet a head and pieces of different writes; the checksum tells, and it reads again.

mod read;
#[cfg(test)]
mod tests;
mod value;
mod write;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

pub use value::{ENVELOPE_BYTES_MAX, Envelope, VERSION_MAX};
pub use write::Write;

use crate::Result;
use crate::keys::{Key, TenantContext};
use crate::kv::Kv;

/// A tenant's stored state. Cheap to clone; all clones are one state.
#[derive(Clone)]
pub struct State {
    kv: Arc<dyn Kv>,
    context: TenantContext,
    /// Which keys hold large values, with the number of pieces behind the head. Locked for the length of a write.
    large: Arc<Mutex<HashMap<Key, u16>>>,
}

impl State {
    /// Opens the state of the context's tenant. Once per tenant and process: see the module docs.
    ///
    /// # Errors
    /// [`crate::Error::Backend`], [`crate::Error::Malformed`].
    pub fn open(kv: Arc<dyn Kv>, context: TenantContext) -> Result<Self> {
        let large = read::list_large(&*kv, &context)?;
        Ok(Self { kv, context, large: Arc::new(Mutex::new(large)) })
    }

    /// Takes the state anew from a store that was opened again, and may stand at an earlier batch than before.
    /// No write may be under way.
    ///
    /// # Errors
    /// [`crate::Error::Backend`], [`crate::Error::Malformed`]; then the state is as it was, and this must be called again.
    pub fn reload(&self) -> Result<()> {
        let mut large = self.large.lock();
        *large = read::list_large(&*self.kv, &self.context)?;
        Ok(())
    }

    /// The tenant's context, to form keys with.
    #[must_use]
    pub fn context(&self) -> &TenantContext {
        &self.context
    }

    /// The store underneath, for flushing and measuring.
    #[must_use]
    pub fn kv(&self) -> &Arc<dyn Kv> {
        &self.kv
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("kv", &self.kv).field("context", &self.context).finish_non_exhaustive()
    }
}
