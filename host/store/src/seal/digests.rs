//! Keyed digests: equal for equal inputs, telling nothing about them without the master key.

use std::fmt;

use cdp_domain::ids::TenantNo;

use super::MasterKey;
use super::ring::DataKey;

/// Digests of one tenant and one purpose. The same input under another tenant or purpose gives an unrelated digest.
#[derive(Clone)]
pub struct Digests {
    key: DataKey,
}

impl Digests {
    /// Forms the digests for a purpose, which is written in the program and never changes, such as `cdp 2026 event identity`.
    #[must_use]
    pub fn new(master: &MasterKey, tenant: TenantNo, purpose: &'static str) -> Self {
        Self { key: DataKey(master.derive(purpose, tenant)) }
    }

    /// Digest of 16 bytes: for identities.
    #[must_use]
    pub fn wide(&self, input: &[u8]) -> [u8; 16] {
        first(blake3::keyed_hash(&self.key.0, input).as_bytes())
    }

    /// Digest of 8 bytes: to tell one body from another under the same identity, not to find one.
    #[must_use]
    pub fn narrow(&self, input: &[u8]) -> [u8; 8] {
        first(blake3::keyed_hash(&self.key.0, input).as_bytes())
    }

    /// Digest of 16 bytes over several parts; where one part ends and the next begins counts.
    #[must_use]
    pub fn wide_of(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key.0);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        first(hasher.finalize().as_bytes())
    }
}

impl fmt::Debug for Digests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digests")
    }
}

fn first<const N: usize>(digest: &[u8; 32]) -> [u8; N] {
    digest[..N].try_into().expect("a digest is longer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_depend_on_master_tenant_purpose_and_the_borders_of_parts() {
        let master = MasterKey::from_bytes([1; 32]);
        let one = Digests::new(&master, TenantNo(1), "a");
        assert_eq!(one.wide(b"x"), Digests::new(&master, TenantNo(1), "a").wide(b"x"));
        assert_eq!(one.narrow(b"x"), one.wide(b"x")[..8]);
        assert_ne!(one.wide(b"x"), Digests::new(&master, TenantNo(2), "a").wide(b"x"));
        assert_ne!(one.wide(b"x"), Digests::new(&master, TenantNo(1), "b").wide(b"x"));
        assert_ne!(
            one.wide(b"x"),
            Digests::new(&MasterKey::from_bytes([2; 32]), TenantNo(1), "a").wide(b"x")
        );
        assert_ne!(one.wide_of(&[b"ab", b"c"]), one.wide_of(&[b"a", b"bc"]));
    }

    #[test]
    fn the_derivation_stays_what_it_is() {
        let digests = Digests::new(&MasterKey::from_bytes([7; 32]), TenantNo(1), "cdp test");
        let hex = cdp_domain::hex::encode(&digests.wide(b"golden"));
        assert_eq!(hex, "9d6be345ec4dda27b8ac61437705abcf");
    }
}
