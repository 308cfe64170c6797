//! Derived attributes: defining, building their past, listing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cdp_domain::attribute::{Definition, Kind};
use cdp_domain::event::check_name;
use cdp_domain::fold::Unit;
use cdp_domain::ids::JobId;
use cdp_domain::problem::{Code, Problem};
use cdp_domain::segment::{Needs, Rule};
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_jobs::{Outcome, Progress};
use compact_str::CompactString;

use crate::build::{fold_past, measure_missing, submit_measuring};
use crate::config::{AttributeVersion, Change, Config};
use crate::definitions::{NESTING_MAX, Reach};
use crate::error::{Refused, Result};
use crate::tenant::{Core, Tenant, new_job};

/// Attributes of one tenant.
pub const ATTRIBUTES_MAX: usize = 500;

/// What a definition came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// The version under its name.
    pub version: u32,
    /// Whether the name is new.
    pub created: bool,
    /// The job that builds it; None when nothing had to be built.
    pub job: Option<JobId>,
}

/// An attribute as listed.
#[derive(Debug, Clone, PartialEq)]
pub struct AttributeInfo {
    /// Its name.
    pub name: CompactString,
    /// The newest version.
    pub version: u32,
    /// The newest definition, as clients write it.
    pub definition: Value,
    /// `active`, or `building` while the newest version is not served yet.
    pub status: &'static str,
    /// The job that builds it, while it does.
    pub job: Option<JobId>,
    /// When the rankings that it reads were measured, the oldest of them; None when it reads none.
    pub measured_at: Option<Timestamp>,
}

impl Tenant {
    /// Defines an attribute; defining the same again changes nothing.
    ///
    /// Returns when the definition is in force for new events; the job adds the past.
    ///
    /// # Errors
    /// [`Refused::Invalid`] with pointers into the definition; [`Refused::Conflict`] at [`ATTRIBUTES_MAX`].
    pub async fn put_attribute(&self, name: &str, definition: &Value) -> Result<Put> {
        check_definition_name(name)?;
        let parsed = Definition::read(definition).map_err(Refused::Invalid)?;
        let core = &self.core;
        let _changing = core.changing.lock().await;
        let config = self.config();
        check_references(&config, name, definition, &parsed)?;
        let known = config.attributes.get(name);
        let newest = known.and_then(|attribute| attribute.building.as_ref().or(attribute.active.as_ref()));
        if let Some(same) = newest.filter(|newest| newest.definition == parsed) {
            let building = known.is_some_and(|attribute| attribute.building.is_some());
            return Ok(Put { version: same.version, created: false, job: building.then_some(same.job) });
        }
        if known.is_none() && config.attributes.len() >= ATTRIBUTES_MAX {
            return Err(Refused::Conflict(format!("there are {ATTRIBUTES_MAX} attributes already")));
        }
        if let Definition::Plugin(derived) = &parsed {
            crate::derivations::begin_for(core, derived).await?;
        }
        let version = known.map_or(0, |attribute| attribute.versions) + 1;
        let job = define(core, name, parsed).await?;
        Ok(Put { version, created: known.is_none(), job: Some(job) })
    }

    /// All attributes, by name.
    #[must_use]
    pub fn attributes(&self) -> Vec<AttributeInfo> {
        let config = self.config();
        config.attributes.keys().filter_map(|name| info(&config, name)).collect()
    }

    /// One attribute.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn attribute(&self, name: &str) -> Result<AttributeInfo> {
        let config = self.config();
        info(&config, name).ok_or(Refused::NotFound("attribute"))
    }

    /// Removes an attribute.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; [`Refused::Conflict`] while a segment or another attribute refers to it.
    pub async fn delete_attribute(&self, name: &str) -> Result<()> {
        let _changing = self.core.changing.lock().await;
        let config = self.config();
        if !config.attributes.contains_key(name) {
            return Err(Refused::NotFound("attribute"));
        }
        if let Some(segment) = config.segments_upon(&|rule| refers(rule, name)).next() {
            return Err(Refused::Conflict(format!("the segment {segment} refers to it")));
        }
        if let Some(attribute) = config.attributes_upon(name).next() {
            return Err(Refused::Conflict(format!("the attribute {attribute} refers to it")));
        }
        self.core.change(Change::AttributeDeleted { name: name.into() }).await.map(|_| ())
    }

    /// Has the rankings of all profiles measured anew now rather than at the next hour.
    ///
    /// # Errors
    /// [`Refused::Conflict`] while that is under way; [`Refused::Overloaded`] when too many jobs wait.
    pub fn measure_rankings(&self) -> Result<JobId> {
        if self.core.measuring.swap(true, std::sync::atomic::Ordering::AcqRel) {
            return Err(Refused::Conflict("rankings are being measured already".to_owned()));
        }
        submit_measuring(&self.core)
    }
}

