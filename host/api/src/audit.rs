//! The layer that writes down who did what with a tenant's key, and who read what is held about people.
//!
//! Acts take from what a tenant may change a second.
//!
//! Every route that needs the scope `admin` or `export` and changes something is an act; the routes of [`READS`] read,
//! and so does what is marked with [`Told`]. Only what was
//! answered well is written down: the others are counted as requests like any.

use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use cdp_engine::acts::Act;
use cdp_engine::registry::Scope;
use http::Method;
use serde_json::json;

use crate::access::{Access, TABLE};
use crate::app::App;
use crate::auth::Member;
use crate::body;
use crate::cursor::List;
use crate::error::Answer;
use crate::params::Params;
use crate::routes::page::Page;
use crate::work;

/// The routes that answer with what is held about people.
const READS: [(&str, &str); 16] = [
    ("GET", "/v1/access-requests/{id}/document"),
    ("POST", "/v1/consents/receipts"),
    ("POST", "/v1/profiles/lookup"),
    ("GET", "/v1/profiles/{id}"),
    ("GET", "/v1/profiles/{id}/events"),
    ("GET", "/v1/profiles/{id}/identity"),
    ("POST", "/v1/identity/explain"),
    ("POST", "/v1/channels/lookup"),
    ("POST", "/v1/segments/preview"),
    ("GET", "/v1/exports/{id}/file"),
    ("GET", "/v1/exports/{id}/withheld"),
    ("GET", "/v1/exports/{id}/proof"),
    ("POST", "/v1/exports/preview"),
    ("GET", "/v1/profiles/{id}/disclosures"),
    ("GET", "/v1/journal/events"),
    // Guests write there what they like.
    ("GET", "/v1/plugins/{name}/logs"),
];

/// Whom an answer is about, where the address does not say.
#[derive(Debug, Clone)]
pub(crate) struct About(pub(crate) String);

/// That an answer tells what is held about somebody, on a route whose answers mostly do not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told;

/// Whether a route is written down, and whether it changes something.
fn concerns(method: &Method, path: &str) -> Option<bool> {
    if READS.contains(&(method.as_str(), path)) {
        return Some(false);
    }
    let changes = matches!(*method, Method::POST | Method::PUT | Method::DELETE);
    let row = TABLE.iter().find(|row| row.0 == method.as_str() && row.1 == path)?;
    let concerned = matches!(row.2, Access::Tenant(Scope::Admin | Scope::Export));
    (changes && concerned).then_some(true)
}

/// Does what this module promises.
pub(crate) async fn record(State(app): State<App>, request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let member = request.extensions().get::<Member>().cloned();
    let (method, address) = (request.method().clone(), request.uri().path().to_owned());
    let concern = matched.as_deref().and_then(|route| concerns(&method, route));
    if let (Some(true), Some(member)) = (concern, &member)
        && let Err(failure) = app.limiter().take_change(member.tenant.no())
    {
        let (parts, body) = request.into_parts();
        body::discard(&parts.headers, body).await;
        return failure.into_response();
    }
    let response = next.run(request).await;
    let (Some(route), Some(member)) = (matched, member) else { return response };
    let told = response.extensions().get::<Told>().map(|_| false);
    let Some(changed) = concern.or(told).filter(|_| response.status().is_success()) else {
        return response;
    };
    let about = response.extensions().get::<About>().map(|about| about.0.clone());
    // What stands in an address is the name of a definition or an id.
    let about = json!({ "path": address, "profile": about, "status": response.status().as_u16() });
    let act = Act { by: member.key.to_string(), what: format!("{method} {route}"), about, changed };
    let written = work(changed, move || member.tenant.record_act(&act)).await;
    if let Err(failure) = written.and_then(|written| Ok(written?)) {
        tracing::error!(code = failure.code.as_str(), "an act could not be written into the audit log");
    }
    response
}

/// List the audit log
///
/// Who did what, and who read what is held about people, oldest first. `cdp audit verify` checks its chain offline.
#[utoipa::path(get, path = "/v1/audit", tag = "privacy",
    params(
        ("limit" = Option<u16>, Query, description = "1 to 1000, 100 by default"),
        ("cursor" = Option<String>, Query, description = "Where the page begins"),
    ),
    responses((status = 200, body = Page<Object>)))]
pub(crate) async fn list_audit(
    State(_): State<App>,
    member: Member,
    params: Params,
) -> Answer<Json<Page<serde_json::Value>>> {
    let limit = params.limit()?;
    let list = List::new("/v1/audit", Some(member.tenant.no()), &[]);
    let from = list.fixed::<8>(params.cursor())?.map_or(0, u64::from_be_bytes);
    let page = work(true, move || member.tenant.acts(limit, from)).await??;
    let next_cursor = page.next.map(|next| list.cursor(&next.to_be_bytes()));
    Ok(Json(Page { items: page.items, next_cursor }))
}
