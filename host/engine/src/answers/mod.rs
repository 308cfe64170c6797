//! Answers that are remembered, so that a request sent twice is carried out once.
//!
//! A client names a request with a key of its own choosing. The first request with that key is written down before it is
//! carried out, its answer after; a repeat gets the stored answer. What was begun and has no answer, because the server
//! stopped in between, stays like that: nobody knows whether it was done, and it is not done again.
//!
//! | file | holds |
//! | --- | --- |
//! | `book` | what is known of each key, in memory |
//! | `shelf` | the records on disk: one journal per day, gone a day after it ended |
//!
//! An answer may hold a secret, a new API key for one. So records are sealed like events, with a data key of their own,
//! are no part of a tenant's journal, and go with their day's file: 48 hours after they were written at the latest.
//! Borrowed idea: the IETF draft "The Idempotency-Key HTTP Header Field", and the common practice it describes.

mod book;
mod shelf;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use cdp_domain::ids::{KeyId, TenantNo};
use cdp_domain::time::Timestamp;
use cdp_store::seal::{Digests, MasterKey};
use parking_lot::Mutex;

use self::book::{Book, Entry, State};
use self::shelf::{Record, Shelf};
use crate::clock::Clock;
use crate::error::Result;

/// How long an answer is remembered, from when its request came: 24 hours.
pub const ANSWERS_KEPT_MS: i64 = 24 * 3600 * 1000;
/// Requests of one tenant (or of the operator) that are remembered at a time.
pub const ANSWERS_MAX: usize = 10_000;
/// Bytes of answers of one tenant (or of the operator) that are remembered at a time.
pub const ANSWERS_BYTES_MAX: usize = 16 << 20;
/// Bytes of one answer that is remembered; of a larger one only that its request came.
pub const ANSWER_BYTES_MAX: usize = 256 << 10;

/// Whose key it is: the same words of two callers name two requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The tenant; 0 for the operator.
    pub tenant: TenantNo,
    /// The API key; None for the operator.
    pub key: Option<KeyId>,
}

/// What is to be done with a request that carries a key.
#[derive(Debug)]
pub enum Begun {
    /// Carry it out, and tell the ticket.
    Fresh(Ticket),
    /// It was answered: with this.
    Known(Vec<u8>),
    /// The first request with this key is under way.
    Running,
    /// The key was used with another request.
    Other,
    /// It was begun and its answer is not known: the server stopped meanwhile, or the answer was too large to keep.
    Unknown,
    /// As many answers are remembered as may be.
    Full {
        /// Seconds until there is room.
        retry_after: u32,
    },
}

/// The remembered answers of an installation. Cheap to clone.
#[derive(Clone)]
pub struct Answers(Arc<Shared>);

struct Shared {
    book: Mutex<Book>,
    shelf: Shelf,
    digests: Digests,
    clock: Arc<dyn Clock>,
}

impl Answers {
    /// Reads what is remembered.
    pub(crate) fn open(data_dir: &Path, master: &MasterKey, clock: Arc<dyn Clock>) -> Result<Self> {
        let shelf = Shelf::new(&data_dir.join("idempotency"), master);
        let mut book = Book::default();
        shelf.read_all(clock.now(), |id, at, place, record| book.replay(id, at, place, record))?;
        book.forget_before(clock.now());
        let digests = Digests::new(master, TenantNo(0), "cdp 2026 idempotency keys");
        Ok(Self(Arc::new(Shared { book: Mutex::new(book), shelf, digests, clock })))
    }

    pub(crate) fn close(&self) {
        self.0.shelf.close();
    }

    /// Begins a request, or says why not. `fingerprint` tells requests apart. Durable when it returns a ticket.
    ///
    /// Dropping the future leaves the request begun and without an answer.
    ///
    /// # Errors
    /// The journal's; nothing was begun.
    pub async fn begin(&self, caller: Caller, key: &str, fingerprint: [u8; 32]) -> Result<Begun> {
        let shared = &*self.0;
        let now = shared.clock.now();
        let id = id_of(&shared.digests, caller, key);
        {
            let mut book = shared.book.lock();
            book.forget_before(now);
            match book.find(&id) {
                Some(entry) if entry.fingerprint != fingerprint => return Ok(Begun::Other),
                Some(Entry { state: State::Running, .. }) => return Ok(Begun::Running),
                Some(Entry { state: State::Unknown, .. }) => return Ok(Begun::Unknown),
                Some(Entry { state: State::Answered(place), .. }) => {
                    let place = *place;
                    drop(book);
                    return shared.shelf.answer(place).map(Begun::Known);
                }
                None => {}
            }
            if let Some(retry_after) = book.full(caller.tenant, now) {
                return Ok(Begun::Full { retry_after });
            }
            book.begin(id, Entry { tenant: caller.tenant, fingerprint, at: now, state: State::Running });
        }
        let ticket = Ticket { shared: self.0.clone(), id, open: true };
        let record = Record::Begun { tenant: caller.tenant, fingerprint };
        match shared.shelf.write(now, id, &record).await {
            Ok(_) => Ok(Begun::Fresh(ticket)),
            Err(error) => {
                ticket.close(|book| book.forget(&id));
                Err(error)
            }
        }
    }
}

fn id_of(digests: &Digests, caller: Caller, key: &str) -> [u8; 16] {
    let principal = caller.key.map_or([0; 16], |key| key.0);
    digests.wide_of(&[&caller.tenant.0.to_be_bytes(), &principal, key.as_bytes()])
}

/// A request that was begun. Dropped without a word, its answer stays unknown.
pub struct Ticket {
    shared: Arc<Shared>,
    id: [u8; 16],
    open: bool,
}

impl Ticket {
    /// Remembers the answer; durable when it returns. One above [`ANSWER_BYTES_MAX`] is not kept: a repeat is told so.
    ///
    /// # Errors
    /// The journal's: then the answer stays unknown, and may be given all the same.
    pub async fn answered(self, answer: &[u8]) -> Result<()> {
        if answer.len() > ANSWER_BYTES_MAX {
            return Ok(());
        }
        let (id, now) = (self.id, self.shared.clock.now());
        let place = self.shared.shelf.write(now, id, &Record::Answered(answer.to_vec())).await?;
        self.close(|book| book.answered(&id, place));
        Ok(())
    }

    /// Forgets the request: the same key may be used again.
    ///
    /// # Errors
    /// The journal's: then the answer stays unknown.
    pub async fn forget(self) -> Result<()> {
        let (id, now) = (self.id, self.shared.clock.now());
        self.shared.shelf.write(now, id, &Record::Forgotten).await?;
        self.close(|book| book.forget(&id));
        Ok(())
    }

    fn close(mut self, change: impl FnOnce(&mut Book)) {
        self.open = false;
        change(&mut self.shared.book.lock());
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.open {
            self.shared.book.lock().unknown(&self.id);
        }
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ticket")
    }
}

/// When what came at `at` is forgotten.
fn ends(at: Timestamp) -> Timestamp {
    Timestamp(at.0 + ANSWERS_KEPT_MS)
}
