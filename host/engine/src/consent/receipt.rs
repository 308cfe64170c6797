//! Receipts: what a person was asked and said, signed, for the person to keep.
//!
//! The fields are those of the Kantara Initiative's Consent Receipt 1.1, as far as they are known here. A receipt is
//! checked with the tenant's public key and nothing else, see [`check`].

use cdp_domain::consent::Status;
use cdp_domain::hex;
use cdp_store::seal::{Signer, is_signed};
use serde_json::{Value, json};

use super::lookup::read_point;
use crate::error::{Refused, Result};
use crate::rows::Look;
use crate::tenant::Tenant;

/// What receipts are signed for.
pub(crate) const RECEIPTS: &str = "cdp 2026 consent receipts";

impl Tenant {
    /// The receipt of what holds for a contact point and a purpose: `{receipt, signature: {alg, key, value}}`.
    ///
    /// # Errors
    /// [`Refused::Invalid`]; [`Refused::NotFound`] when nothing was decided there.
    pub fn consent_receipt(&self, channel: &str, address: &str, purpose: &str) -> Result<Value> {
        let point = read_point(channel, address)?;
        let digest = self.core.digests.contact.wide(&point.canonical_bytes());
        let (current, registered, as_of) = {
            let view = self.core.rows.read();
            let contact = view.contact(digest)?.ok_or(Refused::NotFound("contact point"))?;
            let current = contact.consent(purpose).cloned().ok_or(Refused::NotFound("consent"))?;
            let registered = view.inner.config.purposes.get(purpose).cloned();
            (current, registered, self.core.clock.now().max(view.inner.summary.as_of))
        };
        let status = current.read(as_of).0;
        let id = self.core.digests.contact.wide_of(&[
            &digest,
            purpose.as_bytes(),
            current.evidence.source().as_bytes(),
            current.evidence.id().as_bytes(),
        ]);
        let explicit = if current.status == Status::Granted { "EXPLICIT" } else { "WITHDRAWN" };
        let receipt = json!({
            "version": "KI-CR-v1.1.0",
            "consentReceiptID": hex::encode(&id),
            "consentTimestamp": current.at.to_string(),
            "receivedAt": current.received_at.to_string(),
            "issuedAt": as_of.to_string(),
            "collectionMethod": current.method,
            "evidence": current.proof,
            "piiPrincipalId": point.address.as_str(),
            "piiControllers": [{ "piiController": self.info().name }],
            "policyUrl": registered.as_ref().and_then(|purpose| purpose.policy.as_ref()).map(|policy| policy.url.clone()),
            "policyVersion": current.policy_version,
            "services": [{
                "service": point.channel.as_str(),
                "purposes": [{
                    "purpose": registered.as_ref().map_or_else(|| purpose.to_owned(), |known| known.title.clone()),
                    "purposeCategory": [purpose],
                    "legalBasis": registered.as_ref().map(|known| known.legal_basis.clone()),
                    "consentType": explicit,
                    "status": status.as_str(),
                    "termination": current.expires_at.map(|at| at.to_string()),
                }],
            }],
            "sensitive": false,
            "publicKey": hex::encode(&self.core.signer.public()),
        });
        let value = self.core.signer.sign(receipt.to_string().as_bytes());
        let signature = json!({ "alg": "Ed25519", "key": hex::encode(&self.core.signer.public()), "value": hex::encode(&value) });
        Ok(json!({ "receipt": receipt, "signature": signature }))
    }
}

/// Checks a receipt offline: whether its signature is of what it says, by the holder of `key`.
///
/// # Errors
/// What does not hold.
pub fn check(document: &Value, key: &str) -> std::result::Result<(), &'static str> {
    let key: [u8; 32] = hex::decode(key).ok_or("the key is not 64 hexadecimal digits")?;
    let value = document["signature"]["value"].as_str().and_then(hex::decode);
    let value: [u8; 64] = value.ok_or("there is no signature of 128 hexadecimal digits")?;
    // Names are sorted in what was signed, as they are in what was read.
    let signed = document["receipt"].to_string();
    if is_signed(&key, signed.as_bytes(), &value) {
        Ok(())
    } else {
        Err("it is not what was signed with this key")
    }
}

/// The tenant's signing key.
pub(crate) fn signer(master: &cdp_store::seal::MasterKey, tenant: cdp_domain::ids::TenantNo) -> Signer {
    Signer::new(master, tenant, RECEIPTS)
}
