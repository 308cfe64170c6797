//! `GET /v1/journal/events`: events as they are taken in.

use axum::Json;
use axum::extract::State;
use cdp_domain::ids::Position;
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Member;
use crate::error::Answer;
use crate::params::{Params, refuse};
use crate::{plain, work};

/// An event as it was taken in.
#[derive(Serialize, ToSchema)]
pub struct TakenEvent {
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    position: Position,
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String, format = DateTime)]
    received_at: Timestamp,
    /// The event as it is stored.
    #[serde(serialize_with = "plain::value")]
    #[schema(value_type = Object)]
    event: Value,
}

/// Events in the order in which they were taken in.
#[derive(Serialize, ToSchema)]
pub struct TakenEvents {
    items: Vec<TakenEvent>,
    /// Give it as `after` to go on.
    next: String,
}

/// Watch events as they are taken in
///
/// Those behind the place of the journal that `after` names, oldest first; without it none, and where to begin. Ask again
/// with `next` for what came since.
#[utoipa::path(get, path = "/v1/journal/events", tag = "events",
    params(
        ("after" = Option<String>, Query, description = "`next` of an answer before, or a position"),
        ("limit" = Option<u16>, Query, description = "1 to 1000, 100 by default"),
    ),
    responses((status = 200, body = TakenEvents)))]
pub(crate) async fn list_taken_events(
    State(_): State<App>,
    member: Member,
    params: Params,
) -> Answer<Json<TakenEvents>> {
    let limit = params.limit()?;
    let after = params.get("after").map(|text| text.parse::<Position>());
    let after = after.transpose().map_err(|_| refuse("after", "is not a position"))?;
    let (items, next) = work(true, move || member.tenant.taken_since(after, limit)).await??;
    let items = items.into_iter().map(|one| TakenEvent {
        position: one.position,
        received_at: one.received_at,
        event: one.event,
    });
    Ok(Json(TakenEvents { items: items.collect(), next: next.to_string() }))
}
