//! Finds the pages of documentation that are served under `/docs`: every `host/docs/**/*.md`, by its address.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

fn main() {
    let docs = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../docs");
    println!("cargo::rerun-if-changed={}", docs.display());
    println!("cargo::rerun-if-changed=build.rs");
    let mut names = Vec::new();
    find(&docs, "", &mut names);
    names.sort();
    let mut table = String::from("&[");
    for name in names {
        let path = docs.join(format!("{name}.md"));
        write!(table, "({name:?}, include_str!({path:?})),").expect("writing to a string");
    }
    table.push(']');
    let out = Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("pages.rs");
    fs::write(out, table).expect("the output directory takes files");
}

/// Every page in a folder and below it, as its path without the ending.
fn find(dir: &Path, below: &str, names: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.filter_map(Result::ok) {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let joint = if below.is_empty() { "" } else { "/" };
        if entry.path().is_dir() {
            find(&entry.path(), &format!("{below}{joint}{name}"), names);
        } else if let Some(page) = name.strip_suffix(".md") {
            names.push(format!("{below}{joint}{page}"));
        }
    }
}
