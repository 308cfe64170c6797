//! The demo's two keys, kept beside its data directory and readable by their owner alone.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::Tenant;
use super::client::{Client, Fallible};

/// The slug of the demo's tenant.
const TENANT: &str = "demo";

/// Where the keys are, and the operator's.
pub(crate) struct Keys {
    pub(crate) operator: String,
    pub(crate) operator_file: PathBuf,
    admin_file: PathBuf,
}

impl Keys {
    /// Reads the keys beside `data_dir`, and makes an operator key where there is none.
    pub(crate) fn beside(data_dir: &Path) -> Fallible<Self> {
        let name =
            data_dir.file_name().ok_or("the data directory needs a name")?.to_string_lossy().into_owned();
        let parent =
            data_dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(parent)?;
        let file = |kind: &str| parent.join(format!("{name}.{kind}.key"));
        let (operator_file, admin_file) = (file("operator"), file("admin"));
        let operator = match read(&operator_file)? {
            Some(key) => key,
            None => {
                let key = operator_key()?;
                write(&operator_file, &key)?;
                key
            }
        };
        Ok(Self { operator, operator_file, admin_file })
    }
}

/// The demo's tenant: found again by its kept key, or made.
pub(crate) fn tenant(keys: &Keys, url: &str) -> Fallible<Tenant> {
    if let Some(key) = read(&keys.admin_file)? {
        let client = Client::new(url, &key);
        match client.get_patiently("/v1/segments?limit=1")?.status {
            200 => return Ok(Tenant { client, key }),
            401 | 403 => {} // the data directory was removed: the key belongs to a tenant that is gone
            status => return Err(format!("the kept key was answered with {status}").into()),
        }
    }
    let operator = Client::new(url, &keys.operator);
    let wanted = json!({"slug": TENANT, "name": "Gift shop", "time_zone": "Europe/London"});
    let answer = operator.post_json("/v1/tenants", &wanted)?;
    if answer.status == 409 {
        return Err(format!(
            "the tenant is there but its key is not in {}: remove the data directory to start afresh",
            keys.admin_file.display()
        )
        .into());
    }
    let made = answer.expect("making the tenant")?;
    let key = made["admin_key"].as_str().ok_or("the new tenant came without its key")?.to_owned();
    write(&keys.admin_file, &key)?;
    Ok(Tenant { client: Client::new(url, &key), key })
}

/// 256 random bits; the server only compares operator keys, it does not read them.
pub(crate) fn operator_key() -> Fallible<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| format!("the system gave no randomness: {error}"))?;
    Ok(format!("cdp_live_operator_{}", cdp_domain::hex::encode(&bytes)))
}

fn read(path: &Path) -> Fallible<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|key| !key.is_empty())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display()).into()),
    }
}

/// Writes a key that nobody else may read.
pub(crate) fn write(path: &Path, key: &str) -> Fallible<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    writeln!(options.open(path)?, "{key}")?;
    Ok(())
}
