//! Backups: made while the server works, checked byte by byte, put back to the same, and nobody erased comes back.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::files::holding;
use crate::harness::{CDP, Server, Tenant, run_to_end, send_all, until};

fn cdp(args: &[&str], paths: &[(&str, &Path)]) -> crate::harness::Ended {
    let mut command = Command::new(CDP);
    command.args(args);
    for (flag, path) in paths {
        if !flag.is_empty() {
            command.arg(flag);
        }
        command.arg(path);
    }
    run_to_end(command, Duration::from_secs(120))
}

fn customer(n: usize) -> Value {
    json!({"id": format!("e{n}"), "type": "purchase", "time": "2026-03-01T00:00:00Z", "properties": {"total": n},
        "identifiers": [{"type": "customer_id", "value": format!("c{n}")}, {"type": "email", "value": format!("p{n}@example.com")}],
        "traits": {"name": format!("Person {n}")},
        "consents": [{"channel": "email", "address": format!("p{n}@example.com"), "purpose": "news", "status": "granted"}]})
}

fn define(tenant: &Tenant) {
    tenant.define("/v1/purposes/news", &json!({"title": "News", "legal_basis": "consent"}));
    tenant.define("/v1/attributes/spend", &json!({"kind": "sum", "event": "purchase", "property": "/total"}));
    let rule = json!({"attribute": "spend", "op": "gte", "value": "10"});
    tenant.define("/v1/segments/big", &json!({"title": "Big", "rule": rule}));
    let reachable = json!({"reachable": {"channel": "email", "purpose": "news"}});
    tenant.define("/v1/segments/reachable", &json!({"title": "Reachable", "rule": reachable}));
}

/// What is known of everybody, without where the server stands.
fn everybody(tenant: &Tenant, count: usize) -> Vec<Value> {
    (0..count)
        .map(|n| {
            let asked = json!({"identifier": {"type": "customer_id", "value": format!("c{n}")}});
            let mut profile = tenant.post_patiently("/v1/profiles/lookup", &asked).json();
            profile.as_object_mut().unwrap().remove("position");
            profile.as_object_mut().unwrap().remove("instance");
            profile
        })
        .collect()
}

fn members(tenant: &Tenant) -> Vec<Value> {
    let of = |name: &str| {
        let page = tenant.get(&format!("/v1/segments/{name}/members?limit=1000")).ok();
        let mut ids: Vec<String> =
            page["items"].as_array().unwrap().iter().map(|one| one["profile_id"].to_string()).collect();
        ids.sort();
        json!(ids)
    };
    vec![of("big"), of("reachable")]
}

fn ready(tenant: &Tenant) {
    assert!(until(Duration::from_secs(120), || tenant.anonymous_ready().then_some(())).is_some());
}

