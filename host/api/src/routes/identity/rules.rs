//! `GET` and `PUT /v1/identity/rules`: what each identifier type may do.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use cdp_domain::identity::Rules;
use cdp_domain::value::Value;
use cdp_engine::identity::Move;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Member;
use crate::body::Document;
use crate::error::Answer;
use crate::params::Params;
use crate::plain;

/// The rules in force: the version beside what was put, `types` by priority.
#[derive(Serialize, ToSchema)]
pub struct IdentityRules {
    /// 0 for the rules that a tenant begins with; grows with every change.
    version: u32,
    /// `types`, `shared_after` and `block_usual`, as they are put.
    #[serde(flatten, serialize_with = "plain::value")]
    #[schema(value_type = Object)]
    rules: Value,
}

impl From<&Rules> for IdentityRules {
    fn from(rules: &Rules) -> Self {
        Self { version: rules.version, rules: rules.write() }
    }
}

/// Profiles that would become one, or one that would become several.
#[derive(Serialize, ToSchema)]
pub struct IdentityMove {
    /// For a merge the profile that there would be, for a split the one that there is.
    profile_id: String,
    /// For a merge the profiles that there are, for a split those that there would be.
    parts: Vec<String>,
}

impl From<&Move> for IdentityMove {
    fn from(one: &Move) -> Self {
        let parts = one.parts.iter().map(ToString::to_string).collect();
        Self { profile_id: one.profile.to_string(), parts }
    }
}

/// What putting the rules would do, exactly.
#[derive(Serialize, ToSchema)]
pub struct RulesDryRun {
    dry_run: bool,
    merges: Vec<IdentityMove>,
    splits: Vec<IdentityMove>,
    profiles_before: u64,
    profiles_after: u64,
    /// Whether events would be read otherwise from then on, because a normaliser differs; those accepted before stay.
    reads_otherwise: bool,
    /// The last record that this includes.
    position: String,
}

/// Read the rules of identity
#[utoipa::path(get, path = "/v1/identity/rules", tag = "identity", responses((status = 200, body = IdentityRules)))]
pub(crate) async fn get_rules(State(_): State<App>, member: Member) -> Answer<Json<IdentityRules>> {
    Ok(Json((&member.tenant.identity_rules()).into()))
}

/// Change the rules of identity
///
/// Answers when everybody is placed by the new rules. With `dry_run=true` nothing is changed and the answer lists the
/// merges and splits that the change would make.
#[utoipa::path(put, path = "/v1/identity/rules", tag = "identity",
    params(("dry_run" = Option<bool>, Query, description = "Only say what it would do")),
    request_body = Object, responses((status = 200, body = IdentityRules)))]
pub(crate) async fn put_rules(
    State(_): State<App>,
    member: Member,
    params: Params,
    Document(body): Document,
) -> Answer<Response> {
    if params.flag("dry_run")? {
        let run = member.tenant.try_identity_rules(&body).await?;
        let answer = RulesDryRun {
            dry_run: true,
            merges: run.merges.iter().map(Into::into).collect(),
            splits: run.splits.iter().map(Into::into).collect(),
            profiles_before: run.profiles_before,
            profiles_after: run.profiles_after,
            reads_otherwise: run.reads_otherwise,
            position: run.position.to_string(),
        };
        return Ok(Json(answer).into_response());
    }
    member.tenant.put_identity_rules(&body).await?;
    Ok(Json(IdentityRules::from(&member.tenant.identity_rules())).into_response())
}
