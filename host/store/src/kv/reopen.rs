//! Closing a backend that failed and opening it again in place, while the process goes on.
//!
//! sled, once a write failed, answers every later one with that failure: only opening it again helps.
//! What it then holds is what it wrote out before, so it may stand at an **earlier** batch than readers have seen.
//! Therefore nobody is handed the new database under an old handle: a [`Session`] keeps to the opening it was taken from,
//! answers [`Error::StateClosed`] once that is closed, and goes over to the new one only when its owner says so,
//! after the owner has forgotten everything that was read before ([`Session::renew`]).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::{Batch, Kv, Opened, Order, Pairs, Value};
use crate::{Error, Result};

/// Opens a backend, again and again.
pub trait Opener: fmt::Debug + Send + Sync {
    /// Opens it; what cannot be opened for good is set aside and an empty one opened in its place.
    ///
    /// # Errors
    /// What may heal by itself.
    fn open(&self) -> Result<(Arc<dyn Kv>, Opened)>;

    /// Refuses while opening again could not succeed, such as on a full disk: then the failed backend stays open for reading.
    ///
    /// # Errors
    /// Why not.
    fn worth_trying(&self) -> Result<()>;

    /// Copies what is live of an open backend to where nothing of what was deleted lingers; false where nothing lingers.
    ///
    /// # Errors
    /// The backend stays as it is.
    fn copy(&self, _from: &dyn Kv) -> Result<bool> {
        Ok(false)
    }

    /// Puts the copy in the place of the backend, which is closed.
    ///
    /// # Errors
    /// What opens next may be empty.
    fn swap(&self) -> Result<()> {
        Ok(())
    }
}

impl Opener for Arc<dyn Opener> {
    fn open(&self) -> Result<(Arc<dyn Kv>, Opened)> {
        (**self).open()
    }

    fn worth_trying(&self) -> Result<()> {
        (**self).worth_trying()
    }

    fn copy(&self, from: &dyn Kv) -> Result<bool> {
        (**self).copy(from)
    }

    fn swap(&self) -> Result<()> {
        (**self).swap()
    }
}

/// An installation's backend: one opening at a time, numbered.
#[derive(Debug)]
pub struct Backend {
    opener: Option<Box<dyn Opener>>,
    /// How often it was closed. Changes under the lock of `current`.
    closed: AtomicU64,
    current: Mutex<Option<Arc<dyn Kv>>>,
    watchers: Mutex<Watchers>,
    /// Held by who writes, and while everything is copied.
    writing: RwLock<()>,
}

/// Who wants to know that it was closed; one that answers false is forgotten.
#[derive(Default)]
struct Watchers(Vec<Box<dyn Fn() -> bool + Send>>);

impl Backend {
    /// Opens it for the first time.
    ///
    /// # Errors
    /// The opener's.
    pub fn open(opener: impl Opener + 'static) -> Result<(Arc<Self>, Opened)> {
        let (kv, opened) = opener.open()?;
        Ok((Arc::new(Self::new(Some(Box::new(opener)), kv)), opened))
    }

    /// One that is there already and is never opened again.
    #[must_use]
    pub fn fixed(kv: Arc<dyn Kv>) -> Arc<Self> {
        Arc::new(Self::new(None, kv))
    }

    fn new(opener: Option<Box<dyn Opener>>, kv: Arc<dyn Kv>) -> Self {
        let current = Mutex::new(Some(kv));
        Self {
            opener,
            closed: AtomicU64::new(0),
            current,
            watchers: Mutex::default(),
            writing: RwLock::default(),
        }
    }

    /// A handle on the present opening.
    ///
    /// # Errors
    /// [`Error::StateClosed`] while it is closed.
    pub fn session(self: &Arc<Self>) -> Result<Arc<Session>> {
        let held = self.held()?;
        Ok(Arc::new(Session { backend: self.clone(), held: RwLock::new(held) }))
    }

    /// Has `watcher` called whenever the backend is closed, until it answers false. It must not call back.
    pub fn watch(&self, watcher: impl Fn() -> bool + Send + 'static) {
        self.watchers.lock().0.push(Box::new(watcher));
    }

    /// Hands everything to the operating system.
    ///
    /// # Errors
    /// The backend's.
    pub fn flush(&self) -> Result<()> {
        let kv = self.current.lock().clone();
        kv.ok_or(Error::StateClosed)?.flush()
    }