#[test]
fn a_backup_is_put_back_to_the_same_and_who_was_erased_since_stays_erased() {
    let own = tempfile::tempdir().unwrap();
    let data = own.path().join("data");
    let (backup, later) = (own.path().join("backup"), own.path().join("later"));
    let mut server = Server::at(&data);
    let tenant = server.tenant("shop");
    define(&tenant);
    send_all(&tenant, &(0..40).map(customer).collect::<Vec<_>>());
    // While the server works, and takes events in.
    let made = std::thread::scope(|scope| {
        let sending = scope.spawn(|| send_all(&tenant, &(40..80).map(customer).collect::<Vec<_>>()));
        let made = cdp(&["backup", "create"], &[("", &backup), ("--data-dir", &data)]);
        sending.join().unwrap();
        made
    });
    assert_eq!(made.code, Some(0), "{} {}", made.stdout, made.stderr);
    let verified = cdp(&["backup", "verify"], &[("", &backup)]);
    assert_eq!(verified.code, Some(0), "{} {}", verified.stdout, verified.stderr);
    let again = cdp(&["backup", "create"], &[("", &backup), ("--data-dir", &data)]);
    assert_eq!(again.code, Some(5), "{}", again.stderr);

    // Erased after the backup.
    let erased = json!({"identifier": {"type": "email", "value": "p3@example.com"}, "reason": "asked for"});
    let started = tenant.post("/v1/erasures", &erased).expect_status(202);
    tenant.finish_job(&started).unwrap();
    let second = cdp(&["backup", "create"], &[("", &later), ("--data-dir", &data)]);
    assert_eq!(second.code, Some(0), "{}", second.stderr);
    let (before, segments) = (everybody(&tenant, 80), members(&tenant));
    assert_eq!(before[3]["status"], 404, "{}", before[3]);
    server.terminate();

    // Nobody is named in a backup in plain.
    for dir in [&backup, &later] {
        assert!(holding(dir, b"Person 1").is_empty());
        assert!(holding(dir, b"@example.com").is_empty());
    }

    // Put back: the newer one is the same; the older one is the same less what came later, and nobody comes back.
    for (from, same) in [(&later, true), (&backup, false)] {
        let to = own.path().join(if same { "back" } else { "older" });
        let refused = cdp(&["backup", "restore"], &[("", from), ("--data-dir", &data)]);
        assert_eq!(refused.code, Some(5), "only into an empty directory: {}", refused.stderr);
        let erasures = own.path().join("data.erasures");
        let key = own.path().join("data.key");
        let places: [(&str, &Path); 3] = [("", from), ("--data-dir", &to), ("--erasures-file", &erasures)];
        let restored = cdp(&["backup", "restore"], &places);
        assert_eq!(restored.code, Some(0), "{} {}", restored.stdout, restored.stderr);
        let beside =
            |ending: &str| own.path().join(format!("{}.{ending}", to.file_name().unwrap().to_str().unwrap()));
        std::fs::copy(&key, beside("key")).unwrap();
        std::fs::copy(&erasures, beside("erasures")).unwrap();
        let mut other = Server::at(&to);
        let there = tenant.at(&other.url);
        ready(&there);
        let found = everybody(&there, 80);
        if same {
            assert_eq!((&found, &members(&there)), (&before, &segments));
        } else {
            assert_eq!(found[..3], before[..3], "what was accepted before it began is in it");
            assert_eq!(found[4..40], before[4..40]);
        }
        assert_eq!(found[3]["status"], 404, "{}", found[3]);
        let late = there.post_patiently("/v1/events", &customer(3)).expect_problem(403);
        assert_eq!(late["code"], "suppressed");
        let certificate = until(Duration::from_secs(60), || {
            let listed = there.get("/v1/erasures").json();
            (listed["items"][0]["status"] == "done").then(|| listed["items"].clone())
        });
        assert_eq!(
            certificate.unwrap().as_array().unwrap().len(),
            1,
            "the erasure is one of this journal too"
        );
        // And after a restart, and a rebuild.
        other.terminate();
        let checked = cdp(&["store", "verify"], &[("--data-dir", &to)]);
        assert_eq!(checked.code, Some(0), "{} {}", checked.stdout, checked.stderr);
        let chains = cdp(&["audit", "verify"], &[("--data-dir", &to)]);
        assert_eq!(chains.code, Some(0), "{} {}", chains.stdout, chains.stderr);
        std::fs::remove_dir_all(to.join("state")).unwrap();
        other.restart();
        let there = tenant.at(&other.url);
        ready(&there);
        assert_eq!(everybody(&there, 80)[3]["status"], 404);
        other.finish();
    }

    // An erasures file that is older than the backup would bring people back.
    let old = own.path().join("old.erasures");
    std::fs::write(&old, "").unwrap();
    let nowhere = own.path().join("nowhere");
    let refused =
        cdp(&["backup", "restore"], &[("", &later), ("--data-dir", &nowhere), ("--erasures-file", &old)]);
    assert_eq!(refused.code, Some(9), "{}", refused.stderr);
    assert!(!nowhere.exists());
    let anyway = cdp(
        &["backup", "restore", "--without-erasures"],
        &[("", &later), ("--data-dir", &nowhere), ("--erasures-file", &old)],
    );
    assert_eq!(anyway.code, Some(0), "{}", anyway.stderr);

    // One byte is enough.
    let file = std::fs::read_dir(backup.join("journal/00000001")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let verified = cdp(&["backup", "verify"], &[("", &backup)]);
    assert_eq!(verified.code, Some(9), "{}", verified.stdout);
    assert!(verified.stdout.contains("journal/00000001/"), "{}", verified.stdout);
    let refused = cdp(
        &["backup", "restore", "--without-erasures"],
        &[("", &backup), ("--data-dir", &own.path().join("damaged"))],
    );
    assert_eq!(refused.code, Some(9), "{}", refused.stderr);
    assert_eq!(cdp(&["backup", "verify"], &[("", &own.path().join("none"))]).code, Some(4));
}

#[test]
fn a_backup_that_is_killed_in_the_middle_is_no_backup() {
    let own = tempfile::tempdir().unwrap();
    let data = own.path().join("data");
    let mut server = Server::at(&data);
    let tenant = server.tenant("shop");
    let note = "x".repeat(1500);
    let large = |n: usize| {
        let mut event = customer(n);
        event["properties"]["note"] = note.clone().into();
        event
    };
    send_all(&tenant, &(0..4000).map(large).collect::<Vec<_>>());
    server.terminate();
    let mut killed = 0;
    for try_no in 0..20_u64 {
        let to = own.path().join(format!("backup-{try_no}"));
        let mut command = Command::new(CDP);
        command.args(["backup", "create"]).arg(&to).arg("--data-dir").arg(&data);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut child = command.spawn().unwrap();
        let unfinished = own.path().join(format!("backup-{try_no}.unfinished"));
        // In the middle of what it does: when some of it is there, later and later.
        let begun = until(Duration::from_secs(20), || {
            let begun = unfinished.join(["ledger", "journal", "keys"][try_no as usize % 3]).exists();
            (begun || to.exists()).then_some(())
        });
        begun.unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let verified = cdp(&["backup", "verify"], &[("", if to.exists() { &to } else { &unfinished })]);
        if to.exists() {
            assert_eq!(verified.code, Some(0), "{}", verified.stdout);
        } else {
            killed += 1;
            assert_eq!(verified.code, Some(9), "{}", verified.stdout);
        }
        if killed >= 3 {
            break;
        }
    }
    assert!(killed > 0, "some were killed in the middle");
    let to = own.path().join("backup-0");
    if !to.exists() {
        let again = cdp(&["backup", "create"], &[("", &to), ("--data-dir", &data)]);
        assert_eq!(again.code, Some(0), "over what was left: {}", again.stderr);
        assert_eq!(cdp(&["backup", "verify"], &[("", &to)]).code, Some(0));
    }
    // The data is as it was.
    server.restart();
    ready(&tenant.at(&server.url));
    server.finish();
}
