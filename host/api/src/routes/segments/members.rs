//! `GET /v1/segments/{name}/members`: who belongs to it now.

use axum::Json;
use axum::extract::{Path, State};
use cdp_domain::ids::{FragmentId, Ordinal};
use cdp_domain::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Member;
use crate::cursor::List;
use crate::error::Answer;
use crate::params::Params;
use crate::routes::page::Page;
use crate::{plain, work};

/// A member.
#[derive(Serialize, ToSchema)]
pub struct SegmentMember {
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    profile_id: FragmentId,
}

/// Members of a segment
///
/// In a stable order. With `as_of` those who belonged at that instant, worked out from the events up to it.
#[utoipa::path(get, path = "/v1/segments/{name}/members", tag = "segments",
    params(
        ("name" = String, Path, description = "Its name"),
        ("limit" = Option<u16>, Query, description = "1 to 1000, 100 by default"),
        ("cursor" = Option<String>, Query, description = "Where the page begins"),
        ("as_of" = Option<String>, Query, description = "Who belonged at this instant of the past, by today's rule"),
        ("min_position" = Option<String>, Query, description = "Wait until this is applied"),
    ),
    responses((status = 200, body = Page<SegmentMember>)))]
pub(crate) async fn list_members(
    State(_): State<App>,
    member: Member,
    Path(name): Path<String>,
    params: Params,
) -> Answer<Json<Page<SegmentMember>>> {
    let limit = params.limit()?;
    if let Some(at) = params.as_of(&member.tenant)? {
        return members_as_of(&member, name, &params, at).await;
    }
    let list = List::new("/v1/segments/{name}/members", Some(member.tenant.no()), &[&name]);
    let after = list.fixed::<4>(params.cursor())?.map(|place| Ordinal(u32::from_be_bytes(place)));
    params.wait(&member.tenant).await?;
    let page = work(true, move || member.tenant.members(&name, limit, after)).await??;
    let items = page.items.into_iter().map(|profile_id| SegmentMember { profile_id }).collect();
    let next_cursor = page.next.map(|next| list.cursor(&next.0.to_be_bytes()));
    Ok(Json(Page { items, next_cursor }))
}

async fn members_as_of(
    member: &Member,
    name: String,
    params: &Params,
    at: Timestamp,
) -> Answer<Json<Page<SegmentMember>>> {
    let limit = params.limit()?;
    let list = List::new(
        "/v1/segments/{name}/members",
        Some(member.tenant.no()),
        &[&name, "as_of", &at.to_string()],
    );
    let after = list.fixed::<16>(params.cursor())?.map(FragmentId);
    params.wait(&member.tenant).await?;
    let tenant = member.tenant.clone();
    let (_, page) = work(true, move || tenant.members_as_of(&name, at, limit, after)).await??;
    let items = page.items.into_iter().map(|profile_id| SegmentMember { profile_id }).collect();
    let next_cursor = page.next.map(|next| list.cursor(&next.0));
    Ok(Json(Page { items, next_cursor }))
}
