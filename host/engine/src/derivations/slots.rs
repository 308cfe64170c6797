//! Slots and versions as the configuration holds them, and what changes of it do to them. Pure.

use std::collections::BTreeSet;

use cdp_domain::ids::JobId;
use cdp_domain::time::Timestamp;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::config::{Change, Config};

/// What attributes read of a plugin under one configuration, whichever version serves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slot {
    /// The plugin.
    pub plugin: CompactString,
    /// The configuration that is asked for; None takes the plugin's.
    pub config: Option<String>,
    /// The event types that are asked for; empty means all.
    pub events: Vec<CompactString>,
    /// What serves.
    pub active: Option<u32>,
    /// What is being built.
    pub building: Option<u32>,
    /// What served before: kept up to date, so that a roll-back takes no time.
    pub standby: Option<u32>,
}

/// A version of a plugin that derives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DerivationVersion {
    /// The plugin's version.
    pub version: u32,
    /// BLAKE3 of the component, in hex.
    pub digest: String,
    /// What the tenant grants it.
    pub grants: serde_json::Value,
    /// Its configuration, as JSON text.
    pub config: String,
    /// The event types that it is given; empty means all.
    pub events: Vec<CompactString>,
    /// Its outputs, in its order.
    pub outputs: Vec<CompactString>,
    /// The laws that were found to hold.
    pub held: Held,
    /// It is given no events from before: they were too old to matter when it was begun, by its look-back.
    #[serde(default)]
    pub begins: Option<Timestamp>,
    /// The version whose states it takes over rather than have everything folded anew.
    #[serde(default)]
    pub carries: Option<Carries>,
    /// The job that builds its past.
    pub job: JobId,
}

/// A version that another one takes over from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carries {
    /// Its number.
    pub no: u32,
    /// The version of its states.
    pub state_version: u32,
}

/// Laws of a derivation that were promised, tested and found to hold. What does not hold costs a replay of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Held {
    /// States may be brought forward event by event: the bytes do not depend on how events are cut into calls.
    pub steps: bool,
    /// And in any order.
    pub commutative: bool,
    /// States of disjoint histories may be joined.
    pub mergeable: bool,
    /// Events may be taken out of a state again.
    #[serde(default)]
    pub retract: bool,
}

impl Config {
    /// Begins and publishes derivations.
    pub(crate) fn apply_to_derivations(&mut self, change: Change) {
        match change {
            Change::DerivationBegun { slot, plugin, config, events, no, version } => {
                self.next_no = self.next_no.max(no + 1).max(slot + 1);
                let (active, building, standby) = (None, None, None);
                let slot = self.slots.entry(slot).or_insert_with(|| Slot {
                    plugin,
                    config,
                    events,
                    active,
                    building,
                    standby,
                });
                slot.building = Some(no);
                self.derivations.insert(no, *version);
                self.forget_derivations();
            }
            Change::DerivationPublished { slot, no } => {
                if let Some(slot) = self.slots.get_mut(&slot)
                    && slot.building == Some(no)
                {
                    slot.building = None;
                    if let Some(before) = slot.active.replace(no) {
                        slot.standby = Some(before);
                    }
                }
                self.forget_derivations();
            }
            _ => {}
        }
    }

    /// Where what served before is what was activated now, it serves again: a roll-back takes no time.
    pub(crate) fn take_standby(&mut self, name: &str) {
        for no in self.slots_to_swap(name) {
            if let Some(slot) = self.slots.get_mut(&no) {
                std::mem::swap(&mut slot.active, &mut slot.standby);
                slot.building = None;
            }
        }
        self.forget_derivations();
    }

    /// The slots of a plugin whose standby is of the version, grants and configuration that are active.
    fn slots_to_swap(&self, name: &str) -> Vec<u32> {
        let Some(plugin) = self.plugins.get(name) else { return Vec::new() };
        let Some(activation) = &plugin.active else { return Vec::new() };
        let is_active = |slot: &Slot, no: Option<u32>| {
            no.and_then(|no| self.derivations.get(&no)).is_some_and(|derivation| {
                let config = slot.config.as_ref().unwrap_or(&activation.config);
                derivation.version == activation.version
                    && derivation.grants == activation.grants
                    && derivation.config == *config
            })
        };
        let swaps = |slot: &Slot| {
            slot.plugin == name && !is_active(slot, slot.active) && is_active(slot, slot.standby)
        };
        self.slots.iter().filter(|(_, slot)| swaps(slot)).map(|(no, _)| *no).collect()
    }

    /// The slots of a plugin that what is active has to be built for.
    #[must_use]
    pub fn slots_to_build(&self, name: &str) -> Vec<u32> {
        let Some(activation) = self.plugins.get(name).and_then(|plugin| plugin.active.as_ref()) else {
            return Vec::new();
        };
        let fits = |slot: &Slot, no: Option<u32>| {
            no.and_then(|no| self.derivations.get(&no)).is_some_and(|derivation| {
                derivation.version == activation.version
                    && derivation.grants == activation.grants
                    && derivation.config == *slot.config.as_ref().unwrap_or(&activation.config)
            })
        };
        let missing = |slot: &Slot| slot.plugin == name && !fits(slot, slot.active);
        self.slots.iter().filter(|(_, slot)| missing(slot)).map(|(no, _)| *no).collect()
    }

    /// Has what is being built for a plugin take nothing over: what serves stands still from here on.
    pub(crate) fn carry_nothing(&mut self, name: &str) {
        let building =
            self.slots.values().filter(|slot| slot.plugin == name).filter_map(|slot| slot.building);
        for no in building.collect::<Vec<_>>() {
            if let Some(version) = self.derivations.get_mut(&no) {
                version.carries = None;
            }
        }
    }

    /// Drops derivations that no slot knows any more.
    fn forget_derivations(&mut self) {
        let known: BTreeSet<u32> = self
            .slots
            .values()
            .flat_map(|slot| slot.active.into_iter().chain(slot.building).chain(slot.standby))
            .collect();
        self.derivations.retain(|no, _| known.contains(no));
    }

    /// Drops slots that nothing is read of, and their derivations.
    pub(crate) fn forget_slots(&mut self, needed: &BTreeSet<u32>) {
        self.slots.retain(|no, _| needed.contains(no));
        self.forget_derivations();
    }

    /// Whether a plugin derives.
    #[must_use]
    pub fn is_deriver(&self, plugin: &str) -> bool {
        let first = self.plugins.get(plugin).and_then(|plugin| plugin.versions.first());
        first.is_some_and(|version| version.is_of(cdp_runtime::World::Deriver))
    }

    /// Whether the derivation of a plugin is at work: not while the plugin is suspended.
    #[must_use]
    pub fn is_suspended(&self, plugin: &str) -> bool {
        self.plugins.get(plugin).is_none_or(|plugin| plugin.suspended.is_some())
    }
}
