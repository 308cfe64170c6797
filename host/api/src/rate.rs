//! Token buckets: what one key may send a second, and how much of a tenant may be changed.
//!
//! Each key has three: requests, events, and bytes of bodies after decompression. Each tenant has one, of changes:
//! a change costs syncs of several files and, of a plugin, a compiler and a trial, so that who makes them without end would
//! be felt by every other tenant. A bucket holds [`Rates::burst_seconds`]
//! worth of its rate and begins full. What a request asks for is taken from all buckets or from none. A request that is
//! larger than a whole bucket passes when the bucket is full and leaves a debt, so that no request waits for ever.
//! Pure but for the clock, which is an argument; the arithmetic is in whole billionths of a token, without rounding.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

use cdp_domain::ids::{KeyId, TenantNo};
use parking_lot::Mutex;

use crate::error::{Answer, Code, Failure};

/// Billionths in one token: a bucket of rate 1/s gains one of them a nanosecond.
const UNIT: i128 = 1_000_000_000;
/// Keys whose buckets are kept before those that are full again are looked for and forgotten.
const SWEEP_FROM: usize = 1024;

/// How much one key may send, and one tenant change. A rate of 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Requests a second.
    pub requests_per_second: u64,
    /// Events a second, counted when a body is read, whatever comes of them.
    pub events_per_second: u64,
    /// Bytes of bodies a second, after decompression.
    pub bytes_per_second: u64,
    /// Acts about a tenant a second: calls that change something and need the scope `admin` or `export`, and forms of the
    /// console that change something.
    pub changes_per_second: u64,
    /// Seconds of its rate that a bucket holds. At least 1.
    pub burst_seconds: u64,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            requests_per_second: 20_000,
            events_per_second: 500_000,
            bytes_per_second: 256 << 20,
            changes_per_second: 20,
            burst_seconds: 2,
        }
    }
}

impl Rates {
    /// No limits.
    pub const NONE: Self = Self {
        requests_per_second: 0,
        events_per_second: 0,
        bytes_per_second: 0,
        changes_per_second: 0,
        burst_seconds: 1,
    };

    fn of(&self, budget: Budget) -> u64 {
        match budget {
            Budget::Requests => self.requests_per_second,
            Budget::Events => self.events_per_second,
            Budget::Bytes => self.bytes_per_second,
            Budget::Changes => self.changes_per_second,
        }
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// Requests.
    Requests,
    /// Events.
    Events,
    /// Bytes of bodies.
    Bytes,
    /// Changes of a tenant.
    Changes,
}

impl Budget {
    const ALL: [Self; 4] = [Self::Requests, Self::Events, Self::Bytes, Self::Changes];

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Events => "events",
            Self::Bytes => "bytes",
            Self::Changes => "changes",
        }
    }
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Requests: 1, or 0 when more is asked for a request that was let in already.
    pub requests: u64,
    /// Events.
    pub events: u64,
    /// Bytes.
    pub bytes: u64,
    /// Changes.
    pub changes: u64,
}

impl Wanted {
    fn of(&self, budget: Budget) -> u64 {
        match budget {
            Budget::Requests => self.requests,
            Budget::Events => self.events,
            Budget::Bytes => self.bytes,
            Budget::Changes => self.changes,
        }
    }
}

/// Which budget is used up, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted {
    /// The one that takes longest.
    pub budget: Budget,
    /// Whole seconds until the same request passes, if nothing else is sent. At least 1.
    pub seconds: u64,
}

/// The buckets of one key, or of one tenant.
#[derive(Debug, Clone)]
struct Buckets {
    /// Billionths of tokens, by budget; below zero is debt.
    levels: [i128; 4],
    /// Nanoseconds since the beginning up to which the levels were filled.
    filled_at: u64,
}

impl Buckets {
    fn full(rates: &Rates, now_ns: u64) -> Self {
        Self { levels: Budget::ALL.map(|budget| capacity(rates, budget)), filled_at: now_ns }
    }

    fn fill(&mut self, rates: &Rates, now_ns: u64) {
        // Threads ask in any order: time that went back a little gives nothing and takes nothing.
        let passed = now_ns.saturating_sub(self.filled_at);
        self.filled_at = self.filled_at.max(now_ns);
        for (level, budget) in self.levels.iter_mut().zip(Budget::ALL) {
            *level =
                (*level + i128::from(passed) * i128::from(rates.of(budget))).min(capacity(rates, budget));
        }
    }

