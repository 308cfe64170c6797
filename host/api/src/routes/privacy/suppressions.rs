//! `/v1/suppressions`: of whom nothing is taken in.

use axum::Json;
use axum::extract::{Path, State};
use cdp_engine::privacy::{SuppressionView, suppression_id};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Member;
use crate::cursor::List;
use crate::error::{Answer, Failure};
use crate::params::Params;
use crate::routes::page::Page;
use crate::work;

/// A suppression. It tells nobody whom it is of: only a keyed digest is kept.
#[derive(Serialize, ToSchema)]
pub struct Suppression {
    /// `sup_…`
    id: String,
    /// `identifier` or `contact_point`.
    of: &'static str,
    /// The erasure that it belongs to.
    erasure: String,
    #[schema(format = DateTime)]
    since: String,
}

impl From<SuppressionView> for Suppression {
    fn from(view: SuppressionView) -> Self {
        let (id, of) = (suppression_id(&view.digest), view.of);
        Self { id, of, erasure: view.erasure.to_string(), since: view.at.to_string() }
    }
}

/// List suppressions
#[utoipa::path(get, path = "/v1/suppressions", tag = "privacy",
    params(
        ("limit" = Option<u16>, Query, description = "1 to 1000, 100 by default"),
        ("cursor" = Option<String>, Query, description = "Where the page begins"),
    ),
    responses((status = 200, body = Page<Suppression>)))]
pub(crate) async fn list_suppressions(
    State(_): State<App>,
    member: Member,
    params: Params,
) -> Answer<Json<Page<Suppression>>> {
    let limit = params.limit()?;
    let list = List::new("/v1/suppressions", Some(member.tenant.no()), &[]);
    let after = list.fixed::<16>(params.cursor())?;
    let page = work(true, move || member.tenant.suppressions(limit, after)).await??;
    let next_cursor = page.next.map(|next| list.cursor(&next));
    Ok(Json(Page { items: page.items.into_iter().map(Into::into).collect(), next_cursor }))
}

/// Lift a suppression
///
/// What was erased stays erased; what comes from now on is taken in.
#[utoipa::path(delete, path = "/v1/suppressions/{id}", tag = "privacy",
    params(
        ("id" = String, Path, description = "`sup_…`"),
        ("reason" = Option<String>, Query, description = "Why; it is written into the audit log"),
    ),
    responses((status = 204)))]
pub(crate) async fn lift_suppression(
    State(_): State<App>,
    member: Member,
    params: Params,
    Path(id): Path<String>,
) -> Answer<StatusCode> {
    let digest = digest(&id).ok_or_else(|| Failure::not_found("suppression"))?;
    let reason = params.get("reason").unwrap_or("no reason was given").to_owned();
    member.tenant.lift_suppression(digest, &reason, &member.key.to_string()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reads the id of a suppression.
pub(crate) fn digest(id: &str) -> Option<[u8; 16]> {
    id.strip_prefix("sup_").and_then(cdp_domain::hex::decode)
}
