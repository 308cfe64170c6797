//! How large segments are: over time, and together.

use axum::Json;
use axum::extract::{Path, State};
use cdp_domain::ids::Position;
use cdp_domain::time::Timestamp;
use cdp_engine::segments::HISTORY_DAYS_MAX;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Member;
use crate::error::Answer;
use crate::params::{Params, refuse};
use crate::{plain, work};

/// Days told where the request does not say how many.
const DAYS_DEFAULT: i64 = 30;

/// A segment's size over time.
#[derive(Serialize, ToSchema)]
pub struct SegmentHistory {
    /// Oldest first; the last is now.
    items: Vec<SegmentSize>,
}

/// How many members there were.
#[derive(Serialize, ToSchema)]
pub struct SegmentSize {
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    size: u64,
}

/// Read a segment's size over time
///
/// At each local midnight of the last days, and now; from when the version that serves began to.
#[utoipa::path(get, path = "/v1/segments/{name}/history", tag = "segments",
    params(
        ("name" = String, Path, description = "Its name"),
        ("days" = Option<u16>, Query, description = "1 to 366, 30 by default"),
        ("min_position" = Option<String>, Query, description = "Wait until this is applied"),
    ),
    responses((status = 200, body = SegmentHistory)))]
pub(crate) async fn segment_history(
    State(_): State<App>,
    member: Member,
    Path(name): Path<String>,
    params: Params,
) -> Answer<Json<SegmentHistory>> {
    let days = match params.get("days") {
        None => DAYS_DEFAULT,
        Some(text) => text
            .parse()
            .ok()
            .filter(|days| (1..=HISTORY_DAYS_MAX).contains(days))
            .ok_or_else(|| refuse("days", &format!("is a number from 1 to {HISTORY_DAYS_MAX}")))?,
    };
    params.wait(&member.tenant).await?;
    let sizes = work(true, move || member.tenant.segment_history(&name, days)).await??;
    let items = sizes.into_iter().map(|size| SegmentSize { at: size.at, size: size.size }).collect();
    Ok(Json(SegmentHistory { items }))
}

/// Two segments together.
#[derive(Serialize, ToSchema)]
pub struct SegmentOverlap {
    /// Members of the segment.
    size: u64,
    /// Members of the other.
    other_size: u64,
    /// Members of both.
    both: u64,
    /// Members of at least one.
    either: u64,
    /// Members of the segment that are not members of the other.
    only: u64,
    /// Members of the other that are not members of the segment.
    only_other: u64,
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    position: Position,
}

/// Compare two segments
#[utoipa::path(get, path = "/v1/segments/{name}/overlap", tag = "segments",
    params(
        ("name" = String, Path, description = "Its name"),
        ("with" = String, Query, description = "The other segment's name"),
        ("min_position" = Option<String>, Query, description = "Wait until this is applied"),
    ),
    responses((status = 200, body = SegmentOverlap)))]
pub(crate) async fn segment_overlap(
    State(_): State<App>,
    member: Member,
    Path(name): Path<String>,
    params: Params,
) -> Answer<Json<SegmentOverlap>> {
    let with = params.get("with").map(str::to_owned);
    let with = with.ok_or_else(|| refuse("with", "is required: the other segment's name"))?;
    params.wait(&member.tenant).await?;
    let overlap = work(true, move || member.tenant.overlap(&name, &with)).await??;
    Ok(Json(SegmentOverlap {
        size: overlap.first,
        other_size: overlap.second,
        both: overlap.both,
        either: overlap.either,
        only: overlap.first - overlap.both,
        only_other: overlap.second - overlap.both,
        position: overlap.position,
    }))
}
