//! `GET /v1/keys`: which keys there are; never their secrets.

use axum::Json;
use axum::extract::State;
use cdp_domain::ids::KeyId;
use cdp_domain::time::Timestamp;
use compact_str::CompactString;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Member;
use crate::error::Answer;
use crate::params::Params;
use crate::plain;
use crate::routes::page::{self, Page};

/// A key.
#[derive(Serialize, ToSchema)]
pub struct Key {
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    id: KeyId,
    #[schema(value_type = String)]
    name: CompactString,
    scopes: Vec<&'static str>,
    /// Whether anybody can read it.
    public: bool,
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[serde(serialize_with = "plain::maybe")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    #[serde(serialize_with = "plain::maybe")]
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Timestamp>,
}

/// List keys
#[utoipa::path(get, path = "/v1/keys", tag = "keys",
    params(
        ("limit" = Option<u16>, Query, description = "1 to 1000, 100 by default"),
        ("cursor" = Option<String>, Query, description = "Where the page begins"),
    ),
    responses((status = 200, body = Page<Key>)))]
pub(crate) async fn list_keys(
    State(app): State<App>,
    member: Member,
    params: Params,
) -> Answer<Json<Page<Key>>> {
    let (all, list) = (app.engine().keys(&member.tenant), ("/v1/keys", Some(member.tenant.no())));
    let name = |info: &cdp_engine::registry::KeyInfo| format!("{:020} {}", info.created_at.0, info.id);
    let page = page::of_names(&params, list, all, name, |info| Key {
        id: info.id,
        name: info.name,
        scopes: info.scopes.names(),
        public: info.public,
        created_at: info.created_at,
        expires_at: info.expires_at,
        revoked_at: info.revoked_at,
    })?;
    Ok(Json(page))
}
