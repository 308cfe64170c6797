//! What stands in the files of a data directory.

use std::io;
use std::path::{Path, PathBuf};

/// How often a walk may begin anew.
const WALKS_MAX: usize = 100;

/// What `look` finds in the bytes of each file below a directory. A server that runs gives files other names and removes
/// some: then what was seen is not all, and the walk begins anew.
pub(crate) fn in_files<T>(dir: &Path, look: impl Fn(&Path, &[u8]) -> T) -> Vec<T> {
    for _ in 0..WALKS_MAX {
        let mut out = Vec::new();
        match walk(dir, &look, &mut out) {
            Ok(()) => return out,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}"),
        }
    }
    panic!("none of {WALKS_MAX} walks through {} saw all of it", dir.display());
}

fn walk<T>(dir: &Path, look: &impl Fn(&Path, &[u8]) -> T, out: &mut Vec<T>) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, look, out)?;
        } else {
            out.push(look(&path, &std::fs::read(&path)?));
        }
    }
    Ok(())
}

/// The files below a directory that hold these bytes.
pub(crate) fn holding(dir: &Path, text: &[u8]) -> Vec<PathBuf> {
    let holds = |path: &Path, bytes: &[u8]| {
        bytes.windows(text.len()).any(|part| part == text).then(|| path.to_owned())
    };
    in_files(dir, holds).into_iter().flatten().collect()
}
