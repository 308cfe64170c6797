//! `POST /v1/plugins/{name}/versions`: takes a component in.

use axum::Json;
use axum::extract::{Path, Request, State};
use cdp_domain::problem::{Code as Wrong, Problem};
use http::StatusCode;

use crate::app::App;
use crate::auth::Member;
use crate::body::{self, Bounds, UPLOAD_BYTES_MAX, media_type};
use crate::error::{Answer, Code, Failure};
use crate::share::Class;

/// The maker's signature of a component.
const SIGNATURE: &str = "x-plugin-signature";

/// Upload a version
///
/// The body is a WebAssembly component. It is inspected, nothing of it runs with data; refused with every reason at once.
/// The same component again is the same version. `X-Plugin-Signature` is its maker's signature, in hex: Ed25519 over
/// `cdp plugin, signature 1`, a line feed, and the BLAKE3 digest of the component.
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
    let signature = match parts.headers.get(SIGNATURE) {
        None => None,
        Some(value) => match value.to_str().ok().and_then(cdp_domain::hex::decode) {
            Some(signature) => Some(signature),
            None => {
                body::discard(&parts.headers, body).await;
                let detail = "X-Plugin-Signature: must be 128 digits of hex in lower case";
                return Err(Failure::invalid(vec![Problem::new("", Wrong::Invalid, detail)]));
            }
        },
    };
    let _held = app.shares().hold(Class::of(&member.tenant), UPLOAD_BYTES_MAX)?;
    let bytes = body::read(&parts.headers, body, Bounds::upload(&app)).await?;
    let component = match gzip {
        true => crate::work(true, move || body::inflate(&bytes, UPLOAD_BYTES_MAX)).await??,
        // Not copied where it came whole.
        false => Vec::from(bytes),
    };
    let uploaded = member.tenant.upload_plugin(&name, component, signature).await?;
    Ok((StatusCode::CREATED, Json(serde_json::to_value(uploaded).map_err(Failure::internal)?)))
}
