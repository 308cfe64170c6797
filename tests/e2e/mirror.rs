//! A destination follows a segment: it is sent what differs, once, also over failures and kills.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::receiver::Receiver;
use crate::harness::{Server, Tenant, send_all, until};

const LONGEST: Duration = Duration::from_secs(120);

fn address(n: usize) -> String {
    format!("person{n:04}@example.com")
}

fn events(n: usize, city: &str, status: &str, version: usize) -> Value {
    json!({
        "id": format!("{n}-{version}"), "type": "preference",
        "time": format!("2026-03-01T{:02}:{:02}:00Z", version / 60, version % 60),
        "identifiers": [{"type": "customer_id", "value": format!("c{n}")}, {"type": "email", "value": address(n)}],
        "traits": {"city": city, "member": true},
        "channels": [{"channel": "email", "address": address(n)}],
        "consents": [{"channel": "email", "address": address(n), "purpose": "marketing", "status": status,
                      "method": "web-form", "policy_version": "1", "expires_at": null}],
    })
}

fn world(server: &Server) -> Tenant {
    let tenant = server.tenant("shop");
    tenant.define(
        "/v1/purposes/marketing",
        &json!({"title": "News", "legal_basis": "consent", "channels": ["email"]}),
    );
    let rule = json!({"trait": "member", "op": "eq", "value": true});
    tenant.define("/v1/segments/members", &json!({"title": "Members", "rule": rule}));
    tenant
}

fn connect(tenant: &Tenant, receiver: &Receiver) {
    let hook = json!({"kind": "webhook", "url": receiver.url, "secret": SECRET});
    tenant.put("/v1/destinations/crm", &hook).expect_status(201);
}

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn asked(mode: &str, batch: usize) -> Value {
    json!({
        "segment": "members", "destination": "crm", "format": "ndjson", "mode": mode, "batch": batch,
        "fields": [{"name": "email", "from": "channel.email"}, {"name": "city", "from": "trait.city"}],
        "consent": {"channel": "email", "purpose": "marketing"},
    })
}

fn run(tenant: &Tenant, request: &Value) -> Value {
    let started = tenant.post("/v1/exports", request).expect_status(202);
    tenant.finish_job(&started);
    tenant.get(&format!("/v1/exports/{}", started["id"].as_str().unwrap())).ok()
}

fn changes(info: &Value) -> [u64; 4] {
    let of = |name: &str| info["changes"][name].as_u64().unwrap();
    [of("add"), of("update"), of("remove"), info["unchanged"].as_u64().unwrap()]
}

fn row(n: usize, city: &str) -> (String, Value) {
    (address(n), json!({"email": address(n), "city": city}))
}

