//! `GET /v1/profiles/{id}/events`: what happened, newest first.

use axum::Json;
use axum::extract::{Path, State};
use cdp_domain::ids::FragmentId;
use cdp_domain::value::{Object, Value};
use cdp_engine::profiles;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Member;
use crate::cursor::List;
use crate::error::{Answer, Failure};
use crate::params::Params;
use crate::routes::page::Page;
use crate::{plain, work};

/// An event of a person: as it was sent, with `time`, `received_at` and `position` filled in.
#[derive(Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Object)]
pub struct TimelineEvent(#[serde(serialize_with = "plain::value")] Value);

impl From<profiles::TimelineEvent> for TimelineEvent {
    fn from(seen: profiles::TimelineEvent) -> Self {
        let mut event = match seen.event {
            Value::Object(event) => event,
            _ => Object::default(),
        };
        let mut put = |name: &str, text: String| event.insert(name, text.as_str().into());
        put("time", seen.time.to_string());
        put("received_at", seen.received_at.to_string());
        put("position", seen.position.to_string());
        Self(Value::Object(event))
    }
}

/// A person's events
///
/// Newest first, by the time at which they happened.
#[utoipa::path(get, path = "/v1/profiles/{id}/events", tag = "profiles",
    params(
        ("id" = String, Path, description = "`prf_…`"),
        ("limit" = Option<u16>, Query, description = "1 to 1000, 100 by default"),
        ("cursor" = Option<String>, Query, description = "Where the page begins"),
        ("min_position" = Option<String>, Query, description = "Wait until this is applied"),
    ),
    responses((status = 200, body = Page<TimelineEvent>)))]
pub(crate) async fn list_profile_events(
    State(_): State<App>,
    member: Member,
    Path(id): Path<String>,
    params: Params,
) -> Answer<Json<Page<TimelineEvent>>> {
    let fragment: FragmentId = id.parse().map_err(|_| Failure::not_found("profile"))?;
    let limit = params.limit()?;
    let list = List::new("/v1/profiles/{id}/events", Some(member.tenant.no()), &[&id]);
    let before = list.fixed::<16>(params.cursor())?;
    params.wait(&member.tenant).await?;
    let page = work(true, move || member.tenant.timeline(fragment, limit, before)).await??;
    let items = page.items.into_iter().map(TimelineEvent::from);
    let next_cursor = page.next.map(|next| list.cursor(&next));
    Ok(Json(Page { items: items.collect(), next_cursor }))
}
