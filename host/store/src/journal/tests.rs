//! Group commit, reading, recovery from every kind of crash we know, and rollback.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cdp_domain::ids::TenantNo;
use cdp_domain::time::Timestamp;
use parking_lot::Mutex;
use proptest::prelude::*;

use super::fault::{Faults, Point};
use super::frame::{SEGMENT_HEADER, frame_len};
use super::*;
use crate::Error;

const TENANT: TenantNo = TenantNo(9);

fn small() -> Options {
    Options { segment_bytes: 4096, probe_every: Duration::ZERO, ..Options::default() }
}

fn open(dir: &Path) -> Journal {
    Journal::open(dir, TENANT, small()).unwrap()
}

fn draft(n: u32, len: usize) -> Draft {
    let header = Header { received_at: Timestamp(i64::from(n)), id: [n as u8; 16], ..Header::default() };
    Draft { header, payload: (0..len).map(|at| (at as u32 + n) as u8).collect() }
}

fn append(journal: &Journal, drafts: &[Draft]) -> Appended {
    let appended = journal.append(drafts).unwrap();
    journal.wait_durable_blocking(&appended).unwrap();
    appended
}

/// The numbers of all records from a position on.
fn numbers(journal: &Journal, from: Position) -> Vec<i64> {
    let mut reader = journal.reader(from);
    let mut out = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        let n = record.header.received_at.0;
        assert_eq!(record.payload, draft(n as u32, record.payload.len()).payload);
        out.push(n);
    }
    out
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let bases = super::segment::list(dir).unwrap();
    bases.into_iter().map(|base| super::segment::path(dir, base)).collect()
}

fn flip(path: &Path, offset: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Fails as often as told at one point, as a full disk does.
struct FailAt(Point, AtomicU32);

impl Faults for FailAt {
    fn at(&self, point: Point) -> io::Result<()> {
        let take = |left: u32| left.checked_sub(1);
        if point == self.0 && self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }
}

fn failing(dir: &Path, point: Point) -> (Journal, Arc<FailAt>) {
    let faults = Arc::new(FailAt(point, AtomicU32::new(0)));
    let journal = Journal::open(dir, TENANT, Options { faults: Some(faults.clone()), ..small() }).unwrap();
    (journal, faults)
}

/// Appends until the probe let one through.
fn append_again(journal: &Journal, draft: &Draft) -> Appended {
    loop {
        match journal.append(std::slice::from_ref(draft)) {
            Ok(appended) => return appended,
            Err(Error::Full { .. }) => std::thread::yield_now(),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn records_are_read_back_in_order_by_position_and_over_segments() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let mut positions = Vec::new();
    for n in 0..100 {
        positions.extend(append(&journal, &[draft(2 * n, 10 * n as usize), draft(2 * n + 1, 300)]).positions);
    }
    assert!(positions.is_sorted_by(|a, b| a < b));
    assert!(segments(dir.path()).len() > 10);
    assert_eq!(numbers(&journal, Position(0)), (0..200).collect::<Vec<_>>());
    assert_eq!(journal.verify().unwrap(), 200);
    for (n, position) in positions.iter().enumerate() {
        let record = journal.read_at(*position).unwrap();
        assert_eq!((record.position, record.header.received_at.0), (*position, n as i64));
        assert!(matches!(journal.read_at(Position(position.0 + 8)), Err(Error::NotARecord { .. })));
    }
    assert_eq!(numbers(&journal, positions[150]), (150..200).collect::<Vec<_>>());
    let mut headers = journal.reader(positions[198]);
    assert_eq!(headers.next_header().unwrap(), Some((positions[198], draft(198, 0).header, 990)));
    assert!(matches!(journal.read_at(journal.durable()), Err(Error::NotARecord { .. })));
    assert!(matches!(journal.reader(Position(positions[3].0 + 8)).next(), Err(Error::NotARecord { .. })));
}

#[test]
fn reopening_continues_positions_and_an_unused_opening_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut last = Position(0);
    for n in 0..20 {
        let journal = open(dir.path());
        let appended = append(&journal, &[draft(n, 700)]);
        assert!(appended.positions[0] > last);
        last = appended.positions[0];
        journal.close();
        assert!(matches!(journal.append(&[draft(0, 0)]), Err(Error::Closed)));
        let end = open(dir.path()).end();
        assert_eq!(open(dir.path()).end(), end);
    }
    assert_eq!(numbers(&open(dir.path()), Position(0)), (0..20).collect::<Vec<_>>());
}

#[test]
fn what_is_too_large_is_refused_and_what_just_fits_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let most = 4096 - SEGMENT_HEADER as usize - frame_len(0);
    append(&journal, &[draft(1, most), draft(2, most)]);
    assert!(matches!(journal.append(&[draft(0, 8), draft(0, most + 1)]), Err(Error::TooLarge { .. })));
    assert_eq!(numbers(&journal, Position(0)), [1, 2]);
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path(), TENANT, Options::default()).unwrap();
    append(&journal, &[draft(1, PAYLOAD_BYTES_MAX), draft(2, 3), draft(3, PAYLOAD_BYTES_MAX)]);
    assert!(matches!(journal.append(&[draft(0, PAYLOAD_BYTES_MAX + 1)]), Err(Error::TooLarge { .. })));
    assert_eq!(numbers(&journal, Position(0)), [1, 2, 3]);
}

