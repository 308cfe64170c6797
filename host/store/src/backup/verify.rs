//! Checking a backup, with nothing but itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::list::{LIST, List, digest_of};
use crate::{Error, Result};

/// What checking came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checked {
    /// When it was made.
    pub created_at: String,
    /// Files that were checked.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// What is not as it was written, file by file; empty when the backup is whole.
    pub differences: Vec<String>,
}

/// Compares every file of a backup with its list. Reads all of it.
///
/// # Errors
/// [`Error::Backup`] when there is no list; [`Error::Damaged`] when the list itself is not what was written;
/// [`Error::Io`].
pub fn verify(backup: &Path) -> Result<Checked> {
    let list = List::read(backup)?;
    let mut checked = Checked { created_at: list.created_at.clone(), ..Checked::default() };
    let mut there = BTreeSet::new();
    walk(backup, PathBuf::new(), &mut there)?;
    there.remove(LIST);
    for file in &list.files {
        if !there.remove(&file.path) {
            checked.differences.push(format!("{} is missing", file.path));
            continue;
        }
        let (bytes, digest) = digest_of(&backup.join(&file.path), u64::MAX)?;
        checked.files += 1;
        checked.bytes += bytes;
        if bytes != file.bytes {
            let what = format!("{} has {bytes} bytes, and had {}", file.path, file.bytes);
            checked.differences.push(what);
        } else if digest != file.digest {
            checked.differences.push(format!("{} is not what was written", file.path));
        }
    }
    checked.differences.extend(there.into_iter().map(|path| format!("{path} does not belong to it")));
    Ok(checked)
}

fn walk(root: &Path, below: PathBuf, found: &mut BTreeSet<String>) -> Result<()> {
    let dir = root.join(&below);
    for entry in fs::read_dir(&dir).map_err(Error::io("list", &dir))? {
        let entry = entry.map_err(Error::io("list", &dir))?;
        let path = below.join(entry.file_name());
        if entry.file_type().map_err(Error::io("read", &dir))?.is_dir() {
            walk(root, path, found)?;
        } else {
            found.insert(path.to_string_lossy().into_owned());
        }
    }
    Ok(())
}
