//! `/v1/access-requests`: everything held about a person, in one document.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use cdp_domain::ids::JobId;
use cdp_engine::{JobStatus, JobView, Tenant};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::PersonIdentifier;
use crate::app::App;
use crate::auth::Member;
use crate::body::Document;
use crate::error::{Answer, Code, Failure};
use crate::work;

/// The kind of its jobs.
pub(crate) const ACCESS_REQUEST: &str = "access_request";

/// Who asks.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the request")]
pub struct AccessRequest {
    /// One of the person's identifiers.
    identifier: PersonIdentifier,
}

/// A request that began.
#[derive(Serialize, ToSchema)]
pub struct AccessStarted {
    /// The job whose result is the document; the request's id.
    job: String,
}

/// How far a request is, and what is in its document.
#[derive(Serialize, ToSchema)]
pub struct AccessState {
    /// `job_…`
    id: String,
    /// `queued`, `running`, `done`, `failed` or `cancelled`.
    #[schema(value_type = String)]
    status: JobStatus,
    /// Events that were looked at, as of a job.
    #[schema(value_type = Object)]
    progress: cdp_engine::JobProgressView,
    /// Why it failed.
    error: Option<String>,
    /// What the document tells, when it is there.
    document: Option<AccessSummary>,
}

/// What is in a document.
#[derive(Serialize, ToSchema)]
pub(crate) struct AccessSummary {
    /// Whom it is about.
    pub(crate) profile_id: String,
    #[schema(format = DateTime)]
    pub(crate) made_at: String,
    /// Events that are given.
    pub(crate) events: u64,
    /// Events that are not given, because they name somebody else too.
    pub(crate) events_left_out: u64,
    /// Whether there are more events than a document holds.
    pub(crate) events_truncated: bool,
    /// Contact points.
    pub(crate) channels: u64,
    /// Held exports that contain the person.
    pub(crate) exports: u64,
}

impl AccessSummary {
    /// What a document tells of itself.
    pub(crate) fn of(document: &serde_json::Value) -> Self {
        let text = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
        let count = |name: &str| document[name].as_array().map_or(0, Vec::len) as u64;
        Self {
            profile_id: text("profile_id"),
            made_at: text("made_at"),
            events: count("events"),
            events_left_out: document["events_left_out"].as_u64().unwrap_or(0),
            events_truncated: document["events_truncated"].as_bool().unwrap_or(false),
            channels: count("channels"),
            exports: count("exports"),
        }
    }
}

/// Get everything that is held about a person
///
/// The job's result has the profile, its fragments, events, contact points with every decision, derived values with what
/// computed them, segments, and the exports that contained the person. Its `events` can be sent to `POST /v1/events`.
#[utoipa::path(post, path = "/v1/access-requests", tag = "privacy", request_body = AccessRequest,
    responses((status = 202, body = AccessStarted)))]
pub(crate) async fn create_access_request(
    State(_): State<App>,
    member: Member,
    Document(body): Document,
) -> Answer<(StatusCode, Json<AccessStarted>)> {
    let (kind, value) = super::only_identifier(body)?;
    let by = member.key.to_string();
    let job = work(true, move || member.tenant.request_access(&kind, &value, &by)).await??;
    Ok((StatusCode::ACCEPTED, Json(AccessStarted { job: job.to_string() })))
}

/// How far an access request is
///
/// Without the document itself. Requests and their documents are kept in memory: they are gone after a restart, with an
/// erasure of anybody, and when a thousand newer jobs have ended.
#[utoipa::path(get, path = "/v1/access-requests/{id}", tag = "privacy",
    params(("id" = String, Path, description = "The `job` that was answered")),
    responses((status = 200, body = AccessState)))]
pub(crate) async fn get_access_request(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
) -> Answer<Json<AccessState>> {
    let JobView { id, status, progress, result, error, .. } = find(&app, &member.tenant, &id)?;
    let document = result.as_deref().map(AccessSummary::of);
    Ok(Json(AccessState { id, status, progress, error, document }))
}

/// Download what is held about a person
///
/// The document alone, as a file; 409 while it is put together, and when that failed.
#[utoipa::path(get, path = "/v1/access-requests/{id}/document", tag = "privacy",
    params(("id" = String, Path, description = "The `job` that was answered")),
    responses((status = 200, body = Object)))]
pub(crate) async fn get_access_document(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
) -> Answer<Response> {
    document(&app, &member.tenant, &id).await
}

/// The job of a request.
///
/// # Errors
/// 404 where there is none.
pub(crate) fn find(app: &App, tenant: &Tenant, id: &str) -> Answer<JobView> {
    let id: JobId = id.parse().map_err(|_| Failure::not_found("access request"))?;
    let view = app.engine().jobs().get(tenant.no(), id).filter(|view| view.kind == ACCESS_REQUEST);
    view.ok_or_else(|| Failure::not_found("access request"))
}

/// The document of a request as a file.
///
/// # Errors
/// 404 where there is no such request, 409 where there is no document.
pub(crate) async fn document(app: &App, tenant: &Tenant, id: &str) -> Answer<Response> {
    let view = find(app, tenant, id)?;
    let Some(document) = view.result else {
        return Err(Failure::new(Code::Conflict, missing(view.status, view.error.as_deref())));
    };
    let bytes = work(true, move || serde_json::to_vec(&document)).await?.map_err(Failure::internal)?;
    let name = format!("attachment; filename=\"{id}.json\"");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_str(&name).map_err(Failure::internal)?),
        (header::CACHE_CONTROL, HeaderValue::from_static("private, no-store")),
    ];
    Ok((headers, bytes).into_response())
}

/// Why there is no document.
fn missing(status: JobStatus, error: Option<&str>) -> String {
    match (status, error) {
        (JobStatus::Queued | JobStatus::Running, _) => "the document is still being put together".to_owned(),
        (JobStatus::Cancelled, _) => "the request was cancelled before there was a document".to_owned(),
        (_, error) => format!("there is no document: {}", error.unwrap_or("the request failed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_there_is_no_document_is_said() {
        for (status, error, said) in [
            (JobStatus::Queued, None, "still being put together"),
            (JobStatus::Running, None, "still being put together"),
            (JobStatus::Cancelled, Some("the request was cancelled"), "was cancelled before"),
            (JobStatus::Failed, Some("the disk is full"), "there is no document: the disk is full"),
            (JobStatus::Failed, None, "there is no document: the request failed"),
        ] {
            assert!(missing(status, error).contains(said), "{status:?} {error:?}");
        }
    }

    #[test]
    fn a_summary_counts_and_names_nobody_but_by_an_id() {
        let document = serde_json::json!({"profile_id": "prf_1", "made_at": "2026-01-01T00:00:00Z",
            "identifiers": [{"type": "email", "value": "ann@example.com"}], "events": [{}, {}],
            "events_left_out": 3, "events_truncated": true, "channels": [{}], "exports": []});
        let summary = serde_json::to_value(AccessSummary::of(&document)).unwrap();
        let wanted = serde_json::json!({"profile_id": "prf_1", "made_at": "2026-01-01T00:00:00Z", "events": 2,
            "events_left_out": 3, "events_truncated": true, "channels": 1, "exports": 0});
        assert_eq!(summary, wanted);
    }
}
