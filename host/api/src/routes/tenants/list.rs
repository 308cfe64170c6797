//! `GET /v1/tenants`: who is here.

use axum::Json;
use axum::extract::State;
use cdp_domain::ids::TenantId;
use cdp_domain::time::Timestamp;
use compact_str::CompactString;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::error::Answer;
use crate::params::Params;
use crate::plain;
use crate::routes::page::{self, Page};

/// A tenant.
#[derive(Serialize, ToSchema)]
pub struct Tenant {
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    id: TenantId,
    #[schema(value_type = String)]
    slug: CompactString,
    name: String,
    time_zone: String,
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// List tenants
#[utoipa::path(get, path = "/v1/tenants", tag = "tenants",
    params(
        ("limit" = Option<u16>, Query, description = "1 to 1000, 100 by default"),
        ("cursor" = Option<String>, Query, description = "Where the page begins"),
    ),
    responses((status = 200, body = Page<Tenant>)))]
pub(crate) async fn list_tenants(State(app): State<App>, params: Params) -> Answer<Json<Page<Tenant>>> {
    let page = page::of_names(
        &params,
        ("/v1/tenants", None),
        app.engine().tenants(),
        |info| info.slug.to_string(),
        |info| {
            let (id, slug, created_at) = (info.id, info.slug, info.created_at);
            Tenant { id, slug, name: info.name, time_zone: info.time_zone, created_at }
        },
    )?;
    Ok(Json(page))
}
