//! Purposes: what data may be used for, and on which legal basis.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use cdp_domain::consent::guard::{Guard, Place};
use compact_str::CompactString;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::page::{self, Page};
use crate::app::App;
use crate::auth::Member;
use crate::body::Document;
use crate::error::Answer;
use crate::params::Params;

/// A purpose.
#[derive(Serialize, ToSchema)]
pub struct Purpose {
    #[schema(value_type = String)]
    name: CompactString,
    title: String,
    /// Such as `consent`.
    legal_basis: String,
    /// On which channels it is used; empty means all.
    #[schema(value_type = Vec<String>)]
    channels: Vec<CompactString>,
    /// The text that people are shown.
    policy: Option<PolicyText>,
    /// What of events is stored only where consent for it stands.
    guards: Vec<PurposeGuard>,
    /// Grows with every change.
    version: u32,
}

/// A value that is stored only with consent.
#[derive(Serialize, ToSchema)]
struct PurposeGuard {
    /// The event type whose property it is; null means every type.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    event: Option<CompactString>,
    /// A JSON pointer into `properties`.
    #[serde(skip_serializing_if = "Option::is_none")]
    property: Option<String>,
    /// The name of a trait, where it is one.
    #[serde(rename = "trait", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    named: Option<CompactString>,
    /// `remove` or `hash`.
    action: &'static str,
}

impl From<Guard> for PurposeGuard {
    fn from(guard: Guard) -> Self {
        let action = guard.action.as_str();
        match guard.place {
            Place::Property { event, pointer } => {
                Self { event, property: Some(pointer), named: None, action }
            }
            Place::Trait(name) => Self { event: None, property: None, named: Some(name), action },
        }
    }
}

/// A text that stands somewhere else.
#[derive(Serialize, ToSchema)]
struct PolicyText {
    /// Which version of it.
    #[schema(value_type = String)]
    version: CompactString,
    /// Where it is.
    url: String,
}

/// What a registration came to.
#[derive(Serialize, ToSchema)]
pub struct PurposeDefined {
    name: String,
    version: u32,
}

/// Register or change a purpose
#[utoipa::path(put, path = "/v1/purposes/{name}", tag = "consent", params(("name" = String, Path, description = "Its name")),
    request_body = Object, responses((status = 201, body = PurposeDefined), (status = 200, body = PurposeDefined)))]
pub(crate) async fn put_purpose(
    State(_): State<App>,
    member: Member,
    Path(name): Path<String>,
    Document(body): Document,
) -> Answer<Response> {
    let put = member.tenant.put_purpose(&name, &body).await?;
    let status = if put.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(PurposeDefined { name, version: put.version })).into_response())
}

/// List purposes
#[utoipa::path(get, path = "/v1/purposes", tag = "consent",
    params(
        ("limit" = Option<u16>, Query, description = "1 to 1000, 100 by default"),
        ("cursor" = Option<String>, Query, description = "Where the page begins"),
    ),
    responses((status = 200, body = Page<Purpose>)))]
pub(crate) async fn list_purposes(
    State(_): State<App>,
    member: Member,
    params: Params,
) -> Answer<Json<Page<Purpose>>> {
    let list = ("/v1/purposes", Some(member.tenant.no()));
    let page = page::of_names(
        &params,
        list,
        member.tenant.purposes(),
        |(name, _)| name.to_string(),
        |(name, purpose)| {
            let (title, legal_basis, channels) = (purpose.title, purpose.legal_basis, purpose.channels);
            let policy = purpose.policy.map(|policy| PolicyText { version: policy.version, url: policy.url });
            let guards = purpose.guards.into_iter().map(Into::into).collect();
            Purpose { name, title, legal_basis, channels, policy, guards, version: purpose.version }
        },
    )?;
    Ok(Json(page))
}
