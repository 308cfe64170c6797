//! The only crate that decides when background work runs.
//!
//! A job is work with a name, an owner and progress that others can watch and cancel. Jobs run on a few threads in the
//! order of submission. Work that waits for somebody else's server goes to threads of its own ([`Lane::Delivery`]), a step
//! at a time: between two steps it holds no thread, so that one who does not answer keeps nobody else waiting. The list is kept in memory: what a job is for (a definition to build, an export to write) stands in the
//! journal, and whoever owns that resubmits it under the same id after a restart, so nothing is lost with the list.
//! Finished jobs stay readable until [`FINISHED_MAX`] newer ones of the installation have finished.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cdp_domain::ids::{JobId, TenantNo};
use parking_lot::{Condvar, Mutex};
use serde::Serialize;

/// Jobs that may wait at the same time; one more is refused.
pub const QUEUED_MAX: usize = 1000;
/// Finished jobs that stay readable.
pub const FINISHED_MAX: usize = 1000;
/// Jobs that run at the same time.
pub const RUNNING_MAX: usize = 2;
/// Steps of deliveries that run at the same time, beside the jobs.
pub const DELIVERING_MAX: usize = 24;

/// What a job gives when it is done, as clients see it.
pub type Outcome = Result<serde_json::Value, String>;
/// The work itself.
pub type Work = Box<dyn FnOnce(&Progress) -> Outcome + Send>;
/// Work that is done in steps; it is called until it ends.
pub type Steps = Box<dyn FnMut(&Progress) -> Step + Send>;

/// What a step came to.
#[derive(Debug)]
pub enum Step {
    /// The job is over.
    Ended(Outcome),
    /// There is another step, not before this long from now. The job reads `queued` until then.
    Again(Duration),
}

/// On which threads work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// [`RUNNING_MAX`] threads: work that uses this machine.
    Work,
    /// [`DELIVERING_MAX`] threads: work that mostly waits for others.
    Delivery,
}

enum Task {
    Once(Work),
    Steps(Steps, Lane),
}

impl Task {
    fn lane(&self) -> Lane {
        match self {
            Self::Once(_) => Lane::Work,
            Self::Steps(_, lane) => *lane,
        }
    }
}

type Key = (TenantNo, JobId);

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
    /// What it gave; shared, for it may be large.
    pub result: Option<Arc<serde_json::Value>>,
    /// Why it failed.
    pub error: Option<String>,
    /// How long ago it was submitted, in this process.
    #[serde(skip)]
    pub age: Duration,
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
    jobs: BTreeMap<Key, Entry>,
    queue: VecDeque<(Key, Task)>,
    /// Steps whose time has not come, by when it does.
    later: BTreeMap<(Instant, u64), (Key, Task)>,
    parked: u64,
    finished: VecDeque<Key>,
    closing: bool,
}

impl Table {
    /// Puts steps into the queue whose time has come; when the next one's does.
    fn promote(&mut self, now: Instant) -> Option<Instant> {
        while let Some(entry) = self.later.first_entry() {
            if entry.key().0 > now {
                return Some(entry.key().0);
            }
            let due = entry.remove();
            self.queue.push_back(due);
        }
        None
    }
}

