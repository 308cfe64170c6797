//! What clients ask about runs, and want of them.

use std::path::PathBuf;
use std::time::Duration;

use cdp_domain::ids::{ExportId, FragmentId, JobId};
use cdp_domain::value::Value;
use cdp_engine::exports::{DestinationState, Due};
use cdp_engine::{Page, Refused, Result, Tenant};
use cdp_jobs::{Lane, Step};
use serde_json::{Value as Json, json};

use crate::manifest::MANIFEST_FORMAT;
use crate::plan::{Compression, Format, Plan, extension, media_type};
use crate::run::{Run, State, beside, is_over};
use crate::{Exports, exports_dir};

/// A run that began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// The run.
    pub id: ExportId,
    /// The job that does it.
    pub job: JobId,
}

/// A file that is held for download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Where it lies.
    pub path: PathBuf,
    /// What it is called when it is fetched.
    pub name: String,
    /// For `Content-Type`.
    pub media_type: &'static str,
}

impl Exports {
    /// Begins a run.
    ///
    /// # Errors
    /// [`Refused::Invalid`] with pointers into the request; [`Refused::NotFound`] for the segment; [`Refused::Conflict`]
    /// while the segment is being built, and for a destination that is disabled; [`Refused::Overloaded`] when too many
    /// jobs wait.
    pub async fn start(&self, tenant: &Tenant, request: &Value) -> Result<Started> {
        self.begin(tenant, request, None).await
    }

    pub(crate) async fn begin(&self, tenant: &Tenant, request: &Value, due: Option<Due>) -> Result<Started> {
        let plan = Plan::read(tenant, request)?;
        // Refused at once when there is no such segment, rather than by the run.
        tenant.take_members(&plan.segment)?;
        if let Some(name) = &plan.destination
            && let DestinationState::Disabled { reason, .. } = tenant.destination(name)?.state
        {
            return Err(Refused::Conflict(format!("the destination is disabled: {reason}")));
        }
        let run = Run::new(&self.0, tenant, plan, due)?;
        let started = Started { id: run.id, job: run.job };
        match &run.due {
            None => tenant.record_export(run.id, run.begun()).await?,
            Some(due) => tenant.record_scheduled_export(run.id, run.begun(), due).await?,
        }
        self.submit(run, Duration::ZERO)?;
        Ok(started)
    }

    fn submit(&self, mut run: Run, after: Duration) -> Result<()> {
        let (tenant, job) = (run.tenant.no(), run.job);
        self.0.under_way.lock().insert((tenant, job), run.plan.destination.clone());
        let lane = if run.target.waits() { Lane::Delivery } else { Lane::Work };
        let mut first = Some(after).filter(|after| !after.is_zero());
        let steps = Box::new(move |progress: &_| match first.take() {
            Some(after) => Step::Again(after),
            None => run.step(progress),
        });
        let submitted = self.0.engine.jobs().submit_steps(tenant, job, "export", lane, steps);
        submitted.map_err(|_| {
            self.0.under_way.lock().remove(&(tenant, job));
            Refused::Overloaded { retry_after: 5 }
        })
    }

    /// Submits every run again that is under way by its record: after a start.
    pub(crate) fn resume_all(&self) {
        for tenant in self.0.engine.open_tenants() {
            if let Err(error) = self.resume_of(&tenant) {
                tracing::error!(tenant = tenant.no().0, %error, "interrupted exports could not be resumed");
            }
        }
    }

