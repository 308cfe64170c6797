//! Plugins: WebAssembly components by which a tenant extends the platform, and their life.

pub mod activate;
pub mod order;
pub mod replay;
pub mod trial;
pub mod trust;
pub mod upload;

use axum::Json;
use axum::extract::{Path, State};
use cdp_domain::ids::JobId;
use cdp_engine::plugins::PluginInfo;

use super::page::{self, Page};
use crate::app::App;
use crate::auth::Member;
use crate::error::{Answer, Failure};
use crate::params::Params;

/// A plugin: `{name, status, reason, active, versions}`.
pub(crate) type Plugin = serde_json::Value;

/// A plugin with the jobs that build what it derives: until they are done, what served before does.
pub(crate) fn with_jobs(info: &PluginInfo, jobs: &[JobId]) -> Answer<Plugin> {
    let mut plugin = shape(info)?;
    plugin["jobs"] = jobs.iter().map(ToString::to_string).collect();
    Ok(plugin)
}

pub(crate) fn shape(info: &PluginInfo) -> Answer<Plugin> {
    serde_json::to_value(info).map_err(Failure::internal)
}

/// List plugins
#[utoipa::path(get, path = "/v1/plugins", tag = "plugins",
    params(
        ("limit" = Option<u16>, Query, description = "1 to 1000, 100 by default"),
        ("cursor" = Option<String>, Query, description = "Where the page begins"),
    ),
    responses((status = 200, body = Object)))]
pub(crate) async fn list_plugins(
    State(_): State<App>,
    member: Member,
    params: Params,
) -> Answer<Json<Page<Plugin>>> {
    let (list, all) = (("/v1/plugins", Some(member.tenant.no())), member.tenant.plugins());
    let page = page::of_names(&params, list, all, |info| info.name.to_string(), |info| shape(&info))?;
    let items = page.items.into_iter().collect::<Answer<_>>()?;
    Ok(Json(Page { items, next_cursor: page.next_cursor }))
}

/// Read a plugin
///
/// Its versions, what runs, and why it is suspended if it is.
#[utoipa::path(get, path = "/v1/plugins/{name}", tag = "plugins", params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = Object)))]
pub(crate) async fn get_plugin(
    State(_): State<App>,
    member: Member,
    Path(name): Path<String>,
) -> Answer<Json<Plugin>> {
    Ok(Json(shape(&member.tenant.plugin(&name)?)?))
}

/// Read what a plugin wrote down
///
/// The newest lines since the server started, version by version.
#[utoipa::path(get, path = "/v1/plugins/{name}/logs", tag = "plugins", params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = Object)))]
pub(crate) async fn plugin_logs(
    State(_): State<App>,
    member: Member,
    Path(name): Path<String>,
) -> Answer<Json<serde_json::Value>> {
    let lines = member.tenant.plugin_logs(&name)?;
    let line = |(version, line): &(u32, cdp_engine::plugins::LogLine)| serde_json::json!({ "version": version, "level": line.level, "message": line.message });
    Ok(Json(serde_json::json!({ "items": lines.iter().map(line).collect::<Vec<_>>() })))
}

/// Run again what ran before the last activation
#[utoipa::path(post, path = "/v1/plugins/{name}/rollback", tag = "plugins", params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = Object)))]
pub(crate) async fn rollback_plugin(
    State(_): State<App>,
    member: Member,
    Path(name): Path<String>,
) -> Answer<Json<Plugin>> {
    let (_, jobs) = member.tenant.rollback_plugin(&name).await?;
    with_jobs(&member.tenant.plugin(&name)?, &jobs).map(Json)
}

/// Stop a plugin
///
/// Events pass it untouched until it is resumed.
#[utoipa::path(post, path = "/v1/plugins/{name}/suspend", tag = "plugins", params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = Object)))]
pub(crate) async fn suspend_plugin(
    State(_): State<App>,
    member: Member,
    Path(name): Path<String>,
) -> Answer<Json<Plugin>> {
    member.tenant.suspend_plugin(&name, "suspended by hand").await?;
    Ok(Json(shape(&member.tenant.plugin(&name)?)?))
}

/// Run a suspended plugin again
#[utoipa::path(post, path = "/v1/plugins/{name}/resume", tag = "plugins", params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = Object)))]
pub(crate) async fn resume_plugin(
    State(_): State<App>,
    member: Member,
    Path(name): Path<String>,
) -> Answer<Json<Plugin>> {
    member.tenant.resume_plugin(&name).await?;
    Ok(Json(shape(&member.tenant.plugin(&name)?)?))
}
