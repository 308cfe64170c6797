//! A set of runs against a sorted set in memory, over rotations, merges, rollbacks and damage.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cdp_domain::ids::Position;
use proptest::prelude::*;

use super::*;

fn small() -> Options {
    Options { memtable_max: 300, fanout: 3, partition_max: 500, verify: true }
}

fn open(dir: &Path) -> RunSet {
    RunSet::open(dir, small()).unwrap()
}

fn at(position: u64) -> Frontier {
    Frontier { inserted: Position(position), durable: Position(position) }
}

/// Keys spread like digests, or all alike in their first half.
fn key(n: u64, spread: bool) -> [u8; 16] {
    let mut key = [0; 16];
    key[8..].copy_from_slice(&n.to_be_bytes());
    if spread {
        key.copy_from_slice(&blake3::hash(&n.to_le_bytes()).as_bytes()[..16]);
    }
    key
}

fn value(n: u64) -> [u8; 16] {
    let mut value = [0; 16];
    value[..8].copy_from_slice(&n.to_be_bytes());
    value
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Inserts entries `from..to`, each at its own position, rotating as it goes.
fn fill(set: &RunSet, from: u64, to: u64) {
    for n in from..to {
        set.insert(key(n, true), value(n));
        while set.rotate_if_full(at(n + 1)) == Rotation::Declined {
            set.wait_idle();
        }
    }
    set.wait_idle();
}

#[test]
fn entries_are_found_in_memory_in_runs_and_after_merges_and_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let set = open(dir.path());
    fill(&set, 0, 5000);
    let covered = set.covered();
    assert!(covered >= Position(4000));
    assert!(files(dir.path()).len() < 9, "runs were merged");
    let check = |set: &RunSet, to: u64| {
        for n in 0..to {
            assert_eq!(set.get(&key(n, true)).unwrap(), Some(value(n)), "{n}");
            assert_eq!(set.get(&key(n + 1_000_000, true)).unwrap(), None);
        }
    };
    check(&set, 5000);
    drop(set);
    let set = open(dir.path());
    assert_eq!(set.covered(), covered);
    check(&set, covered.0);
    fill(&set, covered.0, 5000);
    check(&set, 5000);
    assert_eq!(set.persist(at(5000)), Position(5000));
    drop(set);
    let set = open(dir.path());
    assert_eq!((set.covered(), set.recent_len()), (Position(5000), 0));
    check(&set, 5000);
}

#[test]
fn a_key_with_many_values_is_walked_back_over_all_places() {
    let dir = tempfile::tempdir().unwrap();
    let set = open(dir.path());
    let hot = key(7, true);
    for n in 0..4000 {
        set.insert(if n % 3 == 0 { key(n, true) } else { hot }, value(n));
        while set.rotate_if_full(at(n + 1)) == Rotation::Declined {
            set.wait_idle();
        }
    }
    let expected: Vec<_> = (0..4000).rev().filter(|n| n % 3 != 0).map(value).collect();
    let mut walked = Vec::new();
    loop {
        let page = set.scan_back(&hot, walked.last().copied(), 37).unwrap();
        if page.is_empty() {
            break;
        }
        walked.extend(page);
    }
    assert_eq!(walked, expected);
    assert_eq!(set.scan_back(&key(999_999, true), None, 5).unwrap(), [[0; 16]; 0]);
    assert_eq!(set.get(&hot).unwrap(), Some(value(3998)));
}

#[test]
fn what_is_not_durable_stays_in_memory_and_can_be_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let set = open(dir.path());
    for n in 0..300 {
        set.insert(key(n, true), value(n));
    }
    let frontier = Frontier { inserted: Position(300), durable: Position(250) };
    assert_eq!(set.rotate_if_full(frontier), Rotation::Frozen);
    set.wait_idle();
    assert_eq!(set.covered(), Position(0));
    // The journal rolls back to 250: the last fifty go, others come in their places.
    for n in 250..300 {
        assert!(set.remove_recent(&key(n, true), &value(n)));
        assert!(!set.remove_recent(&key(n, true), &value(n)));
    }
    set.roll_back_to(Position(250));
    for n in 250..300 {
        assert_eq!(set.get(&key(n, true)).unwrap(), None);
        set.insert(key(n + 1000, true), value(n));
    }
    set.rotate_if_full(at(300));
    set.wait_idle();
    assert_eq!(set.covered(), Position(250), "the new ones are not in the run that was frozen before them");
    assert!(!set.remove_recent(&key(3, true), &value(3)), "what is in a run stays");
    drop(set);
    let set = open(dir.path());
    assert_eq!(set.get(&key(249, true)).unwrap(), Some(value(249)));
    assert_eq!(set.get(&key(250, true)).unwrap(), None);
}

#[test]
fn two_frozen_tables_are_the_most() {
    let dir = tempfile::tempdir().unwrap();
    let set = open(dir.path());
    let mut outcomes = Vec::new();
    for n in 0..900 {
        set.insert(key(n, true), value(n));
        outcomes.push(set.rotate_if_full(Frontier { inserted: Position(n + 1), durable: Position(0) }));
    }
    assert_eq!(
        (outcomes[299], outcomes[599], outcomes[899]),
        (Rotation::Frozen, Rotation::Frozen, Rotation::Declined)
    );
    set.rotate_if_full(at(900));
    set.wait_idle();
    assert_eq!(set.rotate_if_full(at(900)), Rotation::Frozen);
    set.wait_idle();
    assert_eq!(set.covered(), Position(900));
}

