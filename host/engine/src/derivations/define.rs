//! Slots and versions come to be.

use std::sync::Arc;

use cdp_domain::attribute::Derived;
use cdp_domain::ids::JobId;
use cdp_domain::problem::{Code, Problem};
use cdp_domain::time::Timestamp;
use cdp_jobs::Progress;
use cdp_runtime::{Derivation, Deriver, Plugin};
use compact_str::CompactString;

use super::Carries;
use crate::attributes::on_steady_state;
use crate::behind::behind;
use crate::config::{Activation, Change, Config, DerivationVersion, Held, Slot};
use crate::error::{Refused, Result};
use crate::tenant::{Core, new_job};

const DAY_MS: i64 = 86_400_000;
/// Slots of one tenant: plugins that derive, each configuration counted by itself.
pub const SLOTS_MAX: usize = 32;

/// The deriver of a digest; from disk when it is not in memory.
pub(crate) fn load(core: &Core, digest: &str) -> Result<Arc<Deriver>> {
    if let Some(known) = core.derivers.read().get(digest) {
        return Ok(known.clone());
    }
    let path = crate::plugins::component_path(core, digest);
    let plugin = core.runtime.load_file(&path, crate::plugins::named(digest)?).map_err(Refused::internal)?;
    let Plugin::Deriver(deriver) = plugin else {
        return Err(Refused::internal("a component that was taken in as a deriver is none"));
    };
    core.derivers.write().insert(digest.to_owned(), deriver.clone());
    Ok(deriver)
}

/// Binds a version, for the writer; a sentence when it cannot be, which the version's health shows too.
pub(crate) fn bind(core: &Core, version: &DerivationVersion) -> std::result::Result<Derivation, String> {
    let bound =
        load(core, &version.digest).map_err(|error| crate::writer::error_chain(&error)).and_then(|deriver| {
            let grants = crate::plugins::grants(&version.grants);
            deriver
                .bind(&version.config, grants, core.plugin_limits)
                .map_err(|error| crate::writer::error_chain(&error))
        });
    core.plugin_health.note_available(&version.digest, bound.as_ref().err().cloned());
    bound
}

/// Makes sure that there is a slot for a derived attribute, with a version that serves or is being built. The caller holds
/// `changing`.
///
/// # Errors
/// [`Refused::Invalid`] with pointers into the definition; [`Refused::Conflict`] at [`SLOTS_MAX`].
pub(crate) async fn begin_for(core: &Arc<Core>, derived: &Derived) -> Result<()> {
    let config = core.rows.read().inner.config.clone();
    let plugin = config.plugins.get(&derived.plugin);
    let not_there = |detail: &str| Refused::invalid(Problem::new("/plugin", Code::NotFound, detail));
    let plugin = plugin.ok_or_else(|| not_there("is not an uploaded plugin"))?;
    let activation = plugin.active.clone().ok_or_else(|| not_there("is not active"))?;
    if !config.is_deriver(&derived.plugin) {
        let detail = "is a transformer: only a deriver gives attributes";
        return Err(Refused::invalid(Problem::new("/plugin", Code::Invalid, detail)));
    }
    let slot = config.slot_of(derived);
    if slot.is_none() && config.slots.len() >= SLOTS_MAX {
        return Err(Refused::Conflict(format!("plugins derive under {SLOTS_MAX} configurations already")));
    }
    let asked = Slot {
        plugin: derived.plugin.clone(),
        config: derived.config.clone(),
        events: derived.events.clone(),
        active: None,
        building: None,
        standby: None,
    };
    let version = version_for(core, &config, &asked, &activation, "/config").await?;
    if !version.outputs.contains(&derived.output) {
        let detail = format!("is none of its outputs: {}", version.outputs.join(", "));
        return Err(Refused::invalid(Problem::new("/output", Code::NotFound, detail)));
    }
    match slot.and_then(|no| config.slots.get(&no)) {
        Some(known) if known.active.is_some() || known.building.is_some() => Ok(()),
        _ => {
            let slot = slot.unwrap_or(config.next_no);
            begin_version(core, slot, asked, config.next_no + 1, version).await
        }
    }
}

/// Begins building, for each slot of a plugin that needs it, the version that is active now; the jobs come back. The
/// caller holds `changing`.
///
/// # Errors
/// [`Refused::Invalid`] when the version does not accept a slot's configuration.
pub(crate) async fn begin(
    core: &Arc<Core>,
    slots: Vec<(u32, DerivationVersion)>,
) -> Result<Vec<(u32, JobId)>> {
    let mut jobs = Vec::new();
    for (no, version) in slots {
        let config = core.rows.read().inner.config.clone();
        let Some(slot) = config.slots.get(&no).cloned() else { continue };
        jobs.push((no, version.job));
        begin_version(core, no, slot, config.next_no, version).await?;
    }
    Ok(jobs)
}

/// What a plugin's activation means for its slots: the versions to be built, checked and bound.
pub(crate) async fn versions_for(
    core: &Arc<Core>,
    config: &Config,
    name: &str,
    activation: &Activation,
) -> Result<Vec<(u32, DerivationVersion)>> {
    let mut after = config.clone();
    let position = cdp_domain::ids::Position(0);
    let activated =
        Change::PluginActivated { name: name.into(), activation: activation.clone(), because: None };
    after.apply(activated, position);
    let mut versions = Vec::new();
    for no in after.slots_to_build(name) {
        let Some(slot) = config.slots.get(&no) else { continue };
        let version = version_for(core, config, slot, activation, "").await?;
        let used = config.attribute_versions().filter_map(|(attribute, version)| match &version.definition {
            cdp_domain::attribute::Definition::Plugin(derived) if config.slot_of(derived) == Some(no) => {
                Some((attribute, derived))
            }
            _ => None,
        });
        for (attribute, derived) in used {
            if !version.outputs.contains(&derived.output) {
                return Err(Refused::Conflict(format!(
                    "the attribute {attribute} reads the output {}, which this version does not have",
                    derived.output
                )));
            }
        }
        versions.push((no, version));
    }
    Ok(versions)
}

