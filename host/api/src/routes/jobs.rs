//! Background work: how far it is, and stopping it.

use axum::Json;
use axum::extract::{Path, State};
use cdp_domain::ids::JobId;

use super::page::{self, Page};
use crate::app::App;
use crate::auth::Member;
use crate::error::{Answer, Code, Failure};
use crate::params::Params;

/// A job: `{id, kind, status, progress, result, error}`.
type Job = serde_json::Value;

fn parse(id: &str) -> Answer<JobId> {
    id.parse().map_err(|_| Failure::not_found("job"))
}

fn shape(view: impl serde::Serialize) -> Job {
    serde_json::to_value(view).unwrap_or_default()
}

/// List jobs
#[utoipa::path(get, path = "/v1/jobs", tag = "jobs",
    params(
        ("limit" = Option<u16>, Query, description = "1 to 1000, 100 by default"),
        ("cursor" = Option<String>, Query, description = "Where the page begins"),
    ),
    responses((status = 200, body = Object)))]
pub(crate) async fn list_jobs(
    State(app): State<App>,
    member: Member,
    params: Params,
) -> Answer<Json<Page<Job>>> {
    let no = member.tenant.no();
    let all = app.engine().jobs().list(no);
    Ok(Json(page::of_names(&params, ("/v1/jobs", Some(no)), all, |job| job.id.clone(), shape)?))
}

/// How far a job is
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path, description = "`job_…`")),
    responses((status = 200, body = Object)))]
pub(crate) async fn get_job(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
) -> Answer<Json<Job>> {
    let view = app.engine().jobs().get(member.tenant.no(), parse(&id)?);
    view.map(|view| Json(shape(view))).ok_or_else(|| Failure::not_found("job"))
}

/// Stop a job
///
/// A waiting one never starts, a running one stops soon; 409 when it has ended.
#[utoipa::path(post, path = "/v1/jobs/{id}/cancel", tag = "jobs", params(("id" = String, Path, description = "`job_…`")),
    responses((status = 200, body = Object)))]
pub(crate) async fn cancel_job(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
) -> Answer<Json<Job>> {
    let (jobs, no, id) = (app.engine().jobs(), member.tenant.no(), parse(&id)?);
    if jobs.get(no, id).is_none() {
        return Err(Failure::not_found("job"));
    }
    if !jobs.cancel(no, id) {
        return Err(Failure::new(Code::Conflict, "the job has ended"));
    }
    jobs.get(no, id).map(|view| Json(shape(view))).ok_or_else(|| Failure::not_found("job"))
}
