//! What is committed to of each row: its values, and the consent record that let them leave.
//!
//! A commitment is salted, so that nobody can find out by trying what it commits to; whoever is given the salt, the row
//! and the consent record can check all three against the root in the manifest.

use std::fmt::Write as _;

use cdp_domain::ids::ExportId;
use cdp_domain::json;
use cdp_engine::Tenant;
use cdp_engine::exports::Granted;
use sha2::{Digest as _, Sha256};

/// The salts of a run, one a row; they follow from a key of the tenant's.
pub(crate) struct Salts {
    tenant: Tenant,
    run: ExportId,
}

impl Salts {
    pub(crate) fn new(tenant: &Tenant, run: ExportId) -> Self {
        Self { tenant: tenant.clone(), run }
    }

    pub(crate) fn of(&self, row: u64) -> [u8; 16] {
        self.tenant.digest(&[b"export commitment", &self.run.0, &row.to_le_bytes()])
    }
}

/// The commitment to a row: SHA-256 of a zero byte, the salt, SHA-256 of the row's JSON and SHA-256 of the consent's.
pub(crate) fn leaf(salt: &[u8; 16], row: &str, consent: &str) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update([0]);
    hasher.update(salt);
    hasher.update(Sha256::digest(row.as_bytes()));
    hasher.update(Sha256::digest(consent.as_bytes()));
    hasher.finalize().into()
}

/// The consent record behind a row as JSON; of a purpose that asks for none, where the person was reached.
pub(crate) fn consent_json(purpose: &str, granted: &Granted) -> String {
    let mut text = String::with_capacity(256);
    let mut member = |name: &str, value: Option<&str>| {
        text.push(if text.is_empty() { '{' } else { ',' });
        json::write_text(name, &mut text);
        text.push(':');
        match value {
            Some(value) => json::write_text(value, &mut text),
            None => text.push_str("null"),
        }
    };
    member("channel", Some(&granted.point.channel));
    member("address", Some(&granted.point.address));
    member("purpose", Some(purpose));
    if let Some(decision) = &granted.decision {
        let mut time = String::new();
        let _ = write!(time, "{}", decision.at);
        member("status", Some(decision.status.as_str()));
        member("time", Some(&time));
        member("method", decision.method.as_deref());
        member("policy_version", decision.policy_version.as_deref());
        member("source", Some(decision.evidence.source()));
        member("event_id", Some(decision.evidence.id()));
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commitment_depends_on_all_of_its_parts() {
        let one = leaf(&[1; 16], "{\"a\":1}", "{}");
        assert_eq!(one, leaf(&[1; 16], "{\"a\":1}", "{}"));
        assert_ne!(one, leaf(&[2; 16], "{\"a\":1}", "{}"));
        assert_ne!(one, leaf(&[1; 16], "{\"a\":2}", "{}"));
        assert_ne!(one, leaf(&[1; 16], "{\"a\":1}", "{ }"));
    }
}
