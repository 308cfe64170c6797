//! Plugins as a tenant has them: versions, what runs, and what ran before.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// A version of a plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginVersion {
    /// 1, 2, … under its name.
    pub version: u32,
    /// BLAKE3 of the component, in hex.
    pub digest: String,
    /// Which hook it is for; a transformer when nothing is said.
    #[serde(default)]
    pub world: CompactString,
    /// What it says of itself, as clients see it.
    pub descriptor: serde_json::Value,
    /// What it imports.
    pub imports: Vec<String>,
    /// What it asks for.
    pub requests: serde_json::Value,
}

impl PluginVersion {
    /// Whether it is for this hook.
    #[must_use]
    pub fn is_of(&self, world: cdp_runtime::World) -> bool {
        self.world == world.name() || self.world.is_empty() && world == cdp_runtime::World::Transformer
    }
}

/// With what a plugin runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Activation {
    /// The version.
    pub version: u32,
    /// What the tenant grants it, in the form of `requests`.
    pub grants: serde_json::Value,
    /// Its configuration, as JSON text.
    pub config: String,
}

/// A plugin and its life.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Plugin {
    /// Every version taken in, oldest first.
    pub versions: Vec<PluginVersion>,
    /// What runs, or would if it were not suspended.
    pub active: Option<Activation>,
    /// What ran before, newest last; what a roll-back returns to.
    pub earlier: Vec<Activation>,
    /// Why it is suspended.
    pub suspended: Option<String>,
    /// Its place in the chain of transformers: the order of first activation.
    pub order: u32,
    /// The version that gave way to what runs, if nobody activated one since.
    #[serde(default)]
    pub gave_way: Option<GaveWay>,
}

impl Plugin {
    /// A version runs from here on: because somebody says so, or `because` the one that ran gave way.
    pub(super) fn activate(&mut self, activation: Activation, because: Option<String>) {
        let before = self.active.replace(activation);
        let gave = before.as_ref().zip(because);
        self.gave_way = gave.map(|(before, reason)| GaveWay { version: before.version, reason });
        if self.gave_way.is_some() {
            // A roll-back leads on to what ran before, never to what failed.
            self.earlier.pop();
        } else {
            self.earlier.extend(before);
        }
        if self.earlier.len() > EARLIER_ACTIVATIONS_MAX {
            self.earlier.remove(0);
        }
        self.suspended = None;
    }
}

/// A version that was rolled back by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GaveWay {
    /// Its number.
    pub version: u32,
    /// Why.
    pub reason: String,
}

/// Activations of one plugin that are remembered for rolling back.
pub const EARLIER_ACTIVATIONS_MAX: usize = 16;
