//! A full disk: writes are refused, nothing acknowledged is lost, and freed space brings the server back.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::crash::verify_store;
use crate::harness::http::attribute;
use crate::harness::{Server, Tenant, until};

/// Room for the files that a server makes when it starts, and then some.
const DISK_MIB: usize = 256;

/// A small file system of its own; unmounted when dropped.
struct SmallDisk {
    at: tempfile::TempDir,
}

impl SmallDisk {
    fn mount() -> Option<Self> {
        let at = tempfile::tempdir().unwrap();
        let size = format!("size={DISK_MIB}m");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { at }),
            Ok(output) => {
                eprintln!("SKIPPED full disk: mount said {}", String::from_utf8_lossy(&output.stderr).trim());
                None
            }
            Err(error) => {
                eprintln!("SKIPPED full disk: mount cannot be run: {error}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.at.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("--lazy").arg(self.path()).status().ok();
    }
}

fn fill(path: &Path) -> PathBuf {
    let filler = path.join("filler");
    let mut file = File::create(&filler).unwrap();
    let mut chunk = vec![1_u8; 1 << 20];
    while !chunk.is_empty() {
        if file.write_all(&chunk).is_err() {
            chunk.truncate(chunk.len() / 2);
        }
    }
    filler
}

fn event(number: u64) -> Value {
    json!({"id": format!("d-{number}"), "type": "purchase", "time": "2026-03-01T12:00:00Z",
           "identifiers": [{"type": "customer_id", "value": format!("c{}", number % 10)}],
           "properties": {"pad": noise(number)}})
}

/// About 20 KB that no compression makes small.
fn noise(number: u64) -> String {
    let mut random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::with_capacity(20_000);
    while text.len() < 20_000 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        text.push_str(&format!("{random:016x}"));
    }
    text
}

#[test]
fn a_full_disk_refuses_writes_and_loses_nothing() {
    let Some(disk) = SmallDisk::mount() else { return };
    let mut server = Server::at(&disk.path().join("data"));
    let tenant = server.tenant("shop");
    tenant.define("/v1/attributes/orders", &json!({"kind": "count", "event": "purchase"}));
    let mut acknowledged = 0;
    let mut next = 0;
    for _ in 0..50 {
        tenant.post("/v1/events?wait=applied", &event(next)).expect_status(202);
        (acknowledged, next) = (acknowledged + 1, next + 1);
    }
    let filler = fill(disk.path());
    // Space that was set aside before may still be written; then it must end in a refusal.
    let mut refused = Vec::new();
    for _ in 0..20_000 {
        let answer = tenant.post("/v1/events", &event(next));
        match answer.status {
            202 => acknowledged += 1,
            429 => continue,
            _ => {
                assert!(answer.headers.contains_key("retry-after"), "a 503 says when to come again");
                answer.expect_problem(503);
                refused.push(next);
            }
        }
        next += 1;
        if refused.len() == 3 {
            break;
        }
    }
    assert_eq!(refused.len(), 3, "the disk was full and nothing was refused");
    let anybody = server.anonymous();
    anybody.get("/healthz").expect_status(200);
    let not_ready = until(Duration::from_secs(10), || {
        let answer = anybody.get("/readyz");
        (answer.status == 503).then_some(answer)
    });
    let why = not_ready.expect("a server that cannot write is not ready").text();
    assert!(!why.is_empty(), "the body says which part");

    std::fs::remove_file(filler).unwrap();
    let back = until(Duration::from_secs(60), || {
        let answer = tenant.post("/v1/events?wait=applied", &event(refused[0]));
        (answer.status == 202).then_some(answer)
    });
    let back = back.expect("freed space brings the server back").json();
    assert_eq!(back["accepted"], 1, "what was refused was not kept: {back}");
    // The state store is opened again in place, and state brought forward from the journal: no restart.
    let ready = until(Duration::from_secs(60), || (anybody.get("/readyz").status == 200).then_some(()));
    assert!(ready.is_some(), "it is ready again: {}", anybody.get("/readyz").text());
    for &number in &refused[1..] {
        tenant.post_patiently("/v1/events?wait=applied", &event(number)).expect_status(202);
    }
    assert_eq!(total(&tenant), acknowledged + refused.len() as u64);
    server.terminate();
    verify_store(&server);
    server.restart();
    assert_eq!(total(&tenant.at(&server.url)), acknowledged + refused.len() as u64);
    server.finish();
}

fn total(tenant: &Tenant) -> u64 {
    let of =
        |n| attribute(&tenant.profile("customer_id", &format!("c{n}")), "orders").parse::<u64>().unwrap();
    (0..10).map(of).sum()
}
