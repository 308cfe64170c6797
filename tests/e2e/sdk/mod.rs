//! The real libraries of an analytics vendor play a small customer's story against the real server.
//!
//! They are installed at test time into `target/sdk`, from the registries that their users install them from; where a
//! registry or the language is not there, the test says so and does nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::http::attribute;
use crate::harness::{Server, Tenant, root, run_to_end, until};

const NODE: &str = "@segment/analytics-node@3.1.0";
const PYTHON: &str = "segment-analytics-python==2.4.0";
/// Installing asks a registry over the network.
const INSTALLING_MAX: Duration = Duration::from_secs(240);
const PLAYING_MAX: Duration = Duration::from_secs(240);

/// Installs packages once, with the command that puts them into a directory. None, with the reason printed, where that
/// is not possible.
pub(crate) fn installed(test: &str, name: &str, install: impl Fn(&Path) -> Command) -> Option<PathBuf> {
    let dir = root().join("target/sdk").join(name);
    if dir.join("complete").exists() {
        return Some(dir);
    }
    std::fs::create_dir_all(&dir).unwrap();
    let mut command = install(&dir);
    if let Err(error) = Command::new(command.get_program()).arg("--version").output() {
        eprintln!("SKIPPED {test}: {:?} cannot be run: {error}", command.get_program());
        return None;
    }
    command.current_dir(&dir);
    let ended = run_to_end(command, INSTALLING_MAX);
    if ended.code != Some(0) {
        let last = ended.stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        eprintln!("SKIPPED {test}: {name} cannot be installed: {last}");
        return None;
    }
    std::fs::write(dir.join("complete"), "").unwrap();
    Some(dir)
}

fn node(test: &str) -> Option<PathBuf> {
    installed(test, "node-3.1.0", |dir| {
        let mut command = Command::new("npm");
        command.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(dir).arg(NODE);
        command
    })
}

fn python(test: &str) -> Option<PathBuf> {
    installed(test, "python-2.4.0", |dir| {
        let mut command = Command::new("python3");
        command
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"])
            .arg(dir)
            .arg(PYTHON);
        command
    })
}

/// Plays the journey against a server of its own and checks what must come of it.
fn plays(program: &str, script: &str, packages: &Path, more: &[&str]) {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    define(&tenant);
    let before = settled(&server);
    let run = format!("{script}{}", more.join("")).replace('.', "");
    let dir = root().join("tests/e2e/sdk");
    let mut command = Command::new(program);
    command.arg(dir.join(script)).arg(packages).args([server.url.as_str(), tenant.key(), &run]);
    command.arg(dir.join("journey.json")).args(more);
    let ended = run_to_end(command, PLAYING_MAX);
    assert_eq!(ended.code, Some(0), "{} {}", ended.stdout, ended.stderr);
    assert_eq!(settled(&server) - before, 17, "18 calls, one of them a repeat");
    expect(&tenant, &run);
    server.finish();
}

/// The journey's own expectations, read from its file.
fn expect(tenant: &Tenant, run: &str) {
    let text = std::fs::read_to_string(root().join("tests/e2e/sdk/journey.json")).unwrap();
    let journey: Value = serde_json::from_str(&text.replace("{run}", run)).unwrap();
    let expected = &journey["expect"];
    for group in expected["profiles_if_email_links_too"].as_array().unwrap() {
        let ids: BTreeSet<String> =
            group.as_array().unwrap().iter().map(|id| whose(tenant, id.as_str().unwrap())).collect();
        assert_eq!(ids.len(), 1, "one person: {group}");
    }
    let apart: BTreeSet<String> = expected["profiles_if_email_links_too"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| whose(tenant, group[0].as_str().unwrap()))
        .collect();
    assert_eq!(apart.len(), expected["profiles_if_email_links_too"].as_array().unwrap().len());
    for (user, orders) in expected["order_completed"].as_object().unwrap() {
        let profile = tenant.profile("user_id", user);
        assert_eq!(attribute(&profile, "orders"), orders["count"].to_string(), "{profile}");
        assert_eq!(attribute(&profile, "revenue"), orders["revenue_numeric"].to_string());
        let plain = |time: &Value| crate::harness::http::plain(time.as_str().unwrap());
        assert_eq!(attribute(&profile, "first_order"), plain(&orders["first"]), "to the millisecond");
        assert_eq!(attribute(&profile, "last_order"), plain(&orders["last"]));
        let id = profile["id"].as_str().unwrap();
        let events = tenant.get(&format!("/v1/profiles/{id}/events?limit=1000")).expect_status(200);
        let coupons = events["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|event| event["id"] == format!("msg-{run}-twice"));
        assert_eq!(coupons.count(), 1, "a message id that is used twice counts once");
    }
    let ada = tenant.profile("user_id", &format!("user-{run}-1"));
    assert_eq!(ada["traits"]["city"]["value"], "Paris");
    assert_eq!(ada["traits"]["address"]["value"]["postalCode"], "SW1A 1AA");
    assert_eq!(ada["traits"]["phone"], Value::Null, "a null removes a trait");
    assert_eq!(ada["traits"]["plan"], Value::Null, "a group's traits are not the person's");
    let li = tenant.profile("user_id", &format!("user-{run}-2"));
    assert_eq!(li["traits"]["bio"]["value"], "Ünïcödé\n“quotes” & <tags>");
}

/// The profile of an id that a caller gave, of whatever kind.
fn whose(tenant: &Tenant, id: &str) -> String {
    let kind = if id.starts_with("anon-") { "anonymous_id" } else { "user_id" };
    tenant.profile(kind, id)["id"].as_str().unwrap().to_owned()
}

fn define(tenant: &Tenant) {
    for (name, definition) in [
        ("orders", json!({"kind": "count", "event": "Order Completed"})),
        ("revenue", json!({"kind": "sum", "event": "Order Completed", "property": "/revenue"})),
        ("first_order", json!({"kind": "first", "event": "Order Completed"})),
        ("last_order", json!({"kind": "last", "event": "Order Completed"})),
    ] {
        tenant.define(&format!("/v1/attributes/{name}"), &definition);
    }
}

/// Waits until everything that was accepted is applied; gives how many events are.
fn settled(server: &Server) -> u64 {
    let read = |text: &str, name: &str| -> f64 {
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    let applied = until(Duration::from_secs(60), || {
        let text = server.anonymous().get("/metrics").text();
        (read(&text, "cdp_journal_lag_bytes") == 0.0).then(|| read(&text, "cdp_events_applied{"))
    });
    format!("{:.0}", applied.expect("all is applied")).parse().unwrap()
}

#[test]
fn the_node_library_plays_the_journey() {
    let Some(packages) = node("the_node_library_plays_the_journey") else { return };
    plays("node", "journey.mjs", &packages, &[]);
}

#[test]
fn the_python_library_plays_the_journey_plain_and_compressed() {
    let Some(packages) = python("the_python_library_plays_the_journey_plain_and_compressed") else { return };
    plays("python3", "journey.py", &packages, &[]);
    plays("python3", "journey.py", &packages, &["gzip"]);
}
