//! Data keys by reference.

use std::collections::HashSet;
use std::fmt;

use cdp_domain::ids::TenantNo;
use parking_lot::RwLock;
use zeroize::Zeroize;

use super::MasterKey;
use crate::{Error, Result};

/// A key that seals payloads; wiped from memory when dropped.
#[derive(Clone)]
pub struct DataKey(pub(super) [u8; 32]);

impl Drop for DataKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey")
    }
}

/// Where data keys come from.
pub trait DataKeys: Send + Sync {
    /// The key behind a reference.
    ///
    /// # Errors
    /// [`Error::KeyDestroyed`]: what it sealed is erased.
    fn key(&self, key_ref: &[u8; 16]) -> Result<DataKey>;
}

/// The data keys of one tenant, derived from the installation's master key.
pub struct KeyRing {
    tenant_key: DataKey,
    destroyed: RwLock<HashSet<[u8; 16]>>,
}

impl KeyRing {
    /// Derives the tenant's key.
    #[must_use]
    pub fn new(master: &MasterKey, tenant: TenantNo) -> Self {
        let tenant_key = DataKey(master.derive("cdp 2026 tenant key for payloads", tenant));
        Self { tenant_key, destroyed: RwLock::default() }
    }

    /// Refuses a key from now on. Held in memory: the caller keeps the list and says it again after a start.
    pub fn destroy(&self, key_ref: [u8; 16]) {
        self.destroyed.write().insert(key_ref);
    }
}

impl DataKeys for KeyRing {
    fn key(&self, key_ref: &[u8; 16]) -> Result<DataKey> {
        let destroyed = self.destroyed.read();
        if !destroyed.is_empty() && destroyed.contains(key_ref) {
            return Err(Error::KeyDestroyed);
        }
        Ok(DataKey(*blake3::keyed_hash(&self.tenant_key.0, key_ref).as_bytes()))
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRing")
    }
}
