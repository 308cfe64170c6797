//! The files: opening, appending, reading on.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use cdp_domain::ids::TenantNo;
use cdp_domain::time::Timestamp;
use parking_lot::Mutex;

use super::entry::{Entry, NOTHING, Place};
use super::head::{self, Head, HeadFile};
use crate::seal::{DataKeys, Digests};
use crate::{Error, Result, files};

pub(super) const ENTRIES: &str = "entries";

/// What is to be written down.
#[derive(Debug, Clone)]
pub struct New {
    /// When.
    pub at: Timestamp,
    /// Where it comes from: what stands there already is not written again. None: behind the last entry.
    pub place: Option<Place>,
    /// With which data key it is sealed.
    pub key_ref: [u8; 16],
    /// What it says.
    pub content: Vec<u8>,
}

/// A chain that is open for appending.
#[derive(Debug)]
pub struct Chain {
    dir: PathBuf,
    tenant: TenantNo,
    digests: Digests,
    tail: Mutex<Tail>,
}

#[derive(Debug)]
struct Tail {
    file: File,
    bytes: u64,
    head: Head,
    head_file: HeadFile,
    place: Option<Place>,
}

impl Chain {
    /// Opens the chain in `dir`, or makes an empty one. Cuts a line that a crash left half written.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the last line is no entry, or the chain is shorter than its head says; [`Error::Io`].
    pub fn open(dir: &Path, tenant: TenantNo, digests: Digests) -> Result<Self> {
        files::create_dir(dir)?;
        let path = dir.join(ENTRIES);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(Error::io("open", &path))?;
        let (mut bytes, last) = last_line(&mut file).map_err(Error::io("read", &path))?;
        file.set_len(bytes).map_err(Error::io("cut", &path))?;
        let damaged = |offset, what| Error::Damaged { file: path.clone(), offset, what };
        let (head, place) = match &last {
            None => (Head { n: 0, hash: NOTHING }, None),
            Some(line) => {
                let entry = Entry::read(line).map_err(|what| damaged(bytes - line.len() as u64 - 1, what))?;
                (Head { n: entry.n, hash: entry.hash }, Some(entry.place))
            }
        };
        let known = head::newest(dir, &digests)?;
        if known.is_some_and(|known| known.n > head.n || (known.n == head.n && known.hash != head.hash)) {
            return Err(damaged(bytes, "the chain is not the one that its head was written for"));
        }
        file.seek(SeekFrom::Start(bytes)).map_err(Error::io("read", &path))?;
        bytes = file.stream_position().map_err(Error::io("read", &path))?;
        // A crash may have come between the entries and the head; or it is new.
        let head_file = HeadFile::open(dir, &digests, head)?;
        let chain = Self {
            dir: dir.to_owned(),
            tenant,
            digests,
            tail: Mutex::new(Tail { file, bytes, head, head_file, place }),
        };
        files::sync_dir(dir)?;
        Ok(chain)
    }

    /// Appends entries whose places are above that of the last one; the others stand there already. Durable when it
    /// returns, all of them or, after a crash, the first some. How many were written.
    ///
    /// An entry whose key is destroyed says nothing any more and is left out.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Randomness`]. What was not written can be appended again.
    pub fn append(&self, keys: &dyn DataKeys, entries: &[New]) -> Result<u64> {
        let mut tail = self.tail.lock();
        let (mut head, mut place) = (tail.head, tail.place);
        let mut text = String::new();
        for new in entries {
            let behind = (place.map_or(0, |(position, _)| position) + 1, 0);
            let at = new.place.unwrap_or(behind);
            if place.is_some_and(|place| at <= place) {
                continue;
            }
            let numbers = (head.n + 1, new.at, at);
            match Entry::seal(keys, self.tenant, numbers, new.key_ref, &new.content, head.hash) {
                Ok(entry) => {
                    text.push_str(&entry.line());
                    head = Head { n: entry.n, hash: entry.hash };
                    place = Some(at);
                }
                Err(Error::KeyDestroyed) => {}
                Err(error) => return Err(error),
            }
        }
        let written = head.n - tail.head.n;
        if written == 0 {
            return Ok(0);
        }
        let path = self.dir.join(ENTRIES);
        let bytes = tail.bytes;
        let append = |file: &mut File| {
            // What a failed append left behind is written over.
            file.set_len(bytes)?;
            file.seek(SeekFrom::Start(bytes))?;
            file.write_all(text.as_bytes())?;
            file.sync_data()
        };
        append(&mut tail.file).map_err(Error::io("append to", &path))?;
        tail.bytes += text.len() as u64;
        (tail.head, tail.place) = (head, place);
        tail.head_file.put(&self.dir, &self.digests, head)?;
        Ok(written)
    }

