//! The only crate that turns a segment into an audience and hands it out.
//!
//! An audience is a segment at a position, for one purpose on one channel. Consent is asked for every row at the moment
//! the row is written; whoever may not be reached is withheld and counted by reason, so that rows and withheld together
//! are the members. Nothing leaves that is not named by a field.
//!
//! A run: [`plan`] reads and checks the request → a job takes the members and writes the file, row by row → the file is
//! made durable under its final name → the end of the run is a journal record. A run that a crash interrupts has no
//! file and reads `interrupted`; it is asked for again.

pub mod plan;
mod run;
mod write;

use std::path::PathBuf;

use cdp_domain::ids::{ExportId, JobId, TenantNo};
use cdp_domain::value::Value;
use cdp_engine::{Engine, JobStatus, Page, Refused, Result, Tenant};

pub use plan::{FIELDS_MAX, Format, Plan};

/// A run that began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// The run.
    pub id: ExportId,
    /// The job that does it.
    pub job: JobId,
}

/// Begins a run.
///
/// # Errors
/// [`Refused::Invalid`] with pointers into the request; [`Refused::NotFound`] for the segment; [`Refused::Conflict`]
/// while the segment is being built; [`Refused::Overloaded`] when too many jobs wait.
pub async fn start(engine: &Engine, tenant: &Tenant, request: &Value) -> Result<Started> {
    let plan = Plan::read(tenant, request)?;
    let members = tenant.take_members(&plan.segment)?;
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(Refused::internal)?;
    let (id, job) = bytes.split_at(16);
    let id = ExportId(id.try_into().expect("16 bytes"));
    let job = JobId(job.try_into().expect("16 bytes"));
    let path = path(engine, tenant.no(), id, plan.format);
    let run =
        run::Run { id, job, plan, members, tenant: tenant.clone(), path, created_at: engine.clock().now() };
    tenant.record_export(id, run.begun()).await?;
    engine
        .jobs()
        .submit(tenant.no(), job, "export", Box::new(move |progress| run.execute(progress)))
        .map_err(|_| Refused::Overloaded { retry_after: 5 })?;
    Ok(Started { id, job })
}

/// A run as clients see it.
///
/// # Errors
/// [`Refused::NotFound`].
pub fn get(engine: &Engine, tenant: &Tenant, id: ExportId) -> Result<serde_json::Value> {
    tenant.export(id).map(|info| truthful(engine, tenant, info))
}

/// Runs, in the order of their ids; `after` continues a page.
///
/// # Errors
/// The store's.
pub fn list(
    engine: &Engine,
    tenant: &Tenant,
    limit: usize,
    after: Option<ExportId>,
) -> Result<Page<serde_json::Value, ExportId>> {
    let page = tenant.exports(limit, after)?;
    let items = page.items.into_iter().map(|info| truthful(engine, tenant, info)).collect();
    Ok(Page { items, next: page.next })
}

/// A run that was written down as running and has no living job was interrupted.
fn truthful(engine: &Engine, tenant: &Tenant, mut info: serde_json::Value) -> serde_json::Value {
    if info["status"] == "running" {
        let job = info["job"].as_str().and_then(|job| job.parse::<JobId>().ok());
        let alive = job.and_then(|job| engine.jobs().get(tenant.no(), job));
        let alive = alive.is_some_and(|job| matches!(job.status, JobStatus::Queued | JobStatus::Running));
        if !alive {
            // It may have ended between the two reads.
            let ended =
                info["id"].as_str().and_then(|id| id.parse().ok()).and_then(|id| tenant.export(id).ok());
            match ended.filter(|ended| ended["status"] != "running") {
                Some(ended) => info = ended,
                None => info["status"] = "interrupted".into(),
            }
        }
    }
    info
}

/// The file of a run that is done, and the run as clients see it.
///
/// # Errors
/// [`Refused::NotFound`] when there is no such run, or it did not end well.
pub fn file(engine: &Engine, tenant: &Tenant, id: ExportId) -> Result<(PathBuf, serde_json::Value)> {
    let info = tenant.export(id)?;
    let format = info["format"].as_str().and_then(Format::of).ok_or(Refused::NotFound("export"))?;
    let path = path(engine, tenant.no(), id, format);
    if info["status"] != "done" || !path.exists() {
        return Err(Refused::NotFound("export"));
    }
    Ok((path, info))
}

/// What a run wrote, and on what grounds: rows, bytes, hash, position, consent, withheld by reason.
///
/// # Errors
/// [`Refused::NotFound`].
pub fn manifest(_engine: &Engine, tenant: &Tenant, id: ExportId) -> Result<serde_json::Value> {
    tenant.export(id)
}

fn path(engine: &Engine, tenant: TenantNo, id: ExportId, format: Format) -> PathBuf {
    let name = format!("{id}.{}", format.extension());
    engine.data_dir().join("exports").join(format!("{:08x}", tenant.0)).join(name)
}
