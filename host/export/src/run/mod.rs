//! One run: its record, its life, and the step that its job takes again and again until it is over.
//!
//! | file | decides |
//! | --- | --- |
//! | `life` | which states there are |
//! | `survey` | who would be sent now, in the order of keys |
//! | `resolve` | what is sent, consent asked at that moment |
//! | `document` | runs that write a file |
//! | `rows`, `log` | runs that send rows in chunks, and how they go on after a crash |
//! | `retry` | when what failed is tried again |
//! | `tally`, `beside` | what came of it, and of whom |

pub(crate) mod beside;
mod document;
mod follow;
mod life;
mod log;
mod resolve;
mod retry;
mod rows;
mod survey;
mod tally;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cdp_domain::ids::{ExportId, JobId};
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_engine::exports::{DestinationState, Due};
use cdp_engine::{JobProgress, Refused, Result, Tenant};
use cdp_jobs::Step;
use serde_json::{Value as Json, json};

use follow::Following;
pub use follow::{FOLLOW_CHANGES_MAX, FOLLOW_MS_MAX};
pub use life::{Event, State};
pub(crate) use resolve::Item;
pub use retry::{DISABLED_AFTER_MS, RETRY_AFTER_SECONDS};
use tally::Tally;

use crate::Inner;
use crate::destination::{Fault, Target};
use crate::ledger::Line;
use crate::plan::Plan;

/// Members read at a time: memory does not grow with the audience.
const PAGE: usize = 500;
/// Rows that a destination would not take which a run's record names; all are counted.
pub const LETTERS_MAX: usize = 100;
/// How long a run waits for its turn before it looks again.
const TURN: Duration = Duration::from_millis(200);
/// How long a run waits for a destination that is paused, or for somebody who paused it, unless it is woken.
const PAUSED: Duration = Duration::from_secs(3600);

/// A run.
pub(crate) struct Run {
    pub(crate) id: ExportId,
    pub(crate) job: JobId,
    pub(crate) plan: Plan,
    pub(crate) tenant: Tenant,
    pub(crate) target: Target,
    pub(crate) inner: Arc<Inner>,
    pub(crate) created_at: Timestamp,
    pub(crate) due: Option<Due>,
    state: State,
    attempts: Attempts,
    following: Option<Following>,
}

/// Failures in a row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Attempts {
    failures: u32,
    since: Option<i64>,
    next_at: Option<i64>,
    error: Option<String>,
}

impl Attempts {
    fn write(&self) -> Json {
        let time = |at: Option<i64>| at.map(|at| Timestamp(at).to_string());
        json!({
            "failures": self.failures,
            "since": time(self.since),
            "next_attempt_at": time(self.next_at),
            "error": self.error,
        })
    }

    fn read(info: &Json) -> Self {
        let time = |name: &str| Timestamp::parse(info[name].as_str()?).ok().map(|at| at.0);
        Self {
            failures: info["failures"].as_u64().and_then(|count| count.try_into().ok()).unwrap_or(0),
            since: time("since"),
            next_at: time("next_attempt_at"),
            error: info["error"].as_str().map(str::to_owned),
        }
    }
}

/// What a step of a run came to.
pub(crate) enum Ended {
    /// It is over, and this is its record.
    Over(Json),
    /// The destination would not have it, or not all of it: whether it took something before is the second.
    Fault(Fault, bool),
    /// The audience stands at the destination, and the run goes on with who enters and who leaves.
    Follows,
}

/// What somebody wants of a run that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Pause,
    Cancel,
    /// The server is stopping: the run goes on after the next start.
    Stop,
}

/// The job's eye on a run.
pub(crate) struct Watch<'a> {
    progress: &'a JobProgress,
    run: &'a Run,
    total: std::cell::Cell<u64>,
}

impl Watch<'_> {
    fn set_total(&self, total: u64) {
        self.total.set(total);
    }

    /// Says how far the run is.
    ///
    /// # Errors
    /// When it is to stop.
    fn done(&self, done: u64) -> Result<()> {
        self.progress.set(done, self.total.get());
        self.look()
    }

    /// # Errors
    /// When the run is to stop.
    fn look(&self) -> Result<()> {
        match self.run.wish(self.progress) {
            None => Ok(()),
            Some(_) => Err(Refused::Conflict("the export was stopped".to_owned())),
        }
    }
}

