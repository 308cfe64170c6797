//! `POST /v1/access-requests`: everything held about a person, in one document.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::PersonIdentifier;
use crate::app::App;
use crate::auth::Member;
use crate::body::Document;
use crate::error::Answer;

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
    /// The job whose result is the document.
    job: String,
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
    let job = crate::work(true, move || member.tenant.request_access(&kind, &value, &by)).await??;
    Ok((StatusCode::ACCEPTED, Json(AccessStarted { job: job.to_string() })))
}
