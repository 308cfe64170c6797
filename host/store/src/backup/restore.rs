//! Putting a backup back.

use std::fs;
use std::path::Path;

use super::create::{Made, must_be_empty};
use super::list::{List, digest_of, erasures_of};
use super::verify::verify;
use crate::files::{self, UNFINISHED};
use crate::{Error, Result};

/// Copies a backup to `to`, which must not exist or be empty. The first start makes state anew.
///
/// `erasures` is the file of erasures on hand, which must hold what it held when the backup was made; None leaves it
/// out, and who was erased after the backup comes back. Durable when it returns; a crash before leaves nothing at `to`.
///
/// # Errors
/// [`Error::Occupied`] when `to` holds something; [`Error::Backup`] when the backup is not what was written, or the
/// erasures are older than it;
/// [`Error::Damaged`]; [`Error::Io`].
pub fn restore(
    backup: &Path,
    to: &Path,
    erasures: Option<&Path>,
    copied: &mut dyn FnMut(u64),
) -> Result<Made> {
    must_be_empty(to)?;
    let list = List::read(backup)?;
    if let Some(file) = erasures {
        let known = erasures_of(Some(file), list.erasures.0)?;
        if known != list.erasures {
            let what = "it is older than the backup, or another installation's: people who were erased would come back";
            return Err(Error::Backup { path: file.to_owned(), what });
        }
    }
    if !verify(backup)?.differences.is_empty() {
        return Err(Error::Backup { path: backup.to_owned(), what: "it is not what was written" });
    }
    let mut unfinished = to.as_os_str().to_owned();
    unfinished.push(UNFINISHED);
    let unfinished = std::path::PathBuf::from(unfinished);
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(Error::io("remove", &unfinished))?;
    }
    files::create_dir(&unfinished)?;
    let mut made = Made::default();
    for file in &list.files {
        let (source, path) = (backup.join(&file.path), unfinished.join(&file.path));
        files::create_dir(path.parent().expect("it lies below"))?;
        let bytes = fs::read(&source).map_err(Error::io("read", &source))?;
        files::write(&path, &bytes)?;
        if digest_of(&path, u64::MAX)?.1 != file.digest {
            return Err(Error::Damaged { file: source, offset: 0, what: "it changed while it was copied" });
        }
        made.files += 1;
        made.bytes += file.bytes;
        copied(file.bytes);
    }
    if to.exists() {
        fs::remove_dir(to).map_err(Error::io("replace", to))?;
    }
    fs::rename(&unfinished, to).map_err(Error::io("name", to))?;
    files::sync_dir(to.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
    Ok(made)
}
