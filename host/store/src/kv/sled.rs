//! The seam on sled 0.34: one tree, one `apply_batch` per write; for a large one, several with a redo file.
//!
//! What we know of sled and live with, because all that is in it can be derived again:
//! its flush is not a sync; a crash can leave it unopenable, sometimes by a panic ([`SledKv::open_or_set_aside`]);
//! a file that was overwritten with nonsense can open without a complaint and be empty, so the owner checks the applied position it finds;
//! it takes two to five times the space of what is live; large values are not synced at all, which is why none goes in.

use std::any::Any;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use super::batch::Operation;
use super::{Batch, Kv, Opener, Order, Pairs, Value, redo, rewrite};
use crate::{Error, Result, files};

/// How sled is kept.
#[derive(Debug, Clone)]
pub struct SledOptions {
    /// Bytes of its page cache; 256 MiB.
    pub cache_bytes: u64,
    /// How often it writes its buffer out by itself, in milliseconds; 500. What is younger is lost in a crash and derived again.
    pub flush_every_ms: u64,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self { cache_bytes: 256 << 20, flush_every_ms: 500 }
    }
}

/// What opening found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// Nothing was there; the store is empty.
    Fresh,
    /// The store of earlier.
    Existing,
    /// What was there could not be opened and was moved here; the store is empty and must be rebuilt.
    SetAside(PathBuf),
}

/// Opens the sled database of a directory, again and again.
#[derive(Debug)]
pub struct SledOpener {
    /// Where the database lies.
    pub dir: PathBuf,
    /// How it is kept.
    pub options: SledOptions,
}

/// Free bytes without which a database is not opened again: what its recovery and its first writes take.
pub const REOPEN_FREE_BYTES_MIN: u64 = 16 << 20;

impl Opener for SledOpener {
    fn open(&self) -> Result<(Arc<dyn Kv>, Opened)> {
        rewrite::tidy(&self.dir)?;
        let (kv, opened) = SledKv::open_or_set_aside(&self.dir, &self.options)?;
        Ok((Arc::new(kv), opened))
    }

    fn copy(&self, from: &dyn Kv) -> Result<bool> {
        rewrite::copy(from, &self.dir, &self.options).map(|()| true)
    }

    fn swap(&self) -> Result<()> {
        rewrite::swap(&self.dir)
    }

    fn worth_trying(&self) -> Result<()> {
        let disk =
            rustix::fs::statvfs(&self.dir).map_err(|error| Error::io("measure", &self.dir)(error.into()))?;
        let free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free_bytes < REOPEN_FREE_BYTES_MIN {
            return Err(Error::Full { path: self.dir.clone() });
        }
        Ok(())
    }
}

/// A sled database with one tree of data, and one that tells where large batches stand.
pub struct SledKv {
    /// None when it was closed.
    held: RwLock<Option<Database>>,
}

/// The database while it is open.
struct Database {
    db: sled::Db,
    dir: PathBuf,
    redo: sled::Tree,
    /// The number of the last large batch. One at a time is written.
    large: Mutex<u64>,
}

/// How long opening waits for a lock that an instance of before still holds.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

const BEGUN: &[u8] = b"begun";
const DONE: &[u8] = b"done";

impl SledKv {
    /// Opens the database in `dir`, creating it when it is missing. A panic inside sled becomes an error.
    ///
    /// # Errors
    /// [`Error::Backend`]; [`Error::Io`] when the parent directory cannot be created.
    pub fn open(dir: &Path, options: &SledOptions) -> Result<(Self, Opened)> {
        if let Some(parent) = dir.parent() {
            files::create_dir(parent)?;
        }
        let config = sled::Config::new()
            .path(dir)
            .cache_capacity(options.cache_bytes)
            .flush_every_ms(Some(options.flush_every_ms))
            .mode(sled::Mode::HighThroughput)
            .use_compression(false);
        let deadline = Instant::now() + LOCK_PATIENCE;
        let db = loop {
            let opened = catch_unwind(AssertUnwindSafe(|| config.open()))
                .map_err(|panic| backend("open, and panicked")(Panicked(words(&*panic))))?;
            match opened {
                // An instance of before lets go of its lock only when its last write has ended, in the background.
                Err(error) if is_locked(&error) && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                opened => break opened.map_err(backend("open"))?,
            }
        };
        let opened = if db.was_recovered() { Opened::Existing } else { Opened::Fresh };
        let redo = db.open_tree(b"redo").map_err(backend("open"))?;
        let database = Database { db, dir: dir.to_owned(), redo, large: Mutex::new(0) };
        database.complete()?;
        Ok((Self { held: RwLock::new(Some(database)) }, opened))
    }

