//! `GET /v1/catalogue/types`: event types, and one of them with a sample.

use axum::Json;
use axum::extract::{Path, State};
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_engine::catalogue;
use cdp_engine::registry::Scope;
use compact_str::CompactString;
use serde::Serialize;
use utoipa::ToSchema;

use super::schema::Schema;
use crate::app::App;
use crate::auth::Member;
use crate::error::Answer;
use crate::params::Params;
use crate::plain::Plain;
use crate::routes::page::{Page, of_names};
use crate::{plain, work};

/// An event type.
#[derive(Serialize, ToSchema)]
pub struct EventType {
    /// Its name.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    kind: CompactString,
    /// Events of it that were accepted and processed.
    volume: u64,
    /// The time of the earliest; null before the first came.
    #[serde(serialize_with = "plain::maybe")]
    #[schema(value_type = Option<String>, format = DateTime)]
    first_seen: Option<Timestamp>,
    /// The time of the latest.
    #[serde(serialize_with = "plain::maybe")]
    #[schema(value_type = Option<String>, format = DateTime)]
    last_seen: Option<Timestamp>,
    /// When the newest was received.
    #[serde(serialize_with = "plain::maybe")]
    #[schema(value_type = Option<String>, format = DateTime)]
    last_received_at: Option<Timestamp>,
    /// Its properties, by name.
    properties: Vec<Field>,
    /// There are other properties, which are not listed.
    more_properties: bool,
    /// The traits that it writes, by name.
    traits: Vec<Field>,
    /// There are other traits, which are not listed.
    more_traits: bool,
    /// What it should carry; null without a schema.
    schema: Option<Schema>,
}

/// A property or trait that was seen.
#[derive(Serialize, ToSchema)]
#[schema(as = SeenField)]
pub struct Field {
    /// Its name.
    #[schema(value_type = String)]
    name: CompactString,
    /// The JSON types of its values.
    #[schema(value_type = Vec<String>)]
    types: Vec<&'static str>,
}

/// An event type with a sample.
#[derive(Serialize, ToSchema)]
pub struct EventTypeDetail {
    #[serde(flatten)]
    of: EventType,
    /// The newest event as sent, less what its schema left out; null where it was erased. For keys without the scope
    /// `read` every value is replaced by the name of its JSON type.
    #[serde(serialize_with = "sample")]
    #[schema(value_type = Option<Object>)]
    sample: Option<Value>,
    /// Whether the sample's values are hidden.
    sample_hidden: bool,
}

fn sample<S: serde::Serializer>(sample: &Option<Value>, to: S) -> Result<S::Ok, S::Error> {
    sample.as_ref().map(Plain).serialize(to)
}

fn shape(of: catalogue::TypeView) -> EventType {
    let fields = |all: Vec<catalogue::Field>| {
        all.into_iter().map(|field| Field { name: field.name, types: field.types }).collect()
    };
    EventType {
        kind: of.kind,
        volume: of.volume,
        first_seen: of.first_seen,
        last_seen: of.last_seen,
        last_received_at: of.last_received,
        properties: fields(of.properties),
        more_properties: of.more_properties,
        traits: fields(of.traits),
        more_traits: of.more_traits,
        schema: of.schema.map(Schema::from),
    }
}

/// Event types
///
/// By name: every type that was seen, until there are as many as are listed, and every type that has a schema.
#[utoipa::path(get, path = "/v1/catalogue/types", tag = "catalogue",
    params(
        ("limit" = Option<u16>, Query, description = "1 to 1000, 100 by default"),
        ("cursor" = Option<String>, Query, description = "Where the page begins"),
        ("min_position" = Option<String>, Query, description = "Wait until this is applied"),
    ),
    responses((status = 200, body = Page<EventType>)))]
pub(crate) async fn list_event_types(
    State(_): State<App>,
    member: Member,
    params: Params,
) -> Answer<Json<Page<EventType>>> {
    params.wait(&member.tenant).await?;
    let list = ("/v1/catalogue/types", Some(member.tenant.no()));
    let tenant = member.tenant.clone();
    let all = work(true, move || tenant.event_types()).await?;
    of_names(&params, list, all, |of| of.kind.to_string(), shape).map(Json)
}

/// An event type, with a sample
#[utoipa::path(get, path = "/v1/catalogue/types/{type}", tag = "catalogue",
    params(
        ("type" = String, Path, description = "Its name, percent-encoded"),
        ("min_position" = Option<String>, Query, description = "Wait until this is applied"),
    ),
    responses((status = 200, body = EventTypeDetail)))]
pub(crate) async fn get_event_type(
    State(_): State<App>,
    member: Member,
    Path(kind): Path<String>,
    params: Params,
) -> Answer<Json<EventTypeDetail>> {
    params.wait(&member.tenant).await?;
    let tenant = member.tenant.clone();
    let (of, sample) = work(true, move || tenant.event_type(&kind)).await??;
    let sample_hidden = !member.scopes.allow(Scope::Read);
    let sample = if sample_hidden { sample.as_ref().map(catalogue::shape) } else { sample };
    Ok(Json(EventTypeDetail { of: shape(of), sample, sample_hidden }))
}
