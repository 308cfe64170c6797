//! How a run stands on disk. All numbers are little-endian.
//!
//! | offset | what |
//! | ---: | --- |
//! | 0 | header, 64 bytes: magic (8), version (4), level (4), entries (8), covered position (8), first and last number (8, 8), length and CRC-32 of the index (4, 4), zeros (4), CRC-32 of these 60 bytes (4) |
//! | 4096 | entries, sorted, 32 bytes each, in blocks of 128 |
//! | 4096 + 32 × entries | index: partitions, then the CRC-32 of every block |
//!
//! A partition covers up to about a million entries that follow each other and has a filter of its own,
//! so that building one takes bounded memory however large the run is.

use xorf::{BinaryFuse8, Descriptor, Filter};

/// A key and a value.
pub(super) type Entry = [u8; 32];

pub(super) const ENTRY_BYTES: usize = 32;
pub(super) const BLOCK_ENTRIES: usize = 128;
pub(super) const BLOCK_BYTES: usize = BLOCK_ENTRIES * ENTRY_BYTES;
pub(super) const DATA_AT: u64 = 4096;
pub(super) const HEADER_BYTES: usize = 64;

const MAGIC: [u8; 8] = *b"CDPrun \n";
const VERSION: u32 = 1;

/// What a run says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) level: u32,
    pub(super) entries: u64,
    pub(super) covered: u64,
    /// Which frozen tables are in it, by number, inclusive.
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) index_len: u32,
    pub(super) index_crc: u32,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.level.to_le_bytes());
        for number in [self.entries, self.covered, self.first, self.last] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.index_len, self.index_crc, 0] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        out.try_into().expect("the parts sum up to the header")
    }

    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let mut rest = Bytes(bytes);
        let valid = rest.take::<8>()? == MAGIC
            && bytes[60..] == crc32fast::hash(&bytes[..60]).to_le_bytes()
            && rest.u32()? == VERSION;
        let level = rest.u32()?;
        let (entries, covered, first, last) = (rest.u64()?, rest.u64()?, rest.u64()?, rest.u64()?);
        let (index_len, index_crc) = (rest.u32()?, rest.u32()?);
        valid.then_some(Self { level, entries, covered, first, last, index_len, index_crc })
    }
}

/// Entries that follow each other, with a filter over their keys.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) start: u64,
    pub(super) entries: u64,
    pub(super) first_key: [u8; 16],
    pub(super) last_key: [u8; 16],
    /// Missing where it could not be built; then every key may be there.
    pub(super) filter: Option<BinaryFuse8>,
}

impl Partition {
    pub(super) fn may_hold(&self, key: &[u8; 16]) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.contains(&filter_key(key)))
    }
}

/// What filters know of a key.
pub(super) fn filter_key(key: &[u8; 16]) -> u64 {
    let (high, low) = key.split_at(8);
    let number = |half: &[u8]| u64::from_be_bytes(half.try_into().expect("half of sixteen bytes"));
    number(high) ^ number(low).rotate_left(29)
}

pub(super) fn encode_index(partitions: &[Partition], blocks: &[u32]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&(partitions.len() as u32).to_le_bytes());
    for Partition { start, entries, first_key, last_key, filter } in partitions {
        out.extend_from_slice(&start.to_le_bytes());
        out.extend_from_slice(&entries.to_le_bytes());
        out.extend_from_slice(first_key);
        out.extend_from_slice(last_key);
        let Some(BinaryFuse8 { descriptor, fingerprints }) = filter else {
            out.extend_from_slice(&[0; 24]);
            continue;
        };
        out.extend_from_slice(&descriptor.seed.to_le_bytes());
        for number in
            [descriptor.segment_length, descriptor.segment_length_mask, descriptor.segment_count_length]
        {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&(fingerprints.len() as u32).to_le_bytes());
        out.extend_from_slice(fingerprints);
    }
    for block in blocks {
        out.extend_from_slice(&block.to_le_bytes());
    }
    out
}

pub(super) fn decode_index(bytes: &[u8], entries: u64) -> Option<(Vec<Partition>, Vec<u32>)> {
    let mut rest = Bytes(bytes);
    let mut partitions = Vec::new();
    let mut next = 0;
    for _ in 0..rest.u32()? {
        let (start, entries) = (rest.u64()?, rest.u64()?);
        let (first_key, last_key) = (rest.take()?, rest.take()?);
        let descriptor = Descriptor {
            seed: rest.u64()?,
            segment_length: rest.u32()?,
            segment_length_mask: rest.u32()?,
            segment_count_length: rest.u32()?,
        };
        let len = rest.u32()? as usize;
        let (fingerprints, behind) = rest.0.split_at_checked(len)?;
        rest = Bytes(behind);
        let filter = (len > 0).then(|| BinaryFuse8 { descriptor, fingerprints: fingerprints.into() });
        if start != next || entries == 0 {
            return None;
        }
        next = start + entries;
        partitions.push(Partition { start, entries, first_key, last_key, filter });
    }
    let blocks: Vec<u32> =
        rest.0.chunks_exact(4).map(|crc| u32::from_le_bytes(crc.try_into().expect("four bytes"))).collect();
    let whole = next == entries
        && blocks.len() as u64 == entries.div_ceil(BLOCK_ENTRIES as u64)
        && rest.0.len() % 4 == 0;
    whole.then_some((partitions, blocks))
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}
