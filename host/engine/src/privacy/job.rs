//! What is held beside the state, and the certificate.

use cdp_domain::hex;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cdp_domain::ids::{JobId, Position};
use cdp_jobs::{Outcome, Progress};
use cdp_store::keys::tag;
use cdp_store::kv::Order;
use serde_json::{Value, json};

use super::erase::Erasure;
use super::{Said, disclosed, files};
use crate::config::Change;
use crate::error::{Refused, Result};
use crate::rows::Look;
use crate::tenant::{Core, Page, Tenant};

/// Steps of the job, for its progress.
const STEPS: u64 = 5;
/// How often the state's files are tried to be written anew.
const TRIES: u32 = 3;

impl Tenant {
    /// Erasures, by the ids of their jobs; of one that is done, the certificate. `after` continues a page.
    ///
    /// # Errors
    /// The store's.
    pub fn erasures(&self, limit: usize, after: Option<JobId>) -> Result<Page<Value, JobId>> {
        let view = self.core.rows.read();
        let mut range = view.context().table(tag::ERASURE);
        if let Some(after) = after {
            range = range.after(&view.context().erasure(after));
        }
        let found = view.scan(&range, Order::Forward, limit)?;
        let next = found.last().filter(|_| found.len() == limit);
        let next = next.and_then(|(key, _)| cdp_store::keys::erasure(key));
        let items = found.iter().map(|(_, bytes)| serde_json::from_slice(bytes).map_err(Refused::internal));
        Ok(Page { items: items.collect::<Result<_>>()?, next })
    }

    /// An erasure; when it is done, its certificate.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn erasure(&self, job: JobId) -> Result<Value> {
        let view = self.core.rows.read();
        let row = view.row(&view.context().erasure(job))?.ok_or(Refused::NotFound("erasure"))?;
        serde_json::from_slice(&row).map_err(Refused::internal)
    }
}

/// Submits the jobs of every erasure that is not carried out to its end: after a start.
pub(crate) fn resume(core: &Arc<Core>) {
    for erasure in core.rows.read().inner.config.erasures.clone() {
        if let Err(error) = submit(core, erasure.job) {
            tracing::error!(error = %error, "an erasure could not be resumed");
        }
    }
}

/// Has the state's files written anew, where a start found that they were older than an erasure.
pub(crate) fn rewrite_later(core: &Arc<Core>) {
    let shared = core.clone();
    let work = Box::new(move |_: &Progress| -> Outcome {
        let last = shared.rows.read().inner.summary.last;
        let rewritten = rewrite_state(&shared, &mut shared.rewriting.lock(), last)
            .map_err(|error| crate::writer::error_chain(&error))?;
        Ok(json!({ "rewritten": rewritten }))
    });
    let submitted = crate::tenant::new_job()
        .map(|job| core.jobs.submit(core.info.no, job, "state_rewrite", work).is_ok())
        .unwrap_or(false);
    if !submitted {
        tracing::error!(
            tenant = core.info.no.0,
            "the state could not be written anew; it is tried at the next start"
        );
    }
}

pub(super) fn submit(core: &Arc<Core>, job: JobId) -> Result<()> {
    let shared = core.clone();
    let work = Box::new(move |progress: &Progress| -> Outcome {
        carry_out(&shared, job, progress).map_err(|error| crate::writer::error_chain(&error))
    });
    core.jobs.submit(core.info.no, job, "erasure", work).map_err(|_| Refused::Overloaded { retry_after: 5 })
}

