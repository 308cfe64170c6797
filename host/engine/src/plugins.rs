//! Plugins: taking components in, activating, rolling back, suspending.
//!
//! A component's bytes lie in the data directory under their digest before any record names them, so that a rebuild
//! runs the same digest at the same position.

mod activation;
mod order;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cdp_domain::ids::JobId;
use cdp_domain::problem::{Code, Problem};
use cdp_domain::value::Value;
use cdp_runtime::{Digest, Grants, Request, Transformer, World};
use compact_str::CompactString;
use serde::Serialize;

pub use cdp_runtime::LogLine;

use activation::read_share;
pub(crate) use activation::{complaints, read_activation};

use crate::attributes::check_definition_name;
use crate::behind::{PLUGIN_CHECKS_AT_ONCE, behind};
use crate::config::{Activation, Canary, Change, Config, Plugin, PluginVersion};
use crate::error::{Refused, Result};
use crate::tables;
use crate::tenant::{Core, Tenant};

/// Plugins of one tenant.
pub const PLUGINS_MAX: usize = 50;
/// Versions kept of one plugin.
pub const VERSIONS_MAX: usize = 200;

/// Every bound on components and on their runs, by the name it has in `/v1/limits`.
#[must_use]
pub fn bounds() -> Vec<(&'static str, u64)> {
    use cdp_runtime::{CompileLimits, Limits, ROWS_MAX, admission as at};
    let run = Limits::default();
    let compile = CompileLimits::default();
    let seconds = compile.deadline.as_secs();
    vec![
        ("tables_max", tables::TABLES_MAX as u64),
        ("table_bytes_max", tables::TABLE_BYTES_MAX as u64),
        ("table_rows_max", tables::TABLE_ROWS_MAX as u64),
        ("table_key_bytes_max", tables::TABLE_KEY_BYTES_MAX as u64),
        ("table_value_bytes_max", tables::TABLE_VALUE_BYTES_MAX as u64),
        ("plugins_max", PLUGINS_MAX as u64),
        ("plugin_versions_max", VERSIONS_MAX as u64),
        ("plugin_component_bytes_max", at::COMPONENT_BYTES_MAX as u64),
        ("plugin_functions_max", at::FUNCTIONS_MAX as u64),
        ("plugin_function_bytes_max", at::FUNCTION_BYTES_MAX as u64),
        ("plugin_blocks_deep_max", at::BLOCKS_DEEP_MAX as u64),
        ("plugin_modules_max", at::MODULES_MAX as u64),
        ("plugin_components_max", at::COMPONENTS_MAX as u64),
        ("plugin_nesting_max", at::NESTING_MAX as u64),
        ("plugin_memories_max", at::MEMORIES_MAX as u64),
        ("plugin_tables_max", at::TABLES_MAX as u64),
        ("plugin_core_instances_max", at::CORE_INSTANCES_MAX as u64),
        ("plugin_types_max", at::TYPES_MAX as u64),
        ("plugin_globals_max", at::GLOBALS_MAX as u64),
        ("plugin_imports_max", at::IMPORTS_MAX as u64),
        ("plugin_exports_max", at::EXPORTS_MAX as u64),
        ("plugin_segments_max", at::SEGMENTS_MAX as u64),
        ("plugin_custom_sections_max", at::CUSTOM_SECTIONS_MAX as u64),
        ("plugin_checks_at_once_max", PLUGIN_CHECKS_AT_ONCE as u64),
        ("plugin_compile_cpu_ms_max", compile.cpu_seconds * 1000),
        ("plugin_compile_memory_bytes_max", compile.memory_bytes),
        ("plugin_compile_ms_max", seconds * 1000),
        ("plugin_run_fuel_max", run.fuel),
        ("plugin_run_rows_max", ROWS_MAX as u64),
        ("plugin_run_input_bytes_max", run.input_bytes as u64),
        ("plugin_run_memory_bytes_max", run.memory_bytes as u64),
        ("plugin_run_table_elements_max", run.table_elements as u64),
        ("plugin_run_handles_max", run.handles as u64),
        ("plugin_run_output_bytes_max", run.output_bytes as u64),
        ("plugin_log_lines_max", u64::from(run.log_lines)),
        ("plugin_log_bytes_max", run.log_bytes as u64),
        ("plugin_children_per_row_max", run.children_per_row as u64),
    ]
}

