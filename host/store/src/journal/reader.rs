//! Reading durable records: in order through a block buffer, or one at a position.

use std::collections::VecDeque;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cdp_domain::ids::Position;

use super::frame::{
    FRAME_HEADER, Frame, Header, NoFrame, PAYLOAD_BYTES_MAX, Place, Record, RecordRef, SEGMENT_HEADER,
    frame_len, parse,
};
use super::handle::Shared;
use super::segment::{self, Segment};
use crate::{Error, Result};

/// Bytes read at once: any frame fits, and the disk is read in long strides.
const BLOCK: usize = frame_len(PAYLOAD_BYTES_MAX) + (64 << 10);
/// What random access reads first: most records are there entirely.
const FIRST_READ: usize = 2048;
/// Segment files that random access keeps open.
const OPEN_SEGMENTS_MAX: usize = 64;

/// Reads a journal's durable records in order. Independent of appends; sees what becomes durable while it reads.
///
/// Needs no rollback protocol: durable records are never lost. Holds a buffer of about 1 MiB once it has read.
pub struct Reader {
    shared: Arc<Shared>,
    next: u64,
    /// Whether a record was found, so that `next` is known to be a boundary.
    begun: bool,
    segment: Option<Arc<Segment>>,
    buffer: Vec<u8>,
    /// The position of the buffer's first byte.
    buffer_at: u64,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, from: u64) -> Self {
        Self { shared, next: from, begun: false, segment: None, buffer: Vec::new(), buffer_at: 0 }
    }

    /// Where the next record begins or will begin: all before it was read.
    ///
    /// Between two segments it may name the end of the first; reading from there gives the same record.
    #[must_use]
    pub fn position(&self) -> Position {
        Position(self.next)
    }

    /// The next record, or `None` when all that is durable now was read; ask again later.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::NotARecord`] when no valid record stands where reading began, [`Error::Io`]. The reader stays where it is.
    #[expect(clippy::should_implement_trait, reason = "an iterator would end for good at the durable end")]
    pub fn next(&mut self) -> Result<Option<Record>> {
        Ok(self.next_ref()?.map(|record| record.to_owned()))
    }

    /// The next record's position, header and payload length, without copying the payload. As safe as [`next`](Self::next): the checksum is verified.
    ///
    /// # Errors
    /// The same.
    pub fn next_header(&mut self) -> Result<Option<(Position, Header, usize)>> {
        Ok(self.next_ref()?.map(|record| (record.position, record.header, record.payload.len())))
    }

    /// The next record, lent from the buffer.
    ///
    /// # Errors
    /// The same as [`next`](Self::next).
    pub fn next_ref(&mut self) -> Result<Option<RecordRef<'_>>> {
        while let Some(frame) = self.step()? {
            if let Some(header) = frame.header {
                let position = self.next - frame.len() as u64;
                let at = offset(position - self.buffer_at) + FRAME_HEADER;
                let payload = &self.buffer[at..at + frame.payload_len];
                return Ok(Some(RecordRef { position: Position(position), header, payload }));
            }
        }
        Ok(None)
    }

    /// Moves over one frame, which then ends at `next` and lies in the buffer entirely.
    fn step(&mut self) -> Result<Option<Frame>> {
        let durable = self.shared.durable.load(Ordering::Acquire);
        loop {
            if self.next >= durable {
                return Ok(None);
            }
            let (segment, end) = self.enter(durable)?;
            if self.next < segment.base + SEGMENT_HEADER {
                self.next = segment.base + SEGMENT_HEADER;
                continue;
            }
            let place = Place { tenant: self.shared.tenant, salt: segment.salt, position: self.next };
            let from = self.next.checked_sub(self.buffer_at).map_or(usize::MAX, offset);
            let bytes = self.buffer.get(from..).unwrap_or_default();
            match parse(bytes, place) {
                Ok(frame) => {
                    self.next += frame.len() as u64;
                    self.begun = true;
                    return Ok(Some(frame));
                }
                Err(NoFrame::Needs(len)) if self.next + len as u64 <= end => self.fill(&segment, end)?,
                Err(NoFrame::Needs(_)) => return Err(self.damaged(&segment, "a record is cut off")),
                Err(NoFrame::Invalid(what)) => return Err(self.damaged(&segment, what)),
            }
        }
    }

    /// The segment of the next position, and where its durable bytes end.
    fn enter(&mut self, durable: u64) -> Result<(Arc<Segment>, u64)> {
        let bases = self.shared.bases.read();
        let after = bases.partition_point(|base| *base <= self.next);
        let base = bases[after.saturating_sub(1)];
        let end = bases.get(after.max(1)).copied().unwrap_or(durable).min(durable);
        drop(bases);
        if let Some(segment) = self.segment.as_ref().filter(|segment| segment.base == base) {
            return Ok((segment.clone(), end));
        }
        let segment = Arc::new(segment::open(&self.shared.dir, self.shared.tenant, base)?);
        self.segment = Some(segment.clone());
        self.buffer.clear();
        Ok((segment, end))
    }

    fn fill(&mut self, segment: &Segment, end: u64) -> Result<()> {
        let len = offset(end - self.next).min(BLOCK);
        self.buffer.resize(len, 0);
        self.buffer_at = self.next;
        let read = segment.file.read_exact_at(&mut self.buffer, self.next - segment.base);
        if read.is_err() {
            self.buffer.clear();
        }
        read.map_err(Error::io("read", &segment::path(&self.shared.dir, segment.base)))
    }

    fn damaged(&self, segment: &Segment, what: &'static str) -> Error {
        if !self.begun && self.next != segment.base + SEGMENT_HEADER {
            return Error::NotARecord { position: self.next };
        }
        let file = segment::path(&self.shared.dir, segment.base);
        Error::Damaged { file, offset: self.next - segment.base, what }
    }
}

