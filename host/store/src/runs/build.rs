//! Writing a run: entries stream through, sorted; memory is bounded by one partition and the index.

use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use xorf::BinaryFuse8;

use super::format::{BLOCK_BYTES, DATA_AT, ENTRY_BYTES, Entry, Header, Partition, encode_index, filter_key};
use crate::files::NewFile;
use crate::{Error, Result};

/// A run being written; without [`finish`](Self::finish) it leaves nothing behind.
pub(super) struct Builder {
    file: NewFile,
    path: PathBuf,
    partition_max: usize,
    block: Vec<u8>,
    blocks: Vec<u32>,
    partitions: Vec<Partition>,
    /// Filter keys of the partition that is being filled.
    keys: Vec<u64>,
    /// Its beginning, and its first key.
    begun: Option<(u64, [u8; 16])>,
    last: Option<Entry>,
    entries: u64,
}

impl Builder {
    /// Begins the run that will be called `path`, with partitions of `partition_max` entries.
    pub(super) fn create(path: &Path, partition_max: usize) -> Result<Self> {
        let mut file = NewFile::create(path)?;
        file.write_all(&[0; DATA_AT as usize]).map_err(Error::io("write", path))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            partition_max,
            block: Vec::with_capacity(BLOCK_BYTES),
            blocks: Vec::new(),
            partitions: Vec::new(),
            keys: Vec::new(),
            begun: None,
            last: None,
            entries: 0,
        })
    }

    /// Adds an entry, which sorts behind or equals the one before; an equal one is left out.
    pub(super) fn push(&mut self, entry: &Entry) -> Result<()> {
        if self.last.as_ref() == Some(entry) {
            return Ok(());
        }
        debug_assert!(self.last.is_none_or(|last| last < *entry), "entries come in order");
        if self.keys.len() == self.partition_max {
            self.end_partition();
        }
        let key = key_of(entry);
        self.begun.get_or_insert((self.entries, key));
        self.keys.push(filter_key(&key));
        self.last = Some(*entry);
        self.entries += 1;
        self.block.extend_from_slice(entry);
        if self.block.len() == BLOCK_BYTES { self.end_block() } else { Ok(()) }
    }

    /// Writes index and header, syncs, and names the file. Durable when it returns.
    pub(super) fn finish(mut self, level: u32, covered: u64, numbers: (u64, u64)) -> Result<()> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        self.end_partition();
        let index = encode_index(&self.partitions, &self.blocks);
        self.file.write_all(&index).map_err(Error::io("write", &self.path))?;
        let header = Header {
            level,
            entries: self.entries,
            covered,
            first: numbers.0,
            last: numbers.1,
            index_len: u32::try_from(index.len()).expect("an index of a run is smaller than 4 GiB"),
            index_crc: crc32fast::hash(&index),
        };
        self.file.flushed()?.write_all_at(&header.encode(), 0).map_err(Error::io("write", &self.path))?;
        self.file.commit()
    }

    fn end_block(&mut self) -> Result<()> {
        self.blocks.push(crc32fast::hash(&self.block));
        self.file.write_all(&self.block).map_err(Error::io("write", &self.path))?;
        self.block.clear();
        Ok(())
    }

    fn end_partition(&mut self) {
        let (Some((start, first_key)), Some(last)) = (self.begun.take(), &self.last) else { return };
        let last_key = key_of(last);
        self.keys.sort_unstable();
        self.keys.dedup();
        // It fails about never for distinct keys; without a filter the run is slower and right.
        let filter = BinaryFuse8::try_from(&self.keys[..]).ok();
        self.keys.clear();
        self.partitions.push(Partition { start, entries: self.entries - start, first_key, last_key, filter });
    }
}

/// The key of an entry.
pub(super) fn key_of(entry: &[u8]) -> [u8; 16] {
    entry[..16].try_into().expect("an entry begins with its key")
}

/// The value of an entry.
pub(super) fn value_of(entry: &[u8]) -> [u8; 16] {
    entry[16..ENTRY_BYTES].try_into().expect("an entry ends with its value")
}

/// A key and a value as an entry.
pub(super) fn entry_of(key: &[u8; 16], value: &[u8; 16]) -> Entry {
    let mut entry = [0; ENTRY_BYTES];
    entry[..16].copy_from_slice(key);
    entry[16..].copy_from_slice(value);
    entry
}
