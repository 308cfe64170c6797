//! `/v1/retention`: how long events are kept.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use cdp_engine::retention::RetentionView;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Member;
use crate::body::Document;
use crate::error::Answer;
use crate::params::Params;

/// How long events of a type are kept.
#[derive(Serialize, ToSchema)]
pub struct RetentionRule {
    /// The event type as it is sent, or `*` for all that have no rule of their own.
    #[serde(rename = "type")]
    kind: String,
    /// Days of 24 hours after the event's time: 1 to 36,500.
    days: u32,
    /// `decayed`: what the events amounted to goes with them. `frozen`: it stays.
    derived: String,
}

/// The rules.
#[derive(Serialize, ToSchema)]
pub struct RetentionRules {
    /// At most 200; events of types without one are kept for ever.
    rules: Vec<RetentionRule>,
}

/// How long events are kept, and how far that is carried out.
#[derive(Serialize, ToSchema)]
pub struct Retention {
    #[serde(flatten)]
    rules: RetentionRules,
    /// When the rules were changed last.
    #[schema(format = DateTime)]
    set_at: Option<String>,
    /// Every event whose days were over at this instant is gone. Null until the rules were carried out for the first time.
    #[schema(format = DateTime)]
    swept_at: Option<String>,
    /// Events that are gone by their age, ever.
    expired: u64,
}

/// A count that began.
#[derive(Serialize, ToSchema)]
pub struct RetentionCounting {
    /// The job whose result is `{as_of, events, rules: [{type, days, derived, events, oldest}]}`.
    job: String,
}

impl From<RetentionView> for Retention {
    fn from(view: RetentionView) -> Self {
        let RetentionView { retention, expired } = view;
        let rules = retention.rules.into_iter().map(|(kind, keep)| RetentionRule {
            kind: kind.into(),
            days: keep.days,
            derived: keep.derived.as_str().to_owned(),
        });
        Self {
            rules: RetentionRules { rules: rules.collect() },
            set_at: retention.set_at.map(|at| at.to_string()),
            swept_at: retention.swept_at.map(|at| at.to_string()),
            expired,
        }
    }
}

/// Get how long events are kept
#[utoipa::path(get, path = "/v1/retention", tag = "privacy", responses((status = 200, body = Retention)))]
pub(crate) async fn get_retention(State(_): State<App>, member: Member) -> Answer<Json<Retention>> {
    Ok(Json(member.tenant.retention().into()))
}

/// Say how long events are kept
///
/// Takes the place of the rules there were. What is over by the new ones is removed at once, by a job of the kind
/// `retention`, and from then on once a day. What is gone stays gone, whatever later rules say.
/// With `dry_run=true` nothing is changed, and the answer is 202 with a job whose result counts, rule by rule, the events
/// whose days would be over.
#[utoipa::path(put, path = "/v1/retention", tag = "privacy", request_body = RetentionRules,
    params(("dry_run" = Option<bool>, Query, description = "Only count what it would remove")),
    responses((status = 200, body = Retention), (status = 202, body = RetentionCounting)))]
pub(crate) async fn put_retention(
    State(_): State<App>,
    member: Member,
    params: Params,
    Document(body): Document,
) -> Answer<Response> {
    if params.flag("dry_run")? {
        let job = member.tenant.try_retention(&body)?.to_string();
        return Ok((StatusCode::ACCEPTED, Json(RetentionCounting { job })).into_response());
    }
    Ok(Json(Retention::from(member.tenant.put_retention(&body).await?)).into_response())
}
