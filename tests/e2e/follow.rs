//! A run that follows: who enters a segment and who leaves it is sent as it happens, over failures and kills, and what the
//! destination has in the end is the audience.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::random::Random;
use crate::harness::receiver::Receiver;
use crate::harness::{Server, Tenant, send_all, until};

const LONGEST: Duration = Duration::from_secs(120);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn address(n: usize) -> String {
    format!("person{n:05}@example.com")
}

/// Somebody who is a member or not, and agrees or not.
fn person(n: usize, member: bool, agrees: bool, version: usize) -> Value {
    let status = if agrees { "granted" } else { "withdrawn" };
    json!({
        "id": format!("{n}-{version}"), "type": "preference",
        "time": format!("2026-03-{:02}T00:{:02}:00Z", 1 + version / 60, version % 60),
        "identifiers": [{"type": "customer_id", "value": format!("c{n}")}, {"type": "email", "value": address(n)}],
        "traits": {"member": member},
        "channels": [{"channel": "email", "address": address(n)}],
        "consents": [{"channel": "email", "address": address(n), "purpose": "marketing", "status": status,
                      "method": "web-form", "policy_version": "1", "expires_at": null}],
    })
}

fn world(server: &Server, receiver: &Receiver) -> Tenant {
    let tenant = server.tenant("shop");
    tenant.define(
        "/v1/purposes/marketing",
        &json!({"title": "News", "legal_basis": "consent", "channels": ["email"]}),
    );
    let rule = json!({"trait": "member", "op": "eq", "value": true});
    tenant.define("/v1/segments/members", &json!({"title": "Members", "rule": rule}));
    let hook = json!({"kind": "webhook", "url": receiver.url, "secret": SECRET});
    tenant.put("/v1/destinations/crm", &hook).expect_status(201);
    tenant
}

fn asked(follow: bool) -> Value {
    let mut request = json!({
        "segment": "members", "destination": "crm", "format": "ndjson", "mode": "incremental", "batch": 1000,
        "fields": [{"name": "email", "from": "channel.email"}],
        "consent": {"channel": "email", "purpose": "marketing"},
    });
    if follow {
        request["follow"] = json!(true);
    }
    request
}

fn holds(receiver: &Receiver, want: &BTreeMap<String, Value>) {
    until(LONGEST, || (receiver.holds("email") == *want).then_some(()))
        .unwrap_or_else(|| panic!("{:?} is not {want:?}", receiver.holds("email")));
}

fn row(n: usize) -> (String, Value) {
    (address(n), json!({ "email": address(n) }))
}

fn path_of(started: &Value) -> String {
    format!("/v1/exports/{}", started["id"].as_str().unwrap())
}

#[test]
fn who_enters_and_leaves_is_sent_at_once_and_the_run_can_be_ended() {
    let server = Server::fresh();
    let receiver = Receiver::willing();
    let tenant = world(&server, &receiver);
    send_all(&tenant, &(0..5).map(|n| person(n, true, true, 0)).collect::<Vec<_>>());
    let started = tenant.post("/v1/exports", &asked(true)).expect_status(202);
    let mut want: BTreeMap<_, _> = (0..5).map(row).collect();
    holds(&receiver, &want);
    // In and out; without consent; and out by erasure.
    send_all(&tenant, &[person(5, true, true, 0), person(6, true, false, 0)]);
    want.extend([row(5)]);
    holds(&receiver, &want);
    send_all(&tenant, &[person(1, false, true, 1)]);
    want.remove(&address(1));
    holds(&receiver, &want);
    let identifier = json!({"type": "email", "value": address(2)});
    let erased =
        tenant.post("/v1/erasures", &json!({"identifier": identifier, "reason": "asked"})).expect_status(202);
    tenant.finish_job(&erased);
    want.remove(&address(2));
    holds(&receiver, &want);
    let info = tenant.get(&path_of(&started)).ok();
    assert_eq!(info["status"], "running", "{info}");
    let id = started["id"].as_str().unwrap();
    tenant.post(&format!("/v1/exports/{id}/cancel"), &json!({})).expect_status(200);
    let ended = until(LONGEST, || {
        Some(tenant.get(&path_of(&started)).ok()).filter(|info| info["status"] == "cancelled")
    });
    let ended = ended.expect("it is cancelled");
    assert!(
        ended["changes"]["add"].as_u64() >= Some(6) && ended["changes"]["remove"].as_u64() >= Some(2),
        "{ended}"
    );
    // What it sent is known: the next run has nothing to say.
    let next = tenant.post("/v1/exports", &asked(false)).expect_status(202);
    tenant.finish_job(&next);
    let next = tenant.get(&path_of(&next)).ok();
    assert_eq!(next["rows"], 0, "{next}");
    let who = tenant
        .post("/v1/profiles/lookup", &json!({"identifier": {"type": "email", "value": address(1)}}))
        .ok();
    let told = tenant.get(&format!("/v1/profiles/{}/disclosures", who["id"].as_str().unwrap())).ok();
    let said: Vec<_> =
        told["items"].as_array().unwrap().iter().map(|one| one["said"].as_str().unwrap()).collect();
    assert_eq!(said, ["values"], "one run told of the one who left: {told}");
    server.finish();
}

