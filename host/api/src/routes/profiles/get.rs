//! `GET /v1/profiles/{id}`: a profile by its id, or by that of any of its fragments.

use axum::Json;
use axum::extract::{Path, State};
use cdp_domain::ids::FragmentId;

use super::view::Profile;
use crate::app::App;
use crate::auth::Member;
use crate::error::{Answer, Failure};
use crate::params::Params;
use crate::work;

/// Read a profile
///
/// By its id, or by that of any of its fragments: an id that was once given leads to the profile for ever.
#[utoipa::path(get, path = "/v1/profiles/{id}", tag = "profiles",
    params(
        ("id" = String, Path, description = "`prf_…`"),
        ("as_of" = Option<String>, Query, description = "What was known at this instant of the past, from the events up to it"),
        ("min_position" = Option<String>, Query, description = "Wait until this is applied"),
    ),
    responses((status = 200, body = Profile)))]
pub(crate) async fn get_profile(
    State(_): State<App>,
    member: Member,
    Path(id): Path<String>,
    params: Params,
) -> Answer<Json<Profile>> {
    let id: FragmentId = id.parse().map_err(|_| Failure::not_found("profile"))?;
    params.wait(&member.tenant).await?;
    let as_of = params.as_of(&member.tenant)?;
    let view = work(true, move || match as_of {
        None => member.tenant.profile(id),
        Some(at) => member.tenant.profile_as_of(id, at),
    })
    .await??;
    Ok(Json(view.into()))
}
