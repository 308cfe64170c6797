//! The only crate that decides when background work runs.
//!
//! A job is work with a name, an owner and progress that others can watch and cancel. Jobs run on a few threads in the
//! order of submission. The list is kept in memory: what a job is for (a definition to build, an export to write) stands in the
//! journal, and whoever owns that resubmits it under the same id after a restart, so nothing is lost with the list.
//! Finished jobs stay readable until [`FINISHED_MAX`] newer ones of the installation have finished.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use cdp_domain::ids::{JobId, TenantNo};
use parking_lot::{Condvar, Mutex};
use serde::Serialize;

/// Jobs that may wait at the same time; one more is refused.
pub const QUEUED_MAX: usize = 1000;
/// Finished jobs that stay readable.
pub const FINISHED_MAX: usize = 1000;
/// Jobs that run at the same time.
pub const RUNNING_MAX: usize = 2;

/// What a job gives when it is done, as clients see it.
pub type Outcome = Result<serde_json::Value, String>;
/// The work itself.
pub type Work = Box<dyn FnOnce(&Progress) -> Outcome + Send>;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It waits for a thread.
    Queued,
    /// It runs.
    Running,
    /// It ended with a result.
    Done,
    /// It ended with an error.
    Failed,
    /// It was cancelled before it ended.
    Cancelled,
}

/// A job as clients see it.
#[derive(Debug, Clone, Serialize)]
pub struct JobView {
    /// Its id, printed.
    pub id: String,
    /// What kind of work it is, such as `export`.
    pub kind: &'static str,
    /// Where it stands.
    pub status: Status,
    /// How far it is.
    pub progress: ProgressView,
    /// What it gave.
    pub result: Option<serde_json::Value>,
    /// Why it failed.
    pub error: Option<String>,
}

/// How far a job is, in units of its own (events, rows, profiles).
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ProgressView {
    /// Units done.
    pub done: u64,
    /// Units in all, as far as known; 0 when unknown.
    pub total: u64,
    /// Units per second since it began.
    pub rate: f64,
    /// Seconds left at this rate.
    pub eta_seconds: Option<u64>,
}

/// The running job's hand on its own progress.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    total: AtomicU64,
    cancelled: AtomicBool,
}

