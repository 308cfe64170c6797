//! `GET /v1/profiles/{id}/disclosures`: who received a person.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Member;
use crate::error::{Answer, Failure};
use crate::work;

/// The exports that told of a person.
#[derive(Serialize, ToSchema)]
pub struct Disclosures {
    /// Runs: who received what, when: `{id, at, kind, destination, fields, said, segment, consent}`. `said` is `values`,
    /// `perhaps_values` (an attempt whose outcome is not known) or `remove`.
    #[schema(value_type = Vec<Object>)]
    items: Vec<serde_json::Value>,
}

/// List the exports that told of a person
///
/// Also those whose files are gone, and under any id that the profile had.
#[utoipa::path(get, path = "/v1/profiles/{id}/disclosures", tag = "profiles",
    params(("id" = String, Path, description = "The profile's id, or any of its fragments'")),
    responses((status = 200, body = Disclosures)))]
pub(crate) async fn list_disclosures(
    State(_): State<App>,
    member: Member,
    Path(id): Path<String>,
) -> Answer<Json<Disclosures>> {
    let id = id.parse().map_err(|_| Failure::not_found("profile"))?;
    let items = work(true, move || member.tenant.disclosures(id)).await??;
    Ok(Json(Disclosures { items }))
}