    /// Opens like [`open`](Self::open); what cannot be opened is renamed to `<name>.broken-<n>` and an empty database is opened in its place.
    ///
    /// The caller must rebuild when it gets [`Opened::SetAside`], and tell the operator where the broken one is.
    /// What may heal by itself (a lock held elsewhere, no permission, no space) is an error and moves nothing.
    ///
    /// # Errors
    /// [`Error::Backend`] for these, or when the fresh one fails too; [`Error::Io`] when the rename fails.
    pub fn open_or_set_aside(dir: &Path, options: &SledOptions) -> Result<(Self, Opened)> {
        let error = match Self::open(dir, options) {
            Err(error @ Error::Backend { .. }) if dir.exists() && !may_heal(&error) => error,
            other => return other,
        };
        let aside = free_name(dir);
        fs::rename(dir, &aside).map_err(Error::io("set aside", dir))?;
        tracing::error!(error = %error, aside = %aside.display(), "the state could not be opened and was set aside; it will be rebuilt");
        let (kv, _) = Self::open(dir, options)?;
        Ok((kv, Opened::SetAside(aside)))
    }

    fn with<T>(&self, call: impl FnOnce(&Database) -> Result<T>) -> Result<T> {
        self.held.read().as_ref().map_or(Err(Error::StateClosed), call)
    }
}

impl Database {
    /// Completes the large batch that a crash interrupted, if there is one.
    fn complete(&self) -> Result<()> {
        let (begun, done) = (self.number(BEGUN)?, self.number(DONE)?);
        *self.large.lock() = begun;
        if begun == done {
            return Ok(());
        }
        let Some(operations) = redo::read(&self.dir, begun)? else {
            return Err(backend("complete an interrupted batch in")(Interrupted(begun)));
        };
        tracing::warn!(rows = operations.len(), "completing a write of state that was interrupted");
        self.step_through(operations)?;
        self.set_number(DONE, begun)
    }

    fn number(&self, name: &[u8]) -> Result<u64> {
        let found = self.redo.get(name).map_err(backend("read"))?;
        Ok(found.and_then(|bytes| Some(u64::from_le_bytes(bytes.as_ref().try_into().ok()?))).unwrap_or(0))
    }

    fn set_number(&self, name: &[u8], number: u64) -> Result<()> {
        self.redo.insert(name, &number.to_le_bytes()).map(drop).map_err(backend("write"))
    }

    fn write_large(&self, operations: Vec<Operation>) -> Result<()> {
        let mut last = self.large.lock();
        let number = *last + 1;
        // What this file's predecessor made whole must have left sled's own buffers before the file goes.
        self.db.flush().map_err(backend("flush"))?;
        redo::write(&self.dir, number, &operations)?;
        *last = number;
        self.set_number(BEGUN, number)?;
        self.step_through(operations)?;
        self.set_number(DONE, number)
    }

    fn step_through(&self, operations: Vec<Operation>) -> Result<()> {
        let mut operations = operations.into_iter().peekable();
        while operations.peek().is_some() {
            self.apply(operations.by_ref().take(redo::STEP))?;
        }
        Ok(())
    }

    fn apply(&self, operations: impl Iterator<Item = Operation>) -> Result<()> {
        let mut writes = sled::Batch::default();
        for (key, value) in operations {
            match value {
                Some(value) => writes.insert(key, value),
                None => writes.remove(key),
            }
        }
        self.db.apply_batch(writes).map_err(backend("write"))
    }
}

