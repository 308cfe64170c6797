//! Appending: frames laid out into memory under the lock, and waiting for them to become durable.

use std::sync::Arc;
use std::time::Instant;

use cdp_domain::ids::Position;
use tokio::sync::oneshot;

use super::frame::{
    Content, Draft, FIRST_OF_COMMIT, PAYLOAD_BYTES_MAX, Place, SEGMENT_HEADER, encode, frame_len,
};
use super::handle::{Journal, Ledger, Shared};
use crate::{Error, Result};

/// What an append gave out: the proof with which to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The positions of the records, in the order of the drafts.
    pub positions: Vec<Position>,
    /// Where the last of them ends, exclusive.
    pub end: Position,
    /// How many rollbacks had happened: positions mean these records only together with this number.
    pub generation: u64,
}

/// Bytes that follow each other in one segment and belong to one commit.
pub(super) struct Chunk {
    pub(super) base: u64,
    pub(super) salt: u32,
    /// Where in the file the bytes begin.
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
}

/// The segment into which the next frame goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tail {
    pub(super) base: u64,
    pub(super) salt: u32,
}

/// Why a journal rolled back.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    Full,
    Other(Arc<std::io::Error>),
}

impl Failure {
    pub(super) fn new(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Other(Arc::new(error)),
        }
    }

    pub(super) fn error(&self, shared: &Shared) -> Error {
        match self {
            Self::Full => Error::Full { path: shared.dir.clone() },
            Self::Other(source) => Error::Write { path: shared.dir.clone(), source: source.clone() },
        }
    }
}

impl Journal {
    /// Appends records in the order of `drafts`, next to each other, and returns at once; they are durable when
    /// [`wait_durable`](Self::wait_durable) says so. Calls are ordered as they return.
    ///
    /// An empty slice appends nothing and gives the present end.
    ///
    /// # Errors
    /// Nothing was appended: [`Error::Overloaded`] when [`pending_bytes_max`](super::Options::pending_bytes_max) would be exceeded;
    /// [`Error::TooLarge`] for one record or the whole; [`Error::Full`] or [`Error::Write`] while the journal is not writable
    /// (this call may start the probe that makes a later one succeed); [`Error::Closed`].
    pub fn append(&self, drafts: &[Draft]) -> Result<Appended> {
        let shared = &*self.inner.shared;
        let bytes = shared.check(drafts)?;
        let mut ledger = shared.ledger.lock();
        if ledger.closing || ledger.closed {
            return Err(Error::Closed);
        }
        if let Some(failure) = &ledger.failure {
            let error = failure.error(shared);
            if !ledger.probe && Instant::now() >= ledger.next_probe {
                ledger.probe = true;
                shared.work.notify_one();
            }
            return Err(error);
        }
        let pending_bytes = ledger.end - ledger.durable;
        if pending_bytes + bytes > shared.options.pending_bytes_max && pending_bytes > 0 {
            return Err(Error::Overloaded { pending_bytes, bytes_max: shared.options.pending_bytes_max });
        }
        let lay = |draft: &Draft| {
            ledger.lay(shared, Content::Record(&draft.header, &draft.payload), draft.payload.len())
        };
        let positions = drafts.iter().map(lay).collect();
        if !drafts.is_empty() {
            shared.work.notify_one();
        }
        Ok(Appended { positions, end: Position(ledger.end), generation: ledger.cuts.len() as u64 })
    }

    /// Waits until everything of this append is durable.
    ///
    /// Dropping the future leaves the append as it is.
    ///
    /// # Errors
    /// The append is lost, now and for ever: [`Error::Full`] or [`Error::Write`] after a rollback;
    /// [`Error::Closed`] when the committing thread ended before it came to it.
    pub async fn wait_durable(&self, appended: &Appended) -> Result<()> {
        match self.inner.shared.watch(appended) {
            Watch::Known(result) => result,
            Watch::Later(told) => told.await.unwrap_or(Err(Error::Closed)),
        }
    }

