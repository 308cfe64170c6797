//! The guests of `cdp bench plugin`: new projects in which the bench's sources stand, built like anybody's.

use std::path::{Path, PathBuf};

use super::project::{Language, Project, World};
use super::tools::Policy;
use super::{build, template};
use crate::Failure;

/// Where each language's source stands in a project, and what is put there.
const SOURCES: [(Language, &str, &str); 3] = [
    (Language::Rust, "src/lib.rs", include_str!("../bench/plugin/guests/lib.rs")),
    (Language::Js, "plugin.js", include_str!("../bench/plugin/guests/plugin.js")),
    (Language::Python, "plugin.py", include_str!("../bench/plugin/guests/plugin.py")),
];

/// Makes and builds a guest in a fresh folder; gives the component's path.
pub(crate) fn build(dir: &Path, language: &str) -> Result<PathBuf, Failure> {
    let source = SOURCES.into_iter().find(|(known, _, _)| known.name() == language);
    let (language, path, text) = source.ok_or_else(|| {
        Failure::new(crate::exit::USAGE, format!("there is no guest of the bench in {language}"))
    })?;
    template::write(dir, "bench", World::Transformer, language)?;
    std::fs::write(dir.join(path), text)
        .map_err(|error| Failure::because(crate::exit::CONFIGURATION, "write the guest's source", &error))?;
    build::build(&Project::open(dir)?, Policy { offline: false, talks: false })
}
