//! `GET /v1/exports/{id}/manifest`: rows, hashes, and the proof of consent.

use axum::Json;
use axum::extract::{Path, State};

use super::parse;
use crate::app::App;
use crate::auth::Member;
use crate::error::Answer;
use crate::work;

/// What an export holds and why it may
///
/// Rows, bytes, SHA-256, position, withheld by reason, and the root of the commitments to each row and its consent record.
/// `cdp export verify MANIFEST FILE` checks it offline. 409 while the export is under way.
#[utoipa::path(get, path = "/v1/exports/{id}/manifest", tag = "exports", params(("id" = String, Path, description = "`exp_…`")),
    responses((status = 200, body = Object)))]
pub(crate) async fn get_manifest(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
) -> Answer<Json<serde_json::Value>> {
    let id = parse(&id)?;
    Ok(Json(work(true, move || app.exports().manifest(&member.tenant, id)).await??))
}
