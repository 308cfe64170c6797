//! `GET /v1/events/{id}`: what became of an event.

use axum::Json;
use axum::extract::{Path, State};
use cdp_domain::ids::{FragmentId, Position};
use cdp_domain::time::Timestamp;
use compact_str::CompactString;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Member;
use crate::error::Answer;
use crate::params::Params;
use crate::{plain, work};

/// What became of an event.
#[derive(Serialize, ToSchema)]
pub struct Receipt {
    #[schema(value_type = String)]
    id: CompactString,
    #[schema(value_type = String)]
    source: CompactString,
    /// `accepted`, `applied`, `dropped` or `dead_letter`.
    status: &'static str,
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    position: Position,
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String, format = DateTime)]
    received_at: Timestamp,
    /// Whose it is, once it is applied.
    #[serde(serialize_with = "plain::maybe")]
    #[schema(value_type = Option<String>)]
    profile_id: Option<FragmentId>,
    /// Why it was dropped or could not be processed.
    reason: Option<String>,
    /// The plugin that said so.
    plugin: Option<String>,
}

/// What became of an event
///
/// Its id is unique within a source; the source is the key's own when none is named.
#[utoipa::path(get, path = "/v1/events/{id}", tag = "events",
    params(
        ("id" = String, Path, description = "The event's id, percent-encoded"),
        ("source" = Option<String>, Query, description = "The event's source"),
        ("min_position" = Option<String>, Query, description = "Wait until this is applied"),
    ),
    responses((status = 200, body = Receipt)))]
pub(crate) async fn get_event(
    State(_): State<App>,
    member: Member,
    Path(id): Path<String>,
    params: Params,
) -> Answer<Json<Receipt>> {
    params.wait(&member.tenant).await?;
    let source = params.get("source").map_or(member.source, Into::into);
    let receipt = work(true, move || member.tenant.receipt(&source, &id)).await??;
    Ok(Json(Receipt {
        id: receipt.id,
        source: receipt.source,
        status: receipt.status,
        position: receipt.position,
        received_at: receipt.received_at,
        profile_id: receipt.profile_id,
        reason: receipt.reason,
        plugin: receipt.plugin,
    }))
}
