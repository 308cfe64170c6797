//! Back-off on guessing: whoever is wrong too often waits, ever longer, whatever they say meanwhile.
//!
//! Failures are counted by user name (of whoever it may be) and by address, in memory. Sessions that are open are not
//! touched, so that nobody is locked out of what they are doing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Failures of one user name before anybody waits.
pub(crate) const TRIES_FREE: u32 = 5;
/// Failures from one address before it waits.
pub(crate) const ADDRESS_TRIES_FREE: u32 = 30;
/// The longest wait.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(300);
/// After so long without a failure everything is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(900);
/// Names and addresses that are remembered; of more the one that failed longest ago is forgotten.
const REMEMBERED_MAX: usize = 10_000;

/// What failures are counted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    /// The digest of a tenant's slug and a name.
    Name([u8; 16]),
    /// An address; of version 6 its network of 64 bits.
    Address(IpAddr),
}

impl Who {
    /// Somebody by name.
    pub(crate) fn name(slug: &str, name: &str) -> Self {
        let text = format!("{}\0{}", slug.trim(), name.trim().to_lowercase());
        let digest = blake3::hash(text.as_bytes());
        Self::Name(digest.as_bytes()[..16].try_into().expect("16 of 32 bytes"))
    }

    /// Somebody by address.
    pub(crate) fn address(address: IpAddr) -> Self {
        Self::Address(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(six) => IpAddr::V6((six.to_bits() >> 64 << 64).into()),
        })
    }

    fn free(&self) -> u32 {
        match self {
            Self::Name(_) => TRIES_FREE,
            Self::Address(_) => ADDRESS_TRIES_FREE,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Failed {
    count: u32,
    last: Instant,
}

/// Who failed, and how often.
#[derive(Default)]
pub(crate) struct Backoff(Mutex<HashMap<Who, Failed>>);

/// How long after its last failure somebody waits who failed so often.
fn wait(count: u32, free: u32) -> Duration {
    match count.checked_sub(free) {
        None => Duration::ZERO,
        Some(more) => Duration::from_secs(1_u64 << more.min(20)).min(WAIT_MAX),
    }
}

impl Backoff {
    /// Seconds that any of them has to wait; None when they may try.
    pub(crate) fn wait(&self, all: &[Who], now: Instant) -> Option<u32> {
        let known = self.0.lock();
        let left = all.iter().filter_map(|who| {
            let failed = known.get(who)?;
            let since = now.saturating_duration_since(failed.last);
            wait(failed.count, who.free()).checked_sub(since).filter(|left| !left.is_zero())
        });
        left.max().map(|left| u32::try_from(left.as_secs()).unwrap_or(u32::MAX).max(1))
    }

    /// Notes a failure of all of them.
    pub(crate) fn failed(&self, all: &[Who], now: Instant) {
        let mut known = self.0.lock();
        for who in all {
            if known.len() >= REMEMBERED_MAX && !known.contains_key(who) {
                known.retain(|_, failed| now.saturating_duration_since(failed.last) < FORGOTTEN_AFTER);
                let oldest = known.iter().min_by_key(|(_, failed)| failed.last).map(|(who, _)| who.clone());
                if let Some(oldest) = oldest.filter(|_| known.len() >= REMEMBERED_MAX) {
                    known.remove(&oldest);
                }
            }
            let failed = known.entry(who.clone()).or_insert(Failed { count: 0, last: now });
            let stale = now.saturating_duration_since(failed.last) >= FORGOTTEN_AFTER;
            failed.count = if stale { 1 } else { failed.count.saturating_add(1) };
            failed.last = now;
        }
    }

    /// Forgets the failures of a name: it was right.
    pub(crate) fn succeeded(&self, who: &Who) {
        self.0.lock().remove(who);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_after_the_free_tries_and_ends() {
        let backoff = Backoff::default();
        let (ana, now) = (Who::name("shop", "Ana "), Instant::now());
        assert_eq!(ana, Who::name("shop", "ana"));
        for _ in 1..TRIES_FREE {
            backoff.failed(std::slice::from_ref(&ana), now);
            assert_eq!(backoff.wait(std::slice::from_ref(&ana), now), None);
        }
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            backoff.failed(std::slice::from_ref(&ana), now);
            assert_eq!(backoff.wait(std::slice::from_ref(&ana), now), Some(seconds));
            let after = now + Duration::from_secs(u64::from(seconds));
            assert_eq!(backoff.wait(std::slice::from_ref(&ana), after), None);
        }
        backoff.succeeded(&ana);
        assert_eq!(backoff.wait(&[ana], now), None);
    }

    #[test]
    fn an_address_has_more_tries_and_its_neighbours_share_them() {
        let backoff = Backoff::default();
        let now = Instant::now();
        let six = |text: &str| Who::address(text.parse().unwrap());
        assert_eq!(six("2001:db8::1"), six("2001:db8::ffff"));
        assert_ne!(six("2001:db8::1"), six("2001:db8:0:1::1"));
        for _ in 0..ADDRESS_TRIES_FREE {
            assert_eq!(backoff.wait(&[six("2001:db8::1")], now), None);
            backoff.failed(&[six("2001:db8::1")], now);
        }
        assert_eq!(backoff.wait(&[six("2001:db8::2"), six("::1")], now), Some(1));
    }

    #[test]
    fn not_more_than_so_many_are_remembered() {
        let backoff = Backoff::default();
        let now = Instant::now();
        for n in 0..=REMEMBERED_MAX {
            backoff.failed(&[Who::name("shop", &n.to_string())], now + Duration::from_millis(n as u64));
        }
        assert_eq!(backoff.0.lock().len(), REMEMBERED_MAX);
        assert!(!backoff.0.lock().contains_key(&Who::name("shop", "0")), "the first was forgotten");
    }
}
