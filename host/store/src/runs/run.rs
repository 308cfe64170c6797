//! Searching one run: filters in memory, blocks by positional reads.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::build::{key_of, value_of};
use super::format::{
    BLOCK_BYTES, BLOCK_ENTRIES, DATA_AT, ENTRY_BYTES, Entry, HEADER_BYTES, Header, Partition, decode_index,
};
use crate::{Error, Result};

/// Blocks that are read at once when a run is read from its beginning.
const STRIDE: usize = 64;
/// Probes of a search that guess by the key's value; the others halve, so that uneven keys cost no more than a logarithm.
const GUESSES: u32 = 3;

/// A run file, open.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) header: Header,
    pub(super) path: PathBuf,
    file: File,
    partitions: Vec<Partition>,
    blocks: Vec<u32>,
}

impl Run {
    /// Opens a run and checks header and index, and with `whole` every block.
    pub(super) fn open(path: &Path, whole: bool) -> Result<Self> {
        let damaged = |offset, what| Error::Damaged { file: path.to_owned(), offset, what };
        let file = File::open(path).map_err(Error::io("open", path))?;
        let len = file.metadata().map_err(Error::io("read", path))?.len();
        let mut header = [0; HEADER_BYTES];
        if len < DATA_AT {
            return Err(damaged(len, "the run is shorter than its header"));
        }
        file.read_exact_at(&mut header, 0).map_err(Error::io("read", path))?;
        let header = Header::decode(&header).ok_or_else(|| damaged(0, "the run's header is not one"))?;
        let index_at =
            header.entries.checked_mul(ENTRY_BYTES as u64).and_then(|bytes| bytes.checked_add(DATA_AT));
        let index_at = index_at.filter(|at| at.checked_add(header.index_len.into()) == Some(len));
        let index_at = index_at.ok_or_else(|| damaged(len, "the run has another length than it says"))?;
        let mut index = vec![0; header.index_len as usize];
        file.read_exact_at(&mut index, index_at).map_err(Error::io("read", path))?;
        if crc32fast::hash(&index) != header.index_crc {
            return Err(damaged(index_at, "the run's index fails its checksum"));
        }
        let (partitions, blocks) = decode_index(&index, header.entries)
            .ok_or_else(|| damaged(index_at, "the run's index is malformed"))?;
        let run = Self { header, path: path.to_owned(), file, partitions, blocks };
        if whole {
            let mut stream = Stream::new(&run);
            while stream.next()?.is_some() {}
        }
        Ok(run)
    }

    /// The largest value of a key.
    pub(super) fn get(&self, key: &[u8; 16]) -> Result<Option<[u8; 16]>> {
        self.back(key, None)?.next()
    }

    /// Whether the key may be here; says no by the filters, without reading.
    pub(super) fn may_hold(&self, key: &[u8; 16]) -> bool {
        self.partitions[self.around(key)].iter().any(|partition| partition.may_hold(key))
    }

    /// Walks the values of a key down, from the largest below `before`.
    pub(super) fn back(&self, key: &[u8; 16], before: Option<[u8; 16]>) -> Result<Back<'_>> {
        let mut cursor = Cursor { run: self, block: None, bytes: Vec::new() };
        let around = self.around(key);
        let partitions = &self.partitions[around];
        let (Some(first), Some(last)) = (partitions.first(), partitions.last()) else {
            return Ok(Back { cursor, key: *key, range: 0..0 });
        };
        let range = first.start..last.start + last.entries;
        let end = if partitions.iter().any(|partition| partition.may_hold(key)) {
            let span = (number(&first.first_key), number(&last.last_key));
            cursor.count_before(key, before, range.clone(), span)?
        } else {
            range.start
        };
        Ok(Back { cursor, key: *key, range: range.start..end })
    }

    /// The partitions in which a key can be; more than one when its values are many.
    fn around(&self, key: &[u8; 16]) -> Range<usize> {
        let from = self.partitions.partition_point(|partition| partition.last_key < *key);
        let to = self.partitions.partition_point(|partition| partition.first_key <= *key);
        from..to.max(from)
    }

    fn read_blocks(&self, first: usize, bytes: &mut Vec<u8>, blocks: usize) -> Result<()> {
        let from = first * BLOCK_BYTES;
        let end = (self.header.entries as usize * ENTRY_BYTES).min(from + blocks * BLOCK_BYTES);
        bytes.resize(end - from, 0);
        self.file.read_exact_at(bytes, DATA_AT + from as u64).map_err(Error::io("read", &self.path))?;
        for (n, block) in bytes.chunks(BLOCK_BYTES).enumerate() {
            if crc32fast::hash(block) != self.blocks[first + n] {
                let offset = DATA_AT + ((first + n) * BLOCK_BYTES) as u64;
                return Err(Error::Damaged {
                    file: self.path.clone(),
                    offset,
                    what: "a block fails its checksum",
                });
            }
        }
        Ok(())
    }
}

