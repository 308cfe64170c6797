//! Running a version beside the active one, over events that came: what would be other if it were active.
//!
//! Nothing that comes of it is kept. Transformers are compared event by event as the events were received; derivations
//! profile by profile, each with all its events.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use cdp_domain::ids::{FragmentId, JobId, Position};
use cdp_jobs::Progress;
use cdp_runtime::{Call, Row, RowOutcome, Usage, World};
use cdp_store::journal::RecordKind;
use serde::Serialize;

use crate::config::{Activation, Config, DerivationVersion, Held, PluginVersion, Slot};
use crate::error::{Refused, Result};
use crate::feed::{Item, Pending};
use crate::tables::with_tables;
use crate::tenant::{Core, Tenant, new_job};
use crate::writer::{BroughtReading, Deriving, compute};

/// Events that a version is run over beside the active one, at most.
pub const SHADOW_EVENTS_MAX: usize = 100_000;
/// Differences that are told, at most.
const EXAMPLES_MAX: usize = 20;
/// Events taken at a time.
const PAGE: usize = 512;

/// What a version cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
struct Cost {
    fuel: u64,
    elapsed_us: u64,
    runs: u64,
    failed: u64,
}

impl Cost {
    fn add(&mut self, usage: &Usage) {
        self.fuel = self.fuel.saturating_add(usage.fuel);
        self.elapsed_us += u64::try_from(usage.elapsed.as_micros()).unwrap_or(u64::MAX);
        self.runs += u64::from(usage.runs);
    }
}

/// How a version differs from the active one.
#[derive(Debug, Clone, Default, Serialize)]
struct Difference {
    /// Events of the journal that were looked at.
    events: u64,
    /// Events, or profiles of a derivation, that were compared.
    compared: u64,
    same: u64,
    different: u64,
    active: Cost,
    candidate: Cost,
    examples: Vec<serde_json::Value>,
}

impl Difference {
    fn note(&mut self, same: bool, example: impl FnOnce() -> serde_json::Value) {
        self.compared += 1;
        if same {
            self.same += 1;
            return;
        }
        self.different += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(example());
        }
    }
}

impl Tenant {
    /// Runs a version over the last events beside the active one; the job's result is the difference.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; [`Refused::Conflict`] when nothing is active to compare with; [`Refused::Overloaded`] when
    /// too many jobs wait.
    pub fn shadow_plugin(&self, name: &str, version: u32, last: usize) -> Result<JobId> {
        let config = self.config();
        let plugin = config.plugins.get(name).ok_or(Refused::NotFound("plugin"))?;
        let find = |version: u32| plugin.versions.iter().find(|known| known.version == version).cloned();
        let candidate = find(version).ok_or(Refused::NotFound("version"))?;
        let none = || Refused::Conflict("no version is active to compare with".to_owned());
        if crate::connectors::is_connector(&candidate) {
            let detail = "a connector sees no events that it could be compared over";
            return Err(Refused::Conflict(detail.to_owned()));
        }
        let activation = plugin.active.clone().ok_or_else(none)?;
        let active = find(activation.version).ok_or_else(none)?;
        let (core, job, name) = (self.core.clone(), new_job()?, name.to_owned());
        let work = Box::new(move |progress: &Progress| {
            let both = (&active, &candidate);
            let compared = if active.is_of(World::Deriver) {
                derivations(&core, &config, &name, both, &activation, last, progress)
            } else {
                transformers(&core, &config, both, &activation, last, progress)
            };
            // Examples may be about them; what ended before is forgotten by the erasure.
            if core.rows.read().inner.config.erased != config.erased {
                return Err("somebody was erased meanwhile; nothing of it is kept".to_owned());
            }
            match compared {
                Ok(Some(found)) => {
                    let mut told = serde_json::to_value(found).map_err(|error| error.to_string())?;
                    told["active_version"] = active.version.into();
                    told["candidate_version"] = candidate.version.into();
                    Ok(told)
                }
                Ok(None) => Err("cancelled".to_owned()),
                Err(error) => Err(crate::writer::error_chain(&error)),
            }
        });
        self.core
            .jobs
            .submit(self.core.info.no, job, "plugin_shadow", work)
            .map_err(|_| Refused::Overloaded { retry_after: 5 })?;
        Ok(job)
    }
}