    /// Waits like [`wait_durable`](Self::wait_durable), blocking the thread.
    ///
    /// # Errors
    /// The same.
    ///
    /// # Panics
    /// When called from an async task that has to wait.
    pub fn wait_durable_blocking(&self, appended: &Appended) -> Result<()> {
        match self.inner.shared.watch(appended) {
            Watch::Known(result) => result,
            Watch::Later(told) => told.blocking_recv().unwrap_or(Err(Error::Closed)),
        }
    }

    /// Whether a rollback took this append. `false` while it is pending, and when it is durable.
    #[must_use]
    pub fn is_lost(&self, appended: &Appended) -> bool {
        let ledger = self.inner.shared.ledger.lock();
        ledger.cut_of(appended.generation).is_some_and(|(cut, _)| appended.end.0 > *cut)
    }
}

enum Watch {
    Known(Result<()>),
    Later(oneshot::Receiver<Result<()>>),
}

impl Shared {
    fn check(&self, drafts: &[Draft]) -> Result<u64> {
        let segment_room = usize::try_from(self.options.segment_bytes - SEGMENT_HEADER).unwrap_or(usize::MAX);
        let mut bytes = 0;
        for draft in drafts {
            let len = draft.payload.len();
            if len > PAYLOAD_BYTES_MAX {
                return Err(Error::TooLarge {
                    what: "a payload",
                    bytes: len as u64,
                    bytes_max: PAYLOAD_BYTES_MAX as u64,
                });
            }
            if frame_len(len) > segment_room {
                return Err(Error::TooLarge {
                    what: "a record",
                    bytes: frame_len(len) as u64,
                    bytes_max: segment_room as u64,
                });
            }
            bytes += frame_len(len) as u64;
        }
        if bytes > self.options.pending_bytes_max {
            return Err(Error::TooLarge {
                what: "an append",
                bytes,
                bytes_max: self.options.pending_bytes_max,
            });
        }
        Ok(bytes)
    }

    fn watch(&self, appended: &Appended) -> Watch {
        let mut ledger = self.ledger.lock();
        if let Some((cut, failure)) = ledger.cut_of(appended.generation) {
            let lost = appended.end.0 > *cut;
            return Watch::Known(if lost { Err(failure.error(self)) } else { Ok(()) });
        }
        if appended.end.0 <= ledger.durable {
            return Watch::Known(Ok(()));
        }
        if ledger.closed {
            return Watch::Known(Err(Error::Closed));
        }
        let (tell, told) = oneshot::channel();
        ledger.waiters_ever += 1;
        let place = (appended.end.0, ledger.waiters_ever);
        ledger.waiters.insert(place, tell);
        Watch::Later(told)
    }
}

impl Ledger {
    /// The rollback that ended a generation, if it ended.
    fn cut_of(&self, generation: u64) -> Option<&(u64, Failure)> {
        usize::try_from(generation).ok().and_then(|generation| self.cuts.get(generation))
    }

    /// Lays one frame out at the end and gives its position; begins a new segment where it would not fit.
    pub(super) fn lay(&mut self, shared: &Shared, content: Content<'_>, payload_len: usize) -> Position {
        let len = frame_len(payload_len) as u64;
        let used = self.end - self.tail.base;
        let full = used + len > shared.options.segment_bytes || std::mem::take(&mut self.finish);
        if full && used > SEGMENT_HEADER {
            // Any number will do that differs between two lives of the same base: stale bytes must not look valid.
            let salt = self.tail.salt.wrapping_mul(0x9e37_79b1).wrapping_add(self.cuts.len() as u32 | 1);
            self.tail = Tail { base: self.end, salt };
            self.end += SEGMENT_HEADER;
        }
        if self.pending.last().is_none_or(|chunk| chunk.base != self.tail.base) {
            let Tail { base, salt } = self.tail;
            self.pending.push(Chunk { base, salt, offset: self.end - base, bytes: Vec::new() });
        }
        let chunk = self.pending.last_mut().expect("a chunk was just seen to");
        let flags = if chunk.bytes.is_empty() { FIRST_OF_COMMIT } else { 0 };
        let position = self.end;
        encode(
            &mut chunk.bytes,
            Place { tenant: shared.tenant, salt: self.tail.salt, position },
            flags,
            content,
        );
        self.end += len;
        Position(position)
    }
}
