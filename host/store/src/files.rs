//! Files that are there entirely or not at all: written beside their place, synced, renamed, and the directory synced.
//!
//! For what is written once and read many times: plugin binaries, export files, sorted runs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Bytes that are written before they are synced: a large file that went to the disk in one go would hold up every other
/// sync on it, and with them the acknowledgements that wait for the journal.
const SYNC_EVERY: usize = 1 << 20;

/// What names of unfinished files end with. Such a file may be deleted whenever nobody writes it.
pub const UNFINISHED: &str = ".unfinished";

/// Writes `bytes` as the file `path`, replacing what was there. Durable when it returns.
///
/// Readers see the old file or the new one, never a part. The parent directory must exist.
///
/// # Errors
/// [`Error::Io`]; the old file, if any, is untouched.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = NewFile::create(path)?;
    file.write_all(bytes).map_err(Error::io("write", path))?;
    file.commit()
}

/// A file that is being written and appears under its name on [`commit`](Self::commit).
///
/// Dropped without a commit, it leaves nothing behind.
pub struct NewFile {
    file: Option<BufWriter<File>>,
    unsynced: usize,
    temporary: PathBuf,
    path: PathBuf,
}

impl NewFile {
    /// Begins the file that will be called `path`, readable by its owner only.
    ///
    /// One writer per path at a time: the second takes the first one's unfinished file.
    ///
    /// # Errors
    /// [`Error::Io`] when the parent directory is missing or not writable.
    pub fn create(path: &Path) -> Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        let mut name = path.as_os_str().to_owned();
        name.push(UNFINISHED);
        let temporary = PathBuf::from(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&temporary).map_err(Error::io("create", &temporary))?;
        let file = Some(BufWriter::with_capacity(1 << 18, file));
        Ok(Self { file, unsynced: 0, temporary, path: path.to_owned() })
    }

    /// Writes out what is buffered and gives the file itself, for positioned access.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn flushed(&mut self) -> Result<&File> {
        let path = &self.temporary;
        let file = self.file.as_mut().expect("the file is there until the commit");
        file.flush().map_err(Error::io("write", path))?;
        Ok(file.get_ref())
    }

    /// Syncs the file, gives it its name and syncs the directory. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::Io`]. If only the last step failed, the file stands under its name but may be gone after a crash.
    pub fn commit(mut self) -> Result<()> {
        self.flushed()?.sync_all().map_err(Error::io("sync", &self.temporary))?;
        drop(self.file.take());
        if let Err(source) = fs::rename(&self.temporary, &self.path) {
            let _ = fs::remove_file(&self.temporary);
            return Err(Error::io("name", &self.path)(source));
        }
        sync_parent(&self.path)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let file = self.file.as_mut().expect("the file is there until the commit");
        let written = file.write(bytes)?;
        self.unsynced += written;
        if self.unsynced >= SYNC_EVERY {
            file.flush()?;
            file.get_ref().sync_data()?;
            self.unsynced = 0;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().expect("the file is there until the commit").flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Makes the names in a directory durable.
///
/// # Errors
/// [`Error::Io`].
pub fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io("sync the directory", dir))
}

/// Creates a directory and its missing parents, and makes their names durable.
///
/// # Errors
/// [`Error::Io`].
pub fn create_dir(dir: &Path) -> Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_dir(parent)?;
    }
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(Error::io("create", dir)(error)),
        _ => sync_parent(dir),
    }
}

fn sync_parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => sync_dir(Path::new(".")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_file_replaces_the_old_one_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plugin.wasm");
        write(&path, b"old").unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_abandoned_file_leaves_the_old_one_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("export.csv");
        write(&path, b"old").unwrap();
        let mut file = NewFile::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn missing_parents_are_created() {
        let dir = tempfile::tempdir().unwrap();
        create_dir(&dir.path().join("a/b/c")).unwrap();
        create_dir(&dir.path().join("a/b/c")).unwrap();
        assert!(dir.path().join("a/b/c").is_dir());
    }
}