fn carry_out(core: &Arc<Core>, job: JobId, progress: &Progress) -> Result<Value> {
    let tenant = Tenant { core: core.clone() };
    // One after the other: while one has the state written anew, it cannot be read for a moment.
    let mut rewriting = core.rewriting.lock();
    let pending = core.rows.read().inner.config.erasures.iter().find(|one| one.job == job).cloned();
    let Some(erasure) = pending else { return tenant.erasure(job) };
    let fragments: HashSet<[u8; 16]> = erasure.fragments.iter().copied().collect();
    progress.set(0, STEPS);
    core.scenes.forget();
    core.jobs.forget(core.info.no, "access_request");
    core.jobs.forget(core.info.no, "plugin_shadow");
    core.plugin_health.forget_said();
    let fragments = Arc::new(fragments);
    let all: Arc<crate::timeline::Goes> = Arc::new(|_: &[u8; 16], _: &[u8; 16]| true);
    let timeline = crate::timeline::forget(core, &fragments, &all)?;
    progress.set(1, STEPS);
    let files = files::redact(&tenant, &fragments, "erased")?;
    progress.set(2, STEPS);
    let rewritten = rewrite_state(core, &mut rewriting, erasure.position)?;
    progress.set(3, STEPS);
    let keys: Vec<[u8; 16]> = erasure.key_refs(&core.digests);
    let destroyed = core.keys.destroyed(&keys);
    if !destroyed {
        return Err(Refused::internal("a data key of an erasure is not destroyed"));
    }
    let mut certificate = tenant.erasure(job)?;
    let suppressions = erasure.identifiers.iter().chain(&erasure.contacts).map(suppression_id);
    let suppressions: Vec<String> = suppressions.collect();
    let acts = json!({ "erasure": job.to_string(), "reason": erasure.reason });
    let (entry, hash) = core.audit(&erasure.by, "erased", acts)?;
    let (consents, consents_hash) = core.ledger.as_ref().map_or((0, [0; 32]), |ledger| ledger.head());
    certificate["status"] = "done".into();
    certificate["completed_at"] = core.clock.now().to_string().into();
    certificate["suppressions"] = suppressions.into();
    certificate["counts"]["timeline_entries"] = timeline.into();
    certificate["counts"]["data_keys_destroyed"] = keys.len().into();
    certificate["counts"]["export_files"] = files.files.into();
    certificate["counts"]["export_rows"] = files.rows.into();
    certificate["state_rewritten"] = rewritten.into();
    // A download is fetched by whoever had the key: there is nobody that the server could tell. A destination of
    // incremental runs is told by its next one.
    let mut recipients = Vec::new();
    for (id, said) in disclosed::told_of(core, &erasure.fragments)? {
        if said == Said::Remove {
            continue;
        }
        let run = tenant.export(id)?;
        let (kind, to) = (&run["kind"], &run["destination"]);
        recipients.push(json!({ "export": id.to_string(), "told": false, "kind": kind, "destination": to }));
    }
    certificate["recipients"] = recipients.into();
    certificate["chains"] = json!({
        "audit": { "entry": entry, "hash": hex::encode(&hash) },
        "consents": { "entry": consents, "hash": hex::encode(&consents_hash) },
    });
    let change = Change::ErasureEnded { job, certificate: certificate.clone() };
    pollster::block_on(core.change(change))?;
    progress.set(STEPS, STEPS);
    Ok(certificate)
}

impl Erasure {
    /// The data keys that sealed what is erased: of its fragments, its contact points' decisions, and constraints.
    pub(crate) fn key_refs(&self, digests: &crate::tenant::TenantDigests) -> Vec<[u8; 16]> {
        let constraints = self.constraints.iter().map(|id| digests.constraint(*id));
        self.fragments.iter().chain(&self.contacts).copied().chain(constraints).collect()
    }
}

/// The id of a suppression as clients see it.
#[must_use]
pub fn suppression_id(digest: &[u8; 16]) -> String {
    format!("sup_{}", hex::encode(digest))
}

/// Has the state's files written anew, unless that was done since the erasure was applied; whether there are files.
fn rewrite_state(core: &Arc<Core>, rewritten: &mut Option<Position>, behind: Position) -> Result<bool> {
    let tenant = Tenant { core: core.clone() };
    if rewritten.is_some_and(|upto| upto >= behind) {
        return Ok(true);
    }
    for left in (0..TRIES).rev() {
        tenant.wait_until_applied()?;
        let upto = core.rows.read().inner.summary.last;
        match core.session.rewrite() {
            Ok(true) => {
                // Every tenant goes over to the new files by itself; this one first, so that what follows is written there.
                while core.session.is_stale() && !core.closing.load(Ordering::Acquire) {
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
                tenant.wait_until_applied()?;
                *rewritten = Some(upto);
                return Ok(true);
            }
            Ok(false) => return Ok(false),
            // Another tenant's rewriting closed it a moment ago.
            Err(cdp_store::Error::StateClosed) if left > 0 => {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(Refused::Unavailable("the state could not be written anew".to_owned()))
}
