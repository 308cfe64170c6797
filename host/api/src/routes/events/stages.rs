//! The stages of a receipt as clients see them.

use cdp_domain::ids::{FragmentId, Position};
use cdp_domain::problem::Problem;
use cdp_domain::time::Timestamp;
use cdp_engine::receipts;
use compact_str::CompactString;
use serde::Serialize;
use utoipa::ToSchema;

use crate::plain;

/// A value that was not stored.
#[derive(Serialize, ToSchema)]
pub struct GuardedValue {
    /// Where it stood.
    pointer: String,
    /// The purpose whose consent was missing.
    #[schema(value_type = String)]
    purpose: CompactString,
    /// `remove`, or `hash`: a keyed digest stands in its place.
    action: &'static str,
}

/// One stage that an event passed; `stage` names it.
#[derive(Serialize, ToSchema)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Stage {
    /// It is durable.
    Accepted {
        /// Where it stands in the journal.
        #[serde(serialize_with = "plain::printed")]
        #[schema(value_type = String)]
        position: Position,
        /// When.
        #[serde(serialize_with = "plain::printed")]
        #[schema(value_type = String, format = DateTime)]
        at: Timestamp,
    },
    /// Its time was judged by what the sender's clock showed, once, when it was accepted.
    ClockJudged {
        /// When it happened, by the sender's clock.
        #[serde(serialize_with = "plain::printed")]
        #[schema(value_type = String, format = DateTime)]
        original_time: Timestamp,
        /// When it was sent, by the sender's clock.
        #[serde(serialize_with = "plain::printed")]
        #[schema(value_type = String, format = DateTime)]
        sent_at: Timestamp,
        /// By how many milliseconds the time was moved; 0 when the clock was taken to be right.
        skew_ms: i64,
    },
    /// The schema of its type found it wanting.
    SchemaChecked {
        /// The version of the schema.
        version: u32,
        /// Pointers to the values that were left out.
        omitted: Vec<String>,
        /// Why it was kept out of state, where it was.
        #[schema(value_type = Vec<Object>)]
        errors: Vec<Problem>,
    },
    /// Values were taken out before it was stored, because a purpose's consent was missing.
    Guarded {
        /// What was taken out, in order.
        values: Vec<GuardedValue>,
    },
    /// A transformer saw it, or would have.
    Transformed {
        /// The plugin.
        #[schema(value_type = String)]
        plugin: CompactString,
        /// Its version.
        version: u32,
        /// BLAKE3 of the component, in hex.
        digest: String,
        /// `changed`, `unchanged`, `not_concerned` (the plugin does not ask for this type), `suspended` (the event
        /// passed untouched), or `kept_out`.
        outcome: &'static str,
        /// What it wrote, in order.
        changes: Vec<Change>,
        /// The events that it made of this one, or of what others had made of it.
        new_events: Vec<NewEvent>,
    },
    /// It was kept out of state.
    KeptOut {
        /// `dead_letter`, `dropped` or `suppressed`.
        status: &'static str,
        /// Why, as a stable word.
        code: &'static str,
        /// The plugin that said so; null when it was the event's own content.
        plugin: Option<String>,
        /// Why, in one sentence.
        reason: String,
        /// The places at fault, where places are.
        #[schema(value_type = Vec<Object>)]
        errors: Vec<Problem>,
    },
    /// It was tried again.
    Replayed {
        /// The record that asked for it.
        #[serde(serialize_with = "plain::printed")]
        #[schema(value_type = String)]
        position: Position,
        /// When.
        #[serde(serialize_with = "plain::printed")]
        #[schema(value_type = String, format = DateTime)]
        at: Timestamp,
        /// `job_…`
        job: String,
        /// `applied`, or how it is kept out again.
        status: &'static str,
        /// Why it was kept out again.
        code: Option<&'static str>,
        /// The plugin that said so.
        plugin: Option<String>,
        /// Why, in one sentence.
        reason: Option<String>,
    },
    /// It was found whose it is.
    Identified {
        /// The set of identifiers that the event carries, as an id.
        #[serde(serialize_with = "plain::printed")]
        #[schema(value_type = String)]
        fragment_id: FragmentId,
        /// The profile that it belongs to now.
        #[serde(serialize_with = "plain::printed")]
        #[schema(value_type = String)]
        profile_id: FragmentId,
        /// The types of its identifiers.
        #[schema(value_type = Vec<String>)]
        identifier_types: Vec<CompactString>,
        /// It is the earliest event with exactly these identifiers.
        first: bool,
        /// How many sets of identifiers the profile consists of now.
        fragments: usize,
    },
    /// It is in state.
    Applied {
        /// With this record: its own, or that of the replay.
        #[serde(serialize_with = "plain::printed")]
        #[schema(value_type = String)]
        position: Position,
        /// The traits that it writes.
        traits: Vec<TraitWritten>,
        /// How many contact points it names.
        channels: usize,
        /// How many consent decisions it carries.
        consents: usize,
        /// The attributes that take it in now.
        attributes: Vec<Definition>,
        /// The segments that somebody entered with it.
        entered: Vec<Moved>,
        /// The segments that somebody left with it.
        left: Vec<Moved>,
    },
}

