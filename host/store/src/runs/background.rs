//! The background thread of a set of runs: writes frozen tables, merges runs, and ends when nothing is left.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::build::Builder;
use super::format::Entry;
use super::open;
use super::run::{Run, Stream};
use super::set::Shared;
use crate::{Error, Result};

/// How long the thread stays away after a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// Entries after which a merge looks whether the set is being closed.
const LOOK_EVERY: u64 = 1 << 16;

/// Whether the thread is there.
#[derive(Debug, Default)]
pub(super) struct Working {
    pub(super) running: bool,
    failed_at: Option<Instant>,
}

enum Job {
    Write,
    /// Merges this many runs, beginning with this one.
    Merge(usize),
}

/// Starts the thread unless it runs, or failed a moment ago.
pub(super) fn wake(shared: &Arc<Shared>) {
    let mut working = shared.working.lock();
    let paused = working.failed_at.is_some_and(|at| at.elapsed() < PAUSE);
    if working.running || paused || shared.closing.load(Ordering::Acquire) {
        return;
    }
    let thread = std::thread::Builder::new().name("runs".to_owned());
    let work = shared.clone();
    match thread.spawn(move || run(&work)) {
        Ok(_) => working.running = true,
        Err(error) => tracing::error!(error = %error, "could not start the thread that writes runs"),
    }
}

/// Stops what is under way as soon as it can be, and waits for it.
pub(super) fn close(shared: &Shared) {
    shared.closing.store(true, Ordering::Release);
    let mut working = shared.working.lock();
    while working.running {
        shared.idle.wait(&mut working);
    }
}

fn run(shared: &Arc<Shared>) {
    cdp_threads::stand_back();
    let mut guard = Guard { shared, failed: true };
    loop {
        let Some(job) = next(shared) else {
            guard.failed = false;
            // Decided under the lock, so that a wake in this moment starts a new thread.
            let mut working = shared.working.lock();
            if next(shared).is_none() {
                working.running = false;
                working.failed_at = None;
                return;
            }
            guard.failed = true;
            continue;
        };
        let done = match job {
            Job::Write => write_frozen(shared),
            Job::Merge(from) => merge(shared, from),
        };
        if let Err(error) = done {
            if let Error::Damaged { .. } = error {
                open::mark_damaged(&shared.dir);
            }
            tracing::error!(error = %error, dir = %shared.dir.display(), "could not write or merge runs; trying again later");
            return;
        }
    }
}

/// However the thread ends, nobody waits for it in vain.
struct Guard<'a> {
    shared: &'a Shared,
    failed: bool,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.failed {
            let mut working = self.shared.working.lock();
            working.running = false;
            working.failed_at = Some(Instant::now());
        }
        self.shared.idle.notify_all();
    }
}

fn next(shared: &Shared) -> Option<Job> {
    if shared.closing.load(Ordering::Acquire) {
        return None;
    }
    let tables = shared.tables.read();
    if tables.due().is_some() {
        return Some(Job::Write);
    }
    let fanout = shared.options.fanout.max(2);
    let same = |runs: &[Arc<Run>]| runs.iter().all(|run| run.header.level == runs[0].header.level);
    tables.runs.windows(fanout).position(same).map(Job::Merge)
}

fn write_frozen(shared: &Shared) -> Result<()> {
    let tables = shared.tables.read();
    let Some((table, upto)) = tables.due().map(|frozen| (frozen.table.clone(), frozen.upto)) else {
        return Ok(());
    };
    let number = tables.runs.last().map_or(0, |run| run.header.last + 1);
    let covered = tables.runs.last().map_or(0, |run| run.header.covered).max(upto);
    drop(tables);
    let path = open::path(&shared.dir, (number, number));
    let mut builder = Builder::create(&path, shared.options.partition_max)?;
    for entry in table.sorted() {
        builder.push(&entry)?;
    }
    builder.finish(0, covered, (number, number))?;
    let run = Arc::new(Run::open(&path, false)?);
    let mut tables = shared.tables.write();
    let mut runs = tables.runs.to_vec();
    runs.push(run);
    tables.runs = Arc::new(runs);
    let written = tables.frozen.pop_front();
    drop(tables);
    // Freed outside of the lock: it takes a while.
    drop((written, table));
    Ok(())
}

fn merge(shared: &Shared, from: usize) -> Result<()> {
    let fanout = shared.options.fanout.max(2);
    let inputs: Vec<Arc<Run>> = shared.tables.read().runs[from..from + fanout].to_vec();
    let (oldest, newest) = (&inputs[0].header, &inputs[fanout - 1].header);
    let numbers = (oldest.first, newest.last);
    let path = open::path(&shared.dir, numbers);
    let mut builder = Builder::create(&path, shared.options.partition_max)?;
    let mut sources = Vec::with_capacity(fanout);
    for run in &inputs {
        let mut stream = Stream::new(run);
        if let Some(entry) = stream.next()? {
            sources.push((entry, stream));
        }
    }
    let mut merged = 0_u64;
    while let Some(least) = least(&sources) {
        builder.push(&sources[least].0)?;
        match sources[least].1.next()? {
            Some(entry) => sources[least].0 = entry,
            None => drop(sources.swap_remove(least)),
        }
        merged += 1;
        if merged.is_multiple_of(LOOK_EVERY) && shared.closing.load(Ordering::Acquire) {
            return Ok(());
        }
    }
    drop(sources);
    builder.finish(oldest.level + 1, newest.covered, numbers)?;
    let run = Arc::new(Run::open(&path, false)?);
    let mut tables = shared.tables.write();
    let mut runs = tables.runs.to_vec();
    runs.splice(from..from + fanout, [run]);
    tables.runs = Arc::new(runs);
    drop(tables);
    // Readers that still hold the old ones keep them open; what a crash leaves here, the next opening removes.
    for run in inputs {
        fs::remove_file(&run.path).map_err(Error::io("remove", &run.path))?;
    }
    Ok(())
}

fn least(sources: &[(Entry, Stream<'_>)]) -> Option<usize> {
    (0..sources.len()).min_by_key(|at| sources[*at].0)
}
