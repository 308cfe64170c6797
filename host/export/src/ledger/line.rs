//! Which file belongs to whom, and when a new one takes the place of the old.
//!
//! A run writes the line's next file beside it, under the run's id. Then the run's end is a journal record; then the file
//! takes the place of the old one. Whoever opens the line finishes what a crash left: the next file of a run that has
//! ended takes its place, that of one that has not is written again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use cdp_domain::ids::{ExportId, TenantNo};
use cdp_engine::{Refused, Result, Tenant};
use cdp_store::files::{self, NewFile};
use parking_lot::Mutex;

use super::{Entry, Frames, FramesWriter, Seal};
use crate::plan::Plan;

/// Entries in one frame.
const ENTRIES_A_FRAME: usize = 500;
/// What names of next files end with.
const NEXT: &str = ".next";

/// Who holds which line: one run at a time.
#[derive(Default)]
pub(crate) struct Lines(Mutex<HashMap<(TenantNo, [u8; 16]), ExportId>>);

impl Lines {
    /// Takes a line for a run; false while another run has it.
    pub(crate) fn take(&self, line: &Line, run: ExportId) -> bool {
        *self.0.lock().entry((line.tenant.no(), line.id)).or_insert(run) == run
    }

    /// Gives it back.
    pub(crate) fn give_back(&self, line: &Line, run: ExportId) {
        let mut held = self.0.lock();
        if held.get(&(line.tenant.no(), line.id)) == Some(&run) {
            held.remove(&(line.tenant.no(), line.id));
        }
    }
}

/// A line of a tenant.
#[derive(Clone)]
pub(crate) struct Line {
    tenant: Tenant,
    id: [u8; 16],
    dir: PathBuf,
}

impl Seal for Line {
    fn seal(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        self.tenant.seal(&self.label(), bytes)
    }

    fn open(&self, sealed: &[u8]) -> Result<Vec<u8>> {
        self.tenant.unseal(&self.label(), sealed)
    }
}

impl Line {
    /// The line of a plan; `exports` holds the tenant's exports.
    pub(crate) fn of(tenant: &Tenant, plan: &Plan, exports: &Path) -> Self {
        let destination = plan.destination.as_deref().unwrap_or_default();
        let (channel, purpose) = (plan.consent.channel.as_bytes(), plan.consent.purpose.as_bytes());
        let parts = [b"line".as_slice(), destination.as_bytes(), plan.segment.as_bytes(), channel, purpose];
        let id = tenant.digest(&parts);
        Self { tenant: tenant.clone(), id, dir: exports.join("sent") }
    }

    /// Which line it is.
    pub(crate) fn id(&self) -> [u8; 16] {
        self.id
    }

    /// Takes the values of some entries for unknown, so that the next run sends their rows again; how many. To be called
    /// while the line is held.
    pub(crate) fn mark(&self, is_meant: impl Fn(&Entry) -> bool) -> Result<u64> {
        let mut marked = 0;
        let file = NewFile::create(&self.path())?;
        let mut next = NextLine { writer: FramesWriter::new(file, self), held: Vec::new(), entries: 0 };
        for entry in self.entries()? {
            let mut entry = entry?;
            if is_meant(&entry) {
                entry.hash = [0; 16];
                marked += 1;
            }
            next.push(entry)?;
        }
        next.commit()?;
        Ok(marked)
    }

    fn label(&self) -> Vec<u8> {
        [b"line ".as_slice(), &self.id].concat()
    }

    fn path(&self) -> PathBuf {
        self.dir.join(cdp_domain::hex::encode(&self.id))
    }

    fn next_path(&self, run: ExportId) -> PathBuf {
        self.dir.join(format!("{}.{run}{NEXT}", cdp_domain::hex::encode(&self.id)))
    }

    /// Finishes what a crash left. To be called while the line is held.
    pub(crate) fn settle(&self) -> Result<()> {
        files::create_dir(&self.dir)?;
        let begin = format!("{}.", cdp_domain::hex::encode(&self.id));
        for entry in std::fs::read_dir(&self.dir).map_err(Refused::internal)? {
            let path = entry.map_err(Refused::internal)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let run = name.strip_prefix(&begin).and_then(|name| name.strip_suffix(NEXT));
            let Some(run) = run.and_then(|run| run.parse::<ExportId>().ok()) else { continue };
            let info = self.tenant.export(run)?;
            if crate::run::is_over(&info) {
                std::fs::rename(&path, self.path()).map_err(Refused::internal)?;
            } else {
                std::fs::remove_file(&path).map_err(Refused::internal)?;
            }
            files::sync_dir(&self.dir)?;
        }
        Ok(())
    }

    /// The entries as they are, ascending by key.
    pub(crate) fn entries(&self) -> Result<impl Iterator<Item = Result<Entry>> + '_> {
        let frames = Frames::<Vec<Entry>>::open(&self.path(), self)?;
        Ok(frames.flat_map(|frame| match frame {
            Ok(entries) => entries.into_iter().map(Ok).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        }))
    }

    /// Begins the next file.
    pub(crate) fn next(&self, run: ExportId) -> Result<NextLine<'_>> {
        let file = NewFile::create(&self.next_path(run))?;
        Ok(NextLine { writer: FramesWriter::new(file, self), held: Vec::new(), entries: 0 })
    }

    /// Lets the next file of a run, which has ended, take the place of the old one.
    pub(crate) fn replace(&self, run: ExportId) -> Result<()> {
        std::fs::rename(self.next_path(run), self.path()).map_err(Refused::internal)?;
        Ok(files::sync_dir(&self.dir)?)
    }
}

/// The next file of a line, as it is written.
pub(crate) struct NextLine<'a> {
    writer: FramesWriter<'a, NewFile>,
    held: Vec<Entry>,
    entries: u64,
}

impl NextLine<'_> {
    /// Adds an entry; they come ascending by key.
    pub(crate) fn push(&mut self, entry: Entry) -> Result<()> {
        self.held.push(entry);
        self.entries += 1;
        if self.held.len() >= ENTRIES_A_FRAME {
            self.writer.push(&std::mem::take(&mut self.held))?;
        }
        Ok(())
    }

    /// Makes it durable; how many entries it has.
    pub(crate) fn commit(mut self) -> Result<u64> {
        if !self.held.is_empty() {
            self.writer.push(&self.held)?;
        }
        self.writer.into_inner().commit()?;
        Ok(self.entries)
    }
}
