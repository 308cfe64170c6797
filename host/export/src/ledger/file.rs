//! Entries on disk: frames of a length, a checksum by sealing, and postcard inside. A frame that is cut off at the end of
//! a log was not finished, and is as if it were not there; damage anywhere else is an error.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::Path;

use cdp_engine::{Refused, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes of a frame; far above what is ever written.
const FRAME_BYTES_MAX: u32 = 64 << 20;

/// Seals frames, and opens them.
pub(crate) trait Seal {
    fn seal(&self, bytes: &[u8]) -> Result<Vec<u8>>;
    fn open(&self, sealed: &[u8]) -> Result<Vec<u8>>;
}

/// Appends frames to whatever takes bytes.
pub(crate) struct FramesWriter<'a, W> {
    out: W,
    seal: &'a dyn Seal,
}

impl<'a, W: Write> FramesWriter<'a, W> {
    pub(crate) fn new(out: W, seal: &'a dyn Seal) -> Self {
        Self { out, seal }
    }

    pub(crate) fn push<T: Serialize>(&mut self, frame: &T) -> Result<()> {
        let sealed = self.seal.seal(&postcard::to_stdvec(frame).map_err(Refused::internal)?)?;
        let length = u32::try_from(sealed.len()).map_err(Refused::internal)?;
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend_from_slice(&sealed);
        self.out.write_all(&bytes).map_err(Refused::internal)
    }

    pub(crate) fn into_inner(self) -> W {
        self.out
    }
}

/// Reads frames, first to last.
pub(crate) struct Frames<'a, T> {
    reader: Option<BufReader<File>>,
    seal: &'a dyn Seal,
    /// Where the last whole frame ends.
    pub(crate) end: u64,
    length: u64,
    kind: PhantomData<T>,
}

impl<'a, T: DeserializeOwned> Frames<'a, T> {
    /// Of a file; a file that is not there has none.
    pub(crate) fn open(path: &Path, seal: &'a dyn Seal) -> Result<Self> {
        let file = match File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            file => Some(file.map_err(Refused::internal)?),
        };
        let length = match &file {
            Some(file) => file.metadata().map_err(Refused::internal)?.len(),
            None => 0,
        };
        let reader = file.map(|file| BufReader::with_capacity(1 << 16, file));
        Ok(Self { reader, seal, end: 0, length, kind: PhantomData })
    }

    /// Of a file, from a frame's beginning on.
    pub(crate) fn at(path: &Path, seal: &'a dyn Seal, at: u64) -> Result<Self> {
        let mut frames = Self::open(path, seal)?;
        if let Some(reader) = &mut frames.reader {
            reader.seek(SeekFrom::Start(at)).map_err(Refused::internal)?;
        }
        frames.end = at;
        Ok(frames)
    }

    fn read(&mut self) -> Result<Option<T>> {
        let Some(reader) = &mut self.reader else { return Ok(None) };
        let mut length = [0; 4];
        if self.end + 4 > self.length {
            return Ok(None);
        }
        reader.read_exact(&mut length).map_err(Refused::internal)?;
        let length = u32::from_le_bytes(length);
        if self.end + 4 + u64::from(length) > self.length {
            return Ok(None);
        }
        if length > FRAME_BYTES_MAX {
            return Err(Refused::internal("a frame of a ledger of exports has no sensible length"));
        }
        let mut sealed = vec![0; length as usize];
        reader.read_exact(&mut sealed).map_err(Refused::internal)?;
        self.end += 4 + u64::from(length);
        let frame = postcard::from_bytes(&self.seal.open(&sealed)?).map_err(Refused::internal)?;
        Ok(Some(frame))
    }
}

impl<T: DeserializeOwned> Iterator for Frames<'_, T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read().transpose();
        if matches!(read, Some(Err(_)) | None) {
            self.reader = None;
        }
        read
    }
}

/// Opens a log to append behind its last whole frame, which ends at `end`.
pub(crate) fn append_at(path: &Path, end: u64) -> Result<File> {
    let mut options = File::options();
    let mut file =
        options.read(true).write(true).create(true).truncate(false).open(path).map_err(Refused::internal)?;
    file.set_len(end).map_err(Refused::internal)?;
    file.seek(SeekFrom::End(0)).map_err(Refused::internal)?;
    Ok(file)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Seals nothing, for tests.
    pub(crate) struct Open;

    impl Seal for Open {
        fn seal(&self, bytes: &[u8]) -> Result<Vec<u8>> {
            Ok(bytes.to_vec())
        }

        fn open(&self, sealed: &[u8]) -> Result<Vec<u8>> {
            Ok(sealed.to_vec())
        }
    }

    #[test]
    fn a_log_that_is_cut_anywhere_has_the_frames_before_the_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut writer = FramesWriter::new(append_at(&path, 0).unwrap(), &Open);
        let frames = ["one", "", "three"].map(str::to_owned);
        frames.iter().for_each(|frame| writer.push(frame).unwrap());
        drop(writer);
        let whole = std::fs::read(&path).unwrap();
        let ends = [0, 8, 13, 23];
        assert_eq!(whole.len(), 23);
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut read = Frames::<String>::open(&path, &Open).unwrap();
            let found: Vec<_> = read.by_ref().map(Result::unwrap).collect();
            let count = ends.iter().filter(|end| **end <= cut).count() - 1;
            assert_eq!(
                (found.as_slice(), read.end as usize),
                (&frames[..count], ends[count]),
                "cut at {cut}"
            );
            let mut writer = FramesWriter::new(append_at(&path, read.end).unwrap(), &Open);
            writer.push(&"again".to_owned()).unwrap();
            let last = Frames::<String>::open(&path, &Open).unwrap().last().unwrap().unwrap();
            assert_eq!(last, "again");
        }
    }
}
