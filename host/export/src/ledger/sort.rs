//! Sorting records of fixed width with bounded memory: sorted parts on disk, merged while they are read.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

use cdp_engine::{Refused, Result};
use cdp_store::files::UNFINISHED;

/// Records that are sorted in memory at a time.
pub const SORT_RECORDS: usize = 262_144;

/// Takes records in any order. Parts on disk end with what unfinished files end with: a crash leaves nothing behind.
pub(crate) struct Sorter<const N: usize> {
    base: PathBuf,
    held: Vec<[u8; N]>,
    parts: Vec<PathBuf>,
    records_max: usize,
}

impl<const N: usize> Sorter<N> {
    /// Begins; parts are written beside `base`.
    pub(crate) fn new(base: &Path) -> Self {
        Self::with(base, SORT_RECORDS)
    }

    fn with(base: &Path, records_max: usize) -> Self {
        Self { base: base.to_owned(), held: Vec::new(), parts: Vec::new(), records_max }
    }

    pub(crate) fn push(&mut self, record: [u8; N]) -> Result<()> {
        self.held.push(record);
        if self.held.len() >= self.records_max { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<()> {
        self.held.sort_unstable();
        let mut name = self.base.as_os_str().to_owned();
        name.push(format!(".{}{UNFINISHED}", self.parts.len()));
        let path = PathBuf::from(name);
        self.parts.push(path.clone());
        let mut file =
            std::io::BufWriter::with_capacity(1 << 16, File::create(&path).map_err(Refused::internal)?);
        for record in self.held.drain(..) {
            file.write_all(&record).map_err(Refused::internal)?;
        }
        file.flush().map_err(Refused::internal)
    }

    /// All records, ascending.
    pub(crate) fn finish(mut self) -> Result<Sorted<N>> {
        self.held.sort_unstable();
        let mut sources = Vec::with_capacity(self.parts.len() + 1);
        for path in &self.parts {
            sources.push(Source::Part(BufReader::with_capacity(
                1 << 16,
                File::open(path).map_err(Refused::internal)?,
            )));
        }
        sources.push(Source::Held(std::mem::take(&mut self.held).into_iter()));
        let mut sorted = Sorted { sources, heads: BinaryHeap::new(), _parts: Parts(self.parts.split_off(0)) };
        for n in 0..sorted.sources.len() {
            sorted.refill(n)?;
        }
        Ok(sorted)
    }
}

impl<const N: usize> Drop for Sorter<N> {
    fn drop(&mut self) {
        Parts(std::mem::take(&mut self.parts));
    }
}

/// Files that go when nobody reads them any more.
struct Parts(Vec<PathBuf>);

impl Drop for Parts {
    fn drop(&mut self) {
        self.0.iter().for_each(|path| drop(std::fs::remove_file(path)));
    }
}

enum Source<const N: usize> {
    Part(BufReader<File>),
    Held(std::vec::IntoIter<[u8; N]>),
}

/// Records, ascending.
pub(crate) struct Sorted<const N: usize> {
    sources: Vec<Source<N>>,
    heads: BinaryHeap<Reverse<([u8; N], usize)>>,
    _parts: Parts,
}

impl<const N: usize> Sorted<N> {
    fn refill(&mut self, n: usize) -> Result<()> {
        let record = match &mut self.sources[n] {
            Source::Held(held) => held.next(),
            Source::Part(part) => {
                let mut record = [0; N];
                match part.read_exact(&mut record) {
                    Ok(()) => Some(record),
                    Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => None,
                    Err(error) => return Err(Refused::internal(error)),
                }
            }
        };
        self.heads.extend(record.map(|record| Reverse((record, n))));
        Ok(())
    }
}

impl<const N: usize> Iterator for Sorted<N> {
    type Item = Result<[u8; N]>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((record, n)) = self.heads.pop()?;
        Some(self.refill(n).map(|()| record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_come_back_sorted_whatever_fits_into_memory(
            records in prop::collection::vec(any::<[u8; 3]>(), 0..200),
            records_max in 1_usize..50,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut sorter = Sorter::with(&dir.path().join("x"), records_max);
            records.iter().for_each(|record| sorter.push(*record).unwrap());
            let sorted: Vec<_> = sorter.finish().unwrap().map(Result::unwrap).collect();
            let mut want = records;
            want.sort_unstable();
            prop_assert_eq!(sorted, want);
            prop_assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn memory_holds_no_more_than_a_part() {
        let dir = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::<4>::new(&dir.path().join("x"));
        for n in 0..=SORT_RECORDS as u32 {
            sorter.push(n.to_be_bytes()).unwrap();
        }
        assert_eq!((sorter.held.len(), sorter.parts.len()), (1, 1));
    }
}
