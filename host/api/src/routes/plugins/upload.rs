//! `POST /v1/plugins/{name}/versions`: takes a component in.

use axum::Json;
use axum::extract::{Path, Request, State};
use http::StatusCode;

use crate::app::App;
use crate::auth::Member;
use crate::body::{self, Bounds, UPLOAD_BYTES_MAX, media_type};
use crate::error::{Answer, Code, Failure};
use crate::share::Class;

/// Upload a version
///
/// The body is a WebAssembly component. It is inspected, nothing of it runs with data; refused with every reason at once.
/// The same component again is the same version.
#[utoipa::path(post, path = "/v1/plugins/{name}/versions", tag = "plugins", params(("name" = String, Path, description = "Its name")),
    request_body(content = Vec<u8>, content_type = "application/wasm"), responses((status = 201, body = Object)))]
pub(crate) async fn upload_plugin(
    State(app): State<App>,
    member: Member,
    Path(name): Path<String>,
    request: Request,
) -> Answer<(StatusCode, Json<serde_json::Value>)> {
    let (parts, body) = request.into_parts();
    if !matches!(media_type(&parts.headers).as_str(), "" | "application/wasm" | "application/octet-stream") {
        body::discard(&parts.headers, body).await;
        return Err(Failure::new(Code::UnsupportedMediaType, "a component is sent as application/wasm"));
    }
    let gzip = body::is_gzip(&parts.headers)?;
    let _held = app.shares().hold(Class::of(&member.tenant), UPLOAD_BYTES_MAX)?;
    let bytes = body::read(&parts.headers, body, Bounds::upload(&app)).await?;
    let component = crate::work(true, move || match gzip {
        true => body::inflate(&bytes, UPLOAD_BYTES_MAX),
        false => Ok(bytes.to_vec()),
    });
    let uploaded = member.tenant.upload_plugin(&name, component.await??).await?;
    Ok((StatusCode::CREATED, Json(serde_json::to_value(uploaded).map_err(Failure::internal)?)))
}