async fn version_for(
    core: &Arc<Core>,
    config: &Config,
    slot: &Slot,
    activation: &Activation,
    place: &str,
) -> Result<DerivationVersion> {
    let plugin = config.plugins.get(&slot.plugin).ok_or(Refused::NotFound("plugin"))?;
    let found = plugin.versions.iter().find(|known| known.version == activation.version);
    let digest = found.ok_or(Refused::NotFound("version"))?.digest.clone();
    let text = slot.config.clone().unwrap_or_else(|| activation.config.clone());
    let (core, grants, asked, place) =
        (core.clone(), activation.grants.clone(), slot.events.clone(), place.to_owned());
    let version = activation.version;
    // What stands still while its plugin is suspended is not up to date.
    let serves = slot.active.filter(|_| plugin.suspended.is_none());
    let serves = serves.and_then(|no| Some((no, config.derivations.get(&no)?.clone())));
    let checked = move || -> Result<DerivationVersion> {
        let deriver = load(&core, &digest)?;
        let failed =
            |fault| Refused::Plugin(format!("the plugin failed checking its configuration: {fault}"));
        if let Err(complaints) = deriver.check_config(&text).map_err(failed)? {
            return Err(Refused::Invalid(crate::plugins::complaints(complaints, &place)));
        }
        let bound = deriver
            .bind(&text, crate::plugins::grants(&grants), core.plugin_limits)
            .map_err(|error| Refused::Plugin(crate::writer::error_chain(&error)))?;
        let tested = bound.test_laws();
        if let Some(broken) = tested.nondeterministic() {
            return Err(Refused::Plugin(broken));
        }
        let wanted = &deriver.descriptor().event_types;
        let events: Vec<CompactString> = match (asked.is_empty(), wanted.is_empty()) {
            (true, _) => wanted.iter().map(CompactString::from).collect(),
            (false, true) => asked,
            (false, false) => {
                let both: Vec<_> =
                    asked.into_iter().filter(|kind| wanted.iter().any(|one| one == kind)).collect();
                if both.is_empty() {
                    let detail = "names no event type that the plugin wants";
                    return Err(Refused::invalid(Problem::new("/event", Code::Invalid, detail)));
                }
                both
            }
        };
        let outputs = bound.shape().outputs.iter().map(|output| CompactString::from(&output.name)).collect();
        let held = Held {
            steps: tested.holds("steps"),
            commutative: tested.holds("commutative"),
            mergeable: tested.holds("mergeable"),
            retract: tested.holds("retract"),
        };
        let days = bound.shape().lookback_days.filter(|_| tested.holds("lookback"));
        let begins = days.map(|days| Timestamp(core.clock.now().0.saturating_sub(i64::from(days) * DAY_MS)));
        let carries = serves.filter(|(_, serving)| serving.events == events && serving.config == text);
        let carries = carries.and_then(|(no, serving)| carries_over(&core, &bound, no, &serving));
        let job = new_job()?;
        Ok(DerivationVersion {
            version,
            digest,
            grants,
            config: text,
            events,
            outputs,
            held,
            begins,
            carries,
            job,
        })
    };
    behind(checked).await
}

/// What a version takes over from the one that serves: its states, where the plugin can and is found to do it to the byte.
fn carries_over(core: &Core, newer: &Derivation, no: u32, serving: &DerivationVersion) -> Option<Carries> {
    if !newer.deriver().migrates() {
        return None;
    }
    let older = load(core, &serving.digest).ok()?;
    let grants = crate::plugins::grants(&serving.grants);
    let older = older.bind(&serving.config, grants, core.plugin_limits).ok()?;
    let state_version = older.shape().state_version;
    if state_version >= newer.shape().state_version {
        return None;
    }
    match newer.carries_over(&older) {
        Ok(()) => Some(Carries { no, state_version }),
        Err(reason) => {
            tracing::info!(
                tenant = core.info.no.0,
                reason,
                "a version that takes older states over does not do it exactly; everything is folded anew"
            );
            None
        }
    }
}

async fn begin_version(
    core: &Core,
    slot: u32,
    asked: Slot,
    no: u32,
    version: DerivationVersion,
) -> Result<()> {
    let Slot { plugin, config, events, .. } = asked;
    let version = Box::new(version);
    core.change(Change::DerivationBegun { slot, plugin, config, events, no, version }).await.map(|_| ())
}

/// Submits the jobs that build slots; what an attribute waits for is built by its own job.
pub(crate) fn submit_slots(core: &Arc<Core>, jobs: Vec<(u32, JobId)>) -> Result<()> {
    for (slot, job) in jobs {
        let shared = core.clone();
        let work = Box::new(move |progress: &Progress| {
            on_steady_state(&shared, progress, |renewals| {
                match super::build_slot(&shared, slot, renewals, progress) {
                    Ok(true) => Ok(serde_json::json!({ "slot": slot })),
                    Ok(false) => Err("cancelled; it is resumed at the next start".to_owned()),
                    Err(error) => Err(crate::writer::error_chain(&error)),
                }
            })
        });
        core.jobs
            .submit(core.info.no, job, "derivation_build", work)
            .map_err(|_| Refused::Overloaded { retry_after: 5 })?;
    }
    Ok(())
}
