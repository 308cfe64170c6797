//! The handle on a journal, and what its clones, its committing thread and its readers share.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cdp_domain::ids::{Position, TenantNo};
use parking_lot::{Condvar, Mutex, RwLock};
use tokio::sync::oneshot;

use super::append::{Chunk, Failure, Tail};
use super::commit::Committer;
use super::fault::Faults;
use super::frame::{FRAME_HEADER, Record, SEGMENT_HEADER};
use super::reader::{OpenSegments, Reader};
use super::recover;
use crate::{Error, Result, files};

/// How a journal is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// Size of a segment file in bytes, header included; 64 MiB. A record that does not fit into one is refused.
    pub segment_bytes: u64,
    /// Most bytes that may wait to become durable; 32 MiB. Also the most that one append may bring.
    pub pending_bytes_max: u64,
    /// How long after a failure (or a failed probe) the next append may try again; one second.
    pub probe_every: Duration,
    /// Failures on demand; only tests set it.
    pub faults: Option<Arc<dyn Faults>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            pending_bytes_max: 32 << 20,
            probe_every: Duration::from_secs(1),
            faults: None,
        }
    }
}

/// The journal of one tenant. Cheap to clone; the last clone that goes closes it.
#[derive(Clone)]
pub struct Journal {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) shared: Arc<Shared>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

/// What everyone around one journal sees.
pub(super) struct Shared {
    pub(super) dir: PathBuf,
    pub(super) tenant: TenantNo,
    pub(super) options: Options,
    pub(super) ledger: Mutex<Ledger>,
    /// Rung when the committer has something to do.
    pub(super) work: Condvar,
    /// Where the next record after all durable ones begins. Moves only after `bases` knows the segments before it.
    pub(super) durable: AtomicU64,
    /// Bases of the segments that hold durable records, ascending.
    pub(super) bases: RwLock<Vec<u64>>,
    pub(super) open_segments: Mutex<OpenSegments>,
}

/// What changes under the lock, by appends and by the committer.
pub(super) struct Ledger {
    /// Frames laid out and not yet taken by the committer.
    pub(super) pending: Vec<Chunk>,
    pub(super) tail: Tail,
    /// Where the next frame goes.
    pub(super) end: u64,
    pub(super) durable: u64,
    /// Where the last closing marker or the recovered journal ends: nothing to mark when nothing came since.
    pub(super) marked: u64,
    /// One per rollback: where the journal was cut, and why.
    pub(super) cuts: Vec<(u64, Failure)>,
    /// Set while appends are refused.
    pub(super) failure: Option<Failure>,
    pub(super) next_probe: Instant,
    pub(super) probe: bool,
    pub(super) waiters: BTreeMap<(u64, u64), oneshot::Sender<Result<()>>>,
    pub(super) waiters_ever: u64,
    pub(super) closing: bool,
    /// The next frame begins a segment.
    pub(super) finish: bool,
    /// The committer is gone.
    pub(super) closed: bool,
}

