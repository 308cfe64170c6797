//! No row of an audience is written after its person's withdrawal was acknowledged.
//!
//! A checker over a history: when each withdrawal was acknowledged, and how far an export had come when it was asked
//! afterwards. Rows of pages that began later must not hold the person.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Server, Tenant, send_all, until};

/// Rows that an export asks consent for at a time: what is read together is written together.
const PAGE: u64 = 500;

/// People and exports; `CDP_HISTORY` asks for other numbers, such as `10000x10`, for which the figure is reported.
fn size() -> (usize, usize) {
    let given = std::env::var("CDP_HISTORY").ok();
    let read = given.and_then(|text| {
        let (people, exports) = text.split_once('x')?;
        Some((people.parse().ok()?, exports.parse().ok()?))
    });
    read.unwrap_or((2_000, 4))
}

fn address(n: usize) -> String {
    format!("p{n}@example.com")
}

/// What is known of a withdrawal: the pages that began after its acknowledgement, as far as can be told.
struct Withdrawn {
    n: usize,
    /// Members from this place on were asked about later.
    later_from: u64,
}

fn withdraw(tenant: &Tenant, n: usize) {
    let consent =
        json!({"channel": "email", "address": address(n), "purpose": "news", "status": "withdrawn"});
    let answer = tenant.post("/v1/consents", &consent).expect_status(200);
    assert_eq!(answer["applied"], true, "{answer}");
}

#[test]
fn no_row_is_written_after_its_withdrawal_was_acknowledged() {
    let own = tempfile::tempdir().unwrap();
    let mut server = Server::at(&own.path().join("data"));
    let mut tenant = server.tenant("shop");
    let (people, exports) = size();
    tenant.define("/v1/purposes/news", &json!({"title": "News", "legal_basis": "consent"}));
    let rule = json!({"identifier": "customer_id", "op": "exists"});
    tenant.define("/v1/segments/all", &json!({"title": "All", "rule": rule}));
    let events: Vec<Value> = (0..people)
        .map(|n| {
            json!({"id": format!("e{n}"), "type": "joined", "time": "2026-01-01T00:00:00Z",
                "identifiers": [{"type": "customer_id", "value": format!("c{n}")}],
                "consents": [{"channel": "email", "address": address(n), "purpose": "news", "status": "granted"}]})
        })
        .collect();
    send_all(&tenant, &events);
    let request = json!({"segment": "all", "format": "csv", "mode": "full",
        "fields": [{"name": "mail", "from": "channel.email"}], "consent": {"channel": "email", "purpose": "news"}});
    let (mut rows, mut kills, mut racing, mut withdrawn_before) = (0, 0, 0, BTreeSet::new());
    let per_export = (people / 100 / exports).max(2);
    let mut next = 0;
    for export in 0..exports {
        // Some long before, spread over everybody.
        for _ in 0..per_export / 2 {
            let n = next * 7919 % people;
            next += 1;
            withdraw(&tenant, n);
            withdrawn_before.insert(n);
        }
        let mut started = tenant.post_patiently("/v1/exports", &request).expect_status(202);
        if export % 3 == 1 {
            // A crash in the middle: what had begun has no file, and is asked for again.
            server.kill_and_restart();
            kills += 1;
            tenant = tenant.at(&server.url);
            let ready = until(Duration::from_secs(120), || tenant.anonymous_ready().then_some(()));
            assert!(ready.is_some(), "the server becomes ready");
            let id = started["id"].as_str().unwrap().to_owned();
            if tenant.get(&format!("/v1/exports/{id}")).json()["status"] != "done" {
                assert_eq!(tenant.get(&format!("/v1/exports/{id}/file")).status, 404);
            }
            started = tenant.post_patiently("/v1/exports", &request).expect_status(202);
        }
        let mut history: Vec<Withdrawn> = Vec::new();
        for _ in 0..per_export - per_export / 2 {
            let n = next * 7919 % people;
            next += 1;
            withdraw(&tenant, n);
            // Asked behind the acknowledgement: the page under way may have begun before it, the next ones did not.
            let job = tenant.get(&format!("/v1/jobs/{}", started["job"].as_str().unwrap())).ok();
            let done = job["status"] == "done";
            let later_from = if done { u64::MAX } else { job["progress"]["done"].as_u64().unwrap() + PAGE };
            racing += u64::from(!done);
            history.push(Withdrawn { n, later_from });
        }
        assert_eq!(tenant.finish_job(&started).unwrap()["status"], "done");
        let file = tenant.get(&format!("/v1/exports/{}/file", started["id"].as_str().unwrap())).text();
        let held: BTreeMap<usize, ()> = file
            .lines()
            .skip(1)
            .map(|line| {
                (line.trim().strip_prefix('p').unwrap().split('@').next().unwrap().parse().unwrap(), ())
            })
            .collect();
        rows += held.len();
        for n in &withdrawn_before {
            assert!(!held.contains_key(n), "export {export}: {n} had withdrawn before it began");
        }
        for one in &history {
            let later = one.n as u64 >= one.later_from;
            assert!(
                !(later && held.contains_key(&one.n)),
                "export {export}: {} was written after its withdrawal",
                one.n
            );
            withdrawn_before.insert(one.n);
        }
        assert!(held.len() + withdrawn_before.len() >= people, "everybody else is there");
    }
    eprintln!(
        "{rows} rows, {} withdrawals of which {racing} raced, {kills} kills: none written after it",
        withdrawn_before.len()
    );
    server.finish();
}
