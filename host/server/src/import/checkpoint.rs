//! What an interrupted run has done, so that the next one goes on behind it.
//!
//! It only saves time: rows that are sent again are recognised by the server.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::input::Input;
use super::mapping::Mapping;
use super::report::Report;
use super::{Args, Kind};
use crate::{Failure, exit};

/// Bytes of the file's beginning that tell it from another of the same name and length.
const HEAD_BYTES: u64 = 64 << 10;
/// How often it is written.
const EVERY: Duration = Duration::from_millis(500);

/// A file beside the imported one; standard input has none.
pub(super) struct Checkpoint {
    path: Option<PathBuf>,
    run: String,
    saved_at: Option<Instant>,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Done {
    /// What was imported, where to, and how: another run does not go on from here.
    run: String,
    pub(super) rows: u64,
    pub(super) accepted: u64,
    pub(super) known: u64,
    pub(super) refused: u64,
}

impl Checkpoint {
    pub(super) fn of(args: &Args, kind: Kind, input: &Input, mapping: &Mapping) -> Result<Self, Failure> {
        let Some(file) = input.path() else {
            return Ok(Self { path: None, run: String::new(), saved_at: None });
        };
        let mut head = Vec::new();
        let read = File::open(file).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head));
        read.map_err(|error| Failure::because(exit::FAILED, &format!("read {}", file.display()), &error))?;
        let mut of = blake3::Hasher::new();
        let about = format!(
            "{kind:?} {} {} {:?} {mapping:?} {:?}",
            args.url,
            args.source,
            args.time,
            input.bytes_total()
        );
        of.update(about.as_bytes()).update(&head);
        let run = of.finalize().to_hex()[..32].to_owned();
        Ok(Self { path: Some(input.beside("import-progress")), run, saved_at: None })
    }

    /// How far the same run came earlier; None when there is no such.
    pub(super) fn load(&self) -> Result<Option<Done>, Failure> {
        let Some(path) = self.path.as_ref().filter(|path| path.exists()) else { return Ok(None) };
        let doing = format!("read {}", path.display());
        let text = std::fs::read(path).map_err(|error| Failure::because(exit::FAILED, &doing, &error))?;
        let done: Done = serde_json::from_slice(&text)
            .map_err(|error| Failure::because(exit::CONFIGURATION, &doing, &error))?;
        Ok((done.run == self.run).then_some(done))
    }

    /// Writes down how far the run is, now and then, or `now` in any case. The error file is flushed before.
    pub(super) fn save(&mut self, report: &mut Report, now: bool) -> Result<(), Failure> {
        let Some(path) = &self.path else { return Ok(()) };
        if !now && self.saved_at.is_some_and(|at| at.elapsed() < EVERY) {
            return Ok(());
        }
        report.finish()?;
        let done = Done {
            run: self.run.clone(),
            rows: report.rows,
            accepted: report.accepted,
            known: report.known,
            refused: report.refused,
        };
        let doing = format!("write {}", path.display());
        let failed = |error: std::io::Error| Failure::because(exit::FAILED, &doing, &error);
        let half = path.with_extension("import-progress-part");
        let mut file = File::create(&half).map_err(failed)?;
        let text = serde_json::to_vec(&done).map_err(|error| failed(error.into()))?;
        file.write_all(&text).map_err(failed)?;
        std::fs::rename(&half, path).map_err(failed)?;
        self.saved_at = Some(Instant::now());
        Ok(())
    }

    /// The run is over.
    pub(super) fn remove(&self) -> Result<(), Failure> {
        let Some(path) = self.path.as_ref().filter(|path| path.exists()) else { return Ok(()) };
        let doing = format!("remove {}", path.display());
        std::fs::remove_file(path).map_err(|error| Failure::because(exit::FAILED, &doing, &error))
    }
}
