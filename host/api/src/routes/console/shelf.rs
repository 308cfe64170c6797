//! Answers that take long, kept for a while: a page shows what was counted last and has it counted anew beside.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

/// How old an answer may be without being worked out anew.
pub(crate) const FRESH: Duration = Duration::from_secs(30);
/// The same as a multiple of how long it took to work out, where that is longer: what is expensive is not worked out
/// all the time.
pub(crate) const FRESH_TIMES: u32 = 10;
/// How long a page waits for one that there is not yet.
const PATIENCE: Duration = Duration::from_millis(25);
/// Answers that are kept.
const KEPT_MAX: usize = 2_000;
/// Answers of one shelf that are worked out at a time: pages are not kept waiting by them.
const WORKED_ON_MAX: usize = 1;

/// Answers by what was asked.
pub(crate) struct Shelf<K, V> {
    slots: Mutex<HashMap<K, Arc<Slot<V>>>>,
    turns: Arc<Semaphore>,
}

struct Slot<V> {
    state: Mutex<State<V>>,
    done: Notify,
}

struct State<V> {
    value: Option<V>,
    at: Instant,
    /// How long it took to work out.
    took: Duration,
    working: bool,
}

impl<V> State<V> {
    fn is_fresh(&self) -> bool {
        self.value.is_some() && self.at.elapsed() < fresh_for(self.took)
    }
}

/// How old an answer may be that took so long.
fn fresh_for(took: Duration) -> Duration {
    FRESH.max(took * FRESH_TIMES)
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
        Self { slots: Mutex::default(), turns: Arc::new(Semaphore::new(WORKED_ON_MAX)) }
    }
}

impl<K: Eq + Hash, V: Clone + Send + 'static> Shelf<K, V> {
    /// The answer to a question. Where there is none that is fresh, `work` gives one on a thread of its own, one after the
    /// other; what is not there in a moment comes with the next question, and until then the answer before is given.
    pub(crate) async fn get(&self, key: K, work: impl FnOnce() -> V + Send + 'static) -> Option<V> {
        let slot = self.slot(key);
        let waiting = slot.done.notified();
        {
            let mut state = slot.state.lock();
            if state.is_fresh() {
                return state.value.clone();
            }
            if !state.working {
                state.working = true;
                let (at_work, turns) = (AtWork(slot.clone()), self.turns.clone());
                tokio::spawn(async move {
                    let Ok(turn) = turns.acquire_owned().await else { return };
                    tokio::task::spawn_blocking(move || {
                        let _turn = turn;
                        let began = Instant::now();
                        let value = work();
                        let (value, at) = (Some(value), Instant::now());
                        *at_work.0.state.lock() = State { value, at, took: began.elapsed(), working: true };
                    });
                });
            }
            // What took longer than a page waits will again.
            if state.value.is_some() && state.took > PATIENCE {
                return state.value.clone();
            }
        }
        let _ = tokio::time::timeout(PATIENCE, waiting).await;
        slot.state.lock().value.clone()
    }

    fn slot(&self, key: K) -> Arc<Slot<V>> {
        let mut all = self.slots.lock();
        if all.len() >= KEPT_MAX && !all.contains_key(&key) {
            all.retain(|_, slot| slot.state.lock().is_fresh());
            if all.len() >= KEPT_MAX {
                // All of them are fresh: any of them makes room.
                all.clear();
            }
        }
        let empty = || State { value: None, at: Instant::now(), took: Duration::ZERO, working: false };
        let slot = all
            .entry(key)
            .or_insert_with(|| Arc::new(Slot { state: Mutex::new(empty()), done: Notify::new() }));
        slot.clone()
    }

    /// Forgets what was answered to questions like these: something changed.
    pub(crate) fn forget(&self, which: impl Fn(&K) -> bool) {
        self.slots.lock().retain(|key, _| !which(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer, also where it takes longer than a page waits.
    async fn soon<K: Eq + Hash + Copy>(
        shelf: &Shelf<K, &'static str>,
        key: K,
        value: &'static str,
    ) -> &'static str {
        loop {
            if let Some(value) = shelf.get(key, move || value).await {
                return value;
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_is_given_again_until_it_is_forgotten() {
        let shelf = Shelf::default();
        assert_eq!(soon(&shelf, 1, "one").await, "one");
        assert_eq!(shelf.get(1, || "other").await, Some("one"), "fresh");
        shelf.forget(|key| *key == 1);
        assert_eq!(soon(&shelf, 1, "other").await, "other");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_took_long_is_given_as_it_was_while_it_is_worked_out_anew() {
        let shelf = Shelf::default();
        assert_eq!(soon(&shelf, 1, "one").await, "one");
        let age = |took: Duration| {
            let slot = shelf.slot(1);
            let mut state = slot.state.lock();
            state.took = took;
            state.at = Instant::now().checked_sub(fresh_for(took)).expect("the machine ran for a while");
        };
        age(PATIENCE * 2);
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let slow = move || {
            let _ = wait.recv();
            "two"
        };
        assert_eq!(shelf.get(1, slow).await, Some("one"));
        assert_eq!(shelf.get(1, || "three").await, Some("one"), "it is being worked out already");
        go.send(()).unwrap();
        while shelf.get(1, || "three").await != Some("two") {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn what_is_expensive_is_not_worked_out_all_the_time() {
        assert_eq!(fresh_for(Duration::from_millis(3)), FRESH);
        assert_eq!(fresh_for(Duration::from_secs(20)), Duration::from_secs(200));
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
            while shelf.get(n, move || n).await != Some(n) {}
            assert!(shelf.slots.lock().len() <= KEPT_MAX);
        }
    }
}
