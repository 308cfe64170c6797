//! Segments: defining, finding their first members, listing members and changes.

mod explain;
mod preview;
mod sizes;

use std::sync::Arc;

use cdp_domain::condition::unknown;
use cdp_domain::expr::Type;
use cdp_domain::ids::{FragmentId, JobId, Ordinal, Position};
use cdp_domain::problem::{Code, Problem};
use cdp_domain::segment::{Names, Rule};
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_jobs::{Outcome, Progress};
use compact_str::CompactString;

use crate::attributes::{Put, check_definition_name, on_steady_state};
use crate::build::{PROFILES_AT_A_TIME, Throttle, fold_past, measure_missing};
use crate::config::{Change, Config};
use crate::definitions::{NESTING_MAX, Reach};
use crate::error::{Refused, Result};
use crate::feed::Message;
use crate::rows::{Logged, Look};
use crate::tenant::{Core, Page, Tenant, new_job};

pub use explain::{EVIDENCE_MAX, EVIDENCE_SCAN_MAX, Evidence, Explanation, Reason};
pub use preview::{
    PREVIEW_ESTIMATE_MS_MAX, PREVIEW_HISTORY_DAYS, PREVIEW_PROFILES_MAX, PREVIEW_SAMPLE_MAX,
    PREVIEW_SCAN_BYTES_MAX, Preview, Trial,
};
pub use sizes::{HISTORY_CHANGES_MAX, HISTORY_DAYS_MAX, Overlap, Size};

/// Segments of one tenant.
pub const SEGMENTS_MAX: usize = 500;
/// Bytes of a segment's title.
pub const TITLE_BYTES_MAX: usize = 200;

/// A segment as listed.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentInfo {
    /// Its name.
    pub name: CompactString,
    /// For people.
    pub title: String,
    /// The newest rule, as clients write it.
    pub rule: Value,
    /// How many members the version that serves has; 0 before the first one does.
    pub size: u64,
    /// The last record that is in it.
    pub position: Position,
    /// The time it stands at.
    pub as_of: Timestamp,
    /// The newest version.
    pub version: u32,
    /// `active`; `building` while the newest version is not served yet; `held` when it waits to be published.
    pub status: &'static str,
    /// The job that finds its first members, while it does.
    pub backfill_job: Option<JobId>,
}

/// Somebody entered or left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Who.
    pub profile_id: FragmentId,
    /// `entered` or `left`.
    pub change: &'static str,
    /// The instant.
    pub at: Timestamp,
    /// The record after which it happened.
    pub position: Position,
    /// `event`, `time` or `merge`.
    pub cause: &'static str,
}

/// What a rule for a segment of this name may refer to.
pub(crate) struct NamesFor<'a> {
    pub(crate) config: &'a Config,
    /// None for a rule that is not kept.
    pub(crate) segment: Option<&'a str>,
}

impl Names for NamesFor<'_> {
    fn attribute(&self, name: &str) -> Option<Type> {
        self.config.attribute(name)
    }

    fn has_segment(&self, name: &str) -> bool {
        self.config.has_segment(name) || self.segment == Some(name)
    }

    fn forbids_segment(&self, name: &str) -> Option<String> {
        match self.config.segment_reaches(name, self.segment.unwrap_or_default(), NESTING_MAX) {
            Reach::Ends => None,
            Reach::TooDeep => Some(format!("refers to segments deeper than {NESTING_MAX}")),
            Reach::Returns if self.segment == Some(name) => {
                Some("refers to the segment itself: a cycle".to_owned())
            }
            Reach::Returns => Some("leads back to this segment: a cycle".to_owned()),
        }
    }
}

/// A segment's definition, read.
struct Given {
    title: String,
    rule: Rule,
    hold: bool,
    announce: bool,
}

