//! Signatures that anybody can check: Ed25519, one key per tenant, which follows from the installation's secret.

use std::fmt;

use cdp_domain::ids::TenantNo;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use super::MasterKey;

/// A tenant's signing key.
pub struct Signer(Ed25519KeyPair);

impl Signer {
    /// Forms the key for a purpose, which is written in the program and never changes.
    ///
    /// # Panics
    /// Never: every 32 bytes are a seed.
    #[must_use]
    pub fn new(master: &MasterKey, tenant: TenantNo, purpose: &'static str) -> Self {
        let seed = zeroize::Zeroizing::new(master.derive(purpose, tenant));
        Self(Ed25519KeyPair::from_seed_unchecked(&*seed).expect("a seed has 32 bytes"))
    }

    /// The key of a seed that its holder keeps, such as the maker of a plugin.
    ///
    /// # Panics
    /// Never: every 32 bytes are a seed.
    #[must_use]
    pub fn of_seed(seed: &[u8; 32]) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(seed).expect("a seed has 32 bytes"))
    }

    /// What its signatures are checked with.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().expect("a public key has 32 bytes")
    }

    /// Signs bytes.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(bytes).as_ref().try_into().expect("a signature has 64 bytes")
    }
}

/// Whether a signature is of these bytes, by the holder of this public key.
#[must_use]
pub fn is_signed(public: &[u8; 32], bytes: &[u8], signature: &[u8; 64]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(bytes, signature).is_ok()
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_its_bytes_and_its_tenant_and_nothing_else() {
        let master = MasterKey::from_bytes([1; 32]);
        let signer = Signer::new(&master, TenantNo(1), "test");
        let signature = signer.sign(b"receipt");
        assert!(is_signed(&signer.public(), b"receipt", &signature));
        assert_eq!(Signer::new(&master, TenantNo(1), "test").sign(b"receipt"), signature);
        assert!(!is_signed(&signer.public(), b"receipT", &signature));
        let other = Signer::new(&master, TenantNo(2), "test");
        assert!(!is_signed(&other.public(), b"receipt", &signature));
        let mut changed = signature;
        changed[5] ^= 1;
        assert!(!is_signed(&signer.public(), b"receipt", &changed));
    }
}
