//! What stands where, how long files may be, and what they must not contain.

use std::path::{Path, PathBuf};

/// The top of the repository; dot-files and what git ignores may stand there too.
const TOP: &[&str] = &[
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "examples",
    "host",
    "plugins",
    "tests",
    "wit",
];
const IGNORED: &[&str] = &["target", "cdp-demo-data", "cdp-data"];
/// Beyond this only tables of data are allowed, and those are not code.
const LINES_MAX: usize = 800;
const CODE: &[&str] = &["rs", "py", "wit", "html", "css", "js", "sh"];
const TEXT: &[&str] = &["rs", "py", "wit", "html", "css", "js", "sh", "md", "toml", "json", "yml", "yaml"];

fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if IGNORED.iter().any(|ignored| name.starts_with(ignored)) || name == ".git" {
            continue;
        }
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}

pub(super) fn files(extensions: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    walk(&super::root(), &mut found);
    found.retain(|path| path.extension().is_some_and(|e| extensions.contains(&e.to_string_lossy().as_ref())));
    found.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn only_what_belongs_there_stands_at_the_top() {
    for entry in std::fs::read_dir(super::root()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let allowed = name.starts_with('.')
            || name.ends_with(".key")
            || TOP.contains(&name.as_str())
            || IGNORED.iter().any(|ignored| name.starts_with(ignored));
        assert!(allowed, "{name} does not belong at the top");
    }
}

#[test]
fn no_file_of_code_is_longer_than_800_lines() {
    let long: Vec<String> = files(CODE)
        .iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| format!("{}: {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn no_file_names_a_folder_of_one_machine() {
    // Put together here, so that this file is none of those it looks for.
    let homes = ["home", "Users", "root", "work", "opt/rust"].map(|folder| format!("/{folder}/"));
    let mut found = Vec::new();
    for (path, text) in files(TEXT) {
        for (n, line) in (1..).zip(text.lines()) {
            // A path begins a word: `examples/work/` and `https://host/home/` are something else.
            let begins = |home: &String| {
                line.match_indices(home.as_str()).any(|(at, _)| {
                    !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-/*}".contains(c))
                })
            };
            if homes.iter().any(begins) {
                found.push(format!("{}:{n}: {line}", path.display()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_crate_begins_with_its_purpose() {
    for (path, text) in files(&["rs"]) {
        let is_root = path.ends_with("src/lib.rs") || path.ends_with("src/main.rs");
        assert!(!is_root || text.starts_with("//!"), "{} does not begin with its purpose", path.display());
    }
}
