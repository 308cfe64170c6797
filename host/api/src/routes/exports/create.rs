//! `POST /v1/exports`: begins an export. `POST /v1/exports/preview`: shows its first rows.

use axum::Json;
use axum::extract::State;
use cdp_domain::ids::{ExportId, JobId};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::Export;
use crate::app::App;
use crate::auth::Member;
use crate::body::Document;
use crate::error::Answer;
use crate::{plain, work};

/// An export that was begun.
#[derive(Serialize, ToSchema)]
pub struct ExportStarted {
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    id: ExportId,
    /// The job that does it.
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    job: JobId,
}

/// Begin an export
///
/// `{segment, destination?, format: "csv"|"ndjson"|"parquet", fields: [{name, from, hash?, type?, scale?}], consent: {channel,
/// purpose}, mode: "full"|"incremental", key?, compression?, csv?, batch?}`. `from` is `identifier.email`, `trait.city`,
/// `attribute.total_spend`, `channel.email` (the consented address) or `profile.id`.
#[utoipa::path(post, path = "/v1/exports", tag = "exports", request_body = Object, responses((status = 202, body = ExportStarted)))]
pub(crate) async fn create_export(
    State(app): State<App>,
    member: Member,
    Document(body): Document,
) -> Answer<(StatusCode, Json<ExportStarted>)> {
    let started = app.exports().start(&member.tenant, &body).await?;
    Ok((StatusCode::ACCEPTED, Json(ExportStarted { id: started.id, job: started.job })))
}

/// Show the first rows of an export
///
/// The same request as for an export; nothing is written down and nothing leaves the server but this answer.
#[utoipa::path(post, path = "/v1/exports/preview", tag = "exports", request_body = Object, responses((status = 200, body = Object)))]
pub(crate) async fn preview_export(
    State(app): State<App>,
    member: Member,
    Document(body): Document,
) -> Answer<Json<Export>> {
    Ok(Json(work(true, move || app.exports().preview(&member.tenant, &body)).await??))
}