/// What an upload came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Uploaded {
    /// 1, 2, … under the plugin's name.
    pub version: u32,
    /// BLAKE3 of the component, in hex.
    pub digest: String,
    /// Which hook it is for.
    pub world: CompactString,
    /// The version of the contract.
    pub wit_version: &'static str,
    /// What it says of itself.
    pub descriptor: serde_json::Value,
    /// What it imports.
    pub imports: Vec<String>,
    /// What it asks for: what `grants` may hold.
    pub requests: serde_json::Value,
    /// Of a plugin that derives: what was found of its laws under an empty configuration; empty when it takes none.
    pub laws: Vec<cdp_runtime::Law>,
}

/// A plugin as listed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PluginInfo {
    /// Its name.
    pub name: CompactString,
    /// `uploaded`, `active` or `suspended`.
    pub status: &'static str,
    /// Why it is suspended.
    pub reason: Option<String>,
    /// What runs.
    pub active: Option<Activation>,
    /// What is tried on a share of the events.
    pub canary: Option<Canary>,
    /// The version that failed and gave way to what runs, if nobody activated one since.
    pub rolled_back: Option<crate::config::GaveWay>,
    /// Every version, oldest first.
    pub versions: Vec<PluginVersion>,
    /// By version: what calls cost and how they failed since the server started; those that were called.
    pub health: std::collections::BTreeMap<u32, crate::derivations::Health>,
    /// What attributes read of it, when it derives.
    pub derivations: Vec<DerivationInfo>,
}

/// What attributes read of a plugin under one configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DerivationInfo {
    /// The configuration that is asked for; None is the plugin's.
    pub config: Option<String>,
    /// The event types that are asked for; empty means all.
    pub events: Vec<CompactString>,
    /// The version that serves.
    pub version: Option<u32>,
    /// The version that is being built, and the job that does it.
    pub building: Option<(u32, String)>,
    /// The version that a roll-back returns to at once: it is kept up to date.
    pub standby: Option<u32>,
    /// The laws that hold for the version that serves: what does not costs a replay of events.
    pub held: Option<crate::config::Held>,
    /// It was given no events from before; None: all that there are.
    pub begins: Option<String>,
    /// Whether its states were taken over from the version that served before, rather than folded anew.
    pub carried: bool,
}

impl Tenant {
    /// Takes a component in, with its maker's signature if there is one: inspects it (nothing runs), compiles it, and asks it what it is. The same component again is the same version.
    ///
    /// # Errors
    /// [`Refused::Invalid`] with every reason at once; [`Refused::Conflict`] at a limit.
    pub async fn upload_plugin(
        &self,
        name: &str,
        component: Vec<u8>,
        signature: Option<[u8; 64]>,
    ) -> Result<Uploaded> {
        check_definition_name(name)?;
        let signed_by = crate::signatures::signer(&self.plugin_trust(), &component, signature.as_ref())?;
        let core = self.core.clone();
        let checked = move || -> Result<(cdp_runtime::Plugin, Vec<cdp_runtime::Law>)> {
            let path = |digest: &str| component_path(&core, digest);
            let plugin = check(&core, &component)?;
            let digest = plugin.inspection().digest.to_string();
            keep(&path(&digest), &component)?;
            // From its file from here on: what nobody calls for a while gives its memory back.
            let plugin = match plugin {
                cdp_runtime::Plugin::Transformer(_) => {
                    cdp_runtime::Plugin::Transformer(load(&core, &digest)?)
                }
                cdp_runtime::Plugin::Deriver(_) => {
                    cdp_runtime::Plugin::Deriver(crate::derivations::load(&core, &digest)?)
                }
                other @ (cdp_runtime::Plugin::Planner(_) | cdp_runtime::Plugin::Session(_)) => {
                    crate::connectors::load(&core, &digest)?;
                    other
                }
            };
            let laws = laws(&core, &plugin)?;
            Ok((plugin, laws))
        };
        let (plugin, laws) = behind(checked).await?;
        let digest = plugin.inspection().digest.to_string();
        let _changing = self.core.changing.lock().await;
        let config = self.config();
        let known = config.plugins.get(name);
        if let Some(same) =
            known.and_then(|plugin| plugin.versions.iter().find(|version| version.digest == digest))
        {
            if signed_by.is_some() && signed_by != same.signed_by {
                let change = Change::PluginSigned { name: name.into(), version: same.version, signed_by };
                self.core.change(change).await?;
            }
            return Ok(Uploaded { laws, ..uploaded(same) });
        }
        if known.is_none() && config.plugins.len() >= PLUGINS_MAX {
            return Err(Refused::Conflict(format!("there are {PLUGINS_MAX} plugins already")));
        }
        if known.is_some_and(|plugin| plugin.versions.len() >= VERSIONS_MAX) {
            return Err(Refused::Conflict(format!("the plugin has {VERSIONS_MAX} versions already")));
        }
        let version = PluginVersion {
            version: known.map_or(0, |plugin| plugin.versions.len() as u32) + 1,
            digest,
            world: plugin.world().name().into(),
            descriptor: serde_json::to_value(plugin.descriptor()).map_err(Refused::internal)?,
            imports: plugin.inspection().imports.clone(),
            requests: serde_json::to_value(plugin.descriptor().requests()).map_err(Refused::internal)?,
            signed_by,
        };
        if known.and_then(|plugin| plugin.versions.first()).is_some_and(|first| !first.is_of(plugin.world()))
        {
            let detail = format!("is a {}, which the versions before are not", plugin.world().name());
            return Err(Refused::invalid(Problem::new("", Code::Invalid, detail)));
        }
        let answer = Uploaded { laws, ..uploaded(&version) };
        self.core.change(Change::PluginUploaded { name: name.into(), version }).await?;
        Ok(answer)
    }

