//! `/v1/erasures`: forgetting a person, and the certificate of it.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use cdp_domain::ids::JobId;
use cdp_engine::privacy::Preview;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::PersonIdentifier;
use crate::app::App;
use crate::auth::Member;
use crate::body::Document;
use crate::cursor::List;
use crate::error::{Answer, Failure};
use crate::fields::Fields;
use crate::params::Params;
use crate::routes::page::Page;
use crate::work;

/// Whom to forget.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the request")]
pub struct ErasureRequest {
    /// One of the person's identifiers.
    identifier: PersonIdentifier,
    /// Why. It is kept for ever: name nobody in it.
    reason: String,
}

/// An erasure that began.
#[derive(Serialize, ToSchema)]
pub struct ErasureStarted {
    /// The erasure: its certificate is at `/v1/erasures/{id}`.
    id: String,
    /// The job that does what is left; its result is the certificate.
    job: String,
}

/// What an erasure would comprise.
#[derive(Serialize, ToSchema)]
pub struct ErasurePreview {
    profile_id: String,
    fragments: u64,
    identifiers: u64,
    contact_points: u64,
    /// Of them, those that others use too: they and what was decided about them stay.
    contact_points_shared: u64,
    consents: u64,
    events: u64,
    exports: u64,
}

impl From<Preview> for ErasurePreview {
    fn from(preview: Preview) -> Self {
        let Preview { profile, fragments, identifiers, contact_points, contact_points_shared, .. } = preview;
        let Preview { consents, events, exports, .. } = preview;
        Self {
            profile_id: profile.to_string(),
            fragments,
            identifiers,
            contact_points,
            contact_points_shared,
            consents,
            events,
            exports,
        }
    }
}

/// Forget a person
///
/// When this is answered the person is out of reads, segments and exports, their data keys are destroyed, and nothing
/// that names them is taken in until the suppression is lifted. The job does the rest.
/// With `dry_run=true` nothing is done, and the answer is 200 with what would be.
#[utoipa::path(post, path = "/v1/erasures", tag = "privacy", request_body = ErasureRequest,
    params(("dry_run" = Option<bool>, Query, description = "Only count what it would comprise")),
    responses((status = 202, body = ErasureStarted), (status = 200, body = ErasurePreview)))]
pub(crate) async fn create_erasure(
    State(_): State<App>,
    member: Member,
    params: Params,
    Document(body): Document,
) -> Answer<Response> {
    let mut fields = Fields::of(body);
    let (kind, value) = super::identifier(&mut fields);
    let dry_run = params.flag("dry_run")?;
    let reason = if dry_run { fields.optional_text("reason") } else { Some(fields.text("reason")) };
    fields.finish()?;
    if dry_run {
        let preview = work(true, move || member.tenant.preview_erasure(&kind, &value)).await??;
        return Ok(Json(ErasurePreview::from(preview)).into_response());
    }
    let by = member.key.to_string();
    let job = member.tenant.erase(&kind, &value, &reason.unwrap_or_default(), &by).await?;
    let started = ErasureStarted { id: job.to_string(), job: job.to_string() };
    Ok((StatusCode::ACCEPTED, Json(started)).into_response())
}

/// List erasures
#[utoipa::path(get, path = "/v1/erasures", tag = "privacy",
    params(
        ("limit" = Option<u16>, Query, description = "1 to 1000, 100 by default"),
        ("cursor" = Option<String>, Query, description = "Where the page begins"),
    ),
    responses((status = 200, body = Page<Object>)))]
pub(crate) async fn list_erasures(
    State(_): State<App>,
    member: Member,
    params: Params,
) -> Answer<Json<Page<serde_json::Value>>> {
    let limit = params.limit()?;
    let list = List::new("/v1/erasures", Some(member.tenant.no()), &[]);
    let after = list.fixed::<16>(params.cursor())?.map(JobId);
    let page = work(true, move || member.tenant.erasures(limit, after)).await??;
    let next_cursor = page.next.map(|next| list.cursor(&next.0));
    Ok(Json(Page { items: page.items, next_cursor }))
}

/// Get an erasure
///
/// While its job runs, what was counted; then the certificate.
#[utoipa::path(get, path = "/v1/erasures/{id}", tag = "privacy",
    params(("id" = String, Path, description = "As it was answered")),
    responses((status = 200, body = Object)))]
pub(crate) async fn get_erasure(
    State(_): State<App>,
    member: Member,
    Path(id): Path<String>,
) -> Answer<Json<serde_json::Value>> {
    let id = id.parse().map_err(|_| Failure::not_found("erasure"))?;
    let erasure = work(true, move || member.tenant.erasure(id)).await??;
    Ok(Json(erasure))
}