    fn take(&mut self, rates: &Rates, wanted: Wanted, now_ns: u64) -> Result<(), Exhausted> {
        self.fill(rates, now_ns);
        let mut worst: Option<Exhausted> = None;
        for (level, budget) in self.levels.iter().zip(Budget::ALL) {
            let (rate, wanted) = (i128::from(rates.of(budget)), i128::from(wanted.of(budget)) * UNIT);
            let missing = wanted.min(capacity(rates, budget)) - level;
            if rate == 0 || wanted == 0 || missing <= 0 {
                continue;
            }
            let seconds = u64::try_from((missing + rate * UNIT - 1) / (rate * UNIT)).unwrap_or(u64::MAX);
            if worst.is_none_or(|worst| worst.seconds < seconds) {
                worst = Some(Exhausted { budget, seconds });
            }
        }
        if let Some(worst) = worst {
            return Err(worst);
        }
        for (level, budget) in self.levels.iter_mut().zip(Budget::ALL) {
            if rates.of(budget) > 0 {
                *level -= i128::from(wanted.of(budget)) * UNIT;
            }
        }
        Ok(())
    }

    fn is_full(&self, rates: &Rates) -> bool {
        self.levels.iter().zip(Budget::ALL).all(|(level, budget)| *level >= capacity(rates, budget))
    }
}

fn capacity(rates: &Rates, budget: Budget) -> i128 {
    i128::from(rates.of(budget)) * i128::from(rates.burst_seconds.max(1)) * UNIT
}

/// The buckets of all keys and tenants.
pub(crate) struct Limiter {
    rates: Rates,
    began: Instant,
    keys: Mutex<Table<KeyId>>,
    tenants: Mutex<Table<TenantNo>>,
}

struct Table<K> {
    buckets: HashMap<K, Buckets>,
    sweep_at: usize,
}

impl Limiter {
    pub(crate) fn new(rates: Rates) -> Self {
        Self {
            rates,
            began: Instant::now(),
            keys: Mutex::new(Table::default()),
            tenants: Mutex::new(Table::default()),
        }
    }

    /// Takes what a request of a key asks for.
    ///
    /// # Errors
    /// 429 that names the budget and the seconds to wait; nothing was taken then.
    pub(crate) fn take(&self, key: KeyId, wanted: Wanted) -> Answer<()> {
        self.take_of(&self.keys, key, wanted)
    }

    /// Takes one change of a tenant.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub(crate) fn take_change(&self, tenant: TenantNo) -> Answer<()> {
        self.take_of(&self.tenants, tenant, Wanted { changes: 1, ..Wanted::default() })
    }

    fn take_of<K: Copy + Eq + Hash>(&self, table: &Mutex<Table<K>>, whose: K, wanted: Wanted) -> Answer<()> {
        if !Budget::ALL.into_iter().any(|budget| self.rates.of(budget) > 0 && wanted.of(budget) > 0) {
            return Ok(());
        }
        let now_ns = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let taken = table.lock().take(&self.rates, whose, wanted, now_ns);
        taken.map_err(|exhausted| self.refuse(exhausted))
    }

    fn refuse(&self, Exhausted { budget, seconds }: Exhausted) -> Failure {
        let (word, rate) = (budget.as_str(), self.rates.of(budget));
        let failure = Failure::new(
            Code::RateLimited,
            match budget {
                Budget::Changes => {
                    format!("more than {rate} changes a second are made of the tenant; wait {seconds} s")
                }
                _ => format!("the key sends more than its {rate} {word} a second; wait {seconds} s"),
            },
        );
        let retry_after = Some(u32::try_from(seconds).unwrap_or(u32::MAX));
        Failure { retry_after, ..failure }.with("budget", word).with("limit_per_second", rate)
    }
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self { buckets: HashMap::new(), sweep_at: SWEEP_FROM }
    }
}

