//! `/v1/catalogue/types/{type}/schema`: what events of a type should carry.

use axum::Json;
use axum::extract::{Path, State};
use cdp_engine::catalogue;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Member;
use crate::body::Document;
use crate::error::Answer;

/// What events of a type should carry.
#[derive(Serialize, ToSchema)]
#[schema(as = EventSchema)]
pub struct Schema {
    /// 1, 2, … under its type.
    version: u32,
    /// `block` refuses an event that violates it, `omit` leaves out the values at fault, `quarantine` accepts the event
    /// and keeps it out of state.
    mode: &'static str,
    /// JSON Schema for `properties`.
    #[schema(value_type = Option<Object>)]
    properties: Option<serde_json::Value>,
    /// JSON Schema for `traits`.
    #[schema(value_type = Option<Object>)]
    traits: Option<serde_json::Value>,
}

impl From<catalogue::Schema> for Schema {
    fn from(of: catalogue::Schema) -> Self {
        Self { version: of.version, mode: of.mode.as_str(), properties: of.properties, traits: of.traits }
    }
}

/// A definition.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the description of a body that the engine reads")]
pub struct SchemaRequest {
    /// `block`, `omit` or `quarantine`.
    mode: String,
    /// JSON Schema, draft 2020-12, for `properties`; refers to nothing outside itself.
    #[schema(value_type = Option<Object>)]
    properties: Option<serde_json::Value>,
    /// JSON Schema for `traits`.
    #[schema(value_type = Option<Object>)]
    traits: Option<serde_json::Value>,
}

/// What a definition came to.
#[derive(Serialize, ToSchema)]
pub struct SchemaPut {
    /// The version under its type.
    version: u32,
}

/// Give an event type a schema
///
/// In force for every event that is accepted after the answer; what was accepted before stays as it is.
#[utoipa::path(put, path = "/v1/catalogue/types/{type}/schema", tag = "catalogue",
    params(("type" = String, Path, description = "The event type, percent-encoded")),
    request_body = SchemaRequest,
    responses((status = 200, body = SchemaPut), (status = 201, body = SchemaPut)))]
pub(crate) async fn put_schema(
    State(_): State<App>,
    member: Member,
    Path(kind): Path<String>,
    Document(body): Document,
) -> Answer<(StatusCode, Json<SchemaPut>)> {
    let put = member.tenant.put_schema(&kind, &body).await?;
    let status = if put.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(SchemaPut { version: put.version })))
}

/// The schema of an event type
#[utoipa::path(get, path = "/v1/catalogue/types/{type}/schema", tag = "catalogue",
    params(("type" = String, Path, description = "The event type, percent-encoded")),
    responses((status = 200, body = Schema)))]
pub(crate) async fn get_schema(
    State(_): State<App>,
    member: Member,
    Path(kind): Path<String>,
) -> Answer<Json<Schema>> {
    Ok(Json(member.tenant.schema(&kind)?.into()))
}

/// Take the schema of an event type away
#[utoipa::path(delete, path = "/v1/catalogue/types/{type}/schema", tag = "catalogue",
    params(("type" = String, Path, description = "The event type, percent-encoded")),
    responses((status = 204, description = "It has none any more")))]
pub(crate) async fn delete_schema(
    State(_): State<App>,
    member: Member,
    Path(kind): Path<String>,
) -> Answer<StatusCode> {
    member.tenant.delete_schema(&kind).await?;
    Ok(StatusCode::NO_CONTENT)
}