/// The segment files that random access opened last.
#[derive(Debug, Default)]
pub(super) struct OpenSegments {
    recent: VecDeque<Arc<Segment>>,
}

impl OpenSegments {
    /// Forgets a segment whose file gave way to another.
    pub(super) fn forget(&mut self, base: u64) {
        self.recent.retain(|segment| segment.base != base);
    }
}

impl Shared {
    pub(super) fn read_at(&self, position: u64) -> Result<Record> {
        let no_record = Error::NotARecord { position };
        let durable = self.durable.load(Ordering::Acquire);
        if position >= durable || !position.is_multiple_of(8) {
            return Err(no_record);
        }
        let bases = self.bases.read();
        let after = bases.partition_point(|base| *base <= position);
        let Some(&base) = after.checked_sub(1).and_then(|at| bases.get(at)) else { return Err(no_record) };
        let end = bases.get(after).copied().unwrap_or(durable).min(durable);
        drop(bases);
        if position < base + SEGMENT_HEADER {
            return Err(no_record);
        }
        let segment = self.open_segment(base)?;
        let place = Place { tenant: self.tenant, salt: segment.salt, position };
        let mut bytes = vec![0; offset(end - position).min(FIRST_READ)];
        loop {
            let file = segment::path(&self.dir, base);
            segment.file.read_exact_at(&mut bytes, position - base).map_err(Error::io("read", &file))?;
            match parse(&bytes, place) {
                Ok(frame) => {
                    let Some(header) = frame.header else { return Err(no_record) };
                    bytes.truncate(FRAME_HEADER + frame.payload_len);
                    bytes.drain(..FRAME_HEADER);
                    return Ok(Record { position: Position(position), header, payload: bytes });
                }
                Err(NoFrame::Needs(len)) if position + len as u64 <= end => bytes.resize(len, 0),
                // A frame that names its place but fails otherwise was a record once.
                Err(NoFrame::Invalid(what)) if bytes.get(16..24) == Some(&position.to_le_bytes()[..]) => {
                    return Err(Error::Damaged { file, offset: position - base, what });
                }
                Err(_) => return Err(no_record),
            }
        }
    }

    fn open_segment(&self, base: u64) -> Result<Arc<Segment>> {
        let mut open = self.open_segments.lock();
        if let Some(at) = open.recent.iter().position(|segment| segment.base == base) {
            return Ok(open.recent[at].clone());
        }
        let segment = Arc::new(segment::open(&self.dir, self.tenant, base)?);
        if open.recent.len() == OPEN_SEGMENTS_MAX {
            open.recent.pop_front();
        }
        open.recent.push_back(segment.clone());
        Ok(segment)
    }
}

/// A distance within a segment or a buffer.
fn offset(distance: u64) -> usize {
    usize::try_from(distance).expect("a segment fits into memory")
}
