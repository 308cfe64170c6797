//! A tenant's configuration: what was defined, in which version, and what of it is still being built.
//!
//! It changes only by [`Change`]s, which are journal records; [`Config::apply`] is the whole life cycle, and pure.

mod change;
mod history;
mod identity;
mod plugin;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cdp_domain::attribute::Definition;
use cdp_domain::consent::signals::Mapping;
use cdp_domain::expr::{Cutoffs, Expr};
use cdp_domain::fold::Spec;
use cdp_domain::ids::{JobId, Position};
use cdp_domain::segment::{Formula, Rule};
use cdp_domain::time::Timestamp;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::catalogue::Schema;
use crate::dead_letters::Replay;
pub use crate::derivations::{Carries, DerivationVersion, Held, Slot};
use crate::exports::{Destination, Schedule};
use crate::privacy::{Erasure, OpenDsr};
pub use crate::purposes::{Policy, Purpose};
use crate::retention::Retention;
use crate::tables::TableVersion;
pub use change::Change;
pub use identity::{Constrained, Identity, NORMALISER_CHANGES_MAX};
pub use plugin::{
    Activation, CANARY_SHARES, Canary, EARLIER_ACTIVATIONS_MAX, GaveWay, Lot, Plugin, PluginTrust,
    PluginVersion, TrustedKey,
};

/// Plugins by name. Shared by all that were: a configuration is taken anew with every change, and what a tenant brings of
/// plugins is large.
pub type Plugins = Arc<BTreeMap<CompactString, Arc<Plugin>>>;

/// A version of an attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttributeVersion {
    /// Its number in state.
    pub no: u32,
    /// 1, 2, … under its name.
    pub version: u32,
    /// What it computes.
    pub definition: Definition,
    /// The same, read of folds.
    pub expr: Expr,
    /// The job that builds it.
    pub job: JobId,
}

/// A fold that state is kept of, for whatever reads it: attributes and conditions of one structure share one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoldVersion {
    /// What is kept.
    pub spec: Spec,
    /// Where it was first needed: events from here on are folded as they come.
    pub at: Position,
    /// Events before this place of the journal are folded too; it is built when this reaches `at`.
    pub built_to: Position,
}

impl FoldVersion {
    /// Whether the whole history is in it.
    #[must_use]
    pub fn is_built(&self) -> bool {
        self.built_to >= self.at
    }

    /// Whether the event at this place of the journal is in it, as far as it is built.
    #[must_use]
    pub fn has(&self, position: Position) -> bool {
        position >= self.at || position < self.built_to
    }
}

/// A ranking of all profiles by a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// The value.
    pub of: Expr,
    /// How many buckets.
    pub buckets: u32,
    /// From which value on which bucket; None before it was measured.
    pub cutoffs: Option<Cutoffs>,
    /// When it was measured.
    pub measured_at: Option<Timestamp>,
}

/// An attribute's versions.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Attribute {
    /// The one that serves.
    pub active: Option<AttributeVersion>,
    /// The one that is being built.
    pub building: Option<AttributeVersion>,
    /// How many there were.
    pub versions: u32,
}

/// A version of a segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentVersion {
    /// Its number in state.
    pub no: u32,
    /// 1, 2, … under its name.
    pub version: u32,
    /// For people.
    pub title: String,
    /// Who belongs to it.
    pub rule: Rule,
    /// The same, compiled.
    pub formula: Formula,
    /// Where it was defined.
    pub at: Position,
    /// Whether it waits to be published by hand.
    pub hold: bool,
    /// Whether those who enter and leave by it are reported as changes when it is published.
    pub announce: bool,
    /// Since when it serves.
    pub published_at: Option<Timestamp>,
    /// The job that finds its first members.
    pub job: JobId,
}

/// A segment's versions.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Segment {
    /// The one that serves.
    pub active: Option<SegmentVersion>,
    /// The one whose first members are being found.
    pub building: Option<SegmentVersion>,
    /// How many there were.
    pub versions: u32,
}

