//! Fixtures: events, and what is to come of them, in the project's `tests/*.json`.
//!
//! For a deriver: `{config?, events, now?, expect: {OUTPUT: value}, valid_until?}`; outputs that are not named have no value.
//! For a transformer: `{config?, events, expect: [OUTCOME]}` with one outcome an event: `{}` (kept as it is),
//! `{set: {POINTER: value}, remove: [POINTER], events: [{type, time?, properties?, traits?}]}`, `{drop: reason}`,
//! `{reject: reason}`, `{retry: milliseconds}` or `{misconfigured: reason}`.

use std::path::{Path, PathBuf};

use cdp_domain::time::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::events::Events;
use crate::{Failure, exit};

/// The folder of a project's fixtures.
const FOLDER: &str = "tests";

/// One file of fixtures.
#[derive(Debug)]
pub(super) struct Fixture {
    /// As text; empty when there is none.
    pub(super) config: String,
    pub(super) events: Events,
    /// When a derivation is read; None stands for the last event's time.
    pub(super) now: Option<Timestamp>,
    pub(super) expect: Value,
    pub(super) valid_until: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    about: String,
    config: Option<Value>,
    events: Vec<Value>,
    now: Option<String>,
    expect: Value,
    valid_until: Option<String>,
}

/// The files of all fixtures of a project, by name.
pub(super) fn paths(project: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = match std::fs::read_dir(project.join(FOLDER)) {
        Ok(entries) => entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect(),
        Err(_) => Vec::new(),
    };
    paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
    paths.sort();
    paths
}

impl Fixture {
    /// Reads one file.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let wrong = |why: String| Failure::new(exit::INPUT_REJECTED, format!("{}: {why}", path.display()));
        let raw: Raw =
            serde_json::from_slice(&super::read(path)?).map_err(|error| wrong(error.to_string()))?;
        drop(raw.about); // for people
        let time = |text: Option<String>, field: &str| {
            text.map(|text| Timestamp::parse(&text))
                .transpose()
                .map_err(|why| wrong(format!("/{field} {why}")))
        };
        Ok(Self {
            config: raw.config.map(|config| config.to_string()).unwrap_or_default(),
            events: Events::of(&raw.events).map_err(|problems| {
                wrong(problems.iter().map(|one| format!("/events{one}")).collect::<Vec<_>>().join("; "))
            })?,
            now: time(raw.now, "now")?,
            expect: raw.expect,
            valid_until: time(raw.valid_until, "valid_until")?,
        })
    }
}