impl Kv for SledKv {
    fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Value>>> {
        self.with(|open| {
            let read = |key: &&[u8]| Ok(open.db.get(key).map_err(backend("read"))?.map(Value::from));
            keys.iter().map(read).collect()
        })
    }

    fn scan(&self, from: &[u8], to: &[u8], order: Order, limit: usize) -> Result<Pairs> {
        if from >= to {
            return Ok(Vec::new());
        }
        self.with(|open| {
            let range = open.db.range(from..to);
            let copy = |pair: sled::Result<(sled::IVec, sled::IVec)>| {
                let (key, value) = pair.map_err(backend("scan"))?;
                Ok((key.to_vec(), Value::from(value)))
            };
            match order {
                Order::Forward => range.take(limit).map(copy).collect(),
                Order::Backward => range.rev().take(limit).map(copy).collect(),
            }
        })
    }

    fn write(&self, batch: Batch) -> Result<()> {
        let operations = batch.into_sorted()?;
        self.with(|open| {
            if operations.len() <= redo::STEP {
                open.apply(operations.into_iter())
            } else {
                open.write_large(operations)
            }
        })
    }

    fn flush(&self) -> Result<()> {
        self.with(|open| open.db.flush().map(drop).map_err(backend("flush")))
    }

    fn size_on_disk(&self) -> Result<u64> {
        self.with(|open| open.db.size_on_disk().map_err(backend("measure")))
    }

    /// sled writes out what it still can, and lets go of its lock.
    fn close(&self) {
        let open = self.held.write().take();
        if catch_unwind(AssertUnwindSafe(|| drop(open))).is_err() {
            tracing::warn!(
                "the state panicked while it was closed; what it holds is checked when it is opened"
            );
        }
    }
}

impl std::fmt::Debug for SledKv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SledKv")
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Panicked(String);

#[derive(Debug, thiserror::Error)]
#[error("the redo file of batch {0} is missing or damaged")]
struct Interrupted(u64);

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without words".to_owned())
}

fn backend<E: std::error::Error + Send + Sync + 'static>(doing: &'static str) -> impl FnOnce(E) -> Error {
    move |source| Error::Backend { doing, source: Box::new(source) }
}

fn may_heal(error: &Error) -> bool {
    use std::io::ErrorKind;
    let Error::Backend { source, .. } = error else { return true };
    let Some(sled::Error::Io(io)) = source.downcast_ref::<sled::Error>() else { return false };
    matches!(io.kind(), ErrorKind::PermissionDenied | ErrorKind::StorageFull | ErrorKind::WouldBlock)
        || names_lock(io)
}

fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(io) if names_lock(io))
}

fn names_lock(io: &std::io::Error) -> bool {
    io.to_string().contains("could not acquire lock")
}

fn free_name(dir: &Path) -> PathBuf {
    let name = |n: u32| {
        let mut name = dir.as_os_str().to_owned();
        name.push(format!(".broken-{n}"));
        PathBuf::from(name)
    };
    (1..).map(name).find(|path| !path.exists()).expect("some number is free")
}

#[cfg(test)]
mod tests {
    use super::super::conformance;
    use super::*;

    fn small() -> SledOptions {
        SledOptions { cache_bytes: 16 << 20, flush_every_ms: 500 }
    }

    #[test]
    fn sled_conforms() {
        conformance::check(|| {
            let dir = tempfile::tempdir().unwrap();
            let (kv, opened) = SledKv::open(&dir.path().join("state"), &small()).unwrap();
            assert_eq!(opened, Opened::Fresh);
            (dir, kv)
        });
    }