struct Entry {
    kind: &'static str,
    status: Status,
    progress: Arc<Progress>,
    /// Somebody wants its next step at once, while this one runs.
    woken: bool,
    submitted: Instant,
    began: Option<Instant>,
    ended: Option<Instant>,
    outcome: Option<Result<Arc<serde_json::Value>, String>>,
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
        let spawn = |lane: Lane, n: usize| {
            let shared = jobs.0.clone();
            let name = if lane == Lane::Work { "job" } else { "delivery" };
            std::thread::Builder::new().name(format!("{name}-{n}")).spawn(move || shared.run(lane))
        };
        let lanes = [(Lane::Work, RUNNING_MAX), (Lane::Delivery, DELIVERING_MAX)];
        let threads = lanes.iter().flat_map(|(lane, count)| (0..*count).map(move |n| (*lane, n)));
        *jobs.0.threads.lock() = threads.filter_map(|(lane, n)| spawn(lane, n).ok()).collect();
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
        self.queue(tenant, id, kind, Task::Once(work))
    }

    /// The same for work in steps, on the threads of a lane.
    ///
    /// # Errors
    /// When [`QUEUED_MAX`] jobs wait.
    pub fn submit_steps(
        &self,
        tenant: TenantNo,
        id: JobId,
        kind: &'static str,
        lane: Lane,
        steps: Steps,
    ) -> Result<(), QueueFull> {
        self.queue(tenant, id, kind, Task::Steps(steps, lane))
    }

    /// Lets a job's next step begin now that waits for its time, or at once after the one that runs; whether one waited.
    pub fn wake(&self, tenant: TenantNo, id: JobId) -> bool {
        let mut table = self.0.table.lock();
        if let Some(entry) = table.jobs.get_mut(&(tenant, id)).filter(|entry| entry.status == Status::Running)
        {
            entry.woken = true;
        }
        let waits = table.later.iter().find(|(_, (key, _))| *key == (tenant, id)).map(|(at, _)| *at);
        let Some(due) = waits.and_then(|at| table.later.remove(&at)) else { return false };
        table.queue.push_back(due);
        self.0.work.notify_all();
        true
    }

    fn queue(&self, tenant: TenantNo, id: JobId, kind: &'static str, task: Task) -> Result<(), QueueFull> {
        let mut table = self.0.table.lock();
        let key = (tenant, id);
        if table.jobs.get(&key).is_some_and(|entry| matches!(entry.status, Status::Queued | Status::Running))
        {
            return Ok(());
        }
        if table.queue.len() + table.later.len() >= QUEUED_MAX || table.closing {
            return Err(QueueFull);
        }
        let entry = Entry {
            kind,
            status: Status::Queued,
            progress: Arc::default(),
            woken: false,
            submitted: Instant::now(),
            began: None,
            ended: None,
            outcome: None,
        };
        table.jobs.insert(key, entry);
        table.queue.push_back((key, task));
        self.0.work.notify_all();
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

    /// Asks a job to stop; a waiting one never starts, steps are called once more to end in order. Whether there is such an
    /// unfinished job.
    #[must_use]
    pub fn cancel(&self, tenant: TenantNo, id: JobId) -> bool {
        let mut table = self.0.table.lock();
        let waits = table.later.iter().find(|(_, (key, _))| *key == (tenant, id)).map(|(at, _)| *at);
        if let Some(due) = waits.and_then(|at| table.later.remove(&at)) {
            table.queue.push_back(due);
            self.0.work.notify_all();
        }
        let in_steps = |(key, task): &(Key, Task)| *key == (tenant, id) && matches!(task, Task::Steps(..));
        let ends_itself = table.queue.iter().any(in_steps);
        let Some(entry) = table.jobs.get_mut(&(tenant, id)) else { return false };
        entry.progress.cancelled.store(true, Ordering::Relaxed);
        match entry.status {
            Status::Running => true,
            Status::Queued if ends_itself => true,
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
            table.later.clear();
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
    fn run(&self, lane: Lane) {
        if lane == Lane::Work {
            cdp_threads::give_way();
        }
        while let Some((key, task, progress)) = self.next(lane) {
            let panicked = || Err("the job failed for a reason of the server's own".to_owned());
            let guarded = std::panic::AssertUnwindSafe(|| match task {
                Task::Once(work) => (Step::Ended(work(&progress)), None),
                Task::Steps(mut steps, lane) => (steps(&progress), Some(Task::Steps(steps, lane))),
            });
            match std::panic::catch_unwind(guarded) {
                Ok((Step::Again(after), Some(task))) => self.park(key, task, after),
                Ok((Step::Ended(outcome), _)) => self.finish(key, outcome, &progress),
                Ok((Step::Again(_), None)) | Err(_) => self.finish(key, panicked(), &progress),
            }
        }
    }

    fn next(&self, lane: Lane) -> Option<(Key, Task, Arc<Progress>)> {
        let mut table = self.table.lock();
        loop {
            let next_due = table.promote(Instant::now());
            let mine = table.queue.iter().position(|(_, task)| task.lane() == lane);
            if let Some((key, task)) = mine.and_then(|at| table.queue.remove(at)) {
                let entry = table.jobs.get_mut(&key).expect("a queued job is in the table");
                entry.status = Status::Running;
                entry.began.get_or_insert_with(Instant::now);
                let progress = entry.progress.clone();
                if !table.queue.is_empty() {
                    // What came due together may be of the other lane.
                    self.work.notify_all();
                }
                return Some((key, task, progress));
            }
            if table.closing {
                return None;
            }
            match next_due {
                Some(due) => drop(self.work.wait_until(&mut table, due)),
                None => self.work.wait(&mut table),
            }
        }
    }

    /// Sets steps aside until their time comes; a job that was woken or cancelled meanwhile is called at once.
    fn park(&self, key: Key, task: Task, after: Duration) {
        let mut table = self.table.lock();
        let Some(entry) = table.jobs.get_mut(&key) else { return };
        entry.status = Status::Queued;
        let at_once = entry.progress.cancelled() || std::mem::take(&mut entry.woken);
        if table.closing {
            return;
        }
        if at_once {
            table.queue.push_back((key, task));
            self.work.notify_all();
            return;
        }
        table.parked += 1;
        let at = (Instant::now() + after, table.parked);
        table.later.insert(at, (key, task));
        self.work.notify_all();
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
        entry.outcome = Some(outcome.map(Arc::new));
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
        let (id, age) = (id.to_string(), self.submitted.elapsed());
        JobView { id, kind: self.kind, status: self.status, progress, result, error, age }
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
    fn steps_come_again_when_their_time_has_come_and_hold_no_thread_meanwhile() {
        let jobs = Jobs::new();
        // More of them than there are threads, each waiting for ever unless woken.
        let count = DELIVERING_MAX as u8 * 2;
        for n in 0..count {
            let mut calls = 0;
            let steps: Steps = Box::new(move |_| {
                calls += 1;
                match calls {
                    1 => Step::Again(Duration::from_millis(1)),
                    2 => Step::Again(Duration::from_secs(3600)),
                    _ => Step::Ended(Ok(serde_json::json!(calls))),
                }
            });
            jobs.submit_steps(TENANT, JobId([n; 16]), "test", Lane::Delivery, steps).unwrap();
        }
        for n in 0..count {
            while !jobs.wake(TENANT, JobId([n; 16])) || jobs.get(TENANT, JobId([n; 16])).is_none() {
                if jobs.get(TENANT, JobId([n; 16])).unwrap().status == Status::Done {
                    break;
                }
                std::thread::yield_now();
            }
            let mut view = jobs.get(TENANT, JobId([n; 16])).unwrap();
            while view.status != Status::Done {
                jobs.wake(TENANT, JobId([n; 16]));
                view = jobs.get(TENANT, JobId([n; 16])).unwrap();
            }
            assert_eq!(*view.result.unwrap(), 3);
        }
        jobs.close();
    }

    #[test]
    fn a_waiting_step_can_be_cancelled() {
        let jobs = Jobs::new();
        let id = JobId([7; 16]);
        let steps: Steps = Box::new(|progress| match progress.cancelled() {
            true => Step::Ended(Err("stopped".to_owned())),
            false => Step::Again(Duration::from_secs(3600)),
        });
        jobs.submit_steps(TENANT, id, "test", Lane::Delivery, steps).unwrap();
        assert!(jobs.cancel(TENANT, id));
        wait(&jobs, id, Status::Cancelled);
        assert!(!jobs.wake(TENANT, id));
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
