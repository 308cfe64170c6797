//! What is surely not in the store: so that a new fragment or identifier costs no look-up there.
//!
//! A reader of the store's pages pays about 3 µs to learn that a key is not there, and most keys of new customers are
//! not. The filter answers "surely not" or "perhaps". It grows by parts, each twice as large as the one before, because
//! a filter cannot be enlarged without its keys (Almeida et al., Scalable Bloom Filters, 2007).
//! Until the keys that the store already holds have been put in, every answer is "perhaps".

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cdp_store::keys::{self, KeyRange, tag};
use cdp_store::kv::Order;
use cdp_store::state::State;
use fastbloom::AtomicBloomFilter;
use foldhash::fast::FixedState;
use parking_lot::RwLock;

use crate::error::Result;

/// Keys that the first part takes.
const FIRST_PART: usize = 1 << 16;
/// Bits for each key: about 3 in 1,000 answers of a full part are a wrong "perhaps".
const BITS_PER_KEY: usize = 12;
/// Rows read from the store at a time while the filter is filled.
const PAGE: usize = 1024;

/// A set of 16-byte digests without false negatives.
pub(super) struct Known {
    parts: RwLock<Vec<Part>>,
    complete: AtomicBool,
}

struct Part {
    filter: AtomicBloomFilter<FixedState>,
    room: AtomicUsize,
}

impl Part {
    fn new(keys: usize) -> Self {
        let filter = AtomicBloomFilter::with_num_bits(keys * BITS_PER_KEY);
        Self { filter: filter.hasher(FixedState::default()).expected_items(keys), room: keys.into() }
    }
}

impl Known {
    /// Nothing is known yet: every answer is "perhaps".
    pub(super) fn new() -> Self {
        Self { parts: RwLock::new(vec![Part::new(FIRST_PART)]), complete: AtomicBool::new(false) }
    }

    /// False when no such digest was ever put in.
    pub(super) fn may_hold(&self, digest: &[u8; 16]) -> bool {
        !self.complete.load(Ordering::Acquire)
            || self.parts.read().iter().any(|part| part.filter.contains(digest))
    }

    /// Puts a digest in.
    pub(super) fn insert(&self, digest: &[u8; 16]) {
        let parts = self.parts.read();
        if parts.iter().any(|part| part.filter.contains(digest)) {
            return;
        }
        let last = parts.last().expect("there is always a part");
        last.filter.insert(digest);
        if last.room.fetch_sub(1, Ordering::Relaxed) > 1 {
            return;
        }
        let (seen, twice) = (parts.len(), (FIRST_PART << parts.len()).max(FIRST_PART));
        drop(parts);
        let mut parts = self.parts.write();
        if parts.len() == seen {
            parts.push(Part::new(twice));
        } else if let Some(last) = parts.last() {
            // Another thread made the next part meanwhile.
            last.room.fetch_max(1, Ordering::Relaxed);
        }
    }

    /// Puts in what the store holds, page by page, unless `stop` says so; afterwards answers can be "surely not".
    ///
    /// Whatever is put into the store meanwhile must be put in here as well, before it is written there.
    pub(super) fn fill(&self, state: &State, stop: impl Fn() -> bool) -> Result<()> {
        let context = state.context();
        for table in [tag::FRAGMENT, tag::IDENTIFIER] {
            let mut range: KeyRange = context.table(table);
            loop {
                let page = state.scan(&range, Order::Forward, PAGE)?;
                if stop() {
                    return Ok(());
                }
                let Some((last, _)) = page.last() else { break };
                range = range.after(last);
                for (key, _) in &page {
                    if let Some(fragment) = keys::fragment(key) {
                        self.insert(&fragment.0);
                    } else if let Some((digest, fragment)) = keys::identifier(key) {
                        self.insert(&digest);
                        self.insert(&fragment.0);
                    }
                }
            }
        }
        self.complete.store(true, Ordering::Release);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(n: u64) -> [u8; 16] {
        // Digests are spread evenly; so are these.
        let high = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut out = [0; 16];
        out[..8].copy_from_slice(&high.to_le_bytes());
        out[8..].copy_from_slice(&high.rotate_left(31).wrapping_mul(0xbf58_476d_1ce4_e5b9).to_le_bytes());
        out
    }

    #[test]
    fn nothing_is_surely_absent_before_the_store_was_read() {
        let known = Known::new();
        assert!(known.may_hold(&digest(1)));
    }

    #[test]
    fn what_was_put_in_stays_in_over_several_parts_and_hardly_anything_else_is() {
        let known = Known::new();
        known.complete.store(true, Ordering::Release);
        let n = 3 * FIRST_PART as u64 + 1000;
        (0..n).for_each(|n| known.insert(&digest(n)));
        assert!(known.parts.read().len() >= 2);
        assert!((0..n).all(|n| known.may_hold(&digest(n))));
        let wrong = (n..2 * n).filter(|n| known.may_hold(&digest(*n))).count();
        assert!(wrong * 50 < n as usize, "{wrong} wrong answers of {n}");
    }
}
