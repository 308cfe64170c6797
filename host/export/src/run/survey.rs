//! The members as they would be sent now, in the order of their keys; nothing leaves here.

use std::fs::File;
use std::io::{BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

use cdp_domain::ids::{FragmentId, Ordinal};
use cdp_engine::exports::Members;
use cdp_engine::{Refused, Result, Tenant};
use cdp_store::files::NewFile;

use super::tally::Reason;
use super::{PAGE, Watch};
use crate::ledger::{Fresh, Sorted, Sorter};
use crate::plan::Plan;
use crate::project;

/// Reads all members; who has no row is given to `withhold`.
pub(crate) fn survey(
    tenant: &Tenant,
    plan: &Plan,
    members: &Members,
    base: &Path,
    watch: &Watch<'_>,
    mut withhold: impl FnMut(FragmentId, Reason) -> Result<()>,
) -> Result<Sorted<{ Fresh::BYTES }>> {
    let sources = plan.sources();
    let mut sorter = Sorter::new(base);
    let mut from = Some(Ordinal(0));
    while let Some(ordinal) = from {
        let page = tenant.audience(members, &sources, &plan.consent, ordinal, PAGE)?;
        for row in page.items {
            let values = match row.values {
                Ok((values, _)) => project::project(plan, values),
                Err(why) => {
                    withhold(row.profile_id, why.into())?;
                    continue;
                }
            };
            if project::identity(plan, &values).is_none() {
                withhold(row.profile_id, Reason::NoIdentifier)?;
                continue;
            }
            let (key, hash) = (project::key(plan, &values), project::row_hash(plan, &values));
            let fresh = Fresh { key, profile: row.profile_id.0, ordinal: row.ordinal, hash };
            sorter.push(fresh.to_record())?;
        }
        watch.look()?;
        from = page.next;
    }
    sorter.finish()
}

/// A survey that a restart finds again.
pub(crate) struct Kept {
    path: PathBuf,
}

impl Kept {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn exists(&self) -> bool {
        self.path.exists()
    }

    /// Keeps a survey. Durable when it returns.
    pub(crate) fn keep(&self, sorted: Sorted<{ Fresh::BYTES }>) -> Result<()> {
        let mut file = NewFile::create(&self.path)?;
        for record in sorted {
            file.write_all(&record?).map_err(Refused::internal)?;
        }
        Ok(file.commit()?)
    }

    /// Goes through it.
    pub(crate) fn read(&self) -> Result<impl Iterator<Item = Result<Fresh>> + use<>> {
        let file = File::open(&self.path).map_err(Refused::internal)?;
        let mut reader = BufReader::with_capacity(1 << 16, file);
        Ok(std::iter::from_fn(move || {
            let mut record = [0; Fresh::BYTES];
            match reader.read_exact(&mut record) {
                Ok(()) => Some(Ok(Fresh::of_record(&record))),
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => None,
                Err(error) => Some(Err(Refused::internal(error))),
            }
        }))
    }

    pub(crate) fn remove(&self) {
        drop(std::fs::remove_file(&self.path));
    }
}
