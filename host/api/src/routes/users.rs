//! Console users: who works in the console of a tenant. For the command line, and for whoever sets a tenant up.

use axum::Json;
use axum::extract::{Path, State};
use cdp_domain::ids::UserId;
use cdp_domain::problem::Code as Wrong;
use cdp_domain::time::Timestamp;
use cdp_engine::users::{LinkKind, Role, UserInfo};
use compact_str::CompactString;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::page::{self, Page};
use crate::app::App;
use crate::auth::Member;
use crate::body::Document;
use crate::error::{Answer, Failure};
use crate::fields::Fields;
use crate::params::Params;
use crate::plain;

/// Whom to invite.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the request")]
pub struct UserRequest {
    /// By which they sign in, such as an e-mail address; unique in the tenant.
    name: String,
    /// `marketer`, `developer` or `admin`.
    role: String,
    /// What the link does: `invite` (when absent) has a password set, `sign_in` lets in at once.
    link: Option<String>,
}

/// A user and the link by which they come in.
#[derive(Serialize, ToSchema)]
pub struct UserInvited {
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    id: UserId,
    /// Path of the link on this server. It works once, for 24 hours, and is shown this once.
    link: String,
}

/// A console user.
#[derive(Serialize, ToSchema)]
pub struct User {
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    id: UserId,
    #[schema(value_type = String)]
    name: CompactString,
    /// `marketer`, `developer` or `admin`.
    role: &'static str,
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Null while they have no password.
    #[serde(serialize_with = "plain::maybe")]
    #[schema(value_type = Option<String>, format = DateTime)]
    password_set_at: Option<Timestamp>,
}

impl From<UserInfo> for User {
    fn from(info: UserInfo) -> Self {
        let UserInfo { id, name, role, created_at, password_set_at, .. } = info;
        Self { id, name, role: role.as_str(), created_at, password_set_at }
    }
}

/// Where a link leads in the console.
pub(crate) fn path(token: &str) -> String {
    format!("/console/enter/{token}")
}

fn kind(word: Option<&str>, fields: &mut Fields) -> LinkKind {
    match word {
        None | Some("invite") => LinkKind::Invite,
        Some("sign_in") => LinkKind::SignIn,
        Some(_) => {
            fields.add("link", Wrong::Invalid, "must be invite or sign_in");
            LinkKind::Invite
        }
    }
}

/// Invite a console user
///
/// The answer's link lets them in once. A link that lets in at once is for whoever sets a tenant up by a program.
#[utoipa::path(post, path = "/v1/users", tag = "users", request_body = UserRequest, responses((status = 201, body = UserInvited)))]
pub(crate) async fn create_user(
    State(app): State<App>,
    member: Member,
    Document(body): Document,
) -> Answer<(StatusCode, Json<UserInvited>)> {
    let mut fields = Fields::of(body);
    let (name, word) = (fields.text("name"), fields.text("role"));
    let link = fields.optional_text("link");
    let link = kind(link.as_deref(), &mut fields);
    let role = Role::find(&word).unwrap_or_else(|| {
        if !word.is_empty() {
            fields.add("role", Wrong::Invalid, "must be marketer, developer or admin");
        }
        Role::Marketer
    });
    fields.finish()?;
    let (user, token) = app.engine().invite_user(&member.tenant, &name, role, link).await?;
    Ok((StatusCode::CREATED, Json(UserInvited { id: user.id, link: path(&token) })))
}

/// List console users
#[utoipa::path(get, path = "/v1/users", tag = "users",
    params(
        ("limit" = Option<u16>, Query, description = "1 to 1000, 100 by default"),
        ("cursor" = Option<String>, Query, description = "Where the page begins"),
    ),
    responses((status = 200, body = Page<User>)))]
pub(crate) async fn list_users(
    State(app): State<App>,
    member: Member,
    params: Params,
) -> Answer<Json<Page<User>>> {
    let list = ("/v1/users", Some(member.tenant.no()));
    let all = app.engine().users(&member.tenant);
    Ok(Json(page::of_names(&params, list, all, |user| user.name.to_string(), User::from)?))
}

/// Remove a console user
///
/// Their sessions end at once. 409 for the last admin.
#[utoipa::path(delete, path = "/v1/users/{id}", tag = "users", params(("id" = String, Path, description = "`usr_…`")),
    responses((status = 204, description = "Removed")))]
pub(crate) async fn delete_user(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
) -> Answer<StatusCode> {
    app.engine().remove_user(&member.tenant, parse(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What the link does.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the request")]
pub struct LinkRequest {
    /// `invite` (when absent) or `sign_in`.
    link: Option<String>,
}

/// Make another link for a console user
///
/// The one before is void. With `invite` a new password is set: for whoever forgot theirs.
#[utoipa::path(post, path = "/v1/users/{id}/link", tag = "users", params(("id" = String, Path, description = "`usr_…`")),
    request_body = LinkRequest, responses((status = 201, body = UserInvited)))]
pub(crate) async fn link_user(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
    Document(body): Document,
) -> Answer<(StatusCode, Json<UserInvited>)> {
    let id = parse(&id)?;
    let mut fields = Fields::of(body);
    let link = fields.optional_text("link");
    let link = kind(link.as_deref(), &mut fields);
    fields.finish()?;
    let token = app.engine().link_user(&member.tenant, id, link).await?;
    Ok((StatusCode::CREATED, Json(UserInvited { id, link: path(&token) })))
}

fn parse(id: &str) -> Answer<UserId> {
    id.parse().map_err(|_| Failure::not_found("user"))
}