#[test]
fn appends_beyond_the_bound_are_refused_until_the_disk_caught_up() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Arc::new(Mutex::new(()));
    let held = gate.lock();
    let watched = gate.clone();
    let wait = move |point: Point| {
        if point == Point::Write {
            drop(watched.lock());
        }
        Ok(())
    };
    let options = Options { pending_bytes_max: 1000, faults: Some(Arc::new(wait)), ..small() };
    let journal = Journal::open(dir.path(), TENANT, options).unwrap();
    let taken: Vec<_> = std::iter::from_fn(|| journal.append(&[draft(1, 100)]).ok()).collect();
    assert_eq!(taken.len(), 5);
    assert!(matches!(journal.append(&[draft(1, 100)]), Err(Error::Overloaded { .. })));
    assert_eq!(journal.durable(), Position(64));
    drop(held);
    journal.wait_durable_blocking(&taken[4]).unwrap();
    append(&journal, &[draft(2, 100)]);
}

#[test]
fn many_threads_append_while_readers_follow() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path(), TENANT, Options { segment_bytes: 64 << 10, ..small() }).unwrap();
    let (threads, rounds) = (8_u32, 40_u32);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let journal = journal.clone();
            scope.spawn(move || {
                for round in 0..rounds {
                    let n = thread * 1000 + round;
                    let appended = append(&journal, &[draft(n, 50), draft(n + 500, 60)]);
                    assert_eq!(
                        journal.read_at(appended.positions[1]).unwrap().header.received_at.0,
                        i64::from(n) + 500
                    );
                }
            });
        }
        for _ in 0..2 {
            let journal = journal.clone();
            scope.spawn(move || {
                let mut reader = journal.reader(Position(0));
                let mut next = [0; 8];
                let mut read = 0;
                while read < threads * rounds * 2 {
                    let Some(record) = reader.next_ref().unwrap() else {
                        std::thread::yield_now();
                        continue;
                    };
                    let n = record.header.received_at.0;
                    let thread = (n / 1000) as usize;
                    assert_eq!(n % 500, next[thread] / 2);
                    next[thread] += 1;
                    read += 1;
                }
            });
        }
    });
}

#[test]
fn waiting_works_from_async_code_and_for_what_is_durable_already() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let first = journal.append(&[draft(1, 10)]).unwrap();
        let second = journal.append(&[draft(2, 10)]).unwrap();
        journal.wait_durable(&second).await.unwrap();
        journal.wait_durable(&first).await.unwrap();
        assert!(!journal.is_lost(&first));
    });
}

#[test]
fn a_tail_torn_at_any_byte_loses_only_what_was_torn() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(&dir.path().join("whole"));
    append(&journal, &[draft(0, 20), draft(1, 33)]);
    let torn = append(&journal, &[draft(2, 40), draft(3, 21)]);
    let crash = dir.path().join("crash");
    copy(&dir.path().join("whole"), &crash);
    let whole = fs::read(&segments(&crash)[0]).unwrap();
    let (second, third, end) = (torn.positions[0].0, torn.positions[1].0, torn.end.0);
    for cut in second..=end {
        for zeros in [false, true] {
            let mut bytes = whole[..cut as usize].to_vec();
            if zeros {
                bytes.resize(whole.len(), 0);
            }
            fs::write(&segments(&crash)[0], &bytes).unwrap();
            let journal = open(&crash);
            // Bytes cut off that were zero anyway are no loss where zeros follow.
            let is_there = |position: u64, to: usize| {
                if zeros { bytes[..to] == whole[..to] } else { position < cut && to as u64 <= cut }
            };
            let expected = [0, 1, 2, 3].into_iter().take(
                2 + usize::from(is_there(second, third as usize))
                    + usize::from(is_there(third, end as usize)),
            );
            let expected: Vec<i64> = expected.collect();
            assert_eq!(numbers(&journal, Position(0)), expected, "cut at {cut}, zeros {zeros}");
            append(&journal, &[draft(4, 5)]);
            journal.close();
            assert_eq!(numbers(&open(&crash), Position(0)), [&expected[..], &[4]].concat());
        }
    }
}