/// Checks the name of something that is defined.
pub(crate) fn check_definition_name(name: &str) -> Result<()> {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-' || b == b'.');
    match check_name(name) {
        Ok(()) if plain => Ok(()),
        Ok(()) => Err(Refused::invalid(Problem::new(
            "/name",
            Code::Invalid,
            "may only contain letters, digits and _ - .",
        ))),
        Err(detail) => Err(Refused::invalid(Problem::new("/name", Code::Invalid, detail))),
    }
}

fn info(config: &Config, name: &str) -> Option<AttributeInfo> {
    let (name, attribute) = config.attributes.get_key_value(name)?;
    let newest = attribute.building.as_ref().or(attribute.active.as_ref())?;
    let building = attribute.building.is_some();
    let rankings = Needs::of_expr(&newest.expr).rankings;
    Some(AttributeInfo {
        name: name.clone(),
        version: newest.version,
        definition: newest.definition.write(),
        status: if building { "building" } else { "active" },
        job: building.then_some(newest.job),
        measured_at: rankings.iter().filter_map(|no| config.rankings.get(no)?.measured_at).min(),
    })
}

fn refers(rule: &Rule, attribute: &str) -> bool {
    matches!(rule, Rule::Attribute(name, _) if name == attribute)
}

/// Every attribute that a formula refers to must be there, and none may lead back.
fn check_references(config: &Config, name: &str, definition: &Value, parsed: &Definition) -> Result<()> {
    let mut problems = Vec::new();
    if let Definition::Formula(_) = parsed
        && let Some(expr) = definition.as_object().and_then(|object| object.get("expr"))
    {
        references(expr, "/expr".to_owned(), &mut |place, other| {
            let problem = |code, detail: &str| Problem::new(place.clone(), code, detail);
            if other == name {
                problems.push(problem(Code::Invalid, "refers to the attribute itself"));
                return;
            }
            let Some(attribute) = config.attributes.get(other) else {
                problems.push(problem(Code::NotFound, "is not a defined attribute"));
                return;
            };
            let newest = attribute.building.as_ref().or(attribute.active.as_ref());
            if newest.is_some_and(|newest| is_restless(&newest.definition)) {
                let detail = "counts in seconds or minutes: in a formula it must count in hours or days";
                problems.push(problem(Code::Invalid, detail));
            }
            match newest.map(|newest| config.attribute_reaches(&newest.definition, name, NESTING_MAX - 1)) {
                Some(Reach::Returns) => {
                    problems.push(problem(Code::Invalid, "leads back to this attribute: a cycle"));
                }
                Some(Reach::TooDeep) => {
                    let detail = format!("refers to attributes deeper than {NESTING_MAX}");
                    problems.push(problem(Code::TooLong, &detail));
                }
                _ => {}
            }
        });
    }
    if is_restless(parsed)
        && let Some(other) = config.attributes_upon(name).next()
    {
        let detail = format!("must be hours or days: the attribute {other} refers to it");
        problems.push(Problem::new("/unit", Code::Invalid, detail));
    }
    if problems.is_empty() { Ok(()) } else { Err(Refused::Invalid(problems)) }
}

/// Whether a value turns so often by itself that a formula over it could only be followed by looking all the time. A
/// condition on the attribute alone is not: its next turn is known.
fn is_restless(definition: &Definition) -> bool {
    let Definition::Fold(aggregate) = definition else { return false };
    matches!(aggregate.kind, Kind::TimeSinceFirst | Kind::TimeSinceLast)
        && matches!(aggregate.unit, Unit::Seconds | Unit::Minutes)
}

/// Calls `visit` with every reference to an attribute and its place.
fn references(expr: &Value, place: String, visit: &mut dyn FnMut(String, &str)) {
    match expr {
        Value::List(items) => {
            for (n, item) in items.iter().enumerate() {
                references(item, format!("{place}/{n}"), visit);
            }
        }
        Value::Object(object) => {
            for (name, inner) in object.iter() {
                let place = format!("{place}/{name}");
                match inner.as_text().filter(|_| name == "attribute") {
                    Some(other) => visit(place, other),
                    None => references(inner, place, visit),
                }
            }
        }
        _ => {}
    }
}

