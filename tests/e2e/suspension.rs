//! A plugin that keeps failing is taken out of the way by a record of the journal, and a rebuild does the same.

use std::time::Duration;

use serde_json::{Value, json};

use crate::crash::verify_store;
use crate::guests::activate;
use crate::harness::http::attribute;
use crate::harness::{Server, Tenant, guest, until};

/// Faults in a row after which a plugin is suspended: `/v1/limits` says the same.
const FAULTS_IN_A_ROW_MAX: u64 = 64;

fn purchase(number: u64) -> Value {
    json!({"id": format!("p-{number}"), "type": "purchase", "time": "2026-03-01T12:00:00Z",
           "identifiers": [{"type": "customer_id", "value": "ann"}], "properties": {"total": "1"}})
}

fn send(tenant: &Tenant, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let sent = tenant.post("/v1/events?wait=applied", &purchase(number)).expect_status(202);
        assert_eq!(sent["accepted"], 1, "ingest goes on");
    }
}

fn plugin(tenant: &Tenant) -> Value {
    tenant.get("/v1/plugins/misbehave").expect_status(200)
}

fn until_suspended(tenant: &Tenant) {
    let suspended =
        until(Duration::from_secs(30), || (plugin(tenant)["status"] == "suspended").then_some(()));
    assert!(suspended.is_some(), "{}", plugin(tenant));
}

fn letters(tenant: &Tenant) -> Vec<Value> {
    let page = tenant.get("/v1/events?status=dead_letter&limit=1000").expect_status(200);
    page["items"].as_array().unwrap().clone()
}

#[test]
fn a_newer_version_that_keeps_failing_gives_way_to_the_one_before_it() {
    let mut server = Server::fresh();
    let tenant = server.tenant("shop");
    let country = |number: u64| {
        json!({"id": format!("c-{number}"), "type": "purchase", "time": "2026-03-01T12:00:00Z",
           "identifiers": [{"type": "customer_id", "value": format!("c-{number}")}],
           "properties": {"total": "1", "country": "EIRE"}, "traits": {"country": "EIRE"}})
    };
    activate(&tenant, "misbehave", &guest("country_code.wasm"), &json!({}));
    activate(&tenant, "misbehave", &guest("misbehave.wasm"), &json!({"do": "trap"}));
    assert_eq!(plugin(&tenant)["rolled_back"], Value::Null);
    for number in 0..FAULTS_IN_A_ROW_MAX {
        tenant.post("/v1/events?wait=applied", &country(number)).expect_status(202);
    }
    let back = until(Duration::from_secs(30), || {
        let seen = plugin(&tenant);
        (seen["active"]["version"] == 1).then_some(seen)
    });
    let seen = back.unwrap_or_else(|| panic!("{}", plugin(&tenant)));
    assert_eq!((&seen["status"], &seen["rolled_back"]["version"]), (&json!("active"), &json!(2)), "{seen}");
    assert!(seen["rolled_back"]["reason"].as_str().unwrap().contains("64 events in a row"), "{seen}");
    tenant.post("/v1/events?wait=applied", &country(900)).expect_status(202);
    let code =
        |tenant: &Tenant| tenant.profile("customer_id", "c-900")["traits"]["country_code"]["value"].clone();
    assert_eq!(code(&tenant), "IE", "the version before runs again");
    assert_eq!(letters(&tenant).len() as u64, FAULTS_IN_A_ROW_MAX, "and what failed can be replayed");
    tenant.post("/v1/plugins/misbehave/rollback", &json!({})).expect_status(409);

    server.terminate();
    verify_store(&server);
    server.restart();
    assert_eq!(plugin(&tenant.at(&server.url))["rolled_back"]["version"], 2, "a restart knows it");
    server.finish();
}

#[test]
fn sixty_four_faults_in_a_row_suspend_a_plugin_and_a_rebuild_suspends_it_at_the_same_place() {
    let mut server = Server::fresh();
    let tenant = server.tenant("shop");
    let limits = server.anonymous().get("/v1/limits").expect_status(200);
    assert_eq!(limits["plugin_faults_in_a_row_max"], FAULTS_IN_A_ROW_MAX, "the limit is told");
    tenant.define("/v1/attributes/orders", &json!({"kind": "count", "event": "purchase"}));
    activate(&tenant, "misbehave", &guest("misbehave.wasm"), &json!({"do": "trap"}));

    send(&tenant, 0..FAULTS_IN_A_ROW_MAX - 1);
    assert_eq!(plugin(&tenant)["status"], "active", "one fault fewer suspends nothing");
    assert_eq!(letters(&tenant).len() as u64, FAULTS_IN_A_ROW_MAX - 1);
    send(&tenant, FAULTS_IN_A_ROW_MAX - 1..FAULTS_IN_A_ROW_MAX);
    until_suspended(&tenant);
    let seen = plugin(&tenant);
    assert!(seen.to_string().contains("64 events in a row"), "it says why: {seen}");
    let dead = letters(&tenant);
    assert_eq!(dead.len() as u64, FAULTS_IN_A_ROW_MAX);
    for letter in &dead {
        assert!(letter.to_string().contains("misbehave@"), "it says which plugin failed: {letter}");
    }

    // Out of the way: events pass untouched and count.
    send(&tenant, 100..110);
    assert_eq!(attribute(&tenant.profile("customer_id", "ann"), "orders"), "10");
    assert_eq!(letters(&tenant).len() as u64, FAULTS_IN_A_ROW_MAX);

    // Resumed, it is tried again, and its faults are counted from nothing.
    tenant.post("/v1/plugins/misbehave/resume", &json!({})).expect_status(200);
    assert_eq!(plugin(&tenant)["status"], "active");
    send(&tenant, 200..200 + FAULTS_IN_A_ROW_MAX - 1);
    assert_eq!(plugin(&tenant)["status"], "active");
    send(&tenant, 300..301);
    until_suspended(&tenant);
    send(&tenant, 400..405);
    let (dead, orders) = (letters(&tenant), attribute(&tenant.profile("customer_id", "ann"), "orders"));
    assert_eq!((dead.len() as u64, orders.as_str()), (2 * FAULTS_IN_A_ROW_MAX, "15"));

    server.terminate();
    verify_store(&server);
    std::fs::remove_dir_all(server.data_dir.join("state")).unwrap();
    server.restart();
    let (tenant, anybody) = (tenant.at(&server.url), server.anonymous());
    let ready = until(Duration::from_secs(60), || (anybody.get("/readyz").status == 200).then_some(()));
    assert!(ready.is_some(), "{}", anybody.get("/readyz").text());
    assert_eq!(plugin(&tenant)["status"], "suspended");
    assert_eq!(letters(&tenant), dead, "the same events, for the same reasons");
    assert_eq!(attribute(&tenant.profile("customer_id", "ann"), "orders"), "15");
    server.finish();
}