#[test]
fn a_receiver_that_applies_changes_has_the_consented_members_after_every_run() {
    let server = Server::fresh();
    let tenant = world(&server);
    let receiver = Receiver::willing();
    connect(&tenant, &receiver);
    let tested = tenant.post("/v1/destinations/crm/test", &json!({})).expect_status(200);
    assert_eq!(tested["ok"], true, "{tested}");
    send_all(&tenant, &(0..10).map(|n| events(n, "Riga", "granted", 0)).collect::<Vec<_>>());

    let first = run(&tenant, &asked("incremental", 4));
    assert_eq!((first["status"].as_str(), changes(&first)), (Some("done"), [10, 0, 0, 0]), "{first}");
    assert_eq!(first["chunks"], 3, "{first}");
    let mut want: BTreeMap<_, _> = (0..10).map(|n| row(n, "Riga")).collect();
    assert_eq!(receiver.holds("email"), want);

    let again = run(&tenant, &asked("incremental", 4));
    assert_eq!(changes(&again), [0, 0, 0, 10], "what is there is not sent again: {again}");
    assert_eq!(receiver.audiences().len(), 3, "and an empty run sends nothing");

    send_all(
        &tenant,
        &[
            events(3, "Paris", "granted", 1),
            events(4, "Riga", "withdrawn", 1),
            events(10, "Oslo", "granted", 0),
        ],
    );
    let third = run(&tenant, &asked("incremental", 4));
    assert_eq!(changes(&third), [1, 1, 1, 8], "{third}");
    assert_eq!(third["withheld"]["consent_withdrawn"], 1, "{third}");
    want.extend([row(3, "Paris"), row(10, "Oslo")]);
    want.remove(&address(4));
    assert_eq!(receiver.holds("email"), want);
    let removal = receiver.audiences().last().unwrap().body["rows"].as_array().unwrap().clone();
    assert!(
        removal.iter().any(|row| row == &json!({"change": "remove", "email": address(4), "city": null})),
        "{removal:?}"
    );

    // Who is erased leaves every destination with the next run.
    let identifier = json!({"type": "email", "value": address(5)});
    let erased =
        tenant.post("/v1/erasures", &json!({"identifier": identifier, "reason": "asked"})).expect_status(202);
    let certificate = tenant.finish_job(&erased).unwrap();
    assert!(certificate.to_string().contains("crm"), "{certificate}");
    let fourth = run(&tenant, &asked("incremental", 4));
    assert_eq!(changes(&fourth), [0, 0, 1, 9], "{fourth}");
    want.remove(&address(5));
    assert_eq!(receiver.holds("email"), want);

    // A full run sends everybody and takes nobody away.
    let full = run(&tenant, &asked("full", 100));
    assert_eq!((changes(&full), full["rows"].as_u64()), ([9, 0, 0, 0], Some(9)), "{full}");
    assert_eq!(receiver.holds("email"), want);
    assert_eq!(changes(&run(&tenant, &asked("incremental", 4))), [0, 0, 0, 9]);

    let who = tenant
        .post("/v1/profiles/lookup", &json!({"identifier": {"type": "email", "value": address(4)}}))
        .ok();
    let told = tenant.get(&format!("/v1/profiles/{}/disclosures", who["id"].as_str().unwrap())).ok();
    let said: BTreeSet<_> =
        told["items"].as_array().unwrap().iter().map(|one| one["said"].as_str().unwrap()).collect();
    assert_eq!(said, BTreeSet::from(["values", "remove"]), "{told}");
    assert!(told["items"].as_array().unwrap().iter().all(|one| one["destination"] == "crm"), "{told}");

    let withheld = tenant.get(&format!("/v1/exports/{}/withheld", fourth["id"].as_str().unwrap())).ok();
    assert_eq!(
        withheld["items"],
        json!([{"profile_id": who["id"], "reason": "consent_withdrawn"}]),
        "{withheld}"
    );
    let seen = tenant.get("/v1/destinations/crm").ok();
    assert!(!seen.to_string().contains("whsec"), "{seen}");
    server.finish();
}

#[test]
fn what_fails_is_sent_again_under_the_same_id_and_consent_is_asked_again() {
    let server = Server::fresh();
    let tenant = world(&server);
    // Two failures, then patience is asked for, then it is taken.
    let receiver = Receiver::answering(Box::new(|n, _| match n {
        0 => (500, "", Duration::ZERO),
        1 => (429, "retry-after: 2\r\n", Duration::ZERO),
        _ => (204, "", Duration::ZERO),
    }));
    connect(&tenant, &receiver);
    send_all(&tenant, &(0..6).map(|n| events(n, "Riga", "granted", 0)).collect::<Vec<_>>());
    let started = tenant.post("/v1/exports", &asked("incremental", 100)).expect_status(202);
    let path = format!("/v1/exports/{}", started["id"].as_str().unwrap());
    let waits = until(LONGEST, || {
        let info = tenant.get(&path).ok();
        (info["status"] == "waiting" && receiver.audiences().len() == 2).then_some(info)
    });
    let waits = waits.expect("it waits for the second answer's time");
    assert!(waits["retry"]["next_attempt_at"].is_string(), "{waits}");
    send_all(&tenant, &[events(2, "Riga", "withdrawn", 1)]);
    tenant.finish_job(&started);
    let info = tenant.get(&path).ok();
    assert_eq!((info["status"].as_str(), changes(&info)[0]), (Some("done"), 5), "{info}");
    let messages = receiver.audiences();
    assert_eq!(messages[0].id, messages[1].id, "the same message has the same id");
    assert_eq!(messages[0].body, messages[1].body);
    assert!(messages.iter().all(|message| message.signature.starts_with("v1,")), "{messages:?}");
    let last = messages.last().unwrap();
    assert_ne!(last.id, messages[0].id, "another message has another");
    let rows = last.body["rows"].as_array().unwrap();
    let told = rows.iter().find(|row| row["email"] == address(2).as_str()).unwrap();
    assert_eq!(told["change"], "remove", "who was perhaps sent is taken back: {last:?}");
    let want: BTreeMap<_, _> = (0..6).filter(|n| *n != 2).map(|n| row(n, "Riga")).collect();
    assert_eq!(receiver.holds("email"), want);
    server.finish();
}

