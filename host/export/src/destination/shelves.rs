//! What connectors keep between deliveries: cursors and tokens, one small store for each destination, sealed in a file of
//! its own and written whole. What a connector keeps may name people, so an erasure empties it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use cdp_domain::ids::TenantNo;
use cdp_engine::{Refused, Result, Tenant};
use cdp_runtime::connector::Shelf;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// A store, as whoever delivers there has it.
pub(crate) type Shared = Arc<Mutex<Kept>>;

/// The stores that were asked for since the start, by tenant and destination.
#[derive(Default)]
pub(crate) struct Shelves(Mutex<HashMap<(TenantNo, String), Shared>>);

/// What stands in the file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Content {
    /// How many people were erased or restricted until then.
    erased: u64,
    shelf: Shelf,
}

/// The store of one destination.
pub(crate) struct Kept {
    path: PathBuf,
    label: Vec<u8>,
    content: Content,
}

impl Shelves {
    /// The store of a destination, as it was left.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub(crate) fn of(&self, tenant: &Tenant, dir: PathBuf, destination: &str) -> Result<Shared> {
        let mut all = self.0.lock();
        let key = (tenant.no(), destination.to_owned());
        if let Some(known) = all.get(&key) {
            return Ok(known.clone());
        }
        let name = tenant.digest(&[b"shelf".as_slice(), destination.as_bytes()]);
        let label = [b"shelf ".as_slice(), &name].concat();
        let path = dir.join(cdp_engine::privacy::SHELVES).join(cdp_domain::hex::encode(&name));
        let content = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Content::default(),
            sealed => {
                let bytes = tenant.unseal(&label, &sealed.map_err(Refused::internal)?)?;
                postcard::from_bytes(&bytes).map_err(Refused::internal)?
            }
        };
        let kept = Arc::new(Mutex::new(Kept { path, label, content }));
        all.insert(key, kept.clone());
        Ok(kept)
    }
}

impl Kept {
    /// What is kept; nothing any more, when somebody was erased since.
    pub(crate) fn shelf(&mut self, tenant: &Tenant) -> &mut Shelf {
        let erased = tenant.erased();
        if self.content.erased != erased {
            self.content = Content { erased, shelf: Shelf::default() };
        }
        &mut self.content.shelf
    }

    /// Writes it down. Durable when it returns.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn save(&self, tenant: &Tenant) -> Result<()> {
        let bytes = postcard::to_stdvec(&self.content).map_err(Refused::internal)?;
        if let Some(dir) = self.path.parent() {
            cdp_store::files::create_dir(dir)?;
        }
        Ok(cdp_store::files::write(&self.path, &tenant.seal(&self.label, &bytes)?)?)
    }
}