/// A tenant's configuration at a position.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Config {
    /// By name.
    pub attributes: BTreeMap<CompactString, Attribute>,
    /// By name.
    pub segments: BTreeMap<CompactString, Segment>,
    /// By name.
    pub purposes: BTreeMap<CompactString, Purpose>,
    /// By name.
    pub plugins: Plugins,
    /// Lookup tables of plugins, by name.
    #[serde(default)]
    pub tables: BTreeMap<CompactString, TableVersion>,
    /// How many versions a name had: they go on when a table comes again.
    #[serde(default)]
    pub table_versions: BTreeMap<CompactString, u32>,
    /// The tables as they were from each of these places on.
    #[serde(default)]
    pub table_history: Vec<(Position, BTreeMap<CompactString, TableVersion>)>,
    /// What events should carry, by type.
    #[serde(default)]
    pub schemas: BTreeMap<CompactString, Schema>,
    /// How many schemas a type had that has none now: versions go on.
    #[serde(default)]
    pub schema_versions: BTreeMap<CompactString, u32>,
    /// Requests to try events again that are not carried out yet.
    #[serde(default)]
    pub replays: Vec<Replay>,
    /// Who is one person.
    #[serde(default)]
    pub identity: Identity,
    /// By number: what attributes and segments are read of.
    pub folds: BTreeMap<u32, FoldVersion>,
    /// By number.
    pub rankings: BTreeMap<u32, Ranking>,
    /// By number: what attributes read of plugins.
    #[serde(default)]
    pub slots: BTreeMap<u32, Slot>,
    /// By number: the versions of plugins that derive.
    #[serde(default)]
    pub derivations: BTreeMap<u32, DerivationVersion>,
    /// Whose plugins are taken.
    #[serde(default)]
    pub plugin_trust: PluginTrust,
    /// What ran, as it changed at each of these places: see `history`.
    pub plugin_history: Vec<(Position, Plugins)>,
    /// The next number for an attribute, a segment, a fold or a ranking in state.
    pub next_no: u32,
    /// Which purposes privacy signals are about.
    #[serde(default)]
    pub signals: Mapping,
    /// Erasures that are not carried out to their end.
    #[serde(default)]
    pub erasures: Vec<Erasure>,
    /// Erasures ever.
    #[serde(default)]
    pub erased: u64,
    /// How requests in OpenDSR form are answered.
    #[serde(default)]
    pub opendsr: OpenDsr,
    /// Restrictions in force.
    #[serde(default)]
    pub restrictions: u32,
    /// The number of the next restriction.
    #[serde(default)]
    pub next_restriction: u32,
    /// Where audiences go, by name.
    #[serde(default)]
    pub destinations: BTreeMap<CompactString, Destination>,
    /// When they go by themselves, by name.
    #[serde(default)]
    pub schedules: BTreeMap<CompactString, Schedule>,
    /// Requests in OpenDSR form of which somebody is to be told something.
    #[serde(default)]
    pub telling: BTreeSet<[u8; 16]>,
    /// How long events are kept.
    #[serde(default)]
    pub retention: Retention,
    /// Grows with every change.
    pub revision: u64,
}

