//! Derived attributes: defining, building their past, listing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cdp_domain::event::check_name;
use cdp_domain::fold::{self, Fold};
use cdp_domain::ids::{FragmentId, JobId, Position};
use cdp_domain::problem::{Code, Problem};
use cdp_domain::value::Value;
use cdp_domain::{attribute, segment::Rule};
use cdp_jobs::{Outcome, Progress};
use compact_str::CompactString;

use crate::acceptance::Checked;
use crate::config::{AttributeVersion, Change, Config};
use crate::error::{Refused, Result};
use crate::feed::{Item, Message, Pending};
use crate::tenant::{Core, Tenant, new_job};
use crate::writer::{Chain, Fate};

/// Attributes of one tenant.
pub const ATTRIBUTES_MAX: usize = 500;
/// Events folded before a slice of an attribute's past is handed to the writer.
const SLICE_EVENTS: u64 = 100_000;

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
        let aggregate = attribute::read(definition).map_err(Refused::Invalid)?;
        let core = &self.core;
        let _changing = core.changing.lock().await;
        let config = self.config();
        let known = config.attributes.get(name);
        let newest = known.and_then(|attribute| attribute.building.as_ref().or(attribute.active.as_ref()));
        if let Some(same) = newest.filter(|newest| newest.aggregate == aggregate) {
            let building = known.is_some_and(|attribute| attribute.building.is_some());
            return Ok(Put { version: same.version, created: false, job: building.then_some(same.job) });
        }
        if known.is_none() && config.attributes.len() >= ATTRIBUTES_MAX {
            return Err(Refused::Conflict(format!("there are {ATTRIBUTES_MAX} attributes already")));
        }
        let version = known.map_or(0, |attribute| attribute.versions) + 1;
        let (job, no) = (new_job()?, config.next_no);
        core.change(Change::AttributePut { name: name.into(), no, aggregate, job }).await?;
        submit_attribute(core, name.into(), no, job)?;
        Ok(Put { version, created: known.is_none(), job: Some(job) })
    }

    /// All attributes, by name.
    #[must_use]
    pub fn attributes(&self) -> Vec<AttributeInfo> {
        let config = self.config();
        config.attributes.iter().filter_map(|(name, attribute)| info(name, attribute)).collect()
    }

    /// One attribute.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn attribute(&self, name: &str) -> Result<AttributeInfo> {
        let config = self.config();
        config
            .attributes
            .get_key_value(name)
            .and_then(|(name, attribute)| info(name, attribute))
            .ok_or(Refused::NotFound("attribute"))
    }

    /// Removes an attribute.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; [`Refused::Conflict`] while a segment refers to it.
    pub async fn delete_attribute(&self, name: &str) -> Result<()> {
        let _changing = self.core.changing.lock().await;
        let config = self.config();
        if !config.attributes.contains_key(name) {
            return Err(Refused::NotFound("attribute"));
        }
        if let Some((segment, _)) = dependents(&config, name).first() {
            return Err(Refused::Conflict(format!("the segment {segment} refers to it")));
        }
        self.core.change(Change::AttributeDeleted { name: name.into() }).await.map(|_| ())
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

fn info(name: &CompactString, attribute: &crate::config::Attribute) -> Option<AttributeInfo> {
    let newest = attribute.building.as_ref().or(attribute.active.as_ref())?;
    let building = attribute.building.is_some();
    Some(AttributeInfo {
        name: name.clone(),
        version: newest.version,
        definition: attribute::write(&newest.aggregate),
        status: if building { "building" } else { "active" },
        job: building.then_some(newest.job),
    })
}

/// The segments whose newest rule refers to an attribute.
fn dependents(config: &Config, attribute: &str) -> Vec<(CompactString, (String, Rule))> {
    let mut out = Vec::new();
    for (name, segment) in &config.segments {
        let Some(newest) = segment.building.as_ref().or(segment.active.as_ref()) else { continue };
        let mut refers = false;
        newest
            .rule
            .walk(&mut |rule| refers |= matches!(rule, Rule::Attribute(name, ..) if name == attribute));
        if refers {
            out.push((name.clone(), (newest.title.clone(), newest.rule.clone())));
        }
    }
    out
}

/// Submits the jobs of everything that is still being built: after a start.
pub(crate) fn resume_builds(core: &Arc<Core>) {
    let config = core.rows.read().inner.config.clone();
    for (name, attribute) in &config.attributes {
        if let Some(building) = &attribute.building
            && let Err(error) = submit_attribute(core, name.clone(), building.no, building.job)
        {
            tracing::error!(error = %error, "an attribute's build could not be resumed");
        }
    }
    for (name, segment) in &config.segments {
        if let Some(building) = &segment.building
            && let Err(error) = crate::segments::submit_segment(core, name.clone(), building.no, building.job)
        {
            tracing::error!(error = %error, "a segment's build could not be resumed");
        }
    }
}

fn submit_attribute(core: &Arc<Core>, name: CompactString, no: u32, job: JobId) -> Result<()> {
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

/// Adds the past of an attribute, slice by slice, then publishes it and has the segments that use it found anew.
fn build(core: &Arc<Core>, name: &str, no: u32, renewals: u64, progress: &Progress) -> Outcome {
    let replaced = || Ok(serde_json::json!({ "replaced": true }));
    let Some(version) = building(core, name, no) else { return replaced() };
    let add =
        |from, upto, states| Ok(core.ask(|done| Message::Slice { no, from, upto, states, renewals, done }));
    match fold_past(core, &version, progress, add) {
        Ok(true) => {}
        Ok(false) => return Err("cancelled; it is resumed at the next start".to_owned()),
        Err(error) => return Err(crate::writer::error_chain(&error)),
    }
    let publish = async {
        let _changing = core.changing.lock().await;
        if building(core, name, no).is_none() {
            return Result::<bool>::Ok(false);
        }
        core.change_since(Change::AttributePublished { name: name.into(), no }, renewals).await?;
        let config = core.rows.read().inner.config.clone();
        for (segment, (title, rule)) in dependents(&config, name) {
            crate::segments::define(core, &segment, title, rule).await?;
        }
        Ok(true)
    };
    match pollster::block_on(publish) {
        Ok(true) => Ok(serde_json::json!({ "attribute": name, "version": version.version })),
        Ok(false) => replaced(),
        Err(error) => Err(crate::writer::error_chain(&error)),
    }
}

/// Folds the events between what is built and the definition, and gives what they amount to, slice by slice, to `add`.
/// Whether it went through; false when it was cancelled, or `add` said so.
pub(crate) fn fold_past(
    core: &Arc<Core>,
    version: &AttributeVersion,
    progress: &Progress,
    mut add: impl FnMut(Position, Position, HashMap<FragmentId, fold::State>) -> Result<bool>,
) -> Result<bool> {
    if version.built_to >= version.at {
        return Ok(true);
    }
    let mut config = Config::default();
    let mut chain = Chain::new(core, &config);
    let mut from = version.built_to;
    let mut reader = core.journal.reader(Position(0));
    let mut states: HashMap<FragmentId, fold::State> = HashMap::new();
    let mut folded = 0;
    let mut events = Vec::with_capacity(256);
    let elsewhere = crate::dead_letters::not_applied_in_place(core)?;
    loop {
        let record = if reader.position() < version.at { reader.next()? } else { None };
        let item = match &record {
            Some(record) if record.position >= version.at => None,
            Some(record) => Some(core.item(record.position, &record.header, record.payload.clone())?),
            None => None,
        };
        let ended = item.is_none();
        let change = match item {
            Some(Item::Change { position, change, .. }) => Some((position, change)),
            Some(Item::Event(event)) if event.position >= from && !elsewhere.contains(&event.position) => {
                events.push(Item::Event(event));
                None
            }
            _ => None,
        };
        if ended || change.is_some() || events.len() == 256 {
            // The transformers of that time, as they were when the events were applied.
            let fates = chain.transform(core, &mut events);
            for (item, fate) in events.drain(..).zip(fates) {
                if let (Item::Event(pending), Fate::Keep) = (item, fate) {
                    folded += 1;
                    if version.aggregate.wants(&pending.event) {
                        version.aggregate.step(states.entry(pending.fragment).or_default(), &pending.event);
                    }
                }
            }
            progress.set(reader.position().0.min(version.at.0), version.at.0);
            if progress.cancelled() {
                return Ok(false);
            }
        }
        if let Some((position, change)) = change {
            match *change {
                Change::EventReplayed { event, checked, .. } if position >= from => {
                    if let Some(event) = replayed(core, &mut chain, event, position, checked.as_ref())? {
                        folded += 1;
                        if version.aggregate.wants(&event.event) {
                            version.aggregate.step(states.entry(event.fragment).or_default(), &event.event);
                        }
                    }
                }
                Change::EventReplayed { .. } => {}
                change => {
                    config.apply(change, position);
                    chain.update(core, &config);
                }
            }
        }
        if ended || folded >= SLICE_EVENTS {
            let upto = if ended { version.at } else { reader.position() };
            if !add(from, upto, std::mem::take(&mut states))? {
                return Ok(false);
            }
            (from, folded) = (upto, 0);
        }
        if ended {
            return Ok(true);
        }
    }
}

/// The event that the record at `asked` got applied, as it was applied there; None when it got none applied.
fn replayed(
    core: &Arc<Core>,
    chain: &mut Chain,
    event: Position,
    asked: Position,
    checked: Option<&Checked>,
) -> Result<Option<Box<Pending>>> {
    if crate::dead_letters::attempts(core, event)?.applied_at() != Some(asked) {
        return Ok(None);
    }
    let mut item = core.item_again(event, checked)?;
    match (chain.transform(core, std::slice::from_mut(&mut item)).pop(), item) {
        (Some(Fate::Keep), Item::Event(pending)) => Ok(Some(pending)),
        _ => Ok(None),
    }
}
