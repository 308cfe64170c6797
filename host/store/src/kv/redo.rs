//! Large batches in small steps: what makes many sled batches one.
//!
//! sled frees what a batch replaced only when the batch ends, and holds on to every page it touched: a batch of 65,000 rows
//! takes a gigabyte of memory and most of its time to clear new pages. So a large batch goes into a *redo file* first,
//! and then into sled in steps of [`STEP`] operations. After a crash in between, opening puts the whole file in again.
//! Borrowed idea: redo logging (Mohan et al., ARIES, 1992), with one record and whole values.
//!
//! Two numbers in a tree of their own say where things stand: `begun` is written before the first step of batch k, `done` after
//! the last. sled recovers a prefix of what was written to it, so `begun` = `done` means that nothing is half done.
//! Where `begun` is ahead and the file of that number is missing or damaged, which takes a loss of power, the database is not usable.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::files::NewFile;
use crate::kv::batch::Operation;
use crate::{Error, Result};

/// Operations in one step.
pub(super) const STEP: usize = 512;

const MAGIC: &[u8; 8] = b"cdpredo1";
const HEADER: usize = 8 + 8 + 4;
/// In the place of a value's length: the key is deleted.
const DELETED: u32 = u32::MAX;

/// The redo file of a database directory.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join("redo")
}

/// Writes the file of batch `number`; it stands whole under its name, synced, when this returns.
pub(super) fn write(dir: &Path, number: u64, operations: &[Operation]) -> Result<()> {
    let path = path(dir);
    let mut file = Summed { file: NewFile::create(&path)?, hasher: crc32fast::Hasher::new() };
    let count = u32::try_from(operations.len()).expect("a batch fits into memory");
    let written = (|| {
        file.put(MAGIC)?;
        file.put(&number.to_le_bytes())?;
        file.put(&count.to_le_bytes())?;
        for (key, value) in operations {
            let length = value.as_ref().map_or(DELETED, |value| value.len() as u32);
            file.put(&[key.len() as u8])?;
            file.put(&length.to_le_bytes())?;
            file.put(key)?;
            file.put(value.as_deref().unwrap_or_default())?;
        }
        let sum = file.hasher.clone().finalize();
        file.put(&sum.to_le_bytes())
    })();
    written.map_err(Error::io("write", &path))?;
    file.file.commit()
}

struct Summed {
    file: NewFile,
    hasher: crc32fast::Hasher,
}

impl Summed {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.file.write_all(bytes)
    }
}

/// Reads the file of batch `number`; None when there is none of that number, or it is damaged.
pub(super) fn read(dir: &Path, number: u64) -> Result<Option<Vec<Operation>>> {
    let path = path(dir);
    match fs::read(&path) {
        Ok(bytes) => Ok(parse(&bytes, number)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", &path)(error)),
    }
}

fn parse(bytes: &[u8], number: u64) -> Option<Vec<Operation>> {
    let (bytes, sum) = bytes.split_last_chunk::<4>()?;
    if bytes.len() < HEADER || crc32fast::hash(bytes) != u32::from_le_bytes(*sum) {
        return None;
    }
    let (header, mut rest) = bytes.split_at(HEADER);
    if !header.starts_with(MAGIC) || header[8..16] != number.to_le_bytes() {
        return None;
    }
    let count = u32::from_le_bytes(header[16..].try_into().ok()?) as usize;
    let mut operations = Vec::with_capacity(count);
    for _ in 0..count {
        let (key_length, after) = rest.split_first()?;
        let (length, after) = after.split_first_chunk::<4>()?;
        let (key, after) = after.split_at_checked(usize::from(*key_length))?;
        let length = u32::from_le_bytes(*length);
        let (value, after) = after.split_at_checked(if length == DELETED { 0 } else { length as usize })?;
        operations.push((key.to_vec(), (length != DELETED).then(|| value.to_vec())));
        rest = after;
    }
    rest.is_empty().then_some(operations)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operations() -> Vec<Operation> {
        (0..2000_u32)
            .map(|n| (n.to_be_bytes().to_vec(), (n % 3 != 0).then(|| vec![n as u8; (n % 300) as usize])))
            .collect()
    }

    #[test]
    fn what_was_written_reads_back_under_its_number_only() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path(), 1).unwrap(), None);
        write(dir.path(), 1, &operations()).unwrap();
        assert_eq!(read(dir.path(), 1).unwrap(), Some(operations()));
        assert_eq!(read(dir.path(), 2).unwrap(), None);
        write(dir.path(), 2, &[]).unwrap();
        assert_eq!(read(dir.path(), 2).unwrap(), Some(Vec::new()));
    }

    #[test]
    fn a_file_with_a_changed_byte_or_a_missing_end_is_none() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), 1, &operations()).unwrap();
        let whole = fs::read(path(dir.path())).unwrap();
        for at in (0..whole.len()).step_by(997) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert_eq!(parse(&damaged, 1), None, "byte {at}");
            assert_eq!(parse(&whole[..at], 1), None, "{at} bytes");
        }
    }
}
