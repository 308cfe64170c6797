//! How many connections there may be: to one destination, to one host, and in all.
//!
//! A destination that hangs fills its own places and nobody else's. Who finds none waits a little
//! ([`PLACE_WAIT_MAX`](crate::PLACE_WAIT_MAX)) and is told to come again.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::fault::{Fault, Why};

/// Requests to one destination that are under way at once.
pub const PER_DESTINATION_MAX: usize = 6;
/// Requests to one host and port that are under way at once, whoever sends them.
pub const PER_HOST_MAX: usize = 24;
/// Requests of this machine that are under way at once.
pub const IN_ALL_MAX: usize = 256;
/// How long a request waits for a place.
pub const PLACE_WAIT_MAX: Duration = Duration::from_secs(5);

/// Semaphores that nobody holds are thrown away when there are so many.
const KEPT: usize = 1_024;

#[derive(Debug)]
pub(crate) struct Places {
    all: Arc<Semaphore>,
    named: Mutex<HashMap<String, Weak<Semaphore>>>,
    wait: Duration,
}

/// The right to one connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permits: [OwnedSemaphorePermit; 3],
}

impl Places {
    /// Who finds no place waits so long.
    pub(crate) fn new(wait: Duration) -> Self {
        Self { all: Arc::new(Semaphore::new(IN_ALL_MAX)), named: Mutex::default(), wait }
    }

    fn named(&self, name: String, places: usize) -> Arc<Semaphore> {
        let mut named = self.named.lock();
        if let Some(found) = named.get(&name).and_then(Weak::upgrade) {
            return found;
        }
        if named.len() >= KEPT {
            named.retain(|_, semaphore| semaphore.strong_count() > 0);
        }
        let new = Arc::new(Semaphore::new(places));
        named.insert(name, Arc::downgrade(&new));
        new
    }

    /// Takes a place for a destination at an origin. The narrowest is waited for first, so that who waits holds nothing
    /// that others need.
    pub(crate) async fn take(&self, destination: &str, origin: &str) -> Result<Place, Fault> {
        let own = self.named(format!("destination {destination}"), PER_DESTINATION_MAX);
        let host = self.named(format!("host {origin}"), PER_HOST_MAX);
        let all = Arc::clone(&self.all);
        let taking = async move {
            let open = "these semaphores are never closed";
            let own = own.acquire_owned().await.expect(open);
            let host = host.acquire_owned().await.expect(open);
            let all = all.acquire_owned().await.expect(open);
            Place { _permits: [own, host, all] }
        };
        tokio::time::timeout(self.wait, taking).await.map_err(|_| {
            Fault::retry(
                Why::Busy,
                format!("as many connections to {origin} as there may be are in use already"),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_destination_has_its_places_and_one_more_waits() {
        let places = Places::new(SHORT);
        let mut held = Vec::new();
        for _ in 0..PER_DESTINATION_MAX {
            held.push(places.take("a", "https://x.example").await.unwrap());
        }
        let full = places.take("a", "https://x.example").await.unwrap_err();
        assert_eq!(full.code(), "busy");
        assert!(full.is_retryable());
        places.take("b", "https://x.example").await.unwrap();
        held.pop();
        places.take("a", "https://x.example").await.unwrap();
    }

    #[tokio::test]
    async fn a_host_has_its_places_whoever_sends() {
        let places = Places::new(SHORT);
        let mut held = Vec::new();
        for n in 0..PER_HOST_MAX {
            held.push(places.take(&format!("d{n}"), "https://x.example").await.unwrap());
        }
        assert_eq!(places.take("other", "https://x.example").await.unwrap_err().code(), "busy");
        places.take("other", "https://y.example").await.unwrap();
    }

    #[tokio::test]
    async fn there_is_a_number_of_places_in_all() {
        let places = Places::new(SHORT);
        let mut held = Vec::new();
        for n in 0..IN_ALL_MAX {
            held.push(places.take(&format!("d{n}"), &format!("https://x{n}.example")).await.unwrap());
        }
        assert_eq!(places.take("other", "https://other.example").await.unwrap_err().code(), "busy");
        drop(held);
        places.take("other", "https://other.example").await.unwrap();
    }

    #[test]
    fn what_nobody_holds_is_forgotten() {
        let places = Places::new(SHORT);
        let kept = places.named("kept".to_owned(), 1);
        for n in 0..2 * KEPT {
            drop(places.named(n.to_string(), 1));
        }
        assert!(places.named.lock().len() <= KEPT);
        assert!(Arc::ptr_eq(&kept, &places.named("kept".to_owned(), 1)));
    }
}
