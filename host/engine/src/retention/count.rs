//! What rules would remove: counted, and nothing is touched.

use std::collections::BTreeMap;
use std::sync::Arc;

use cdp_domain::ids::{JobId, Position};
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_jobs::{Outcome, Progress};
use cdp_store::journal::RecordKind;
use cdp_store::seal::DataKeys as _;
use compact_str::CompactString;
use serde_json::{Value as Json, json};

use super::policy::read;
use super::{Keep, Retention};
use crate::error::{Refused, Result};
use crate::feed::Item;
use crate::tenant::{Core, Tenant, new_job};

/// Records after which it is asked whether to stop.
const ASK_EVERY: u64 = 1024;

/// Events whose days would be over.
#[derive(Debug, Clone, Copy, Default)]
struct Over {
    events: u64,
    oldest: Option<Timestamp>,
}

impl Tenant {
    /// Has it counted what rules would remove if they took the place of those in force, by a job; nothing is changed.
    ///
    /// Its result is `{"as_of", "events", "rules": [{"type", "days", "derived", "events", "oldest"}]}`: how many events
    /// that are there were over by each rule at that instant, and when the oldest of them happened. Exact for what is
    /// applied; a removal that is under way is waited for.
    ///
    /// # Errors
    /// [`Refused::Invalid`] with pointers; [`Refused::Overloaded`] when too many jobs wait.
    pub fn try_retention(&self, definition: &Value) -> Result<JobId> {
        let rules = Retention { rules: read(definition)?, ..Retention::default() };
        let (job, core) = (new_job()?, self.core.clone());
        let work = Box::new(move |progress: &Progress| -> Outcome {
            count(&core, &rules, progress).map_err(|error| crate::writer::error_chain(&error))
        });
        let submitted = self.core.jobs.submit(self.no(), job, "retention_preview", work);
        submitted.map_err(|_| Refused::Overloaded { retry_after: 5 })?;
        Ok(job)
    }
}

fn count(core: &Arc<Core>, rules: &Retention, progress: &Progress) -> Result<Json> {
    // While one redacts, what stands in the journal is written over.
    let _paused = core.sweeping.pause();
    let now = core.clock.now();
    let (applied, aging) = {
        let view = core.rows.read();
        (view.inner.summary.applied, view.inner.aging.clone())
    };
    let mut found: BTreeMap<&str, Over> = BTreeMap::new();
    let mut reader = core.journal.reader(Position(0));
    let mut read = 0_u64;
    while !rules.rules.is_empty() {
        let Some(record) = reader.next_ref()? else { break };
        let (position, header) = (record.position, record.header);
        if position >= applied {
            break;
        }
        read += 1;
        if read.is_multiple_of(ASK_EVERY) {
            progress.set(position.0, applied.0);
            if progress.cancelled() {
                return Err(Refused::Conflict("the count was cancelled".to_owned()));
            }
        }
        let is_there = header.kind == RecordKind::Event && !header.redacted && !aging.contains(&position);
        if !is_there || core.keys.key(&header.key_ref).is_err() {
            continue;
        }
        let (kind, time) = match core.item(position, &header, record.payload.to_vec())? {
            Item::Event(pending) => (pending.event.kind, pending.event.time),
            Item::Unreadable(unreadable) => (unreadable.names.2, unreadable.received_at),
            _ => continue,
        };
        if !rules.is_over(&kind, time, now) {
            continue;
        }
        let Some((rule, _)) = rules.rule(&kind) else { continue };
        let over = found.entry(rule).or_default();
        over.events += 1;
        over.oldest = Some(over.oldest.map_or(time, |oldest| oldest.min(time)));
    }
    progress.set(applied.0, applied.0);
    let told = |(kind, keep): (&CompactString, &Keep)| {
        let over = found.get(kind.as_str()).copied().unwrap_or_default();
        json!({ "type": kind.as_str(), "days": keep.days, "derived": keep.derived.as_str(),
            "events": over.events, "oldest": over.oldest.map(|at| at.to_string()) })
    };
    Ok(json!({
        "as_of": now.to_string(),
        "events": found.values().map(|over| over.events).sum::<u64>(),
        "rules": rules.rules.iter().map(told).collect::<Vec<_>>(),
    }))
}
