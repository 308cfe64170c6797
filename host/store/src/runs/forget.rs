//! Taking entries out of a set of runs for good: run files are written anew without them.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::build::{Builder, key_of, value_of};
use super::run::{Run, Stream};
use super::set::{Frontier, RunSet};
use crate::{Error, Result};

impl RunSet {
    /// Forgets the values of these keys of which `goes` (key, value) says so, in memory and in run files; how many there
    /// were. Durable when it returns.
    ///
    /// A run that holds one of them is written anew under its name. Readers go on with the old one until then; the thread
    /// that writes and merges runs waits. To be called by who inserts, while nothing is inserted.
    ///
    /// # Errors
    /// [`Error::Overloaded`] while tables wait to become durable: try again; [`Error::Damaged`]; [`Error::Io`]. Then some
    /// may be forgotten: call it again.
    pub fn forget(
        &self,
        keys: &HashSet<[u8; 16]>,
        goes: &dyn Fn(&[u8; 16], &[u8; 16]) -> bool,
        frontier: Frontier,
    ) -> Result<u64> {
        // Tables that were frozen are shared with the background thread: let them become runs first.
        self.rotate_if_full(frontier);
        self.wait_idle();
        let shared = self.shared();
        {
            let mut working = shared.working.lock();
            while working.running {
                shared.idle.wait(&mut working);
            }
            if shared.closing.load(Ordering::Acquire) {
                return Err(Error::Closed);
            }
            working.running = true;
        }
        let _ended = Ended(shared);
        let mut forgotten = 0;
        let runs = {
            let mut tables = shared.tables.write();
            if !tables.frozen.is_empty() {
                return Err(Error::Overloaded { pending_bytes: 0, bytes_max: 0 });
            }
            forgotten += tables.forget_active(keys, goes);
            tables.runs.to_vec()
        };
        let mut after = Vec::with_capacity(runs.len());
        for run in runs {
            if !holds(&run, keys, goes)? {
                after.push(run);
                continue;
            }
            let mut builder = Builder::create(&run.path, shared.options.partition_max)?;
            let mut stream = Stream::new(&run);
            while let Some(entry) = stream.next()? {
                let (key, value) = (key_of(&entry), value_of(&entry));
                if keys.contains(&key) && goes(&key, &value) {
                    forgotten += 1;
                } else {
                    builder.push(&entry)?;
                }
            }
            let header = &run.header;
            builder.finish(header.level, header.covered, (header.first, header.last))?;
            after.push(Arc::new(Run::open(&run.path, false)?));
        }
        shared.tables.write().runs = Arc::new(after);
        Ok(forgotten)
    }
}

fn holds(run: &Run, keys: &HashSet<[u8; 16]>, goes: &dyn Fn(&[u8; 16], &[u8; 16]) -> bool) -> Result<bool> {
    for key in keys.iter().filter(|key| run.may_hold(key)) {
        let mut values = run.back(key, None)?;
        while let Some(value) = values.next()? {
            if goes(key, &value) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Lets the background thread work again.
struct Ended<'a>(&'a super::set::Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.working.lock().running = false;
        self.0.idle.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Options;
    use super::*;
    use cdp_domain::ids::Position;

    fn key(n: u64) -> [u8; 16] {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes());
        key
    }

    #[test]
    fn forgotten_keys_are_nowhere_also_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { memtable_max: 100, fanout: 4, partition_max: 64, verify: true };
        let set = RunSet::open(dir.path(), options.clone()).unwrap();
        let at = |n: u64| Frontier { inserted: Position(n), durable: Position(n) };
        for n in 0..1050_u64 {
            set.insert(key(n % 350), [n as u8; 16]);
            set.rotate_if_full(at(n + 1));
            set.wait_idle();
        }
        assert!(set.recent_len() > 0, "some are in memory");
        let gone: HashSet<_> = (0..350).filter(|n| n % 7 == 0).map(key).collect();
        let before = set.len();
        assert_eq!(set.forget(&gone, &|_, _| true, at(1050)).unwrap(), 150);
        let again = set.forget(&gone, &|_, _| true, at(1050)).unwrap();
        assert_eq!((set.len(), again), (before - 150, 0));
        for set in [set, RunSet::open(dir.path(), options).unwrap()] {
            for n in 0..350 {
                let values = set.scan_back(&key(n), None, 10).unwrap();
                assert!(if gone.contains(&key(n)) { values.is_empty() } else { values.len() <= 3 });
            }
            assert_eq!(set.covered(), set.covered());
        }
    }

    #[test]
    fn single_values_of_a_key_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { memtable_max: 8, fanout: 4, partition_max: 64, verify: true };
        let set = RunSet::open(dir.path(), options).unwrap();
        let at = |n: u64| Frontier { inserted: Position(n), durable: Position(n) };
        for n in 0..60_u8 {
            set.insert(key(u64::from(n % 3)), [n; 16]);
            set.rotate_if_full(at(u64::from(n) + 1));
            set.wait_idle();
        }
        let keys = HashSet::from([key(0), key(1)]);
        let odd = |of: &[u8; 16], value: &[u8; 16]| *of != key(1) && value[0] % 2 == 1;
        assert_eq!(set.forget(&keys, &odd, at(60)).unwrap(), 10);
        let left = |n| set.scan_back(&key(n), None, 100).unwrap();
        assert_eq!((left(0).len(), left(1).len(), left(2).len()), (10, 20, 20));
        assert!(left(0).iter().all(|value| value[0] % 2 == 0));
    }

    #[test]
    fn a_run_may_become_empty() {
        let dir = tempfile::tempdir().unwrap();
        let set = RunSet::open(dir.path(), Options::default()).unwrap();
        set.insert(key(1), [1; 16]);
        let at = Frontier { inserted: Position(9), durable: Position(9) };
        assert_eq!(set.persist(at), Position(9));
        assert_eq!(set.forget(&HashSet::from([key(1)]), &|_, _| true, at).unwrap(), 1);
        drop(set);
        let set = RunSet::open(dir.path(), Options::default()).unwrap();
        assert_eq!((set.covered(), set.len(), set.get(&key(1)).unwrap()), (Position(9), 0, None));
    }
}