    fn resume_of(&self, tenant: &Tenant) -> Result<()> {
        // Records of runs may stand in what is not applied yet.
        while tenant.unready().is_some() {
            if self.is_closing() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut unfinished = Vec::new();
        let mut after = None;
        loop {
            let page = tenant.exports(1000, after)?;
            unfinished.extend(page.items.into_iter().filter(|info| !is_over(info)));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        // Those that began first are the first to have their lines.
        unfinished.sort_by_key(|info| info["created_at"].as_str().map(str::to_owned));
        for info in unfinished {
            let run = match Run::of_record(&self.0, tenant, &info) {
                Ok(run) => run,
                Err(error) => {
                    self.give_up(tenant, info, &error)?;
                    continue;
                }
            };
            if info["status"] == State::Paused.as_str() {
                self.0.paused.lock().insert((tenant.no(), run.id));
            }
            if let Some(line) = run.line() {
                self.0.lines.take(&line, run.id);
            }
            let due = run.due_in();
            self.submit(run, due)?;
        }
        Ok(())
    }

    /// Ends a run that cannot go on: what it needs is gone.
    fn give_up(&self, tenant: &Tenant, mut info: Json, error: &Refused) -> Result<()> {
        let id: ExportId =
            info["id"].as_str().and_then(|id| id.parse().ok()).ok_or(Refused::NotFound("export"))?;
        info["status"] = State::Failed.as_str().into();
        info["error"] = format!("what it needs is not there any more: {error}").into();
        info["ended_at"] = self.0.engine.clock().now().to_string().into();
        pollster::block_on(tenant.record_export(id, info))
    }

    /// A run as clients see it.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn get(&self, tenant: &Tenant, id: ExportId) -> Result<Json> {
        tenant.export(id)
    }

    /// Runs, in the order of their ids; `after` continues a page.
    ///
    /// # Errors
    /// The store's.
    pub fn list(
        &self,
        tenant: &Tenant,
        limit: usize,
        after: Option<ExportId>,
    ) -> Result<Page<Json, ExportId>> {
        tenant.exports(limit, after)
    }

    /// The file of a run that is done.
    ///
    /// # Errors
    /// [`Refused::NotFound`] when there is no such run, it did not end well, or its file is not held any more.
    pub fn file(&self, tenant: &Tenant, id: ExportId) -> Result<Held> {
        let info = tenant.export(id)?;
        let text = |name: &str| info[name].as_str();
        let format = text("format").and_then(Format::of).ok_or(Refused::NotFound("export"))?;
        let compression =
            info["request"]["compression"].as_str().and_then(Compression::of).unwrap_or_default();
        let name = format!("{id}.{}", extension(format, compression));
        let mut dir = exports_dir(&self.0.engine, tenant.no());
        if let (Some("file"), Some(destination)) = (text("kind"), text("destination")) {
            dir = dir.join(cdp_engine::privacy::TO).join(destination);
        }
        let path = dir.join(&name);
        if text("status") != Some(State::Done.as_str()) || text("file") != Some("held") || !path.exists() {
            return Err(Refused::NotFound("export"));
        }
        Ok(Held { path, name, media_type: media_type(format, compression) })
    }

    /// What a run wrote, and on what grounds: rows, bytes, hash, position, consent, withheld by reason, commitments.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; [`Refused::Conflict`] while it is under way.
    pub fn manifest(&self, tenant: &Tenant, id: ExportId) -> Result<Json> {
        let info = tenant.export(id)?;
        if !is_over(&info) {
            return Err(Refused::Conflict(
                "the export is under way; its manifest comes with its end".to_owned(),
            ));
        }
        let mut manifest = json!({ "manifest": MANIFEST_FORMAT });
        for name in [
            "id",
            "status",
            "kind",
            "destination",
            "segment",
            "segment_version",
            "format",
            "fields",
            "consent",
            "mode",
            "request",
            "members",
            "rows",
            "changes",
            "unchanged",
            "withheld",
            "bytes",
            "sha256",
            "position",
            "created_at",
            "ended_at",
            "commitments",
            "unfit",
            "chunks",
            "dead_letters",
            "plugins",
            "file",
            "object",
        ] {
            if !info[name].is_null() {
                manifest[name] = info[name].clone();
            }
        }
        Ok(manifest)
    }

    /// Who has no row in a run, and why; `from` continues a page. Whoever was joined with another or erased meanwhile is
    /// counted in the run's record and not listed.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn withheld(
        &self,
        tenant: &Tenant,
        id: ExportId,
        limit: usize,
        from: u64,
    ) -> Result<Page<(FragmentId, &'static str), u64>> {
        tenant.export(id)?;
        beside::withheld_of(&exports_dir(&self.0.engine, tenant.no()), id, limit, from)
    }

    /// Ends a run before its end. What was sent stays sent.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; [`Refused::Conflict`] when it is over.
    pub fn cancel(&self, tenant: &Tenant, id: ExportId) -> Result<()> {
        let job = self.living(tenant, id)?;
        if !self.0.is_resumed() {
            let why = "exports of before the start are being taken up again";
            return Err(Refused::Unavailable(why.to_owned()));
        }
        self.0.paused.lock().remove(&(tenant.no(), id));
        if self.0.engine.jobs().cancel(tenant.no(), job) {
            return Ok(());
        }
        Err(Refused::Conflict("the export is over".to_owned()))
    }

    /// Stops a run for now, at its next chunk.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; [`Refused::Conflict`] when it is over.
    pub fn pause(&self, tenant: &Tenant, id: ExportId) -> Result<()> {
        let job = self.living(tenant, id)?;
        self.0.paused.lock().insert((tenant.no(), id));
        // Where it waits for its time it takes note at once.
        self.0.engine.jobs().wake(tenant.no(), job);
        Ok(())
    }

    /// Lets a run go on that was stopped.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; [`Refused::Conflict`] when it is over.
    pub fn resume(&self, tenant: &Tenant, id: ExportId) -> Result<()> {
        let job = self.living(tenant, id)?;
        self.0.paused.lock().remove(&(tenant.no(), id));
        self.0.engine.jobs().wake(tenant.no(), job);
        Ok(())
    }

    fn living(&self, tenant: &Tenant, id: ExportId) -> Result<JobId> {
        let info = tenant.export(id)?;
        if is_over(&info) {
            return Err(Refused::Conflict("the export is over".to_owned()));
        }
        info["job"].as_str().and_then(|job| job.parse().ok()).ok_or(Refused::NotFound("job"))
    }

    /// Wakes the runs to a destination that wait for their time: something changed that they wait for. Runs to others, which
    /// a receiver may have asked to wait, go on waiting.
    pub(crate) fn wake(&self, tenant: &Tenant, destination: &str) {
        let jobs = self.0.engine.jobs();
        let under_way = self.0.under_way.lock();
        for ((owner, job), to) in under_way.iter() {
            if *owner == tenant.no() && to.as_deref() == Some(destination) {
                jobs.wake(tenant.no(), *job);
            }
        }
    }
}
