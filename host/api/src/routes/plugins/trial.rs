//! `POST /v1/plugins/{name}/versions/{version}/test`: what a version makes of given events.

use axum::Json;
use axum::extract::{Path, State};

use crate::app::App;
use crate::auth::Member;
use crate::body::Document;
use crate::error::{Answer, Failure};

/// Try a version on given events
///
/// `{events, grants, config, now}`: 1 to 100 events as they are sent to `/v1/events`; without `grants` the version has all it
/// asks for, without `config` that of its activation, or an empty one. `now` is when what is derived is read, the last
/// event's time when nothing is said. Nothing of it is kept. The answer has `outputs` (of a transformer one for each event,
/// of a deriver the values of one person), `fuel`, `elapsed_us`, `memory_bytes`, `runs` and `log`.
#[utoipa::path(post, path = "/v1/plugins/{name}/versions/{version}/test", tag = "plugins",
    params(("name" = String, Path, description = "Its name"), ("version" = u32, Path, description = "The version")),
    request_body = Object, responses((status = 200, body = Object)))]
pub(crate) async fn test_plugin(
    State(_): State<App>,
    member: Member,
    Path((name, version)): Path<(String, String)>,
    Document(body): Document,
) -> Answer<Json<serde_json::Value>> {
    let version: u32 = version.parse().map_err(|_| Failure::not_found("version"))?;
    let tried = member.tenant.try_plugin(&name, version, &body).await?;
    serde_json::to_value(tried).map(Json).map_err(Failure::internal)
}
