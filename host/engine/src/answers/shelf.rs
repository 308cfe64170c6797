//! The records on disk: a small journal per day, in a directory named by the day's number.
//!
//! A day's journal is removed when the last request of that day has been forgotten. It is opened when it is first needed,
//! so an installation whose clients send no keys has none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cdp_domain::ids::{Position, TenantNo};
use cdp_domain::time::Timestamp;
use cdp_store::journal::{Draft, Header, Journal, Options, RecordKind};
use cdp_store::seal::{KeyRing, MasterKey, open_in_place, seal_in_place};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::ANSWERS_KEPT_MS;
use crate::error::{Refused, Result};
use crate::rows::{decode, encode};

/// Sealed under the installation's own number: these records are of no tenant's journal.
const OWNER: TenantNo = TenantNo(0);
const DAY_MS: i64 = 24 * 3600 * 1000;
/// Size of a day's files; most days have one.
const SEGMENT_BYTES: u64 = 4 << 20;

/// One record, in the order in which they come for one key: begun, then answered or forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Record {
    Begun { tenant: TenantNo, fingerprint: [u8; 32] },
    Answered(Vec<u8>),
    Forgotten,
}

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) day: i64,
    pub(super) position: Position,
    /// Of the record, sealed.
    pub(super) bytes: usize,
}

/// All days that are kept.
pub(super) struct Shelf {
    dir: PathBuf,
    keys: KeyRing,
    days: Mutex<BTreeMap<i64, Journal>>,
}

impl Shelf {
    pub(super) fn new(dir: &Path, master: &MasterKey) -> Self {
        Self { dir: dir.to_owned(), keys: KeyRing::derived(master, OWNER), days: Mutex::default() }
    }

    /// Reads every record that may still count, oldest first.
    pub(super) fn read_all(
        &self,
        now: Timestamp,
        mut take: impl FnMut([u8; 16], Timestamp, Place, &Record),
    ) -> Result<()> {
        let Ok(found) = std::fs::read_dir(&self.dir) else { return Ok(()) };
        let names = found.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut days: Vec<i64> = names.filter_map(|name| name.parse().ok()).collect();
        days.sort_unstable();
        for day in days {
            if ended(day, now) {
                self.remove(day);
                continue;
            }
            let journal = self.open(day)?;
            let mut reader = journal.reader(Position(0));
            while let Some(record) = reader.next()? {
                let place = Place { day, position: record.position, bytes: record.payload.len() };
                let (id, at) = (record.header.id, record.header.received_at);
                take(id, at, place, &self.unseal(&record.header, record.payload)?);
            }
            self.days.lock().insert(day, journal);
        }
        Ok(())
    }

    /// Writes a record; durable when it returns.
    pub(super) async fn write(&self, now: Timestamp, id: [u8; 16], record: &Record) -> Result<Place> {
        let mut payload = encode(record);
        let mut header =
            Header { kind: RecordKind::Config, received_at: now, id, key_ref: id, ..Header::default() };
        seal_in_place(&self.keys, OWNER, &mut header, &mut payload)?;
        let day = now.0.div_euclid(DAY_MS);
        let journal = self.of(day, now)?;
        let bytes = payload.len();
        let appended = journal.append(&[Draft { header, payload }])?;
        journal.wait_durable(&appended).await?;
        Ok(Place { day, position: appended.positions[0], bytes })
    }

    /// The answer that a record holds.
    pub(super) fn answer(&self, place: Place) -> Result<Vec<u8>> {
        let journal = self.days.lock().get(&place.day).cloned();
        let journal = journal.ok_or_else(|| Refused::internal("the day of a remembered answer is gone"))?;
        let record = journal.read_at(place.position)?;
        match self.unseal(&record.header, record.payload)? {
            Record::Answered(answer) => Ok(answer),
            _ => Err(Refused::internal("a remembered answer is none")),
        }
    }

    pub(super) fn close(&self) {
        self.days.lock().values().for_each(Journal::close);
    }

    fn unseal(&self, header: &Header, mut payload: Vec<u8>) -> Result<Record> {
        open_in_place(&self.keys, OWNER, header, &mut payload)?;
        decode(&payload)
    }

    /// The journal of a day, with those before it removed whose time is over.
    fn of(&self, day: i64, now: Timestamp) -> Result<Journal> {
        let mut days = self.days.lock();
        if let Some(journal) = days.get(&day) {
            return Ok(journal.clone());
        }
        while let Some(first) = days.first_entry().filter(|first| ended(*first.key(), now)) {
            let (day, journal) = first.remove_entry();
            journal.close();
            self.remove(day);
        }
        let journal = self.open(day)?;
        days.insert(day, journal.clone());
        Ok(journal)
    }

    fn open(&self, day: i64) -> Result<Journal> {
        let options =
            Options { segment_bytes: SEGMENT_BYTES, pending_bytes_max: 8 << 20, ..Options::default() };
        Ok(Journal::open(&self.dir.join(day.to_string()), OWNER, options)?)
    }

    fn remove(&self, day: i64) {
        if let Err(error) = std::fs::remove_dir_all(self.dir.join(day.to_string())) {
            tracing::warn!(error = %error, "remembered answers of a day that is over could not be removed");
        }
    }
}

/// Whether everything that came on a day is forgotten.
fn ended(day: i64, now: Timestamp) -> bool {
    (day + 1) * DAY_MS + ANSWERS_KEPT_MS <= now.0
}
