//! Running the tenant's transformers over events, before anything is written.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cdp_domain::ids::Position;
use cdp_runtime::{Call, Failure, Fault, Grants, Row, RowOutcome, Transformer};
use compact_str::CompactString;

use super::apply::Fate;
use crate::config::{Activation, Change, Config};
use crate::dead_letters::{Code, Verdict};
use crate::error::Result;
use crate::feed::{Item, Pending};
use crate::receipts::{Changed, Transformed};
use crate::tables::with_tables;
use crate::tenant::Core;

/// Faults of one plugin without a row that went well between them, after which it is suspended.
pub const FAULTS_IN_A_ROW_MAX: u32 = 64;

/// How often rows are tried that the host itself could not run.
const HOST_TRIES: u32 = 3;

/// The transformers that run, in order.
pub(crate) struct Chain {
    links: Vec<Link>,
}

struct Link {
    name: String,
    digest: String,
    config: String,
    grants: Grants,
    transformer: Arc<Transformer>,
    all_types: bool,
    faults: u32,
    tripped: bool,
}

impl Chain {
    pub(crate) fn new(core: &Core, config: &Config) -> Self {
        let mut chain = Self { links: Vec::new() };
        chain.update(core, config);
        chain
    }

    /// Takes on the active transformers of a configuration.
    pub(crate) fn update(&mut self, core: &Core, config: &Config) {
        let mut plugins: Vec<_> =
            config.plugins.iter().filter(|(_, plugin)| plugin.suspended.is_none()).collect();
        plugins.sort_by_key(|(_, plugin)| plugin.order);
        self.links.clear();
        for (name, plugin) in plugins {
            let Some(active) = &plugin.active else { continue };
            let Some(version) = plugin.versions.iter().find(|version| version.version == active.version)
            else {
                continue;
            };
            match crate::plugins::load(core, &version.digest) {
                Ok(transformer) => self.links.push(Link {
                    name: name.to_string(),
                    digest: version.digest.clone(),
                    config: active.config.clone(),
                    grants: with_tables(core, config, crate::plugins::grants(&active.grants)),
                    faults: 0,
                    tripped: false,
                    all_types: transformer.descriptor().event_types.is_empty(),
                    transformer,
                }),
                Err(error) => {
                    tracing::error!(plugin = name.as_str(), error = %error, "a plugin could not be loaded; events pass it untouched");
                }
            }
        }
    }

    /// Passes events through the chain, changing them in place; one fate per item.
    ///
    /// Work of guests: never under a lock.
    pub(crate) fn transform(&mut self, core: &Arc<Core>, items: &mut [Item]) -> Vec<Fate> {
        let mut fates: Vec<_> = items.iter().map(fate_at_acceptance).collect();
        for link in &mut self.links {
            link.run(core, items, &mut fates);
        }
        fates
    }
}

/// What was decided when the event was accepted.
fn fate_at_acceptance(item: &Item) -> Fate {
    let Item::Event(pending) = item else { return Fate::Keep };
    let checked = pending.acceptance.as_ref().and_then(|acceptance| acceptance.checked.as_ref());
    let Some(checked) = checked.filter(|checked| !checked.quarantined.is_empty()) else { return Fate::Keep };
    let reason = format!("violates version {} of the schema of its type", checked.version);
    let problems = checked.quarantined.clone();
    Fate::Out(Verdict { code: Code::SchemaViolation, plugin: String::new(), reason, problems })
}

impl Link {
    fn run(&mut self, core: &Arc<Core>, items: &mut [Item], fates: &mut [Fate]) {
        let types = &self.transformer.descriptor().event_types;
        let mut indexes = Vec::new();
        let mut rows = Vec::new();
        for (n, item) in items.iter().enumerate() {
            if let Item::Event(pending) = item
                && fates[n] == Fate::Keep
                && (self.all_types || types.iter().any(|kind| *kind == pending.event.kind))
            {
                indexes.push(n);
                rows.push(Row { event: &pending.event, received_at: pending.received_at });
            }
        }
        if rows.is_empty() {
            return;
        }
        let outcomes = self.judge(core, rows);
        for (n, outcome) in indexes.into_iter().zip(outcomes) {
            let Item::Event(pending) = &mut items[n] else { continue };
            self.faults = if outcome.is_err() { self.faults + 1 } else { 0 };
            fates[n] = self.settle(pending, outcome);
        }
        if self.faults >= FAULTS_IN_A_ROW_MAX && !self.tripped {
            self.tripped = true;
            self.suspend(core);
        }
    }

