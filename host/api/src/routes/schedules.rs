//! Schedules: audiences that go by themselves.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::page::{self, Page};
use crate::app::App;
use crate::auth::Member;
use crate::body::Document;
use crate::error::Answer;
use crate::params::Params;

/// A schedule: `{name, cron, time_zone, export, overlap, catch_up, next_at, last}`.
type Schedule = serde_json::Value;

/// Set a schedule up
///
/// `{cron, time_zone?, export, overlap?: "skip"|"queue", catch_up?: true}`: five fields, read in the zone (the tenant's where
/// none is given); `export` is a request as for `POST /v1/exports`. Instants count from now on.
#[utoipa::path(put, path = "/v1/schedules/{name}", tag = "exports", params(("name" = String, Path, description = "Its name")),
    request_body = Object, responses((status = 201, body = Object), (status = 200, body = Object)))]
pub(crate) async fn put_schedule(
    State(app): State<App>,
    member: Member,
    Path(name): Path<String>,
    Document(body): Document,
) -> Answer<Response> {
    let put = app.exports().put_schedule(&member.tenant, &name, &body).await?;
    let status = if put.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(app.exports().schedule(&member.tenant, &name)?)).into_response())
}

/// List schedules
#[utoipa::path(get, path = "/v1/schedules", tag = "exports",
    params(
        ("limit" = Option<u16>, Query, description = "1 to 1000, 100 by default"),
        ("cursor" = Option<String>, Query, description = "Where the page begins"),
    ),
    responses((status = 200, body = Page<Object>)))]
pub(crate) async fn list_schedules(
    State(app): State<App>,
    member: Member,
    params: Params,
) -> Answer<Json<Page<Schedule>>> {
    let list = ("/v1/schedules", Some(member.tenant.no()));
    let all = app.exports().schedules(&member.tenant);
    let name = |one: &Schedule| one["name"].as_str().unwrap_or_default().to_owned();
    Ok(Json(page::of_names(&params, list, all, name, |one| one)?))
}

/// Read a schedule
#[utoipa::path(get, path = "/v1/schedules/{name}", tag = "exports", params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = Object)))]
pub(crate) async fn get_schedule(
    State(app): State<App>,
    member: Member,
    Path(name): Path<String>,
) -> Answer<Json<Schedule>> {
    Ok(Json(app.exports().schedule(&member.tenant, &name)?))
}

/// Remove a schedule
///
/// A run that began goes on.
#[utoipa::path(delete, path = "/v1/schedules/{name}", tag = "exports", params(("name" = String, Path, description = "Its name")),
    responses((status = 204)))]
pub(crate) async fn delete_schedule(
    State(app): State<App>,
    member: Member,
    Path(name): Path<String>,
) -> Answer<StatusCode> {
    app.exports().delete_schedule(&member.tenant, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