    /// How many entries there are, and the hash of the last.
    #[must_use]
    pub fn head(&self) -> (u64, [u8; 32]) {
        let head = self.tail.lock().head;
        (head.n, head.hash)
    }

    /// The place of the last entry.
    #[must_use]
    pub fn last_place(&self) -> Option<Place> {
        self.tail.lock().place
    }

    /// At most `limit` entries from an offset of bytes on, and the offset behind them; the first begins at 0.
    ///
    /// # Errors
    /// [`Error::Damaged`] when no entry begins there; [`Error::Io`].
    pub fn read(&self, from: u64, limit: usize) -> Result<(Vec<Entry>, u64)> {
        let path = self.dir.join(ENTRIES);
        let end = self.tail.lock().bytes;
        let mut file = File::open(&path).map_err(Error::io("open", &path))?;
        file.seek(SeekFrom::Start(from)).map_err(Error::io("read", &path))?;
        let mut reader = BufReader::new(file.take(end.saturating_sub(from)));
        let (mut entries, mut at, mut line) = (Vec::new(), from, String::new());
        while entries.len() < limit {
            line.clear();
            let bytes = reader.read_line(&mut line).map_err(Error::io("read", &path))?;
            if bytes == 0 {
                break;
            }
            let damaged = |what| Error::Damaged { file: path.clone(), offset: at, what };
            entries.push(Entry::read(line.trim_end_matches('\n')).map_err(damaged)?);
            at += bytes as u64;
        }
        Ok((entries, at))
    }

    /// The last `limit` entries, oldest first: read from the end, however long the chain is.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::Io`].
    pub fn newest(&self, limit: usize) -> Result<Vec<Entry>> {
        let path = self.dir.join(ENTRIES);
        let end = self.tail.lock().bytes;
        let mut file = File::open(&path).map_err(Error::io("open", &path))?;
        let mut window = WINDOW_BYTES;
        loop {
            let from = end.saturating_sub(window);
            let mut bytes = Vec::new();
            let read = |file: &mut File, bytes: &mut Vec<u8>| {
                file.seek(SeekFrom::Start(from))?;
                file.take(end - from).read_to_end(bytes)
            };
            read(&mut file, &mut bytes).map_err(Error::io("read", &path))?;
            let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            if from > 0 && lines.len() <= limit {
                window = window.saturating_mul(4);
                continue;
            }
            // Before the last ones there is a whole line, or the beginning of the file.
            let lines = lines.split_off(lines.len().saturating_sub(limit));
            let damaged = |what| Error::Damaged { file: path.clone(), offset: from, what };
            let entry = |line: &[u8]| {
                let line = std::str::from_utf8(line).map_err(|_| damaged("an entry is not text"))?;
                Entry::read(line.trim_end_matches('\n')).map_err(damaged)
            };
            return lines.into_iter().map(entry).collect();
        }
    }
}

/// Bytes at the end of a chain that are read at first for the newest entries.
const WINDOW_BYTES: u64 = 1 << 16;

/// Where the last whole line ends, and that line.
fn last_line(file: &mut File) -> std::io::Result<(u64, Option<String>)> {
    let length = file.metadata()?.len();
    let mut window = 1 << 16;
    loop {
        let from = length.saturating_sub(window);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(length - from).read_to_end(&mut bytes)?;
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let begin = bytes[..end.saturating_sub(1)].iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
        match begin {
            Some(begin) => {
                let line = String::from_utf8_lossy(&bytes[begin..end - 1]).into_owned();
                return Ok((from + end as u64, Some(line)));
            }
            None if from > 0 => window *= 2,
            None if end == 0 => return Ok((0, None)),
            None => return Ok((end as u64, Some(String::from_utf8_lossy(&bytes[..end - 1]).into_owned()))),
        }
    }
}
