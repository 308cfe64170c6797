//! `cdp export verify`: that a file is what its manifest says, and that a proof leads to it. Needs no server and no key.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Failure, exit, say};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cdp export verify audience.csv.manifest.json audience.csv --proof row-17.json

Exit codes: 0 everything holds, 9 something does not.")]
pub(crate) struct Args {
    /// The manifest, as GET /v1/exports/{id}/manifest gives it.
    manifest: PathBuf,
    /// The file that it is of.
    file: PathBuf,
    /// A row's proof, as GET /v1/exports/{id}/proof gives it.
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let manifest = read(&args.manifest)?;
    let proof = args.proof.as_deref().map(read).transpose()?;
    let mut file = BufReader::with_capacity(1 << 16, open(&args.file)?);
    match cdp_export::manifest::verify(&manifest, &mut file, proof.as_ref()) {
        Ok(checked) => {
            if let Some(row) = checked.proven_row {
                say(&format!("row {row} stands in it on the grounds of the consent record in the proof"))?;
            }
            say(&format!(
                "the file is what the manifest says: {} rows, {} bytes",
                checked.rows, checked.bytes
            ))
        }
        Err(wrong) => {
            wrong.iter().try_for_each(|sentence| say(sentence))?;
            Err(Failure::new(
                exit::CHECKS_FAILED,
                "the file, the manifest and the proof do not belong together",
            ))
        }
    }
}

fn read(path: &Path) -> Result<Value, Failure> {
    serde_json::from_reader(BufReader::new(open(path)?))
        .map_err(|error| Failure::because(exit::INPUT_REJECTED, &format!("read {}", path.display()), &error))
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path)
        .map_err(|error| Failure::because(exit::NOT_FOUND, &format!("open {}", path.display()), &error))
}