impl Tenant {
    /// Defines a segment; defining the same again changes nothing.
    ///
    /// # Errors
    /// [`Refused::Invalid`] with pointers into the definition; [`Refused::Conflict`] at [`SEGMENTS_MAX`].
    pub async fn put_segment(&self, name: &str, definition: &Value) -> Result<Put> {
        check_definition_name(name)?;
        let core = &self.core;
        let _changing = core.changing.lock().await;
        let config = self.config();
        let given = read(name, definition, &config)?;
        let known = config.segments.get(name);
        let newest = known.and_then(|segment| segment.building.as_ref().or(segment.active.as_ref()));
        if let Some(same) = newest.filter(|newest| newest.rule == given.rule && newest.title == given.title) {
            let building = known.is_some_and(|segment| segment.building.is_some());
            return Ok(Put { version: same.version, created: false, job: building.then_some(same.job) });
        }
        if known.is_none() && config.segments.len() >= SEGMENTS_MAX {
            return Err(Refused::Conflict(format!("there are {SEGMENTS_MAX} segments already")));
        }
        let version = known.map_or(0, |segment| segment.versions) + 1;
        let job = define(core, name, given).await?;
        Ok(Put { version, created: known.is_none(), job: Some(job) })
    }

    /// All segments, by name.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let names: Vec<_> = self.config().segments.keys().cloned().collect();
        names.iter().filter_map(|name| self.segment(name).ok()).collect()
    }

    /// One segment, as of the last record applied.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn segment(&self, name: &str) -> Result<SegmentInfo> {
        let view = self.core.rows.read();
        let config = &view.inner.config;
        let (name, segment) = config.segments.get_key_value(name).ok_or(Refused::NotFound("segment"))?;
        let newest =
            segment.building.as_ref().or(segment.active.as_ref()).ok_or(Refused::NotFound("segment"))?;
        let members = segment.active.as_ref().and_then(|active| view.members(active.no));
        let building = segment.building.is_some();
        let built = || {
            let job = self.core.jobs.get(self.no(), newest.job);
            job.is_some_and(|job| job.status == cdp_jobs::Status::Done)
        };
        Ok(SegmentInfo {
            name: name.clone(),
            title: newest.title.clone(),
            rule: newest.rule.write(),
            size: members.map_or(0, roaring::RoaringBitmap::len),
            position: view.inner.summary.last,
            as_of: view.inner.summary.as_of,
            version: newest.version,
            status: match building {
                true if newest.hold && built() => "held",
                true => "building",
                false => "active",
            },
            backfill_job: building.then_some(newest.job),
        })
    }

    /// Removes a segment.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; [`Refused::Conflict`] while another segment refers to it.
    pub async fn delete_segment(&self, name: &str) -> Result<()> {
        let _changing = self.core.changing.lock().await;
        let config = self.config();
        if !config.segments.contains_key(name) {
            return Err(Refused::NotFound("segment"));
        }
        if let Some(other) = config.segments_upon(&|rule| refers(rule, name)).find(|other| *other != name) {
            return Err(Refused::Conflict(format!("the segment {other} refers to it")));
        }
        self.core.change(Change::SegmentDeleted { name: name.into() }).await.map(|_| ())
    }

    /// Members of a segment, in a stable order; `after` continues a page.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn members(
        &self,
        name: &str,
        limit: usize,
        after: Option<Ordinal>,
    ) -> Result<Page<FragmentId, Ordinal>> {
        let view = self.core.rows.read();
        let segment = view.inner.config.segments.get(name).ok_or(Refused::NotFound("segment"))?;
        let members = segment.active.as_ref().and_then(|active| view.members(active.no));
        let from = after.map_or(0, |after| after.0.saturating_add(1));
        let ordinals: Vec<u32> =
            members.into_iter().flat_map(|members| members.range(from..)).take(limit).collect();
        let next = ordinals.last().copied().filter(|_| ordinals.len() == limit).map(Ordinal);
        let mut items = Vec::with_capacity(ordinals.len());
        for ordinal in ordinals {
            items.extend(view.root(Ordinal(ordinal))?);
        }
        Ok(Page { items, next })
    }

    /// Who entered and left the version that serves, in order, each once; `after` continues a page.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn changes(
        &self,
        name: &str,
        limit: usize,
        after: Option<(Position, u32)>,
    ) -> Result<Page<Moved, (Position, u32)>> {
        let view = self.core.rows.read();
        let segment = view.inner.config.segments.get(name).ok_or(Refused::NotFound("segment"))?;
        let Some(active) = &segment.active else { return Ok(Page { items: Vec::new(), next: None }) };
        let behind = |(position, n): (Position, u32)| (position, n.saturating_add(1));
        let from = after.map_or((Position(0), 0), behind);
        let mut turns = view.turns_from(active.no, from);
        let (mut items, mut last) = (Vec::new(), None);
        while items.len() < limit
            && let Some(logged) = turns.next()?
        {
            last = Some(logged.place());
            items.push(moved(&logged));
        }
        Ok(Page { next: last.filter(|_| items.len() == limit), items })
    }

    /// Who entered and left the version that serves last, newest first.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn newest_changes(&self, name: &str, limit: usize) -> Result<Vec<Moved>> {
        let view = self.core.rows.read();
        let segment = view.inner.config.segments.get(name).ok_or(Refused::NotFound("segment"))?;
        let Some(active) = &segment.active else { return Ok(Vec::new()) };
        let mut turns = view.turns_back(active.no);
        let mut items = Vec::new();
        while items.len() < limit
            && let Some(logged) = turns.next()?
        {
            items.push(moved(&logged));
        }
        Ok(items)
    }
}