    /// Writes the state anew, so that nothing of what was deleted lingers in its files; false where nothing lingers.
    ///
    /// Reads go on meanwhile and writes wait. Afterwards every session is stale, and what it wrote is there.
    ///
    /// # Errors
    /// The state stays as it is where copying fails. Where the copy cannot take its place, the state is closed until
    /// somebody opens it again.
    pub fn rewrite(&self) -> Result<bool> {
        let Some(opener) = &self.opener else { return Ok(false) };
        let mut current = self.current.lock();
        let _nobody_writes = self.writing.write();
        let Some(kv) = current.as_ref() else { return Err(Error::StateClosed) };
        if !opener.copy(&**kv)? {
            return Ok(false);
        }
        if let Some(kv) = current.take() {
            self.closed.fetch_add(1, Ordering::AcqRel);
            self.watchers.lock().0.retain(|watcher| watcher());
            kv.close();
        }
        opener.swap()?;
        *current = Some(opener.open()?.0);
        Ok(true)
    }

    fn held(&self) -> Result<Held> {
        let current = self.current.lock();
        let kv = current.clone().ok_or(Error::StateClosed)?;
        Ok(Held { opening: self.closed.load(Ordering::Acquire), kv })
    }

    /// Sees to it that a later opening than `failed` is open. Whoever comes second finds the first one's.
    fn reopen(&self, failed: u64) -> Result<()> {
        let mut current = self.current.lock();
        if self.closed.load(Ordering::Acquire) == failed {
            let opener = self.opener.as_ref().ok_or(Error::StateClosed)?;
            opener.worth_trying()?;
            if let Some(kv) = current.take() {
                self.closed.fetch_add(1, Ordering::AcqRel);
                self.watchers.lock().0.retain(|watcher| watcher());
                kv.close();
            }
        }
        if current.is_none() {
            let opener = self.opener.as_ref().ok_or(Error::StateClosed)?;
            let (kv, opened) = opener.open()?;
            tracing::warn!(?opened, "the state was opened again after it failed");
            *current = Some(kv);
        }
        Ok(())
    }
}

/// A handle on one opening of a backend.
#[derive(Debug)]
pub struct Session {
    backend: Arc<Backend>,
    held: RwLock<Held>,
}

#[derive(Debug)]
struct Held {
    opening: u64,
    kv: Arc<dyn Kv>,
}

impl Session {
    /// Whether the opening was closed: nothing can be read or written until [`renew`](Self::renew).
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.held.read().opening != self.backend.closed.load(Ordering::Acquire)
    }

    /// Closes the opening that this handle has, because it failed, and opens the backend again; the handle becomes stale.
    /// Does nothing more where that was done already.
    ///
    /// # Errors
    /// Why that is not possible now; nothing was closed where the opener thought it not worth trying. Try again later.
    pub fn reopen(&self) -> Result<()> {
        let opening = self.held.read().opening;
        self.backend.reopen(opening)
    }

    /// Writes the backend anew ([`Backend::rewrite`]); the handle becomes stale where that was done.
    ///
    /// # Errors
    /// The backend's.
    pub fn rewrite(&self) -> Result<bool> {
        self.backend.rewrite()
    }

    /// Goes over to the present opening. The caller has forgotten what it read through the earlier one.
    ///
    /// # Errors
    /// [`Error::StateClosed`] while the backend is closed.
    pub fn renew(&self) -> Result<()> {
        let held = self.backend.held()?;
        *self.held.write() = held;
        Ok(())
    }

    fn kv(&self) -> Arc<dyn Kv> {
        self.held.read().kv.clone()
    }
}

impl Kv for Session {
    fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Value>>> {
        self.kv().get_many(keys)
    }

    fn scan(&self, from: &[u8], to: &[u8], order: Order, limit: usize) -> Result<Pairs> {
        self.kv().scan(from, to, order, limit)
    }

    fn write(&self, batch: Batch) -> Result<()> {
        let _not_while_copying = self.backend.writing.read();
        self.kv().write(batch)
    }

    fn flush(&self) -> Result<()> {
        self.kv().flush()
    }

    fn size_on_disk(&self) -> Result<u64> {
        self.kv().size_on_disk()
    }

    fn close(&self) {
        self.kv().close();
    }
}

