//! Which transformers run from a place of the journal on: one row per change, so that a receipt finds it in one step.

use cdp_domain::ids::Position;
use cdp_store::keys::KeyRange;
use cdp_store::kv::Order;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::config::{Change, Config, Lot};
use crate::error::Result;
use crate::rows::{Look, View, decode};

/// A transformer in its place of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    pub(crate) name: CompactString,
    pub(crate) version: u32,
    pub(crate) digest: String,
    /// The record of its activation, which has its grants and its configuration.
    pub(crate) activated: Position,
    /// Events pass it untouched.
    pub(crate) suspended: bool,
    /// Which events are for it, where two versions run side by side.
    pub(crate) lot: Option<Lot>,
}

/// The chain behind a change at `position`, where the change concerns it; `before` is the chain until then.
pub(crate) fn behind(
    before: &[Link],
    config: &Config,
    change: &Change,
    position: Position,
) -> Option<Vec<Link>> {
    let (activated, tried) = match change {
        Change::PluginActivated { name, .. } => (Some(name), None),
        Change::PluginTried { name, .. } => (None, Some(name)),
        Change::PluginsOrdered { .. } | Change::PluginSuspended { .. } | Change::PluginResumed { .. } => {
            (None, None)
        }
        _ => return None,
    };
    let mut plugins: Vec<_> = config.plugins.iter().collect();
    plugins.sort_by_key(|(_, plugin)| plugin.order);
    let mut links = Vec::new();
    for (name, plugin) in plugins {
        // Of a suspended plugin too: a receipt says that it was passed by.
        let all = crate::config::Plugin { suspended: None, ..crate::config::Plugin::clone(plugin) };
        for (version, _, lot) in all.running() {
            if !version.is_of(cdp_runtime::World::Transformer) {
                continue;
            }
            let is_tried = lot.as_ref().is_some_and(|lot| lot.tried);
            let known = before.iter().find(|link| {
                link.name == *name && link.lot.as_ref().is_some_and(|lot| lot.tried) == is_tried
            });
            let begins = if is_tried { tried == Some(name) } else { activated == Some(name) };
            links.push(Link {
                name: name.clone(),
                version: version.version,
                digest: version.digest.clone(),
                activated: known.filter(|_| !begins).map_or(position, |link| link.activated),
                suspended: plugin.suspended.is_some(),
                lot,
            });
        }
    }
    Some(links)
}

/// The chain that the record at `position` went through.
pub(crate) fn at(view: &View<'_>, position: Position) -> Result<Vec<Link>> {
    let context = view.context();
    let range = KeyRange { from: context.pipeline(Position(0)), to: context.pipeline(position) };
    let found = view.scan(&range, Order::Backward, 1)?;
    found.first().map_or_else(|| Ok(Vec::new()), |(_, bytes)| decode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Activation, PluginVersion};

    #[test]
    fn a_link_remembers_where_it_was_activated_through_the_changes_of_others() {
        let mut config = Config::default();
        let mut chain = Vec::new();
        let mut at = 0;
        let mut step = |change: Change, config: &mut Config, chain: &mut Vec<Link>| {
            at += 8;
            config.apply(change.clone(), Position(at));
            if let Some(next) = behind(chain, config, &change, Position(at)) {
                *chain = next;
            }
        };
        let uploaded = |name: &str| Change::PluginUploaded {
            name: name.into(),
            version: PluginVersion {
                version: 1,
                digest: format!("digest of {name}"),
                world: "transformer".into(),
                descriptor: serde_json::Value::Null,
                imports: Vec::new(),
                requests: serde_json::Value::Null,
                signed_by: None,
            },
        };
        let activated = |name: &str| Change::PluginActivated {
            name: name.into(),
            activation: Activation { version: 1, grants: serde_json::Value::Null, config: "{}".into() },
            because: None,
        };
        step(uploaded("z"), &mut config, &mut chain);
        assert!(chain.is_empty());
        step(activated("z"), &mut config, &mut chain);
        step(uploaded("a"), &mut config, &mut chain);
        step(activated("a"), &mut config, &mut chain);
        let suspended = Change::PluginSuspended { name: "z".into(), reason: "it failed".into() };
        step(suspended, &mut config, &mut chain);
        let told: Vec<_> =
            chain.iter().map(|link| (link.name.as_str(), link.activated.0, link.suspended)).collect();
        assert_eq!(told, [("z", 16, true), ("a", 32, false)], "in the order of the chain");
        step(activated("z"), &mut config, &mut chain);
        assert_eq!((chain[0].activated, chain[0].suspended), (Position(48), false));
    }
}
