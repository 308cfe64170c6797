//! `POST /v1/exports/{id}/cancel`, `…/pause`, `…/resume`: what becomes of an export that is under way.

use axum::Json;
use axum::extract::{Path, State};

use super::{Export, parse};
use crate::app::App;
use crate::auth::Member;
use crate::error::Answer;
use crate::work;

/// End an export before its end
///
/// What was sent stays sent, and known. 409 when it is over.
#[utoipa::path(post, path = "/v1/exports/{id}/cancel", tag = "exports", params(("id" = String, Path, description = "`exp_…`")),
    responses((status = 200, body = Object)))]
pub(crate) async fn cancel_export(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
) -> Answer<Json<Export>> {
    let id = parse(&id)?;
    let cancel = move || {
        app.exports().cancel(&member.tenant, id)?;
        app.exports().get(&member.tenant, id)
    };
    Ok(Json(work(true, cancel).await??))
}

/// Stop an export for now
///
/// At its next chunk; it waits until it is resumed, also over a restart. 409 when it is over.
#[utoipa::path(post, path = "/v1/exports/{id}/pause", tag = "exports", params(("id" = String, Path, description = "`exp_…`")),
    responses((status = 200, body = Object)))]
pub(crate) async fn pause_export(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
) -> Answer<Json<Export>> {
    let id = parse(&id)?;
    let pause = move || {
        app.exports().pause(&member.tenant, id)?;
        app.exports().get(&member.tenant, id)
    };
    Ok(Json(work(true, pause).await??))
}

/// Let an export go on
#[utoipa::path(post, path = "/v1/exports/{id}/resume", tag = "exports", params(("id" = String, Path, description = "`exp_…`")),
    responses((status = 200, body = Object)))]
pub(crate) async fn resume_export(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
) -> Answer<Json<Export>> {
    let id = parse(&id)?;
    let resume = move || {
        app.exports().resume(&member.tenant, id)?;
        app.exports().get(&member.tenant, id)
    };
    Ok(Json(work(true, resume).await??))
}
