//! `GET /v1/exports/{id}`: how an export went.

use axum::Json;
use axum::extract::{Path, State};

use super::{Export, parse};
use crate::app::App;
use crate::auth::Member;
use crate::error::Answer;
use crate::work;

/// How an export went
#[utoipa::path(get, path = "/v1/exports/{id}", tag = "exports", params(("id" = String, Path, description = "`exp_…`")),
    responses((status = 200, body = Object)))]
pub(crate) async fn get_export(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
) -> Answer<Json<Export>> {
    let id = parse(&id)?;
    let info = work(true, move || app.exports().get(&member.tenant, id)).await??;
    Ok(Json(info))
}