    /// Runs a version from the next event on, or, with a `share` below 100, for that many in a hundred of the events beside
    /// the one that runs. A version that derives serves when its past is built: the jobs come back;
    /// none when nothing reads it yet, or when it is the one that served before.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; [`Refused::Invalid`] for grants beyond what it asks for, or a configuration that it refuses.
    pub async fn activate_plugin(&self, name: &str, version: u32, body: &Value) -> Result<Vec<JobId>> {
        let _changing = self.core.changing.lock().await;
        let config = self.config();
        let plugin = config.plugins.get(name).ok_or(Refused::NotFound("plugin"))?;
        let found = plugin.versions.iter().find(|known| known.version == version);
        let found = found.ok_or(Refused::NotFound("version"))?;
        crate::signatures::may_run(&config.plugin_trust, found)?;
        let (body, share) = read_share(plugin, found, body)?;
        let activation = read_activation(version, found, &body)?;
        let core = self.core.clone();
        let (digest, text) = (found.digest.clone(), activation.config.clone());
        let derives = found.is_of(World::Deriver);
        let connects = crate::connectors::is_connector(found);
        let checked = move || -> Result<std::result::Result<(), Vec<String>>> {
            let failed =
                |fault| Refused::Plugin(format!("the plugin failed checking its configuration: {fault}"));
            if derives {
                return crate::derivations::load(&core, &digest)?.check_config(&text).map_err(failed);
            }
            if connects {
                return crate::connectors::load(&core, &digest)?.check_config(&text).map_err(failed);
            }
            load(&core, &digest)?.check_config(&text).map_err(failed)
        };
        if let Err(complaints) = behind(checked).await? {
            return Err(Refused::Invalid(self::complaints(complaints, "/config")));
        }
        if let Some(share) = share {
            let canary = Some(Canary { activation, share });
            self.core.change(Change::PluginTried { name: name.into(), canary, because: None }).await?;
            return Ok(Vec::new());
        }
        self.activate(name, activation, derives, None).await
    }

    /// Has an activation take force, `because` the one that ran gave way if it did, and begins building what it derives. The
    /// caller holds `changing`.
    pub(crate) async fn activate(
        &self,
        name: &str,
        activation: Activation,
        derives: bool,
        because: Option<String>,
    ) -> Result<Vec<JobId>> {
        let config = self.config();
        let versions = match derives {
            true => crate::derivations::versions_for(&self.core, &config, name, &activation).await?,
            false => Vec::new(),
        };
        self.core.change(Change::PluginActivated { name: name.into(), activation, because }).await?;
        let jobs = crate::derivations::begin(&self.core, versions).await?;
        let ids = jobs.iter().map(|(_, job)| *job).collect();
        crate::derivations::submit_slots(&self.core, jobs)?;
        Ok(ids)
    }