    /// Runs the rows until each was judged: what a call gave up on is called again. Each call judges some, so it ends;
    /// what the host itself cannot run is tried three times.
    fn judge(&self, core: &Core, rows: Vec<Row<'_>>) -> Vec<std::result::Result<RowOutcome, Fault>> {
        let mut outcomes: Vec<_> = rows.iter().map(|_| Err(Fault::Abandoned)).collect();
        let mut left: Vec<usize> = (0..rows.len()).collect();
        let mut host_failures = 0;
        while !left.is_empty() {
            let part: Vec<_> = left.iter().map(|n| rows[*n]).collect();
            let call =
                Call { config: &self.config, grants: &self.grants, limits: core.plugin_limits, rows: &part };
            for (n, outcome) in left.iter().zip(self.transformer.apply(&call).rows) {
                outcomes[*n] = outcome;
            }
            let unjudged = |n: &usize| outcomes[*n].as_ref().is_err_and(|fault| !fault.is_final());
            left.retain(unjudged);
            if part.len() == left.len() {
                host_failures += 1;
                if host_failures == HOST_TRIES {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
        outcomes
    }

    /// Has the plugin suspended by a record of its own, so that a rebuild suspends it at the same place.
    fn suspend(&self, core: &Arc<Core>) {
        if core.replaying.load(Ordering::Acquire) {
            return;
        }
        let (shared, name) = (core.clone(), CompactString::from(self.name.as_str()));
        let reason = format!("it failed on {FAULTS_IN_A_ROW_MAX} events in a row");
        let spawned = std::thread::Builder::new().name("suspend-plugin".to_owned()).spawn(move || {
            let change = Change::PluginSuspended { name: name.clone(), reason };
            let suspended = pollster::block_on(async {
                let _changing = shared.changing.lock().await;
                shared.change(change).await
            });
            match suspended {
                Ok(_) => tracing::warn!(
                    tenant = shared.info.no.0,
                    plugin = name.as_str(),
                    "a plugin that kept failing was suspended"
                ),
                Err(error) => tracing::error!(error = %error, "a failing plugin could not be suspended"),
            }
        });
        if let Err(error) = spawned {
            tracing::error!(error = %error, "a failing plugin could not be suspended");
        }
    }

    fn settle(&self, pending: &mut Pending, outcome: std::result::Result<RowOutcome, Fault>) -> Fate {
        let plugin = || format!("{}@{}", self.name, &self.digest[..12.min(self.digest.len())]);
        let out = |code, reason: String| Fate::Out(Verdict::new(code, plugin(), reason));
        match outcome {
            Ok(RowOutcome::Keep { assignments, children }) => {
                for (pointer, value) in assignments {
                    if let Err(error) = pending.event.assign(&pointer, value) {
                        return out(Code::PluginContract, error.to_string());
                    }
                }
                if let Some(problem) = cdp_domain::traits::check(&pending.event.traits).first() {
                    let reason = format!("the transformed traits are not valid: {problem}");
                    return out(Code::PluginContract, reason);
                }
                if children.is_empty() {
                    Fate::Keep
                } else {
                    out(Code::PluginContract, "new events are not supported by this server".to_owned())
                }
            }
            Ok(RowOutcome::Drop { reason }) => out(Code::Dropped, reason),
            Ok(RowOutcome::Fail(Failure::Rejected(reason))) => out(Code::PluginRejected, reason),
            Ok(RowOutcome::Fail(Failure::Transient(_))) => {
                out(Code::PluginTransient, "the plugin asked to try again later".to_owned())
            }
            Ok(RowOutcome::Fail(Failure::Misconfigured(reason))) => out(Code::PluginMisconfigured, reason),
            Err(fault) => out(code_of(&fault), fault.to_string()),
        }
    }
}

/// Runs one transformer over one event that is out of the way of others, as it ran at an activation; for a receipt.
pub(crate) fn run_once(
    core: &Core,
    (name, digest): (&str, &str),
    activation: &Activation,
    (pending, at): (&mut Pending, Position),
    changes: &mut Vec<Changed>,
) -> Result<Transformed> {
    let config = core.rows.read().inner.config.clone();
    let transformer = crate::plugins::load(core, digest)?;
    let types = &transformer.descriptor().event_types;
    if !types.is_empty() && !types.iter().any(|kind| *kind == pending.event.kind) {
        return Ok(Transformed::NotConcerned);
    }
    let link = Link {
        name: name.to_owned(),
        digest: digest.to_owned(),
        config: activation.config.clone(),
        grants: with_tables(core, &config.transformers_at(at), crate::plugins::grants(&activation.grants)),
        all_types: types.is_empty(),
        faults: 0,
        tripped: false,
        transformer,
    };
    let rows = vec![Row { event: &pending.event, received_at: pending.received_at }];
    let outcome = link.judge(core, rows).pop().unwrap_or(Err(Fault::Abandoned));
    if let Ok(RowOutcome::Keep { assignments, .. }) = &outcome {
        changes.extend(
            assignments
                .iter()
                .map(|(pointer, value)| Changed { pointer: pointer.to_string(), removed: value.is_none() }),
        );
    }
    Ok(match link.settle(pending, outcome) {
        Fate::Keep if changes.is_empty() => Transformed::Unchanged,
        Fate::Keep => Transformed::Changed,
        Fate::Out(_) => Transformed::KeptOut,
    })
}

fn code_of(fault: &Fault) -> Code {
    match fault {
        Fault::Fuel => Code::PluginFuel,
        Fault::Memory => Code::PluginMemory,
        Fault::Output => Code::PluginOutput,
        Fault::Contract(_) => Code::PluginContract,
        Fault::Abandoned => Code::PluginAbandoned,
        Fault::Host(_) => Code::PluginHost,
        _ => Code::PluginTrapped,
    }
}
