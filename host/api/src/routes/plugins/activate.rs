//! `POST /v1/plugins/{name}/versions/{version}/activate`: lets a version run.

use axum::Json;
use axum::extract::{Path, State};

use super::{Plugin, with_jobs};
use crate::app::App;
use crate::auth::Member;
use crate::body::Document;
use crate::error::{Answer, Failure};

/// Activate a version
///
/// `{grants, config, share?}`: what it may do of what it asks for, and its settings. The next event sees it. A transformer
/// with a share from 1 to 99 is tried on that many in a hundred of the events, by their identifiers, beside the version that runs. A version that derives
/// serves when its past is built: `jobs` do that, and until then what served before does.
#[utoipa::path(post, path = "/v1/plugins/{name}/versions/{version}/activate", tag = "plugins",
    params(("name" = String, Path, description = "Its name"), ("version" = u32, Path, description = "The version")),
    request_body = Object, responses((status = 200, body = Object)))]
pub(crate) async fn activate_plugin(
    State(_): State<App>,
    member: Member,
    Path((name, version)): Path<(String, String)>,
    Document(body): Document,
) -> Answer<Json<Plugin>> {
    let version: u32 = version.parse().map_err(|_| Failure::not_found("version"))?;
    let jobs = member.tenant.activate_plugin(&name, version, &body).await?;
    with_jobs(&member.tenant.plugin(&name)?, &jobs).map(Json)
}
