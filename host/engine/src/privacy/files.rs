//! Held export files: which person stands where in them, so that one can be taken out.
//!
//! Beside each file lies an index: for every row the id of the profile and where the row ends. So a row can be taken out
//! of a file of lines. A file whose rows cannot be taken out one by one (Parquet, or compressed) is withdrawn as a whole.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufReader, Read, Write as _};
use std::path::{Path, PathBuf};

use cdp_domain::ids::{ExportId, FragmentId};
use cdp_store::files::{NewFile, UNFINISHED};
use sha2::{Digest as _, Sha256};

use crate::error::{Refused, Result};
use crate::tenant::{Core, Tenant};

/// What names of indexes end with.
const ENDING: &str = ".rows";
/// What names of export files end with; the first of them are files of lines.
const FORMS: [&str; 7] = [".csv", ".ndjson", ".csv.gz", ".csv.zst", ".ndjson.gz", ".ndjson.zst", ".parquet"];
/// How many of them are files of lines.
const LINES: usize = 2;
/// Below this folder of a tenant's exports each destination of the kind `file` has one.
pub const TO: &str = "to";
/// The folder of a tenant's exports with what connectors keep between deliveries.
pub const SHELVES: &str = "shelves";
/// Bytes of an entry: a profile's id, and where its row ends.
const ENTRY: usize = 16 + 8;

/// The path of the index of an export file.
#[must_use]
pub fn rows_path(file: &Path) -> PathBuf {
    file.with_extension(ENDING.trim_start_matches('.'))
}

/// The index of an export file that is being written.
pub struct RowIndex(NewFile);

impl RowIndex {
    /// Begins the index of the file at `path`.
    ///
    /// # Errors
    /// The operating system's.
    pub fn create(path: &Path) -> Result<Self> {
        Ok(Self(NewFile::create(&rows_path(path))?))
    }

    /// Notes that a profile's row ends at this byte.
    ///
    /// # Errors
    /// The operating system's.
    pub fn push(&mut self, profile: FragmentId, end: u64) -> Result<()> {
        let write = |file: &mut NewFile| {
            file.write_all(&profile.0)?;
            file.write_all(&end.to_le_bytes())
        };
        write(&mut self.0).map_err(Refused::internal)
    }

    /// Ends it. Durable when it returns; to be called before the file itself appears.
    ///
    /// # Errors
    /// The operating system's.
    pub fn commit(self) -> Result<()> {
        Ok(self.0.commit()?)
    }
}

/// What was taken out of export files.
#[derive(Debug, Default)]
pub(super) struct Redacted {
    pub(super) files: u64,
    pub(super) rows: u64,
}

fn dir(core: &Core) -> PathBuf {
    core.dir.join("exports").join(format!("{:08x}", core.info.no.0))
}

fn form(name: &str) -> Option<usize> {
    FORMS.iter().position(|form| name.ends_with(form))
}

/// The export files with their indexes: those to be downloaded and those of destinations.
fn held(core: &Core) -> Result<Vec<(ExportId, PathBuf)>> {
    let dir = dir(core);
    let mut held = Vec::new();
    held_in(&dir, &mut held)?;
    for folder in listed(&dir.join(TO))? {
        held_in(&folder, &mut held)?;
    }
    held.sort();
    Ok(held)
}

fn held_in(dir: &Path, held: &mut Vec<(ExportId, PathBuf)>) -> Result<()> {
    for path in listed(dir)? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let id = name.split('.').next().and_then(|id| id.parse().ok());
        if let Some(id) = id.filter(|_| form(name).is_some()) {
            held.push((id, path));
        }
    }
    Ok(())
}

fn listed(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Refused::internal)?,
    };
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(Refused::internal)).collect()
}

/// Visits the entries of an index, in order; false ends it.
fn entries(path: &Path, mut visit: impl FnMut([u8; 16], u64) -> bool) -> Result<()> {
    let file = match File::open(rows_path(path)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        file => file.map_err(Refused::internal)?,
    };
    let mut reader = BufReader::new(file);
    let mut entry = [0; ENTRY];
    loop {
        match reader.read_exact(&mut entry) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
            read => read.map_err(Refused::internal)?,
        }
        let (profile, end) = entry.split_at(16);
        let profile = profile.try_into().expect("16 bytes");
        if !visit(profile, u64::from_le_bytes(end.try_into().expect("eight bytes"))) {
            return Ok(());
        }
    }
}