    /// Runs again what ran before the last activation; where a version is tried beside another, tries it no more.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; [`Refused::Conflict`] when nothing ran before.
    pub async fn rollback_plugin(&self, name: &str) -> Result<(u32, Vec<JobId>)> {
        let _changing = self.core.changing.lock().await;
        let config = self.config();
        let plugin = config.plugins.get(name).ok_or(Refused::NotFound("plugin"))?;
        if plugin.canary.is_some() {
            self.core.change(Change::PluginTried { name: name.into(), canary: None, because: None }).await?;
            return Ok((plugin.active.as_ref().map_or(0, |active| active.version), Vec::new()));
        }
        let earlier = plugin.earlier.last().cloned();
        let activation =
            earlier.ok_or_else(|| Refused::Conflict("no version was active before".to_owned()))?;
        if let Some(found) = plugin.versions.iter().find(|known| known.version == activation.version) {
            crate::signatures::may_run(&config.plugin_trust, found)?;
        }
        let version = activation.version;
        let jobs = self.activate(name, activation, config.is_deriver(name), None).await?;
        Ok((version, jobs))
    }

    /// Stops a plugin; events pass it untouched.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; [`Refused::Conflict`] when it does not run.
    pub async fn suspend_plugin(&self, name: &str, reason: &str) -> Result<()> {
        let _changing = self.core.changing.lock().await;
        let config = self.config();
        let plugin = config.plugins.get(name).ok_or(Refused::NotFound("plugin"))?;
        if plugin.active.is_none() || plugin.suspended.is_some() {
            return Err(Refused::Conflict("the plugin does not run".to_owned()));
        }
        self.core
            .change(Change::PluginSuspended { name: name.into(), reason: reason.to_owned() })
            .await
            .map(|_| ())
    }

    /// Runs a suspended plugin again.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; [`Refused::Conflict`] when it is not suspended.
    pub async fn resume_plugin(&self, name: &str) -> Result<()> {
        let _changing = self.core.changing.lock().await;
        let config = self.config();
        let plugin = config.plugins.get(name).ok_or(Refused::NotFound("plugin"))?;
        if plugin.suspended.is_none() {
            return Err(Refused::Conflict("the plugin is not suspended".to_owned()));
        }
        // What came meanwhile was not folded: a plugin that derives is built anew.
        let again = match &plugin.active {
            Some(activation) if config.is_deriver(name) => {
                let mut without = (*config).clone();
                without.derivations.clear();
                crate::derivations::versions_for(&self.core, &without, name, activation).await?
            }
            _ => Vec::new(),
        };
        self.core.change(Change::PluginResumed { name: name.into() }).await?;
        let jobs = crate::derivations::begin(&self.core, again).await?;
        crate::derivations::submit_slots(&self.core, jobs)
    }

    /// All plugins, by name.
    #[must_use]
    pub fn plugins(&self) -> Vec<PluginInfo> {
        let config = self.config();
        config.plugins.iter().map(|(name, plugin)| info(&self.core, &config, name, plugin)).collect()
    }

    /// One plugin.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn plugin(&self, name: &str) -> Result<PluginInfo> {
        let config = self.config();
        config
            .plugins
            .get_key_value(name)
            .map(|(name, plugin)| info(&self.core, &config, name, plugin))
            .ok_or(Refused::NotFound("plugin"))
    }

    /// What a plugin's versions wrote down since the server started, the newest lines: version, level and message.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn plugin_logs(&self, name: &str) -> Result<Vec<(u32, cdp_runtime::LogLine)>> {
        let config = self.config();
        let plugin = config.plugins.get(name).ok_or(Refused::NotFound("plugin"))?;
        let of = |version: &PluginVersion| {
            let lines = self.core.plugin_health.log(&version.digest);
            let version = version.version;
            lines.into_iter().map(move |line| (version, line))
        };
        Ok(plugin.versions.iter().flat_map(of).collect())
    }
}

fn info(core: &Core, config: &Config, name: &CompactString, plugin: &Plugin) -> PluginInfo {
    let health = plugin.versions.iter().filter_map(|version| {
        let health = core.plugin_health.of(&version.digest);
        (health != crate::derivations::Health::default()).then_some((version.version, health))
    });
    let derivation = |slot: &crate::config::Slot| {
        let of = |no: Option<u32>| no.and_then(|no| config.derivations.get(&no));
        DerivationInfo {
            config: slot.config.clone(),
            events: slot.events.clone(),
            version: of(slot.active).map(|one| one.version),
            building: of(slot.building).map(|one| (one.version, one.job.to_string())),
            standby: of(slot.standby).map(|one| one.version),
            held: of(slot.active).map(|one| one.held),
            begins: of(slot.active).and_then(|one| one.begins).map(|at| at.to_string()),
            carried: of(slot.active).is_some_and(|one| one.carries.is_some()),
        }
    };
    let derivations = config.slots.values().filter(|slot| slot.plugin == *name).map(derivation).collect();
    let status = match (&plugin.active, &plugin.suspended) {
        (_, Some(_)) => "suspended",
        (Some(_), None) => "active",
        (None, None) => "uploaded",
    };
    PluginInfo {
        name: name.clone(),
        status,
        reason: plugin.suspended.clone(),
        active: plugin.active.clone(),
        canary: plugin.canary.clone(),
        rolled_back: plugin.gave_way.clone(),
        versions: plugin.versions.clone(),
        health: health.collect(),
        derivations,
    }
}