/// What a profile reads, by output.
type Values = BTreeMap<compact_str::CompactString, Option<cdp_domain::value::Value>>;

/// The places of the last events of the journal, oldest first.
fn last_events(core: &Core, last: usize) -> Result<Vec<Position>> {
    let mut reader = core.journal.reader(Position(0));
    let mut kept = VecDeque::with_capacity(last.min(PAGE));
    while let Some((position, header, _)) = reader.next_header()? {
        if header.kind == RecordKind::Event {
            if kept.len() == last {
                kept.pop_front();
            }
            kept.push_back(position);
        }
    }
    Ok(kept.into())
}

fn events(core: &Core, positions: &[Position]) -> Result<Vec<Pending>> {
    let mut out = Vec::with_capacity(positions.len());
    for position in positions {
        let record = core.journal.read_at(*position)?;
        if let Item::Event(pending) = core.item(*position, &record.header, record.payload)? {
            out.push(*pending);
        }
    }
    Ok(out)
}

fn transformers(
    core: &Arc<Core>,
    config: &Config,
    (active, candidate): (&PluginVersion, &PluginVersion),
    activation: &Activation,
    last: usize,
    progress: &Progress,
) -> Result<Option<Difference>> {
    let before = crate::plugins::load(core, &active.digest)?;
    let after = crate::plugins::load(core, &candidate.digest)?;
    let grants = with_tables(core, config, crate::plugins::grants(&activation.grants));
    let positions = last_events(core, last)?;
    let mut found = Difference { events: positions.len() as u64, ..Difference::default() };
    for page in positions.chunks(PAGE) {
        let events = events(core, page)?;
        let rows: Vec<Row<'_>> = events
            .iter()
            .filter(|pending| before.wants(&pending.event.kind) || after.wants(&pending.event.kind))
            .map(|pending| Row { event: &pending.event, received_at: pending.received_at })
            .collect();
        let limits = core.plugin_limits;
        let call = Call { config: &activation.config, grants: &grants, limits, rows: &rows };
        let (left, right) = (before.apply(&call), after.apply(&call));
        found.active.add(&left.usage);
        found.candidate.add(&right.usage);
        for ((row, left), right) in rows.iter().zip(&left.rows).zip(&right.rows) {
            found.active.failed += u64::from(left.is_err());
            found.candidate.failed += u64::from(right.is_err());
            found.note(left == right, || {
                let told = |outcome: &std::result::Result<RowOutcome, cdp_runtime::Fault>| match outcome {
                    Ok(RowOutcome::Keep { assignments, children }) => serde_json::json!({
                        "decision": "keep", "new_events": children.len(),
                        "sets": assignments.iter().map(|(pointer, _)| pointer.to_string()).collect::<Vec<_>>(),
                    }),
                    Ok(RowOutcome::Drop { reason }) => {
                        serde_json::json!({ "decision": "drop", "reason": reason })
                    }
                    Ok(RowOutcome::Fail(failure)) => {
                        serde_json::json!({ "decision": "fail", "reason": failure.to_string() })
                    }
                    Err(fault) => serde_json::json!({ "decision": "fault", "reason": fault.to_string() }),
                };
                let event = row.event;
                serde_json::json!({
                    "event": { "id": event.id, "source": event.source },
                    "active": told(left), "candidate": told(right),
                })
            });
        }
        progress.set(found.compared, found.events);
        if progress.cancelled() {
            return Ok(None);
        }
    }
    Ok(Some(found))
}

