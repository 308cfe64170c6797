//! Answers that take long, kept for a moment: a page shows what was counted last and has it counted anew beside.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// How old an answer may be without being worked out anew.
pub(crate) const FRESH: Duration = Duration::from_secs(30);
/// How long a page waits for one that is being worked out.
const PATIENCE: Duration = Duration::from_millis(120);
/// Answers that are kept.
const KEPT_MAX: usize = 2_000;

/// Answers by what was asked.
pub(crate) struct Shelf<K, V>(Mutex<HashMap<K, Arc<Slot<V>>>>);

struct Slot<V> {
    state: Mutex<State<V>>,
    done: Notify,
}

struct State<V> {
    value: Option<V>,
    at: Instant,
    working: bool,
}

/// That an answer is being worked out; ends also when the work panics, so that it is begun again.
struct AtWork<V>(Arc<Slot<V>>);

impl<V> Drop for AtWork<V> {
    fn drop(&mut self) {
        self.0.state.lock().working = false;
        self.0.done.notify_waiters();
    }
}

impl<K, V> Default for Shelf<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone + Send + 'static> Shelf<K, V> {
    /// The answer to a question. Where there is none that is fresh, `work` gives one on a thread of its own; what is
    /// not there in a moment comes with the next question, and until then the answer before is given.
    pub(crate) async fn get(&self, key: K, work: impl FnOnce() -> V + Send + 'static) -> Option<V> {
        let slot = {
            let mut all = self.0.lock();
            if all.len() >= KEPT_MAX && !all.contains_key(&key) {
                all.retain(|_, slot| slot.state.lock().at.elapsed() < FRESH);
                if all.len() >= KEPT_MAX {
                    // All of them are fresh: any of them makes room.
                    all.clear();
                }
            }
            let empty = || State { value: None, at: Instant::now(), working: false };
            let slot = all
                .entry(key)
                .or_insert_with(|| Arc::new(Slot { state: Mutex::new(empty()), done: Notify::new() }));
            slot.clone()
        };
        let waiting = slot.done.notified();
        {
            let mut state = slot.state.lock();
            if state.value.is_some() && state.at.elapsed() < FRESH {
                return state.value.clone();
            }
            if !state.working {
                state.working = true;
                let at_work = AtWork(slot.clone());
                tokio::task::spawn_blocking(move || {
                    let value = work();
                    *at_work.0.state.lock() = State { value: Some(value), at: Instant::now(), working: true };
                });
            }
        }
        let _ = tokio::time::timeout(PATIENCE, waiting).await;
        slot.state.lock().value.clone()
    }

    /// Forgets what was answered to questions like these: something changed.
    pub(crate) fn forget(&self, which: impl Fn(&K) -> bool) {
        self.0.lock().retain(|key, _| !which(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_is_given_again_until_it_is_forgotten() {
        let shelf = Shelf::default();
        assert_eq!(shelf.get(1, || "one").await, Some("one"));
        assert_eq!(shelf.get(1, || "other").await, Some("one"), "fresh");
        shelf.forget(|key| *key == 1);
        assert_eq!(shelf.get(1, || "other").await, Some("other"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_takes_long_comes_later() {
        let shelf = Shelf::default();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let slow = move || {
            let _ = wait.recv();
            7
        };
        assert_eq!(shelf.get("x", slow).await, None);
        go.send(()).unwrap();
        while shelf.get("x", || 8).await != Some(7) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_failed_is_begun_again() {
        let shelf = Shelf::default();
        assert_eq!(shelf.get("x", || panic!("on purpose")).await, None::<u8>);
        while shelf.get("x", || 8).await != Some(8) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_more_than_so_many_are_kept() {
        let shelf = Shelf::default();
        for n in 0..=KEPT_MAX {
            assert_eq!(shelf.get(n, move || n).await, Some(n));
            assert!(shelf.0.lock().len() <= KEPT_MAX);
        }
    }
}
