//! `GET /v1/events?status=dead_letter`: events that are kept out of state.

use axum::Json;
use axum::extract::State;
use cdp_domain::ids::Position;
use cdp_domain::problem::Problem;
use cdp_domain::time::Timestamp;
use cdp_engine::dead_letters::{self, Code, Filter, Kept};
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
    /// The event type; null when it cannot be read.
    #[serde(rename = "type")]
    #[schema(value_type = Option<String>)]
    kind: Option<CompactString>,
    /// `dead_letter`, `dropped` when a transformer dropped it on purpose, `suppressed` when its person was erased.
    status: &'static str,
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    position: Position,
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String, format = DateTime)]
    received_at: Timestamp,
    /// Why, as a stable word such as `plugin_rejected` or `schema_violation`.
    code: &'static str,
    /// The plugin that failed on it, with its digest; null when it was the event's own content.
    plugin: Option<String>,
    /// Why, in one sentence.
    reason: String,
    /// The places at fault, where places are.
    #[schema(value_type = Vec<Object>)]
    errors: Vec<Problem>,
}

impl From<dead_letters::DeadLetter> for DeadLetter {
    fn from(letter: dead_letters::DeadLetter) -> Self {
        Self {
            id: letter.id,
            source: letter.source,
            kind: Some(letter.kind).filter(|kind| !kind.is_empty()),
            status: letter.code.kept().as_str(),
            position: letter.position,
            received_at: letter.received_at,
            code: letter.code.as_str(),
            plugin: Some(letter.plugin).filter(|plugin| !plugin.is_empty()),
            reason: letter.reason,
            errors: letter.problems,
        }
    }
}

/// Events that are kept out of state
///
/// Oldest first. Nothing is lost: they stay in the journal and can be replayed once the cause is gone.
/// A page may hold fewer items than asked for, or none, and still have a cursor: then the search goes on there.
#[utoipa::path(get, path = "/v1/events", tag = "events",
    params(
        ("status" = String, Query, description = "`dead_letter`, `dropped` or `suppressed`"),
        ("type" = Option<String>, Query, description = "Of this event type"),
        ("code" = Option<String>, Query, description = "Kept out for this reason, such as `plugin_rejected`"),
        ("plugin" = Option<String>, Query, description = "Kept out by this plugin: its name, or name and digest"),
        ("source" = Option<String>, Query, description = "From this source"),
        ("id" = Option<String>, Query, description = "With this id"),
        ("from" = Option<String>, Query, description = "Received at this time or later"),
        ("to" = Option<String>, Query, description = "Received before this time"),
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
    let filter = filter(&params)?;
    let limit = params.limit()?;
    let list = List::new("/v1/events", Some(member.tenant.no()), &[&format!("{filter:?}")]);
    let after = list.fixed::<8>(params.cursor())?.map(|place| Position(u64::from_be_bytes(place)));
    params.wait(&member.tenant).await?;
    let page = work(true, move || member.tenant.dead_letters(&filter, limit, after)).await??;
    let next_cursor = page.next.map(|next| list.cursor(&next.0.to_be_bytes()));
    Ok(Json(Page { items: page.items.into_iter().map(DeadLetter::from).collect(), next_cursor }))
}

fn filter(params: &Params) -> Answer<Filter> {
    let kept = params.get("status").and_then(Kept::find).ok_or_else(|| {
        refuse(
            "status",
            "must be `dead_letter`, `dropped` or `suppressed`: other events are found by their id, or through a profile",
        )
    })?;
    let code = match params.get("code") {
        Some(word) => Some(Code::find(word).ok_or_else(|| refuse("code", "is not a reason that there is"))?),
        None => None,
    };
    let text = |name: &str| params.get(name).map(CompactString::from);
    let time = |name: &str| match params.get(name) {
        Some(text) => Timestamp::parse(text).map(Some).map_err(|detail| refuse(name, &detail)),
        None => Ok(None),
    };
    Ok(Filter {
        kept: Some(kept),
        code,
        plugin: text("plugin"),
        kind: text("type"),
        source: text("source"),
        id: text("id"),
        from: time("from")?,
        to: time("to")?,
    })
}