fn derivations(
    core: &Arc<Core>,
    config: &Config,
    name: &str,
    (active, candidate): (&PluginVersion, &PluginVersion),
    activation: &Activation,
    last: usize,
    progress: &Progress,
) -> Result<Option<Difference>> {
    let positions = last_events(core, last)?;
    let mut found = Difference { events: positions.len() as u64, ..Difference::default() };
    let mut fragments: BTreeSet<FragmentId> = BTreeSet::new();
    for page in positions.chunks(PAGE) {
        fragments.extend(events(core, page)?.iter().map(|pending| pending.fragment));
    }
    let mut slots: Vec<Slot> = config.slots.values().filter(|slot| slot.plugin == name).cloned().collect();
    if slots.is_empty() {
        // Nothing reads it yet: it is looked at under the configuration that it was activated with.
        let (active, building, standby) = (None, None, None);
        slots.push(Slot { plugin: name.into(), config: None, events: Vec::new(), active, building, standby });
    }
    let fragments: Vec<FragmentId> = fragments.into_iter().collect();
    let all = (fragments.len() * slots.len()) as u64;
    let mut done = 0;
    for slot in &slots {
        let left = deriving(core, slot, active, activation)?;
        let right = deriving(core, slot, candidate, activation)?;
        for page in fragments.chunks(PAGE) {
            let page: BTreeSet<FragmentId> = page.iter().copied().collect();
            let at = core.rows.read().inner.summary.as_of;
            let run = |(deriving, guest): &(Deriving, cdp_runtime::Derivation),
                       cost: &mut Cost|
             -> Result<BTreeMap<FragmentId, Values>> {
                let before = core.plugin_health.of(&deriving.version.digest);
                let started = std::time::Instant::now();
                let brought = compute(core, deriving, guest, &page, at)?;
                let after = core.plugin_health.of(&deriving.version.digest);
                cost.fuel += after.fuel.saturating_sub(before.fuel);
                cost.runs += after.calls.saturating_sub(before.calls);
                cost.elapsed_us += u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
                let skipped: u64 = brought.states.iter().map(|(_, kept)| u64::from(kept.skipped)).sum();
                cost.failed += skipped + brought.later.len() as u64;
                let outputs = &deriving.version.outputs;
                let readings = brought.readings.into_iter().map(|BroughtReading { root, values, .. }| {
                    (root, outputs.iter().cloned().zip(values).collect::<Values>())
                });
                Ok(readings.collect())
            };
            let (before, after) = (run(&left, &mut found.active)?, run(&right, &mut found.candidate)?);
            for (root, before) in &before {
                let after = after.get(root);
                found.note(after == Some(before), || {
                    let plain = |values: Option<&Values>| {
                        let text = |value: &Option<cdp_domain::value::Value>| {
                            value.as_ref().map(cdp_domain::json::to_string)
                        };
                        let values = values.into_iter().flatten();
                        values
                            .map(|(name, value)| (name.to_string(), text(value)))
                            .collect::<BTreeMap<_, _>>()
                    };
                    serde_json::json!({
                        "profile": root.to_string(), "active": plain(Some(before)), "candidate": plain(after),
                    })
                });
            }
            done += page.len() as u64;
            progress.set(done, all);
            if progress.cancelled() {
                return Ok(None);
            }
        }
    }
    Ok(Some(found))
}

fn deriving(
    core: &Core,
    slot: &Slot,
    version: &PluginVersion,
    activation: &Activation,
) -> Result<(Deriving, cdp_runtime::Derivation)> {
    let mut derivation = DerivationVersion {
        version: version.version,
        digest: version.digest.clone(),
        grants: activation.grants.clone(),
        config: slot.config.clone().unwrap_or_else(|| activation.config.clone()),
        events: slot.events.clone(),
        outputs: Vec::new(),
        held: Held::default(),
        begins: None,
        carries: None,
        job: JobId([0; 16]),
    };
    let guest = super::bind(core, &derivation).map_err(Refused::Plugin)?;
    let outputs = guest.shape().outputs.iter().map(|output| output.name.as_str().into());
    derivation.outputs = outputs.collect();
    if derivation.events.is_empty() {
        derivation.events =
            guest.deriver().descriptor().event_types.iter().map(|kind| kind.as_str().into()).collect();
    }
    let (no, slot_no, plugin) = (u32::MAX, u32::MAX, slot.plugin.clone());
    Ok((Deriving { no, slot: slot_no, plugin, version: derivation, built: false, serves: false }, guest))
}
