//! Running the tenant's transformers over events, before anything is written.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cdp_domain::event::{EXPIRED, Event, VOID, born_id};
use cdp_domain::ids::{FragmentId, Position};
use cdp_domain::value::Value;
use cdp_runtime::{Call, Failure, Fault, Grants, Row, RowOutcome, Transformer};
use compact_str::CompactString;

use super::apply::Fate;
use crate::config::{Activation, Change, Config, Lot, Plugin, PluginVersion};
use crate::dead_letters::{Code, Verdict};
use crate::error::Result;
use crate::feed::{Item, Pending};
use crate::receipts::{Changed, Transformed};
use crate::tables::with_tables;
use crate::tenant::Core;

/// Faults of one plugin without a row that went well between them, after which it gives way.
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
    /// A sentence where it cannot be loaded.
    transformer: std::result::Result<Arc<Transformer>, String>,
    /// The event types that it wants; empty means all.
    types: Vec<String>,
    /// Which events are for it, where two versions run side by side.
    lot: Option<Lot>,
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
            for (version, activation, lot) in plugin.running() {
                if version.is_of(cdp_runtime::World::Transformer) {
                    self.links.push(Link::of(core, config, name, (version, activation, lot)));
                }
            }
        }
    }

    /// Passes events through the chain, changing them in place; one fate per item. What a transformer makes of an event
    /// goes through those behind it.
    ///
    /// Work of guests: never under a lock.
    pub(crate) fn transform(&mut self, core: &Arc<Core>, items: &mut [Item]) -> Vec<Fate> {
        let mut fates: Vec<_> = items.iter().map(fate_at_acceptance).collect();
        for link in &mut self.links {
            link.run(core, items, &mut fates, |_, _| {});
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

/// The event types that a version says it wants.
fn types_of(version: &PluginVersion) -> Vec<String> {
    let types = version.descriptor.get("event_types").and_then(serde_json::Value::as_array);
    let text = |kind: &serde_json::Value| kind.as_str().map(str::to_owned);
    types.into_iter().flatten().filter_map(text).collect()
}

impl Link {
    fn of(
        core: &Core,
        config: &Config,
        name: &CompactString,
        (version, activation, lot): (&PluginVersion, &Activation, Option<Lot>),
    ) -> Self {
        let loaded = crate::plugins::load(core, &version.digest);
        let transformer = loaded.map_err(|error| super::error_chain(&error));
        if let Err(error) = &transformer {
            tracing::error!(
                plugin = name.as_str(),
                error,
                "a plugin could not be loaded; its events go to the dead letters"
            );
        }
        core.plugin_health.note_available(&version.digest, transformer.as_ref().err().cloned());
        Self {
            name: name.to_string(),
            digest: version.digest.clone(),
            config: activation.config.clone(),
            grants: with_tables(core, config, crate::plugins::grants(&activation.grants)),
            faults: 0,
            tripped: false,
            types: types_of(version),
            lot,
            transformer,
        }
    }

    fn wants(&self, kind: &str, fragment: FragmentId) -> bool {
        kind != EXPIRED
            && (self.types.is_empty() || self.types.iter().any(|one| one == kind))
            && self.lot.as_ref().is_none_or(|lot| lot.has(fragment))
    }

    /// The events that are for it: accepted ones, each followed by what was made of it.
    fn seats(&self, items: &[Item], fates: &[Fate]) -> Vec<Seat> {
        let mut seats = Vec::new();
        for (item, one) in items.iter().enumerate() {
            let Item::Event(pending) = one else { continue };
            if fates[item] != Fate::Keep {
                continue;
            }
            if self.wants(&pending.event.kind, pending.fragment) {
                seats.push(Seat { item, nth: 0 });
            }
            for born in &pending.brood.events {
                if self.wants(&born.event.kind, pending.fragment) {
                    seats.push(Seat { item, nth: born.nth });
                }
            }
        }
        seats
    }

    /// How verdicts name it.
    fn told(&self) -> String {
        format!("{}@{}", self.name, &self.digest[..12.min(self.digest.len())])
    }

    /// Runs over what is kept so far; `note` is told what the plugin said of each event that it saw.
    fn run(
        &mut self,
        core: &Arc<Core>,
        items: &mut [Item],
        fates: &mut [Fate],
        mut note: impl FnMut(Seat, &std::result::Result<RowOutcome, Fault>),
    ) {
        let seats = self.seats(items, fates);
        if seats.is_empty() {
            return;
        }
        let transformer = match &self.transformer {
            Ok(transformer) => transformer.clone(),
            // Not a way past the plugin: what it was to change waits until it can be tried again.
            Err(reason) => {
                for Seat { item, .. } in seats {
                    let reason = format!("the plugin could not be loaded: {reason}");
                    core.plugin_health.note_failure(&self.digest, "unavailable", reason.clone());
                    fates[item] = Fate::Out(Verdict::new(Code::PluginHost, self.told(), reason));
                }
                return;
            }
        };
        let rows = seats.iter().filter_map(|seat| seat.row(items)).collect();
        let outcomes = self.judge(core, &transformer, rows);
        for (seat, outcome) in seats.into_iter().zip(outcomes) {
            let Item::Event(pending) = &mut items[seat.item] else { continue };
            note(seat, &outcome);
            self.faults = if outcome.is_err() { self.faults + 1 } else { 0 };
            if let Err(fault) = &outcome {
                core.plugin_health.note_failure(&self.digest, fault.code(), fault.to_string());
            }
            // The first that fails decides for all that are of one accepted event.
            if fates[seat.item] == Fate::Keep {
                fates[seat.item] = self.settle(pending, seat.nth, outcome);
            }
        }
        if self.faults >= FAULTS_IN_A_ROW_MAX && !self.tripped {
            self.tripped = true;
            self.give_way(core);
        }
    }

    /// Runs the rows until each was judged: what a call gave up on is called again. Each call judges some, so it ends;
    /// what the host itself cannot run is tried three times.
    fn judge(
        &self,
        core: &Core,
        transformer: &Transformer,
        rows: Vec<Row<'_>>,
    ) -> Vec<std::result::Result<RowOutcome, Fault>> {
        let mut outcomes: Vec<_> = rows.iter().map(|_| Err(Fault::Abandoned)).collect();
        let mut left: Vec<usize> = (0..rows.len()).collect();
        let mut host_failures = 0;
        while !left.is_empty() {
            let part: Vec<_> = left.iter().map(|n| rows[*n]).collect();
            let call =
                Call { config: &self.config, grants: &self.grants, limits: core.plugin_limits, rows: &part };
            let applied = transformer.apply(&call);
            core.plugin_health.note_call(&self.digest, part.len(), &applied.usage, &applied.log);
            for (n, outcome) in left.iter().zip(applied.rows) {
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

    /// Has the plugin give way by a record of its own, so that a rebuild does the same at the same place: a newer version to
    /// the older one that ran before it, any other is suspended.
    fn give_way(&self, core: &Arc<Core>) {
        if core.replaying.load(Ordering::Acquire) {
            return;
        }
        let (shared, name) = (core.clone(), CompactString::from(self.name.as_str()));
        let digest = self.digest.clone();
        let spawned = std::thread::Builder::new().name("suspend-plugin".to_owned()).spawn(move || {
            let gave_way = pollster::block_on(async {
                let _changing = shared.changing.lock().await;
                let config = shared.rows.read().inner.config.clone();
                match config.plugins.get(&name).and_then(|plugin| instead(&name, plugin, &digest)) {
                    Some(change) => shared.change(change).await.map(|_| true),
                    None => Ok(false),
                }
            });
            match gave_way {
                Ok(true) => tracing::warn!(
                    tenant = shared.info.no.0,
                    plugin = name.as_str(),
                    "a plugin that kept failing gave way"
                ),
                Ok(false) => {}
                Err(error) => tracing::error!(error = %error, "a failing plugin could not be suspended"),
            }
        });
        if let Err(error) = spawned {
            tracing::error!(error = %error, "a failing plugin could not be suspended");
        }
    }

    /// Makes of one event what the plugin said: of the accepted one, or of the `nth` that was made of it.
    fn settle(
        &self,
        pending: &mut Pending,
        nth: u8,
        outcome: std::result::Result<RowOutcome, Fault>,
    ) -> Fate {
        let at = if nth == 0 { String::new() } else { format!("at {}: ", born_id(&pending.event.id, nth)) };
        let out = |code, reason: String| {
            let reason = format!("{at}{reason}");
            Fate::Out(Verdict::new(code, self.told(), reason))
        };
        match outcome {
            Ok(RowOutcome::Keep { assignments, mut children }) => {
                // What takes another event back is no fact of which others could be made.
                if pending.event.kind == VOID {
                    children.clear();
                }
                let event = match nth {
                    0 => Some(&mut pending.event),
                    _ => pending
                        .brood
                        .events
                        .iter_mut()
                        .find(|born| born.nth == nth)
                        .map(|born| &mut born.event),
                };
                let changed = event.map_or(Ok(()), |event| assign(event, assignments));
                let born = |()| -> std::result::Result<(), String> {
                    children.into_iter().try_for_each(|new| pending.brood.bear(&pending.event, new))
                };
                match changed.and_then(born) {
                    Ok(()) => Fate::Keep,
                    Err(reason) => out(Code::PluginContract, reason),
                }
            }
            Ok(RowOutcome::Drop { .. }) if nth > 0 => {
                pending.brood.events.retain(|born| born.nth != nth);
                Fate::Keep
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

/// Sets and removes what a plugin said.
fn assign(event: &mut Event, assignments: Vec<(Arc<str>, Option<Value>)>) -> std::result::Result<(), String> {
    for (pointer, value) in assignments {
        event.assign(&pointer, value).map_err(|error| error.to_string())?;
    }
    match cdp_domain::traits::check(&event.traits).first() {
        Some(problem) => Err(format!("the transformed traits are not valid: {problem}")),
        None => Ok(()),
    }
}

/// One event among items: an accepted one, or one that was made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seat {
    item: usize,
    nth: u8,
}

impl Seat {
    fn row(self, items: &[Item]) -> Option<Row<'_>> {
        let Item::Event(pending) = &items[self.item] else { return None };
        let event = match self.nth {
            0 => &pending.event,
            nth => &pending.brood.find(nth)?.event,
        };
        Some(Row { event, received_at: pending.received_at })
    }
}

/// What happens instead of a version that keeps failing; None when it does not run any more.
fn instead(name: &CompactString, plugin: &Plugin, digest: &str) -> Option<Change> {
    let (_, failing, lot) = plugin.running().find(|(version, ..)| version.digest == digest)?;
    let reason = format!("it failed on {FAULTS_IN_A_ROW_MAX} events in a row");
    let name = name.clone();
    if lot.is_some_and(|lot| lot.tried) {
        return Some(Change::PluginTried { name, canary: None, because: Some(reason) });
    }
    let active = failing;
    Some(match plugin.earlier.last().filter(|earlier| earlier.version < active.version) {
        Some(earlier) => Change::PluginActivated { name, activation: earlier.clone(), because: Some(reason) },
        None => Change::PluginSuspended { name, reason },
    })
}

/// What came of an event at a transformer, for a receipt.
pub(crate) struct Once {
    pub(crate) outcome: Transformed,
    /// What it changed of the accepted event.
    pub(crate) changes: Vec<Changed>,
    /// The numbers of those that it made of it, or of what others had made of it.
    pub(crate) born: Vec<u8>,
}

/// Runs one transformer over one event that is out of the way of others, and over what others made of it, as it ran at an
/// activation; for a receipt.
pub(crate) fn run_once(
    core: &Arc<Core>,
    (name, digest): (&str, &str),
    activation: &Activation,
    (item, at): (&mut Item, Position),
) -> Result<Once> {
    let config = core.rows.read().inner.config.clone();
    let transformer = crate::plugins::load(core, digest)?;
    let mut link = Link {
        name: name.to_owned(),
        digest: digest.to_owned(),
        config: activation.config.clone(),
        grants: with_tables(core, &config.transformers_at(at), crate::plugins::grants(&activation.grants)),
        types: transformer.descriptor().event_types.clone(),
        lot: None,
        faults: 0,
        // Nothing gives way because somebody looks.
        tripped: true,
        transformer: Ok(transformer),
    };
    let numbers = |item: &Item| match item {
        Item::Event(pending) => pending.brood.events.iter().map(|born| born.nth).max(),
        _ => None,
    };
    let before = numbers(item);
    let (mut fates, mut changes, mut concerned) = ([Fate::Keep], Vec::new(), false);
    link.run(core, std::slice::from_mut(item), &mut fates, |seat, outcome| {
        concerned |= seat.nth == 0;
        if let (0, Ok(RowOutcome::Keep { assignments, .. })) = (seat.nth, outcome) {
            let changed = |(pointer, value): &(Arc<str>, Option<Value>)| Changed {
                pointer: pointer.to_string(),
                removed: value.is_none(),
            };
            changes.extend(assignments.iter().map(changed));
        }
    });
    let outcome = match &fates[0] {
        Fate::Out(_) => Transformed::KeptOut,
        Fate::Keep if !concerned => Transformed::NotConcerned,
        Fate::Keep if changes.is_empty() => Transformed::Unchanged,
        Fate::Keep => Transformed::Changed,
    };
    let born = match item {
        Item::Event(pending) => {
            let all = pending.brood.events.iter().map(|born| born.nth);
            all.filter(|nth| before.is_none_or(|before| *nth > before)).collect()
        }
        _ => Vec::new(),
    };
    Ok(Once { outcome, changes, born })
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
