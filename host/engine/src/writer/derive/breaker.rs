//! A version that derives and keeps failing gives way, like one that transforms.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use compact_str::CompactString;

use super::Plan;
use crate::config::Change;
use crate::error::Result;
use crate::tenant::{Core, Tenant};
use crate::writer::FAULTS_IN_A_ROW_MAX;

/// Has every version give way that serves and failed too often in a row: by a record of its own, so that a rebuild does
/// the same at the same place.
pub(super) fn watch(core: &Arc<Core>, plan: &Plan) {
    if core.replaying.load(Ordering::Acquire) {
        return;
    }
    for deriving in plan.derivations.iter().filter(|deriving| deriving.serves) {
        let digest = &deriving.version.digest;
        if core.plugin_health.in_a_row(digest) < FAULTS_IN_A_ROW_MAX {
            continue;
        }
        // Counted from nothing again, so that one thread is enough.
        core.plugin_health.note_well(digest);
        let (shared, slot, digest) = (core.clone(), deriving.slot, digest.clone());
        let spawned = std::thread::Builder::new().name("suspend-plugin".to_owned()).spawn(move || {
            match pollster::block_on(give_way(&shared, slot, &digest)) {
                Ok(Some(plugin)) => tracing::warn!(
                    tenant = shared.info.no.0,
                    plugin = plugin.as_str(),
                    "a plugin that kept failing gave way"
                ),
                Ok(None) => {}
                Err(error) => tracing::error!(error = %error, "a failing plugin could not be suspended"),
            }
        });
        if let Err(error) = spawned {
            tracing::error!(error = %error, "a failing plugin could not be suspended");
        }
    }
}

/// To the older version that ran before it, or to none. Nothing, when it does not run any more.
async fn give_way(core: &Arc<Core>, slot: u32, digest: &str) -> Result<Option<CompactString>> {
    let _changing = core.changing.lock().await;
    let config = core.rows.read().inner.config.clone();
    let Some(name) = config.slots.get(&slot).map(|slot| slot.plugin.clone()) else { return Ok(None) };
    let Some(plugin) = config.plugins.get(&name) else { return Ok(None) };
    let Some((_, active, _)) = plugin.running().find(|(version, ..)| version.digest == digest) else {
        return Ok(None);
    };
    let reason = format!("it failed on {FAULTS_IN_A_ROW_MAX} events or readings in a row");
    match plugin.earlier.last().filter(|earlier| earlier.version < active.version) {
        Some(earlier) => {
            let tenant = Tenant { core: core.clone() };
            tenant.activate(&name, earlier.clone(), true, Some(reason)).await?;
        }
        None => _ = core.change(Change::PluginSuspended { name: name.clone(), reason }).await?,
    }
    Ok(Some(name))
}