impl Journal {
    /// Opens the journal in `dir` and recovers it; creates it when the directory is missing or holds no segment.
    ///
    /// Cuts a torn tail of the last segment. When no space is left to allocate that segment again, the journal opens all the same,
    /// readable and not [`writable`](Self::writable). One handle per directory at a time: [`crate::lock`] sees to it.
    ///
    /// # Errors
    /// [`Error::Damaged`] when what is on disk cannot be a crash's trace; [`Error::Io`]; [`Error::Full`] when a first segment cannot be created;
    /// [`Error::TooLarge`] when `segment_bytes` cannot hold one record.
    pub fn open(dir: &Path, tenant: TenantNo, options: Options) -> Result<Self> {
        let least = SEGMENT_HEADER + 2 * FRAME_HEADER as u64;
        if options.segment_bytes < least {
            return Err(Error::TooLarge { what: "a record", bytes: least, bytes_max: options.segment_bytes });
        }
        files::create_dir(dir)?;
        let found = recover::recover(dir, tenant, &options)?;
        let ledger = Ledger {
            pending: Vec::new(),
            tail: Tail { base: found.tail.base, salt: found.tail.salt },
            end: found.end,
            durable: found.end,
            marked: found.end,
            cuts: Vec::new(),
            failure: found.failure,
            next_probe: Instant::now(),
            probe: false,
            waiters: BTreeMap::new(),
            waiters_ever: 0,
            closing: false,
            finish: false,
            closed: false,
        };
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            tenant,
            options,
            ledger: Mutex::new(ledger),
            work: Condvar::new(),
            durable: AtomicU64::new(found.end),
            bases: RwLock::new(found.bases),
            open_segments: Mutex::new(OpenSegments::default()),
        });
        let committer = Committer::new(shared.clone(), found.tail);
        let thread = std::thread::Builder::new()
            .name(format!("journal-{:08x}", tenant.0))
            .spawn(move || committer.run())
            .map_err(Error::io("start the committing thread of", dir))?;
        Ok(Self { inner: Arc::new(Inner { shared, committer: Mutex::new(Some(thread)) }) })
    }

    /// The tenant whose journal this is.
    #[must_use]
    pub fn tenant(&self) -> TenantNo {
        self.inner.shared.tenant
    }

    /// Where everything appended so far ends, exclusive; durable or not. Goes back on a rollback.
    #[must_use]
    pub fn end(&self) -> Position {
        Position(self.inner.shared.ledger.lock().end)
    }

    /// Where everything durable ends, exclusive. Never goes back.
    #[must_use]
    pub fn durable(&self) -> Position {
        Position(self.inner.shared.durable.load(Ordering::Acquire))
    }

    /// Whether the next append would be taken; false after a failed write, until the file could be repaired.
    #[must_use]
    pub fn writable(&self) -> bool {
        let ledger = self.inner.shared.ledger.lock();
        ledger.failure.is_none() && !ledger.closing
    }

    /// Where the oldest segment that is there begins; records before it were removed.
    #[must_use]
    pub fn begins(&self) -> Position {
        Position(self.inner.shared.bases.read().first().copied().unwrap_or_default())
    }

    /// How often the journal rolled back since it was opened.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.inner.shared.ledger.lock().cuts.len() as u64
    }

    /// Reads durable records in order, beginning with the record at `from`.
    ///
    /// `from` is 0, the position of a record, or where something ended. Where the oldest segments were removed, reading begins with the oldest there is.
    #[must_use]
    pub fn reader(&self, from: Position) -> Reader {
        Reader::new(self.inner.shared.clone(), from.0)
    }

    /// Reads the durable record at `position`, with one or two positional reads.
    ///
    /// # Errors
    /// [`Error::NotARecord`] when none begins there; [`Error::Damaged`]; [`Error::Io`].
    pub fn read_at(&self, position: Position) -> Result<Record> {
        self.inner.shared.read_at(position.0)
    }

    /// Reads every durable record once and gives their number. For operators; it reads the whole journal.
    ///
    /// # Errors
    /// [`Error::Damaged`] at the first byte that is not what was written; [`Error::Io`].
    pub fn verify(&self) -> Result<u64> {
        let mut reader = self.reader(Position(0));
        let mut records = 0;
        while reader.next_ref()?.is_some() {
            records += 1;
        }
        Ok(records)
    }

    /// Commits what is pending, leaves the closing marker, and ends the committing thread. Later appends are refused.
    ///
    /// Blocks. Readers go on working. Dropping the last clone does the same.
    pub fn close(&self) {
        self.inner.close();
    }
}

impl Inner {
    fn close(&self) {
        self.shared.ledger.lock().closing = true;
        self.shared.work.notify_all();
        if let Some(thread) = self.committer.lock().take() {
            // A panic of that thread was reported by its hook; its guard has failed the waiters.
            let _ = thread.join();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = &self.inner.shared;
        f.debug_struct("Journal")
            .field("dir", &shared.dir)
            .field("durable", &self.durable())
            .finish_non_exhaustive()
    }
}
