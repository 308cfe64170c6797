//! Decoded rows that are as the store has them, of all tenants, within one bound on memory.

use std::sync::Arc;

use cdp_domain::ids::{FragmentId, TenantNo};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::{Contact, Fragment};

/// The cache. One for an installation, so that what it takes does not grow with the number of tenants.
pub(crate) struct RowCache {
    fragments: Cache<(TenantNo, FragmentId), Arc<Fragment>, Weigh>,
    contacts: Cache<(TenantNo, [u8; 16]), Arc<Contact>, Weigh>,
}

#[derive(Clone)]
struct Weigh;

impl<K> Weighter<K, Arc<Fragment>> for Weigh {
    fn weight(&self, _: &K, fragment: &Arc<Fragment>) -> u64 {
        fragment.weight()
    }
}

impl<K> Weighter<K, Arc<Contact>> for Weigh {
    fn weight(&self, _: &K, contact: &Arc<Contact>) -> u64 {
        contact.weight()
    }
}

impl RowCache {
    /// A cache of at most `bytes`, about: seven eighths for fragments, the rest for contact points.
    pub(crate) fn new(bytes: u64) -> Self {
        let room = |bytes: u64| {
            let items = usize::try_from(bytes / 1024).unwrap_or(usize::MAX).max(64);
            Cache::with_weighter(items, bytes, Weigh)
        };
        let contacts = bytes / 8;
        let items = usize::try_from(contacts / 512).unwrap_or(usize::MAX).max(64);
        Self { fragments: room(bytes - contacts), contacts: Cache::with_weighter(items, contacts, Weigh) }
    }

    /// Drops what is kept of a tenant. Looks at everything that is kept.
    pub(super) fn forget(&self, tenant: TenantNo) {
        self.fragments.retain(|(owner, _), _| *owner != tenant);
        self.contacts.retain(|(owner, _), _| *owner != tenant);
    }

    pub(super) fn fragment(&self, tenant: TenantNo, id: FragmentId) -> Option<Arc<Fragment>> {
        self.fragments.get(&(tenant, id))
    }

    pub(super) fn take_fragment(&self, tenant: TenantNo, id: FragmentId) -> Option<Arc<Fragment>> {
        self.fragments.remove(&(tenant, id)).map(|(_, fragment)| fragment)
    }

    pub(super) fn put_fragment(&self, tenant: TenantNo, id: FragmentId, fragment: Arc<Fragment>) {
        self.fragments.insert((tenant, id), fragment);
    }

    pub(super) fn contact(&self, tenant: TenantNo, digest: [u8; 16]) -> Option<Arc<Contact>> {
        self.contacts.get(&(tenant, digest))
    }

    pub(super) fn drop_contact(&self, tenant: TenantNo, digest: [u8; 16]) {
        self.contacts.remove(&(tenant, digest));
    }

    pub(super) fn put_contact(&self, tenant: TenantNo, digest: [u8; 16], contact: Arc<Contact>) {
        self.contacts.insert((tenant, digest), contact);
    }
}

#[cfg(test)]
mod tests {
    use cdp_domain::consent::ContactPoint;

    use super::*;

    fn contact(n: u32) -> Arc<Contact> {
        let address = format!("somebody.with.a.long.name.{n}@example.com");
        Arc::new(Contact::new(ContactPoint { channel: "email".into(), address: address.as_str().into() }))
    }

    fn digest(n: u32) -> [u8; 16] {
        let mut digest = [0; 16];
        digest[..4].copy_from_slice(&n.to_le_bytes());
        digest
    }

    #[test]
    fn it_keeps_tenants_apart_and_stays_within_its_bound() {
        let cache = RowCache::new(8 << 20);
        cache.put_contact(TenantNo(1), digest(1), contact(1));
        assert!(cache.contact(TenantNo(2), digest(1)).is_none());
        assert_eq!(cache.contact(TenantNo(1), digest(1)), Some(contact(1)));
        cache.put_contact(TenantNo(2), digest(1), contact(2));
        cache.forget(TenantNo(1));
        assert_eq!(cache.contact(TenantNo(1), digest(1)), None);
        assert_eq!(cache.contact(TenantNo(2), digest(1)), Some(contact(2)));
        (0..100_000).for_each(|n| cache.put_contact(TenantNo(1 + n % 2), digest(n), contact(n)));
        assert!(cache.contacts.weight() <= 1 << 20);
        assert!(cache.contacts.len() > 1000);
    }
}