fn moved(logged: &Logged) -> Moved {
    let turn = &logged.turn;
    Moved {
        profile_id: turn.profile,
        change: if turn.entered { "entered" } else { "left" },
        at: turn.at,
        position: logged.position,
        cause: turn.cause.as_str(),
    }
}

fn read(name: &str, definition: &Value, config: &Config) -> Result<Given> {
    let Some(object) = definition.as_object() else {
        return Err(Refused::invalid(Problem::new("", Code::WrongType, "a definition is a JSON object")));
    };
    let mut problems = Vec::new();
    unknown(object, &["title", "rule", "publish", "announce"], "", &mut problems);
    let title = match object.get("title") {
        None | Some(Value::Null) => name.to_owned(),
        Some(Value::Text(title)) if title.len() <= TITLE_BYTES_MAX => title.to_string(),
        Some(_) => {
            problems.push(Problem::new(
                "/title",
                Code::Invalid,
                format!("must be a string of at most {TITLE_BYTES_MAX} bytes"),
            ));
            String::new()
        }
    };
    let hold = match object.get("publish").map(|word| word.as_text().unwrap_or_default()) {
        None | Some("built") => false,
        Some("manually") => true,
        Some(_) => {
            let detail = "must be `built`, to serve as soon as it is built, or `manually`";
            problems.push(Problem::new("/publish", Code::Invalid, detail));
            false
        }
    };
    let announce = match object.get("announce") {
        None | Some(Value::Bool(false)) => false,
        Some(Value::Bool(true)) => true,
        Some(_) => {
            problems.push(Problem::new("/announce", Code::WrongType, "must be true or false"));
            false
        }
    };
    let rule = match object.get("rule") {
        Some(rule) => match Rule::read(rule, &NamesFor { config, segment: Some(name) }) {
            Ok(rule) => Some(rule),
            Err(found) => {
                problems.extend(found.into_iter().map(|problem| problem.under("/rule")));
                None
            }
        },
        None => {
            problems.push(Problem::new("/rule", Code::Required, "is required"));
            None
        }
    };
    match rule {
        Some(rule) if problems.is_empty() => Ok(Given { title, rule, hold, announce }),
        _ => Err(Refused::Invalid(problems)),
    }
}

fn refers(rule: &Rule, segment: &str) -> bool {
    matches!(rule, Rule::Segment(name) if name == segment)
}

/// Writes a definition down and starts the job that finds its first members. The caller holds `changing`.
async fn define(core: &Arc<Core>, name: &str, given: Given) -> Result<JobId> {
    let (job, no) = (new_job()?, core.rows.read().inner.config.next_no);
    let Given { title, rule, hold, announce } = given;
    core.change(Change::SegmentPut { name: name.into(), no, title, rule, hold, announce, job }).await?;
    submit_segment(core, name.into(), no, job)?;
    Ok(job)
}

/// Builds the newest version of a segment anew, upon what it refers to now. The caller holds `changing`.
pub(crate) async fn redefine(core: &Arc<Core>, config: &Config, name: &str) -> Result<()> {
    let newest =
        config.segments.get(name).and_then(|segment| segment.building.as_ref().or(segment.active.as_ref()));
    if let Some(newest) = newest {
        let (title, rule) = (newest.title.clone(), newest.rule.clone());
        define(core, name, Given { title, rule, hold: newest.hold, announce: newest.announce }).await?;
    }
    Ok(())
}

