//! The documentation, page by page: each example is run, each answer compared, each excerpt found in its file.
//!
//! A page is a script. Its blocks are done in order, in a folder of its own, against a server of its own whose address and
//! key stand in `CDP_URL` and `CDP_API_KEY`; a page that starts a server itself has none before.
//!
//! | block | is |
//! | --- | --- |
//! | `sh` | run by a shell; variables that are exported and the folder last; must end with 0, or as `exit=N` says |
//! | `sh background` | a server that is started and ends with the page |
//! | `sh stopped` | run when the page's server has ended |
//! | `sh no-run reason="…"` | not run; how many there may be is bounded |
//! | `http` | a request line, an empty line and a body: sent with the page's key, must succeed or be answered `status=N`; the body is also held against the description of the interface; a job that it begins is waited for |
//! | `json answer` | what the request before it answered: each member that is named must be there; `…` stands for anything |
//! | `json` | valid JSON |
//! | `text answer` | lines that the block before it printed; `…` stands for anything |
//! | `text` | for people |
//! | `js`, `python`, `rust`, `go`, `c` with `file="…"` | an excerpt of this file |
//!
//! In a request or command `exp_…` stands for the id of that kind that was answered last. Where a page says
//! `127.0.0.1:8080`, the server of the page is meant.

mod answers;
mod blocks;
mod served;
mod walk;

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;

use crate::harness::root;
use walk::Walk;

/// Blocks that are not run, on all pages together. Each has its reason beside it.
const NOT_RUN_MAX: usize = 7;
/// Below this the walker has lost its pages.
const RUN_LEAST: usize = 120;

/// Folders that are walked, each by a test of its own, and pages above them.
const FOLDERS: [&str; 5] =
    ["start-here", "developers/cdp-integration", "developers/plugins", "api-reference", "operate"];

/// Walked by `stranger.rs`, in each of its languages.
const ELSEWHERE: &str = "developers/plugins/first-plugin.md";

fn docs() -> PathBuf {
    root().join("host/docs")
}

/// Every page below a folder, by its path in `host/docs`.
fn pages(dir: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "md") {
            found.push(path.strip_prefix(docs()).unwrap().to_string_lossy().into_owned());
        }
    }
    found.sort();
}

fn all_pages() -> Vec<String> {
    let mut found = Vec::new();
    pages(&docs(), &mut found);
    found
}

fn walk_folder(folder: &str) {
    let mut found = Vec::new();
    pages(&docs().join(folder), &mut found);
    assert!(!found.is_empty());
    for page in found.iter().filter(|page| *page != ELSEWHERE) {
        walk(page, &docs().join(page));
    }
}

fn walk(name: &str, path: &Path) {
    let began = Instant::now();
    let text = std::fs::read_to_string(path).unwrap();
    let done = Walk::new(name).through(&blocks::of(name, &text));
    if done > 0 {
        eprintln!("{name}: {done} examples in {:.1} s", began.elapsed().as_secs_f64());
    }
}

#[test]
fn the_pages_to_start_with_hold() {
    walk_folder(FOLDERS[0]);
}

#[test]
fn the_pages_about_integration_hold() {
    walk_folder(FOLDERS[1]);
}

#[test]
fn the_pages_about_plugins_hold() {
    walk_folder(FOLDERS[2]);
}

#[test]
fn the_pages_of_the_reference_hold() {
    walk_folder(FOLDERS[3]);
}

#[test]
fn the_pages_for_operators_hold() {
    walk_folder(FOLDERS[4]);
}

#[test]
fn the_pages_above_them_hold() {
    walk("README.md", &root().join("README.md"));
    for page in all_pages().iter().filter(|page| !FOLDERS.iter().any(|folder| page.starts_with(folder))) {
        walk(page, &docs().join(page));
    }
}

/// Rules that a page shows in a table are rules too.
#[test]
fn the_rules_in_words_are_rules() {
    let server = crate::harness::Server::fresh();
    let tenant = server.tenant("shop");
    let purpose = json!({"title": "News", "legal_basis": "consent", "channels": ["email"]});
    tenant.define("/v1/purposes/marketing", &purpose);
    let spend =
        json!({"kind": "sum", "event": "Order Completed", "property": "/revenue", "window": {"days": 90}});
    tenant.define("/v1/attributes/spend_90d", &spend);
    let big = json!({"title": "Big", "rule": {"attribute": "spend_90d", "op": "gte", "value": "500"}});
    tenant.define("/v1/segments/big_spenders", &big);
    let page = docs().join("start-here/segments-and-derived-attributes.md");
    let text = std::fs::read_to_string(page).unwrap();
    let rules: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_suffix("` |")?.split_once("| `{").map(|(_, rule)| rule))
        .collect();
    assert!(rules.len() > 5, "{rules:?}");
    for rule in rules {
        let rule: serde_json::Value = serde_json::from_str(&format!("{{{rule}")).unwrap();
        tenant.post("/v1/segments/preview", &json!({ "rule": rule })).expect_status(200);
    }
    server.finish();
}

#[test]
fn few_examples_are_not_run_and_each_says_why() {
    let mut all: Vec<(String, PathBuf)> =
        all_pages().into_iter().map(|page| (page.clone(), docs().join(page))).collect();
    all.push(("README.md of the repository".to_owned(), root().join("README.md")));
    let (mut run, mut not_run) = (0, Vec::new());
    for (name, path) in all {
        for block in blocks::of(&name, &std::fs::read_to_string(path).unwrap()) {
            if block.has("no-run") {
                let reason = block.value("reason").unwrap_or_default();
                assert!(reason.len() > 10, "{}: why is it not run?", block.place);
                not_run.push(block.place.clone());
            } else if matches!(block.kind.as_str(), "sh" | "http") {
                run += 1;
            }
        }
    }
    assert!(not_run.len() <= NOT_RUN_MAX, "{} blocks are not run: {not_run:?}", not_run.len());
    assert!(run >= RUN_LEAST, "{run} blocks were found");
    eprintln!("{run} examples are run, {} are not", not_run.len());
}
