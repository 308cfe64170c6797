//! The books of a run: how many rows came to what, and the file of those that were refused.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use cdp_domain::problem::{Code, Problem};
use serde::{Deserialize, Serialize};

use super::input::Place;
use crate::{Failure, exit, say};

/// What became of a row that the server looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is in.
    Accepted,
    /// It was in already.
    Known,
}

/// A row that is not in, with every reason.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) place: Place,
    pub(super) reasons: Vec<Reason>,
}

/// One line of the error file, less its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reason {
    /// Into the event that the row became; empty when it is about the whole row.
    pub(super) pointer: String,
    /// The stable word.
    pub(super) code: String,
    /// One sentence.
    pub(super) detail: String,
    /// The column that it came from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) column: Option<String>,
}

impl Refused {
    /// For one reason.
    pub(super) fn of(place: Place, problem: Problem) -> Self {
        Self { place, reasons: vec![Reason::of(problem)] }
    }
}

impl Reason {
    pub(super) fn of(problem: Problem) -> Self {
        let code = word(problem.code);
        Self { pointer: problem.pointer, code, detail: problem.detail, column: None }
    }
}

/// The word of a code, as the server writes it.
fn word(code: Code) -> String {
    let text = serde_json::to_value(code).unwrap_or_default();
    text.as_str().unwrap_or("invalid").to_owned()
}

/// Counts, and the error file.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) accepted: u64,
    pub(super) known: u64,
    pub(super) refused: u64,
    /// Rows of the file that are dealt with, without a gap from the first on.
    pub(super) rows: u64,
    pub(super) path: PathBuf,
    /// Opened at the first refusal.
    file: Option<BufWriter<File>>,
    /// Whether an earlier run's refusals stand in the file already.
    goes_on: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    place: Place,
    #[serde(flatten)]
    reason: &'a Reason,
}

impl Report {
    /// Of a new run, or one that goes on from what an earlier one did.
    pub(super) fn new(path: PathBuf, earlier: Option<&super::checkpoint::Done>) -> Self {
        let (accepted, known, refused, rows) =
            earlier.map_or((0, 0, 0, 0), |done| (done.accepted, done.known, done.refused, done.rows));
        Self { accepted, known, refused, rows, path, file: None, goes_on: earlier.is_some() }
    }

    /// Counts a row that the server knows now.
    pub(super) fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Accepted => self.accepted += 1,
            Outcome::Known => self.known += 1,
        }
    }

    /// Writes a row down that is not in: a line for each reason.
    pub(super) fn refuse(&mut self, refused: Refused) -> Result<(), Failure> {
        self.refused += 1;
        let path = self.path.clone();
        let failed = |error: std::io::Error| {
            Failure::because(exit::FAILED, &format!("write {}", path.display()), &error)
        };
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let mut options = OpenOptions::new();
                options.create(true).write(true).append(self.goes_on).truncate(!self.goes_on);
                self.file.insert(BufWriter::new(options.open(&self.path).map_err(failed)?))
            }
        };
        for reason in &refused.reasons {
            let line = serde_json::to_string(&Line { place: refused.place, reason })
                .map_err(|error| failed(error.into()))?;
            writeln!(file, "{line}").map_err(failed)?;
        }
        Ok(())
    }

    /// Sees to it that what was refused stands in the file.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let doing = format!("write {}", self.path.display());
        file.flush().map_err(|error| Failure::because(exit::FAILED, &doing, &error))
    }

    /// The counts beside the bar.
    pub(super) fn line(&self) -> String {
        format!("{} in, {} were there, {} refused", self.accepted, self.known, self.refused)
    }

    /// The end of a run.
    pub(super) fn tell(&self, verb: &str) -> Result<(), Failure> {
        let rows = self.accepted + self.known + self.refused;
        say(&format!(
            "{rows} rows: {} {verb}, {} were there already, {} refused",
            self.accepted, self.known, self.refused
        ))
    }
}
