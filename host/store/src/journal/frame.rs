//! How records and segment headers stand on disk. All numbers are little-endian.
//!
//! A record's frame, at a multiple of 8 bytes:
//!
//! | offset | bytes | what |
//! | ---: | ---: | --- |
//! | 0 | 4 | length of the payload |
//! | 4 | 4 | CRC-32 over everything else of the frame, padding included |
//! | 8 | 1 | format version, 1 |
//! | 9 | 1 | kind: 1 event, 2 config, 3 closing marker (internal) |
//! | 10 | 2 | flags: bit 0 = everything before this record was durable when it was written; bit 1 = its payload was redacted |
//! | 12 | 4 | tenant |
//! | 16 | 8 | position |
//! | 24 | 8 | received at, milliseconds |
//! | 32 | 16 | id digest |
//! | 48 | 8 | body digest |
//! | 56 | 16 | key reference |
//! | 72 | 12 | nonce |
//! | 84 | 4 | salt of the segment |
//! | 88 | … | sealed payload, then zeros up to a multiple of 8 |
//!
//! A segment's header, 64 bytes: magic (8), format version (4), tenant (4), base position (8), salt (4), zeros (32), CRC-32 of these 60 bytes (4).

use cdp_domain::ids::{Position, TenantNo};
use cdp_domain::time::Timestamp;

/// The largest sealed payload of one record, in bytes: 1 MiB, inclusive. Events are far smaller; records of configuration need it.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// Bytes of a frame before its payload.
pub(crate) const FRAME_HEADER: usize = 88;
/// Bytes of a segment before its first record.
pub(crate) const SEGMENT_HEADER: u64 = 64;
/// Flag: everything before this record was durable when it was written.
pub(crate) const FIRST_OF_COMMIT: u16 = 1;

/// Flag: the payload that was written gave way to a smaller one.
const REDACTED: u16 = 2;

const FRAME_VERSION: u8 = 1;
const SEGMENT_VERSION: u32 = 1;
const SEGMENT_MAGIC: [u8; 8] = *b"CDPjrnl\n";
const CODE_CLOSING: u8 = 3;

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// An accepted event.
    Event,
    /// A change of the tenant's configuration.
    Config,
}

/// What is readable of a record without its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the record is about.
    pub kind: RecordKind,
    /// When it was accepted, by the server's clock.
    pub received_at: Timestamp,
    /// Keyed digest of the event's id, or zeros.
    pub id: [u8; 16],
    /// Keyed digest of the body, which tells a duplicate from a conflict.
    pub body: [u8; 8],
    /// Which data key sealed the payload.
    pub key_ref: [u8; 16],
    /// The nonce it was sealed with.
    pub nonce: [u8; 12],
    /// Whether the payload that was written gave way to a smaller one ([`Journal::redact`](super::Journal::redact)).
    pub redacted: bool,
}

impl Default for Header {
    fn default() -> Self {
        Self {
            kind: RecordKind::Event,
            received_at: Timestamp(0),
            id: [0; 16],
            body: [0; 8],
            key_ref: [0; 16],
            nonce: [0; 12],
            redacted: false,
        }
    }
}

/// A record that has no position yet.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// What is readable without the key.
    pub header: Header,
    /// The sealed payload, at most [`PAYLOAD_BYTES_MAX`].
    pub payload: Vec<u8>,
}

/// A durable record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub position: Position,
    /// What is readable without the key.
    pub header: Header,
    /// The sealed payload.
    pub payload: Vec<u8>,
}

/// A durable record, lent from a reader's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// Where it stands.
    pub position: Position,
    /// What is readable without the key.
    pub header: Header,
    /// The sealed payload.
    pub payload: &'a [u8],
}

impl RecordRef<'_> {
    /// Copies the payload, to keep the record beyond the reader's next step.
    #[must_use]
    pub fn to_owned(&self) -> Record {
        Record { position: self.position, header: self.header, payload: self.payload.to_vec() }
    }
}

/// Where a frame stands, and what it must therefore say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) tenant: TenantNo,
    pub(crate) salt: u32,
    pub(crate) position: u64,
}

