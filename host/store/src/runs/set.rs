//! The handle on a set of runs: inserting, finding, rotating.

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use cdp_domain::ids::Position;
use parking_lot::{Condvar, Mutex, RwLock};

use super::background::{self, Working};
use super::open;
use super::run::{Back, Run};
use super::table::Table;
use crate::{Error, Result};

/// Frozen tables that may wait to become runs.
const FROZEN_MAX: usize = 2;

/// How a set of runs is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// Entries after which the table in memory is full; 262,144, about 16 MiB.
    pub memtable_max: usize,
    /// How many runs of a level become one of the next; 8, at least 2.
    pub fanout: usize,
    /// Entries under one filter; 1,048,576. Building one takes about 40 bytes per entry.
    pub partition_max: usize,
    /// Whether opening reads every block of every run; true. Without it a damaged block is found when it is read.
    pub verify: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { memtable_max: 1 << 18, fanout: 8, partition_max: 1 << 20, verify: true }
    }
}

/// How far the owner came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frontier {
    /// Every record before this has its entries inserted, and none from here on has.
    pub inserted: Position,
    /// The journal's durable end.
    pub durable: Position,
}

/// What asking for a rotation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// The table is not full.
    Kept,
    /// The table was frozen; a new one takes what comes.
    Frozen,
    /// The table is full and two frozen ones wait already: stop inserting until a later call freezes it, memory is bounded by that only.
    Declined,
}

/// Sorted entries by key, in memory and in run files. Cheap to clone; the last clone that goes waits for the background thread.
#[derive(Clone)]
pub struct RunSet {
    inner: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
}

/// What handles and the background thread share.
pub(super) struct Shared {
    pub(super) dir: PathBuf,
    pub(super) options: Options,
    pub(super) tables: RwLock<Tables>,
    pub(super) working: Mutex<Working>,
    /// Rung when the background thread has ended.
    pub(super) idle: Condvar,
    pub(super) closing: AtomicBool,
}

pub(super) struct Tables {
    active: Table,
    /// Oldest first.
    pub(super) frozen: VecDeque<Frozen>,
    /// Oldest first.
    pub(super) runs: Arc<Vec<Arc<Run>>>,
    /// The journal's durable end, as last told.
    pub(super) durable: u64,
}

pub(super) struct Frozen {
    /// Shared with the background thread only once everything in it is durable.
    pub(super) table: Arc<Table>,
    /// Where the records end whose entries are in it or in older tables and runs.
    pub(super) upto: u64,
}

