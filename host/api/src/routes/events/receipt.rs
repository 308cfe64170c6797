//! `GET /v1/events/{id}`: what became of an event.

use axum::Json;
use axum::extract::{Path, State};
use cdp_domain::ids::{FragmentId, Position};
use cdp_domain::time::Timestamp;
use cdp_engine::receipts;
use compact_str::CompactString;
use serde::Serialize;
use utoipa::ToSchema;

use super::stages::{Stage, stage};
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
    /// The event type; null when the record cannot be read any more.
    #[serde(rename = "type")]
    #[schema(value_type = Option<String>)]
    kind: Option<CompactString>,
    /// When it happened; null when the record cannot be read any more.
    #[serde(serialize_with = "plain::maybe")]
    #[schema(value_type = Option<String>, format = DateTime)]
    time: Option<Timestamp>,
    /// `accepted`, `applied`, `dropped`, `dead_letter`, `suppressed` or `expired`.
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
    /// Why it is kept out of state, as a stable word.
    code: Option<&'static str>,
    /// The same in one sentence.
    reason: Option<String>,
    /// The plugin that said so.
    plugin: Option<String>,
    /// Every stage that it passed, in order.
    stages: Vec<Stage>,
}

impl From<receipts::Receipt> for Receipt {
    fn from(receipt: receipts::Receipt) -> Self {
        Self {
            id: receipt.id,
            source: receipt.source,
            kind: receipt.kind,
            time: receipt.time,
            status: receipt.status,
            position: receipt.position,
            received_at: receipt.received_at,
            profile_id: receipt.profile_id,
            code: receipt.code.map(|code| code.as_str()),
            reason: receipt.reason,
            plugin: receipt.plugin,
            stages: receipt.stages.into_iter().map(stage).collect(),
        }
    }
}

/// What became of an event
///
/// Its id is unique within a source; the source is the key's own when none is named. Every event that was accepted has a
/// receipt, for as long as it is kept; an event that a transformer made has that of the event it was made of. Repeats and conflicts belong to no receipt: their senders were told, and metrics
/// count them.
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
    Ok(Json(receipt.into()))
}