fn uploaded(version: &PluginVersion) -> Uploaded {
    Uploaded {
        version: version.version,
        digest: version.digest.clone(),
        world: if version.world.is_empty() {
            World::Transformer.name().into()
        } else {
            version.world.clone()
        },
        wit_version: "1.0.0",
        descriptor: version.descriptor.clone(),
        imports: version.imports.clone(),
        requests: version.requests.clone(),
        laws: Vec::new(),
    }
}

/// Tests the laws of a plugin that derives, where it takes an empty configuration; another one is tested when it is used.
///
/// # Errors
/// [`Refused::Invalid`] for one that gives two answers to one question.
fn laws(core: &Core, plugin: &cdp_runtime::Plugin) -> Result<Vec<cdp_runtime::Law>> {
    let cdp_runtime::Plugin::Deriver(deriver) = plugin else { return Ok(Vec::new()) };
    let refuse = |detail: String| Refused::invalid(Problem::new("", Code::Invalid, detail));
    if !matches!(deriver.check_config("{}"), Ok(Ok(()))) {
        return Ok(Vec::new());
    }
    let bound = deriver
        .bind("{}", Grants::all(), core.plugin_limits)
        .map_err(|error| refuse(crate::writer::error_chain(&error)))?;
    let tested = bound.test_laws();
    match tested.nondeterministic() {
        Some(why) => Err(refuse(why)),
        None => Ok(tested.laws),
    }
}

fn check(core: &Core, component: &[u8]) -> Result<cdp_runtime::Plugin> {
    let reasons = |details: Vec<String>| {
        Refused::Invalid(details.into_iter().map(|detail| Problem::new("", Code::Invalid, detail)).collect())
    };
    use cdp_runtime::Error as E;
    core.runtime.load(component).map_err(|error| match error {
        E::Refused(refusals) => reasons(refusals.iter().map(ToString::to_string).collect()),
        E::Descriptor(complaints) => reasons(complaints),
        E::Describe(fault) => reasons(vec![format!("failed when asked what it is: {fault}")]),
        E::Compile(cause) => reasons(vec![format!("does not compile: {cause}")]),
        E::World { .. } => reasons(vec![error.to_string()]),
        E::Link(cause) => reasons(vec![format!("does not link: {cause}")]),
        other => Refused::internal(other),
    })
}

/// Puts a component into its file; durable when it returns. One that is there already stays.
fn keep(path: &Path, component: &[u8]) -> Result<()> {
    if std::fs::read(path).is_ok_and(|there| there == component) {
        return Ok(());
    }
    cdp_store::files::create_dir(path.parent().expect("it lies in a directory"))?;
    Ok(cdp_store::files::write(path, component)?)
}

pub(crate) fn component_path(core: &Core, digest: &str) -> PathBuf {
    core.dir.join("plugins").join(format!("{:08x}", core.info.no.0)).join(format!("{digest}.wasm"))
}

/// A digest as the runtime takes it.
pub(crate) fn named(digest: &str) -> Result<Digest> {
    digest.parse().map_err(Refused::internal)
}

/// The prepared component of a digest; from disk when it is not in memory.
pub(crate) fn load(core: &Core, digest: &str) -> Result<Arc<Transformer>> {
    if let Some(known) = core.components.read().get(digest) {
        return Ok(known.clone());
    }
    let transformer = core.runtime.prepare_file(&component_path(core, digest), named(digest)?);
    let transformer = transformer.map_err(Refused::internal)?;
    core.components.write().insert(digest.to_owned(), transformer.clone());
    Ok(transformer)
}

/// What a tenant granted.
pub(crate) fn grants(granted: &serde_json::Value) -> Grants {
    let requests: Vec<Request> = serde_json::from_value(granted.clone()).unwrap_or_default();
    Grants::of(requests)
}