#[test]
fn stale_bytes_behind_a_torn_record_do_not_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(&dir.path().join("whole"));
    append(&journal, &[draft(0, 40)]);
    let torn = append(&journal, &[draft(1, 40), draft(2, 40), draft(3, 40)]);
    let crash = dir.path().join("crash");
    copy(&dir.path().join("whole"), &crash);
    // The first page of the last commit was lost, later ones were not.
    flip(&segments(&crash)[0], torn.positions[0].0 + 60);
    let journal = open(&crash);
    assert_eq!(numbers(&journal, Position(0)), [0]);
    // A record of the same size at the same place must not make the next ones readable again.
    append(&journal, &[draft(4, 40)]);
    journal.close();
    assert_eq!(numbers(&open(&crash), Position(0)), [0, 4]);
}

#[test]
fn damage_before_a_later_commit_is_reported_and_not_cut() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let first = append(&journal, &[draft(0, 40), draft(1, 40)]);
    append(&journal, &[draft(2, 40)]);
    drop(journal);
    let offset = first.positions[1].0;
    let path = segments(dir.path())[0].clone();
    for at in [offset, offset + 9, offset + 20, offset + 95] {
        flip(&path, at);
        match Journal::open(dir.path(), TENANT, small()) {
            Err(Error::Damaged { file, offset: found, .. }) => assert_eq!((&file, found), (&path, offset)),
            other => panic!("{other:?}"),
        }
        flip(&path, at);
    }
    assert_eq!(numbers(&open(dir.path()), Position(0)), [0, 1, 2]);
}

#[test]
fn the_closing_marker_guards_the_last_commit() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let last = append(&journal, &[draft(0, 40)]);
    drop(journal);
    flip(&segments(dir.path())[0], last.positions[0].0 + 90);
    assert!(matches!(Journal::open(dir.path(), TENANT, small()), Err(Error::Damaged { .. })));
}

#[test]
fn damage_in_an_old_segment_is_reported_where_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let appended: Vec<_> = (0..20).map(|n| append(&journal, &[draft(n, 1000)])).collect();
    drop(journal);
    let old = segments(dir.path())[1].clone();
    flip(&old, 500);
    let journal = open(dir.path());
    let damaged = |error: Error| matches!(error, Error::Damaged { file, offset: 64, .. } if file == old);
    assert!(damaged(journal.verify().unwrap_err()));
    assert!(damaged(journal.read_at(appended[3].positions[0]).unwrap_err()));
    assert_eq!(numbers(&journal, appended[6].positions[0]), (6..20).collect::<Vec<_>>());
    drop(journal);
    flip(&old, 500);
    for break_it in [
        |path: &Path| flip(path, 20),
        |path: &Path| {
            let file = OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(file.metadata().unwrap().len() - 8).unwrap();
        },
    ] {
        let whole = fs::read(&old).unwrap();
        break_it(&old);
        assert!(matches!(Journal::open(dir.path(), TENANT, small()), Err(Error::Damaged { .. })));
        fs::write(&old, whole).unwrap();
    }
}

#[test]
fn a_journal_of_another_tenant_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    append(&open(dir.path()), &[draft(0, 1)]);
    assert!(matches!(Journal::open(dir.path(), TenantNo(8), small()), Err(Error::Damaged { .. })));
}

#[test]
fn a_full_disk_rolls_back_and_a_probe_brings_the_journal_back() {
    for point in [Point::Write, Point::Written, Point::Allocate] {
        let dir = tempfile::tempdir().unwrap();
        let (journal, faults) = failing(dir.path(), point);
        append(&journal, &[draft(0, 40)]);
        let durable = journal.durable();
        faults.1.store(1, Ordering::SeqCst);
        // Over a border of segments, so that every point is met.
        let lost = journal.append(&[draft(1, 40), draft(2, 3800), draft(3, 3800)]).unwrap();
        assert!(matches!(journal.wait_durable_blocking(&lost), Err(Error::Full { .. })), "{point:?}");
        assert_eq!((journal.end(), journal.durable(), journal.generation()), (durable, durable, 1));
        assert!(!journal.writable());
        assert_eq!(numbers(&journal, Position(0)), [0]);

        let next = append_again(&journal, &draft(4, 40));
        journal.wait_durable_blocking(&next).unwrap();
        assert_eq!(next.positions[0], lost.positions[0]);
        append(&journal, &[draft(5, 3800), draft(6, 3800), draft(7, 40)]);
        assert!(journal.durable() > lost.end);
        assert!(journal.is_lost(&lost) && !journal.is_lost(&next));
        assert!(matches!(journal.wait_durable_blocking(&lost), Err(Error::Full { .. })));
        journal.wait_durable_blocking(&next).unwrap();
        journal.close();
        assert_eq!(numbers(&open(dir.path()), Position(0)), [0, 4, 5, 6, 7], "{point:?}");
    }
}

