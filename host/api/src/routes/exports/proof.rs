//! `GET /v1/exports/{id}/proof`: that a row stands in an export on the grounds of a consent record.

use axum::Json;
use axum::extract::{Path, State};

use super::{Export, parse};
use crate::app::App;
use crate::auth::Member;
use crate::error::{Answer, Failure};
use crate::params::Params;
use crate::work;

/// Prove a row of an export
///
/// The row, the consent record behind it, the salt, and the way to the root in the manifest; `cdp export verify MANIFEST FILE
/// --proof PROOF` checks it offline. 409 when what is known of the person is not any more what was sent.
#[utoipa::path(get, path = "/v1/exports/{id}/proof", tag = "exports",
    params(
        ("id" = String, Path, description = "`exp_…`"),
        ("row" = Option<u64>, Query, description = "Which row, counted from 0"),
    ),
    responses((status = 200, body = Object)))]
pub(crate) async fn get_proof(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
    params: Params,
) -> Answer<Json<Export>> {
    let id = parse(&id)?;
    let row = params.get("row").unwrap_or("0").parse().map_err(|_| Failure::not_found("row"))?;
    Ok(Json(work(true, move || app.exports().proof(&member.tenant, id, row)).await??))
}
