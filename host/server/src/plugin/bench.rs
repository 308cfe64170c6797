//! The guests of `cdp bench plugin`: new projects in which the bench's sources stand, built like anybody's.

use std::path::{Path, PathBuf};

use super::project::{Language, Project, World};
use super::tools::Policy;
use super::{build, template};
use crate::Failure;

/// A source of the bench, and where it stands in a project.
#[derive(Debug)]
pub(crate) struct Guest {
    language: Language,
    world: World,
    path: &'static str,
    text: &'static str,
}

/// The same work in three languages.
pub(crate) const TRANSFORMERS: [Guest; 3] = [
    Guest {
        language: Language::Rust,
        world: World::Transformer,
        path: "src/lib.rs",
        text: include_str!("../bench/plugin/guests/lib.rs"),
    },
    Guest {
        language: Language::Js,
        world: World::Transformer,
        path: "plugin.js",
        text: include_str!("../bench/plugin/guests/plugin.js"),
    },
    Guest {
        language: Language::Python,
        world: World::Transformer,
        path: "plugin.py",
        text: include_str!("../bench/plugin/guests/plugin.py"),
    },
];

/// A connector whose delivery never ends.
pub(crate) const SESSION: Guest = Guest {
    language: Language::Rust,
    world: World::ConnectorIo,
    path: "src/lib.rs",
    text: include_str!("../bench/plugin/guests/session.rs"),
};

impl Guest {
    /// What it is written in, as it stands on the command line.
    pub(crate) fn language(&self) -> &'static str {
        self.language.name()
    }

    /// Makes and builds it in a fresh folder; gives the component's path.
    pub(crate) fn build(&self, dir: &Path) -> Result<PathBuf, Failure> {
        template::write(dir, "bench", self.world, self.language)?;
        std::fs::write(dir.join(self.path), self.text).map_err(|error| {
            Failure::because(crate::exit::CONFIGURATION, "write the guest's source", &error)
        })?;
        build::build(&Project::open(dir)?, Policy { offline: false, talks: false })
    }
}
