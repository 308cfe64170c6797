//! Whose plugins a tenant takes: components are signed by their makers, with keys that the tenant trusts.
//!
//! A signature is Ed25519 over [`SIGNED`] and the BLAKE3 digest of the component, so that it means this and nothing else.

use cdp_domain::hex;
use cdp_domain::problem::{Code, Problem};
use cdp_store::seal::is_signed;

use crate::config::{Change, PluginTrust, PluginVersion, TrustedKey};
use crate::error::{Refused, Result};
use crate::tenant::Tenant;

/// What stands before the digest in what is signed.
pub const SIGNED: &[u8] = b"cdp plugin, signature 1\n";
/// Keys that one tenant may trust.
pub const TRUSTED_KEYS_MAX: usize = 32;

/// What is signed for a component.
#[must_use]
pub fn signed_bytes(component: &[u8]) -> Vec<u8> {
    [SIGNED, blake3::hash(component).as_bytes()].concat()
}

/// The key among these that signed a component, by its public part.
///
/// # Errors
/// [`Refused::Invalid`] when there is a signature that none of them made, or none where one is required.
pub(crate) fn signer(
    trust: &PluginTrust,
    component: &[u8],
    signature: Option<&[u8; 64]>,
) -> Result<Option<String>> {
    let refuse = |detail: &str| Err(Refused::invalid(Problem::new("", Code::Invalid, detail)));
    let Some(signature) = signature else {
        return match trust.required {
            true => refuse("must be signed by a key that the tenant trusts"),
            false => Ok(None),
        };
    };
    let bytes = signed_bytes(component);
    let made =
        |known: &&TrustedKey| hex::decode(&known.key).is_some_and(|key| is_signed(&key, &bytes, signature));
    match trust.keys.iter().find(made) {
        Some(known) => Ok(Some(known.key.clone())),
        None => refuse("has a signature that no key made which the tenant trusts"),
    }
}

/// Whether a version may be activated under this trust.
///
/// # Errors
/// [`Refused::Conflict`] with why not.
pub(crate) fn may_run(trust: &PluginTrust, version: &PluginVersion) -> Result<()> {
    let trusted = |key: &String| trust.keys.iter().any(|known| known.key == *key);
    if !trust.required || version.signed_by.as_ref().is_some_and(trusted) {
        return Ok(());
    }
    Err(Refused::Conflict("the version is not signed by a key that the tenant trusts".to_owned()))
}

impl Tenant {
    /// Whose plugins are taken.
    #[must_use]
    pub fn plugin_trust(&self) -> PluginTrust {
        self.config().plugin_trust.clone()
    }

    /// Says whose plugins are taken from here on. What runs goes on running.
    ///
    /// # Errors
    /// [`Refused::Invalid`] with pointers; the journal's.
    pub async fn put_plugin_trust(&self, trust: PluginTrust) -> Result<()> {
        let mut problems = Vec::new();
        if trust.keys.len() > TRUSTED_KEYS_MAX {
            let detail = format!("must be at most {TRUSTED_KEYS_MAX} keys");
            problems.push(Problem::new("/keys", Code::Invalid, detail));
        }
        if trust.required && trust.keys.is_empty() {
            let detail = "must hold a key: without one nothing could be activated";
            problems.push(Problem::new("/keys", Code::Required, detail));
        }
        for (n, known) in trust.keys.iter().enumerate() {
            if hex::decode::<32>(&known.key).is_none() {
                let detail = "must be an Ed25519 public key: 64 digits of hex, in lower case";
                problems.push(Problem::new(format!("/keys/{n}/key"), Code::Invalid, detail));
            }
            if known.name.is_empty() || known.name.len() > cdp_domain::limits::NAME_BYTES_MAX {
                problems.push(Problem::new(format!("/keys/{n}/name"), Code::Invalid, "must be a name"));
            }
            if trust.keys[..n].iter().any(|other| other.key == known.key) {
                problems.push(Problem::new(format!("/keys/{n}/key"), Code::Duplicate, "stands twice"));
            }
        }
        if !problems.is_empty() {
            return Err(Refused::Invalid(problems));
        }
        let _changing = self.core.changing.lock().await;
        if self.plugin_trust() == trust {
            return Ok(());
        }
        self.core.change(Change::PluginTrustPut { trust }).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use cdp_store::seal::Signer;

    use super::*;

    #[test]
    fn a_component_is_taken_when_a_trusted_key_signed_these_bytes() {
        let (maker, other) = (Signer::of_seed(&[1; 32]), Signer::of_seed(&[2; 32]));
        let key = hex::encode(&maker.public());
        let trust = |required| PluginTrust {
            keys: vec![TrustedKey { name: "maker".into(), key: key.clone() }],
            required,
        };
        let signature = maker.sign(&signed_bytes(b"component"));
        assert_eq!(signer(&trust(true), b"component", Some(&signature)).unwrap(), Some(key.clone()));
        assert!(signer(&trust(true), b"componenT", Some(&signature)).is_err(), "another component");
        for bit in 0..512 {
            let mut changed = signature;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(signer(&trust(false), b"component", Some(&changed)).is_err(), "bit {bit}");
        }
        let others = other.sign(&signed_bytes(b"component"));
        assert!(signer(&trust(false), b"component", Some(&others)).is_err(), "nobody trusts it");
        assert!(signer(&trust(true), b"component", None).is_err(), "one is required");
        assert_eq!(signer(&trust(false), b"component", None).unwrap(), None);
        // A signature of the digest alone is for something else.
        let bare = maker.sign(blake3::hash(b"component").as_bytes());
        assert!(signer(&trust(false), b"component", Some(&bare)).is_err());
    }
}
