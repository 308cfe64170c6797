//! Segments: rules over profiles, and who satisfies them now.

pub mod changes;
pub mod explain;
pub mod members;
pub mod preview;
pub mod sizes;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use cdp_domain::ids::{JobId, Position};
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_engine::segments::SegmentInfo;
use compact_str::CompactString;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::attributes::{Defined, defined};
use super::page::{self, Page};
use crate::app::App;
use crate::auth::Member;
use crate::body::Document;
use crate::error::Answer;
use crate::params::Params;
use crate::{plain, work};

/// A segment.
#[derive(Serialize, ToSchema)]
pub struct Segment {
    #[schema(value_type = String)]
    name: CompactString,
    title: String,
    /// The newest rule, as it was defined.
    #[serde(serialize_with = "plain::value")]
    #[schema(value_type = Object)]
    rule: Value,
    /// How many members the version that serves has.
    size: u64,
    /// The last record that is in it.
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    position: Position,
    /// The time it stands at.
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
    /// Grows with every change of the rule.
    version: u32,
    /// `active`; `building` while the newest version is not served yet; `held` when it waits to be published.
    status: &'static str,
    /// The job that finds its first members, while it does.
    #[serde(serialize_with = "plain::maybe")]
    #[schema(value_type = Option<String>)]
    backfill_job: Option<JobId>,
}

impl From<SegmentInfo> for Segment {
    fn from(info: SegmentInfo) -> Self {
        let SegmentInfo { name, title, rule, size, position, as_of, version, status, backfill_job } = info;
        Self { name, title, rule, size, position, as_of, version, status, backfill_job }
    }
}

/// Define a segment
///
/// The job finds its first members. Defining the same again changes nothing. The version before serves until then; with
/// `"publish": "manually"` until it is told to make way, and with `"announce": true` those who enter and leave by the new
/// version are reported as changes.
#[utoipa::path(put, path = "/v1/segments/{name}", tag = "segments", params(("name" = String, Path, description = "Its name")),
    request_body = Object, responses((status = 201, body = Defined), (status = 200, body = Defined)))]
pub(crate) async fn put_segment(
    State(_): State<App>,
    member: Member,
    Path(name): Path<String>,
    Document(body): Document,
) -> Answer<Response> {
    let put = member.tenant.put_segment(&name, &body).await?;
    Ok(defined(name, put))
}

/// List segments
#[utoipa::path(get, path = "/v1/segments", tag = "segments",
    params(
        ("limit" = Option<u16>, Query, description = "1 to 1000, 100 by default"),
        ("cursor" = Option<String>, Query, description = "Where the page begins"),
    ),
    responses((status = 200, body = Page<Segment>)))]
pub(crate) async fn list_segments(
    State(_): State<App>,
    member: Member,
    params: Params,
) -> Answer<Json<Page<Segment>>> {
    params.wait(&member.tenant).await?;
    let list = ("/v1/segments", Some(member.tenant.no()));
    let all = work(true, move || member.tenant.segments()).await?;
    Ok(Json(page::of_names(&params, list, all, |info| info.name.to_string(), Segment::from)?))
}

/// Read a segment
#[utoipa::path(get, path = "/v1/segments/{name}", tag = "segments",
    params(
        ("name" = String, Path, description = "Its name"),
        ("as_of" = Option<String>, Query, description = "The size at this instant of the past, by today's rule"),
        ("min_position" = Option<String>, Query, description = "Wait until this is applied"),
    ),
    responses((status = 200, body = Segment)))]
pub(crate) async fn get_segment(
    State(_): State<App>,
    member: Member,
    Path(name): Path<String>,
    params: Params,
) -> Answer<Json<Segment>> {
    params.wait(&member.tenant).await?;
    let as_of = params.as_of(&member.tenant)?;
    let info = work(true, move || -> cdp_engine::Result<SegmentInfo> {
        let mut info = member.tenant.segment(&name)?;
        if let Some(at) = as_of {
            info.size = member.tenant.members_as_of(&name, at, 0, None)?.0;
            info.as_of = at;
        }
        Ok(info)
    })
    .await??;
    Ok(Json(info.into()))
}

/// Publish a segment's new version
///
/// For one that was defined with `"publish": "manually"` and is built: from here on it serves. 409 when none waits.
#[utoipa::path(post, path = "/v1/segments/{name}/publish", tag = "segments", params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = Segment)))]
pub(crate) async fn publish_segment(
    State(_): State<App>,
    member: Member,
    Path(name): Path<String>,
) -> Answer<Json<Segment>> {
    member.tenant.publish_segment(&name).await?;
    let info = work(true, move || member.tenant.segment(&name)).await??;
    Ok(Json(info.into()))
}

/// Remove a segment
///
/// 409 while another segment refers to it.
#[utoipa::path(delete, path = "/v1/segments/{name}", tag = "segments", params(("name" = String, Path, description = "Its name")),
    responses((status = 204, description = "Removed")))]
pub(crate) async fn delete_segment(
    State(_): State<App>,
    member: Member,
    Path(name): Path<String>,
) -> Answer<StatusCode> {
    member.tenant.delete_segment(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}