/// A value that a transformer wrote.
#[derive(Serialize, ToSchema)]
#[schema(as = TransformChange)]
pub struct Change {
    /// Where.
    pointer: String,
    /// `set` or `removed`.
    change: &'static str,
}

/// An event that a transformer made.
#[derive(Serialize, ToSchema)]
pub struct NewEvent {
    /// The id of the event that was accepted, `.$` and a number.
    #[schema(value_type = String)]
    id: CompactString,
    /// Its type.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    kind: CompactString,
    /// When it happened.
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    /// Whether it is in state: not when a later transformer dropped it.
    kept: bool,
}

/// A trait that an event writes.
#[derive(Serialize, ToSchema)]
pub struct TraitWritten {
    #[schema(value_type = String)]
    name: CompactString,
    /// Whether the profile's value is due to this event now.
    stands: bool,
}

/// A version of a definition.
#[derive(Serialize, ToSchema)]
#[schema(as = DefinitionVersion)]
pub struct Definition {
    #[schema(value_type = String)]
    name: CompactString,
    version: u32,
}

/// Somebody entered or left a segment.
#[derive(Serialize, ToSchema)]
#[schema(as = SegmentMoved)]
pub struct Moved {
    #[schema(value_type = String)]
    segment: CompactString,
    version: u32,
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    profile_id: FragmentId,
}

impl From<receipts::SegmentRef> for Moved {
    fn from(of: receipts::SegmentRef) -> Self {
        Self { segment: of.name, version: of.version, profile_id: of.profile }
    }
}

/// Shapes a stage.
pub(super) fn stage(stage: receipts::Stage) -> Stage {
    use receipts::Stage as S;
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    match stage {
        S::Accepted { position, at } => Stage::Accepted { position, at },
        S::ClockJudged { original_time, sent_at, skew_ms } => {
            Stage::ClockJudged { original_time, sent_at, skew_ms }
        }
        S::Checked(checked) => Stage::SchemaChecked {
            version: checked.version,
            omitted: checked.omitted,
            errors: checked.quarantined,
        },
        S::Guarded(guarded) => Stage::Guarded {
            values: guarded
                .into_iter()
                .map(|one| GuardedValue {
                    pointer: one.pointer,
                    purpose: one.purpose,
                    action: if one.hashed { "hash" } else { "remove" },
                })
                .collect(),
        },
        S::KeptOut { code, plugin, reason, problems } => Stage::KeptOut {
            status: code.kept().as_str(),
            code: code.as_str(),
            plugin: some(plugin),
            reason,
            errors: problems,
        },
        S::Replayed(attempt) => Stage::Replayed {
            position: attempt.position,
            at: attempt.at,
            job: attempt.job.to_string(),
            status: attempt.code.map_or("applied", |code| code.kept().as_str()),
            code: attempt.code.map(|code| code.as_str()),
            plugin: some(attempt.plugin),
            reason: some(attempt.reason),
        },
        S::Transformed { plugin, version, digest, outcome, changes, new_events } => {
            let new_event = |one: receipts::NewEventRef| NewEvent {
                id: one.id,
                kind: one.kind,
                time: one.time,
                kept: one.kept,
            };
            let change = |removed| if removed { "removed" } else { "set" };
            let changes =
                changes.into_iter().map(|one| Change { pointer: one.pointer, change: change(one.removed) });
            Stage::Transformed {
                plugin,
                version,
                digest,
                outcome: outcome.as_str(),
                changes: changes.collect(),
                new_events: new_events.into_iter().map(new_event).collect(),
            }
        }
        S::Identified { fragment, profile, identifiers, first, fragments } => Stage::Identified {
            fragment_id: fragment,
            profile_id: profile,
            identifier_types: identifiers,
            first,
            fragments,
        },
        S::Applied { position, traits, channels, consents, attributes, entered, left } => Stage::Applied {
            position,
            traits: traits
                .into_iter()
                .map(|one| TraitWritten { name: one.name, stands: one.stands })
                .collect(),
            channels,
            consents,
            attributes: attributes.into_iter().map(|(name, version)| Definition { name, version }).collect(),
            entered: entered.into_iter().map(Moved::from).collect(),
            left: left.into_iter().map(Moved::from).collect(),
        },
    }
}