impl<K: Copy + Eq + Hash> Table<K> {
    fn take(&mut self, rates: &Rates, key: K, wanted: Wanted, now_ns: u64) -> Result<(), Exhausted> {
        if self.buckets.len() >= self.sweep_at && !self.buckets.contains_key(&key) {
            // A full bucket says no more than none does.
            self.buckets.retain(|_, buckets| {
                buckets.fill(rates, now_ns);
                !buckets.is_full(rates)
            });
            self.sweep_at = SWEEP_FROM.max(self.buckets.len() * 2);
        }
        let buckets = self.buckets.entry(key).or_insert_with(|| Buckets::full(rates, now_ns));
        buckets.take(rates, wanted, now_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn rates(requests: u64, events: u64, bytes: u64) -> Rates {
        Rates {
            requests_per_second: requests,
            events_per_second: events,
            bytes_per_second: bytes,
            changes_per_second: 0,
            burst_seconds: 2,
        }
    }

    fn requests(n: u64) -> Wanted {
        Wanted { requests: n, ..Wanted::default() }
    }

    #[test]
    fn a_burst_passes_at_n_and_is_refused_at_n_plus_1() {
        let rates = rates(5, 0, 0);
        let mut buckets = Buckets::full(&rates, 0);
        for _ in 0..10 {
            buckets.take(&rates, requests(1), 0).unwrap();
        }
        let refused = Exhausted { budget: Budget::Requests, seconds: 1 };
        assert_eq!(buckets.take(&rates, requests(1), 0), Err(refused));
        assert_eq!(buckets.take(&rates, requests(1), SECOND / 5 - 1), Err(refused), "a nanosecond too soon");
        assert_eq!(buckets.take(&rates, requests(1), SECOND / 5), Ok(()));
        assert_eq!(buckets.take(&rates, requests(1), SECOND / 5), Err(refused));
    }

    #[test]
    fn the_wait_is_the_whole_seconds_after_which_the_same_request_passes() {
        let rates = rates(0, 100, 0);
        let mut buckets = Buckets::full(&rates, 0);
        let events = |events| Wanted { events, ..Wanted::default() };
        buckets.take(&rates, events(200), 0).unwrap();
        for (wanted, seconds) in [(1, 1), (100, 1), (101, 2), (200, 2)] {
            let told = buckets.clone().take(&rates, events(wanted), 0).unwrap_err();
            assert_eq!(told.seconds, seconds, "{wanted}");
            assert!(buckets.clone().take(&rates, events(wanted), seconds * SECOND).is_ok());
            if seconds > 1 {
                assert!(buckets.clone().take(&rates, events(wanted), (seconds - 1) * SECOND).is_err());
            }
        }
    }

    #[test]
    fn what_is_larger_than_a_bucket_passes_when_it_is_full_and_leaves_a_debt() {
        let rates = rates(0, 0, 10);
        let mut buckets = Buckets::full(&rates, 0);
        let bytes = |bytes| Wanted { bytes, ..Wanted::default() };
        buckets.take(&rates, bytes(50), 0).unwrap();
        let told = buckets.take(&rates, bytes(1), 0).unwrap_err();
        assert_eq!((told.budget, told.seconds), (Budget::Bytes, 4), "30 of debt and the one, at 10 a second");
        assert!(buckets.take(&rates, bytes(50), 4 * SECOND).is_err());
        assert!(buckets.take(&rates, bytes(50), 5 * SECOND).is_ok());
    }

    #[test]
    fn all_budgets_are_taken_from_or_none_and_the_longest_wait_is_told() {
        let rates = rates(10, 1, 1);
        let mut buckets = Buckets::full(&rates, 0);
        let both = Wanted { requests: 1, events: 2, bytes: 2, changes: 0 };
        buckets.take(&rates, both, 0).unwrap();
        let more = Wanted { requests: 1, events: 1, bytes: 2, changes: 0 };
        assert_eq!(buckets.take(&rates, more, 0), Err(Exhausted { budget: Budget::Bytes, seconds: 2 }));
        assert_eq!(buckets.levels[0], 19 * UNIT, "the refused request took nothing");
    }

    #[test]
    fn keys_do_not_share_and_full_buckets_are_forgotten() {
        let rates = rates(1, 0, 0);
        let mut keys = Table { buckets: HashMap::new(), sweep_at: 2 };
        let key = |n: u8| KeyId([n; 16]);
        keys.take(&rates, key(1), requests(2), 0).unwrap();
        assert!(keys.take(&rates, key(1), requests(1), 0).is_err());
        keys.take(&rates, key(2), requests(2), SECOND).unwrap();
        keys.take(&rates, key(3), requests(1), 2 * SECOND).unwrap();
        assert_eq!(keys.buckets.len(), 2, "the first is full again and went, the second is not");
    }

    #[test]
    fn without_limits_nothing_is_counted() {
        let limiter = Limiter::new(Rates::NONE);
        let much = Wanted { requests: 1 << 60, events: 1 << 60, bytes: 1 << 60, changes: 1 << 60 };
        limiter.take(KeyId([1; 16]), much).unwrap();
        limiter.take(KeyId([1; 16]), much).unwrap();
        assert!(limiter.keys.lock().buckets.is_empty());
    }

    proptest! {
        /// In any time no more passes than the burst and what the rate gave meanwhile.
        #[test]
        fn no_more_passes_than_burst_and_rate_give(
            rate in 1_u64..50,
            steps in proptest::collection::vec((0_u64..SECOND, 1_u64..20), 1..60),
        ) {
            let rates = rates(rate, 0, 0);
            let mut buckets = Buckets::full(&rates, 0);
            let (mut now, mut passed) = (0, 0);
            for (wait, wanted) in steps {
                now += wait;
                // Larger than the bucket is another rule.
                let wanted = wanted.min(rate * 2);
                if buckets.take(&rates, requests(wanted), now).is_ok() {
                    passed += u128::from(wanted);
                }
                let given = u128::from(rate * 2) * u128::from(SECOND) + u128::from(now) * u128::from(rate);
                prop_assert!(passed * u128::from(SECOND) <= given);
            }
        }
    }
}
