//! Components as a server would take them, without a server.

use std::path::{Path, PathBuf};

use cdp_runtime::{Error, Inspection, Options, Plugin, Runtime};

use super::build;
use super::project::Project;
use super::tools::Policy;
use crate::{Failure, exit};

/// The component of a project or of a file; a project is built first unless it is not to be.
pub(super) fn component(
    path: &Path,
    no_build: bool,
    policy: Policy,
) -> Result<(PathBuf, Option<Project>), Failure> {
    if path.is_file() {
        return Ok((path.to_owned(), None));
    }
    let project = Project::open(path)?;
    let built = if no_build { project.built() } else { build::build(&project, policy)? };
    if !built.is_file() {
        return Err(Failure::new(
            exit::NOT_FOUND,
            format!("{} is not there: build it first", built.display()),
        ));
    }
    Ok((built, Some(project)))
}

/// Looks at a component; nothing of it runs.
pub(super) fn inspect(component: &[u8]) -> Result<Inspection, Failure> {
    runtime()?
        .inspect(component)
        .map_err(|refusals| refused(&refusals.iter().map(ToString::to_string).collect::<Vec<_>>()))
}

/// A runtime with the limits of a server. What it compiles is kept beside the tools, where there is a place for them.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    let options = match kept() {
        Some((dir, key)) => Options { cache_dir: Some(dir), cache_key: key, ..Options::default() },
        None => Options::default(),
    };
    Runtime::new(options)
        .map_err(|error| Failure::because(exit::FAILED, "start the WebAssembly engine", &error))
}

/// The folder of compiled components and the key that tells them from those of others; None where they cannot be kept.
fn kept() -> Option<(PathBuf, [u8; 32])> {
    let home = super::tools::home().ok()?;
    let (dir, file) = (home.join("compiled"), home.join("compiled.key"));
    std::fs::create_dir_all(&dir).ok()?;
    if let Ok(bytes) = std::fs::read(&file) {
        return Some((dir, bytes.try_into().ok()?));
    }
    let mut key = [0; 32];
    getrandom::fill(&mut key).ok()?;
    // Written beside its place and linked there: of two that come first, one key stays.
    let mut half = tempfile::NamedTempFile::new_in(&home).ok()?;
    std::io::Write::write_all(&mut half, &key).ok()?;
    match half.persist_noclobber(&file) {
        Ok(_) => Some((dir, key)),
        Err(_) => Some((dir, std::fs::read(&file).ok()?.try_into().ok()?)),
    }
}

/// Compiles a component and asks it what it is.
pub(super) fn prepare(runtime: &Runtime, component: &[u8]) -> Result<Plugin, Failure> {
    runtime.load(component).map_err(|error| match &error {
        Error::Refused(refusals) => refused(&refusals.iter().map(ToString::to_string).collect::<Vec<_>>()),
        Error::Descriptor(problems) => refused(problems),
        _ => Failure::because(exit::INPUT_REJECTED, "take the component", &error),
    })
}

fn refused(reasons: &[String]) -> Failure {
    Failure::new(exit::INPUT_REJECTED, format!("the component is refused:\n  {}", reasons.join("\n  ")))
}
