//! The list of a backup's files: one line each, and a last line with the digest of all before.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::{Error, Result};

/// The name of the list.
pub const LIST: &str = "backup.list";
/// The first line.
const FIRST: &str = "cdp-backup 1";
/// Bytes read at a time.
const BLOCK: usize = 1 << 20;

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its path below the backup, with slashes.
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) digest: String,
}

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct List {
    /// When it was made, as RFC 3339 writes it.
    pub(super) created_at: String,
    /// How long the file of erasures was then, and its digest.
    pub(super) erasures: (u64, String),
    pub(super) files: Vec<Listed>,
}

impl List {
    pub(super) fn print(&self) -> String {
        let mut text = format!("{FIRST}\ncreated_at {}\n", self.created_at);
        text.push_str(&format!("erasures {} {}\n", self.erasures.0, self.erasures.1));
        for file in &self.files {
            text.push_str(&format!("file {} {} {}\n", file.bytes, file.digest, file.path));
        }
        let digest = blake3::hash(text.as_bytes()).to_hex();
        text.push_str(&format!("end {digest}\n"));
        text
    }

    pub(super) fn read(backup: &Path) -> Result<Self> {
        let path = backup.join(LIST);
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::Backup { path: backup.to_owned(), what: "it is no whole backup" });
            }
            read => read.map_err(Error::io("read", &path))?,
        };
        let damaged =
            |offset: usize, what| Error::Damaged { file: path.clone(), offset: offset as u64, what };
        let text = String::from_utf8(text).map_err(|_| damaged(0, "it is no list of a backup"))?;
        Self::parse(&text).map_err(|(offset, what)| damaged(offset, what))
    }

    fn parse(text: &str) -> std::result::Result<Self, (usize, &'static str)> {
        let end = text.trim_end_matches('\n').rfind('\n').map_or(0, |at| at + 1);
        let (body, last) = text.split_at(end);
        let digest = last.strip_prefix("end ").and_then(|last| last.strip_suffix('\n'));
        if digest != Some(blake3::hash(body.as_bytes()).to_hex().as_str()) {
            return Err((end, "it is not the list that was written"));
        }
        let mut list = Self::default();
        let mut at = 0;
        for (n, line) in body.lines().enumerate() {
            let wrong = (at, "a line of the list is not understood by this release");
            at += line.len() + 1;
            let (word, rest) = line.split_once(' ').ok_or(wrong)?;
            match (n, word) {
                (0, _) if line == FIRST => {}
                (1, "created_at") => list.created_at = rest.to_owned(),
                (2, "erasures") => {
                    let (bytes, digest) = rest.split_once(' ').ok_or(wrong)?;
                    list.erasures = (bytes.parse().map_err(|_| wrong)?, digest.to_owned());
                }
                (3.., "file") => {
                    let mut parts = rest.splitn(3, ' ');
                    let mut part = || parts.next().ok_or(wrong);
                    let (bytes, digest, path) = (part()?, part()?, part()?);
                    let inside = path.split('/').all(|step| !matches!(step, "" | "." | ".."));
                    if !inside {
                        return Err((at, "a path of the list leads out of the backup"));
                    }
                    list.files.push(Listed {
                        path: path.to_owned(),
                        bytes: bytes.parse().map_err(|_| wrong)?,
                        digest: digest.to_owned(),
                    });
                }
                _ => return Err(wrong),
            }
        }
        Ok(list)
    }
}

/// The length and the digest of a file, of its first `bytes_max` bytes.
pub(super) fn digest_of(path: &Path, bytes_max: u64) -> Result<(u64, String)> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let (mut file, mut block) = (file.take(bytes_max), vec![0; BLOCK]);
    let (mut bytes, mut hasher) = (0, blake3::Hasher::new());
    loop {
        let read = file.read(&mut block).map_err(Error::io("read", path))?;
        if read == 0 {
            return Ok((bytes, hasher.finalize().to_hex().to_string()));
        }
        hasher.update(&block[..read]);
        bytes += read as u64;
    }
}

/// The digest of the first bytes of the file of erasures; of nothing where there is no such file.
pub(super) fn erasures_of(file: Option<&Path>, bytes_max: u64) -> Result<(u64, String)> {
    match file.filter(|file| file.exists()) {
        Some(file) => digest_of(file, bytes_max),
        None => Ok((0, blake3::hash(b"").to_hex().to_string())),
    }
}
