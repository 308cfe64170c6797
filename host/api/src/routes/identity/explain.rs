//! `POST /v1/identity/explain`: why two are one person, or why they are not.

use axum::Json;
use axum::extract::State;
use cdp_engine::identity::{Apart, EvidenceStep, Explanation};
use serde::Serialize;
use utoipa::ToSchema;

use super::shapes::{EventRef, Named, SubjectShape, Why, constraint_id, standing};
use crate::app::App;
use crate::auth::Member;
use crate::body::Document;
use crate::error::Answer;
use crate::params::Params;
use crate::work;

/// About whom.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the request")]
pub struct ExplainRequest {
    /// An identifier `{type, value}`, or the id of a profile or fragment.
    #[schema(value_type = Object)]
    a: String,
    /// The other.
    #[schema(value_type = Object)]
    b: String,
}

/// An answer. What does not apply is absent.
#[derive(Serialize, ToSchema, Default)]
pub struct IdentityExplanation {
    /// Whether they are one person.
    linked: bool,
    /// The profile of both, when they are one.
    #[serde(skip_serializing_if = "Option::is_none")]
    profile_id: Option<String>,
    /// The shortest path of evidence from `a` to `b`: identifiers and the events that carry both neighbours.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<Vec<Evidence>>,
    /// The least evidence without which they would be two.
    #[serde(skip_serializing_if = "Option::is_none")]
    separating: Option<Vec<Evidence>>,
    /// The profile of `a`, when they are two.
    #[serde(skip_serializing_if = "Option::is_none")]
    a: Option<String>,
    /// The profile of `b`, when they are two.
    #[serde(skip_serializing_if = "Option::is_none")]
    b: Option<String>,
    /// What stands between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<Vec<Between>>,
}

/// A step on a path, or a piece of evidence. What does not apply is absent.
#[derive(Serialize, ToSchema, Default)]
pub struct Evidence {
    /// `identifier`, `fragment`, `carries` (a fragment asked about has an identifier) or `constraint`.
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<Named>,
    /// The fragment.
    #[serde(skip_serializing_if = "Option::is_none")]
    fragment: Option<String>,
    /// Its first event.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_event: Option<EventRef>,
    /// How many events it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<u64>,
    /// Its identifiers.
    #[serde(skip_serializing_if = "Option::is_none")]
    identifiers: Option<Vec<Named>>,
    /// A `must_link`.
    #[serde(skip_serializing_if = "Option::is_none")]
    constraint: Option<String>,
}

/// What stands between two. What does not apply is absent.
#[derive(Serialize, ToSchema, Default)]
pub struct Between {
    /// `unknown`, `shared`, `blocked`, `overgrown`, `set_aside`, `constraint` or `nothing_in_common`.
    kind: &'static str,
    /// Who is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    subject: Option<SubjectShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<Named>,
    /// Whose turn it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    fragment: Option<String>,
    /// What joining would have broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Why>,
    /// A `must_not_link`.
    #[serde(skip_serializing_if = "Option::is_none")]
    constraint: Option<String>,
}

impl From<&EvidenceStep> for Evidence {
    fn from(step: &EvidenceStep) -> Self {
        match step {
            EvidenceStep::Identifier(identifier) => {
                Self { kind: "identifier", identifier: Some(identifier.into()), ..Self::default() }
            }
            EvidenceStep::Fragment { id, first, events, identifiers } => Self {
                kind: "fragment",
                fragment: Some(id.to_string()),
                first_event: Some(first.into()),
                events: Some(*events),
                identifiers: Some(identifiers.iter().map(Into::into).collect()),
                ..Self::default()
            },
            EvidenceStep::Carries { id, identifier } => Self {
                kind: "carries",
                fragment: Some(id.to_string()),
                identifier: Some(identifier.into()),
                ..Self::default()
            },
            EvidenceStep::Constraint(id) => {
                Self { kind: "constraint", constraint: Some(constraint_id(*id)), ..Self::default() }
            }
        }
    }
}

impl From<&Apart> for Between {
    fn from(apart: &Apart) -> Self {
        match apart {
            Apart::Unknown(subject) => {
                Self { kind: "unknown", subject: Some(subject.into()), ..Self::default() }
            }
            Apart::NotLinking { identifier, standing: does } => {
                Self { kind: standing(*does, false), identifier: Some(identifier.into()), ..Self::default() }
            }
            Apart::SetAside { fragment, identifier, reason } => Self {
                kind: "set_aside",
                identifier: Some(identifier.into()),
                fragment: Some(fragment.to_string()),
                reason: Some(reason.into()),
                ..Self::default()
            },
            Apart::Constraint(id) => {
                Self { kind: "constraint", constraint: Some(constraint_id(*id)), ..Self::default() }
            }
            Apart::NothingInCommon => Self { kind: "nothing_in_common", ..Self::default() },
        }
    }
}

/// Explain why two are one person, or two
#[utoipa::path(post, path = "/v1/identity/explain", tag = "identity", request_body = ExplainRequest,
    params(("min_position" = Option<String>, Query, description = "Wait until this is applied")),
    responses((status = 200, body = IdentityExplanation)))]
pub(crate) async fn explain(
    State(_): State<App>,
    member: Member,
    params: Params,
    Document(body): Document,
) -> Answer<Json<IdentityExplanation>> {
    params.wait(&member.tenant).await?;
    let explanation = work(true, move || member.tenant.explain(&body)).await??;
    let all = |steps: &[EvidenceStep]| Some(steps.iter().map(Into::into).collect());
    Ok(Json(match explanation {
        Explanation::Linked { profile, path, separating } => IdentityExplanation {
            linked: true,
            profile_id: Some(profile.to_string()),
            path: all(&path),
            separating: all(&separating),
            ..IdentityExplanation::default()
        },
        Explanation::Apart { a, b, because } => IdentityExplanation {
            a: a.map(|id| id.to_string()),
            b: b.map(|id| id.to_string()),
            because: Some(because.iter().map(Into::into).collect()),
            ..IdentityExplanation::default()
        },
    }))
}
