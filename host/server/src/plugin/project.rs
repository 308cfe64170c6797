//! A plugin's project: a folder with `plugin.toml`, which says what it is.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{Failure, exit};

/// The file that makes a folder a project.
pub(super) const MANIFEST: &str = "plugin.toml";

/// The way in which a plugin serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum World {
    /// Changes, drops or multiplies events on their way in.
    Transformer,
    /// Derives attributes by folding events.
    Deriver,
    /// Plans the requests that hand an audience out, and judges the replies; the server sends.
    ConnectorPlan,
    /// Hands an audience out by sending itself, step by step.
    ConnectorIo,
}

impl World {
    /// All of them.
    #[cfg(test)]
    pub(super) const ALL: [Self; 4] =
        [Self::Transformer, Self::Deriver, Self::ConnectorPlan, Self::ConnectorIo];

    /// Its name in the contract.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Transformer => "transformer",
            Self::Deriver => "deriver",
            Self::ConnectorPlan => "connector-plan",
            Self::ConnectorIo => "connector-io",
        }
    }
}

/// What a plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Language {
    /// Rust, with cargo.
    Rust,
    /// JavaScript, in QuickJS.
    Js,
    /// TypeScript, in QuickJS.
    Ts,
    /// Python, in CPython.
    Python,
    /// Go.
    Go,
    /// C, with zig cc.
    C,
}

impl Language {
    /// All of them.
    pub(super) const ALL: [Self; 6] = [Self::Rust, Self::Js, Self::Ts, Self::Python, Self::Go, Self::C];

    /// As it stands on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Js => "js",
            Self::Ts => "ts",
            Self::Python => "python",
            Self::Go => "go",
            Self::C => "c",
        }
    }
}

/// What `plugin.toml` says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    name: String,
    world: World,
    language: Language,
}

/// A folder with a plugin's sources.
#[derive(Debug)]
pub(super) struct Project {
    /// Absolute.
    pub(super) dir: PathBuf,
    pub(super) name: String,
    pub(super) world: World,
    pub(super) language: Language,
}

impl Project {
    /// Reads the project in a folder.
    pub(super) fn open(dir: &Path) -> Result<Self, Failure> {
        let path = dir.join(MANIFEST);
        let text = std::fs::read_to_string(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Failure::new(
                exit::NOT_FOUND,
                format!("there is no plugin project in {}: `cdp plugin new` starts one", dir.display()),
            ),
            _ => Failure::because(exit::CONFIGURATION, &format!("read {}", path.display()), &error),
        })?;
        let manifest: Manifest = toml::from_str(&text).map_err(|error| {
            Failure::new(exit::CONFIGURATION, format!("{}: {}", path.display(), error.message()))
        })?;
        let dir = std::fs::canonicalize(dir).map_err(|error| {
            Failure::because(exit::CONFIGURATION, &format!("find {}", dir.display()), &error)
        })?;
        check_name(&manifest.name)?;
        Ok(Self { dir, name: manifest.name, world: manifest.world, language: manifest.language })
    }

    /// Where what was built stands.
    pub(super) fn built(&self) -> PathBuf {
        self.dir.join("build").join(format!("{}.wasm", self.name))
    }
}

/// A name that every language and the contract take.
pub(super) fn check_name(name: &str) -> Result<(), Failure> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let fits = (1..=64).contains(&name.len())
        && name.bytes().all(plain)
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-');
    if fits {
        return Ok(());
    }
    Err(Failure::new(
        exit::USAGE,
        format!("{name:?} is no name for a plugin: 1 to 64 of a-z, 0-9 and -, beginning with a letter"),
    ))
}
