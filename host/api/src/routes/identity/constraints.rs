//! `/v1/identity/constraints`: these two are one person, or never are.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use cdp_domain::identity::Force;
use cdp_engine::identity::ConstraintView;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::shapes::{SubjectShape, constraint_id};
use crate::app::App;
use crate::auth::Member;
use crate::body::Document;
use crate::cursor::List;
use crate::error::{Answer, Failure};
use crate::params::Params;
use crate::routes::page::Page;

/// What is needed to make a constraint.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the request")]
pub struct ConstraintRequest {
    /// `must_link` or `must_not_link`.
    kind: String,
    /// An identifier `{type, value}`, or the id of a profile or fragment.
    #[schema(value_type = Object)]
    a: String,
    /// The other.
    #[schema(value_type = Object)]
    b: String,
    /// Why, for people.
    reason: String,
}

/// A constraint in force.
#[derive(Serialize, ToSchema)]
pub struct IdentityConstraint {
    /// `con_…`
    id: String,
    /// `must_link` or `must_not_link`.
    kind: &'static str,
    #[schema(value_type = Object)]
    a: SubjectShape,
    #[schema(value_type = Object)]
    b: SubjectShape,
    reason: String,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
}

impl From<&ConstraintView> for IdentityConstraint {
    fn from(constraint: &ConstraintView) -> Self {
        Self {
            id: constraint_id(constraint.id),
            kind: match constraint.force {
                Force::MustLink => "must_link",
                Force::MustNotLink => "must_not_link",
            },
            a: (&constraint.a).into(),
            b: (&constraint.b).into(),
            reason: constraint.reason.clone(),
            created_at: constraint.at.to_string(),
        }
    }
}

/// Say that two are one person, or never are
///
/// In force when it is answered, for all events, those of the past and those to come. One that says the same is
/// answered with 200 instead of being made again.
#[utoipa::path(post, path = "/v1/identity/constraints", tag = "identity", request_body = ConstraintRequest,
    responses((status = 201, body = IdentityConstraint), (status = 200, body = IdentityConstraint)))]
pub(crate) async fn create_constraint(
    State(_): State<App>,
    member: Member,
    Document(body): Document,
) -> Answer<Response> {
    let (constraint, created) = member.tenant.constrain(&body).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(IdentityConstraint::from(&constraint))).into_response())
}

/// List constraints
///
/// The oldest first.
#[utoipa::path(get, path = "/v1/identity/constraints", tag = "identity",
    params(
        ("limit" = Option<u16>, Query, description = "1 to 1000, 100 by default"),
        ("cursor" = Option<String>, Query, description = "Where the page begins"),
    ),
    responses((status = 200, body = Page<IdentityConstraint>)))]
pub(crate) async fn list_constraints(
    State(_): State<App>,
    member: Member,
    params: Params,
) -> Answer<Json<Page<IdentityConstraint>>> {
    let limit = params.limit()?;
    let list = List::new("/v1/identity/constraints", Some(member.tenant.no()), &[]);
    let after = list.fixed::<4>(params.cursor())?.map(u32::from_be_bytes);
    let page = member.tenant.constraints(limit, after);
    let next_cursor = page.next.map(|next| list.cursor(&next.to_be_bytes()));
    Ok(Json(Page { items: page.items.iter().map(Into::into).collect(), next_cursor }))
}

/// Remove a constraint
///
/// Profiles are then as if it had never been.
#[utoipa::path(delete, path = "/v1/identity/constraints/{id}", tag = "identity",
    params(("id" = String, Path, description = "`con_…`")), responses((status = 204)))]
pub(crate) async fn delete_constraint(
    State(_): State<App>,
    member: Member,
    Path(id): Path<String>,
) -> Answer<StatusCode> {
    let number = id.strip_prefix("con_").and_then(|number| number.parse::<u32>().ok());
    let number = number.filter(|number| constraint_id(*number) == id);
    member.tenant.release(number.ok_or_else(|| Failure::not_found("constraint"))?).await?;
    Ok(StatusCode::NO_CONTENT)
}