#[test]
fn a_probe_that_fails_keeps_the_journal_closed_to_appends_and_open_to_readers() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, faults) = failing(dir.path(), Point::Repair);
    append(&journal, &[draft(0, 40)]);
    let options = Options { faults: None, ..small() };
    drop(journal);
    let both = move |point: Point| {
        if point == Point::Write { Err(io::Error::other("broken")) } else { faults.at(point) }
    };
    let journal =
        Journal::open(dir.path(), TENANT, Options { faults: Some(Arc::new(both)), ..options }).unwrap();
    let lost = journal.append(&[draft(1, 40)]).unwrap();
    assert!(matches!(journal.wait_durable_blocking(&lost), Err(Error::Write { .. })));
    assert!(matches!(journal.append(&[draft(1, 40)]), Err(Error::Write { .. })));
    assert_eq!(numbers(&journal, Position(0)), [0]);
    drop(journal);
    assert_eq!(numbers(&open(dir.path()), Position(0)), [0]);
}

#[test]
fn closing_after_a_failure_repairs_so_that_lost_records_stay_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, faults) = failing(dir.path(), Point::Written);
    append(&journal, &[draft(0, 40)]);
    faults.1.store(1, Ordering::SeqCst);
    let lost = journal.append(&[draft(1, 40), draft(2, 3900)]).unwrap();
    assert!(journal.wait_durable_blocking(&lost).is_err());
    journal.close();
    assert_eq!(numbers(&open(dir.path()), Position(0)), [0]);
}

#[test]
fn a_crash_at_any_point_keeps_what_was_durable() {
    for point in [Point::Allocate, Point::Write, Point::Written, Point::Synced] {
        let dir = tempfile::tempdir().unwrap();
        let (live, crash) = (dir.path().join("live"), dir.path().join("crash"));
        let (from, to, hits) = (live.clone(), crash.clone(), AtomicU32::new(0));
        let snapshot = move |at: Point| {
            if at == point && hits.fetch_add(1, Ordering::SeqCst) == 1 {
                copy(&from, &to);
            }
            Ok(())
        };
        let options = Options { faults: Some(Arc::new(snapshot)), ..small() };
        let journal = Journal::open(&live, TENANT, options).unwrap();
        for n in 0..8 {
            append(&journal, &[draft(2 * n, 900), draft(2 * n + 1, 900)]);
        }
        journal.close();
        let after = open(&crash);
        let read = numbers(&after, Position(0));
        assert!(read.iter().copied().eq(0..read.len() as i64), "{point:?}: {read:?}");
        assert!(read.len() >= 2, "{point:?}: {read:?}");
        append(&after, &[draft(read.len() as u32, 900)]);
        after.close();
        assert_eq!(numbers(&open(&crash), Position(0)).len(), read.len() + 1);
    }
}

#[test]
fn a_segment_whose_creation_was_interrupted_is_removed() {
    for bytes in [vec![], vec![0; 10], vec![0; 4096]] {
        let dir = tempfile::tempdir().unwrap();
        let end = append(&open(dir.path()), &[draft(0, 40)]).end;
        // What closing leaves behind counts too.
        let journal = open(dir.path());
        let end = journal.end().max(end);
        drop(journal);
        let first = segments(dir.path())[0].clone();
        OpenOptions::new().write(true).open(&first).unwrap().set_len(end.0).unwrap();
        fs::write(super::segment::path(dir.path(), end.0), bytes).unwrap();
        let journal = open(dir.path());
        assert_eq!(journal.end(), end);
        append(&journal, &[draft(1, 40)]);
        assert_eq!(numbers(&journal, Position(0)), [0, 1]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_journal_gives_back_what_went_in_over_failures_and_reopenings(
        steps in proptest::collection::vec((0_u8..10, proptest::collection::vec(0_usize..1500, 1..5)), 1..30)) {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, mut faults) = failing(dir.path(), Point::Written);
        let (mut model, mut n) = (Vec::new(), 0);
        for (what, lens) in steps {
            if what == 0 {
                drop(journal);
                (journal, faults) = failing(dir.path(), Point::Written);
            }
            let drafts: Vec<Draft> = lens.iter().map(|len| { n += 1; draft(n, *len) }).collect();
            if what == 1 {
                faults.1.store(1, Ordering::SeqCst);
                let lost = journal.append(&drafts).unwrap();
                prop_assert!(journal.wait_durable_blocking(&lost).is_err());
                n += 1;
                let appended = append_again(&journal, &draft(n, 3));
                journal.wait_durable_blocking(&appended).unwrap();
                model.push(i64::from(n));
            } else {
                append(&journal, &drafts);
                model.extend(drafts.iter().map(|draft| draft.header.received_at.0));
            }
            prop_assert_eq!(numbers(&journal, Position(0)), model.clone());
        }
    }
}
