//! `GET /v1/exports/{id}/file`: the audience, for download.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use cdp_engine::Tenant;
use http::{HeaderValue, header};
use tokio_util::io::ReaderStream;

use super::parse;
use crate::app::App;
use crate::auth::Member;
use crate::error::{Answer, Failure};
use crate::work;

/// Bytes read from the file at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// Download the audience
///
/// Streamed; 404 until the export is done.
#[utoipa::path(get, path = "/v1/exports/{id}/file", tag = "exports", params(("id" = String, Path, description = "`exp_…`")),
    responses((status = 200, body = Vec<u8>, content_type = "text/csv")))]
pub(crate) async fn download_export(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
) -> Answer<Response> {
    stream(&app, &member.tenant, &id).await
}

/// The file of a run, streamed.
///
/// # Errors
/// 404 where there is none.
pub(crate) async fn stream(app: &App, tenant: &Tenant, id: &str) -> Answer<Response> {
    let (app, tenant, id) = (app.clone(), tenant.clone(), parse(id)?);
    let held = work(true, move || app.exports().file(&tenant, id)).await??;
    let file = tokio::fs::File::open(&held.path).await.map_err(Failure::internal)?;
    let length = file.metadata().await.map_err(Failure::internal)?.len();
    let mut response = Body::from_stream(ReaderStream::with_capacity(file, PIECE_BYTES)).into_response();
    let headers = response.headers_mut();
    let name = HeaderValue::from_str(&format!("attachment; filename=\"{}\"", held.name))
        .map_err(Failure::internal)?;
    headers.insert(header::CONTENT_DISPOSITION, name);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(held.media_type));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    Ok(response)
}