/// Nobody knows whether an attempt that failed left anything there, so the next run does not take it for sent.
#[test]
fn what_was_under_way_when_a_run_was_ended_is_sent_by_the_next() {
    let server = Server::fresh();
    let tenant = world(&server);
    let fails = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let failing = fails.clone();
    let receiver = Receiver::answering(Box::new(move |_, _| {
        (if failing.load(std::sync::atomic::Ordering::SeqCst) { 500 } else { 200 }, "", Duration::ZERO)
    }));
    connect(&tenant, &receiver);
    send_all(&tenant, &(0..6).map(|n| events(n, "Riga", "granted", 0)).collect::<Vec<_>>());
    let started = tenant.post("/v1/exports", &asked("incremental", 100)).expect_status(202);
    let path = format!("/v1/exports/{}", started["id"].as_str().unwrap());
    until(LONGEST, || (!receiver.audiences().is_empty()).then_some(())).expect("it is tried");
    tenant.post(&format!("{path}/cancel"), &json!({})).expect_status(200);
    until(LONGEST, || (tenant.get(&path).ok()["status"] == "cancelled").then_some(())).expect("it ends");
    fails.store(false, std::sync::atomic::Ordering::SeqCst);
    let next = run(&tenant, &asked("incremental", 100));
    assert_eq!(next["rows"], 6, "{next}");
    assert_eq!(receiver.holds("email"), (0..6).map(|n| row(n, "Riga")).collect());
    server.finish();
}

#[test]
fn one_row_that_is_refused_keeps_no_other_row_back() {
    let server = Server::fresh();
    let tenant = world(&server);
    let bad = address(3);
    let receiver = Receiver::answering(Box::new(move |_, body| {
        let rows = body["rows"].as_array().cloned().unwrap_or_default();
        let refused = rows.iter().any(|row| row["email"] == bad.as_str());
        (if refused { 422 } else { 200 }, "", Duration::ZERO)
    }));
    connect(&tenant, &receiver);
    send_all(&tenant, &(0..8).map(|n| events(n, "Riga", "granted", 0)).collect::<Vec<_>>());
    let info = run(&tenant, &asked("incremental", 100));
    assert_eq!((info["status"].as_str(), changes(&info)[0]), (Some("done"), 7), "{info}");
    assert_eq!(
        (info["dead_letters"].as_u64(), info["withheld"]["refused_by_destination"].as_u64()),
        (Some(1), Some(1))
    );
    assert!(info["letters"][0]["reason"].as_str().unwrap().contains("422"), "{info}");
    assert_eq!(receiver.holds("email").len(), 7);
    let dead = tenant.get("/v1/destinations/crm/dead-letters").ok();
    assert_eq!(
        (&dead["items"][0]["export"], &dead["items"][0]["letters"], dead["items"].as_array().unwrap().len()),
        (&info["id"], &info["letters"], 1),
        "{dead}"
    );
    tenant.get("/v1/destinations/nobody/dead-letters").expect_problem(404);
    let again = run(&tenant, &asked("incremental", 100));
    assert_eq!(
        (again["dead_letters"].as_u64(), changes(&again)),
        (Some(1), [0, 0, 0, 7]),
        "it is tried again: {again}"
    );
    server.finish();
}