#[test]
fn leftovers_of_crashes_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let set = open(dir.path());
    fill(&set, 0, 600);
    let inputs = files(dir.path());
    assert_eq!(inputs.len(), 2);
    let kept: Vec<_> = inputs.iter().map(|path| fs::read(path).unwrap()).collect();
    fill(&set, 600, 900);
    drop(set);
    assert_eq!(files(dir.path()).len(), 1);
    // A crash right after the merged run was named: its inputs are still there.
    for (path, bytes) in inputs.iter().zip(kept) {
        fs::write(path, bytes).unwrap();
    }
    fs::write(dir.path().join("0000000000000009-0000000000000009.run.unfinished"), b"half").unwrap();
    let set = open(dir.path());
    assert_eq!(files(dir.path()).len(), 1);
    assert_eq!((set.covered(), set.get(&key(5, true)).unwrap()), (Position(900), Some(value(5))));
}

#[test]
fn a_bad_run_makes_all_of_them_go() {
    for offset in [3, 40, 4096 + 5000, 4096 + 900 * 32 + 100] {
        let dir = tempfile::tempdir().unwrap();
        let set = open(dir.path());
        fill(&set, 0, 1500);
        drop(set);
        let path = files(dir.path())[0].clone();
        let mut bytes = fs::read(&path).unwrap();
        bytes[offset] ^= 1;
        fs::write(&path, bytes).unwrap();
        let set = open(dir.path());
        assert_eq!((set.covered(), files(dir.path()).len()), (Position(0), 0), "{offset}");
        fill(&set, 0, 1500);
        assert_eq!(set.get(&key(700, true)).unwrap(), Some(value(700)));
    }
}

#[test]
fn damage_met_while_reading_makes_the_runs_go_at_the_next_opening() {
    let dir = tempfile::tempdir().unwrap();
    let lazy = Options { verify: false, ..small() };
    let set = open(dir.path());
    fill(&set, 0, 900);
    drop(set);
    let path = files(dir.path())[0].clone();
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096 + 50] ^= 1;
    fs::write(&path, bytes).unwrap();
    let set = RunSet::open(dir.path(), lazy.clone()).unwrap();
    assert_eq!(set.covered(), Position(900));
    let found =
        (0..900).filter(|n| matches!(set.get(&key(*n, true)), Err(crate::Error::Damaged { .. }))).count();
    assert!(found > 0);
    drop(set);
    let set = RunSet::open(dir.path(), lazy).unwrap();
    assert_eq!((set.covered(), files(dir.path()).len()), (Position(0), 0));
}

#[test]
fn a_missing_run_makes_all_of_them_go() {
    let dir = tempfile::tempdir().unwrap();
    let set = open(dir.path());
    fill(&set, 0, 1500);
    drop(set);
    let files = files(dir.path());
    assert!(files.len() > 1);
    fs::remove_file(&files[0]).unwrap();
    assert_eq!(open(dir.path()).covered(), Position(0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn it_behaves_like_a_sorted_set(
        spread: bool,
        steps in proptest::collection::vec((0_u8..8, proptest::collection::vec((0_u64..40, 0_u64..5000), 0..400)), 1..16)) {
        let dir = tempfile::tempdir().unwrap();
        let mut set = open(dir.path());
        let mut model = BTreeSet::new();
        let mut log: Vec<([u8; 16], [u8; 16])> = Vec::new();
        for (what, entries) in steps {
            let entries: Vec<_> = entries.iter().map(|(k, v)| (key(k * k, spread), value(*v))).collect();
            log.extend(&entries);
            model.extend(entries.clone());
            set.insert_many(entries.clone());
            match what {
                0 => {
                    drop(set);
                    set = open(dir.path());
                    let covered = set.covered().0 as usize;
                    set.insert_many(log[covered..].to_vec());
                }
                1 => prop_assert!(set.persist(at(log.len() as u64)).0 <= log.len() as u64),
                2 => {
                    // Removing is for what was never rotated: take back something new again at once.
                    let (k, v) = (key(99, spread), value(1));
                    set.insert(k, v);
                    prop_assert!(set.remove_recent(&k, &v));
                    prop_assert_eq!(set.get(&k).unwrap(), None);
                }
                _ => drop(set.rotate_if_full(at(log.len() as u64))),
            }
            for k in (0..42).map(|k| key(k * k, spread)) {
                let all: Vec<_> = model.range((k, [0; 16])..=(k, [0xff; 16])).rev().map(|(_, v)| *v).collect();
                prop_assert_eq!(set.get(&k).unwrap().is_some(), !all.is_empty());
                prop_assert_eq!(&set.scan_back(&k, None, 10_000).unwrap(), &all);
                let from = value(2500);
                let below: Vec<_> = all.iter().copied().filter(|v| *v < from).take(7).collect();
                prop_assert_eq!(set.scan_back(&k, Some(from), 7).unwrap(), below);
            }
        }
    }
}
