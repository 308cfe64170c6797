//! The record of runs, and what is sealed beside it.

use cdp_domain::ids::ExportId;
use cdp_domain::time::Timestamp;
use cdp_store::journal::{Header, RecordKind};
use cdp_store::keys::{self, tag};
use cdp_store::kv::Order;
use cdp_store::seal::{open_in_place, seal_in_place};
use compact_str::CompactString;

use crate::config::Change;
use crate::error::{Refused, Result};
use crate::rows::Look;
use crate::tenant::{Core, Page, Tenant};

/// Bytes of the nonce before what is sealed.
const NONCE_BYTES: usize = 12;

/// Which instant of a schedule a run is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The schedule.
    pub schedule: CompactString,
    /// The instant.
    pub at: Timestamp,
}

impl Tenant {
    /// Writes down that a run began or ended.
    ///
    /// # Errors
    /// The journal's.
    pub async fn record_export(&self, id: ExportId, info: serde_json::Value) -> Result<()> {
        self.core.change(Change::ExportRecorded { id, info }).await.map(|_| ())
    }

    /// Writes down that a run began which a schedule asked for, and that the instant is dealt with; in one step.
    ///
    /// # Errors
    /// The journal's.
    pub async fn record_scheduled_export(
        &self,
        id: ExportId,
        info: serde_json::Value,
        due: &Due,
    ) -> Result<()> {
        let fired =
            Change::ScheduleFired { name: due.schedule.clone(), at: due.at, export: Some(id), skipped: None };
        self.core.changes(vec![Change::ExportRecorded { id, info }, fired]).await.map(|_| ())
    }

    /// A run, as last written down.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn export(&self, id: ExportId) -> Result<serde_json::Value> {
        let key = self.core.rows.context().export(id);
        let row = self.core.rows.read().row(&key)?.ok_or(Refused::NotFound("export"))?;
        serde_json::from_slice(&row).map_err(Refused::internal)
    }

    /// Runs, in the order of their ids.
    ///
    /// # Errors
    /// The store's.
    pub fn exports(
        &self,
        limit: usize,
        after: Option<ExportId>,
    ) -> Result<Page<serde_json::Value, ExportId>> {
        let context = self.core.rows.context();
        let mut range = context.table(tag::EXPORT);
        if let Some(after) = after {
            range = range.after(&context.export(after));
        }
        let found = self.core.rows.read().scan(&range, Order::Forward, limit)?;
        let next = found.last().filter(|_| found.len() == limit).and_then(|(key, _)| keys::export(key));
        let items = found.iter().map(|(_, bytes)| serde_json::from_slice(bytes).map_err(Refused::internal));
        Ok(Page { items: items.collect::<Result<_>>()?, next })
    }

    /// Seals bytes for a label, with a key of this tenant: for what stands in files beside the journal.
    ///
    /// # Errors
    /// The store's.
    pub fn seal(&self, label: &[u8], bytes: &[u8]) -> Result<Vec<u8>> {
        self.core.seal_for(label, bytes)
    }

    /// Opens what [`seal`](Self::seal) sealed for the same label.
    ///
    /// # Errors
    /// [`Refused::Internal`] for other bytes, or another label.
    pub fn unseal(&self, label: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
        self.core.open_for(label, sealed)
    }

    /// A digest of bytes that tells nothing of them without this tenant's keys.
    #[must_use]
    pub fn digest(&self, parts: &[&[u8]]) -> [u8; 16] {
        self.core.digests.body.wide_of(parts)
    }
}

impl Core {
    fn sealing(&self, label: &[u8]) -> Header {
        let key_ref = self.digests.fragment.wide_of(&[b"sealed for", label]);
        Header { kind: RecordKind::Config, id: key_ref, key_ref, ..Header::default() }
    }

    pub(crate) fn seal_for(&self, label: &[u8], bytes: &[u8]) -> Result<Vec<u8>> {
        let mut header = self.sealing(label);
        let mut sealed = bytes.to_vec();
        seal_in_place(&self.keys, self.info.no, &mut header, &mut sealed)?;
        sealed.splice(0..0, header.nonce);
        Ok(sealed)
    }

    pub(crate) fn open_for(&self, label: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
        let cut_off = || Refused::internal("what was sealed is cut off");
        let (nonce, bytes) = sealed.split_at_checked(NONCE_BYTES).ok_or_else(cut_off)?;
        let mut header = self.sealing(label);
        header.nonce.copy_from_slice(nonce);
        let mut opened = bytes.to_vec();
        open_in_place(&self.keys, self.info.no, &header, &mut opened)?;
        Ok(opened)
    }
}
