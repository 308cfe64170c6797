//! `GET /v1/catalogue`: event types in figures.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Member;
use crate::error::Answer;
use crate::params::Params;

/// Event types in figures.
#[derive(Serialize, ToSchema)]
pub struct Catalogue {
    /// Types that are listed: those that came first.
    types: usize,
    /// Events that were accepted and processed, of all types.
    events: u64,
    /// Of them, those whose type is not listed, because as many types as may be were there before it.
    unlisted_events: u64,
}

/// Event types in figures
#[utoipa::path(get, path = "/v1/catalogue", tag = "catalogue",
    params(("min_position" = Option<String>, Query, description = "Wait until this is applied")),
    responses((status = 200, body = Catalogue)))]
pub(crate) async fn get_catalogue(
    State(_): State<App>,
    member: Member,
    params: Params,
) -> Answer<Json<Catalogue>> {
    params.wait(&member.tenant).await?;
    let overview = member.tenant.catalogue();
    Ok(Json(Catalogue {
        types: overview.types,
        events: overview.events,
        unlisted_events: overview.unlisted_events,
    }))
}
