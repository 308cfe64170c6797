//! Each tenant's share of the front door: of memory for bodies, and of turns at work that costs processor time.
//!
//! **Memory.** Bodies in flight are bounded together. A tenant may hold as many bytes as are still free, so one alone
//! gets half of all and any number of them leave room for the next (dynamic thresholds, Choudhury and Hahne 1998); who
//! holds nothing may take all that is left.
//!
//! **Turns.** Reading a body into events and preparing them for the journal takes a turn, of which there are as many as
//! processors. While one is free it is taken at once; else [`lanes`] decides whose turn is next. Who has none goes beside
//! the others, as long as no more do so than there are turns: a small request does not wait for the end of a large one of
//! somebody else. Waiting for the disk takes no turn.
//!
//! What is refused is answered 503, before anything was accepted.

pub(crate) mod lanes;

use std::collections::HashMap;
use std::sync::Arc;

use cdp_engine::Tenant;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::error::{Answer, Code, Failure};
use lanes::{Full, Lanes};

/// Who shares: a tenant, or all requests whose key is not known yet together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Class(pub(crate) Option<u32>);

impl Class {
    /// Requests that name their key in the body.
    pub(crate) const UNKNOWN: Self = Self(None);

    /// A tenant's.
    pub(crate) fn of(tenant: &Tenant) -> Self {
        Self(Some(tenant.no().0))
    }
}

/// What all share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Shares(Arc<Inner>);

struct Inner {
    bytes_max: usize,
    memory: Mutex<Memory>,
    work: Mutex<Work>,
}

#[derive(Default)]
struct Memory {
    held: usize,
    by_class: HashMap<Class, usize>,
}

struct Work {
    free: usize,
    /// Turns beside the others that may still be given.
    beside: usize,
    /// Turns that each class has.
    had: HashMap<Class, usize>,
    lanes: Lanes<(Class, oneshot::Sender<Turn>)>,
}

impl Shares {
    /// With so many bytes for bodies, so many turns, and room for so many requests of one class that wait for theirs.
    pub(crate) fn new(bytes_max: usize, turns: usize, waiting_max: usize) -> Self {
        let turns = turns.max(1);
        let lanes = Lanes::new(waiting_max);
        let work = Mutex::new(Work { free: turns, beside: turns, had: HashMap::new(), lanes });
        Self(Arc::new(Inner { bytes_max, memory: Mutex::default(), work }))
    }

    /// Sets memory aside for a body of so many bytes.
    ///
    /// # Errors
    /// 503 when the class holds as much as is left, or nothing is left.
    pub(crate) fn hold(&self, class: Class, bytes: usize) -> Answer<Held> {
        let mut memory = self.0.memory.lock();
        let own = memory.by_class.get(&class).copied().unwrap_or_default();
        let left = self.0.bytes_max.saturating_sub(memory.held);
        if bytes > left || (own > 0 && own + bytes > left) {
            return Err(Failure::new(
                Code::Overloaded,
                "too many bodies are being worked on; nothing was accepted",
            ));
        }
        memory.held += bytes;
        *memory.by_class.entry(class).or_default() += bytes;
        Ok(Held { inner: self.0.clone(), class, bytes })
    }

    /// Waits for a turn at work on so many bytes. Dropping the future gives the place in the queue up.
    ///
    /// # Errors
    /// 503 when as many of the class wait as may.
    pub(crate) async fn turn(&self, class: Class, bytes: usize) -> Answer<Turn> {
        let comes = {
            let mut work = self.0.work.lock();
            let has_none = !work.had.contains_key(&class);
            if work.free > 0 || (has_none && work.beside > 0) {
                let beside = work.free == 0;
                if beside {
                    work.beside -= 1
                } else {
                    work.free -= 1
                }
                *work.had.entry(class).or_default() += 1;
                return Ok(Turn { inner: Some(self.0.clone()), class, beside });
            }
            let (gives, comes) = oneshot::channel();
            work.lanes.push(class, bytes, (class, gives)).map_err(|Full(_)| {
                Failure::new(Code::Overloaded, "too many requests wait for their turn; nothing was accepted")
            })?;
            comes
        };
        comes.await.map_err(Failure::internal)
    }
}

/// Memory set aside, until dropped.
pub(crate) struct Held {
    inner: Arc<Inner>,
    class: Class,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut memory = self.inner.memory.lock();
        memory.held -= self.bytes;
        if let Some(own) = memory.by_class.get_mut(&self.class) {
            *own -= self.bytes;
            if *own == 0 {
                memory.by_class.remove(&self.class);
            }
        }
    }
}

impl Work {
    /// A class gives a turn back.
    fn gives_back(&mut self, class: Class) {
        if let Some(had) = self.had.get_mut(&class) {
            *had -= 1;
            if *had == 0 {
                self.had.remove(&class);
            }
        }
    }
}

