//! The console in Chromium: every page of the demo at two widths, light and dark, a segment that is built, explained and
//! exported, and a plugin that is rolled back. Skipped, with a line that says so, where there is no node, no Chromium or
//! no playwright-core.
//!
//! `CDP_BROWSER` names the Chromium, `CDP_BROWSER_MODULES` a folder whose `node_modules` has `playwright-core` and
//! `axe-core`, `CDP_BROWSER_SHOTS` one for screenshots.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::{CDP, guest_path, root, run_to_end};

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

/// What the demo prints once it serves: the link to the console.
fn link(output: std::process::ChildStdout) -> String {
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    let line = lines.find(|line| line.contains("/console/enter/")).expect("the demo prints a link");
    // The rest is read to its end, so that the demo is never held up.
    std::thread::spawn(move || lines.for_each(drop));
    line.trim().to_owned()
}

#[test]
fn every_page_of_the_console_is_well_in_chromium() {
    let (Some(chromium), Some(modules), true) = (chromium(), modules(), has_node()) else {
        eprintln!("skipped: no node, no Chromium, or no playwright-core and axe-core (CDP_BROWSER_MODULES)");
        return;
    };
    let own = tempfile::tempdir().unwrap();
    let mut demo = Command::new(CDP)
        .args(["demo", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(own.path().join("demo"))
        .arg("--plugin")
        .arg(guest_path("country_code.wasm"))
        .env_remove("CDP_OPERATOR_KEY")
        .env("RUST_LOG", "error")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let link = link(demo.stdout.take().unwrap());
    let url = link.split("/console/").next().unwrap().to_owned();
    let mut walk = Command::new("node");
    walk.arg(root().join("tests/e2e/browser/walk.mjs")).args([&url, &link]);
    walk.arg(modules).arg(chromium).arg(guest_path("country_code.wasm"));
    if let Some(shots) = std::env::var_os("CDP_BROWSER_SHOTS") {
        walk.arg(Path::new(&shots));
    }
    let ended = run_to_end(walk, Duration::from_secs(300));
    let pid = rustix::process::Pid::from_child(&demo);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    demo.wait().unwrap();
    eprintln!("{}", ended.stdout);
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
}
