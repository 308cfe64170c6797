//! One run, from members to a durable file and its record.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cdp_domain::ids::{ExportId, JobId, Ordinal};
use cdp_domain::time::Timestamp;
use cdp_engine::exports::{Members, Source};
use cdp_engine::privacy::RowIndex;
use cdp_engine::{JobProgress, Refused, Result, Tenant};
use cdp_store::files;
use serde_json::json;

use crate::plan::Plan;
use crate::write::Sink;

/// How often a run begins anew because somebody was erased while it wrote.
const TRIES: u32 = 5;
/// Members read at a time: memory does not grow with the audience.
const ROWS_AT_A_TIME: usize = 500;

pub(crate) struct Run {
    pub(crate) id: ExportId,
    pub(crate) job: JobId,
    pub(crate) plan: Plan,
    pub(crate) members: Members,
    pub(crate) tenant: Tenant,
    pub(crate) path: PathBuf,
    pub(crate) created_at: Timestamp,
}

impl Run {
    /// The run as it is written down at its beginning.
    pub(crate) fn begun(&self) -> serde_json::Value {
        self.info("running", 0, &BTreeMap::new(), None, 0)
    }

    /// Does it; what it came to is the job's result.
    pub(crate) fn execute(&self, progress: &JobProgress) -> std::result::Result<serde_json::Value, String> {
        match self.write(progress) {
            Ok(info) => Ok(info),
            Err(error) => {
                let reason = match &error {
                    Refused::Internal(cause) => {
                        tracing::error!(error = %cause, "an export failed");
                        "the export failed for a reason of the server's own".to_owned()
                    }
                    other => other.to_string(),
                };
                let info = self.info("failed", 0, &BTreeMap::new(), None, 0);
                if let Err(error) = pollster::block_on(self.tenant.record_export(self.id, info)) {
                    tracing::error!(error = %error, "the end of an export could not be written down");
                }
                Err(reason)
            }
        }
    }

    fn write(&self, progress: &JobProgress) -> Result<serde_json::Value> {
        // A run that a restart submits again begins when state stands where it stood.
        self.tenant.wait_until_applied()?;
        for _ in 0..TRIES {
            if let Some(info) = self.try_write(progress)? {
                return Ok(info);
            }
        }
        Err(Refused::Conflict("people were erased again and again while the export was written".to_owned()))
    }

    /// None when somebody was erased meanwhile, who may stand in what was written.
    fn try_write(&self, progress: &JobProgress) -> Result<Option<serde_json::Value>> {
        let erased = self.tenant.erased();
        let dir = self.path.parent().expect("it lies in a directory");
        files::create_dir(dir)?;
        let names: Vec<&str> = self.plan.fields.iter().map(|field| field.name.as_str()).collect();
        let sources: Vec<Source> = self.plan.fields.iter().map(|field| field.source.clone()).collect();
        let file = files::NewFile::create(&self.path)?;
        let mut sink = Sink::new(file, self.plan.format, &names)?;
        let mut index = RowIndex::create(&self.path)?;
        let mut withheld: BTreeMap<String, u64> = BTreeMap::new();
        let (mut rows, mut seen) = (0, 0);
        let mut from = Some(Ordinal(0));
        while let Some(ordinal) = from {
            let page =
                self.tenant.audience(&self.members, &sources, &self.plan.consent, ordinal, ROWS_AT_A_TIME)?;
            for row in &page.items {
                match &row.values {
                    Ok(values) => {
                        index.push(row.profile_id, sink.row(values)?)?;
                        rows += 1;
                    }
                    Err(reason) => *withheld.entry(reason.as_str().to_owned()).or_default() += 1,
                }
            }
            seen += page.items.len() as u64;
            progress.set(seen, self.members.len());
            if progress.cancelled() {
                return Err(Refused::Conflict("the export was cancelled".to_owned()));
            }
            from = page.next;
        }
        if self.members.len() > seen {
            withheld.insert("merged_meanwhile".to_owned(), self.members.len() - seen);
        }
        let (file, sha256, bytes) = sink.finish()?;
        self.tenant.hand_out(erased, move || {
            index.commit()?;
            file.commit()?;
            let info = self.info("done", rows, &withheld, Some(sha256), bytes);
            pollster::block_on(self.tenant.record_export(self.id, info.clone()))?;
            Ok(info)
        })
    }

    fn info(
        &self,
        status: &str,
        rows: u64,
        withheld: &BTreeMap<String, u64>,
        sha256: Option<String>,
        bytes: u64,
    ) -> serde_json::Value {
        let fields: Vec<_> =
            self.plan.fields.iter().map(|field| json!({ "name": field.name, "from": field.from })).collect();
        json!({
            "id": self.id.to_string(),
            "job": self.job.to_string(),
            "status": status,
            "segment": self.plan.segment,
            "segment_version": self.members.version,
            "format": self.plan.format.extension(),
            "fields": fields,
            "consent": { "channel": self.plan.consent.channel.as_str(), "purpose": self.plan.consent.purpose.as_str() },
            "mode": "full",
            "members": self.members.len(),
            "rows": rows,
            "withheld": withheld,
            "bytes": bytes,
            "sha256": sha256,
            "position": self.members.position.to_string(),
            "created_at": self.created_at.to_string(),
        })
    }
}
