//! `GET /v1/events?status=dead_letter`: events that could not be processed.

use axum::Json;
use axum::extract::State;
use cdp_domain::ids::Position;
use cdp_domain::time::Timestamp;
use compact_str::CompactString;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Member;
use crate::cursor::List;
use crate::error::Answer;
use crate::params::{Params, refuse};
use crate::routes::page::Page;
use crate::{plain, work};

/// An event that is kept out of state.
#[derive(Serialize, ToSchema)]
pub struct DeadLetter {
    #[schema(value_type = String)]
    id: CompactString,
    #[schema(value_type = String)]
    source: CompactString,
    /// `dead_letter`, or `dropped` when a transformer dropped it on purpose.
    status: &'static str,
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    position: Position,
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String, format = DateTime)]
    received_at: Timestamp,
    /// The plugin that failed on it; null when it was the event's own content.
    plugin: Option<String>,
    /// Why.
    reason: String,
}

/// Events that could not be processed
///
/// Oldest first. Nothing is lost: they stay in the journal and can be replayed once the cause is gone.
#[utoipa::path(get, path = "/v1/events", tag = "events",
    params(
        ("status" = String, Query, description = "`dead_letter`"),
        ("limit" = Option<u16>, Query, description = "1 to 1000, 100 by default"),
        ("cursor" = Option<String>, Query, description = "Where the page begins"),
        ("min_position" = Option<String>, Query, description = "Wait until this is applied"),
    ),
    responses((status = 200, body = Page<DeadLetter>)))]
pub(crate) async fn list_events(
    State(_): State<App>,
    member: Member,
    params: Params,
) -> Answer<Json<Page<DeadLetter>>> {
    if params.get("status") != Some("dead_letter") {
        return Err(refuse(
            "status",
            "must be `dead_letter`: other events are found by their id, or through a profile",
        ));
    }
    let limit = params.limit()?;
    let list = List::new("/v1/events", Some(member.tenant.no()), &["dead_letter"]);
    let after = list.fixed::<8>(params.cursor())?.map(|place| Position(u64::from_be_bytes(place)));
    params.wait(&member.tenant).await?;
    let page = work(true, move || member.tenant.dead_letters(limit, after)).await??;
    let items = page.items.into_iter().map(|letter| DeadLetter {
        id: letter.id,
        source: letter.source,
        status: if letter.dropped { "dropped" } else { "dead_letter" },
        position: letter.position,
        received_at: letter.received_at,
        plugin: Some(letter.plugin).filter(|plugin| !plugin.is_empty()),
        reason: letter.reason,
    });
    let next_cursor = page.next.map(|next| list.cursor(&next.0.to_be_bytes()));
    Ok(Json(Page { items: items.collect(), next_cursor }))
}
