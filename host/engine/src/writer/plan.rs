//! A configuration, compiled for the writer and for readers: what each event type feeds, and what is evaluated.

use std::collections::HashMap;
use std::sync::Arc;

use cdp_domain::fold::Aggregate;
use cdp_domain::segment::Rule;
use compact_str::CompactString;

use crate::config::Config;

/// What is computed, by number.
#[derive(Default)]
pub(crate) struct Plan {
    /// By event type: the folds it feeds.
    pub(crate) folds: HashMap<CompactString, Vec<(u32, Arc<Aggregate>)>>,
    /// By number: every fold there is.
    pub(crate) aggregates: HashMap<u32, Arc<Aggregate>>,
    /// By name: the number that serves.
    pub(crate) attributes: HashMap<CompactString, u32>,
    pub(crate) segments: Vec<Evaluated>,
}

/// A segment version whose members are kept.
pub(crate) struct Evaluated {
    pub(crate) no: u32,
    /// Whether its changes are reported: it serves.
    pub(crate) serves: bool,
    pub(crate) rule: Rule,
}

impl Plan {
    /// Compiles a configuration. `ahead` are attribute versions that the journal defines later on: a rebuild folds
    /// them from the start, so that it needs one pass.
    pub(crate) fn new(config: &Config, ahead: &[(u32, Aggregate)]) -> Self {
        let mut plan = Self::default();
        let defined = config.attribute_versions().map(|(_, version)| (version.no, &version.aggregate));
        for (no, aggregate) in defined.chain(ahead.iter().map(|(no, aggregate)| (*no, aggregate))) {
            if plan.aggregates.contains_key(&no) {
                continue;
            }
            let aggregate = Arc::new(aggregate.clone());
            plan.folds.entry(aggregate.event.clone()).or_default().push((no, aggregate.clone()));
            plan.aggregates.insert(no, aggregate);
        }
        for (name, attribute) in &config.attributes {
            if let Some(active) = &attribute.active {
                plan.attributes.insert(name.clone(), active.no);
            }
        }
        plan.segments = config
            .segment_versions()
            .map(|(_, serves, version)| Evaluated { no: version.no, serves, rule: version.rule.clone() })
            .collect();
        plan.segments.sort_by_key(|segment| segment.no);
        plan
    }
}
