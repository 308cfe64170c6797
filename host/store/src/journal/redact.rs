//! Payloads of finished segments that give way to smaller ones, in place.

use std::collections::BTreeMap;
use std::fs;

use cdp_domain::ids::Position;

use super::frame::{Content, FIRST_OF_COMMIT, Header, Place, RecordRef, SEGMENT_HEADER, encode, parse};
use super::handle::Journal;
use super::segment;
use crate::{Error, Result, files};

/// What takes the place of a record's payload: as many bytes as that had, under a header that says so.
pub type Redaction = (Header, Vec<u8>);

impl Journal {
    /// Has the next append begin a new segment, so that all that is durable by then lies in finished ones.
    pub fn finish_segment(&self) {
        self.inner.shared.ledger.lock().finish = true;
    }

    /// Where finished segments begin and end, ascending.
    #[must_use]
    pub fn finished(&self) -> Vec<(Position, Position)> {
        let bases = self.inner.shared.bases.read();
        bases.windows(2).map(|pair| (Position(pair[0]), Position(pair[1]))).collect()
    }

    /// Has payloads of records at `positions` give way to what `by` says, where it says something; how many did.
    ///
    /// Each segment that holds one is written anew under its name, and is there whole or not at all. Durable when it
    /// returns. Whoever reads meanwhile sees the one or the other. Not to be called twice at a time.
    ///
    /// # Errors
    /// [`Error::NotARecord`] for a place where no record of a finished segment begins; what `by` returns;
    /// [`Error::Damaged`]; [`Error::Io`]. What comes before is done; call it again.
    pub fn redact(
        &self,
        positions: &[Position],
        by: &mut dyn FnMut(RecordRef<'_>) -> Result<Option<Redaction>>,
    ) -> Result<u64> {
        let finished = self.finished();
        let mut of_segment: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for position in positions {
            let at = finished.partition_point(|(base, _)| base <= position);
            match at.checked_sub(1).map(|at| finished[at]) {
                Some((base, end)) if *position < end => {
                    of_segment.entry(base.0).or_default().push(position.0)
                }
                _ => return Err(Error::NotARecord { position: position.0 }),
            }
        }
        let mut redacted = 0;
        for (base, mut places) in of_segment {
            places.sort_unstable();
            places.dedup();
            redacted += self.redact_segment(base, &places, by)?;
        }
        Ok(redacted)
    }

    fn redact_segment(
        &self,
        base: u64,
        places: &[u64],
        by: &mut dyn FnMut(RecordRef<'_>) -> Result<Option<Redaction>>,
    ) -> Result<u64> {
        let shared = &*self.inner.shared;
        let salt = segment::open(&shared.dir, shared.tenant, base)?.salt;
        let path = segment::path(&shared.dir, base);
        let mut bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        let (mut redacted, mut fresh) = (0, Vec::new());
        for position in places {
            let from = usize::try_from(position - base).expect("a segment fits into memory");
            let place = Place { tenant: shared.tenant, salt, position: *position };
            let none = || Error::NotARecord { position: *position };
            let rest = bytes.get(from..).filter(|_| from >= SEGMENT_HEADER as usize).ok_or_else(none)?;
            let frame = parse(rest, place).map_err(|_| none())?;
            let header = frame.header.ok_or_else(none)?;
            let payload = &rest[super::frame::FRAME_HEADER..][..frame.payload_len];
            let record = RecordRef { position: Position(*position), header, payload };
            let Some((header, payload)) = by(record)? else { continue };
            assert_eq!(payload.len(), frame.payload_len, "a payload gives way to one of its length");
            fresh.clear();
            let flags = frame.flags & FIRST_OF_COMMIT;
            encode(&mut fresh, place, flags, Content::Record(&header, &payload));
            bytes[from..from + fresh.len()].copy_from_slice(&fresh);
            redacted += 1;
        }
        if redacted > 0 {
            files::write(&path, &bytes)?;
            // What is open reads the old file.
            shared.open_segments.lock().forget(base);
        }
        Ok(redacted)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Draft, Options};
    use super::*;
    use cdp_domain::ids::TenantNo;

    fn drafts(n: u8) -> Vec<Draft> {
        let draft =
            |n: u8| Draft { header: Header { id: [n; 16], ..Header::default() }, payload: vec![n; 40] };
        (1..=n).map(draft).collect()
    }

    fn smaller(record: RecordRef<'_>) -> Result<Option<Redaction>> {
        let mut payload = vec![0; record.payload.len()];
        payload[0] = 0xff;
        Ok(Some((Header { redacted: true, ..record.header }, payload)))
    }

    #[test]
    fn payloads_give_way_in_finished_segments_and_everything_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { segment_bytes: 1000, ..Options::default() };
        let journal = Journal::open(dir.path(), TenantNo(3), options.clone()).unwrap();
        let appended = journal.append(&drafts(30)).unwrap();
        journal.wait_durable_blocking(&appended).unwrap();
        let chosen: Vec<_> = appended.positions.iter().copied().step_by(3).collect();
        let before: Vec<_> = appended.positions.iter().map(|at| journal.read_at(*at).unwrap()).collect();
        assert!(
            matches!(journal.redact(&appended.positions[29..], &mut smaller), Err(Error::NotARecord { .. })),
            "the last is open"
        );
        journal.finish_segment();
        journal.wait_durable_blocking(&journal.append(&drafts(1)).unwrap()).unwrap();
        let end = journal.durable();
        assert_eq!(journal.redact(&chosen, &mut smaller).unwrap(), 10);
        assert_eq!(journal.redact(&chosen[..1], &mut |_| Ok(None)).unwrap(), 0);
        let same = |journal: &Journal| {
            for (n, record) in before.iter().enumerate() {
                let now = journal.read_at(record.position).unwrap();
                let redacted = n % 3 == 0;
                assert_eq!((now.header.id, now.header.redacted), (record.header.id, redacted));
                assert_eq!((now.payload.len(), now.payload == record.payload), (40, !redacted));
            }
            assert_eq!(journal.verify().unwrap(), 31);
        };
        same(&journal);
        assert_eq!(journal.durable(), end);
        drop(journal);
        same(&Journal::open(dir.path(), TenantNo(3), options).unwrap());
    }
}