/// What goes into a frame: a caller's record, or the marker that a closing journal leaves.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content<'a> {
    Record(&'a Header, &'a [u8]),
    Closing,
}

/// A valid frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    /// `None` for a closing marker.
    pub(crate) header: Option<Header>,
    pub(crate) flags: u16,
    pub(crate) payload_len: usize,
}

impl Frame {
    pub(crate) fn len(&self) -> usize {
        frame_len(self.payload_len)
    }
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoFrame {
    /// There may be one; this many bytes are needed to say.
    Needs(usize),
    /// There is none, for this reason.
    Invalid(&'static str),
}

/// Bytes that a payload of this length takes on disk.
pub(crate) const fn frame_len(payload_len: usize) -> usize {
    (FRAME_HEADER + payload_len).next_multiple_of(8)
}

/// Appends a frame to `out`.
pub(crate) fn encode(out: &mut Vec<u8>, place: Place, flags: u16, content: Content<'_>) {
    let closing = Header::default();
    let (code, header, payload): (u8, &Header, &[u8]) = match content {
        Content::Record(header, payload) => (code(header.kind), header, payload),
        Content::Closing => (CODE_CLOSING, &closing, &[]),
    };
    let flags = if header.redacted { flags | REDACTED } else { flags };
    let start = out.len();
    let payload_len = u32::try_from(payload.len()).expect("a payload is at most a mebibyte");
    out.reserve(frame_len(payload.len()));
    out.extend_from_slice(&payload_len.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&[FRAME_VERSION, code]);
    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(&place.tenant.0.to_le_bytes());
    out.extend_from_slice(&place.position.to_le_bytes());
    out.extend_from_slice(&header.received_at.0.to_le_bytes());
    out.extend_from_slice(&header.id);
    out.extend_from_slice(&header.body);
    out.extend_from_slice(&header.key_ref);
    out.extend_from_slice(&header.nonce);
    out.extend_from_slice(&place.salt.to_le_bytes());
    out.extend_from_slice(payload);
    out.resize(start + frame_len(payload.len()), 0);
    let crc = checksum(&out[start..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

/// Reads the frame at the beginning of `bytes`, which must stand at `place`.
pub(crate) fn parse(bytes: &[u8], place: Place) -> Result<Frame, NoFrame> {
    if bytes.len() < FRAME_HEADER {
        return Err(NoFrame::Needs(FRAME_HEADER));
    }
    let payload_len = number(bytes, 0) as usize;
    if payload_len > PAYLOAD_BYTES_MAX {
        return Err(NoFrame::Invalid("a record's length is out of bounds"));
    }
    if part::<8>(bytes, 16) != place.position.to_le_bytes() {
        return Err(NoFrame::Invalid("a record does not say the position where it stands"));
    }
    let len = frame_len(payload_len);
    if bytes.len() < len {
        return Err(NoFrame::Needs(len));
    }
    if number(bytes, 4) != checksum(&bytes[..len]) {
        return Err(NoFrame::Invalid("a record's checksum does not match"));
    }
    if bytes[8] != FRAME_VERSION {
        return Err(NoFrame::Invalid("a record has an unknown format version"));
    }
    if number(bytes, 12) != place.tenant.0 || number(bytes, 84) != place.salt {
        return Err(NoFrame::Invalid("a record belongs to another journal"));
    }
    let header = match bytes[9] {
        CODE_CLOSING => None,
        1 => Some(header(RecordKind::Event, bytes)),
        2 => Some(header(RecordKind::Config, bytes)),
        _ => return Err(NoFrame::Invalid("a record is of an unknown kind")),
    };
    Ok(Frame { header, flags: u16::from_le_bytes(part(bytes, 10)), payload_len })
}

/// Forms the header of a segment.
pub(crate) fn encode_segment(tenant: TenantNo, base: u64, salt: u32) -> [u8; SEGMENT_HEADER as usize] {
    let mut out = [0; SEGMENT_HEADER as usize];
    out[..8].copy_from_slice(&SEGMENT_MAGIC);
    out[8..12].copy_from_slice(&SEGMENT_VERSION.to_le_bytes());
    out[12..16].copy_from_slice(&tenant.0.to_le_bytes());
    out[16..24].copy_from_slice(&base.to_le_bytes());
    out[24..28].copy_from_slice(&salt.to_le_bytes());
    let crc = crc32fast::hash(&out[..60]);
    out[60..].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Reads a segment's header, which must be of this tenant and base; gives its salt, or what is wrong.
pub(crate) fn parse_segment(
    bytes: &[u8; SEGMENT_HEADER as usize],
    tenant: TenantNo,
    base: u64,
) -> Result<u32, &'static str> {
    if bytes[..8] != SEGMENT_MAGIC || number(bytes, 60) != crc32fast::hash(&bytes[..60]) {
        return Err("the segment's header is not one");
    }
    if number(bytes, 8) != SEGMENT_VERSION {
        return Err("the segment has an unknown format version");
    }
    if number(bytes, 12) != tenant.0 {
        return Err("the segment belongs to another tenant");
    }
    if part::<8>(bytes, 16) != base.to_le_bytes() {
        return Err("the segment's name and header give different positions");
    }
    Ok(number(bytes, 24))
}

fn code(kind: RecordKind) -> u8 {
    match kind {
        RecordKind::Event => 1,
        RecordKind::Config => 2,
    }
}

fn header(kind: RecordKind, bytes: &[u8]) -> Header {
    Header {
        kind,
        received_at: Timestamp(i64::from_le_bytes(part(bytes, 24))),
        id: part(bytes, 32),
        body: part(bytes, 48),
        key_ref: part(bytes, 56),
        nonce: part(bytes, 72),
        redacted: u16::from_le_bytes(part(bytes, 10)) & REDACTED != 0,
    }
}

fn checksum(frame: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&frame[..4]);
    crc.update(&frame[8..]);
    crc.finalize()
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the slice has the array's length")
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(part(bytes, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { tenant: TenantNo(7), salt: 0x5a17, position: 64 }
    }

    #[test]
    fn the_bytes_of_a_frame_stay_what_they_are() {
        let header = Header {
            kind: RecordKind::Config,
            received_at: Timestamp(0x0102_0304),
            id: [0x11; 16],
            body: [0x22; 8],
            key_ref: [0x33; 16],
            nonce: [0x44; 12],
            redacted: false,
        };
        let mut out = Vec::new();
        encode(&mut out, place(), FIRST_OF_COMMIT, Content::Record(&header, b"abc"));
        let hex = cdp_domain::hex::encode(&out);
        let expected = [
            "03000000",
            &hex[8..16],
            "01",
            "02",
            "0100",
            "07000000",
            "4000000000000000",
            "0403020100000000",
            &"11".repeat(16),
            &"22".repeat(8),
            &"33".repeat(16),
            &"44".repeat(12),
            "175a0000",
            "6162630000000000",
        ];
        assert_eq!(hex, expected.concat());
        let frame = parse(&out, place()).unwrap();
        assert_eq!((frame.header, frame.flags, frame.payload_len), (Some(header), 1, 3));
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let mut out = Vec::new();
        encode(&mut out, place(), 0, Content::Record(&Header::default(), b"payload"));
        for bit in 0..out.len() * 8 {
            out[bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&out, place()).is_err(), "bit {bit}");
            out[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(parse(&out, place()).is_ok());
    }

    #[test]
    fn a_segment_header_is_read_back_and_refused_elsewhere() {
        let bytes = encode_segment(TenantNo(7), 4096, 99);
        assert_eq!(parse_segment(&bytes, TenantNo(7), 4096), Ok(99));
        assert!(parse_segment(&bytes, TenantNo(8), 4096).is_err());
        assert!(parse_segment(&bytes, TenantNo(7), 4104).is_err());
        let mut flipped = bytes;
        flipped[30] ^= 1;
        assert!(parse_segment(&flipped, TenantNo(7), 4096).is_err());
    }
}
