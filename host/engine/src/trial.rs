//! Trying a version of a plugin on events that are given: what it would make of them.
//!
//! Nothing of it is kept: no event is taken in, no state changes, and the version's health does not count it.

use std::sync::Arc;

use cdp_domain::event::{Defaults, Event};
use cdp_domain::problem::{Code, Problem};
use cdp_domain::time::Timestamp;
use cdp_domain::value::{Object, Value};
use cdp_runtime::{Call, Group, LogLine, Row, Usage, World, shown};
use serde::Serialize;
use serde_json::Value as Document;

use crate::behind::behind;
use crate::config::{Activation, Config, PluginVersion};
use crate::error::{Refused, Result};
use crate::plugins;
use crate::tables::with_tables;
use crate::tenant::{Core, Tenant};

/// Events that a version can be tried on at once.
pub const TRIAL_EVENTS_MAX: usize = 100;

/// What a version made of the events.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tried {
    /// Of a transformer: what it decided about each event, in order: `{set, remove, events}` without what is empty, or
    /// `{drop}`, `{reject}`, `{retry}`, `{misconfigured}` or `{fault}`. Of a deriver: the values by output, all events being
    /// one person's.
    pub outputs: Document,
    /// Of a deriver: until when the values hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<String>,
    /// Of a deriver: events that it could not fold, by their index, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
    /// Fuel of all runs.
    pub fuel: u64,
    /// Microseconds of all runs, by the clock.
    pub elapsed_us: u64,
    /// The most memory of one run, in bytes.
    pub memory_bytes: u64,
    /// How often an instance was asked.
    pub runs: u32,
    /// What it wrote down.
    pub log: Vec<LogLine>,
}

/// An event that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Its index in the request.
    pub index: usize,
    /// Why.
    pub reason: String,
}

/// What is asked.
struct Asked {
    events: Vec<Event>,
    /// When what is derived is read.
    now: Option<Timestamp>,
    terms: Activation,
}

impl Tenant {
    /// Tries a version. Without `grants` it has everything it asks for; without `config` that of its activation, if it is
    /// active, else an empty one. An event without an id is named by its index, one without identifiers is somebody's.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; [`Refused::Invalid`] with every problem; [`Refused::Plugin`] when it fails before it is given
    /// an event.
    pub async fn try_plugin(&self, name: &str, version: u32, body: &Value) -> Result<Tried> {
        let config = self.config();
        let plugin = config.plugins.get(name).ok_or(Refused::NotFound("plugin"))?;
        let found = plugin.versions.iter().find(|known| known.version == version);
        let found = found.ok_or(Refused::NotFound("version"))?.clone();
        let active = plugin.active.as_ref().filter(|active| active.version == version);
        let asked = self.read_trial(&found, active, body)?;
        let core = self.core.clone();
        let run = move || match found.is_of(World::Deriver) {
            true => derive(&core, &found, &asked),
            false => transform(&core, &config, &found, &asked),
        };
        behind(run).await
    }

    fn read_trial(&self, of: &PluginVersion, active: Option<&Activation>, body: &Value) -> Result<Asked> {
        let wrong = |pointer: &str, code, detail: String| Problem::new(pointer, code, detail);
        let Some(object) = body.as_object() else {
            return Err(Refused::invalid(wrong(
                "",
                Code::WrongType,
                "must be an object with events".to_owned(),
            )));
        };
        let mut problems = Vec::new();
        cdp_domain::condition::unknown(object, &["events", "grants", "config", "now"], "", &mut problems);
        let events = match object.get("events") {
            Some(Value::List(events)) if (1..=TRIAL_EVENTS_MAX).contains(&events.len()) => {
                self.trial_events(events, &mut problems)
            }
            _ => {
                let detail = format!("must be an array of 1 to {TRIAL_EVENTS_MAX} events");
                problems.push(wrong("/events", Code::Required, detail));
                Vec::new()
            }
        };
        let now = match object.get("now") {
            None | Some(Value::Null) => None,
            Some(text) => {
                let at = text.as_text().and_then(|text| Timestamp::parse(text).ok());
                if at.is_none() {
                    problems.push(wrong("/now", Code::Invalid, "must be an RFC 3339 time".to_owned()));
                }
                at
            }
        };
        let mut terms = Object::default();
        for field in ["grants", "config"] {
            if let Some(value) = object.get(field) {
                terms.insert(field, value.clone());
            }
        }
        let terms = plugins::read_activation(of.version, of, &Value::Object(terms));
        let mut terms = match terms {
            Ok(terms) => Some(terms),
            Err(Refused::Invalid(found)) => {
                problems.extend(found);
                None
            }
            Err(other) => return Err(other),
        };
        if let Some(terms) = &mut terms {
            if object.get("grants").is_none() {
                terms.grants = of.requests.clone();
            }
            if let (None, Some(active)) = (object.get("config"), active) {
                terms.config = active.config.clone();
            }
        }
        match terms {
            Some(terms) if problems.is_empty() => Ok(Asked { events, now, terms }),
            _ => Err(Refused::Invalid(problems)),
        }
    }

