//! What a journal says of the configuration: one change a record.

use std::collections::BTreeMap;

use cdp_domain::attribute::Definition;
use cdp_domain::consent::signals::Mapping;
use cdp_domain::expr::Cutoffs;
use cdp_domain::identity::Rules;
use cdp_domain::ids::{FragmentId, JobId, Position};
use cdp_domain::segment::Rule;
use cdp_domain::time::Timestamp;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::{Activation, Canary, Constrained, DerivationVersion, PluginTrust, PluginVersion, Purpose};
use crate::acceptance::Checked;
use crate::catalogue::Schema;
use crate::dead_letters::Replay;
use crate::exports::{Destination, DestinationState, Schedule};
use crate::privacy::{Erasure, OpenDsr, Restriction, SubjectRequest, Telling};
use crate::retention::{Aged, Keep};
use crate::tables::TableVersion;

/// One change of configuration, as it stands in the journal (JSON).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// An attribute was defined or redefined: it is built from here on, and from the past by `job`.
    AttributePut {
        /// Its name.
        name: CompactString,
        /// Its number in state; never reused.
        no: u32,
        /// What it computes.
        definition: Definition,
        /// The job that builds its past.
        job: JobId,
    },
    /// The past of an attribute is built: this number serves from here on.
    AttributePublished {
        /// Its name.
        name: CompactString,
        /// The number that serves.
        no: u32,
    },
    /// An attribute was removed.
    AttributeDeleted {
        /// Its name.
        name: CompactString,
    },
    /// A segment was defined or redefined.
    SegmentPut {
        /// Its name.
        name: CompactString,
        /// Its number in state; never reused.
        no: u32,
        /// For people.
        title: String,
        /// Who belongs to it.
        rule: Rule,
        /// Whether a new version waits to be published by hand.
        hold: bool,
        /// Whether those who enter and leave by the new version are reported as changes.
        announce: bool,
        /// The job that finds its first members.
        job: JobId,
    },
    /// The first members of a segment are found: this number serves from here on.
    SegmentPublished {
        /// Its name.
        name: CompactString,
        /// The number that serves.
        no: u32,
        /// When.
        at: Timestamp,
        /// Whether those who enter and leave by the new version are reported as changes.
        announce: bool,
    },
    /// Rankings were measured over all profiles: these tables are read from here on.
    RankingsMeasured {
        /// By the ranking's number.
        tables: Vec<(u32, Cutoffs)>,
        /// When.
        at: Timestamp,
    },
    /// A segment was removed.
    SegmentDeleted {
        /// Its name.
        name: CompactString,
    },
    /// A purpose was registered or changed.
    PurposePut {
        /// Its name.
        name: CompactString,
        /// What it is.
        purpose: Purpose,
    },
    /// A plugin's component was taken in; its bytes lie in the data directory under the digest.
    PluginUploaded {
        /// The plugin.
        name: CompactString,
        /// What is known of this version.
        version: PluginVersion,
    },
    /// A version of a plugin runs from here on.
    PluginActivated {
        /// The plugin.
        name: CompactString,
        /// Which version, with what.
        activation: Activation,
        /// Of one that returns because the one that ran gave way by itself: why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        because: Option<String>,
    },
    /// A version of a transformer is tried on a share of the events from here on, or, without one, on none any more.
    PluginTried {
        /// The plugin.
        name: CompactString,
        /// What is tried.
        canary: Option<Canary>,
        /// Of one that failed: why it is tried no more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        because: Option<String>,
    },
    /// A version that was taken in before is known to be signed.
    PluginSigned {
        /// The plugin.
        name: CompactString,
        /// The version.
        version: u32,
        /// By which key.
        signed_by: Option<String>,
    },
    /// Whose plugins are taken from here on.
    PluginTrustPut {
        /// The keys, and whether one of them must have signed.
        trust: PluginTrust,
    },
    /// Transformers take their turns in this order from here on; those that are not named come behind.
    PluginsOrdered {
        /// Their names, the first first.
        names: Vec<CompactString>,
    },
    /// A plugin does not run until it is resumed; events pass it untouched.
    PluginSuspended {
        /// The plugin.
        name: CompactString,
        /// Why.
        reason: String,
    },
    /// A suspended plugin runs again.
    PluginResumed {
        /// The plugin.
        name: CompactString,
    },
    /// A lookup table was uploaded; its rows lie in the data directory under the digest.
    TablePut {
        /// Its name.
        name: CompactString,
        /// What is read from here on.
        table: TableVersion,
    },
    /// A lookup table was removed.
    TableDeleted {
        /// Its name.
        name: CompactString,
    },
    /// A version of a plugin begins to derive for a slot; another one may serve meanwhile.
    DerivationBegun {
        /// The slot's number; never reused.
        slot: u32,
        /// The plugin.
        plugin: CompactString,
        /// The configuration that the slot asks for; None takes the plugin's.
        config: Option<String>,
        /// The event types that the slot asks for; empty means all.
        events: Vec<CompactString>,
        /// Its number in state; never reused.
        no: u32,
        /// What derives.
        version: Box<DerivationVersion>,
    },
    /// The past of a derivation is built: it serves from here on.
    DerivationPublished {
        /// The slot.
        slot: u32,
        /// The number that serves.
        no: u32,
    },
    /// A type got a schema, or another one.
    SchemaPut {
        /// The event type.
        kind: CompactString,
        /// What its events should carry.
        schema: Schema,
    },
    /// A type has no schema any more.
    SchemaDeleted {
        /// The event type.
        kind: CompactString,
    },
    /// Events that were kept out of state are to be tried again.
    ReplayRequested {
        /// Which, and by which job.
        replay: Replay,
    },
    /// One of them is tried again here. Changes no configuration.
    EventReplayed {
        /// Where the event stands.
        event: Position,
        /// The job that it belongs to.
        job: JobId,
        /// What the schema of the event's type says now, where it says anything.
        checked: Option<Checked>,
    },
    /// A replay is carried out, or was cancelled.
    ReplayEnded {
        /// Its job.
        job: JobId,
    },
    /// The rules of identity changed; everybody is placed anew.
    RulesPut {
        /// The rules; their version is given when they are applied.
        rules: Rules,
    },
    /// A constraint on identity was made.
    ConstraintPut {
        /// What it says.
        constraint: Constrained,
    },
    /// A constraint on identity was removed.
    ConstraintDeleted {
        /// What it said.
        constraint: Constrained,
    },
    /// Privacy signals are about these purposes from here on.
    SignalsPut {
        /// Which.
        mapping: Mapping,
    },
    /// Somebody is erased: from here on nothing is known of them.
    Erased {
        /// Of whom, in digests and ids.
        erasure: Erasure,
    },
    /// An erasure is carried out to its end.
    ErasureEnded {
        /// Its job.
        job: JobId,
        /// What it came to, as clients see it.
        certificate: serde_json::Value,
    },
    /// What names a digest is taken in again.
    SuppressionLifted {
        /// The keyed digest.
        digest: [u8; 16],
        /// Why.
        reason: String,
        /// With which key it was asked for.
        by: String,
    },
    /// Somebody is kept and not used from here on.
    Restricted {
        /// Of whom, in digests and ids.
        restriction: Restriction,
    },
    /// A restriction holds no longer.
    RestrictionLifted {
        /// What it said.
        restriction: Restriction,
        /// Why.
        reason: String,
        /// With which key it was asked for.
        by: String,
    },
    /// Requests in OpenDSR form are answered like this from here on.
    OpenDsrPut {
        /// How.
        settings: OpenDsr,
    },
    /// A request in OpenDSR form came, or went on.
    SubjectRequested {
        /// What is kept of it.
        request: SubjectRequest,
    },
    /// Events are kept for so long from here on.
    RetentionPut {
        /// By event type.
        rules: BTreeMap<CompactString, Keep>,
        /// When it was said.
        at: Timestamp,
    },
    /// Every event is gone whose days were over at an instant.
    RetentionSwept {
        /// The instant.
        at: Timestamp,
    },
    /// Events of a fragment are gone by their age. Changes no configuration.
    Aged {
        /// Whose.
        fragment: FragmentId,
        /// Which, and what stays of them.
        #[serde(with = "crate::retention::packed")]
        aged: Box<Aged>,
    },
    /// What records up to a place name is redacted. Changes no configuration.
    AgedRedacted {
        /// The place of the last of them.
        upto: Position,
        /// Events of theirs that are not, because no stub could be made of them or it does not fit.
        kept: Vec<Position>,
    },
    /// Somebody was told how far a request in OpenDSR form is, or could not be.
    SubjectTold {
        /// The request.
        id: [u8; 16],
        /// Which of its addresses.
        n: usize,
        /// How far it is.
        telling: Telling,
        /// Whether somebody is to be told something yet.
        open: bool,
    },
    /// A change that named somebody who was erased; nothing is left of it. Never written, only read.
    Redacted,
    /// A run of an export began or ended; what it is stands in the JSON, the last record counts.
    ExportRecorded {
        /// The export's id.
        id: cdp_domain::ids::ExportId,
        /// As clients see it.
        info: serde_json::Value,
    },
    /// A destination was set up or changed.
    DestinationPut {
        /// Its name.
        name: CompactString,
        /// What it is; its secrets are sealed.
        destination: Destination,
    },
    /// A destination takes things, or does not, from here on.
    DestinationMarked {
        /// Its name.
        name: CompactString,
        /// Whether.
        state: DestinationState,
    },
    /// A destination was removed.
    DestinationDeleted {
        /// Its name.
        name: CompactString,
    },
    /// A schedule was set up or changed.
    SchedulePut {
        /// Its name.
        name: CompactString,
        /// What it is.
        schedule: Schedule,
    },
    /// An instant of a schedule was dealt with.
    ScheduleFired {
        /// Its name.
        name: CompactString,
        /// The instant.
        at: Timestamp,
        /// The run that began for it.
        export: Option<cdp_domain::ids::ExportId>,
        /// Why none did.
        skipped: Option<String>,
    },
    /// A schedule was removed.
    ScheduleDeleted {
        /// Its name.
        name: CompactString,
    },
}
