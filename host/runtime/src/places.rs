//! Who runs next: a bounded number of runs at once, and whoever used least lately goes first.
//!
//! A guest that burns all its fuel each time waits behind those that need little, so a noisy tenant delays a quiet one
//! by the rest of one run at most. Waiting ends: a run is bounded by its fuel.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Fuel that a guest used lately; half of it is forgotten each second.
#[derive(Debug)]
pub(crate) struct Attained(Mutex<(f64, Instant)>);

/// How fast use is forgotten.
const HALF_LIFE: Duration = Duration::from_secs(1);

impl Attained {
    pub(crate) fn new() -> Self {
        Self(Mutex::new((0.0, Instant::now())))
    }

    /// Adds fuel to what is left of the rest, and gives the sum.
    pub(crate) fn add(&self, fuel: u64) -> u64 {
        let mut at = locked(&self.0);
        let now = Instant::now();
        let age = now.duration_since(at.1).as_secs_f64() / HALF_LIFE.as_secs_f64();
        *at = (at.0 * (-age).exp2() + fuel as f64, now);
        at.0 as u64
    }
}

/// The places for runs.
#[derive(Debug)]
pub(crate) struct Places {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug)]
struct Inner {
    free: usize,
    tickets: u64,
    /// By use, then by time of arrival.
    waiting: BTreeSet<(u64, u64)>,
}

impl Places {
    pub(crate) fn new(count: usize) -> Self {
        let inner = Inner { free: count, tickets: 0, waiting: BTreeSet::new() };
        Self { inner: Mutex::new(inner), changed: Condvar::new() }
    }

    /// Waits for a place. Frees it when dropped.
    pub(crate) fn take(&self, attained: u64) -> Place<'_> {
        let mut inner = locked(&self.inner);
        if inner.free == 0 || !inner.waiting.is_empty() {
            let ticket = (attained, inner.tickets);
            inner.tickets += 1;
            inner.waiting.insert(ticket);
            while inner.free == 0 || inner.waiting.first() != Some(&ticket) {
                inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
            }
            inner.waiting.remove(&ticket);
        }
        inner.free -= 1;
        // Another place may be free for the next in line.
        if inner.free > 0 && !inner.waiting.is_empty() {
            self.changed.notify_all();
        }
        Place(self)
    }
}

/// A place that is taken.
#[derive(Debug)]
pub(crate) struct Place<'a>(&'a Places);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        locked(&self.0.inner).free += 1;
        self.0.changed.notify_all();
    }
}

/// Locks; what a panic left behind is as good as before it, for every value locked here is whole at each step.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn whoever_used_least_goes_first() {
        let places = Places::new(1);
        let (tell, order) = mpsc::channel();
        std::thread::scope(|scope| {
            let held = places.take(0);
            for used in [900, 5, 300] {
                let (places, tell) = (&places, tell.clone());
                scope.spawn(move || {
                    let _place = places.take(used);
                    tell.send(used).unwrap();
                });
            }
            while locked(&places.inner).waiting.len() < 3 {
                std::thread::yield_now();
            }
            drop(held);
        });
        assert_eq!(order.try_iter().collect::<Vec<_>>(), [5, 300, 900]);
        assert_eq!(locked(&places.inner).free, 1);
    }

    #[test]
    fn use_adds_up_and_is_forgotten() {
        let attained = Attained::new();
        attained.add(1_000);
        assert!(attained.add(1_000) > 1_500);
        locked(&attained.0).1 -= Duration::from_secs(20);
        assert!(attained.add(0) < 10);
    }
}
