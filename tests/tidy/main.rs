//! The house rules, as tests: who may name whom, what stands where, how long a file may be.
#![expect(clippy::unwrap_used, reason = "this whole target is tests")]

mod arrows;
mod files;
mod limits;

use std::path::{Path, PathBuf};

/// The folder of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}
