//! The committing thread: takes all that is pending, writes it, syncs once, publishes; rolls back and repairs.

use std::io;
use std::mem;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::sync::oneshot;

use super::append::{Chunk, Failure, Tail};
use super::fault::Point;
use super::frame::Content;
use super::handle::{Ledger, Shared};
use super::segment::{self, Segment};
use crate::{Error, Result};

/// Owns the file that is written.
pub(super) struct Committer {
    shared: Arc<Shared>,
    tail: Segment,
    /// The tail after the last successful commit: what a rollback goes back to.
    durable_tail: Tail,
    durable: u64,
}

enum Work {
    Commit(Vec<Chunk>),
    Probe,
    End,
}

impl Committer {
    pub(super) fn new(shared: Arc<Shared>, tail: Segment) -> Self {
        let durable = shared.durable.load(Ordering::Acquire);
        let durable_tail = Tail { base: tail.base, salt: tail.salt };
        Self { shared, tail, durable_tail, durable }
    }

    pub(super) fn run(mut self) {
        // Every acknowledgement waits for it.
        cdp_threads::go_first();
        let _guard = Guard(self.shared.clone());
        loop {
            match self.next() {
                Work::Commit(chunks) => match self.write(&chunks) {
                    Ok(end) => self.publish(end, chunks),
                    Err(error) => self.roll_back(error),
                },
                Work::Probe => self.probe(),
                Work::End => return self.end(),
            }
        }
    }

    fn next(&mut self) -> Work {
        let shared = self.shared.clone();
        let mut ledger = shared.ledger.lock();
        loop {
            if ledger.pending.is_empty()
                && ledger.closing
                && ledger.failure.is_none()
                && ledger.marked < ledger.end
            {
                ledger.lay(&shared, Content::Closing, 0);
                ledger.marked = ledger.end;
            }
            if !ledger.pending.is_empty() {
                return Work::Commit(mem::take(&mut ledger.pending));
            }
            if ledger.closing {
                return Work::End;
            }
            if ledger.probe {
                return Work::Probe;
            }
            shared.work.wait(&mut ledger);
        }
    }

    /// Writes and syncs; gives where the journal then ends. An error comes from before the last sync.
    fn write(&mut self, chunks: &[Chunk]) -> io::Result<u64> {
        let mut end = self.durable;
        for chunk in chunks {
            if chunk.base != self.tail.base {
                self.begin_segment(chunk)?;
            }
            self.fault(Point::Write)?;
            self.tail.file.write_all_at(&chunk.bytes, chunk.offset)?;
            end = chunk.base + chunk.offset + chunk.bytes.len() as u64;
        }
        self.fault(Point::Written)?;
        segment::sync_data_or_abort(&self.tail.file, &self.shared.dir);
        Ok(end)
    }

    /// Finishes the present segment, cut to what is used and synced, and creates the one the chunk goes into.
    fn begin_segment(&mut self, chunk: &Chunk) -> io::Result<()> {
        self.tail.file.set_len(chunk.base - self.tail.base)?;
        segment::sync_or_abort(&self.tail.file, &self.shared.dir);
        self.fault(Point::Allocate)?;
        let Shared { dir, tenant, options, .. } = &*self.shared;
        self.tail = segment::create(dir, *tenant, (chunk.base, chunk.salt), options.segment_bytes)?;
        Ok(())
    }

    fn publish(&mut self, end: u64, chunks: Vec<Chunk>) {
        let _ = self.fault(Point::Synced);
        self.durable = end;
        self.durable_tail = Tail { base: self.tail.base, salt: self.tail.salt };
        let mut bases = self.shared.bases.write();
        for chunk in &chunks {
            if bases.last().is_none_or(|last| *last < chunk.base) {
                bases.push(chunk.base);
            }
        }
        drop(bases);
        self.shared.durable.store(end, Ordering::Release);
        let mut ledger = self.shared.ledger.lock();
        ledger.durable = end;
        let later = ledger.waiters.split_off(&(end + 1, 0));
        let satisfied = mem::replace(&mut ledger.waiters, later);
        drop(ledger);
        for tell in satisfied.into_values() {
            let _ = tell.send(Ok(()));
        }
    }

    /// Loses everything that is not durable and refuses appends until the file is repaired.
    fn roll_back(&mut self, error: io::Error) {
        tracing::error!(
            error = %error,
            dir = %self.shared.dir.display(),
            durable = self.durable,
            "the journal could not be written and rolled back; appends are refused until it can be again"
        );
        let failure = Failure::new(error);
        let mut ledger = self.shared.ledger.lock();
        ledger.pending.clear();
        ledger.end = self.durable;
        ledger.tail = self.durable_tail;
        ledger.cuts.push((self.durable, failure.clone()));
        ledger.marked = ledger.marked.min(self.durable);
        ledger.next_probe = Instant::now() + self.shared.options.probe_every;
        ledger.failure = Some(failure.clone());
        let lost: Vec<oneshot::Sender<Result<()>>> = mem::take(&mut ledger.waiters).into_values().collect();
        drop(ledger);
        for tell in lost {
            let _ = tell.send(Err(failure.error(&self.shared)));
        }
    }

    fn probe(&mut self) {
        let repaired = self.repair();
        let mut ledger = self.shared.ledger.lock();
        ledger.probe = false;
        match repaired {
            Ok(()) => {
                ledger.failure = None;
                tracing::info!(dir = %self.shared.dir.display(), "the journal can be written again");
            }
            Err(error) => {
                ledger.failure = Some(Failure::new(error));
                ledger.next_probe = Instant::now() + self.shared.options.probe_every;
            }
        }
    }

    /// Leaves the file as it must be after a rollback that no probe has repaired, if it can.
    fn end(mut self) {
        let failed = self.shared.ledger.lock().failure.is_some();
        if let Some(error) = failed.then(|| self.repair().err()).flatten() {
            tracing::warn!(error = %error, dir = %self.shared.dir.display(), "the journal was closed unrepaired; lost appends may be there again after the next start");
        }
    }

    /// Removes segments begun since the last commit, and cuts the durable one; safe to repeat.
    fn repair(&mut self) -> io::Result<()> {
        self.fault(Point::Repair)?;
        let Shared { dir, options, .. } = &*self.shared;
        let Tail { base, salt } = self.durable_tail;
        for newer in segment::list(dir)?.into_iter().filter(|newer| *newer > base) {
            std::fs::remove_file(segment::path(dir, newer))?;
        }
        let file = std::fs::File::open(dir)?;
        segment::sync_or_abort(&file, dir);
        self.tail = segment::open_to_write(dir, base, salt)?;
        segment::cut(&self.tail.file, dir, self.durable - base, options.segment_bytes)
    }

    fn fault(&self, point: Point) -> io::Result<()> {
        self.shared.options.faults.as_ref().map_or(Ok(()), |faults| faults.at(point))
    }
}

/// However the committer ends, nobody waits for it in vain.
struct Guard(Arc<Shared>);

impl Drop for Guard {
    fn drop(&mut self) {
        let mut ledger: parking_lot::MutexGuard<'_, Ledger> = self.0.ledger.lock();
        ledger.closed = true;
        let waiters = mem::take(&mut ledger.waiters);
        drop(ledger);
        for tell in waiters.into_values() {
            let _ = tell.send(Err(Error::Closed));
        }
    }
}
