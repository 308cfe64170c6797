//! `GET /v1/exports`: what was exported.

use axum::Json;
use axum::extract::State;
use cdp_domain::ids::ExportId;

use super::Export;
use crate::app::App;
use crate::auth::Member;
use crate::cursor::List;
use crate::error::Answer;
use crate::params::Params;
use crate::routes::page::Page;
use crate::work;

/// List exports
#[utoipa::path(get, path = "/v1/exports", tag = "exports",
    params(
        ("limit" = Option<u16>, Query, description = "1 to 1000, 100 by default"),
        ("cursor" = Option<String>, Query, description = "Where the page begins"),
    ),
    responses((status = 200, body = Object)))]
pub(crate) async fn list_exports(
    State(app): State<App>,
    member: Member,
    params: Params,
) -> Answer<Json<Page<Export>>> {
    let limit = params.limit()?;
    let list = List::new("/v1/exports", Some(member.tenant.no()), &[]);
    let after = list.fixed::<16>(params.cursor())?.map(ExportId);
    let page = work(true, move || app.exports().list(&member.tenant, limit, after)).await??;
    Ok(Json(Page { items: page.items, next_cursor: page.next.map(|next| list.cursor(&next.0)) }))
}