/// Writes a definition down and starts the job that builds its past. The caller holds `changing`.
pub(crate) async fn define(core: &Arc<Core>, name: &str, definition: Definition) -> Result<JobId> {
    let (job, no) = (new_job()?, core.rows.read().inner.config.next_no);
    core.change(Change::AttributePut { name: name.into(), no, definition, job }).await?;
    submit_attribute(core, name.into(), no, job)?;
    Ok(job)
}

pub(crate) fn submit_attribute(core: &Arc<Core>, name: CompactString, no: u32, job: JobId) -> Result<()> {
    let shared = core.clone();
    let work = Box::new(move |progress: &Progress| {
        on_steady_state(&shared, progress, |renewals| build(&shared, &name, no, renewals, progress))
    });
    core.jobs
        .submit(core.info.no, job, "attribute_build", work)
        .map_err(|_| Refused::Overloaded { retry_after: 5 })
}

/// Does work that goes by how often state was taken anew, and does it again when that happened meanwhile.
pub(crate) fn on_steady_state(core: &Core, progress: &Progress, work: impl Fn(u64) -> Outcome) -> Outcome {
    loop {
        while core.replaying.load(Ordering::Acquire) && !progress.cancelled() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let renewals = core.renewals.load(Ordering::Acquire);
        let outcome = work(renewals);
        if progress.cancelled() || core.renewals.load(Ordering::Acquire) == renewals {
            return outcome;
        }
    }
}

pub(crate) fn building(core: &Core, name: &str, no: u32) -> Option<AttributeVersion> {
    let config = core.rows.read().inner.config.clone();
    config.attributes.get(name)?.building.clone().filter(|building| building.no == no)
}

/// Adds the past of an attribute, slice by slice, then publishes it and has what uses it built anew upon it.
fn build(core: &Arc<Core>, name: &str, no: u32, renewals: u64, progress: &Progress) -> Outcome {
    let replaced = || Ok(serde_json::json!({ "replaced": true }));
    let Some(version) = building(core, name, no) else { return replaced() };
    let needs = Needs::of_expr(&version.expr);
    let slots: Result<bool> = needs.derivations.iter().try_fold(true, |through, slot| {
        Ok(through && crate::derivations::build_slot(core, *slot, renewals, progress)?)
    });
    let built = slots
        .and_then(|through| Ok(through && fold_past(core, &needs.folds, renewals, progress)?))
        .and_then(|through| Ok(through && measure_missing(core, &needs.rankings, progress)?));
    match built {
        Ok(true) => {}
        Ok(false) => return Err("cancelled; it is resumed at the next start".to_owned()),
        Err(error) => return Err(crate::writer::error_chain(&error)),
    }
    let publish = async {
        let _changing = core.changing.lock().await;
        if building(core, name, no).is_none() {
            return Result::<bool>::Ok(false);
        }
        let before = core.rows.read().inner.config.clone();
        core.change_since(Change::AttributePublished { name: name.into(), no }, renewals).await?;
        let replaces = before.attributes.get(name).and_then(|attribute| attribute.active.as_ref());
        if replaces.is_some_and(|replaced| replaced.expr != version.expr) {
            redefine_dependents(core, name).await?;
        }
        Ok(true)
    };
    match pollster::block_on(publish) {
        Ok(true) => Ok(serde_json::json!({ "attribute": name, "version": version.version })),
        Ok(false) => replaced(),
        Err(error) => Err(crate::writer::error_chain(&error)),
    }
}

/// What was compiled with the version before goes on with it until it is built upon the new one.
async fn redefine_dependents(core: &Arc<Core>, name: &str) -> Result<()> {
    let config = core.rows.read().inner.config.clone();
    for other in config.attributes_upon(name) {
        let newest =
            config.attributes.get(other).and_then(|known| known.building.as_ref().or(known.active.as_ref()));
        if let Some(newest) = newest {
            define(core, other, newest.definition.clone()).await?;
        }
    }
    let upon: Vec<_> = config.segments_upon(&|rule| refers(rule, name)).cloned().collect();
    for other in upon {
        crate::segments::redefine(core, &config, &other).await?;
    }
    Ok(())
}