#[test]
fn what_a_receiver_lost_is_sent_again_by_the_time_it_was_sent() {
    let server = Server::fresh();
    let tenant = world(&server);
    let receiver = Receiver::willing();
    connect(&tenant, &receiver);
    let replay = |body: &Value| tenant.post("/v1/destinations/crm/replay", body);
    let people = |of: std::ops::Range<usize>| of.map(|n| events(n, "Riga", "granted", 0)).collect::<Vec<_>>();
    send_all(&tenant, &people(0..3));
    run(&tenant, &asked("incremental", 10));
    send_all(&tenant, &people(3..5));
    let second = run(&tenant, &asked("incremental", 10));
    let from = second["ended_at"].as_str().unwrap();
    assert_eq!(replay(&json!({})).expect_problem(422)["errors"][0]["pointer"], "/from");
    assert_eq!(replay(&json!({"from": "then"})).expect_problem(422)["errors"][0]["pointer"], "/from");
    assert_eq!(replay(&json!({ "from": from })).expect_status(200), json!({"runs": 1, "rows": 2}));
    let third = run(&tenant, &asked("incremental", 10));
    assert_eq!(changes(&third), [0, 2, 0, 3], "{third}");
    let last = receiver.audiences().pop().unwrap();
    let told: BTreeSet<_> = last.body["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["email"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(told, BTreeSet::from([address(3), address(4)]));
    let all = json!({"from": "2026-01-01T00:00:00Z"});
    assert_eq!(replay(&all).expect_status(200), json!({"runs": 3, "rows": 5}));
    assert_eq!(changes(&run(&tenant, &asked("incremental", 10))), [0, 5, 0, 0]);
    let before = json!({"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"});
    assert_eq!(replay(&before).expect_status(200), json!({"runs": 0, "rows": 0}));
    tenant.put("/v1/destinations/folder", &json!({"kind": "file"})).expect_status(201);
    tenant.post("/v1/destinations/folder/replay", &all).expect_problem(409);
    server.finish();
}

#[test]
fn who_wants_nothing_any_more_is_left_alone() {
    let server = Server::fresh();
    let tenant = world(&server);
    let receiver = Receiver::answering(Box::new(|_, _| (410, "", Duration::ZERO)));
    connect(&tenant, &receiver);
    send_all(&tenant, &[events(0, "Riga", "granted", 0)]);
    let started = tenant.post("/v1/exports", &asked("incremental", 100)).expect_status(202);
    let path = format!("/v1/exports/{}", started["id"].as_str().unwrap());
    let over = until(LONGEST, || Some(tenant.get(&path).ok()).filter(|info| info["status"] == "failed"));
    assert!(over.expect("it fails")["error"].as_str().unwrap().contains("410"));
    let seen = tenant.get("/v1/destinations/crm").ok();
    assert_eq!(seen["status"], "disabled", "{seen}");
    tenant.post("/v1/exports", &asked("incremental", 100)).expect_problem(409);
    tenant.post("/v1/destinations/crm/resume", &json!({})).expect_status(200);
    tenant.post("/v1/exports", &asked("incremental", 100)).expect_status(202);
    server.finish();
}

#[test]
fn what_waits_for_a_paused_destination_goes_as_one() {
    let server = Server::fresh();
    let tenant = world(&server);
    let receiver = Receiver::willing();
    connect(&tenant, &receiver);
    tenant.post("/v1/destinations/crm/pause", &json!({})).expect_status(200);
    send_all(&tenant, &(0..3).map(|n| events(n, "Riga", "granted", 0)).collect::<Vec<_>>());
    let waiting = tenant.post("/v1/exports", &asked("incremental", 100)).expect_status(202);
    let path = format!("/v1/exports/{}", waiting["id"].as_str().unwrap());
    until(LONGEST, || (tenant.get(&path).ok()["status"] == "waiting").then_some(())).expect("it waits");
    send_all(&tenant, &[events(0, "Oslo", "granted", 1), events(1, "Riga", "withdrawn", 1)]);
    assert!(receiver.messages().is_empty());
    tenant.post("/v1/destinations/crm/resume", &json!({})).expect_status(200);
    tenant.finish_job(&waiting);
    assert_eq!(receiver.audiences().len(), 1);
    assert_eq!(receiver.holds("email"), BTreeMap::from([row(0, "Oslo"), row(2, "Riga")]));

    // A run by itself can be stopped for now, and ended.
    tenant.post("/v1/destinations/crm/pause", &json!({})).expect_status(200);
    let ended = tenant.post("/v1/exports", &asked("incremental", 100)).expect_status(202);
    let path = format!("/v1/exports/{}", ended["id"].as_str().unwrap());
    tenant.post(&format!("{path}/pause"), &json!({})).expect_status(200);
    until(LONGEST, || (tenant.get(&path).ok()["status"] == "paused").then_some(())).expect("it is paused");
    tenant.post(&format!("{path}/cancel"), &json!({})).expect_status(200);
    until(LONGEST, || (tenant.get(&path).ok()["status"] == "cancelled").then_some(())).expect("it ends");
    tenant.post(&format!("{path}/cancel"), &json!({})).expect_problem(409);
    server.finish();
}

/// How often the server is killed: `CDP_EXPORT_KILLS`, or a few times.
fn kills() -> usize {
    std::env::var("CDP_EXPORT_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(4)
}

#[test]
fn kills_in_the_middle_of_runs_lose_no_row_and_repeat_none_in_the_ledger() {
    let own = tempfile::tempdir().unwrap();
    let mut server = Server::at(&own.path().join("data"));
    let mut tenant = world(&server);
    // Slow enough to be killed in the middle of a run.
    let receiver = Receiver::answering(Box::new(|_, _| (200, "", Duration::from_millis(15))));
    connect(&tenant, &receiver);
    let count = 60;
    send_all(&tenant, &(0..count).map(|n| events(n, "Riga", "granted", 0)).collect::<Vec<_>>());
    let mut random = crate::harness::random::Random::seeded(7);
    for round in 1..=kills() {
        let city = format!("City {round}");
        let moves: Vec<_> = (0..count)
            .map(|n| {
                events(n, &city, if (n + round).is_multiple_of(7) { "withdrawn" } else { "granted" }, round)
            })
            .collect();
        if round > 1 {
            send_all(&tenant, &moves);
        }
        let before = receiver.audiences().len();
        let started = tenant.post("/v1/exports", &asked("incremental", 3)).expect_status(202);
        let after = before + 1 + random.below(12);
        until(LONGEST, || (receiver.audiences().len() >= after).then_some(())).expect("it sends");
        server.kill_and_restart();
        tenant = tenant.at(&server.url);
        let path = format!("/v1/exports/{}", started["id"].as_str().unwrap());
        let info = until(LONGEST, || {
            Some(tenant.get(&path))
                .filter(|answer| answer.status == 200)
                .map(|answer| answer.json())
                .filter(|info| info["status"] == "done")
        });
        let info =
            info.unwrap_or_else(|| panic!("the run goes on after the kill: {}", tenant.get(&path).text()));
        let withheld: u64 = info["withheld"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
        let [add, update, _, unchanged] = changes(&info);
        assert_eq!(add + update + unchanged + withheld, info["members"].as_u64().unwrap(), "{info}");
        // Messages of one id say the same.
        let mut said: BTreeMap<String, Value> = BTreeMap::new();
        for message in receiver.audiences() {
            let known = said.entry(message.id.clone()).or_insert_with(|| message.body.clone());
            assert_eq!(*known, message.body, "{}", message.id);
        }
        let next = run(&tenant, &asked("incremental", 3));
        assert_eq!(next["rows"], 0, "the ledger has every row once: {next}");
        let reachable = (0..count).filter(|n| round == 1 || !(n + round).is_multiple_of(7));
        let city = if round == 1 { "Riga" } else { &city };
        let want: BTreeMap<_, _> = reachable.map(|n| row(n, city)).collect();
        assert_eq!(receiver.holds("email"), want, "round {round}");
    }
    server.finish();
}