/// Whether nothing more will happen to a run, by its record.
pub(crate) fn is_over(info: &Json) -> bool {
    info["status"].as_str().and_then(State::of).is_some_and(State::is_over)
}

impl Run {
    /// A run that begins.
    pub(crate) fn new(inner: &Arc<Inner>, tenant: &Tenant, plan: Plan, due: Option<Due>) -> Result<Self> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(Refused::internal)?;
        let (id, job) = bytes.split_at(16);
        let target = Target::of(inner, tenant, plan.destination.as_deref())?;
        Ok(Self {
            id: ExportId(id.try_into().expect("16 bytes")),
            job: JobId(job.try_into().expect("16 bytes")),
            plan,
            tenant: tenant.clone(),
            target,
            inner: inner.clone(),
            created_at: inner.engine.clock().now(),
            due,
            state: State::Running,
            attempts: Attempts::default(),
            following: None,
        })
    }

    /// A run that goes on by its record.
    ///
    /// # Errors
    /// When what it needs is not there any more.
    pub(crate) fn of_record(inner: &Arc<Inner>, tenant: &Tenant, info: &Json) -> Result<Self> {
        let text = |name: &str| info[name].as_str().unwrap_or_default();
        let broken = || Refused::internal("the record of a run cannot be read");
        let request: Value = cdp_domain::json::parse(
            info["request"].to_string().as_bytes(),
            cdp_domain::json::Options::default(),
        )
        .map_err(Refused::internal)?;
        let plan = Plan::read(tenant, &request)?;
        let due = info["schedule"].as_str().map(|schedule| Due {
            schedule: schedule.into(),
            at: Timestamp::parse(text("due_at")).unwrap_or_default(),
        });
        Ok(Self {
            id: text("id").parse().map_err(|_| broken())?,
            job: text("job").parse().map_err(|_| broken())?,
            target: Target::of(inner, tenant, plan.destination.as_deref())?,
            plan,
            tenant: tenant.clone(),
            inner: inner.clone(),
            created_at: Timestamp::parse(text("created_at")).map_err(|_| broken())?,
            due,
            state: State::of(text("status")).ok_or_else(broken)?,
            attempts: Attempts::read(&info["retry"]),
            following: None,
        })
    }

    /// The folder of the tenant's exports.
    pub(crate) fn dir(&self) -> PathBuf {
        crate::exports_dir(&self.inner.engine, self.tenant.no())
    }

    /// The line that the run writes, if it keeps track.
    pub(crate) fn line(&self) -> Option<Line> {
        self.plan.keeps_track().then(|| Line::of(&self.tenant, &self.plan, &self.dir()))
    }

    /// The run as it is written down at its beginning.
    pub(crate) fn begun(&self) -> Json {
        self.info(self.state, &Tally::default())
    }

    fn info(&self, state: State, tally: &Tally) -> Json {
        json!({
            "id": self.id.to_string(),
            "job": self.job.to_string(),
            "status": state.as_str(),
            "kind": self.target.kind(),
            "destination": self.plan.destination,
            "segment": self.plan.segment,
            "segment_version": tally.segment_version,
            "format": self.plan.format.extension(),
            "fields": self.plan.fields_json(),
            "consent": {
                "channel": self.plan.consent.channel.as_str(),
                "purpose": self.plan.consent.purpose.as_str(),
            },
            "mode": self.plan.mode.as_str(),
            "request": self.plan.write(),
            "members": tally.members,
            "rows": tally.rows(),
            "changes": { "add": tally.added, "update": tally.updated, "remove": tally.removed },
            "unchanged": tally.unchanged,
            "withheld": tally.withheld_json(),
            "bytes": 0,
            "sha256": null,
            "position": tally.position.to_string(),
            "created_at": self.created_at.to_string(),
            "schedule": self.due.as_ref().map(|due| due.schedule.as_str()),
            "due_at": self.due.as_ref().map(|due| due.at.to_string()),
            "retry": self.attempts.write(),
        })
    }

    /// The record of a run that ends now.
    fn ending(&self, state: State, tally: &Tally) -> Json {
        let mut info = self.info(state, tally);
        info["ended_at"] = self.inner.engine.clock().now().to_string().into();
        info["plugins"] = self.plugins();
        if self.attempts == Attempts::default() {
            info["retry"] = Json::Null;
        }
        info
    }

    /// The components that had a say: those that derive what is read, and the one that sends.
    fn plugins(&self) -> Json {
        let mut all = self.tenant.plugins_behind(&self.plan.segment, &self.plan.sources());
        all.extend(self.target.plugin());
        let all = all.into_iter().map(|(plugin, version, digest)| {
            json!({ "plugin": plugin.as_str(), "version": version, "digest": digest })
        });
        all.collect::<Vec<_>>().into()
    }

    fn write_down(&self, info: &Json) -> Result<()> {
        pollster::block_on(self.tenant.record_export(self.id, info.clone()))
    }

    /// Goes to another state where that is one, and writes it down.
    fn turn(&mut self, event: Event) -> Result<()> {
        let Some(state) = self.state.after(event) else { return Ok(()) };
        self.state = state;
        let mut info = self.tenant.export(self.id)?;
        info["status"] = state.as_str().into();
        info["retry"] = self.attempts.write();
        self.write_down(&info)
    }

    fn wish(&self, progress: &JobProgress) -> Option<Wish> {
        let key = (self.tenant.no(), self.id);
        if self.inner.engine.jobs().is_closing() {
            Some(Wish::Stop)
        } else if progress.cancelled() {
            Some(Wish::Cancel)
        } else {
            self.inner.paused.lock().contains(&key).then_some(Wish::Pause)
        }
    }

    /// Takes the next step.
    pub(crate) fn step(&mut self, progress: &JobProgress) -> Step {
        match self.try_step(progress) {
            Ok(step) => step,
            Err(error) => self.after_error(error, progress),
        }
    }

    fn try_step(&mut self, progress: &JobProgress) -> Result<Step> {
        if !self.inner.is_resumed() {
            return Ok(Step::Again(TURN));
        }
        // A run that a restart submits again begins when state stands where it stood.
        if self.following.is_none() {
            self.tenant.wait_until_applied()?;
        }
        match self.wish(progress) {
            Some(Wish::Stop) => return Ok(Step::Ended(Err("the server is stopping".to_owned()))),
            Some(Wish::Cancel) => return self.cancel(),
            Some(Wish::Pause) => {
                self.following = None;
                self.turn(Event::Pause)?;
                return Ok(Step::Again(PAUSED));
            }
            None => {}
        }
        if let Some(name) = &self.plan.destination {
            match self.tenant.destination(name)?.state {
                DestinationState::Active => {}
                DestinationState::Paused => {
                    self.following = None;
                    self.turn(Event::Wait)?;
                    return Ok(Step::Again(PAUSED));
                }
                DestinationState::Disabled { reason, .. } => {
                    return self.fail(format!("the destination is disabled: {reason}"));
                }
            }
        }
        if let Some(following) = self.following.take()
            && self.state == State::Running
        {
            return self.follow(following, progress);
        }
        if let Some(line) = self.line() {
            if !self.inner.lines.take(&line, self.id) {
                return Ok(Step::Again(TURN));
            }
            line.settle()?;
        }
        self.turn(Event::Go)?;
        self.target = Target::of(&self.inner, &self.tenant, self.plan.destination.as_deref())?;
        let watch = Watch { progress, run: self, total: std::cell::Cell::new(0) };
        let ended = match self.target.takes_rows() {
            true => self.send_rows(&watch)?,
            false => self.write_document(&watch)?,
        };
        self.after_ended(ended)
    }

    fn after_ended(&mut self, ended: Ended) -> Result<Step> {
        match ended {
            Ended::Follows => {
                self.following = Some(self.begin_following()?);
                Ok(Step::Again(Duration::ZERO))
            }
            Ended::Over(info) => {
                self.leave();
                Ok(Step::Ended(Ok(info)))
            }
            Ended::Fault(fault, progressed) => {
                if progressed {
                    self.attempts = Attempts::default();
                }
                self.after_fault(&fault)
            }
        }
    }

    fn after_error(&mut self, error: Refused, progress: &JobProgress) -> Step {
        let outcome = match (self.wish(progress), &error) {
            (Some(Wish::Stop), _) => return Step::Ended(Err("the server is stopping".to_owned())),
            (Some(Wish::Cancel), _) => self.cancel(),
            (Some(Wish::Pause), _) => self.turn(Event::Pause).map(|()| Step::Again(PAUSED)),
            (None, Refused::Unavailable(_) | Refused::Overloaded { .. }) => {
                return Step::Again(Duration::from_secs(1));
            }
            (None, _) => {
                let reason = match &error {
                    Refused::Internal(cause) => {
                        tracing::error!(error = %cause, "an export failed");
                        "the export failed for a reason of the server's own".to_owned()
                    }
                    other => other.to_string(),
                };
                self.fail(reason)
            }
        };
        outcome.unwrap_or_else(|error| {
            tracing::error!(error = %error, "the end of an export could not be written down");
            Step::Ended(Err("the export failed for a reason of the server's own".to_owned()))
        })
    }

    /// Waits and tries again, or ends.
    fn after_fault(&mut self, fault: &Fault) -> Result<Step> {
        let now = self.inner.engine.clock().now().0;
        self.attempts.failures += 1;
        self.attempts.error = Some(fault.to_string());
        let since = *self.attempts.since.get_or_insert(now);
        let too_long = retry::is_too_long(since, now);
        if fault.disables() || (fault.is_retryable() && too_long) {
            if let Some(name) = self.plan.destination.clone() {
                let state = DestinationState::Disabled { reason: fault.to_string(), at: Timestamp(now) };
                tracing::warn!(destination = name, code = fault.code(), "a destination was disabled");
                pollster::block_on(self.tenant.mark_destination(&name, state))?;
            }
            return self.fail(format!("the destination was disabled: {fault}"));
        }
        if !fault.is_retryable() {
            return self.fail(fault.to_string());
        }
        let mut drawn = [0; 8];
        getrandom::fill(&mut drawn).map_err(Refused::internal)?;
        let wait = retry::wait_for(self.attempts.failures, fault.after(), u64::from_le_bytes(drawn));
        self.attempts.next_at = Some(now.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)));
        self.state = State::Running;
        self.turn(Event::Wait)?;
        Ok(Step::Again(wait))
    }

    /// When the next attempt is due, from now: after a restart it is not earlier for that.
    pub(crate) fn due_in(&self) -> Duration {
        let now = self.inner.engine.clock().now().0;
        let left = self.attempts.next_at.map_or(0, |at| at.saturating_sub(now));
        Duration::from_millis(u64::try_from(left).unwrap_or(0))
    }

    fn cancel(&mut self) -> Result<Step> {
        self.over(State::Cancelled, None)?;
        Ok(Step::Ended(Err("the export was cancelled".to_owned())))
    }

    fn fail(&mut self, why: String) -> Result<Step> {
        self.over(State::Failed, Some(why.clone()))?;
        Ok(Step::Ended(Err(why)))
    }

    fn over(&mut self, state: State, why: Option<String>) -> Result<()> {
        self.state = state;
        let line = self.line().filter(|line| {
            self.target.takes_rows() && self.inner.is_resumed() && self.inner.lines.take(line, self.id)
        });
        if let Some(line) = line {
            line.settle()?;
            self.end(state, why)?;
        } else {
            let mut info = self.ending(state, &Tally::default());
            info["error"] = why.into();
            self.write_down(&info)?;
        }
        self.leave();
        Ok(())
    }

    /// Lets others have the line.
    fn leave(&self) {
        if let Some(line) = self.line() {
            self.inner.lines.give_back(&line, self.id);
        }
        self.inner.paused.lock().remove(&(self.tenant.no(), self.id));
        self.inner.under_way.lock().remove(&(self.tenant.no(), self.job));
    }
}