pub(crate) fn submit_segment(core: &Arc<Core>, name: CompactString, no: u32, job: JobId) -> Result<()> {
    let shared = core.clone();
    let work = Box::new(move |progress: &Progress| {
        on_steady_state(&shared, progress, |renewals| build(&shared, &name, no, renewals, progress))
    });
    core.jobs
        .submit(core.info.no, job, "segment_build", work)
        .map_err(|_| Refused::Overloaded { retry_after: 5 })
}

fn building(core: &Core, name: &str, no: u32) -> Option<crate::config::SegmentVersion> {
    let view = core.rows.read();
    let building = view.inner.config.segments.get(name).and_then(|segment| segment.building.clone());
    building.filter(|building| building.no == no)
}

/// Folds the past that the rule needs, then evaluates every profile there is; those that events touch meanwhile are
/// evaluated by them.
fn build(core: &Arc<Core>, name: &str, no: u32, renewals: u64, progress: &Progress) -> Outcome {
    let replaced = || Ok(serde_json::json!({ "segment": name, "published": false }));
    let stopped = || Err("cancelled; it is resumed at the next start".to_owned());
    let Some(version) = building(core, name, no) else { return replaced() };
    let needs = version.formula.needs();
    let built = fold_past(core, &needs.folds, renewals, progress)
        .and_then(|through| Ok(through && measure_missing(core, &needs.rankings, progress)?));
    match built {
        Ok(true) => {}
        Ok(false) => return stopped(),
        Err(error) => return Err(crate::writer::error_chain(&error)),
    }
    let last = core.rows.read().inner.summary.next_ordinal;
    let mut from = 0;
    let mut throttle = Throttle::new(core);
    while from < last {
        if progress.cancelled() {
            return stopped();
        }
        let (first, count) = (Ordinal(from), PROFILES_AT_A_TIME);
        if !core.ask(|done| Message::Evaluate { segment: no, from: first, count, renewals, done }) {
            return Err("the server is stopping, or its state failed; it is resumed afterwards".to_owned());
        }
        from = from.saturating_add(PROFILES_AT_A_TIME);
        progress.set(u64::from(from.min(last)), u64::from(last));
        throttle.rest(core);
    }
    if version.hold {
        return Ok(serde_json::json!({ "segment": name, "published": false, "held": true }));
    }
    match pollster::block_on(publish(core, name, no, Some(renewals))) {
        Ok(published) => Ok(serde_json::json!({ "segment": name, "published": published })),
        Err(error) => Err(crate::writer::error_chain(&error)),
    }
}

/// Lets a built version serve, and has the segments that refer to it built anew upon it.
async fn publish(core: &Arc<Core>, name: &str, no: u32, renewals: Option<u64>) -> Result<bool> {
    let _changing = core.changing.lock().await;
    let Some(version) = building(core, name, no) else { return Ok(false) };
    let before = core.rows.read().inner.config.clone();
    let at = core.clock.now();
    let announce = version.announce;
    let change = Change::SegmentPublished { name: name.into(), no, at, announce };
    match renewals {
        Some(renewals) => core.change_since(change, renewals).await?,
        None => core.change(change).await?,
    };
    let replaced = before.segments.get(name).and_then(|segment| segment.active.as_ref());
    if replaced.is_some_and(|replaced| replaced.formula != version.formula) {
        let config = core.rows.read().inner.config.clone();
        let upon: Vec<_> = config.segments_upon(&|rule| refers(rule, name)).cloned().collect();
        for other in upon {
            redefine(core, &config, &other).await?;
        }
    }
    Ok(true)
}

impl Tenant {
    /// Lets a version serve that is built and waits for that.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; [`Refused::Conflict`] when nothing waits.
    pub async fn publish_segment(&self, name: &str) -> Result<()> {
        if self.segment(name)?.status != "held" {
            return Err(Refused::Conflict("no version is built and waits to be published".to_owned()));
        }
        let config = self.config();
        let building = config.segments.get(name).and_then(|segment| segment.building.as_ref());
        let no = building.map(|building| building.no).ok_or(Refused::NotFound("segment"))?;
        publish(&self.core, name, no, None).await.map(|_| ())
    }
}
