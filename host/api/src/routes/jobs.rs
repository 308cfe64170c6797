//! Background work: how far it is, and stopping it.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use cdp_domain::ids::JobId;
use cdp_engine::JobView;
use cdp_engine::registry::{Scope, Scopes};

use super::page::{self, Page};
use super::privacy::access::ACCESS_REQUEST;
use crate::app::App;
use crate::audit::Told;
use crate::auth::Member;
use crate::error::{Answer, Code, Failure};
use crate::params::Params;

/// Jobs whose results tell about people, and the scope that a key must have to be told: that of the call that begins them.
const TOLD_TO: [(&str, Scope); 3] =
    [(ACCESS_REQUEST, Scope::Admin), ("plugin_shadow", Scope::Admin), ("segment_preview", Scope::Read)];

fn parse(id: &str) -> Answer<JobId> {
    id.parse().map_err(|_| Failure::not_found("job"))
}

/// A job as a key may see it: `{id, kind, status, progress, result, error}`.
fn seen(mut view: JobView, scopes: Scopes) -> JobView {
    if TOLD_TO.iter().any(|(kind, scope)| *kind == view.kind && !scopes.allow(*scope)) {
        view.result = None;
    }
    view
}

/// List jobs
///
/// Documents of access requests are not in it: each is at its own address.
#[utoipa::path(get, path = "/v1/jobs", tag = "jobs",
    params(
        ("limit" = Option<u16>, Query, description = "1 to 1000, 100 by default"),
        ("cursor" = Option<String>, Query, description = "Where the page begins"),
    ),
    responses((status = 200, body = Page<Object>)))]
pub(crate) async fn list_jobs(
    State(app): State<App>,
    member: Member,
    params: Params,
) -> Answer<Json<Page<JobView>>> {
    let no = member.tenant.no();
    let all = app.engine().jobs().list(no);
    let listed = |view: JobView| {
        let mut view = seen(view, member.scopes);
        view.result = view.result.filter(|_| view.kind != ACCESS_REQUEST);
        view
    };
    Ok(Json(page::of_names(&params, ("/v1/jobs", Some(no)), all, |job| job.id.clone(), listed)?))
}

/// How far a job is
///
/// The result of what tells about people is given to keys that may begin such a job.
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path, description = "`job_…`")),
    responses((status = 200, body = Object)))]
pub(crate) async fn get_job(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
) -> Answer<Response> {
    let view = app.engine().jobs().get(member.tenant.no(), parse(&id)?);
    let view = seen(view.ok_or_else(|| Failure::not_found("job"))?, member.scopes);
    let told = view.kind == ACCESS_REQUEST && view.result.is_some();
    let mut response = Json(view).into_response();
    if told {
        response.extensions_mut().insert(Told);
    }
    Ok(response)
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
) -> Answer<Json<JobView>> {
    let (jobs, no, id) = (app.engine().jobs(), member.tenant.no(), parse(&id)?);
    if jobs.get(no, id).is_none() {
        return Err(Failure::not_found("job"));
    }
    if !jobs.cancel(no, id) {
        return Err(Failure::new(Code::Conflict, "the job has ended"));
    }
    jobs.get(no, id).map(|view| Json(seen(view, member.scopes))).ok_or_else(|| Failure::not_found("job"))
}