    #[test]
    fn what_was_written_is_there_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let (kv, _) = SledKv::open(dir.path(), &small()).unwrap();
        let mut batch = Batch::new();
        batch.put(*b"key", *b"value");
        kv.write(batch).unwrap();
        drop(kv);
        let (kv, opened) = SledKv::open_or_set_aside(dir.path(), &small()).unwrap();
        assert_eq!(opened, Opened::Existing);
        assert_eq!(kv.get_many(&[b"key"]).unwrap()[0].as_deref(), Some(&b"value"[..]));
    }

    #[test]
    fn what_is_closed_answers_so_and_can_be_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let opener = SledOpener { dir: dir.path().join("state"), options: small() };
        let (kv, _) = opener.open().unwrap();
        kv.write(Batch::new()).unwrap();
        kv.close();
        assert!(matches!(kv.get_many(&[b"key"]), Err(Error::StateClosed)));
        assert!(matches!(kv.write(Batch::new()), Err(Error::StateClosed)));
        opener.worth_trying().unwrap();
        assert_eq!(opener.open().unwrap().1, Opened::Existing);
    }

    #[test]
    fn a_broken_database_is_set_aside_and_a_fresh_one_opened() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        for n in 1..=2 {
            drop(SledKv::open(&state, &small()).unwrap());
            fs::remove_file(state.join("db")).unwrap();
            fs::create_dir(state.join("db")).unwrap();
            let (kv, opened) = SledKv::open_or_set_aside(&state, &small()).unwrap();
            assert_eq!(opened, Opened::SetAside(dir.path().join(format!("state.broken-{n}"))));
            assert_eq!(kv.scan(b"", b"z", Order::Forward, 9).unwrap().len(), 0);
        }
    }

    fn large(value: u8) -> Batch {
        let mut batch = Batch::new();
        for n in 0..3 * redo::STEP as u32 + 7 {
            batch.put(n.to_be_bytes(), [value; 40]);
        }
        batch
    }

    fn values(kv: &SledKv) -> Vec<u8> {
        let mut seen: Vec<u8> =
            kv.scan(b"", &[0xff], Order::Forward, 1 << 20).unwrap().iter().map(|(_, v)| v[0]).collect();
        seen.dedup();
        seen
    }

    #[test]
    fn an_interrupted_large_batch_is_completed_when_the_database_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let (kv, _) = SledKv::open(dir.path(), &small()).unwrap();
        kv.write(large(1)).unwrap();
        kv.write(large(2)).unwrap();
        // The crash: the third batch has begun, one step of it is in.
        let operations = large(3).into_sorted().unwrap();
        redo::write(dir.path(), 3, &operations).unwrap();
        let begin = |open: &Database| {
            open.set_number(BEGUN, 3)?;
            open.apply(operations.into_iter().take(redo::STEP))
        };
        kv.with(begin).unwrap();
        assert_eq!(values(&kv), [3, 2]);
        drop(kv);
        let (kv, opened) = SledKv::open_or_set_aside(dir.path(), &small()).unwrap();
        assert_eq!((opened, values(&kv)), (Opened::Existing, vec![3]));
        kv.write(large(4)).unwrap();
        drop(kv);
        let (kv, _) = SledKv::open(dir.path(), &small()).unwrap();
        assert_eq!(values(&kv), [4]);
    }

    #[test]
    fn a_redo_file_whose_batch_had_not_begun_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (kv, _) = SledKv::open(dir.path(), &small()).unwrap();
        kv.write(large(1)).unwrap();
        redo::write(dir.path(), 2, &large(2).into_sorted().unwrap()).unwrap();
        drop(kv);
        let (kv, _) = SledKv::open(dir.path(), &small()).unwrap();
        assert_eq!(values(&kv), [1]);
    }

    #[test]
    fn a_half_done_batch_without_its_file_is_set_aside() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("state");
        let (kv, _) = SledKv::open(&dir, &small()).unwrap();
        kv.write(large(1)).unwrap();
        kv.with(|open| open.set_number(BEGUN, 2)).unwrap();
        drop(kv);
        let (kv, opened) = SledKv::open_or_set_aside(&dir, &small()).unwrap();
        assert!(matches!(opened, Opened::SetAside(_)));
        assert!(values(&kv).is_empty());
    }

    #[test]
    fn a_database_in_use_is_not_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let _first = SledKv::open(&state, &small()).unwrap();
        assert!(matches!(SledKv::open_or_set_aside(&state, &small()), Err(Error::Backend { .. })));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
