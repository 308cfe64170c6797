//! Chains that are written, read, torn, changed, and made again.

use std::path::Path;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use super::*;
use crate::Error;
use crate::seal::{Digests, KeyRing, MasterKey};
use cdp_domain::ids::TenantNo;
use cdp_domain::time::Timestamp;

const TENANT: TenantNo = TenantNo(3);

fn master() -> MasterKey {
    MasterKey::from_bytes([5; 32])
}

fn digests() -> Digests {
    Digests::new(&master(), TENANT, "cdp test chain")
}

fn ring(dir: &Path) -> KeyRing {
    let path = dir.join("keys");
    KeyRing::open(&path, &master(), TENANT, !path.exists()).unwrap()
}

fn new(n: u64) -> New {
    let mut key_ref = [0; 16];
    key_ref[..8].copy_from_slice(&n.to_be_bytes());
    let content = format!("entry {n} of somebody@example.com").into_bytes();
    New { at: Timestamp(n as i64), place: Some((8 * n, 0)), key_ref, content }
}

fn filled(dir: &Path, count: u64) -> KeyRing {
    let keys = ring(dir);
    let chain = Chain::open(&dir.join("c"), TENANT, digests()).unwrap();
    let all: Vec<_> = (1..=count).map(new).collect();
    for part in all.chunks(7) {
        assert_eq!(chain.append(&keys, part).unwrap(), part.len() as u64);
    }
    keys
}

fn check(dir: &Path, keys: &KeyRing) -> std::result::Result<Verified, Broken> {
    verify(&dir.join("c"), TENANT, &digests(), Some(keys)).unwrap()
}

#[test]
fn what_was_appended_is_read_back_and_nothing_is_appended_twice() {
    let dir = tempfile::tempdir().unwrap();
    let keys = filled(dir.path(), 20);
    let chain = Chain::open(&dir.path().join("c"), TENANT, digests()).unwrap();
    assert_eq!(chain.append(&keys, &[new(19), new(20), new(21)]).unwrap(), 1);
    let (first, next) = chain.read(0, 5).unwrap();
    let (rest, end) = chain.read(next, 100).unwrap();
    assert_eq!((first.len(), rest.len(), rest[15].n), (5, 16, 21));
    assert!(chain.read(end, 1).unwrap().0.is_empty());
    assert_eq!(rest[0].open(&keys, TENANT).unwrap().content, new(6).content);
    assert_eq!(check(dir.path(), &keys).unwrap().entries, 21);
    let text = std::fs::read_to_string(dir.path().join("c/entries")).unwrap();
    assert!(!text.contains("somebody"));
}

#[test]
fn the_newest_are_read_from_the_end_however_long_the_chain_is() {
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::open(&dir.path().join("c"), TENANT, digests()).unwrap();
    assert!(chain.newest(3).unwrap().is_empty());
    // Longer than what is read at first.
    let keys = filled(dir.path(), 400);
    let chain = Chain::open(&dir.path().join("c"), TENANT, digests()).unwrap();
    let all = chain.read(0, usize::MAX).unwrap().0;
    assert!(std::fs::metadata(dir.path().join("c/entries")).unwrap().len() > 1 << 16);
    for limit in [0, 1, 2, 150, 399, 400, 401, usize::MAX] {
        let newest = chain.newest(limit).unwrap();
        let numbers: Vec<_> = newest.iter().map(|entry| entry.n).collect();
        let wanted: Vec<_> = all.iter().skip(400_usize.saturating_sub(limit)).map(|entry| entry.n).collect();
        assert_eq!(numbers, wanted, "{limit}");
    }
    assert_eq!(chain.newest(1).unwrap()[0].open(&keys, TENANT).unwrap().content, new(400).content);
}

#[test]
fn what_an_entry_says_can_be_erased_and_the_chain_still_stands() {
    let dir = tempfile::tempdir().unwrap();
    let keys = filled(dir.path(), 9);
    keys.destroy(&[new(4).key_ref], 1).unwrap();
    assert_eq!(check(dir.path(), &keys).map(|v| (v.entries, v.erased)), Ok((9, 1)));
    let chain = Chain::open(&dir.path().join("c"), TENANT, digests()).unwrap();
    let entries = chain.read(0, 9).unwrap().0;
    assert!(matches!(entries[3].open(&keys, TENANT), Err(Error::KeyDestroyed)));
    assert!(entries[4].open(&keys, TENANT).is_ok());
    let again = New { place: Some((100, 0)), ..new(4) };
    assert_eq!(chain.append(&keys, &[again]).unwrap(), 0);
}

#[test]
fn a_line_torn_by_a_crash_is_cut_and_a_missing_end_is_not_taken_for_one() {
    let dir = tempfile::tempdir().unwrap();
    let keys = filled(dir.path(), 3);
    let path = dir.path().join("c/entries");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&whole[..], b"1 4 half"].concat()).unwrap();
    drop(Chain::open(&dir.path().join("c"), TENANT, digests()).unwrap());
    assert_eq!(std::fs::read(&path).unwrap(), whole);
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let opened = Chain::open(&dir.path().join("c"), TENANT, digests());
    assert!(matches!(opened, Err(Error::Damaged { .. })));
    drop(keys);
}

#[test]
fn an_entry_that_a_crash_left_without_its_head_counts() {
    let dir = tempfile::tempdir().unwrap();
    let keys = filled(dir.path(), 3);
    let head = dir.path().join("c/head");
    let old = std::fs::read(&head).unwrap();
    let chain = Chain::open(&dir.path().join("c"), TENANT, digests()).unwrap();
    chain.append(&keys, &[new(4)]).unwrap();
    drop(chain);
    std::fs::write(&head, old).unwrap();
    assert_eq!(check(dir.path(), &keys).unwrap_err().line, 4);
    drop(Chain::open(&dir.path().join("c"), TENANT, digests()).unwrap());
    assert_eq!(check(dir.path(), &keys).unwrap().entries, 4);
}

/// A thousand changes of any kind; the first line that each one touches is the one that is named.
#[test]
fn every_change_is_found_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let keys = filled(dir.path(), 40);
    let path = dir.path().join("c/entries");
    let whole = std::fs::read(&path).unwrap();
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = (0_u8..5, 0_usize..40, 0_usize..40, any::<u32>(), 1_u8..=255);
    let mut done = 0;
    while done < 1000 {
        let (kind, a, b, at, with) = strategy.new_tree(&mut runner).unwrap().current();
        let mut changed: Vec<Vec<u8>> = lines.iter().map(|line| line.to_vec()).collect();
        let expected = match kind {
            0 => {
                let at = at as usize % changed[a].len();
                changed[a][at] ^= with;
                a
            }
            1 => {
                changed.remove(a);
                a
            }
            2 if a != b => {
                changed.swap(a, b);
                a.min(b)
            }
            3 => {
                changed.truncate(a);
                a
            }
            4 => {
                let at = at as usize % changed[a].len();
                changed[a].truncate(at);
                changed.truncate(a + 1);
                a
            }
            _ => continue,
        };
        std::fs::write(&path, changed.concat()).unwrap();
        let broken = check(dir.path(), &keys).expect_err("every change is found");
        assert_eq!(broken.line, expected as u64 + 1, "change {kind} at {a} and {b}: {broken:?}");
        done += 1;
    }
}