/// The exports that contain one of these profiles.
pub(super) fn holding(core: &Core, profiles: &HashSet<[u8; 16]>) -> Result<Vec<ExportId>> {
    let mut holding = Vec::new();
    for (id, path) in held(core)? {
        let mut holds = false;
        entries(&path, |profile, _| {
            holds |= profiles.contains(&profile);
            !holds
        })?;
        if holds {
            holding.push(id);
        }
    }
    Ok(holding)
}

/// Writes every export file anew that contains one of these profiles, without its rows, and writes down what changed.
/// `why` is the reason under which the rows are withheld from then on.
pub(super) fn redact(tenant: &Tenant, profiles: &HashSet<[u8; 16]>, why: &str) -> Result<Redacted> {
    let core = &*tenant.core;
    // Files that are ending appear before this, and are seen, or after, and see that somebody was erased meanwhile.
    let _none_appears = core.handing.write();
    let mut redacted = Redacted::default();
    // What a connector keeps is its own words, and nobody knows whom they name.
    match fs::remove_dir_all(core.dir.join("exports").join(format!("{:08x}", core.info.no.0)).join(SHELVES)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Refused::internal(error)),
        _ => {}
    }
    for (id, path) in held(core)? {
        let lines = path.to_str().and_then(form).is_some_and(|form| form < LINES);
        let cut = if lines { redact_file(&path, profiles)? } else { withdraw(&path, profiles)? };
        let Some((rows, bytes, sha256)) = cut else { continue };
        redacted.files += 1;
        redacted.rows += rows;
        let mut info = tenant.export(id)?;
        if !lines {
            info["file"] = "withdrawn".into();
            pollster::block_on(tenant.record_export(id, info))?;
            continue;
        }
        info["rows"] = info["rows"].as_u64().unwrap_or(0).saturating_sub(rows).into();
        let withheld = info["withheld"][why].as_u64().unwrap_or(0) + rows;
        info["withheld"][why] = withheld.into();
        info["bytes"] = bytes.into();
        info["sha256"] = sha256.into();
        pollster::block_on(tenant.record_export(id, info))?;
    }
    Ok(redacted)
}

/// Removes a file whose rows cannot be taken out, when it holds one of these profiles.
fn withdraw(path: &Path, profiles: &HashSet<[u8; 16]>) -> Result<Option<(u64, u64, String)>> {
    let mut rows = 0;
    entries(path, |profile, _| {
        rows += u64::from(profiles.contains(&profile));
        true
    })?;
    if rows == 0 {
        return Ok(None);
    }
    fs::remove_file(path).map_err(Refused::internal)?;
    fs::remove_file(rows_path(path)).map_err(Refused::internal)?;
    cdp_store::files::sync_dir(path.parent().unwrap_or(path))?;
    Ok(Some((rows, 0, String::new())))
}

/// Writes one file anew without the rows of these profiles: rows taken out, and length and hash of what is left.
/// None when there were none.
fn redact_file(path: &Path, profiles: &HashSet<[u8; 16]>) -> Result<Option<(u64, u64, String)>> {
    let (mut at, mut rows, mut count) = (None::<u64>, 0, 0_u64);
    let mut keep: Vec<([u8; 16], u64)> = Vec::new();
    let mut cut: Vec<(u64, u64)> = Vec::new();
    let mut removed = 0;
    let begin = first_row(path)?;
    entries(path, |profile, end| {
        let from = at.unwrap_or(begin);
        at = Some(end);
        count += 1;
        if profiles.contains(&profile) {
            rows += 1;
            removed += end - from;
            match cut.last_mut() {
                Some(last) if last.1 == from => last.1 = end,
                _ => cut.push((from, end)),
            }
        } else {
            keep.push((profile, end - removed));
        }
        true
    })?;
    if rows == 0 {
        return Ok(None);
    }
    let bytes = fs::read(path).map_err(Refused::internal)?;
    let mut left = Vec::with_capacity(bytes.len());
    let mut from = 0;
    if bytes.len() as u64 + removed == at.unwrap_or(begin) {
        // A crash came between the file and its index: the file is without them already.
        cut.clear();
    }
    for (begin, end) in cut {
        left.extend_from_slice(part(&bytes, from, begin)?);
        from = end;
    }
    left.extend_from_slice(part(&bytes, from, bytes.len() as u64)?);
    let mut index = RowIndex::create(path)?;
    for (profile, end) in keep {
        index.push(FragmentId(profile), end)?;
    }
    let sha256 = cdp_domain::hex::encode(&Sha256::digest(&left));
    // The file first: an index of rows that are gone would point into those that are there.
    cdp_store::files::write(path, &left)?;
    index.commit()?;
    Ok(Some((rows, left.len() as u64, sha256)))
}

