//! One process per data directory, by an advisory lock on the file `lock` in it.
//!
//! The operating system gives the lock back when the process ends, however it ends; the file stays and means nothing.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::{Error, Result, files};

/// The right to use a data directory; given back when dropped.
#[derive(Debug)]
pub struct DataLock {
    _file: File,
}

impl DataLock {
    /// Takes the lock of `dir` without waiting; creates the directory if it is missing.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process (or another handle in this one) holds it; [`Error::Io`].
    pub fn take(dir: &Path) -> Result<Self> {
        files::create_dir(dir)?;
        let path = dir.join("lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(Error::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(Error::Locked { dir: dir.to_owned(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(Error::io("lock", &path)(source)),
        }
        let write_pid = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        if let Err(error) = write_pid(&mut file) {
            // The lock holds without it; only the message of the second process is poorer, as on a full disk.
            tracing::warn!(error = %error, "could not write the process id into the lock file");
        }
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_and_names_the_holder_until_the_first_is_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let first = DataLock::take(&data).unwrap();
        let Err(Error::Locked { dir, pid }) = DataLock::take(&data) else {
            panic!("the second lock was given")
        };
        assert_eq!((dir, pid), (data.clone(), Some(std::process::id())));
        drop(first);
        DataLock::take(&data).unwrap();
    }
}
