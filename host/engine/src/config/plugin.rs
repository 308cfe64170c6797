//! Plugins as a tenant has them: versions, what runs, and what ran before.

use cdp_domain::ids::FragmentId;
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
    /// The key that signed it, by its public part in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
}

/// Whose plugins a tenant takes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PluginTrust {
    /// Keys that may sign.
    pub keys: Vec<TrustedKey>,
    /// Whether nothing is activated that none of them signed.
    pub required: bool,
}

/// A key that may sign plugins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedKey {
    /// Whose it is.
    pub name: CompactString,
    /// Its public part: 32 bytes in hex.
    pub key: String,
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
    /// What runs for a share of the events beside what runs for the others.
    #[serde(default)]
    pub canary: Option<Canary>,
}

/// A version that is tried on a share of the events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Canary {
    /// With what it runs.
    pub activation: Activation,
    /// For how many in a hundred.
    pub share: u8,
}

/// The smallest and the largest share, in percent: none, and all, are something else.
pub const CANARY_SHARES: std::ops::RangeInclusive<u8> = 1..=99;

/// Which events are for a version, where two run side by side: those under the same identifiers go the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lot {
    /// The digest of the version that is tried: another one is tried on others.
    pub digest: String,
    /// For how many in a hundred that is.
    pub share: u8,
    /// Whether this is the version that is tried.
    pub tried: bool,
}

impl Lot {
    /// Whether an event under these identifiers is for it.
    #[must_use]
    pub fn has(&self, fragment: FragmentId) -> bool {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&fragment.0).update(self.digest.as_bytes());
        let drawn = hasher.finalize().as_bytes()[..8].try_into().map_or(0, u64::from_le_bytes) % 100;
        (drawn < u64::from(self.share)) == self.tried
    }
}

impl Plugin {
    /// A version runs from here on: because somebody says so, or `because` the one that ran gave way.
    pub(super) fn activate(&mut self, activation: Activation, because: Option<String>) {
        self.canary = None;
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

impl Plugin {
    /// The versions that run, with what, and for which events where there are two; nothing of a suspended plugin.
    pub(crate) fn running(&self) -> impl Iterator<Item = (&PluginVersion, &Activation, Option<Lot>)> {
        let version = |number: u32| self.versions.iter().find(|version| version.version == number);
        let tried = self.canary.as_ref().and_then(|canary| {
            let tried = version(canary.activation.version)?;
            Some((tried, &canary.activation, canary.share))
        });
        let lot = |of_tried: bool| {
            tried.map(|(tried, _, share)| Lot { digest: tried.digest.clone(), share, tried: of_tried })
        };
        let active =
            self.active.as_ref().and_then(|active| Some((version(active.version)?, active, lot(false))));
        let tried = tried.map(|(version, activation, _)| (version, activation, lot(true)));
        active.into_iter().chain(tried).filter(|_| self.suspended.is_none())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_lots_one_has_each_event_and_the_smaller_one_about_its_share() {
        for share in [1, 10, 50, 99] {
            let lot = |tried| Lot { digest: "b".repeat(64), share, tried };
            let (tried, other) = (lot(true), lot(false));
            let all: Vec<_> = (0..20_000_u128).map(|n| FragmentId(n.to_be_bytes())).collect();
            assert!(all.iter().all(|fragment| tried.has(*fragment) != other.has(*fragment)));
            let count = all.iter().filter(|fragment| tried.has(**fragment)).count();
            let want = 200 * usize::from(share);
            assert!(count.abs_diff(want) < 300, "{count} of {want}");
        }
        let one = Lot { digest: "a".repeat(64), share: 50, tried: true };
        let other = Lot { digest: "c".repeat(64), share: 50, tried: true };
        let differs = |n: &u128| {
            let fragment = FragmentId(n.to_be_bytes());
            one.has(fragment) != other.has(fragment)
        };
        assert!((0..100).any(|n| differs(&n)), "another version is tried on others");
    }
}