impl Progress {
    /// Says how far it is.
    pub fn set(&self, done: u64, total: u64) {
        self.done.store(done, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    /// Whether somebody asked the job to stop, or the server is stopping. Ask at least every second of work.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// The list of jobs and the threads that run them. Cheap to clone.
#[derive(Clone)]
pub struct Jobs(Arc<Shared>);

struct Shared {
    table: Mutex<Table>,
    work: Condvar,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Table {
    jobs: BTreeMap<(TenantNo, JobId), Entry>,
    queue: VecDeque<((TenantNo, JobId), Work)>,
    finished: VecDeque<(TenantNo, JobId)>,
    closing: bool,
}

struct Entry {
    kind: &'static str,
    status: Status,
    progress: Arc<Progress>,
    began: Option<Instant>,
    ended: Option<Instant>,
    outcome: Option<Outcome>,
}

/// The queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueFull;

impl Default for Jobs {
    fn default() -> Self {
        Self::new()
    }
}

impl Jobs {
    /// Starts the threads.
    #[must_use]
    pub fn new() -> Self {
        let jobs = Self(Arc::new(Shared {
            table: Mutex::default(),
            work: Condvar::new(),
            threads: Mutex::default(),
        }));
        let spawn = |n| {
            let shared = jobs.0.clone();
            std::thread::Builder::new().name(format!("job-{n}")).spawn(move || shared.run())
        };
        *jobs.0.threads.lock() = (0..RUNNING_MAX).filter_map(|n| spawn(n).ok()).collect();
        jobs
    }

    /// Queues work under an id. An id that is queued or running already is left as it is: one piece of work, one job.
    ///
    /// # Errors
    /// When [`QUEUED_MAX`] jobs wait.
    pub fn submit(
        &self,
        tenant: TenantNo,
        id: JobId,
        kind: &'static str,
        work: Work,
    ) -> Result<(), QueueFull> {
        let mut table = self.0.table.lock();
        let key = (tenant, id);
        if table.jobs.get(&key).is_some_and(|entry| matches!(entry.status, Status::Queued | Status::Running))
        {
            return Ok(());
        }
        if table.queue.len() >= QUEUED_MAX || table.closing {
            return Err(QueueFull);
        }
        let entry = Entry {
            kind,
            status: Status::Queued,
            progress: Arc::default(),
            began: None,
            ended: None,
            outcome: None,
        };
        table.jobs.insert(key, entry);
        table.queue.push_back((key, work));
        self.0.work.notify_one();
        Ok(())
    }

    /// A tenant's job.
    #[must_use]
    pub fn get(&self, tenant: TenantNo, id: JobId) -> Option<JobView> {
        self.0.table.lock().jobs.get(&(tenant, id)).map(|entry| entry.view(id))
    }

    /// All jobs of a tenant.
    #[must_use]
    pub fn list(&self, tenant: TenantNo) -> Vec<JobView> {
        let table = self.0.table.lock();
        table
            .jobs
            .iter()
            .filter(|((owner, _), _)| *owner == tenant)
            .map(|((_, id), entry)| entry.view(*id))
            .collect()
    }

    /// Forgets the results of a tenant's finished jobs of a kind: they hold what is to be forgotten.
    pub fn forget(&self, tenant: TenantNo, kind: &str) {
        let mut table = self.0.table.lock();
        let ended = |entry: &Entry| !matches!(entry.status, Status::Queued | Status::Running);
        let gone: Vec<_> = table
            .jobs
            .iter()
            .filter(|((owner, _), entry)| *owner == tenant && entry.kind == kind && ended(entry))
            .map(|(key, _)| *key)
            .collect();
        table.jobs.retain(|key, _| !gone.contains(key));
        table.finished.retain(|key| !gone.contains(key));
    }

    /// Asks a job to stop; a waiting one never starts. Whether there is such an unfinished job.
    #[must_use]
    pub fn cancel(&self, tenant: TenantNo, id: JobId) -> bool {
        let mut table = self.0.table.lock();
        let Some(entry) = table.jobs.get_mut(&(tenant, id)) else { return false };
        entry.progress.cancelled.store(true, Ordering::Relaxed);
        match entry.status {
            Status::Running => true,
            Status::Queued => {
                entry.status = Status::Cancelled;
                table.queue.retain(|(key, _)| *key != (tenant, id));
                true
            }
            _ => false,
        }
    }

    /// Whether [`close`](Self::close) was called: a job that is cancelled then is not over, it goes on after a restart.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.0.table.lock().closing
    }

    /// Asks all jobs to stop and waits until they did. What waits is dropped; its owners resubmit it after a restart.
    pub fn close(&self) {
        {
            let mut table = self.0.table.lock();
            table.closing = true;
            table.queue.clear();
            table.jobs.values().for_each(|entry| entry.progress.cancelled.store(true, Ordering::Relaxed));
            self.0.work.notify_all();
        }
        let threads = std::mem::take(&mut *self.0.threads.lock());
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a job thread panicked");
            }
        }
    }
}

impl Shared {
    fn run(&self) {
        while let Some((key, work, progress)) = self.next() {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&progress)))
                .unwrap_or_else(|_| Err("the job failed for a reason of the server's own".to_owned()));
            self.finish(key, outcome, &progress);
        }
    }

    fn next(&self) -> Option<((TenantNo, JobId), Work, Arc<Progress>)> {
        let mut table = self.table.lock();
        loop {
            if let Some((key, work)) = table.queue.pop_front() {
                let entry = table.jobs.get_mut(&key).expect("a queued job is in the table");
                entry.status = Status::Running;
                entry.began = Some(Instant::now());
                return Some((key, work, entry.progress.clone()));
            }
            if table.closing {
                return None;
            }
            self.work.wait(&mut table);
        }
    }

    fn finish(&self, key: (TenantNo, JobId), outcome: Outcome, progress: &Progress) {
        let mut table = self.table.lock();
        let entry = table.jobs.get_mut(&key).expect("a running job is in the table");
        entry.status = match &outcome {
            Ok(_) => Status::Done,
            Err(_) if progress.cancelled() => Status::Cancelled,
            Err(_) => Status::Failed,
        };
        if let Err(reason) = &outcome {
            tracing::warn!(kind = entry.kind, reason, "a job did not finish");
        }
        entry.ended = Some(Instant::now());
        entry.outcome = Some(outcome);
        table.finished.push_back(key);
        if table.finished.len() > FINISHED_MAX
            && let Some(oldest) = table.finished.pop_front()
        {
            table.jobs.remove(&oldest);
        }
    }
}