/// Reads entries by number, keeping the last block.
struct Cursor<'a> {
    run: &'a Run,
    block: Option<usize>,
    bytes: Vec<u8>,
}

impl Cursor<'_> {
    fn load(&mut self, block: usize) -> Result<&[u8]> {
        if self.block != Some(block) {
            self.block = None;
            self.run.read_blocks(block, &mut self.bytes, 1)?;
            self.block = Some(block);
        }
        Ok(&self.bytes)
    }

    fn entry(&mut self, at: u64) -> Result<&[u8]> {
        let at = at as usize;
        let bytes = self.load(at / BLOCK_ENTRIES)?;
        let from = at % BLOCK_ENTRIES * ENTRY_BYTES;
        Ok(&bytes[from..from + ENTRY_BYTES])
    }

    /// The number of the first entry of `range` that is not before the bound: not smaller than key and value, or than every value of the key.
    fn count_before(
        &mut self,
        key: &[u8; 16],
        before: Option<[u8; 16]>,
        range: Range<u64>,
        mut span: (u64, u64),
    ) -> Result<u64> {
        let is_before = |entry: &[u8]| match entry[..16].cmp(key) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Greater => false,
            std::cmp::Ordering::Equal => before.is_none_or(|before| entry[16..] < before[..]),
        };
        // The answer lies in [low, high] all along.
        let (mut low, mut high) = (range.start, range.end);
        let mut probes = 0;
        while low < high {
            let guess = if probes < GUESSES {
                interpolate(number(key), span, low..high)
            } else {
                low + (high - low) / 2
            };
            probes += 1;
            let block = guess as usize / BLOCK_ENTRIES;
            let start = (block * BLOCK_ENTRIES) as u64;
            let bytes = self.load(block)?;
            // Only the part of the block that is within bounds.
            let from = low.max(start);
            let to = high.min(start + (bytes.len() / ENTRY_BYTES) as u64);
            let entries = bytes[(from - start) as usize * ENTRY_BYTES..(to - start) as usize * ENTRY_BYTES]
                .as_chunks::<ENTRY_BYTES>()
                .0;
            let within = entries.partition_point(|entry| is_before(entry)) as u64;
            if within == to - from {
                low = to;
                span.0 = entries.last().map_or(span.0, |entry| number(&key_of(entry)));
            } else if within == 0 {
                high = from;
                span.1 = entries.first().map_or(span.1, |entry| number(&key_of(entry)));
            } else {
                return Ok(from + within);
            }
        }
        Ok(low)
    }
}

/// The values of one key, from the largest down.
pub(super) struct Back<'a> {
    cursor: Cursor<'a>,
    key: [u8; 16],
    range: Range<u64>,
}

impl Back<'_> {
    pub(super) fn next(&mut self) -> Result<Option<[u8; 16]>> {
        let Some(at) = self.range.end.checked_sub(1).filter(|at| *at >= self.range.start) else {
            return Ok(None);
        };
        let key = self.key;
        let entry = self.cursor.entry(at)?;
        let value = (key_of(entry) == key).then(|| value_of(entry));
        self.range.end = if value.is_some() { at } else { self.range.start };
        Ok(value)
    }
}

/// All entries of a run, in order, read in long strides.
pub(super) struct Stream<'a> {
    run: &'a Run,
    bytes: Vec<u8>,
    at: usize,
    next_block: usize,
}

impl<'a> Stream<'a> {
    pub(super) fn new(run: &'a Run) -> Self {
        Self { run, bytes: Vec::new(), at: 0, next_block: 0 }
    }

    pub(super) fn next(&mut self) -> Result<Option<Entry>> {
        if self.at == self.bytes.len() {
            if self.next_block == self.run.blocks.len() {
                return Ok(None);
            }
            let blocks = STRIDE.min(self.run.blocks.len() - self.next_block);
            self.run.read_blocks(self.next_block, &mut self.bytes, blocks)?;
            self.next_block += blocks;
            self.at = 0;
        }
        let entry = self.bytes[self.at..self.at + ENTRY_BYTES].try_into().expect("blocks hold whole entries");
        self.at += ENTRY_BYTES;
        Ok(Some(entry))
    }
}

/// Where a key would stand if keys were spread evenly over the span.
fn interpolate(key: u64, span: (u64, u64), range: Range<u64>) -> u64 {
    let (low, high) = span;
    let len = range.end - range.start;
    if key <= low || high <= low {
        return range.start;
    }
    let share = u128::from(key - low) * u128::from(len) / (u128::from(high - low) + 1);
    range.start + u64::try_from(share).unwrap_or(u64::MAX).min(len - 1)
}

fn number(key: &[u8; 16]) -> u64 {
    u64::from_be_bytes(key[..8].try_into().expect("eight bytes of sixteen"))
}
