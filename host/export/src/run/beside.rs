//! What lies beside a run: who was told what, who was withheld and why, and the commitments to consent.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use cdp_domain::ids::{ExportId, FragmentId};
use cdp_engine::privacy::{Disclosed, Said};
use cdp_engine::{Page, Refused, Result};
use cdp_store::files::NewFile;

use super::tally::Reason;
use crate::ledger::Sorter;
use crate::manifest::Tree;

/// Bytes of a profile's id and a byte beside it.
const PAIR: usize = 17;

fn pair(profile: FragmentId, byte: u8) -> [u8; PAIR] {
    let mut pair = [byte; PAIR];
    pair[..16].copy_from_slice(&profile.0);
    pair
}

/// The lists of a run as they are written.
pub(crate) struct Beside {
    dir: PathBuf,
    run: ExportId,
    told: Sorter<PAIR>,
    withheld: NewFile,
    leaves: NewFile,
    tree: Tree,
}

impl Beside {
    pub(crate) fn create(dir: &Path, run: ExportId) -> Result<Self> {
        Ok(Self {
            dir: dir.to_owned(),
            run,
            told: Sorter::new(&dir.join(format!("{run}.told"))),
            withheld: NewFile::create(&withheld_path(dir, run))?,
            leaves: NewFile::create(&leaves_path(dir, run))?,
            tree: Tree::default(),
        })
    }

    pub(crate) fn told(&mut self, profile: FragmentId, said: Said) -> Result<()> {
        self.told.push(pair(profile, said as u8))
    }

    pub(crate) fn withheld(&mut self, profile: FragmentId, reason: Reason) -> Result<()> {
        self.withheld.write_all(&pair(profile, reason.byte())).map_err(Refused::internal)
    }

    /// Adds the commitment to the next row, with whose it is.
    pub(crate) fn leaf(&mut self, leaf: [u8; 32], profile: FragmentId) -> Result<()> {
        self.tree.push(leaf);
        let written = self.leaves.write_all(&leaf).and_then(|()| self.leaves.write_all(&profile.0));
        written.map_err(Refused::internal)
    }

    /// Makes the lists durable; the root of the commitments and how many there are.
    pub(crate) fn commit(self) -> Result<([u8; 32], u64)> {
        let mut disclosed = Disclosed::create(&self.dir, self.run)?;
        let mut held: Option<[u8; PAIR]> = None;
        for told in self.told.finish()? {
            let told = told?;
            // Of several things that were said of one the greatest comes last.
            if let Some(before) = held.replace(told).filter(|before| before[..16] != told[..16]) {
                push(&mut disclosed, &before)?;
            }
        }
        if let Some(last) = held {
            push(&mut disclosed, &last)?;
        }
        disclosed.commit()?;
        self.withheld.commit()?;
        self.leaves.commit()?;
        Ok(self.tree.root())
    }
}

fn push(disclosed: &mut Disclosed, told: &[u8; PAIR]) -> Result<()> {
    let said = match told[16] {
        1 => Said::Remove,
        2 => Said::Perhaps,
        _ => Said::Values,
    };
    disclosed.push(FragmentId(told[..16].try_into().expect("16 bytes")), said)
}

fn withheld_path(dir: &Path, run: ExportId) -> PathBuf {
    dir.join(format!("{run}.withheld"))
}

fn leaves_path(dir: &Path, run: ExportId) -> PathBuf {
    dir.join(format!("{run}.leaves"))
}

/// Bytes of a commitment and of whose it is.
const LEAF: usize = 48;

/// The commitments of a run, in the order of its rows.
pub(crate) struct Leaves {
    file: File,
    count: u64,
}

impl Leaves {
    /// # Errors
    /// [`Refused::NotFound`] for a run that has none.
    pub(crate) fn open(dir: &Path, run: ExportId) -> Result<Self> {
        let file = File::open(leaves_path(dir, run)).map_err(|_| Refused::NotFound("export"))?;
        let count = file.metadata().map_err(Refused::internal)?.len() / LEAF as u64;
        Ok(Self { file, count })
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn get(&self, row: u64) -> Result<([u8; 32], FragmentId)> {
        if row >= self.count {
            return Err(Refused::NotFound("row"));
        }
        let mut entry = [0; LEAF];
        self.file.read_exact_at(&mut entry, row * LEAF as u64).map_err(Refused::internal)?;
        let (leaf, profile) = entry.split_at(32);
        Ok((leaf.try_into().expect("32 bytes"), FragmentId(profile.try_into().expect("16 bytes"))))
    }
}

/// Who was withheld by a run, from a place on.
pub(crate) fn withheld_of(
    dir: &Path,
    run: ExportId,
    limit: usize,
    from: u64,
) -> Result<Page<(FragmentId, &'static str), u64>> {
    let file = match File::open(withheld_path(dir, run)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Page { items: Vec::new(), next: None });
        }
        file => file.map_err(Refused::internal)?,
    };
    let count = file.metadata().map_err(Refused::internal)?.len() / PAIR as u64;
    let upto = count.min(from.saturating_add(limit as u64));
    let mut items = Vec::new();
    for at in from..upto {
        let mut pair = [0; PAIR];
        file.read_exact_at(&mut pair, at * PAIR as u64).map_err(Refused::internal)?;
        let profile = FragmentId(pair[..16].try_into().expect("16 bytes"));
        items.push((profile, Reason::of(pair[16]).map_or("unknown", Reason::as_str)));
    }
    Ok(Page { items, next: (upto < count).then_some(upto) })
}