/// A turn at work; the next one's begins when it is dropped.
pub(crate) struct Turn {
    /// None once it is given back.
    inner: Option<Arc<Inner>>,
    class: Class,
    /// It goes beside the others, and nobody waits for it.
    beside: bool,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else { return };
        inner.work.lock().gives_back(self.class);
        loop {
            let (class, next) = {
                let mut work = inner.work.lock();
                if self.beside {
                    work.beside += 1;
                    return;
                }
                let Some(next) = work.lanes.pop() else {
                    work.free += 1;
                    return;
                };
                *work.had.entry(next.0).or_default() += 1;
                next
            };
            match next.send(Self { inner: Some(inner.clone()), class, beside: false }) {
                Ok(()) => return,
                // Who waited is gone: the turn is the next one's.
                Err(mut unused) => {
                    unused.inner = None;
                    inner.work.lock().gives_back(class);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOISY: Class = Class(Some(1));
    const QUIET: Class = Class(Some(2));

    #[test]
    fn one_alone_gets_half_of_the_memory_and_leaves_room_for_others() {
        let shares = Shares::new(1000, 1, 1);
        let mut held: Vec<_> = (0..50).map(|_| shares.hold(NOISY, 10).unwrap()).collect();
        assert_eq!(shares.hold(NOISY, 10).err().unwrap().code, Code::Overloaded, "n + 1");
        let others: Vec<_> = (0..25).map(|_| shares.hold(QUIET, 10).unwrap()).collect();
        assert!(shares.hold(QUIET, 10).is_err());
        assert!(shares.hold(Class::UNKNOWN, 250).is_ok(), "who holds nothing may take what is left");
        drop(others);
        held.clear();
        assert!(shares.0.memory.lock().by_class.is_empty());
        assert!(shares.hold(NOISY, 1000).is_ok() && shares.hold(NOISY, 1001).is_err());
    }

    #[tokio::test]
    async fn a_turn_passes_on_to_whoever_has_waited_least_served() {
        let shares = Shares::new(1000, 1, 100);
        let first = shares.turn(NOISY, 10).await.unwrap();
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        for n in 0..20 {
            let (class, bytes) = if n == 19 { (QUIET, 10) } else { (NOISY, 40_000) };
            let (shares, tell) = (shares.clone(), tell.clone());
            tokio::spawn(async move {
                let _turn = shares.turn(class, bytes).await.unwrap();
                tell.send(class).unwrap();
            });
        }
        tokio::task::yield_now().await;
        drop((first, tell));
        let mut order = Vec::new();
        while let Some(class) = told.recv().await {
            order.push(class);
        }
        assert_eq!(order.len(), 20);
        assert!(order.iter().position(|class| *class == QUIET).unwrap() <= 1, "{order:?}");
        assert_eq!(shares.0.work.lock().free, 1);
    }

    #[tokio::test]
    async fn who_has_no_turn_goes_beside_the_others_once_and_the_others_wait() {
        let shares = Shares::new(1000, 1, 100);
        let noisy = shares.turn(NOISY, 40_000).await.unwrap();
        let mut more = Box::pin(shares.turn(NOISY, 40_000));
        assert!(futures_poll(&mut more).await, "it has one already");
        let quiet = shares.turn(QUIET, 10).await.unwrap();
        let mut second = Box::pin(shares.turn(QUIET, 10));
        assert!(futures_poll(&mut second).await, "it has one already");
        let mut third = Box::pin(shares.turn(Class::UNKNOWN, 10));
        assert!(futures_poll(&mut third).await, "as many go beside as there are turns");
        drop(quiet);
        drop(noisy);
        // Each gives its turn back as soon as it has it.
        let ended = tokio::join!(async { more.await.map(drop) }, async { second.await.map(drop) }, async {
            third.await.map(drop)
        });
        assert!(ended.0.is_ok() && ended.1.is_ok() && ended.2.is_ok());
        let work = shares.0.work.lock();
        assert_eq!((work.free, work.beside, work.had.len()), (1, 1, 0));
    }

    #[tokio::test]
    async fn who_stops_waiting_loses_no_turn_for_the_others() {
        let shares = Shares::new(1000, 1, 2);
        let first = shares.turn(NOISY, 1).await.unwrap();
        let mut gone = Box::pin(shares.turn(NOISY, 1));
        assert!(futures_poll(&mut gone).await);
        let mut stays = Box::pin(shares.turn(NOISY, 1));
        assert!(futures_poll(&mut stays).await);
        assert_eq!(shares.turn(NOISY, 1).await.err().unwrap().code, Code::Overloaded, "two may wait");
        drop(gone);
        drop(first);
        drop(stays.await.unwrap());
        assert_eq!(shares.0.work.lock().free, 1);
    }

    /// Polls once; whether it still waits.
    async fn futures_poll(future: &mut (impl Future + Unpin)) -> bool {
        std::future::poll_fn(|cx| {
            std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending())
        })
        .await
    }
}
