//! `GET /v1/segments/{name}/members/{profile}`: why somebody belongs to a segment, or does not.

use axum::Json;
use axum::extract::{Path, State};
use cdp_domain::ids::{FragmentId, Position};
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_engine::segments::{Evidence, Explanation, Reason};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Member;
use crate::error::{Answer, Failure};
use crate::params::Params;
use crate::{plain, work};

/// Whether somebody belongs, and why.
#[derive(Serialize, ToSchema)]
pub struct MemberExplanation {
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    profile_id: FragmentId,
    member: bool,
    /// Whether the profile is restricted: then it is in no segment, whatever the conditions say.
    restricted: bool,
    /// The next instant at which that may turn without a new event.
    #[serde(serialize_with = "plain::maybe")]
    #[schema(value_type = Option<String>, format = DateTime)]
    next_turn: Option<Timestamp>,
    /// Every condition, in the order of the rule.
    conditions: Vec<ConditionAnswer>,
    /// The version of the segment.
    version: u32,
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    position: Position,
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
}

/// What a condition answers.
#[derive(Serialize, ToSchema)]
pub struct ConditionAnswer {
    /// JSON pointer into the rule; what stands behind `/segment` is inside that segment's rule.
    pointer: String,
    /// `true`, `false`, or `missing` where there is no value to compare.
    answer: &'static str,
    /// The value that it compares; null where it compares none.
    #[serde(serialize_with = "plain::value")]
    #[schema(value_type = Object)]
    value: Value,
    /// The newest events that made it so, at most 10.
    evidence: Vec<EvidenceEvent>,
    /// The next instant at which it may turn without a new event.
    #[serde(serialize_with = "plain::maybe")]
    #[schema(value_type = Option<String>, format = DateTime)]
    next_turn: Option<Timestamp>,
}

/// An event.
#[derive(Serialize, ToSchema)]
pub struct EvidenceEvent {
    id: String,
    source: String,
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
}

impl From<Reason> for ConditionAnswer {
    fn from(reason: Reason) -> Self {
        let event = |Evidence { id, source, time }: Evidence| EvidenceEvent { id, source, time };
        Self {
            pointer: reason.pointer,
            answer: reason.answer,
            value: reason.value.unwrap_or_default(),
            evidence: reason.evidence.into_iter().map(event).collect(),
            next_turn: reason.next_turn,
        }
    }
}

impl From<Explanation> for MemberExplanation {
    fn from(explanation: Explanation) -> Self {
        let Explanation { profile_id, member, restricted, next_turn, conditions, .. } = explanation;
        let Explanation { version, position, as_of, .. } = explanation;
        let conditions = conditions.into_iter().map(ConditionAnswer::from).collect();
        Self { profile_id, member, restricted, next_turn, conditions, version, position, as_of }
    }
}

/// Explain a membership
///
/// For any profile, whether it belongs or not.
#[utoipa::path(get, path = "/v1/segments/{name}/members/{profile}", tag = "segments",
    params(
        ("name" = String, Path, description = "Its name"),
        ("profile" = String, Path, description = "`prf_…`"),
        ("min_position" = Option<String>, Query, description = "Wait until this is applied"),
    ),
    responses((status = 200, body = MemberExplanation)))]
pub(crate) async fn explain_member(
    State(_): State<App>,
    member: Member,
    Path((name, profile)): Path<(String, String)>,
    params: Params,
) -> Answer<Json<MemberExplanation>> {
    let id: FragmentId = profile.parse().map_err(|_| Failure::not_found("profile"))?;
    params.wait(&member.tenant).await?;
    let explanation = work(true, move || member.tenant.explain_member(&name, id)).await??;
    Ok(Json(explanation.into()))
}
