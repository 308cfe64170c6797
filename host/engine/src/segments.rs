//! Segments: defining, finding their first members, listing members and changes.

use std::sync::Arc;

use cdp_domain::condition::unknown;
use cdp_domain::ids::{FragmentId, JobId, Ordinal, Position};
use cdp_domain::problem::{Code, Problem};
use cdp_domain::segment::{Names, Rule};
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_jobs::{Outcome, Progress};
use cdp_store::keys;
use cdp_store::kv::Order;
use compact_str::CompactString;

use crate::attributes::{Put, check_definition_name, on_steady_state};
use crate::config::{Change, Config};
use crate::error::{Refused, Result};
use crate::feed::Message;
use crate::rows::Look;
use crate::tenant::{Core, Page, Tenant, new_job};

/// Segments of one tenant.
pub const SEGMENTS_MAX: usize = 500;
/// Bytes of a segment's title.
pub const TITLE_BYTES_MAX: usize = 200;
/// Profiles evaluated at a time while first members are found; readers wait no longer than that takes.
const PROFILES_AT_A_TIME: u32 = 500;

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
    /// `active`, or `building` while the newest version is not served yet.
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

impl Names for Config {
    fn has_attribute(&self, name: &str) -> bool {
        self.attributes.contains_key(name)
    }
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
        let (title, rule) = read(name, definition, &config)?;
        let known = config.segments.get(name);
        let newest = known.and_then(|segment| segment.building.as_ref().or(segment.active.as_ref()));
        if let Some(same) = newest.filter(|newest| newest.rule == rule && newest.title == title) {
            let building = known.is_some_and(|segment| segment.building.is_some());
            return Ok(Put { version: same.version, created: false, job: building.then_some(same.job) });
        }
        if known.is_none() && config.segments.len() >= SEGMENTS_MAX {
            return Err(Refused::Conflict(format!("there are {SEGMENTS_MAX} segments already")));
        }
        let version = known.map_or(0, |segment| segment.versions) + 1;
        let job = define(core, name, title, rule).await?;
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
        Ok(SegmentInfo {
            name: name.clone(),
            title: newest.title.clone(),
            rule: newest.rule.write(),
            size: members.map_or(0, roaring::RoaringBitmap::len),
            position: view.inner.summary.last,
            as_of: view.inner.summary.as_of,
            version: newest.version,
            status: if building { "building" } else { "active" },
            backfill_job: building.then_some(newest.job),
        })
    }

    /// Removes a segment.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub async fn delete_segment(&self, name: &str) -> Result<()> {
        let _changing = self.core.changing.lock().await;
        if !self.config().segments.contains_key(name) {
            return Err(Refused::NotFound("segment"));
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
        let context = self.core.rows.context();
        let mut range = context.change_range(active.no, Position(0));
        if let Some((position, n)) = after {
            range = range.after(&context.change(active.no, position, n));
        }
        let found = view.scan(&range, Order::Forward, limit)?;
        let last = found.last().and_then(|(key, _)| keys::change(key)).map(|(_, position, n)| (position, n));
        let mut items = Vec::with_capacity(found.len());
        for (key, bytes) in &found {
            let turn: crate::writer::Turn = crate::rows::decode(bytes)?;
            let position = keys::change(key).map(|(_, position, _)| position).unwrap_or_default();
            items.push(Moved {
                profile_id: turn.profile,
                change: if turn.entered { "entered" } else { "left" },
                at: turn.at,
                position,
                cause: turn.cause.as_str(),
            });
        }
        Ok(Page { next: last.filter(|_| items.len() == limit), items })
    }
}

fn read(name: &str, definition: &Value, config: &Config) -> Result<(String, Rule)> {
    let Some(object) = definition.as_object() else {
        return Err(Refused::invalid(Problem::new("", Code::WrongType, "a definition is a JSON object")));
    };
    let mut problems = Vec::new();
    unknown(object, &["title", "rule"], "", &mut problems);
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
    let rule = match object.get("rule") {
        Some(rule) => match Rule::read(rule, config) {
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
        Some(rule) if problems.is_empty() => Ok((title, rule)),
        _ => Err(Refused::Invalid(problems)),
    }
}

/// Writes a definition down and starts the job that finds its first members. The caller holds `changing`.
pub(crate) async fn define(core: &Arc<Core>, name: &str, title: String, rule: Rule) -> Result<JobId> {
    let (job, no) = (new_job()?, core.rows.read().inner.config.next_no);
    core.change(Change::SegmentPut { name: name.into(), no, title, rule, job }).await?;
    submit_segment(core, name.into(), no, job)?;
    Ok(job)
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

fn is_building(core: &Core, name: &str, no: u32) -> bool {
    let view = core.rows.read();
    let building = view.inner.config.segments.get(name).and_then(|segment| segment.building.as_ref());
    building.is_some_and(|building| building.no == no)
}

/// Evaluates every profile there was when the segment was defined; those that events touch meanwhile are evaluated by them.
fn build(core: &Arc<Core>, name: &str, no: u32, renewals: u64, progress: &Progress) -> Outcome {
    let last = core.rows.read().inner.summary.next_ordinal;
    let mut from = 0;
    while from < last {
        if progress.cancelled() {
            return Err("cancelled; it is resumed at the next start".to_owned());
        }
        let (first, count) = (Ordinal(from), PROFILES_AT_A_TIME);
        if !core.ask(|done| Message::Evaluate { from: first, count, renewals, done }) {
            return Err("the server is stopping, or its state failed; it is resumed afterwards".to_owned());
        }
        from = from.saturating_add(PROFILES_AT_A_TIME);
        progress.set(u64::from(from.min(last)), u64::from(last));
    }
    let publish = async {
        let _changing = core.changing.lock().await;
        if !is_building(core, name, no) {
            return Result::<bool>::Ok(false);
        }
        let published = Change::SegmentPublished { name: name.into(), no };
        core.change_since(published, renewals).await.map(|_| true)
    };
    match pollster::block_on(publish) {
        Ok(published) => Ok(serde_json::json!({ "segment": name, "published": published })),
        Err(error) => Err(crate::writer::error_chain(&error)),
    }
}
