//! Files that are held for download are not held for ever: an audience is of its moment, and every copy of it is one more.

use cdp_domain::time::Timestamp;
use cdp_engine::{Refused, Result, Tenant};

use crate::Exports;

/// How long a file is held for download after its run ended: 30 days. Its record, manifest and proofs stay.
pub const FILES_KEPT_MS: i64 = 30 * 86_400_000;
/// How often files are looked at.
const EXPIRE_EVERY_MS: i64 = 3_600_000;
/// Runs that are looked at together.
const PAGE: usize = 1000;

impl Exports {
    /// Removes files that were held for long enough, when it is time to look; `looked` is when it was the last time.
    pub(crate) fn expire_due(&self, looked: &mut Option<Timestamp>) {
        let now = self.0.engine.clock().now();
        if looked.is_some_and(|at| (0..EXPIRE_EVERY_MS).contains(&now.0.saturating_sub(at.0))) {
            return;
        }
        *looked = Some(now);
        for tenant in self.0.engine.open_tenants() {
            if tenant.unready().is_none()
                && let Err(error) = self.expire(&tenant, now)
            {
                tracing::error!(%error, "files of exports that were held for long enough could not be removed");
            }
        }
    }

    fn expire(&self, tenant: &Tenant, now: Timestamp) -> Result<()> {
        let mut after = None;
        loop {
            let page = tenant.exports(PAGE, after)?;
            for mut info in page.items {
                if info["kind"] != "download" || info["file"] != "held" {
                    continue;
                }
                let ended = info["ended_at"].as_str().and_then(|at| Timestamp::parse(at).ok());
                let Some(ended) = ended.filter(|at| now.0.saturating_sub(at.0) > FILES_KEPT_MS) else {
                    continue;
                };
                let Some(id) = info["id"].as_str().and_then(|id| id.parse().ok()) else { continue };
                // The file first: after a crash in between the next look finds a record that says too much, and no copy.
                if let Ok(held) = self.file(tenant, id) {
                    drop(std::fs::remove_file(cdp_engine::privacy::rows_path(&held.path)));
                    std::fs::remove_file(&held.path).map_err(Refused::internal)?;
                }
                info["file"] = "expired".into();
                pollster::block_on(tenant.record_export(id, info))?;
                tracing::info!(export = %id, ended = %ended, "an export's file is not held any more");
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }
}
