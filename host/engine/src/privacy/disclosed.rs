//! Who received a person: beside every run lies the sorted list of the profiles that it disclosed.
//!
//! The list stays when the run's file goes. It holds ids only; of somebody who was erased they lead nowhere.

use std::fs::File;
use std::io::{BufReader, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use cdp_domain::ids::{ExportId, FragmentId};
use cdp_store::files::NewFile;
use serde_json::{Value, json};

use crate::error::{Refused, Result};
use crate::tenant::{Core, Tenant};

/// What names of lists end with.
const ENDING: &str = "who";
/// Bytes of an entry: a profile's id, and what was said of it.
const ENTRY: usize = 17;

/// What a run said of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Said {
    /// That they are to be removed.
    Remove = 1,
    /// The values that the run's fields name, in an attempt whose outcome is not known.
    Perhaps = 2,
    /// The values that the run's fields name.
    Values = 3,
}

impl Said {
    fn of(byte: u8) -> Self {
        match byte {
            1 => Self::Remove,
            2 => Self::Perhaps,
            _ => Self::Values,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Remove => "remove",
            Self::Perhaps => "perhaps_values",
            Self::Values => "values",
        }
    }
}

/// The list of a run that is being written.
pub struct Disclosed(NewFile);

impl Disclosed {
    /// Begins the list of a run; `dir` holds the tenant's exports.
    ///
    /// # Errors
    /// The operating system's.
    pub fn create(dir: &Path, run: ExportId) -> Result<Self> {
        Ok(Self(NewFile::create(&path(dir, run))?))
    }

    /// Notes a profile. They must come ascending; each counts once.
    ///
    /// # Errors
    /// The operating system's.
    pub fn push(&mut self, profile: FragmentId, said: Said) -> Result<()> {
        let mut entry = [said as u8; ENTRY];
        entry[..16].copy_from_slice(&profile.0);
        self.0.write_all(&entry).map_err(Refused::internal)
    }

    /// Ends it. Durable when it returns.
    ///
    /// # Errors
    /// The operating system's.
    pub fn commit(self) -> Result<()> {
        Ok(self.0.commit()?)
    }
}

fn path(dir: &Path, run: ExportId) -> PathBuf {
    dir.join(format!("{run}.{ENDING}"))
}

/// Every run that disclosed one of these profiles, in the order of their ids, with the most that it said.
pub(super) fn told_of(core: &Core, profiles: &[[u8; 16]]) -> Result<Vec<(ExportId, Said)>> {
    let dir = core.dir.join("exports").join(format!("{:08x}", core.info.no.0));
    let entries = match std::fs::read_dir(&dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Refused::internal)?,
    };
    let mut told = Vec::new();
    for entry in entries {
        let path = entry.map_err(Refused::internal)?.path();
        if path.extension().is_none_or(|extension| extension != ENDING) {
            continue;
        }
        let id = path.file_stem().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        let Some(id) = id else { continue };
        let file = File::open(&path).map_err(Refused::internal)?;
        let mut most = None;
        for profile in profiles {
            most = most.max(find(&file, profile)?);
        }
        told.extend(most.map(|said| (id, said)));
    }
    told.sort();
    Ok(told)
}

fn find(file: &File, profile: &[u8; 16]) -> Result<Option<Said>> {
    let (mut low, mut high) = (0, file.metadata().map_err(Refused::internal)?.len() / ENTRY as u64);
    while low < high {
        let middle = low + (high - low) / 2;
        let mut entry = [0; ENTRY];
        file.read_exact_at(&mut entry, middle * ENTRY as u64).map_err(Refused::internal)?;
        match entry[..16].cmp(profile.as_slice()) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
            std::cmp::Ordering::Equal => return Ok(Some(Said::of(entry[16]))),
        }
    }
    Ok(None)
}

/// Every profile that a run disclosed, ascending, with what it said.
///
/// # Errors
/// The operating system's; nothing for a run without a list.
pub fn disclosed_by(
    dir: &Path,
    run: ExportId,
    mut visit: impl FnMut(FragmentId, Said) -> Result<()>,
) -> Result<()> {
    let file = match File::open(path(dir, run)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        file => file.map_err(Refused::internal)?,
    };
    let mut reader = BufReader::new(file);
    let mut entry = [0; ENTRY];
    while reader.read_exact(&mut entry).is_ok() {
        visit(FragmentId(entry[..16].try_into().expect("16 bytes")), Said::of(entry[16]))?;
    }
    Ok(())
}

impl Tenant {
    /// Who received a profile: the runs that disclosed it, in the order of their ids. Blocks.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn disclosures(&self, profile: FragmentId) -> Result<Vec<Value>> {
        let fragments: Vec<_> = self.fragments_of(profile)?.into_iter().map(|id| id.0).collect();
        let told = told_of(&self.core, &fragments)?;
        told.into_iter()
            .map(|(id, said)| {
                let run = self.export(id)?;
                Ok(json!({
                    "id": run["id"],
                    "at": run["ended_at"],
                    "destination": run["destination"],
                    "kind": run["kind"],
                    "said": said.as_str(),
                    "fields": run["fields"],
                    "consent": run["consent"],
                    "segment": run["segment"],
                    "status": run["status"],
                    "file": run["file"],
                }))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_in_a_list_is_found_and_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        for count in [0_u8, 1, 2, 3, 50] {
            let run = ExportId([count; 16]);
            let mut list = Disclosed::create(dir.path(), run).unwrap();
            for n in 0..count {
                list.push(FragmentId([2 * n + 1; 16]), if n == 3 { Said::Remove } else { Said::Values })
                    .unwrap();
            }
            list.commit().unwrap();
            let file = File::open(path(dir.path(), run)).unwrap();
            for n in 0..=2 * count {
                let wanted = (n % 2 == 1).then_some(if n == 7 { Said::Remove } else { Said::Values });
                assert_eq!(find(&file, &[n; 16]).unwrap(), wanted, "{n} of {count}");
            }
            let mut seen = 0;
            disclosed_by(dir.path(), run, |_, _| {
                seen += 1;
                Ok(())
            })
            .unwrap();
            assert_eq!(seen, count);
        }
    }
}
