//! `GET /v1/exports/{id}/withheld`: who is not in an export, and why.

use axum::Json;
use axum::extract::{Path, State};
use cdp_domain::ids::FragmentId;
use serde::Serialize;
use utoipa::ToSchema;

use super::parse;
use crate::app::App;
use crate::auth::Member;
use crate::cursor::List;
use crate::error::Answer;
use crate::params::Params;
use crate::routes::page::Page;
use crate::{plain, work};

/// A member without a row.
#[derive(Debug, Serialize, ToSchema)]
pub struct WithheldMember {
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    profile_id: FragmentId,
    /// `consent_withdrawn`, `no_contact_point`, …
    reason: &'static str,
}

/// List who is not in an export, and why
///
/// In the order in which they were found. Whoever was joined with another or erased meanwhile is only counted.
#[utoipa::path(get, path = "/v1/exports/{id}/withheld", tag = "exports",
    params(
        ("id" = String, Path, description = "`exp_…`"),
        ("limit" = Option<u16>, Query, description = "1 to 1000, 100 by default"),
        ("cursor" = Option<String>, Query, description = "Where the page begins"),
    ),
    responses((status = 200, body = Page<WithheldMember>)))]
pub(crate) async fn list_withheld(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
    params: Params,
) -> Answer<Json<Page<WithheldMember>>> {
    let (id, limit) = (parse(&id)?, params.limit()?);
    let about = id.to_string();
    let list = List::new("/v1/exports/{id}/withheld", Some(member.tenant.no()), &[&about]);
    let from = list.fixed::<8>(params.cursor())?.map_or(0, u64::from_be_bytes);
    let page = work(true, move || app.exports().withheld(&member.tenant, id, limit, from)).await??;
    let next_cursor = page.next.map(|next| list.cursor(&next.to_be_bytes()));
    let shape = |(profile_id, reason)| WithheldMember { profile_id, reason };
    Ok(Json(Page { items: page.items.into_iter().map(shape).collect(), next_cursor }))
}
