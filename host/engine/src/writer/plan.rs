//! A configuration, compiled for the writer and for readers: what each event type feeds, and what has to be evaluated
//! when something changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cdp_domain::event::{Event, VOID};
use cdp_domain::expr::{Cutoffs, Expr};
use cdp_domain::fold::Spec;
use cdp_domain::segment::{Formula, Needs};
use cdp_domain::time::Zone;
use compact_str::CompactString;

use crate::config::{Config, DerivationVersion, Purpose};
use crate::retention::Retention;

/// What is computed, by number.
pub(crate) struct Plan {
    /// By number: every fold there is.
    pub(crate) folds: HashMap<u32, Arc<Spec>>,
    /// By event type: the folds it can feed, in order.
    by_kind: HashMap<CompactString, Vec<(u32, Arc<Spec>)>>,
    /// The folds that every event type can feed.
    of_any_kind: Vec<(u32, Arc<Spec>)>,
    /// By name: what serves.
    pub(crate) attributes: HashMap<CompactString, Expr>,
    pub(crate) segments: Vec<Evaluated>,
    /// By number: what rankings were measured to be.
    pub(crate) rankings: HashMap<u32, Cutoffs>,
    /// What data may be used for.
    pub(crate) purposes: BTreeMap<CompactString, Purpose>,
    /// How long events are kept.
    pub(crate) retention: Retention,
    /// By slot: what serves of plugins, and the names of its outputs.
    pub(crate) slots: HashMap<u32, (u32, Vec<CompactString>)>,
    /// By number: what plugins derive, without those that are suspended.
    pub(crate) derivations: Vec<Deriving>,
    /// The tenant's.
    pub(crate) zone: Zone,
    index: Index,
}

/// A derivation that is brought forward.
#[derive(Debug, Clone)]
pub(crate) struct Deriving {
    pub(crate) no: u32,
    pub(crate) slot: u32,
    pub(crate) plugin: CompactString,
    pub(crate) version: DerivationVersion,
    /// Whether its past is built.
    pub(crate) built: bool,
    /// Whether it serves.
    pub(crate) serves: bool,
}

impl Deriving {
    /// Whether it is given events of this type.
    pub(crate) fn wants(&self, kind: &str) -> bool {
        kind != VOID && (self.version.events.is_empty() || self.version.events.iter().any(|one| one == kind))
    }

    /// Whether it is given an event: of a type that it wants, and not too old to matter.
    pub(crate) fn takes(&self, event: &Event) -> bool {
        self.wants(&event.kind) && self.version.begins.is_none_or(|begins| event.time >= begins)
    }
}

/// A segment version whose members are kept.
pub(crate) struct Evaluated {
    pub(crate) no: u32,
    /// Whether its changes are reported: it serves.
    pub(crate) serves: bool,
    pub(crate) formula: Formula,
}

/// From what changed to the places of segments that can turn by it.
#[derive(Default)]
struct Index {
    of_fold: HashMap<u32, Vec<usize>>,
    of_trait: HashMap<CompactString, Vec<usize>>,
    of_ranking: HashMap<u32, Vec<usize>>,
    of_derivation: HashMap<u32, Vec<usize>>,
    of_identifiers: Vec<usize>,
    of_contacts: Vec<usize>,
    timed: Vec<usize>,
}

/// What changed of a profile.
#[derive(Debug, Clone, Default)]
pub(crate) struct Touched {
    /// It is new, or has other fragments than before.
    pub(crate) everything: bool,
    pub(crate) folds: Vec<u32>,
    pub(crate) traits: Vec<CompactString>,
    pub(crate) rankings: Vec<u32>,
    /// Slots.
    pub(crate) derivations: Vec<u32>,
    pub(crate) identifiers: bool,
    pub(crate) contacts: bool,
    /// Time went on.
    pub(crate) time: bool,
}

impl Touched {
    pub(crate) fn everything() -> Self {
        Self { everything: true, ..Self::default() }
    }
}

