//! Plugins: WebAssembly components by which a tenant extends the platform, and their life.

pub mod activate;
pub mod upload;

use axum::Json;
use axum::extract::{Path, State};
use cdp_engine::plugins::PluginInfo;

use super::page::{self, Page};
use crate::app::App;
use crate::auth::Member;
use crate::error::{Answer, Failure};
use crate::params::Params;

/// A plugin: `{name, status, reason, active, versions}`.
pub(crate) type Plugin = serde_json::Value;

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

/// Run again what ran before the last activation
#[utoipa::path(post, path = "/v1/plugins/{name}/rollback", tag = "plugins", params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = Object)))]
pub(crate) async fn rollback_plugin(
    State(_): State<App>,
    member: Member,
    Path(name): Path<String>,
) -> Answer<Json<Plugin>> {
    member.tenant.rollback_plugin(&name).await?;
    Ok(Json(shape(&member.tenant.plugin(&name)?)?))
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
