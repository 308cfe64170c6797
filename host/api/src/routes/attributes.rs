//! Derived attributes: values computed from events.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use cdp_domain::ids::JobId;
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_engine::attributes::{AttributeInfo, Put};
use compact_str::CompactString;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::page::{self, Page};
use crate::app::App;
use crate::auth::Member;
use crate::body::Document;
use crate::error::Answer;
use crate::params::Params;
use crate::plain;

/// An attribute.
#[derive(Serialize, ToSchema)]
pub struct Attribute {
    #[schema(value_type = String)]
    name: CompactString,
    /// Grows with every change of the definition.
    version: u32,
    /// `active`, or `building` while the newest version is not served yet.
    status: &'static str,
    /// What it computes, as it was defined.
    #[serde(serialize_with = "plain::value")]
    #[schema(value_type = Object)]
    definition: Value,
    /// The job that builds it, while it does.
    #[serde(serialize_with = "plain::maybe")]
    #[schema(value_type = Option<String>)]
    backfill_job: Option<JobId>,
    /// When the rankings it reads were measured, which happens every hour; null when it reads none.
    #[serde(serialize_with = "plain::maybe")]
    #[schema(value_type = Option<String>, format = DateTime)]
    measured_at: Option<Timestamp>,
}

impl From<AttributeInfo> for Attribute {
    fn from(info: AttributeInfo) -> Self {
        let AttributeInfo { name, version, definition, status, job, measured_at } = info;
        Self { name, version, definition, status, backfill_job: job, measured_at }
    }
}

/// What a definition came to.
#[derive(Serialize, ToSchema)]
pub struct Defined {
    /// Its name.
    name: String,
    /// Its version.
    version: u32,
    /// The job that adds the past; null when nothing has to be built.
    #[serde(serialize_with = "plain::maybe")]
    #[schema(value_type = Option<String>)]
    backfill_job: Option<JobId>,
}

/// 201 for a new name, 200 for a known one.
pub(crate) fn defined(name: String, put: Put) -> Response {
    let status = if put.created { StatusCode::CREATED } else { StatusCode::OK };
    (status, Json(Defined { name, version: put.version, backfill_job: put.job })).into_response()
}

/// Define an attribute
///
/// In force for new events when this is answered; the job adds the past. Defining the same again changes nothing.
#[utoipa::path(put, path = "/v1/attributes/{name}", tag = "attributes", params(("name" = String, Path, description = "Its name")),
    request_body = Object, responses((status = 201, body = Defined), (status = 200, body = Defined)))]
pub(crate) async fn put_attribute(
    State(_): State<App>,
    member: Member,
    Path(name): Path<String>,
    Document(body): Document,
) -> Answer<Response> {
    let put = member.tenant.put_attribute(&name, &body).await?;
    Ok(defined(name, put))
}

/// List attributes
#[utoipa::path(get, path = "/v1/attributes", tag = "attributes",
    params(
        ("limit" = Option<u16>, Query, description = "1 to 1000, 100 by default"),
        ("cursor" = Option<String>, Query, description = "Where the page begins"),
    ),
    responses((status = 200, body = Page<Attribute>)))]
pub(crate) async fn list_attributes(
    State(_): State<App>,
    member: Member,
    params: Params,
) -> Answer<Json<Page<Attribute>>> {
    params.wait(&member.tenant).await?;
    let list = ("/v1/attributes", Some(member.tenant.no()));
    let page = page::of_names(
        &params,
        list,
        member.tenant.attributes(),
        |info| info.name.to_string(),
        Attribute::from,
    )?;
    Ok(Json(page))
}

/// Read an attribute's definition
#[utoipa::path(get, path = "/v1/attributes/{name}", tag = "attributes", params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = Attribute)))]
pub(crate) async fn get_attribute(
    State(_): State<App>,
    member: Member,
    Path(name): Path<String>,
    params: Params,
) -> Answer<Json<Attribute>> {
    params.wait(&member.tenant).await?;
    Ok(Json(member.tenant.attribute(&name)?.into()))
}

/// Remove an attribute
///
/// 409 while a segment refers to it.
#[utoipa::path(delete, path = "/v1/attributes/{name}", tag = "attributes", params(("name" = String, Path, description = "Its name")),
    responses((status = 204, description = "Removed")))]
pub(crate) async fn delete_attribute(
    State(_): State<App>,
    member: Member,
    Path(name): Path<String>,
) -> Answer<StatusCode> {
    member.tenant.delete_attribute(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A job that was begun.
#[derive(Serialize, ToSchema)]
pub struct RankingJob {
    /// Its id.
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    job: JobId,
}

/// Measure rankings now
///
/// Ranks and percentiles are measured over all profiles every hour; this does it at once. 409 while it is under way.
#[utoipa::path(post, path = "/v1/attributes/rankings", tag = "attributes", responses((status = 202, body = RankingJob)))]
pub(crate) async fn measure_rankings(
    State(_): State<App>,
    member: Member,
) -> Answer<(StatusCode, Json<RankingJob>)> {
    let job = member.tenant.measure_rankings()?;
    Ok((StatusCode::ACCEPTED, Json(RankingJob { job })))
}
