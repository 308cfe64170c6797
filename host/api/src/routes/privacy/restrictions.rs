//! `/v1/restrictions`: people who are kept and not used.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use cdp_engine::privacy::{Restricting, Restriction, restriction_id};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::PersonIdentifier;
use crate::app::App;
use crate::audit::About;
use crate::auth::Member;
use crate::body::Document;
use crate::cursor::List;
use crate::error::{Answer, Failure};
use crate::fields::Fields;
use crate::params::Params;
use crate::routes::page::Page;
use crate::work;

/// Whom to restrict.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the request")]
pub struct RestrictionRequest {
    /// One of the person's identifiers.
    identifier: PersonIdentifier,
    /// Why. It is kept for ever: name nobody in it.
    reason: String,
}

/// A restriction in force.
#[derive(Serialize, ToSchema)]
pub struct PersonRestriction {
    /// `res_…`
    id: String,
    /// The profile, as it was called when it was restricted; its id leads there for ever.
    profile_id: String,
    reason: String,
    #[schema(format = DateTime)]
    since: String,
    /// The key with which it was made.
    by: String,
}

/// A restriction that was just made.
#[derive(Serialize, ToSchema)]
pub struct RestrictionMade {
    #[serde(flatten)]
    restriction: PersonRestriction,
    /// Held export files that contained the person, and do no longer.
    export_files: u64,
    /// Rows that were taken out of them.
    export_rows: u64,
}

impl From<Restriction> for PersonRestriction {
    fn from(restriction: Restriction) -> Self {
        let Restriction { id, at, reason, by, profile, .. } = restriction;
        Self { id: restriction_id(id), profile_id: profile.to_string(), reason, since: at.to_string(), by }
    }
}

/// Restrict a person
///
/// When this is answered the person is in no segment, in no audience that is written from then on, in no ranking that is
/// measured from then on and in no export file that is held. Everything is kept, and goes on being taken in.
#[utoipa::path(post, path = "/v1/restrictions", tag = "privacy", request_body = RestrictionRequest,
    responses((status = 201, body = RestrictionMade)))]
pub(crate) async fn restrict(
    State(_): State<App>,
    member: Member,
    Document(body): Document,
) -> Answer<(StatusCode, Extension<About>, Json<RestrictionMade>)> {
    let mut fields = Fields::of(body);
    let (kind, value) = super::identifier(&mut fields);
    let reason = fields.text("reason");
    fields.finish()?;
    let by = member.key.to_string();
    let made = member.tenant.restrict(&kind, &value, &reason, &by).await?;
    let Restricting { restriction, files, rows } = made;
    let about = Extension(About(restriction.profile.to_string()));
    let made = RestrictionMade { restriction: restriction.into(), export_files: files, export_rows: rows };
    Ok((StatusCode::CREATED, about, Json(made)))
}

/// List restrictions
///
/// Those in force, the oldest first.
#[utoipa::path(get, path = "/v1/restrictions", tag = "privacy",
    params(
        ("limit" = Option<u16>, Query, description = "1 to 1000, 100 by default"),
        ("cursor" = Option<String>, Query, description = "Where the page begins"),
    ),
    responses((status = 200, body = Page<PersonRestriction>)))]
pub(crate) async fn list_restrictions(
    State(_): State<App>,
    member: Member,
    params: Params,
) -> Answer<Json<Page<PersonRestriction>>> {
    let limit = params.limit()?;
    let list = List::new("/v1/restrictions", Some(member.tenant.no()), &[]);
    let after = list.fixed::<4>(params.cursor())?.map(u32::from_be_bytes);
    let page = work(true, move || member.tenant.restrictions(limit, after)).await??;
    let next_cursor = page.next.map(|next| list.cursor(&next.to_be_bytes()));
    Ok(Json(Page { items: page.items.into_iter().map(Into::into).collect(), next_cursor }))
}

/// Get a restriction
#[utoipa::path(get, path = "/v1/restrictions/{id}", tag = "privacy",
    params(("id" = String, Path, description = "`res_…`")),
    responses((status = 200, body = PersonRestriction)))]
pub(crate) async fn get_restriction(
    State(_): State<App>,
    member: Member,
    Path(id): Path<String>,
) -> Answer<Json<PersonRestriction>> {
    let id = number(&id)?;
    Ok(Json(work(true, move || member.tenant.restriction(id)).await??.into()))
}

/// Lift a restriction
///
/// When this is answered the person is where the rules say, unless another restriction holds.
#[utoipa::path(delete, path = "/v1/restrictions/{id}", tag = "privacy",
    params(
        ("id" = String, Path, description = "`res_…`"),
        ("reason" = Option<String>, Query, description = "Why; it stands in the journal"),
    ),
    responses((status = 204)))]
pub(crate) async fn lift_restriction(
    State(_): State<App>,
    member: Member,
    params: Params,
    Path(id): Path<String>,
) -> Answer<(StatusCode, Extension<About>)> {
    let reason = params.get("reason").unwrap_or("no reason was given").to_owned();
    let lifted = member.tenant.lift_restriction(number(&id)?, &reason, &member.key.to_string()).await?;
    Ok((StatusCode::NO_CONTENT, Extension(About(lifted.profile.to_string()))))
}

/// The number in `res_…`.
pub(crate) fn number(id: &str) -> Answer<u32> {
    let number = id.strip_prefix("res_").and_then(|number| number.parse::<u32>().ok());
    let number = number.filter(|number| restriction_id(*number) == id);
    number.ok_or_else(|| Failure::not_found("restriction"))
}