impl Config {
    /// Takes one change in, which stands at `position` in the journal. Pure; unknown names change nothing.
    pub fn apply(&mut self, change: Change, position: Position) {
        self.revision += 1;
        match change {
            Change::AttributePut { name, no, definition, job } => {
                self.next_no = self.next_no.max(no + 1);
                let Some(expr) = self.compile_attribute(&definition, position) else { return };
                let attribute = self.attributes.entry(name).or_default();
                attribute.versions += 1;
                let version = attribute.versions;
                attribute.building = Some(AttributeVersion { no, version, definition, expr, job });
                self.forget_unneeded();
            }
            Change::AttributePublished { name, no } => {
                if let Some(attribute) = self.attributes.get_mut(&name)
                    && attribute.building.as_ref().is_some_and(|building| building.no == no)
                {
                    attribute.active = attribute.building.take();
                }
                self.forget_unneeded();
            }
            Change::AttributeDeleted { name } => {
                self.attributes.remove(&name);
                self.forget_unneeded();
            }
            Change::RankingsMeasured { tables, at } => {
                for (no, cutoffs) in tables {
                    if let Some(ranking) = self.rankings.get_mut(&no) {
                        ranking.cutoffs = Some(cutoffs);
                        ranking.measured_at = Some(at);
                    }
                }
            }
            Change::SegmentPut { name, no, title, rule, hold, announce, job } => {
                self.next_no = self.next_no.max(no + 1);
                let Some(formula) = self.compile_rule(&rule, position) else { return };
                let segment = self.segments.entry(name).or_default();
                segment.versions += 1;
                let version = segment.versions;
                let (at, published_at) = (position, None);
                segment.building = Some(SegmentVersion {
                    no,
                    version,
                    title,
                    rule,
                    formula,
                    at,
                    hold,
                    announce,
                    published_at,
                    job,
                });
                self.forget_unneeded();
            }
            Change::SegmentPublished { name, no, at, .. } => {
                if let Some(segment) = self.segments.get_mut(&name)
                    && segment.building.as_ref().is_some_and(|building| building.no == no)
                {
                    segment.active = segment.building.take();
                    segment.active.iter_mut().for_each(|version| version.published_at = Some(at));
                }
                self.forget_unneeded();
            }
            Change::SegmentDeleted { name } => {
                self.segments.remove(&name);
                self.forget_unneeded();
            }
            Change::PurposePut { name, mut purpose } => {
                purpose.version = self.purposes.get(&name).map_or(0, |purpose| purpose.version) + 1;
                self.purposes.insert(name, purpose);
            }
            Change::SchemaPut { kind, mut schema } => {
                let version = self.schema_versions.entry(kind.clone()).or_default();
                *version += 1;
                schema.version = *version;
                self.schemas.insert(kind, schema);
            }
            Change::SchemaDeleted { kind } => {
                self.schemas.remove(&kind);
            }
            Change::ReplayRequested { replay } => self.replays.push(replay),
            Change::ReplayEnded { job } => self.replays.retain(|replay| replay.job != job),
            Change::Erased { mut erasure } => {
                let constraints = &mut self.identity.constraints;
                let before = constraints.len();
                constraints.retain(|id, _| !erasure.constraints.contains(id));
                self.identity.revision += u32::from(constraints.len() < before);
                erasure.position = position;
                self.erased += 1;
                self.erasures.push(erasure);
            }
            Change::ErasureEnded { job, .. } => self.erasures.retain(|erasure| erasure.job != job),
            Change::SignalsPut { mapping } => self.signals = mapping,
            Change::RetentionPut { rules, at } => {
                self.retention = Retention { rules, set_at: Some(at), swept_at: None };
            }
            Change::RetentionSwept { at } => self.retention.swept_at = Some(at),
            Change::OpenDsrPut { settings } => self.opendsr = settings,
            Change::Restricted { restriction } => {
                self.restrictions += 1;
                self.next_restriction = self.next_restriction.max(restriction.id + 1);
            }
            Change::RestrictionLifted { .. } => self.restrictions = self.restrictions.saturating_sub(1),
            Change::SuppressionLifted { .. } | Change::Redacted => {}
            Change::ExportRecorded { .. }
            | Change::EventReplayed { .. }
            | Change::Aged { .. }
            | Change::AgedRedacted { .. } => {}
            Change::SubjectRequested { request } => {
                if !request.callbacks.is_empty() {
                    self.telling.insert(request.id);
                }
            }
            Change::SubjectTold { id, open, .. } => {
                if !open {
                    self.telling.remove(&id);
                }
            }
            Change::DestinationPut { name, destination } => {
                self.destinations.insert(name, destination);
            }
            Change::DestinationMarked { name, state } => {
                self.destinations.entry(name).and_modify(|destination| destination.state = state);
            }
            Change::DestinationDeleted { name } => {
                self.destinations.remove(&name);
            }
            Change::SchedulePut { name, schedule } => {
                self.schedules.insert(name, schedule);
            }
            Change::ScheduleFired { name, at, export, skipped } => {
                if let Some(schedule) = self.schedules.get_mut(&name) {
                    schedule.last_due = Some(at);
                    schedule.last_export = export.or(schedule.last_export);
                    schedule.last_skipped = skipped;
                }
            }
            Change::ScheduleDeleted { name } => {
                self.schedules.remove(&name);
            }
            Change::RulesPut { .. } | Change::ConstraintPut { .. } | Change::ConstraintDeleted { .. } => {
                self.identity.apply(change, position);
            }
            Change::TablePut { name, table } => {
                self.table_versions.insert(name.clone(), table.version);
                self.tables.insert(name, table);
                self.remember_tables(position);
            }
            Change::TableDeleted { name } => {
                self.tables.remove(&name);
                self.remember_tables(position);
            }
            change @ (Change::DerivationBegun { .. } | Change::DerivationPublished { .. }) => {
                self.apply_to_derivations(change);
            }
            plugin => {
                let runs = !matches!(
                    plugin,
                    Change::PluginUploaded { .. }
                        | Change::PluginSigned { .. }
                        | Change::PluginTrustPut { .. }
                );
                self.apply_to_plugin(plugin);
                // What is only there changes no event.
                if runs {
                    self.remember_plugins(position);
                }
            }
        }
    }

