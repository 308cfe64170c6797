//! Writing the state anew, so that nothing of what was deleted lingers: sled is a log, and keeps old bytes until it happens
//! to reuse their place.
//!
//! What is live is copied into a fresh database beside the old one while that goes on serving reads and takes no writes.
//! Then the old one is closed, the two change places, and the old files go. Whoever holds a session finds it stale and
//! goes on from what the copy holds, which is everything that was written.
//! A crash in between leaves either the old state, or none, which is then made anew from the journal; what else lies
//! about is removed at the next opening.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::sled::{SledKv, SledOptions};
use super::{Batch, Kv, Order};
use crate::{Error, Result, files};

/// Rows copied at a time.
const ROWS: usize = 2000;
/// How long a closed database may take to let go of its files.
const LETTING_GO: Duration = Duration::from_secs(30);

fn beside(dir: &Path, ending: &str) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Copies what is live into a database beside `dir`.
pub(super) fn copy(from: &dyn Kv, dir: &Path, options: &SledOptions) -> Result<()> {
    let to = beside(dir, ".rewriting");
    remove(&to)?;
    let options = SledOptions { cache_bytes: options.cache_bytes.min(64 << 20), ..options.clone() };
    let (copy, _) = SledKv::open(&to, &options)?;
    let (mut next, end) = (Vec::new(), [0xff; super::KEY_BYTES_MAX]);
    loop {
        let page = from.scan(&next, &end, Order::Forward, ROWS)?;
        let Some((last, _)) = page.last() else { break };
        next = [&last[..], &[0]].concat();
        let mut batch = Batch::new();
        page.iter().for_each(|(key, value)| batch.put(key.clone(), value.to_vec()));
        copy.write(batch)?;
    }
    copy.flush()?;
    copy.close();
    let_go(&to)
}

/// Puts the copy in the place of the database, which is closed, and removes that one and what was set aside earlier.
pub(super) fn swap(dir: &Path) -> Result<()> {
    let_go(dir)?;
    let old = beside(dir, ".rewritten");
    remove(&old)?;
    fs::rename(dir, &old).map_err(Error::io("set aside", dir))?;
    let copy = beside(dir, ".rewriting");
    fs::rename(&copy, dir).map_err(Error::io("name", dir))?;
    if let Some(parent) = dir.parent() {
        files::sync_dir(parent)?;
    }
    remove(&old)?;
    if let (Some(parent), Some(name)) = (dir.parent(), dir.file_name().and_then(|name| name.to_str())) {
        for entry in fs::read_dir(parent).map_err(Error::io("list", parent))? {
            let path = entry.map_err(Error::io("list", parent))?.path();
            let other = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if other.strip_prefix(name).is_some_and(|rest| rest.starts_with(".broken-")) {
                remove(&path)?;
            }
        }
    }
    Ok(())
}

/// Removes what a crash left of a rewriting.
pub(super) fn tidy(dir: &Path) -> Result<()> {
    remove(&beside(dir, ".rewriting"))?;
    remove(&beside(dir, ".rewritten"))
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", dir)(error)),
        _ => Ok(()),
    }
}

/// Waits until nobody holds the lock of a database that was closed: its last threads may still write.
fn let_go(dir: &Path) -> Result<()> {
    use rustix::fs::{FlockOperation, flock};
    let path = dir.join("db");
    let deadline = Instant::now() + LETTING_GO;
    let file = File::open(&path).map_err(Error::io("open", &path))?;
    while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if Instant::now() > deadline {
            return Err(Error::io("wait for the lock of", &path)(error.into()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    flock(&file, FlockOperation::Unlock).map_err(|error| Error::io("unlock", &path)(error.into()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Backend, SledOpener};
    use super::*;

    fn lingers(dir: &Path, wanted: &[u8]) -> bool {
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
            if path.is_dir() {
                lingers(&path, wanted)
            } else {
                fs::read(&path).unwrap().windows(wanted.len()).any(|part| part == wanted)
            }
        })
    }

    #[test]
    fn what_was_deleted_is_in_no_file_and_what_was_not_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let options = SledOptions { cache_bytes: 16 << 20, flush_every_ms: 500 };
        let opener = SledOpener { dir: dir.path().join("state"), options };
        let (backend, _) = Backend::open(opener).unwrap();
        let session = backend.session().unwrap();
        for n in 0..3000_u32 {
            let mut batch = Batch::new();
            batch.put(n.to_be_bytes(), *b"stays as it is");
            batch.put([&n.to_be_bytes()[..], b"!"].concat(), *b"the canary sings");
            session.write(batch).unwrap();
        }
        for n in 0..3000_u32 {
            let mut batch = Batch::new();
            batch.delete([&n.to_be_bytes()[..], b"!"].concat());
            session.write(batch).unwrap();
        }
        session.flush().unwrap();
        assert!(lingers(dir.path(), b"canary"), "or the test shows nothing");
        assert!(backend.rewrite().unwrap());
        assert!(session.is_stale());
        assert!(matches!(session.get_many(&[b"x"]), Err(Error::StateClosed)));
        session.renew().unwrap();
        let rows = session.scan(b"", &[0xff; 9], Order::Forward, 9999).unwrap();
        assert_eq!(rows.len(), 3000);
        assert!(rows.iter().all(|(_, value)| &**value == b"stays as it is"));
        assert!(!lingers(dir.path(), b"canary"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let mut batch = Batch::new();
        batch.put(*b"more", *b"value");
        session.write(batch).unwrap();
    }

    #[test]
    fn a_store_in_memory_has_nothing_to_rewrite() {
        let backend = Backend::fixed(Arc::new(super::super::MemoryKv::new()));
        assert!(!backend.rewrite().unwrap());
    }
}
