//! The data keys that were asked for lately, so that a customer's next event costs no walk down the tree.
//!
//! A walk is seventeen digests, and each event needs its key twice: to be sealed and to be applied.
//! Two generations take turns: what is found in the older one moves into the newer, and when that is full the older one is
//! given up whole. So what is asked for again and again stays, without a list of who came when.
//! Borrowed idea: the second chance of page replacement (Corbató, 1969), by halves.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::DataKey;

/// Keys of one generation of one part. All parts and both generations together: 131,072 keys, below 12 MiB a tenant.
const KEPT: usize = 4096;
/// Parts with a lock each, so that those who seal and who open do not wait for each other.
const PARTS: usize = 16;

/// References are keyed digests, so nobody can choose collisions of a cheap hash.
type Keys = HashMap<[u8; 16], DataKey, foldhash::fast::RandomState>;

/// Keys by reference. Grows with use.
#[derive(Default)]
pub(super) struct Lately {
    parts: [Mutex<Part>; PARTS],
}

#[derive(Default)]
struct Part {
    newer: Keys,
    older: Keys,
}

impl Part {
    fn put(&mut self, key_ref: [u8; 16], key: DataKey) {
        if self.newer.len() >= KEPT {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(key_ref, key);
    }
}

impl Lately {
    fn part(&self, key_ref: &[u8; 16]) -> &Mutex<Part> {
        &self.parts[usize::from(key_ref[15]) % PARTS]
    }

    pub(super) fn get(&self, key_ref: &[u8; 16]) -> Option<DataKey> {
        let mut part = self.part(key_ref).lock();
        if let Some(key) = part.newer.get(key_ref) {
            return Some(key.clone());
        }
        let key = part.older.remove(key_ref)?;
        part.put(*key_ref, key.clone());
        Some(key)
    }

    /// Keeps a key; only one that is not destroyed, while nothing can be destroyed.
    pub(super) fn put(&self, key_ref: &[u8; 16], key: &DataKey) {
        self.part(key_ref).lock().put(*key_ref, key.clone());
    }

    /// Wipes a key.
    pub(super) fn forget(&self, key_ref: &[u8; 16]) {
        let mut part = self.part(key_ref).lock();
        part.newer.remove(key_ref);
        part.older.remove(key_ref);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_ref(n: usize) -> [u8; 16] {
        let mut key_ref = [0; 16];
        key_ref[..8].copy_from_slice(&n.to_le_bytes());
        key_ref
    }

    fn kept(lately: &Lately) -> usize {
        let parts = lately.parts.iter().map(Mutex::lock);
        parts.map(|part| part.newer.len() + part.older.len()).sum()
    }

    #[test]
    fn two_generations_are_kept_and_what_is_asked_for_stays() {
        let lately = Lately::default();
        for n in 0..2 * KEPT {
            lately.put(&key_ref(n), &DataKey([n as u8; 32]));
        }
        assert_eq!(kept(&lately), 2 * KEPT);
        for n in 2 * KEPT..20 * KEPT {
            assert_eq!(lately.get(&key_ref(7)).unwrap().0, [7; 32]);
            lately.put(&key_ref(n), &DataKey([n as u8; 32]));
            assert!(kept(&lately) <= 2 * KEPT);
        }
        assert!(lately.get(&key_ref(8)).is_none());
    }

    #[test]
    fn what_is_forgotten_is_in_neither_generation() {
        let lately = Lately::default();
        lately.put(&key_ref(1), &DataKey([1; 32]));
        for n in 2..KEPT + 2 {
            lately.put(&key_ref(n), &DataKey([2; 32]));
        }
        for n in [1, KEPT + 1] {
            lately.forget(&key_ref(n));
            assert!(lately.get(&key_ref(n)).is_none());
        }
    }
}