    fn trial_events(&self, given: &[Value], problems: &mut Vec<Problem>) -> Vec<Event> {
        let resolver = self.core.resolver.read().clone();
        let defaults = Defaults { source: "trial", time: self.core.clock.now(), rules: &resolver.rules };
        let mut events = Vec::with_capacity(given.len());
        for (n, value) in given.iter().enumerate() {
            let mut value = value.clone();
            if let Value::Object(event) = &mut value {
                if event.get("id").is_none() {
                    event.insert("id", Value::Text(compact_str::format_compact!("{n}")));
                }
                if event.get("identifiers").is_none() {
                    let named = [("type", "user_id"), ("value", "somebody")];
                    let named = named.into_iter().map(|(name, text)| (name.into(), Value::Text(text.into())));
                    event.insert("identifiers", Value::List(vec![Value::Object(named.collect())]));
                }
            }
            match Event::from_value(value, defaults) {
                Ok(event) => events.push(event),
                Err(found) => problems.extend(found.into_iter().map(|problem| Problem {
                    pointer: format!("/events/{n}{}", problem.pointer),
                    ..problem
                })),
            }
        }
        events
    }
}

/// Each event as if it were received now, a second after it happened.
fn rows(events: &[Event]) -> Vec<Row<'_>> {
    let row = |event| Row { event, received_at: Timestamp(event.time.0.saturating_add(1_000)) };
    events.iter().map(row).collect()
}

fn transform(core: &Core, config: &Config, version: &PluginVersion, asked: &Asked) -> Result<Tried> {
    let transformer = plugins::load(core, &version.digest)?;
    agree(transformer.check_config(&asked.terms.config))?;
    let grants = with_tables(core, config, plugins::grants(&asked.terms.grants));
    let (rows, limits) = (rows(&asked.events), core.plugin_limits);
    let applied =
        transformer.apply(&Call { config: &asked.terms.config, grants: &grants, limits, rows: &rows });
    let outputs = applied.rows.iter().map(|row| match row {
        Ok(outcome) => outcome.shown(),
        Err(fault) => serde_json::json!({"fault": format!("the plugin {fault}")}),
    });
    Ok(tried(outputs.collect(), applied.usage, applied.log))
}

fn derive(core: &Arc<Core>, version: &PluginVersion, asked: &Asked) -> Result<Tried> {
    let deriver = crate::derivations::load(core, &version.digest)?;
    agree(deriver.check_config(&asked.terms.config))?;
    let grants = plugins::grants(&asked.terms.grants);
    let bound = deriver.bind(&asked.terms.config, grants, core.plugin_limits);
    let bound = bound.map_err(|error| Refused::Plugin(crate::writer::error_chain(&error)))?;
    let mut order: Vec<usize> = (0..asked.events.len()).collect();
    order.sort_by_key(|at| asked.events[*at].stamp());
    let given = rows(&asked.events);
    let rows: Vec<Row<'_>> =
        order.iter().map(|at| given[*at]).filter(|row| deriver.wants(&row.event.kind)).collect();
    let folded = bound.fold(&[Group { state: &[], rows: &rows }]);
    let failed = |why: &dyn std::fmt::Display| Refused::Plugin(format!("the plugin {why}"));
    let of_all =
        folded.items.into_iter().next().ok_or_else(|| Refused::internal("a fold without an answer"))?;
    let of_all = of_all.map_err(|why| failed(&why))?;
    let last = asked.events.iter().map(|event| event.time).max();
    let now = asked.now.or(last).unwrap_or(Timestamp(0));
    let read = bound.read(now, &[&of_all.state]);
    let reading =
        read.items.into_iter().next().ok_or_else(|| Refused::internal("a reading without an answer"))?;
    let reading = reading.map_err(|why| failed(&why))?;
    let named = bound.shape().outputs.iter().zip(reading.values);
    let named: serde_json::Map<String, Document> =
        named.filter_map(|(output, value)| Some((output.name.clone(), shown(&value?)))).collect();
    let index =
        |row: usize| given.iter().position(|one| std::ptr::eq(one.event, rows[row].event)).unwrap_or(row);
    let skipped =
        of_all.skipped.iter().map(|one| Skipped { index: index(one.row), reason: one.why.to_string() });
    let mut usage = folded.usage;
    usage.fuel = usage.fuel.saturating_add(read.usage.fuel);
    usage.elapsed += read.usage.elapsed;
    usage.memory_bytes_peak = usage.memory_bytes_peak.max(read.usage.memory_bytes_peak);
    usage.runs += read.usage.runs;
    let log = folded.log.into_iter().chain(read.log).collect();
    let valid_until = reading.valid_until.map(|at| at.to_string());
    Ok(Tried { skipped: skipped.collect(), valid_until, ..tried(named.into(), usage, log) })
}

/// What the plugin says against its configuration.
fn agree(
    checked: std::result::Result<std::result::Result<(), Vec<String>>, cdp_runtime::Fault>,
) -> Result<()> {
    let checked = checked
        .map_err(|fault| Refused::Plugin(format!("the plugin failed checking its configuration: {fault}")))?;
    checked.map_err(|found| Refused::Invalid(plugins::complaints(found, "/config")))
}

fn tried(outputs: Document, usage: Usage, log: Vec<LogLine>) -> Tried {
    Tried {
        outputs,
        valid_until: None,
        skipped: Vec::new(),
        fuel: usage.fuel,
        elapsed_us: u64::try_from(usage.elapsed.as_micros()).unwrap_or(u64::MAX),
        memory_bytes: usage.memory_bytes_peak as u64,
        runs: usage.runs,
        log,
    }
}
