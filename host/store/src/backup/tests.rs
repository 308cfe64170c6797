//! A backup is whole, or it is found not to be.

use std::path::Path;

use cdp_domain::ids::{Position, TenantNo};

use super::*;
use crate::Error;
use crate::journal::{Draft, Header, Journal, Options};

const NO: TenantNo = TenantNo(1);

fn journal(dir: &Path) -> Journal {
    let options = Options { segment_bytes: 8 << 10, ..Options::default() };
    Journal::open(&dir.join("journal/00000001"), NO, options).unwrap()
}

fn append(journal: &Journal, n: u8) {
    let draft = Draft { header: Header { id: [n; 16], ..Header::default() }, payload: vec![n; 500] };
    journal.wait_durable_blocking(&journal.append(&[draft]).unwrap()).unwrap();
}

/// A data directory with everything that may be in one.
fn data(dir: &Path) -> Journal {
    for (path, text) in [
        ("keys/installation", "wrapped"),
        ("keys/00000001.keys", "table"),
        ("ledger/00000001/audit/entries", "one\n"),
        ("ledger/00000001/audit/head", "1"),
        ("plugins/00000001/abc.wasm", "component"),
        ("plugins/compiled/abc", "machine code"),
        ("tables/00000001/t", "rows"),
        ("exports/00000001/exp.csv", "people"),
        ("state/db", "state"),
        ("keys/00000001.keys.unfinished", "half"),
    ] {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let journal = journal(dir);
    (0..40).for_each(|n| append(&journal, n));
    journal
}

fn made(from: &Path, to: &Path, erasures: Option<&Path>) -> Made {
    create(from, to, erasures, "2026-11-26T00:00:00Z", &mut |_| {}).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = vec![dir.to_owned()];
    while let Some(at) = left.pop() {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                found.push(path.strip_prefix(dir).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_backup_of_a_journal_that_grows_holds_a_beginning_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to, back) = (dir.path().join("data"), dir.path().join("backup"), dir.path().join("back"));
    let open = data(&from);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let made = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 40;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                append(&open, n);
                n = n.wrapping_add(1);
            }
        });
        let made = made(&from, &to, None);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        made
    });
    let checked = verify(&to).unwrap();
    assert_eq!((checked.files, checked.bytes), (made.files, made.bytes));
    assert!(checked.differences.is_empty(), "{:?}", checked.differences);
    let names = names(&to);
    assert!(names.iter().any(|name| name == "keys/00000001.keys"), "{names:?}");
    for left_out in ["exports", "state", "compiled", "unfinished"] {
        assert!(!names.iter().any(|name| name.contains(left_out)), "{left_out}: {names:?}");
    }
    restore(&to, &back, None, &mut |_| {}).unwrap();
    let restored = journal(&back);
    let mut reader = restored.reader(Position(0));
    let mut records = 0;
    while let Some(record) = reader.next().unwrap() {
        assert_eq!(record.payload, vec![(records % 256) as u8; 500]);
        records += 1;
    }
    assert!(records >= 40, "{records} records: all that were there when it began");
    append(&restored, 0);
}

#[test]
fn every_flipped_byte_and_every_missing_or_added_file_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("data"), dir.path().join("backup"));
    drop(data(&from));
    made(&from, &to, None);
    let whole = |path: &Path| match verify(path) {
        Ok(checked) => checked.differences.is_empty(),
        Err(Error::Damaged { .. } | Error::Backup { .. }) => false,
        Err(other) => panic!("{other}"),
    };
    assert!(whole(&to));
    for name in names(&to) {
        let path = to.join(&name);
        let bytes = std::fs::read(&path).unwrap();
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            std::fs::write(&path, &flipped).unwrap();
            assert!(!whole(&to), "{name} at {at}");
            assert!(restore(&to, &dir.path().join("back"), None, &mut |_| {}).is_err());
            assert!(!dir.path().join("back").exists());
        }
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(!whole(&to), "{name} cut");
        std::fs::remove_file(&path).unwrap();
        assert!(!whole(&to), "{name} gone");
        std::fs::write(&path, &bytes).unwrap();
    }
    std::fs::write(to.join("keys/one-more"), "x").unwrap();
    let checked = verify(&to).unwrap();
    assert_eq!(checked.differences, ["keys/one-more does not belong to it"]);
}

#[test]
fn nothing_is_written_over_and_an_unfinished_one_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("data"), dir.path().join("backup"));
    drop(data(&from));
    let unfinished = dir.path().join("backup.unfinished");
    std::fs::create_dir_all(unfinished.join("keys")).unwrap();
    std::fs::write(unfinished.join("keys/installation"), "half").unwrap();
    assert!(matches!(verify(&unfinished), Err(Error::Backup { .. })), "what a crash left is no backup");
    made(&from, &to, None);
    assert!(!unfinished.exists());
    let again = create(&from, &to, None, "2026-11-26T00:00:00Z", &mut |_| {});
    assert!(matches!(again, Err(Error::Occupied { .. })));
    assert!(matches!(restore(&to, &from, None, &mut |_| {}), Err(Error::Occupied { .. })));
    let nowhere = create(&dir.path().join("none"), &dir.path().join("b"), None, "x", &mut |_| {});
    assert!(matches!(nowhere, Err(Error::NoData { .. })));
}

#[test]
fn erasures_that_are_older_than_the_backup_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("data"), dir.path().join("backup"));
    drop(data(&from));
    let erasures = dir.path().join("data.erasures");
    std::fs::write(&erasures, "one\ntwo\n").unwrap();
    made(&from, &to, Some(&erasures));
    let back = dir.path().join("back");
    for (text, fits) in
        [("one\n", false), ("two\none\n", false), ("one\ntwo\n", true), ("one\ntwo\nthree\n", true)]
    {
        std::fs::write(&erasures, text).unwrap();
        let restored = restore(&to, &back, Some(&erasures), &mut |_| {});
        assert_eq!(restored.is_ok(), fits, "{text}");
        if fits {
            std::fs::remove_dir_all(&back).unwrap();
        }
    }
}
