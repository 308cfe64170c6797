//! `GET /v1/projects/{key}/settings`: what the browser SDK asks for before it sends.

use axum::Json;
use axum::extract::{Path, State};
use cdp_engine::registry::Scope;
use http::{HeaderMap, header};
use serde_json::json;

use crate::app::App;
use crate::auth;
use crate::error::{Answer, Failure};

/// Settings of the browser SDK
///
/// They send the SDK back to this server.
#[utoipa::path(get, path = "/v1/projects/{key}/settings", tag = "segment", params(("key" = String, Path, description = "A key with the scope `ingest`")),
    responses((status = 200, body = Object)))]
pub(crate) async fn project_settings(
    State(app): State<App>,
    Path(key): Path<String>,
    headers: HeaderMap,
) -> Answer<Json<serde_json::Value>> {
    auth::member(&app, &key, Some(Scope::Ingest)).map_err(|_| Failure::not_found("project"))?;
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or("localhost");
    let local = ["localhost", "127.", "[::1]"].iter().any(|start| host.starts_with(start));
    let forwarded = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
    let protocol = forwarded.filter(|protocol| matches!(*protocol, "http" | "https"));
    let protocol = protocol.unwrap_or(if local { "http" } else { "https" });
    Ok(Json(json!({
        "integrations": {
            "Segment.io": {
                "apiKey": key,
                "apiHost": format!("{host}/v1"),
                "protocol": protocol,
                "unbundledIntegrations": [],
                "addBundledMetadata": true,
                "maybeBundledConfigIds": {},
                "versionSettings": {"version": "4.4.7", "componentTypes": ["browser"]},
            },
        },
        "plan": {"track": {"__default": {"enabled": true}}, "identify": {"__default": {"enabled": true}}, "group": {"__default": {"enabled": true}}},
        "edgeFunction": {},
        "analyticsNextEnabled": true,
        "middlewareSettings": {},
        "enabledMiddleware": {},
        "metrics": {"sampleRate": 0},
        "legacyVideoPluginsEnabled": false,
        "remotePlugins": [],
    })))
}
