//! A profile as clients see it.

use std::collections::BTreeMap;

use cdp_domain::ids::{FragmentId, Position};
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_engine::profiles::{self, ProfileView};
use compact_str::CompactString;
use serde::Serialize;
use utoipa::ToSchema;

use crate::plain;

/// What is held about one person.
#[derive(Serialize, ToSchema)]
pub struct Profile {
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    id: FragmentId,
    identifiers: Vec<Identifier>,
    #[schema(value_type = BTreeMap<String, Trait>)]
    traits: BTreeMap<CompactString, Trait>,
    #[schema(value_type = BTreeMap<String, Attribute>)]
    attributes: BTreeMap<CompactString, Attribute>,
    channels: Vec<Channel>,
    /// Names of the segments it belongs to.
    #[schema(value_type = Vec<String>)]
    segments: Vec<CompactString>,
    /// Restrictions that hold for it: while there is one it is in no segment and no audience.
    restrictions: Vec<HeldBy>,
    /// Time of the earliest event.
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String, format = DateTime)]
    first_seen: Timestamp,
    /// Time of the latest event.
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String, format = DateTime)]
    last_seen: Timestamp,
    /// The last record that is in this view.
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    position: Position,
    /// The fragments that identity resolution joined, the earliest first; each of them names this profile.
    fragments: Vec<String>,
}

/// A restriction.
#[derive(Serialize, ToSchema)]
#[schema(as = HeldBy)]
struct HeldBy {
    /// `res_…`
    id: String,
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
}

/// A namespace and a value in it.
#[derive(Serialize, ToSchema)]
#[schema(as = Identifier)]
struct Identifier {
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    kind: CompactString,
    #[schema(value_type = String)]
    value: CompactString,
}

/// A reported value and where it comes from.
#[derive(Serialize, ToSchema)]
#[schema(as = Trait)]
struct Trait {
    #[serde(serialize_with = "plain::value")]
    #[schema(value_type = Object)]
    value: Value,
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    #[schema(value_type = String)]
    source: CompactString,
    #[schema(value_type = String)]
    event_id: CompactString,
}

/// A computed value.
#[derive(Serialize, ToSchema)]
#[schema(as = AttributeReading)]
struct Attribute {
    /// Null when it is missing.
    #[serde(serialize_with = "plain::value")]
    #[schema(value_type = Object)]
    value: Value,
    /// When it may change by itself.
    #[serde(serialize_with = "plain::maybe")]
    #[schema(value_type = Option<String>, format = DateTime)]
    valid_until: Option<Timestamp>,
    #[schema(value_type = String)]
    computed_by: CompactString,
}

/// A contact point and the consents on it, by purpose.
#[derive(Serialize, ToSchema)]
#[schema(as = Channel)]
struct Channel {
    #[schema(value_type = String)]
    channel: CompactString,
    #[schema(value_type = String)]
    address: CompactString,
    #[schema(value_type = BTreeMap<String, Consent>)]
    consents: BTreeMap<CompactString, Consent>,
}

/// What was decided for a purpose.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsentStatus)]
struct Consent {
    /// `granted`, `denied`, `withdrawn` or `expired`.
    status: &'static str,
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
}

impl From<ProfileView> for Profile {
    fn from(view: ProfileView) -> Self {
        let identifiers =
            view.identifiers.into_iter().map(|one| Identifier { kind: one.kind, value: one.value });
        let traits = view.traits.into_iter().map(|(name, seen)| {
            let profiles::TraitView { value, time, source, event_id } = seen;
            (name, Trait { value, time, source, event_id })
        });
        let attributes = view.attributes.into_iter().map(|(name, read)| {
            let (valid_until, computed_by) = (read.valid_until, read.computed_by);
            (name, Attribute { value: read.value.unwrap_or_default(), valid_until, computed_by })
        });
        let channels = view.channels.into_iter().map(|one| Channel {
            channel: one.contact.channel,
            address: one.contact.address,
            consents: one
                .consents
                .into_iter()
                .map(|(purpose, consent)| (purpose, Consent { status: consent.status, time: consent.time }))
                .collect(),
        });
        Self {
            id: view.id,
            identifiers: identifiers.collect(),
            traits: traits.collect(),
            attributes: attributes.collect(),
            channels: channels.collect(),
            segments: view.segments,
            restrictions: view
                .restrictions
                .into_iter()
                .map(|(id, since)| HeldBy { id: cdp_engine::privacy::restriction_id(id), since })
                .collect(),
            first_seen: view.first_seen,
            last_seen: view.last_seen,
            position: view.position,
            fragments: view.fragments.iter().map(ToString::to_string).collect(),
        }
    }
}
