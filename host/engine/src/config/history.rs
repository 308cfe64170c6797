//! Which plugins ran when: what a configuration keeps so that an event of the past is read as it was.
//!
//! An entry holds what changed with it, and of a plugin only what decides what runs: its versions stand once, with the
//! plugin. A configuration is one value in state, so what grows with every activation has to be small.

use std::collections::BTreeMap;
use std::sync::Arc;

use cdp_domain::ids::Position;
use compact_str::CompactString;

use super::{Config, Plugin, Plugins};

impl Config {
    /// The plugins and their tables as they were for the event at a place of the journal, and nothing else.
    #[must_use]
    pub fn transformers_at(&self, position: Position) -> Self {
        let known = self.plugin_history.partition_point(|(from, _)| *from <= position);
        let plugins = self.ran(known).into_iter().map(|(name, ran)| {
            let all = self.plugins.get(&name).map_or_else(Vec::new, |plugin| plugin.versions.clone());
            let of = [ran.active.as_ref(), ran.canary.as_ref().map(|canary| &canary.activation)];
            let needed = |number: u32| of.iter().flatten().any(|one| one.version == number);
            let versions = all.into_iter().filter(|version| needed(version.version)).collect();
            (name, Arc::new(Plugin { versions, ..Plugin::clone(&ran) }))
        });
        let plugins = Arc::new(plugins.collect());
        let known = self.table_history.partition_point(|(from, _)| *from <= position);
        let tables = known.checked_sub(1).map(|at| self.table_history[at].1.clone()).unwrap_or_default();
        Self { plugins, tables, ..Self::default() }
    }

    /// What plugins read changes here, so that events before it and behind it are transformed apart.
    pub(super) fn remember_tables(&mut self, position: Position) {
        self.table_history.push((position, self.tables.clone()));
        self.remember_plugins(position);
    }

    /// What runs changes here.
    pub(super) fn remember_plugins(&mut self, position: Position) {
        let before = self.ran(self.plugin_history.len());
        let now = self.plugins.iter().filter(|(_, plugin)| plugin.order > 0);
        let now = now.map(|(name, plugin)| (name, without_past(plugin)));
        let changed = now.filter(|(name, plugin)| before.get(*name).is_none_or(|known| **known != *plugin));
        let changed = changed.map(|(name, plugin)| (name.clone(), Arc::new(plugin))).collect();
        self.plugin_history.push((position, Arc::new(changed)));
    }

    /// What ran by the first so many entries, without versions.
    fn ran(&self, known: usize) -> BTreeMap<CompactString, Arc<Plugin>> {
        let mut all = BTreeMap::new();
        for (_, changed) in &self.plugin_history[..known] {
            let changed: &Plugins = changed;
            all.extend(changed.iter().map(|(name, plugin)| (name.clone(), plugin.clone())));
        }
        all
    }
}

/// What decides what runs of a plugin.
fn without_past(plugin: &Plugin) -> Plugin {
    Plugin {
        versions: Vec::new(),
        active: plugin.active.clone(),
        earlier: Vec::new(),
        suspended: plugin.suspended.clone(),
        order: plugin.order,
        gave_way: None,
        canary: plugin.canary.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Activation, Change, PluginVersion};
    use super::*;

    fn version(number: u32) -> PluginVersion {
        PluginVersion {
            version: number,
            digest: format!("{number:064}"),
            world: "transformer".into(),
            descriptor: json!({ "name": "guest", "description": "d".repeat(3_000) }),
            imports: Vec::new(),
            requests: json!({}),
            signed_by: None,
        }
    }

    fn activated(name: &str, number: u32) -> Change {
        let activation = Activation { version: number, grants: json!({}), config: "{}".to_owned() };
        Change::PluginActivated { name: name.into(), activation, because: None }
    }

    /// What runs, in order: name, version and digest.
    fn runs(config: &Config) -> Vec<(u32, String, String)> {
        let mut all: Vec<_> = config
            .plugins
            .iter()
            .flat_map(|(name, plugin)| {
                plugin
                    .running()
                    .map(move |(version, ..)| (plugin.order, name.to_string(), version.digest.clone()))
            })
            .collect();
        all.sort();
        all
    }

    #[test]
    fn what_ran_is_known_for_every_place_and_takes_little_however_often_it_changed() {
        let mut config = Config::default();
        let mut ran = Vec::new();
        for n in 0..3_000_u32 {
            let position = Position(u64::from(n) * 8);
            let name = ["a", "b", "c"][n as usize % 3];
            let change = match n {
                0..60 => Change::PluginUploaded { name: name.into(), version: version(n / 3 + 1) },
                n if n % 17 == 0 => Change::PluginSuspended { name: name.into(), reason: "why".to_owned() },
                n if n % 17 == 3 => Change::PluginResumed { name: name.into() },
                n if n % 101 == 5 => Change::PluginsOrdered { names: vec!["c".into(), "a".into()] },
                n => activated(name, n % 20 + 1),
            };
            config.apply(change, position);
            ran.push((position, runs(&config)));
        }
        for (position, then) in &ran {
            assert_eq!(runs(&config.transformers_at(*position)), *then, "{position:?}");
        }
        let bytes = serde_json::to_vec(&config).unwrap().len();
        assert!(bytes < 2 << 20, "{bytes} bytes after 3,000 changes; the versions alone are 180,000");
        let again: Config = serde_json::from_slice(&serde_json::to_vec(&config).unwrap()).unwrap();
        assert_eq!(again, config);
    }
}
