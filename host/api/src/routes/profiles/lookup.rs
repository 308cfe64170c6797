//! `POST /v1/profiles/lookup`: the profile of an identifier. A POST, so that personal data stays out of addresses.

use axum::extract::State;
use axum::{Extension, Json};
use cdp_domain::problem::{Code as Wrong, Problem};
use cdp_domain::value::Value;
use utoipa::ToSchema;

use super::view::Profile;
use crate::app::App;
use crate::audit::About;
use crate::auth::Member;
use crate::body::Document;
use crate::error::{Answer, Failure};
use crate::fields::Fields;
use crate::params::Params;
use crate::work;

/// Whose profile.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the request")]
pub struct LookupRequest {
    /// One of the person's identifiers.
    identifier: LookupIdentifier,
}

/// A namespace and a value in it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the request")]
pub struct LookupIdentifier {
    /// Such as `email`.
    #[schema(rename = "type")]
    kind: String,
    /// In any spelling.
    value: String,
}

/// Find a profile
#[utoipa::path(post, path = "/v1/profiles/lookup", tag = "profiles", request_body = LookupRequest,
    params(
        ("as_of" = Option<String>, Query, description = "What was known at this instant of the past, from the events up to it"),
        ("min_position" = Option<String>, Query, description = "Wait until this is applied"),
    ),
    responses((status = 200, body = Profile)))]
pub(crate) async fn lookup_profile(
    State(_): State<App>,
    member: Member,
    params: Params,
    Document(body): Document,
) -> Answer<(Extension<About>, Json<Profile>)> {
    let (kind, value) = identifier(body)?;
    params.wait(&member.tenant).await?;
    let as_of = params.as_of(&member.tenant)?;
    let view = work(true, move || match as_of {
        None => member.tenant.lookup(&kind, &value),
        Some(at) => member.tenant.lookup_as_of(&kind, &value, at),
    })
    .await??;
    Ok((Extension(About(view.id.to_string())), Json(view.into())))
}

fn identifier(body: Value) -> Answer<(String, String)> {
    let mut fields = Fields::of(body);
    let Some(identifier) = fields.take("identifier") else {
        fields.add("identifier", Wrong::Required, "is required");
        fields.finish()?;
        return Err(Failure::invalid(vec![Problem::new("/identifier", Wrong::Required, "is required")]));
    };
    let mut inner = Fields::of(identifier);
    let kind = inner.text("type");
    let value = match inner.take("value") {
        Some(Value::Text(text)) => text.into(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => {
            inner.add("value", Wrong::WrongType, "must be a string");
            String::new()
        }
        None => {
            inner.add("value", Wrong::Required, "is required");
            String::new()
        }
    };
    let mut problems = Vec::new();
    if let Err(failure) = inner.finish() {
        problems.extend(failure.errors.into_iter().map(|problem| problem.under("/identifier")));
    }
    if let Err(failure) = fields.finish() {
        problems.extend(failure.errors);
    }
    if problems.is_empty() { Ok((kind, value)) } else { Err(Failure::invalid(problems)) }
}
