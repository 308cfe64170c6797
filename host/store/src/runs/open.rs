//! Opening a set of runs: removes what a crash left over, checks what is there, drops everything when something is wrong.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::run::Run;
use crate::{Error, Result, files};

const MARKER: &str = "damaged";

/// The path of the run that holds the frozen tables `first` to `last`.
pub(super) fn path(dir: &Path, (first, last): (u64, u64)) -> PathBuf {
    dir.join(format!("{first:016x}-{last:016x}.run"))
}

/// Remembers that a run was found damaged, so that the next opening drops all.
pub(super) fn mark_damaged(dir: &Path) {
    if let Err(error) = files::write(&dir.join(MARKER), b"") {
        tracing::error!(error = %error, dir = %dir.display(), "could not mark damaged runs; remove the directory's files to have them rebuilt");
    }
}

/// Opens all runs, oldest first. None when one of them is bad: then they all went.
pub(super) fn open(dir: &Path, verify: bool) -> Result<Vec<Arc<Run>>> {
    files::create_dir(dir)?;
    let numbers = tidy(dir)?;
    let opened = if dir.join(MARKER).exists() {
        Err(Error::Damaged { file: dir.to_owned(), offset: 0, what: "a run was found damaged earlier" })
    } else {
        open_all(dir, &numbers, verify)
    };
    match opened {
        Err(error @ Error::Damaged { .. }) => {
            tracing::warn!(error = %error, dir = %dir.display(), runs = numbers.len(), "dropping all runs; they will be rebuilt from the journal");
            drop_all(dir, &numbers)?;
            Ok(Vec::new())
        }
        other => other,
    }
}

/// Removes unfinished files and runs that were merged into another; gives the numbers of the others, ascending.
fn tidy(dir: &Path) -> Result<Vec<(u64, u64)>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let path = entry.map_err(Error::io("list", dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(files::UNFINISHED) {
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
        let parsed = name.strip_suffix(".run").and_then(|numbers| numbers.split_once('-'));
        let parsed = parsed.and_then(|(first, last)| {
            Some((u64::from_str_radix(first, 16).ok()?, u64::from_str_radix(last, 16).ok()?))
        });
        numbers.extend(parsed);
    }
    // Of runs that begin alike, the widest first.
    numbers.sort_unstable_by_key(|(first, last)| (*first, u64::MAX - last));
    let mut kept: Vec<(u64, u64)> = Vec::new();
    for run in numbers {
        if kept.last().is_some_and(|wider| run.1 <= wider.1) {
            let merged = path(dir, run);
            fs::remove_file(&merged).map_err(Error::io("remove", &merged))?;
        } else {
            kept.push(run);
        }
    }
    Ok(kept)
}

fn open_all(dir: &Path, numbers: &[(u64, u64)], verify: bool) -> Result<Vec<Arc<Run>>> {
    let mut next = 0;
    let mut runs = Vec::new();
    for &(first, last) in numbers {
        let run = Run::open(&path(dir, (first, last)), verify)?;
        if first != next || (run.header.first, run.header.last) != (first, last) {
            return Err(Error::Damaged {
                file: run.path,
                offset: 0,
                what: "the runs do not follow each other",
            });
        }
        next = last + 1;
        runs.push(Arc::new(run));
    }
    Ok(runs)
}

/// Newest first, so that what remains after a crash in between is still a beginning; the marker last.
fn drop_all(dir: &Path, numbers: &[(u64, u64)]) -> Result<()> {
    for run in numbers.iter().rev() {
        let path = path(dir, *run);
        fs::remove_file(&path).map_err(Error::io("remove", &path))?;
    }
    files::sync_dir(dir)?;
    let marker = dir.join(MARKER);
    if marker.exists() {
        fs::remove_file(&marker).map_err(Error::io("remove", &marker))?;
    }
    Ok(())
}
