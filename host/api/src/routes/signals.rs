//! `/v1/consents/signals`: which purposes privacy signals of browsers and consent dialogues are about.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use cdp_domain::consent::signals::Mapping;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Member;
use crate::body::Document;
use crate::error::Answer;

/// Which purposes a signal is about.
#[derive(Serialize, ToSchema)]
pub struct Signals {
    /// Purposes that `Sec-GPC: 1` says no to.
    gpc: Vec<String>,
    /// Purposes that an opt-out of sale (section 6 of a GPP string) says no to.
    usp_sale: Vec<String>,
    /// Purposes by their number in TC strings.
    tcf: BTreeMap<String, String>,
    /// Purposes by the id of a category in `context.consent.categoryPreferences`.
    categories: BTreeMap<String, String>,
    /// Purposes that are denied where `integrations` has this name as `false`.
    integrations: BTreeMap<String, String>,
}

impl From<Mapping> for Signals {
    fn from(mapping: Mapping) -> Self {
        let list =
            |list: Vec<_>| list.into_iter().map(|name: compact_str::CompactString| name.into()).collect();
        let map = |map: BTreeMap<compact_str::CompactString, compact_str::CompactString>| {
            map.into_iter().map(|(key, name)| (key.into(), name.into())).collect()
        };
        Self {
            gpc: list(mapping.gpc),
            usp_sale: list(mapping.usp_sale),
            tcf: mapping.tcf.into_iter().map(|(no, name)| (no.to_string(), name.into())).collect(),
            categories: map(mapping.categories),
            integrations: map(mapping.integrations),
        }
    }
}

/// Get what signals mean
#[utoipa::path(get, path = "/v1/consents/signals", tag = "consent", responses((status = 200, body = Signals)))]
pub(crate) async fn get_signals(State(_): State<App>, member: Member) -> Answer<Json<Signals>> {
    Ok(Json(member.tenant.signals().into()))
}

/// Say what signals mean
///
/// Events that are taken in from here on are heard by it.
#[utoipa::path(put, path = "/v1/consents/signals", tag = "consent", request_body = Signals,
    responses((status = 200, body = Signals)))]
pub(crate) async fn put_signals(
    State(_): State<App>,
    member: Member,
    Document(body): Document,
) -> Answer<Json<Signals>> {
    Ok(Json(member.tenant.put_signals(&body).await?.into()))
}
