//! Checking the chains of an installation while no server uses it.

use std::path::Path;

use cdp_domain::ids::TenantNo;
use cdp_store::chain::{self, Broken, Verified};
use cdp_store::lock::DataLock;
use cdp_store::seal::{Digests, KeyRing, MasterKey};

use crate::error::{Refused, Result};
use crate::tenant::{AUDIT_CHAIN, CONSENT_CHAIN, chain_dir};

/// The chains that a tenant has, with what their codes are for.
const CHAINS: [(&str, &str); 2] = [("consents", CONSENT_CHAIN), ("audit", AUDIT_CHAIN)];

/// What came of checking one chain.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The tenant.
    pub tenant: TenantNo,
    /// Which chain.
    pub chain: &'static str,
    /// What it is, or where it does not hold.
    pub found: std::result::Result<Verified, Broken>,
}

/// Checks every chain in a data directory. Nothing is changed; the server must not run.
///
/// # Errors
/// [`cdp_store::Error::Locked`] inside [`Refused::Internal`] when a server runs; a master key that does not fit; the
/// operating system's.
pub fn verify(data_dir: &Path, master: &MasterKey) -> Result<Vec<Checked>> {
    let _held = DataLock::take(data_dir).map_err(Refused::internal)?;
    let master = master.unlock(&data_dir.join("keys").join("installation"), false)?;
    let mut checked = Vec::new();
    for tenant in tenants(data_dir)? {
        let table = data_dir.join("keys").join(format!("{:08x}.keys", tenant.0));
        let keys = KeyRing::open(&table, &master, tenant, false)?;
        for (chain, purpose) in CHAINS {
            let dir = chain_dir(data_dir, tenant, chain);
            let digests = Digests::new(&master, tenant, purpose);
            let found = match chain::verify(&dir, tenant, &digests, Some(&keys)) {
                Err(cdp_store::Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                    Err(Broken { line: 1, what: "the chain is missing".to_owned() })
                }
                found => found?,
            };
            checked.push(Checked { tenant, chain, found });
        }
    }
    Ok(checked)
}

/// The tenants that have a table of data keys.
fn tenants(data_dir: &Path) -> Result<Vec<TenantNo>> {
    let mut tenants = Vec::new();
    for entry in std::fs::read_dir(data_dir.join("keys")).map_err(Refused::internal)? {
        let name = entry.map_err(Refused::internal)?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(".keys"));
        tenants.extend(digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).map(TenantNo));
    }
    tenants.sort_unstable();
    Ok(tenants)
}
