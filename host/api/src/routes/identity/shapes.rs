//! Identifiers, fragments and reasons as clients see them.

use cdp_domain::identifier::Identifier;
use cdp_domain::identity::{Decision, Reason, Standing, Subject};
use cdp_domain::stamp::Stamp;
use serde::Serialize;
use utoipa::ToSchema;

/// A namespace and a value in it.
#[derive(Serialize, ToSchema)]
#[schema(as = NamedIdentifier)]
pub struct Named {
    #[serde(rename = "type")]
    kind: String,
    value: String,
}

impl From<&Identifier> for Named {
    fn from(identifier: &Identifier) -> Self {
        Self { kind: identifier.kind.to_string(), value: identifier.value.to_string() }
    }
}

/// An identifier, or the id of a profile or fragment.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum SubjectShape {
    /// An identifier.
    Identifier(Named),
    /// An id.
    Id(String),
}

impl From<&Subject> for SubjectShape {
    fn from(subject: &Subject) -> Self {
        match subject {
            Subject::Identifier(identifier) => Self::Identifier(identifier.into()),
            Subject::Fragment(id) => Self::Id(id.to_string()),
        }
    }
}

/// An event, by what identifies it.
#[derive(Serialize, ToSchema)]
pub struct EventRef {
    /// When it happened.
    #[schema(format = DateTime)]
    time: String,
    source: String,
    event_id: String,
}

impl From<&Stamp> for EventRef {
    fn from(stamp: &Stamp) -> Self {
        Self {
            time: stamp.time().to_string(),
            source: stamp.source().to_owned(),
            event_id: stamp.id().to_owned(),
        }
    }
}

/// What joining by an identifier would have broken.
#[derive(Serialize, ToSchema)]
pub struct Why {
    /// `unique`, `limit`, `constraint` or `client`.
    rule: &'static str,
    /// The identifier type whose rule it is.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    /// The constraint.
    #[serde(skip_serializing_if = "Option::is_none")]
    constraint: Option<String>,
}

impl From<&Reason> for Why {
    fn from(reason: &Reason) -> Self {
        let (rule, kind, constraint) = match reason {
            Reason::Unique(kind) => ("unique", Some(kind.to_string()), None),
            Reason::Limit(kind) => ("limit", Some(kind.to_string()), None),
            Reason::Constraint(id) => ("constraint", None, Some(constraint_id(*id))),
            Reason::Client => ("client", None, None),
        };
        Self { rule, kind, constraint }
    }
}

/// A constraint's number as an id.
pub(crate) fn constraint_id(id: u32) -> String {
    format!("con_{id}")
}

/// What an identifier does.
pub(crate) fn standing(standing: Standing, set_aside: bool) -> &'static str {
    match standing {
        Standing::Links if set_aside => "set_aside",
        Standing::Links => "links",
        Standing::Blocked => "blocked",
        Standing::Shared => "shared",
        Standing::Overgrown => "overgrown",
    }
}

/// What became of a fragment.
pub(crate) fn decision(decision: Decision) -> &'static str {
    match decision {
        Decision::Created => "created",
        Decision::Attached => "attached",
        Decision::Merged => "merged",
    }
}
