//! `GET /v1/profiles/{id}/identity`: of what a profile is made, and why.

use axum::Json;
use axum::extract::{Path, State};
use cdp_domain::ids::FragmentId;
use cdp_engine::identity::{FragmentView, IdentifierView, IdentityView};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Member;
use crate::error::{Answer, Failure};
use crate::params::Params;
use crate::routes::identity::shapes::{EventRef, Named, Why, constraint_id, decision, standing};
use crate::work;

/// A profile's identity.
#[derive(Serialize, ToSchema)]
pub struct ProfileIdentity {
    profile_id: String,
    /// The version of the rules that decided.
    rules_version: u32,
    /// All its identifiers, each once, with what it does.
    identifiers: Vec<Carried>,
    /// In canonical order; the first gives the profile its id.
    fragments: Vec<ProfileFragment>,
    /// Constraints that had a say.
    constraints: Vec<String>,
    /// The last record that this includes.
    position: String,
}

/// The evidence that events with exactly these identifiers are, and what was decided about it.
#[derive(Serialize, ToSchema)]
pub struct ProfileFragment {
    id: String,
    /// `created`: nobody had its identifiers; `attached`: one profile did; `merged`: several did and became one.
    decision: &'static str,
    /// The profiles that were found, by the ids they had then.
    found: Vec<String>,
    /// The event that decided: the first in canonical order.
    first_event: EventRef,
    #[schema(format = DateTime)]
    last_seen: String,
    events: u64,
    /// Whether its events say that its ids of one type are one person's.
    alias: bool,
    /// Whether its events came with a key that anybody can read.
    client: bool,
    identifiers: Vec<Carried>,
}

/// An identifier and what it does.
#[derive(Serialize, ToSchema)]
pub struct Carried {
    #[serde(flatten)]
    identifier: Named,
    /// `links`, `set_aside`, `blocked`, `shared` or `overgrown`.
    standing: &'static str,
    /// Why it was set aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Why>,
}

impl From<&IdentifierView> for Carried {
    fn from(view: &IdentifierView) -> Self {
        Self {
            identifier: (&view.identifier).into(),
            standing: standing(view.standing, view.set_aside.is_some()),
            reason: view.set_aside.as_ref().map(Into::into),
        }
    }
}

impl From<&FragmentView> for ProfileFragment {
    fn from(view: &FragmentView) -> Self {
        Self {
            id: view.id.to_string(),
            decision: decision(view.decision),
            found: view.found.iter().map(ToString::to_string).collect(),
            first_event: (&view.first).into(),
            last_seen: view.last_seen.to_string(),
            events: view.events,
            alias: view.origin.alias,
            client: view.origin.client,
            identifiers: view.identifiers.iter().map(Into::into).collect(),
        }
    }
}

impl From<&IdentityView> for ProfileIdentity {
    fn from(view: &IdentityView) -> Self {
        let mut all: Vec<&IdentifierView> =
            view.fragments.iter().flat_map(|fragment| &fragment.identifiers).collect();
        // Where one fragment sets aside what another links, it links.
        all.sort_by_key(|view| (view.identifier.clone(), view.set_aside.is_some()));
        all.dedup_by(|later, earlier| later.identifier == earlier.identifier);
        Self {
            profile_id: view.profile.to_string(),
            rules_version: view.rules_version,
            identifiers: all.into_iter().map(Into::into).collect(),
            fragments: view.fragments.iter().map(Into::into).collect(),
            constraints: view.constraints.iter().map(|id| constraint_id(*id)).collect(),
            position: view.position.to_string(),
        }
    }
}

/// Read why a profile is one
///
/// Its fragments, what each of their identifiers does, and what was decided when the turn of each came.
#[utoipa::path(get, path = "/v1/profiles/{id}/identity", tag = "identity",
    params(
        ("id" = String, Path, description = "`prf_…`"),
        ("min_position" = Option<String>, Query, description = "Wait until this is applied"),
    ),
    responses((status = 200, body = ProfileIdentity)))]
pub(crate) async fn get_identity(
    State(_): State<App>,
    member: Member,
    Path(id): Path<String>,
    params: Params,
) -> Answer<Json<ProfileIdentity>> {
    let id: FragmentId = id.parse().map_err(|_| Failure::not_found("profile"))?;
    params.wait(&member.tenant).await?;
    let view = work(true, move || member.tenant.identity(id)).await??;
    Ok(Json((&view).into()))
}
