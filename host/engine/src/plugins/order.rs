//! In which order transformers take their turns.

use cdp_domain::problem::{Code, Problem};
use cdp_runtime::World;
use compact_str::CompactString;

use crate::config::{Change, Plugin};
use crate::error::{Refused, Result};
use crate::tenant::Tenant;

impl Tenant {
    /// The transformers that were ever active, in the order of their turns.
    #[must_use]
    pub fn transformer_order(&self) -> Vec<CompactString> {
        let config = self.config();
        let mut all: Vec<_> = config.plugins.iter().filter(|(_, plugin)| is_in_chain(plugin)).collect();
        all.sort_by_key(|(_, plugin)| plugin.order);
        all.into_iter().map(|(name, _)| name.clone()).collect()
    }

    /// Has transformers take their turns in another order, from the next event on.
    ///
    /// # Errors
    /// [`Refused::Invalid`] unless each of them is named once.
    pub async fn order_transformers(&self, names: Vec<CompactString>) -> Result<()> {
        let _changing = self.core.changing.lock().await;
        let known = self.transformer_order();
        let mut problems = Vec::new();
        for (n, name) in names.iter().enumerate() {
            if !known.contains(name) {
                let detail = "is no transformer that was ever active";
                problems.push(Problem::new(format!("/names/{n}"), Code::NotFound, detail));
            } else if names[..n].contains(name) {
                problems.push(Problem::new(format!("/names/{n}"), Code::Duplicate, "stands twice"));
            }
        }
        if let Some(missing) = known.iter().find(|name| !names.contains(name)) {
            problems.push(Problem::new("/names", Code::Required, format!("must name {missing} too")));
        }
        if !problems.is_empty() {
            return Err(Refused::Invalid(problems));
        }
        if names == known {
            return Ok(());
        }
        self.core.change(Change::PluginsOrdered { names }).await.map(|_| ())
    }
}

fn is_in_chain(plugin: &Plugin) -> bool {
    plugin.order > 0 && plugin.versions.first().is_some_and(|first| first.is_of(World::Transformer))
}