    fn apply_to_plugin(&mut self, change: Change) {
        let order = self.plugins.values().map(|plugin| plugin.order).max().unwrap_or(0) + 1;
        let plugins = Arc::make_mut(&mut self.plugins);
        match change {
            Change::PluginUploaded { name, version } => {
                Arc::make_mut(plugins.entry(name).or_default()).versions.push(version);
            }
            Change::PluginActivated { name, activation, because } => {
                let Some(plugin) = plugins.get_mut(&name).map(Arc::make_mut) else { return };
                if plugin.order == 0 {
                    plugin.order = order;
                }
                plugin.activate(activation, because);
                self.take_standby(&name);
            }
            Change::PluginTried { name, canary, because } => {
                let Some(plugin) = plugins.get_mut(&name).map(Arc::make_mut) else { return };
                let before = std::mem::replace(&mut plugin.canary, canary);
                plugin.gave_way = before
                    .zip(because)
                    .map(|(before, reason)| GaveWay { version: before.activation.version, reason });
            }
            Change::PluginSigned { name, version, signed_by } => {
                let plugin = plugins.get_mut(&name).map(Arc::make_mut);
                let known =
                    plugin.and_then(|plugin| plugin.versions.iter_mut().find(|one| one.version == version));
                if let Some(known) = known {
                    known.signed_by = signed_by;
                }
            }
            Change::PluginTrustPut { trust } => self.plugin_trust = trust,
            Change::PluginsOrdered { names } => {
                let mut all: Vec<_> = plugins.iter_mut().filter(|(_, plugin)| plugin.order > 0).collect();
                let place = |name: &CompactString| names.iter().position(|one| one == name);
                all.sort_by_key(|(name, plugin)| (place(name).unwrap_or(usize::MAX), plugin.order));
                for ((_, plugin), order) in all.into_iter().zip(1..) {
                    Arc::make_mut(plugin).order = order;
                }
            }
            Change::PluginSuspended { name, reason } => {
                if let Some(plugin) = plugins.get_mut(&name).map(Arc::make_mut) {
                    plugin.suspended = Some(reason);
                }
                self.carry_nothing(&name);
            }
            Change::PluginResumed { name } => {
                if let Some(plugin) = plugins.get_mut(&name).map(Arc::make_mut) {
                    plugin.suspended = None;
                }
            }
            _ => {}
        }
    }

    /// Every attribute version that state is kept of.
    pub fn attribute_versions(&self) -> impl Iterator<Item = (&CompactString, &AttributeVersion)> {
        self.attributes.iter().flat_map(|(name, attribute)| {
            attribute.active.iter().chain(&attribute.building).map(move |version| (name, version))
        })
    }

    /// Every segment version whose members are kept; the second is whether it serves already.
    pub fn segment_versions(&self) -> impl Iterator<Item = (&CompactString, bool, &SegmentVersion)> {
        self.segments.iter().flat_map(|(name, segment)| {
            let active = segment.active.iter().map(|version| (true, version));
            let building = segment.building.iter().map(|version| (false, version));
            active.chain(building).map(move |(serves, version)| (name, serves, version))
        })
    }

    /// Whether consent for this purpose may be asked on this channel at all.
    #[must_use]
    pub fn purpose_covers(&self, purpose: &str, channel: &str) -> bool {
        self.purposes.get(purpose).is_some_and(|known| known.covers(channel))
    }
}
