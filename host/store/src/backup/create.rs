//! Making a backup.

use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use cdp_domain::ids::TenantNo;

use super::list::{LIST, List, Listed, erasures_of};
use crate::files::{self, NewFile, UNFINISHED};
use crate::{Error, Result, journal};

/// Bytes copied at a time.
const BLOCK: usize = 1 << 20;
/// How often a directory is listed again because a file in it went away meanwhile.
const TRIES: u32 = 5;

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Made {
    /// Files in it, without the list.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
}

/// Copies the data directory `from` to `to`, which must not exist or be empty. A server may use it meanwhile.
///
/// `erasures` is the file in which erasures are written down outside; `at` the time, as RFC 3339 writes it.
/// `copied` is told of bytes as they are copied. Durable when it returns; a crash before leaves nothing at `to`.
///
/// # Errors
/// [`Error::Occupied`] when `to` holds something; [`Error::NoData`]; [`Error::Backup`] when a file changes again and again;
/// [`Error::Damaged`]; [`Error::Io`].
pub fn create(
    from: &Path,
    to: &Path,
    erasures: Option<&Path>,
    at: &str,
    copied: &mut dyn FnMut(u64),
) -> Result<Made> {
    if !from.join("keys").join("installation").is_file() {
        return Err(Error::NoData { path: from.to_owned() });
    }
    must_be_empty(to)?;
    let mut unfinished = to.as_os_str().to_owned();
    unfinished.push(UNFINISHED);
    let unfinished = PathBuf::from(unfinished);
    if unfinished.exists() {
        // What a crash left of one.
        fs::remove_dir_all(&unfinished).map_err(Error::io("remove", &unfinished))?;
    }
    files::create_dir(&unfinished)?;
    // What is erased while it is copied stands behind this; so the file that is asked for later is no older.
    let list =
        List { created_at: at.to_owned(), erasures: erasures_of(erasures, u64::MAX)?, files: Vec::new() };
    let mut copy = Copy { from, to: &unfinished, list, copied, made: Made::default() };
    copy.tree("ledger", &|_| true)?;
    copy.journals()?;
    copy.tree("keys", &|_| true)?;
    copy.tree("plugins", &|path| !path.starts_with("plugins/compiled"))?;
    copy.tree("tables", &|_| true)?;
    copy.list.files.sort_by(|a, b| a.path.cmp(&b.path));
    files::write(&unfinished.join(LIST), copy.list.print().as_bytes())?;
    let made = copy.made;
    if to.exists() {
        fs::remove_dir(to).map_err(Error::io("replace", to))?;
    }
    fs::rename(&unfinished, to).map_err(Error::io("name", to))?;
    files::sync_dir(to.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
    Ok(made)
}

/// Whether nothing is there, or an empty directory.
pub(super) fn must_be_empty(dir: &Path) -> Result<()> {
    match fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("list", dir)(error)),
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(Error::Occupied { path: dir.to_owned() }),
        },
    }
}

struct Copy<'a> {
    from: &'a Path,
    to: &'a Path,
    list: List,
    copied: &'a mut dyn FnMut(u64),
    made: Made,
}

impl Copy<'_> {
    /// Copies a directory with everything below it, without what is being written. A file that goes away meanwhile was
    /// replaced by another.
    fn tree(&mut self, path: &str, wanted: &dyn Fn(&str) -> bool) -> Result<()> {
        for left in (0..TRIES).rev() {
            match self.try_tree(path, wanted) {
                Err(Error::Io { source, .. })
                    if source.kind() == std::io::ErrorKind::NotFound && left > 0 =>
                {
                    let of = format!("{path}/");
                    self.list.files.retain(|file| !file.path.starts_with(&of));
                }
                done => return done,
            }
        }
        Ok(())
    }

    fn try_tree(&mut self, path: &str, wanted: &dyn Fn(&str) -> bool) -> Result<()> {
        let dir = self.from.join(path);
        if !dir.is_dir() {
            return Ok(());
        }
        // A file that says how far others go comes first: `head` before `entries` would be the other way round.
        for name in sorted(&dir)?.iter().rev() {
            let below = format!("{path}/{name}");
            if name.ends_with(UNFINISHED) || !wanted(&below) {
                continue;
            }
            if self.from.join(&below).is_dir() {
                self.try_tree(&below, wanted)?;
            } else {
                self.file(&below, u64::MAX)?;
            }
        }
        Ok(())
    }

    /// Copies every journal, that of the installation last: a tenant whose journal is there is known.
    fn journals(&mut self) -> Result<()> {
        let dir = self.from.join("journal");
        for name in sorted(&dir)?.iter().rev() {
            let Ok(no) = u32::from_str_radix(name, 16) else { continue };
            for (file, bytes) in journal::extents(&dir.join(name), TenantNo(no))? {
                self.file(&format!("journal/{name}/{file}"), bytes)?;
            }
        }
        Ok(())
    }

    /// Copies the first `bytes` bytes of a file, or all there are. A file that was replaced meanwhile is copied again: of
    /// a table of keys the bytes of before are overwritten then.
    fn file(&mut self, path: &str, bytes: u64) -> Result<()> {
        let from = self.from.join(path);
        let inode = || Ok(fs::metadata(&from).map_err(Error::io("read", &from))?.ino());
        for _ in 0..TRIES {
            let before = inode()?;
            let listed = self.copy(path, bytes)?;
            if inode()? == before {
                self.made.files += 1;
                self.made.bytes += listed.bytes;
                self.list.files.push(listed);
                return Ok(());
            }
        }
        Err(Error::Backup { path: from, what: "it is replaced again and again while it is copied" })
    }

    fn copy(&mut self, path: &str, bytes: u64) -> Result<Listed> {
        let from = self.from.join(path);
        let to = self.to.join(path);
        files::create_dir(to.parent().expect("it lies below the backup"))?;
        let source = File::open(&from).map_err(Error::io("open", &from))?;
        let (mut source, mut block) = (source.take(bytes), vec![0; BLOCK]);
        let (mut file, mut hasher, mut length) = (NewFile::create(&to)?, blake3::Hasher::new(), 0);
        loop {
            let read = source.read(&mut block).map_err(Error::io("read", &from))?;
            if read == 0 {
                break;
            }
            file.write_all(&block[..read]).map_err(Error::io("write", &to))?;
            hasher.update(&block[..read]);
            length += read as u64;
            (self.copied)(read as u64);
        }
        if bytes != u64::MAX && length < bytes {
            return Err(Error::Damaged { file: from, offset: length, what: "it ends before its records do" });
        }
        file.commit()?;
        let digest = hasher.finalize().to_hex().to_string();
        Ok(Listed { path: path.to_owned(), bytes: length, digest })
    }
}

/// The names in a directory, sorted.
fn sorted(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let name = entry.map_err(Error::io("list", dir))?.file_name();
        names.extend(name.to_str().map(str::to_owned));
    }
    names.sort();
    Ok(names)
}
