//! `GET /v1/segments/{name}/changes`: who entered and left, exactly once, in order.

use axum::Json;
use axum::extract::{Path, State};
use cdp_domain::ids::{FragmentId, Position};
use cdp_domain::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Member;
use crate::cursor::List;
use crate::error::{Answer, Code, Failure};
use crate::params::Params;
use crate::routes::page::Page;
use crate::{plain, work};

/// Somebody entered or left.
#[derive(Serialize, ToSchema)]
pub struct SegmentChange {
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    profile_id: FragmentId,
    /// `entered` or `left`.
    change: &'static str,
    /// The instant.
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The record after which it happened.
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    position: Position,
    /// `event`, `time`, `merge` or `split`: a merge or a split moved events in or out.
    cause: &'static str,
}

/// Who entered and left a segment
///
/// Every change once, in order. Keep the last cursor and come back with it for what is new.
#[utoipa::path(get, path = "/v1/segments/{name}/changes", tag = "segments",
    params(
        ("name" = String, Path, description = "Its name"),
        ("limit" = Option<u16>, Query, description = "1 to 1000, 100 by default"),
        ("cursor" = Option<String>, Query, description = "Where the page begins"),
        ("min_position" = Option<String>, Query, description = "Wait until this is applied"),
    ),
    responses((status = 200, body = Page<SegmentChange>)))]
pub(crate) async fn list_changes(
    State(_): State<App>,
    member: Member,
    Path(name): Path<String>,
    params: Params,
) -> Answer<Json<Page<SegmentChange>>> {
    let limit = params.limit()?;
    let list = List::new("/v1/segments/{name}/changes", Some(member.tenant.no()), &[&name]);
    let after = list.fixed::<12>(params.cursor())?.map(place).transpose()?;
    params.wait(&member.tenant).await?;
    let page = work(true, move || member.tenant.changes(&name, limit, after)).await??;
    let items = page.items.into_iter().map(|moved| SegmentChange {
        profile_id: moved.profile_id,
        change: moved.change,
        at: moved.at,
        position: moved.position,
        cause: moved.cause,
    });
    let next_cursor = page.next.map(|(position, n)| {
        let mut place = position.0.to_be_bytes().to_vec();
        place.extend(n.to_be_bytes());
        list.cursor(&place)
    });
    Ok(Json(Page { items: items.collect(), next_cursor }))
}

fn place(bytes: [u8; 12]) -> Answer<(Position, u32)> {
    let bad = || Failure::new(Code::InvalidCursor, "the cursor is not one of this list");
    let (position, n) = bytes.split_first_chunk::<8>().ok_or_else(bad)?;
    let n = <[u8; 4]>::try_from(n).map_err(|_| bad())?;
    Ok((Position(u64::from_be_bytes(*position)), u32::from_be_bytes(n)))
}