fn part(bytes: &[u8], from: u64, to: u64) -> Result<&[u8]> {
    let range = usize::try_from(from).ok().zip(usize::try_from(to).ok());
    let part = range.and_then(|(from, to)| bytes.get(from..to));
    part.ok_or_else(|| Refused::internal("the index of an export file points behind its end"))
}

/// Where the first row begins: behind the line of names of a CSV.
fn first_row(path: &Path) -> Result<u64> {
    if path.extension().is_none_or(|extension| extension != "csv") {
        return Ok(0);
    }
    let file = File::open(path).map_err(Refused::internal)?;
    let (mut at, mut quoted) = (0, false);
    for byte in BufReader::new(file).bytes() {
        let byte = byte.map_err(Refused::internal)?;
        at += 1;
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => break,
            _ => {}
        }
    }
    Ok(at)
}

/// Removes what exports left half written that a crash ended; before any export begins.
pub(crate) fn tidy(data_dir: &Path, tenant: cdp_domain::ids::TenantNo) -> Result<()> {
    let dir = data_dir.join("exports").join(format!("{:08x}", tenant.0));
    let mut folders = listed(&dir.join(TO))?;
    folders.push(dir);
    for folder in folders {
        for path in listed(&folder)? {
            if path.to_str().is_some_and(|path| path.ends_with(UNFINISHED)) {
                fs::remove_file(&path).map_err(Refused::internal)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(n: u8) -> FragmentId {
        FragmentId([n; 16])
    }

    fn written(dir: &Path, name: &str, head: &str, rows: &[(u8, &str)]) -> PathBuf {
        let path = dir.join(name);
        let mut text = head.to_owned();
        let mut index = RowIndex::create(&path).unwrap();
        for (n, row) in rows {
            text.push_str(row);
            index.push(profile(*n), text.len() as u64).unwrap();
        }
        fs::write(&path, &text).unwrap();
        index.commit().unwrap();
        path
    }

    #[test]
    fn rows_of_the_erased_go_and_the_others_stay_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let head = "a,\"b\nc\"\r\n";
        let rows = [(1, "1,x\r\n"), (2, "2,\"y\r\ny\"\r\n"), (2, "2,z\r\n"), (3, "3,\r\n")];
        let path = written(dir.path(), "exp_1.csv", head, &rows);
        let whole = fs::read(&path).unwrap();
        let index = fs::read(rows_path(&path)).unwrap();
        assert!(redact_file(&path, &HashSet::from([[9; 16]])).unwrap().is_none());
        for profiles in [HashSet::from([[2; 16]]), HashSet::from([[2; 16], [9; 16]])] {
            fs::write(&path, &whole).unwrap();
            fs::write(rows_path(&path), &index).unwrap();
            let (rows, bytes, _) = redact_file(&path, &profiles).unwrap().unwrap();
            let left = fs::read_to_string(&path).unwrap();
            assert_eq!((rows, bytes, left.as_str()), (2, left.len() as u64, "a,\"b\nc\"\r\n1,x\r\n3,\r\n"));
            assert!(redact_file(&path, &profiles).unwrap().is_none());
        }
        let (_, _, _) = redact_file(&path, &HashSet::from([[1; 16]])).unwrap().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a,\"b\nc\"\r\n3,\r\n");
    }

    #[test]
    fn a_crash_between_a_file_and_its_index_is_made_good() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path(), "exp_1.ndjson", "", &[(1, "{1}\n"), (2, "{2}\n"), (3, "{3}\n")]);
        let index = fs::read(rows_path(&path)).unwrap();
        redact_file(&path, &HashSet::from([[2; 16]])).unwrap().unwrap();
        fs::write(rows_path(&path), &index).unwrap();
        redact_file(&path, &HashSet::from([[2; 16]])).unwrap().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{1}\n{3}\n");
        redact_file(&path, &HashSet::from([[1; 16], [3; 16]])).unwrap().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }

    #[test]
    fn a_file_that_cannot_be_cut_goes_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path(), "exp_1.csv.gz", "", &[(1, "packed"), (2, "packed too")]);
        assert!(withdraw(&path, &HashSet::from([[9; 16]])).unwrap().is_none());
        assert_eq!(withdraw(&path, &HashSet::from([[2; 16]])).unwrap().unwrap().0, 1);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
