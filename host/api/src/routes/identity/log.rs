//! `GET /v1/identity/log` and `GET /v1/identity/alerts`: what happened to profiles, and what stopped linking.

use axum::Json;
use axum::extract::State;
use cdp_domain::ids::Position;
use cdp_engine::identity::log::{About, Because};
use serde::Serialize;
use utoipa::ToSchema;

use super::shapes::{Named, constraint_id};
use crate::app::App;
use crate::auth::Member;
use crate::cursor::List;
use crate::error::{Answer, Code, Failure};
use crate::params::Params;
use crate::routes::page::Page;
use crate::work;

/// A merge, a split or a change of a profile's id.
#[derive(Serialize, ToSchema)]
pub struct IdentityLogEntry {
    /// `merged`, `split` or `renamed`.
    kind: &'static str,
    /// The profile that is there now.
    profile_id: String,
    /// The profile that it took in, came out of or was called.
    other_id: String,
    because: IdentityCause,
    /// When, by the clock of receipt.
    #[schema(format = DateTime)]
    at: String,
    /// The record that caused it.
    position: String,
}

/// Why profiles changed. What does not apply is absent.
#[derive(Serialize, ToSchema, Default)]
pub struct IdentityCause {
    /// `event`, `rules`, `constraint` or `constraint_removed`.
    kind: &'static str,
    /// The fragment that was new, or turned out to be older.
    #[serde(skip_serializing_if = "Option::is_none")]
    fragment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rules_version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    constraint: Option<String>,
}

impl From<Because> for IdentityCause {
    fn from(because: Because) -> Self {
        match because {
            Because::Fragment(id) => {
                Self { kind: "event", fragment: Some(id.to_string()), ..Self::default() }
            }
            Because::Rules(version) => {
                Self { kind: "rules", rules_version: Some(version), ..Self::default() }
            }
            Because::Constraint(id) => {
                Self { kind: "constraint", constraint: Some(constraint_id(id)), ..Self::default() }
            }
            Because::Erasure => Self { kind: "erasure", ..Self::default() },
            Because::ConstraintRemoved(id) => {
                Self { kind: "constraint_removed", constraint: Some(constraint_id(id)), ..Self::default() }
            }
        }
    }
}

/// Something stopped linking people. What does not apply is absent.
#[derive(Serialize, ToSchema)]
pub struct IdentityAlert {
    /// `shared`: an identifier was seen with too many different people. `overgrown`: too many fragments hung together.
    kind: &'static str,
    /// The identifier that is shared.
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<Named>,
    /// The fragment with which there were too many.
    #[serde(skip_serializing_if = "Option::is_none")]
    fragment: Option<String>,
    #[schema(format = DateTime)]
    at: String,
    /// The record that caused it.
    position: String,
}

/// List merges and splits
///
/// The newest first.
#[utoipa::path(get, path = "/v1/identity/log", tag = "identity",
    params(
        ("limit" = Option<u16>, Query, description = "1 to 1000, 100 by default"),
        ("cursor" = Option<String>, Query, description = "Where the page begins"),
        ("min_position" = Option<String>, Query, description = "Wait until this is applied"),
    ),
    responses((status = 200, body = Page<IdentityLogEntry>)))]
pub(crate) async fn list_log(
    State(_): State<App>,
    member: Member,
    params: Params,
) -> Answer<Json<Page<IdentityLogEntry>>> {
    let limit = params.limit()?;
    let list = List::new("/v1/identity/log", Some(member.tenant.no()), &[]);
    let before = list.fixed::<12>(params.cursor())?.map(place).transpose()?;
    params.wait(&member.tenant).await?;
    let page = work(true, move || member.tenant.identity_log(limit, before)).await??;
    let items = page.items.into_iter().map(|entry| IdentityLogEntry {
        kind: entry.happened.as_str(),
        profile_id: entry.profile.to_string(),
        other_id: entry.other.to_string(),
        because: entry.because.into(),
        at: entry.at.to_string(),
        position: entry.position.to_string(),
    });
    let next_cursor = page.next.map(|(position, n)| {
        let mut place = position.0.to_be_bytes().to_vec();
        place.extend(n.to_be_bytes());
        list.cursor(&place)
    });
    Ok(Json(Page { items: items.collect(), next_cursor }))
}

fn place(bytes: [u8; 12]) -> Answer<(Position, u32)> {
    let bad = || Failure::new(Code::InvalidCursor, "the cursor is not one of this list");
    let (position, n) = bytes.split_first_chunk::<8>().ok_or_else(bad)?;
    let n = <[u8; 4]>::try_from(n).map_err(|_| bad())?;
    Ok((Position(u64::from_be_bytes(*position)), u32::from_be_bytes(n)))
}

/// List what stopped linking people
///
/// One alert for each identifier that is shared and for each crowd of fragments that hung together.
#[utoipa::path(get, path = "/v1/identity/alerts", tag = "identity",
    params(
        ("limit" = Option<u16>, Query, description = "1 to 1000, 100 by default"),
        ("cursor" = Option<String>, Query, description = "Where the page begins"),
        ("min_position" = Option<String>, Query, description = "Wait until this is applied"),
    ),
    responses((status = 200, body = Page<IdentityAlert>)))]
pub(crate) async fn list_alerts(
    State(_): State<App>,
    member: Member,
    params: Params,
) -> Answer<Json<Page<IdentityAlert>>> {
    let limit = params.limit()?;
    let list = List::new("/v1/identity/alerts", Some(member.tenant.no()), &[]);
    let after = list.fixed::<16>(params.cursor())?;
    params.wait(&member.tenant).await?;
    let page = work(true, move || member.tenant.identity_alerts(limit, after)).await??;
    let items = page.items.into_iter().map(|alert| {
        let (kind, identifier, fragment) = match &alert.about {
            About::Shared(identifier) => ("shared", Some(identifier.into()), None),
            About::Overgrown(fragment) => ("overgrown", None, Some(fragment.to_string())),
        };
        let (at, position) = (alert.at.to_string(), alert.position.to_string());
        IdentityAlert { kind, identifier, fragment, at, position }
    });
    let next_cursor = page.next.map(|next| list.cursor(&next));
    Ok(Json(Page { items: items.collect(), next_cursor }))
}