#[test]
fn a_schedule_keeps_a_run_that_follows() {
    let server = Server::fresh();
    let receiver = Receiver::willing();
    let tenant = world(&server, &receiver);
    let put = |body: &Value| tenant.put("/v1/schedules/live", body);
    let pointer = |body: &Value| put(body).expect_problem(422)["errors"][0]["pointer"].clone();
    assert_eq!(pointer(&json!({"export": asked(false)})), "/cron");
    assert_eq!(pointer(&json!({"cron": "0 * * * *", "export": asked(true)})), "/cron");
    let mut full = asked(true);
    full["mode"] = json!("full");
    assert_eq!(pointer(&json!({ "export": full })), "/export/follow");
    tenant.put("/v1/destinations/folder", &json!({"kind": "file"})).expect_status(201);
    let mut folder = asked(true);
    folder["destination"] = json!("folder");
    assert_eq!(pointer(&json!({ "export": folder })), "/export/follow");
    put(&json!({"export": asked(true)})).expect_status(201);
    send_all(&tenant, &[person(0, true, true, 0)]);
    let mut want: BTreeMap<_, _> = [row(0)].into();
    holds(&receiver, &want);
    let first = tenant.get("/v1/schedules/live").ok()["last"]["export"].as_str().unwrap().to_owned();
    // Whoever ends the run has another one, which looks at everybody.
    tenant.post(&format!("/v1/exports/{first}/cancel"), &json!({})).expect_status(200);
    until(LONGEST, || {
        (tenant.get(&format!("/v1/exports/{first}")).ok()["status"] == "cancelled").then_some(())
    });
    tenant.put("/v1/schedules/live", &json!({"export": asked(true), "overlap": "queue"})).expect_status(200);
    send_all(&tenant, &[person(1, true, true, 0)]);
    want.extend([row(1)]);
    holds(&receiver, &want);
    server.finish();
}

#[test]
fn so_many_changes_end_a_run_and_the_next_one_goes_on() {
    let server = Server::fresh();
    let receiver = Receiver::willing();
    let tenant = world(&server, &receiver);
    let most = tenant.get("/v1/limits").ok()["export_follow_changes_max"].as_u64().unwrap() as usize;
    let started = tenant.post("/v1/exports", &asked(true)).expect_status(202);
    let follows = until(LONGEST, || {
        let info = tenant.get(&path_of(&started)).ok();
        (info["status"] == "running").then_some(())
    });
    follows.expect("it runs");
    send_all(&tenant, &(0..most - 1).map(|n| person(n, true, true, 0)).collect::<Vec<_>>());
    until(LONGEST, || (receiver.holds("email").len() == most - 1).then_some(())).expect("all are there");
    assert_eq!(tenant.get(&path_of(&started)).ok()["status"], "running", "one less than so many");
    send_all(&tenant, &[person(most, true, true, 0)]);
    let info =
        until(LONGEST, || Some(tenant.get(&path_of(&started)).ok()).filter(|info| info["status"] == "done"));
    assert_eq!(info.expect("so many")["changes"]["add"].as_u64(), Some(most as u64));
    server.finish();
}

#[test]
fn moves_over_failures_and_kills_come_to_the_audience() {
    let own = tempfile::tempdir().unwrap();
    let mut server = Server::at(&own.path().join("data"));
    // Every third message fails.
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let receiver = Receiver::answering(Box::new(move |_, body| {
        let is_test = body["type"] != "cdp.audience";
        let n = counted.fetch_add(1, Ordering::SeqCst);
        (if is_test || n % 3 != 1 { 200 } else { 500 }, "", Duration::ZERO)
    }));
    let mut tenant = world(&server, &receiver);
    tenant.put("/v1/schedules/live", &json!({"export": asked(true)})).expect_status(201);
    let mut random = Random::seeded(5);
    let mut want = BTreeMap::new();
    for round in 0..8 {
        let mut events = Vec::new();
        for _ in 0..12 {
            let n = random.below(30);
            if events.iter().any(|(known, _)| *known == n) {
                continue;
            }
            let (member, agrees) = (random.below(3) > 0, random.below(4) > 0);
            events.push((n, person(n, member, agrees, round)));
            match member && agrees {
                true => want.extend([row(n)]),
                false => _ = want.remove(&address(n)),
            }
        }
        let events: Vec<_> = events.into_iter().map(|(_, event)| event).collect();
        let before = count.load(Ordering::SeqCst);
        send_all(&tenant, &events);
        until(LONGEST, || (count.load(Ordering::SeqCst) > before).then_some(())).expect("something is told");
        if round % 2 == 1 {
            server.kill_and_restart();
            tenant = tenant.at(&server.url);
        }
    }
    // The last round ends with a start, and what is asked right behind one is answered from where state stands.
    until(LONGEST, || tenant.anonymous_ready().then_some(())).expect("it is ready");
    // Whose consent went and who stays a member is seen by the next run only: look at everybody once more.
    let last = tenant.get("/v1/schedules/live").ok()["last"]["export"].as_str().unwrap().to_owned();
    tenant.delete("/v1/schedules/live").expect_status(204);
    // Right behind a start it is taken up again first.
    let cancel = || tenant.post(&format!("/v1/exports/{last}/cancel"), &json!({})).status;
    until(LONGEST, || matches!(cancel(), 200 | 409).then_some(())).expect("it is told to end");
    until(LONGEST, || {
        let info = tenant.get(&format!("/v1/exports/{last}")).ok();
        (matches!(info["status"].as_str(), Some("cancelled" | "done"))).then_some(())
    })
    .expect("it ends");
    let next = tenant.post("/v1/exports", &asked(false)).expect_status(202);
    tenant.finish_job(&next);
    holds(&receiver, &want);
    // Messages of one id say the same.
    let mut said: BTreeMap<String, Value> = BTreeMap::new();
    for message in receiver.audiences() {
        let known = said.entry(message.id.clone()).or_insert_with(|| message.body.clone());
        assert_eq!(*known, message.body, "{}", message.id);
    }
    assert!(count.load(Ordering::SeqCst) > 3, "some failed");
    server.finish();
}
