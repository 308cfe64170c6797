//! The console in Chromium: a newcomer's path as its page says it, a plugin that is rolled back, somebody who is erased,
//! then every page of the demo at two widths, light and dark, and the documentation. Another walk looks for stored texts
//! that would run. Skipped, with a line that says so, where there is no node, no Chromium or no playwright-core.
//!
//! `CDP_BROWSER` names the Chromium, `CDP_BROWSER_MODULES` a folder whose `node_modules` has `playwright-core` and
//! `axe-core`, `CDP_BROWSER_SHOTS` one for screenshots of everything, `CDP_BROWSER_PICTURES` one for those of the README.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{CDP, Server, guest_path, root, run_to_end};
use crate::newcomer;

/// The first of these that is a file.
fn chromium() -> Option<PathBuf> {
    let given = std::env::var_os("CDP_BROWSER").map(PathBuf::from);
    let usual =
        ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].map(PathBuf::from);
    given.into_iter().chain(usual).find(|path| path.is_file())
}

/// The folder with the modules.
fn modules() -> Option<PathBuf> {
    let given = std::env::var_os("CDP_BROWSER_MODULES").map(PathBuf::from);
    let own = root().join("tests/e2e/browser");
    given.into_iter().chain([own]).find(|dir| {
        ["playwright-core", "axe-core"].iter().all(|name| dir.join("node_modules").join(name).is_dir())
    })
}

fn has_node() -> bool {
    let asked = Command::new("node").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// What a walk needs, or why there is none.
struct Walk {
    chromium: PathBuf,
    modules: PathBuf,
}

impl Walk {
    fn found() -> Option<Self> {
        let (Some(chromium), Some(modules), true) = (chromium(), modules(), has_node()) else {
            eprintln!(
                "skipped: no node, no Chromium, or no playwright-core and axe-core (CDP_BROWSER_MODULES)"
            );
            return None;
        };
        Some(Self { chromium, modules })
    }

    /// Runs a script with what it is told, beside what every script needs.
    fn run(&self, script: &str, mut told: Value) {
        told["modules"] = self.modules.to_str().into();
        told["chromium"] = self.chromium.to_str().into();
        let mut walk = Command::new("node");
        walk.arg(root().join("tests/e2e/browser").join(script)).arg(told.to_string());
        let ended = run_to_end(walk, Duration::from_secs(440));
        eprintln!("{}", ended.stdout);
        assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
    }
}

/// What the demo prints once it serves: the link to the console.
fn link(output: std::process::ChildStdout) -> String {
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    let line = lines.find(|line| line.contains("/console/enter/")).expect("the demo prints a link");
    // The rest is read to its end, so that the demo is never held up.
    std::thread::spawn(move || lines.for_each(drop));
    line.trim().to_owned()
}

/// A demo that serves; ends when dropped.
pub(crate) struct Demo {
    child: Child,
    /// Opens the console, signed in, once.
    pub(crate) link: String,
    pub(crate) url: String,
    _own: tempfile::TempDir,
}

impl Demo {
    pub(crate) fn start() -> Self {
        let own = tempfile::tempdir().unwrap();
        let mut child = Command::new(CDP)
            .args(["demo", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(own.path().join("demo"))
            .arg("--plugin")
            .arg(guest_path("country_code.wasm"))
            .env_remove("CDP_OPERATOR_KEY")
            .env("RUST_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let link = link(child.stdout.take().unwrap());
        let url = link.split("/console/").next().unwrap().to_owned();
        Self { child, link, url, _own: own }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Its server is another process, which it ends itself.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

#[test]
fn every_page_of_the_console_is_well_in_chromium() {
    let Some(walk) = Walk::found() else { return };
    let demo = Demo::start();
    let own = tempfile::tempdir().unwrap();
    let steps = own.path().join("steps.json");
    std::fs::write(&steps, json!(newcomer::told()).to_string()).unwrap();
    let list = crate::harness::Client::new(&demo.url, "").get("/llms.txt").text();
    let docs: Vec<&str> = list.split("](").skip(1).filter_map(|rest| rest.split(".md)").next()).collect();
    assert!(docs.len() > 50 && docs.iter().all(|page| page.starts_with("/docs/")), "{docs:?}");
    let docs: Vec<&str> = ["/docs", "/docs/search?q=erasure"].into_iter().chain(docs).collect();
    let folder = |name: &str| std::env::var(name).ok();
    walk.run(
        "walk.mjs",
        json!({
            "url": demo.url, "link": demo.link, "plugin": guest_path("country_code.wasm"), "steps": steps, "docs": docs,
            "shots": folder("CDP_BROWSER_SHOTS"), "pictures": folder("CDP_BROWSER_PICTURES"),
        }),
    );
}

#[test]
fn no_stored_text_runs_in_chromium() {
    let Some(walk) = Walk::found() else { return };
    let server = Server::fresh();
    let shop = server.tenant("shop");
    walk.run("texts.mjs", json!({ "url": server.url, "key": shop.key() }));
    server.finish();
}