impl Entry {
    fn view(&self, id: JobId) -> JobView {
        let done = self.progress.done.load(Ordering::Relaxed);
        let total = self.progress.total.load(Ordering::Relaxed);
        let end = self.ended.unwrap_or_else(Instant::now);
        let seconds = self.began.map_or(0.0, |began| end.duration_since(began).as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = if seconds > 0.0 { (done as f64 / seconds * 10.0).round() / 10.0 } else { 0.0 };
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an estimate"
        )]
        let eta = (self.status == Status::Running && rate > 0.0)
            .then(|| (total.saturating_sub(done) as f64 / rate).ceil() as u64);
        let (result, error) = match &self.outcome {
            Some(Ok(value)) => (Some(value.clone()), None),
            Some(Err(reason)) => (None, Some(reason.clone())),
            None => (None, None),
        };
        let progress = ProgressView { done, total, rate, eta_seconds: eta };
        JobView { id: id.to_string(), kind: self.kind, status: self.status, progress, result, error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const TENANT: TenantNo = TenantNo(1);

    fn wait(jobs: &Jobs, id: JobId, status: Status) -> JobView {
        loop {
            let view = jobs.get(TENANT, id).unwrap();
            if view.status == status {
                return view;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_job_runs_once_and_its_result_is_kept() {
        let jobs = Jobs::new();
        let id = JobId([1; 16]);
        let (go, wait_for_go) = mpsc::channel();
        let work: Work = Box::new(move |progress| {
            wait_for_go.recv().unwrap();
            progress.set(5, 10);
            Ok(serde_json::json!({"rows": 5}))
        });
        jobs.submit(TENANT, id, "test", work).unwrap();
        jobs.submit(TENANT, id, "test", Box::new(|_| panic!("submitted twice"))).unwrap();
        go.send(()).unwrap();
        let view = wait(&jobs, id, Status::Done);
        assert_eq!((view.progress.done, view.result.unwrap()["rows"].as_u64()), (5, Some(5)));
        assert!(jobs.get(TenantNo(2), id).is_none(), "another tenant does not see it");
        jobs.close();
    }

    #[test]
    fn a_panic_fails_the_job_and_not_the_thread() {
        let jobs = Jobs::new();
        for n in 0..4 {
            jobs.submit(TENANT, JobId([n; 16]), "test", Box::new(|_| panic!("on purpose"))).unwrap();
        }
        for n in 0..4 {
            assert!(wait(&jobs, JobId([n; 16]), Status::Failed).error.is_some());
        }
        jobs.close();
    }

    #[test]
    fn a_cancelled_job_stops() {
        let jobs = Jobs::new();
        let id = JobId([1; 16]);
        let work: Work = Box::new(|progress| {
            while !progress.cancelled() {
                std::thread::yield_now();
            }
            Err("stopped".to_owned())
        });
        jobs.submit(TENANT, id, "test", work).unwrap();
        wait(&jobs, id, Status::Running);
        assert!(jobs.cancel(TENANT, id));
        wait(&jobs, id, Status::Cancelled);
        jobs.close();
    }
}
