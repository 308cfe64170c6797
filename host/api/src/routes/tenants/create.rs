//! `POST /v1/tenants`: makes a tenant and its first key.

use axum::Json;
use axum::extract::State;
use cdp_domain::ids::TenantId;
use cdp_engine::registry::NewTenant;
use compact_str::CompactString;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::body::Document;
use crate::error::Answer;
use crate::fields::Fields;
use crate::plain;

/// What is needed to make a tenant.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the request")]
pub struct TenantRequest {
    /// Its name in addresses: 1 to 64 of a–z, 0–9 and -.
    slug: String,
    /// For people.
    name: String,
    /// IANA name of the zone its days are counted in; UTC when absent.
    time_zone: Option<String>,
}

/// A tenant that was made.
#[derive(Serialize, ToSchema)]
pub struct TenantCreated {
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    id: TenantId,
    #[schema(value_type = String)]
    slug: CompactString,
    /// A key with the scope `admin`. It is shown this once.
    admin_key: String,
    /// Path of the link by which the first admin comes into the console. It works once, for 24 hours, and until the
    /// server restarts, which prints another one.
    console_link: Option<String>,
}

/// Make a tenant
#[utoipa::path(post, path = "/v1/tenants", tag = "tenants", request_body = TenantRequest,
    responses((status = 201, body = TenantCreated)))]
pub(crate) async fn create_tenant(
    State(app): State<App>,
    Document(body): Document,
) -> Answer<(StatusCode, Json<TenantCreated>)> {
    let mut fields = Fields::of(body);
    let (slug, name) = (fields.text("slug"), fields.text("name"));
    let time_zone = fields.optional_text("time_zone");
    fields.finish()?;
    let (info, admin_key) = app.engine().create_tenant(NewTenant { slug, name, time_zone }).await?;
    let tenant = app.engine().open_tenants().into_iter().find(|tenant| tenant.no() == info.no);
    let token = tenant.map(|tenant| app.engine().first_link(&tenant)).transpose()?.flatten();
    let console_link = token.as_deref().map(super::super::users::path);
    Ok((StatusCode::CREATED, Json(TenantCreated { id: info.id, slug: info.slug, admin_key, console_link })))
}
