//! Destinations: where audiences go. Their secrets are taken and never given back.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use cdp_domain::ids::ExportId;
use cdp_domain::problem::Code;
use cdp_domain::time::Timestamp;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::page::{self, Page};
use crate::app::App;
use crate::auth::Member;
use crate::body::Document;
use crate::cursor::List;
use crate::error::Answer;
use crate::fields::Fields;
use crate::params::Params;
use crate::work;

/// A destination: `{name, kind, status, version, secrets, …}` with its settings, without its secrets.
type Destination = serde_json::Value;

/// Set a destination up
///
/// `{kind: "file"}`, `{kind: "webhook", url, secret: "whsec_…"}` (several secrets, the newest first, are `secrets`),
/// `{kind: "object_store", url, …}` with the vendor's credentials, or `{kind: "postgres", url, table}`. A
/// destination that was disabled is active again. The same again is the same version.
#[utoipa::path(put, path = "/v1/destinations/{name}", tag = "exports", params(("name" = String, Path, description = "Its name")),
    request_body = Object, responses((status = 201, body = Object), (status = 200, body = Object)))]
pub(crate) async fn put_destination(
    State(app): State<App>,
    member: Member,
    Path(name): Path<String>,
    Document(body): Document,
) -> Answer<Response> {
    let put = app.exports().put_destination(&member.tenant, &name, &body).await?;
    let status = if put.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(app.exports().destination(&member.tenant, &name)?)).into_response())
}

/// List destinations
#[utoipa::path(get, path = "/v1/destinations", tag = "exports",
    params(
        ("limit" = Option<u16>, Query, description = "1 to 1000, 100 by default"),
        ("cursor" = Option<String>, Query, description = "Where the page begins"),
    ),
    responses((status = 200, body = Page<Object>)))]
pub(crate) async fn list_destinations(
    State(app): State<App>,
    member: Member,
    params: Params,
) -> Answer<Json<Page<Destination>>> {
    let list = ("/v1/destinations", Some(member.tenant.no()));
    let all = app.exports().destinations(&member.tenant);
    let name = |one: &Destination| one["name"].as_str().unwrap_or_default().to_owned();
    Ok(Json(page::of_names(&params, list, all, name, |one| one)?))
}

/// Read a destination
#[utoipa::path(get, path = "/v1/destinations/{name}", tag = "exports", params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = Object)))]
pub(crate) async fn get_destination(
    State(app): State<App>,
    member: Member,
    Path(name): Path<String>,
) -> Answer<Json<Destination>> {
    Ok(Json(app.exports().destination(&member.tenant, &name)?))
}

/// Remove a destination
///
/// What was sent there stays known. 409 while a schedule names it.
#[utoipa::path(delete, path = "/v1/destinations/{name}", tag = "exports", params(("name" = String, Path, description = "Its name")),
    responses((status = 204)))]
pub(crate) async fn delete_destination(
    State(app): State<App>,
    member: Member,
    Path(name): Path<String>,
) -> Answer<StatusCode> {
    app.exports().delete_destination(&member.tenant, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Try a destination
///
/// Says whether it can be reached: `{ok, code?, detail?}`. No row of anybody's leaves.
#[utoipa::path(post, path = "/v1/destinations/{name}/test", tag = "exports", params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = Object)))]
pub(crate) async fn test_destination(
    State(app): State<App>,
    member: Member,
    Path(name): Path<String>,
) -> Answer<Json<Destination>> {
    Ok(Json(work(true, move || app.exports().test_destination(&member.tenant, &name)).await??))
}

/// Let nothing go to a destination for now
///
/// What would go there waits; when it is resumed, everything that changed since goes at once.
#[utoipa::path(post, path = "/v1/destinations/{name}/pause", tag = "exports", params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = Object)))]
pub(crate) async fn pause_destination(
    State(app): State<App>,
    member: Member,
    Path(name): Path<String>,
) -> Answer<Json<Destination>> {
    app.exports().pause_destination(&member.tenant, &name, true).await?;
    Ok(Json(app.exports().destination(&member.tenant, &name)?))
}

/// Let things go to a destination again
///
/// Also one that was disabled because it failed for too long.
#[utoipa::path(post, path = "/v1/destinations/{name}/resume", tag = "exports", params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = Object)))]
pub(crate) async fn resume_destination(
    State(app): State<App>,
    member: Member,
    Path(name): Path<String>,
) -> Answer<Json<Destination>> {
    app.exports().pause_destination(&member.tenant, &name, false).await?;
    Ok(Json(app.exports().destination(&member.tenant, &name)?))
}

/// List what a destination would not take
///
/// Runs with such rows: `{export, segment, ended_at, dead_letters, letters}`; the next incremental run tries the rows again.
#[utoipa::path(get, path = "/v1/destinations/{name}/dead-letters", tag = "exports",
    params(
        ("name" = String, Path, description = "Its name"),
        ("limit" = Option<u16>, Query, description = "1 to 1000, 100 by default"),
        ("cursor" = Option<String>, Query, description = "Where the page begins"),
    ),
    responses((status = 200, body = Page<Object>)))]
pub(crate) async fn list_destination_dead_letters(
    State(app): State<App>,
    member: Member,
    Path(name): Path<String>,
    params: Params,
) -> Answer<Json<Page<Destination>>> {
    let limit = params.limit()?;
    let about = name.clone();
    let list = List::new("/v1/destinations/{name}/dead-letters", Some(member.tenant.no()), &[&about]);
    let after = list.fixed::<16>(params.cursor())?.map(ExportId);
    let page = work(true, move || app.exports().dead_letters(&member.tenant, &name, limit, after)).await??;
    Ok(Json(Page { items: page.items, next_cursor: page.next.map(|next| list.cursor(&next.0)) }))
}

/// What is sent again.
#[derive(Debug, Serialize, ToSchema)]
pub struct DestinationReplayed {
    /// Runs that ended in the range.
    runs: u64,
    /// Rows of theirs that stand at the destination.
    rows: u64,
}

/// Send again what a destination lost
///
/// `{from, to?}`: what runs sent that ended in this time is sent again by the next incremental run, as `update`.
/// Removals are not repeated. 409 while an export to it is under way, and for destinations that take files.
#[utoipa::path(post, path = "/v1/destinations/{name}/replay", tag = "exports", params(("name" = String, Path, description = "Its name")),
    request_body = Object, responses((status = 200, body = DestinationReplayed)))]
pub(crate) async fn replay_destination(
    State(app): State<App>,
    member: Member,
    Path(name): Path<String>,
    Document(body): Document,
) -> Answer<Json<DestinationReplayed>> {
    let mut fields = Fields::of(body);
    let from = match fields.text("from") {
        text if text.is_empty() => None,
        text => Timestamp::parse(&text).map_err(|detail| fields.add("from", Code::Invalid, &detail)).ok(),
    };
    let to = fields.optional_time("to");
    fields.finish()?;
    let (from, to) = (from.unwrap_or_default(), to.unwrap_or(Timestamp(i64::MAX)));
    let replayed =
        work(true, move || app.exports().replay_destination(&member.tenant, &name, from, to)).await??;
    Ok(Json(DestinationReplayed { runs: replayed.runs, rows: replayed.rows }))
}
