//! `POST /v1/exports`: begins an export.

use axum::Json;
use axum::extract::State;
use cdp_domain::ids::{ExportId, JobId};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Member;
use crate::body::Document;
use crate::error::Answer;
use crate::plain;

/// An export that was begun.
#[derive(Serialize, ToSchema)]
pub struct ExportStarted {
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    id: ExportId,
    /// The job that writes it.
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    job: JobId,
}

/// Begin an export
///
/// `{segment, format: "csv"|"ndjson", fields: [{name, from}], consent: {channel, purpose}}`. `from` is `identifier.email`,
/// `trait.city`, `attribute.total_spend`, `channel.email` (the consented address) or `profile.id`.
#[utoipa::path(post, path = "/v1/exports", tag = "exports", request_body = Object, responses((status = 202, body = ExportStarted)))]
pub(crate) async fn create_export(
    State(app): State<App>,
    member: Member,
    Document(body): Document,
) -> Answer<(StatusCode, Json<ExportStarted>)> {
    let started = cdp_export::start(app.engine(), &member.tenant, &body).await?;
    Ok((StatusCode::ACCEPTED, Json(ExportStarted { id: started.id, job: started.job })))
}
