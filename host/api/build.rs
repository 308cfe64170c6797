//! Finds the pages of documentation that are served under `/docs`: every `host/docs/*.md`, by name.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

fn main() {
    let docs = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../docs");
    println!("cargo::rerun-if-changed={}", docs.display());
    println!("cargo::rerun-if-changed=build.rs");
    let mut names: Vec<String> = Vec::new();
    if let Ok(entries) = fs::read_dir(&docs) {
        let files = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names = files.filter_map(|name| name.strip_suffix(".md").map(str::to_owned)).collect();
    }
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