impl fmt::Debug for Watchers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} watchers", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::super::{SledOpener, SledOptions, conformance};
    use super::*;

    /// sled on a disk that the test declares full.
    #[derive(Debug)]
    struct Flagged(SledOpener, Arc<AtomicBool>);

    impl Opener for Flagged {
        fn open(&self) -> Result<(Arc<dyn Kv>, Opened)> {
            self.0.open()
        }

        fn worth_trying(&self) -> Result<()> {
            if self.1.load(Ordering::Acquire) {
                Err(Error::Full { path: self.0.dir.clone() })
            } else {
                Ok(())
            }
        }
    }

    fn opener(dir: &std::path::Path) -> (Flagged, Arc<AtomicBool>) {
        let full = Arc::new(AtomicBool::new(false));
        let options = SledOptions { cache_bytes: 16 << 20, flush_every_ms: 500 };
        (Flagged(SledOpener { dir: dir.join("state"), options }, full.clone()), full)
    }

    fn put(kv: &dyn Kv, value: &[u8]) -> Result<()> {
        let mut batch = Batch::new();
        batch.put(*b"key", value);
        kv.write(batch)
    }

    #[test]
    fn a_session_conforms() {
        conformance::check(|| {
            let dir = tempfile::tempdir().unwrap();
            let (backend, _) = Backend::open(opener(dir.path()).0).unwrap();
            (dir, SessionOf(backend.session().unwrap()))
        });
    }

    /// The suite takes a backend by value.
    #[derive(Debug)]
    struct SessionOf(Arc<Session>);

    impl Kv for SessionOf {
        fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Value>>> {
            self.0.get_many(keys)
        }

        fn scan(&self, from: &[u8], to: &[u8], order: Order, limit: usize) -> Result<Pairs> {
            self.0.scan(from, to, order, limit)
        }

        fn write(&self, batch: Batch) -> Result<()> {
            self.0.write(batch)
        }

        fn flush(&self) -> Result<()> {
            self.0.flush()
        }

        fn size_on_disk(&self) -> Result<u64> {
            self.0.size_on_disk()
        }

        fn close(&self) {
            self.0.close();
        }
    }

    #[test]
    fn a_handle_never_reads_from_a_later_opening_before_it_is_renewed() {
        let dir = tempfile::tempdir().unwrap();
        let (backend, _) = Backend::open(opener(dir.path()).0).unwrap();
        let (one, two) = (backend.session().unwrap(), backend.session().unwrap());
        let woken = Arc::new(AtomicU64::new(0));
        let counter = woken.clone();
        backend.watch(move || counter.fetch_add(1, Ordering::AcqRel) == 0);
        put(&*one, b"1").unwrap();
        one.reopen().unwrap();
        assert!(one.is_stale() && two.is_stale());
        for handle in [&one, &two] {
            assert!(matches!(handle.get_many(&[b"key"]), Err(Error::StateClosed)));
            assert!(matches!(put(&**handle, b"2"), Err(Error::StateClosed)));
            handle.reopen().unwrap();
            handle.renew().unwrap();
            assert!(!handle.is_stale());
            assert_eq!(handle.get_many(&[b"key"]).unwrap()[0].as_deref(), Some(&b"1"[..]));
        }
        assert_eq!(woken.load(Ordering::Acquire), 1, "the second did not close it again");
        two.reopen().unwrap();
        one.renew().unwrap();
        two.renew().unwrap();
        one.reopen().unwrap();
        assert_eq!(woken.load(Ordering::Acquire), 2, "a watcher that answered false is forgotten");
    }

    #[test]
    fn while_it_is_not_worth_trying_the_failed_one_stays_for_reading() {
        let dir = tempfile::tempdir().unwrap();
        let (opener, full) = opener(dir.path());
        let (backend, _) = Backend::open(opener).unwrap();
        let session = backend.session().unwrap();
        put(&*session, b"1").unwrap();
        full.store(true, Ordering::Release);
        assert!(matches!(session.reopen(), Err(Error::Full { .. })));
        assert!(!session.is_stale());
        assert!(session.get_many(&[b"key"]).unwrap()[0].is_some());
        full.store(false, Ordering::Release);
        session.reopen().unwrap();
        assert!(session.is_stale());
    }

    #[test]
    fn what_is_fixed_is_never_opened_again() {
        let session = Backend::fixed(Arc::new(super::super::MemoryKv::new())).session().unwrap();
        assert!(matches!(session.reopen(), Err(Error::StateClosed)));
        put(&*session, b"1").unwrap();
    }
}