impl Plan {
    /// Compiles a configuration. `ahead` are folds that the journal needs later on: a rebuild folds
    /// them from the start, so that it needs one pass.
    pub(crate) fn new(config: &Config, ahead: &[(u32, Spec)], zone: &Zone) -> Self {
        let mut plan = Self {
            folds: HashMap::new(),
            by_kind: HashMap::new(),
            of_any_kind: Vec::new(),
            attributes: HashMap::new(),
            segments: Vec::new(),
            rankings: HashMap::new(),
            purposes: config.purposes.clone(),
            retention: config.retention.clone(),
            slots: HashMap::new(),
            derivations: Vec::new(),
            zone: zone.clone(),
            index: Index::default(),
        };
        let defined = config.folds.iter().map(|(no, fold)| (*no, &fold.spec));
        for (no, spec) in defined.chain(ahead.iter().map(|(no, spec)| (*no, spec))) {
            if plan.folds.contains_key(&no) {
                continue;
            }
            let spec = Arc::new(spec.clone());
            match spec.kinds() {
                Some(kinds) => kinds.into_iter().for_each(|kind| {
                    plan.by_kind.entry(kind.clone()).or_default().push((no, spec.clone()));
                }),
                None => plan.of_any_kind.push((no, spec.clone())),
            }
            plan.folds.insert(no, spec);
        }
        for (name, attribute) in &config.attributes {
            if let Some(active) = &attribute.active {
                plan.attributes.insert(name.clone(), active.expr.clone());
            }
        }
        plan.derive(config);
        for (no, ranking) in &config.rankings {
            if let Some(cutoffs) = &ranking.cutoffs {
                plan.rankings.insert(*no, cutoffs.clone());
            }
        }
        let mut segments: Vec<_> = config.segment_versions().collect();
        segments.sort_by_key(|(_, _, version)| version.no);
        for (at, (_, serves, version)) in segments.into_iter().enumerate() {
            let needs = version.formula.needs();
            plan.index.note(at, needs);
            plan.segments.push(Evaluated { no: version.no, serves, formula: version.formula.clone() });
        }
        plan
    }

    fn derive(&mut self, config: &Config) {
        for (slot_no, slot) in &config.slots {
            let outputs = |no: &u32| config.derivations.get(no).map(|version| version.outputs.clone());
            if let Some((no, outputs)) = slot.active.and_then(|no| Some((no, outputs(&no)?))) {
                self.slots.insert(*slot_no, (no, outputs));
            }
            if config.is_suspended(&slot.plugin) {
                continue;
            }
            for no in slot.active.into_iter().chain(slot.standby).chain(slot.building) {
                if let Some(version) = config.derivations.get(&no) {
                    self.derivations.push(Deriving {
                        no,
                        slot: *slot_no,
                        plugin: slot.plugin.clone(),
                        version: version.clone(),
                        built: slot.building != Some(no),
                        serves: slot.active == Some(no),
                    });
                }
            }
        }
        self.derivations.sort_by_key(|derivation| derivation.no);
    }

    /// The folds that an event of this type can feed.
    pub(crate) fn fed_by(&self, kind: &str) -> impl Iterator<Item = (u32, &Spec)> {
        let named = self.by_kind.get(kind).into_iter().flatten();
        named.chain(&self.of_any_kind).map(|(no, spec)| (*no, &**spec))
    }

    /// The places in `segments` of what can turn, ascending, each once.
    pub(crate) fn affected(&self, touched: &Touched) -> Vec<usize> {
        if touched.everything {
            return (0..self.segments.len()).collect();
        }
        let index = &self.index;
        let mut places = Vec::new();
        for no in &touched.folds {
            places.extend(index.of_fold.get(no).into_iter().flatten());
        }
        for name in &touched.traits {
            places.extend(index.of_trait.get(name).into_iter().flatten());
        }
        for no in &touched.derivations {
            places.extend(index.of_derivation.get(no).into_iter().flatten());
        }
        for no in &touched.rankings {
            places.extend(index.of_ranking.get(no).into_iter().flatten());
        }
        for (changed, of) in [
            (touched.identifiers, &index.of_identifiers),
            (touched.contacts, &index.of_contacts),
            (touched.time, &index.timed),
        ] {
            if changed {
                places.extend(of);
            }
        }
        places.sort_unstable();
        places.dedup();
        places
    }
}

impl Index {
    fn note(&mut self, at: usize, needs: Needs) {
        needs.folds.into_iter().for_each(|no| self.of_fold.entry(no).or_default().push(at));
        needs.traits.into_iter().for_each(|name| self.of_trait.entry(name).or_default().push(at));
        needs.derivations.into_iter().for_each(|no| self.of_derivation.entry(no).or_default().push(at));
        needs.rankings.into_iter().for_each(|no| self.of_ranking.entry(no).or_default().push(at));
        for (needed, of) in [
            (needs.identifiers, &mut self.of_identifiers),
            (needs.contacts, &mut self.of_contacts),
            (needs.timed, &mut self.timed),
        ] {
            if needed {
                of.push(at);
            }
        }
    }
}