impl RunSet {
    /// Opens the set in `dir`, creating it when it is missing. Removes what a crash left over; drops all runs when one is bad.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(dir: &Path, options: Options) -> Result<Self> {
        let runs = Arc::new(open::open(dir, options.verify)?);
        let durable = runs.last().map_or(0, |run| run.header.covered);
        let tables = Tables { active: Table::new(), frozen: VecDeque::new(), runs, durable };
        let shared = Shared {
            dir: dir.to_owned(),
            options,
            tables: RwLock::new(tables),
            working: Mutex::new(Working::default()),
            idle: Condvar::new(),
            closing: AtomicBool::new(false),
        };
        Ok(Self { inner: Arc::new(Handle { shared: Arc::new(shared) }) })
    }

    /// Every record before this position has its entries in run files; after a start, insert again from here on.
    #[must_use]
    pub fn covered(&self) -> Position {
        let tables = self.inner.shared.tables.read();
        Position(tables.runs.last().map_or(0, |run| run.header.covered))
    }

    /// Puts an entry into the table in memory. One writer; readers go on meanwhile.
    pub fn insert(&self, key: [u8; 16], value: [u8; 16]) {
        self.inner.shared.tables.write().active.insert(key, value);
    }

    /// Puts many entries into the table at once: cheaper than one by one.
    pub fn insert_many(&self, entries: impl IntoIterator<Item = ([u8; 16], [u8; 16])>) {
        let mut tables = self.inner.shared.tables.write();
        for (key, value) in entries {
            tables.active.insert(key, value);
        }
    }

    /// Takes an entry of a lost append out of memory again; tells whether it was there.
    ///
    /// Entries in runs cannot go, and need not: a table becomes a run only once all its records are durable, and durable records are not rolled back.
    pub fn remove_recent(&self, key: &[u8; 16], value: &[u8; 16]) -> bool {
        let mut tables = self.inner.shared.tables.write();
        let frozen = |frozen: &mut Frozen| {
            Arc::get_mut(&mut frozen.table).is_some_and(|table| table.remove(key, value))
        };
        tables.active.remove(key, value) || tables.frozen.iter_mut().rev().any(frozen)
    }

    /// Learns that the journal rolled back to `durable`: positions from there on will be given again, and frozen tables no longer cover them.
    pub fn roll_back_to(&self, durable: Position) {
        for frozen in &mut self.inner.shared.tables.write().frozen {
            frozen.upto = frozen.upto.min(durable.0);
        }
    }

    /// The value of a key that has one; of several, one of the newest table or run that holds any.
    ///
    /// # Errors
    /// [`Error::Damaged`] (all runs go at the next opening), [`Error::Io`].
    pub fn get(&self, key: &[u8; 16]) -> Result<Option<[u8; 16]>> {
        let tables = self.inner.shared.tables.read();
        let mut recent =
            std::iter::once(&tables.active).chain(tables.frozen.iter().rev().map(|frozen| &*frozen.table));
        if let Some(value) = recent.find_map(|table| table.get(key)) {
            return Ok(Some(value));
        }
        // No file is read under the lock; most lookups end here.
        if !tables.runs.iter().any(|run| run.may_hold(key)) {
            return Ok(None);
        }
        let runs = tables.runs.clone();
        drop(tables);
        for run in runs.iter().rev() {
            if let Some(value) = self.noticing(run.get(key))? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// At most `limit` values of a key, from the largest below `before` down, over memory and all runs; equal ones once.
    ///
    /// # Errors
    /// [`Error::Damaged`] (all runs go at the next opening), [`Error::Io`].
    pub fn scan_back(&self, key: &[u8; 16], before: Option<[u8; 16]>, limit: usize) -> Result<Vec<[u8; 16]>> {
        let tables = self.inner.shared.tables.read();
        let mut recent = Vec::new();
        tables.active.back(key, before, limit, &mut recent);
        for frozen in &tables.frozen {
            frozen.table.back(key, before, limit, &mut recent);
        }
        let runs = tables.runs.clone();
        drop(tables);
        recent.sort_unstable();
        self.noticing(merge_back(key, before, limit, recent, &runs))
    }

    /// Entries in memory, counting those of frozen tables.
    #[must_use]
    pub fn recent_len(&self) -> usize {
        let tables = self.inner.shared.tables.read();
        tables.active.len() + tables.frozen.iter().map(|frozen| frozen.table.len()).sum::<usize>()
    }

    /// Entries in memory and in run files. An entry that was inserted again after its run was written counts twice;
    /// an owner that inserts each once, and after a start only from [`covered`](Self::covered) on, gets the exact number.
    #[must_use]
    pub fn len(&self) -> u64 {
        let tables = self.inner.shared.tables.read();
        let recent =
            tables.active.len() + tables.frozen.iter().map(|frozen| frozen.table.len()).sum::<usize>();
        recent as u64 + tables.runs.iter().map(|run| run.header.entries).sum::<u64>()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Freezes the table if it is full, and lets what became durable be written. To be called after every batch; cheap.
    pub fn rotate_if_full(&self, frontier: Frontier) -> Rotation {
        self.rotate(frontier, self.inner.shared.options.memtable_max)
    }

    /// Freezes the table however full, and waits until what is durable is written: for a start without much to insert again.
    ///
    /// Returns [`covered`](Self::covered) as it is then.
    pub fn persist(&self, frontier: Frontier) -> Position {
        self.rotate(frontier, 1);
        self.wait_idle();
        self.covered()
    }

    /// Waits until the background thread has nothing to do, or gave up for now.
    pub fn wait_idle(&self) {
        let shared = &self.inner.shared;
        let mut working = shared.working.lock();
        while working.running {
            shared.idle.wait(&mut working);
        }
    }

    fn rotate(&self, frontier: Frontier, full: usize) -> Rotation {
        let shared = &self.inner.shared;
        let mut tables = shared.tables.write();
        tables.durable = tables.durable.max(frontier.durable.0);
        let rotation = match tables.active.len() {
            len if len < full => Rotation::Kept,
            _ if tables.frozen.len() == FROZEN_MAX => Rotation::Declined,
            _ => {
                let table = Arc::new(std::mem::replace(&mut tables.active, Table::new()));
                tables.frozen.push_back(Frozen { table, upto: frontier.inserted.0 });
                Rotation::Frozen
            }
        };
        let due = tables.due().is_some();
        drop(tables);
        if due {
            background::wake(shared);
        }
        rotation
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    fn noticing<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(Error::Damaged { .. }) = result {
            open::mark_damaged(&self.inner.shared.dir);
        }
        result
    }
}

impl Tables {
    /// Takes every value of these keys out of the table that takes what comes; how many there were.
    pub(super) fn forget_active(
        &mut self,
        keys: &std::collections::HashSet<[u8; 16]>,
        goes: &dyn Fn(&[u8; 16], &[u8; 16]) -> bool,
    ) -> u64 {
        keys.iter().map(|key| self.active.forget(key, goes) as u64).sum()
    }

    /// The oldest frozen table, if all its records are durable.
    pub(super) fn due(&self) -> Option<&Frozen> {
        self.frozen.front().filter(|frozen| frozen.upto <= self.durable)
    }
}

/// Merges the values of `recent` (ascending) and of the runs, from the largest down.
fn merge_back(
    key: &[u8; 16],
    before: Option<[u8; 16]>,
    limit: usize,
    mut recent: Vec<[u8; 16]>,
    runs: &[Arc<Run>],
) -> Result<Vec<[u8; 16]>> {
    let mut heads: Vec<([u8; 16], Back<'_>)> = Vec::new();
    for run in runs {
        let mut back = run.back(key, before)?;
        if let Some(value) = back.next()? {
            heads.push((value, back));
        }
    }
    let mut out: Vec<[u8; 16]> = Vec::new();
    while out.len() < limit {
        let stored = heads.iter().map(|(value, _)| *value).max();
        let Some(value) = stored.max(recent.last().copied()) else { break };
        out.push(value);
        while recent.last() == Some(&value) {
            recent.pop();
        }
        let mut at = 0;
        while at < heads.len() {
            if heads[at].0 != value {
                at += 1;
            } else if let Some(next) = heads[at].1.next()? {
                heads[at].0 = next;
            } else {
                heads.swap_remove(at);
            }
        }
    }
    Ok(out)
}

impl Drop for Handle {
    fn drop(&mut self) {
        background::close(&self.shared);
    }
}

impl fmt::Debug for RunSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunSet").field("dir", &self.inner.shared.dir).finish_non_exhaustive()
    }
}
