//! The table in memory: entries by key, found by hash, the values of one key in order.

use std::collections::BTreeSet;
use std::collections::hash_map::{Entry as Slot, HashMap, RandomState};
use std::hash::{BuildHasher, Hasher};

use super::build::entry_of;
use super::format::Entry;

/// A set of entries. Most keys have one value; one with many keeps them sorted.
#[derive(Debug)]
pub(super) struct Table {
    values: HashMap<[u8; 16], Values, Hashing>,
    len: usize,
}

#[derive(Debug)]
enum Values {
    One([u8; 16]),
    #[expect(clippy::box_collection, reason = "keeps the slot of the common case small")]
    Many(Box<BTreeSet<[u8; 16]>>),
}

impl Table {
    pub(super) fn new() -> Self {
        Self { values: HashMap::with_hasher(Hashing(RandomState::new().hash_one(0_u64))), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, key: [u8; 16], value: [u8; 16]) {
        let new = match self.values.entry(key) {
            Slot::Vacant(slot) => {
                slot.insert(Values::One(value));
                true
            }
            Slot::Occupied(mut slot) => match slot.get_mut() {
                Values::One(held) if *held == value => false,
                Values::One(held) => {
                    let both = BTreeSet::from([*held, value]);
                    slot.insert(Values::Many(Box::new(both)));
                    true
                }
                Values::Many(held) => held.insert(value),
            },
        };
        self.len += usize::from(new);
    }

    pub(super) fn remove(&mut self, key: &[u8; 16], value: &[u8; 16]) -> bool {
        let removed = match self.values.get_mut(key) {
            Some(Values::One(held)) if held == value => {
                self.values.remove(key);
                true
            }
            Some(Values::Many(held)) => {
                let removed = held.remove(value);
                if held.is_empty() {
                    self.values.remove(key);
                }
                removed
            }
            _ => false,
        };
        self.len -= usize::from(removed);
        removed
    }

    /// Takes the values of a key out of which `goes` says so; how many there were.
    pub(super) fn forget(&mut self, key: &[u8; 16], goes: &dyn Fn(&[u8; 16], &[u8; 16]) -> bool) -> usize {
        let mut values = Vec::new();
        self.back(key, None, usize::MAX, &mut values);
        values.iter().filter(|value| goes(key, value) && self.remove(key, value)).count()
    }

    /// The largest value of a key.
    pub(super) fn get(&self, key: &[u8; 16]) -> Option<[u8; 16]> {
        match self.values.get(key)? {
            Values::One(value) => Some(*value),
            Values::Many(values) => values.last().copied(),
        }
    }

    /// Adds at most `limit` values of a key to `out`, from the largest below `before` down.
    pub(super) fn back(
        &self,
        key: &[u8; 16],
        before: Option<[u8; 16]>,
        limit: usize,
        out: &mut Vec<[u8; 16]>,
    ) {
        let below = |value: &&[u8; 16]| before.is_none_or(|before| **value < before);
        match self.values.get(key) {
            None => {}
            Some(Values::One(value)) => out.extend(Some(value).filter(below).into_iter().take(limit)),
            Some(Values::Many(values)) => match before {
                Some(before) => out.extend(values.range(..before).rev().take(limit)),
                None => out.extend(values.iter().rev().take(limit)),
            },
        }
    }

    /// All entries, sorted.
    pub(super) fn sorted(&self) -> Vec<Entry> {
        let mut entries = Vec::with_capacity(self.len);
        for (key, values) in &self.values {
            match values {
                Values::One(value) => entries.push(entry_of(key, value)),
                Values::Many(values) => entries.extend(values.iter().map(|value| entry_of(key, value))),
            }
        }
        entries.sort_unstable();
        entries
    }
}

/// A cheap hash: keys are digests already; the seed keeps others from choosing collisions.
#[derive(Debug, Clone)]
struct Hashing(u64);

impl BuildHasher for Hashing {
    type Hasher = Folding;

    fn build_hasher(&self) -> Folding {
        Folding(self.0)
    }
}

struct Folding(u64);

impl Hasher for Folding {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut number = [0; 8];
            number[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(number));
        }
    }

    fn write_u64(&mut self, number: u64) {
        let product = u128::from(self.0 ^ number) * 0x9e37_79b9_7f4a_7c15_u128;
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }

    fn write_usize(&mut self, _: usize) {
        // The length of a key is always the same.
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
