//! Guests that misbehave, and one that does its work.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::http::attribute;
use crate::harness::{Server, Tenant, guest, until};

/// Uploads a component and activates it with everything it asks for; gives its version.
pub(crate) fn activate(tenant: &Tenant, name: &str, component: &[u8], config: &Value) -> String {
    let uploaded =
        tenant.post_bytes(&format!("/v1/plugins/{name}/versions"), "application/wasm", component).ok();
    let version = match &uploaded["version"] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let body = json!({"grants": uploaded["requests"], "config": config});
    tenant.post(&format!("/v1/plugins/{name}/versions/{version}/activate"), &body).expect_status(200);
    version
}

fn purchase(id: &str, country: &str) -> Value {
    json!({"id": id, "type": "Order Completed", "time": "2026-03-01T12:00:00Z",
           "identifiers": [{"type": "customer_id", "value": "ann"}],
           "properties": {"total": "1", "country": country}, "traits": {"country": country}})
}

#[test]
fn the_country_code_plugin_turns_names_into_codes() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    activate(&tenant, "country-code", &guest("country_code.wasm"), &json!({}));
    tenant.post("/v1/events?wait=applied", &purchase("1", "EIRE")).expect_status(202);
    let profile = tenant.profile("customer_id", "ann");
    assert_eq!(profile["traits"]["country_code"]["value"], "IE", "{profile}");
    server.finish();
}

#[test]
fn looping_memory_eating_and_trapping_guests_leave_the_server_healthy() {
    let component = guest("misbehave.wasm");
    for mode in MODES {
        let server = Server::fresh();
        let tenant = server.tenant("shop");
        let calm = server.tenant("calm");
        for tenant in [&tenant, &calm] {
            tenant.define("/v1/attributes/orders", &json!({"kind": "count", "event": "Order Completed"}));
        }
        activate(&tenant, "misbehave", &component, &json!({ "do": mode }));
        for n in 0..30 {
            let answer = tenant.post_patiently("/v1/events", &purchase(&n.to_string(), "France"));
            assert_eq!(answer.expect_status(202)["accepted"], 1, "{mode}: ingest goes on");
        }
        calm.post("/v1/events?wait=applied", &purchase("calm", "France")).expect_status(202);
        assert_eq!(
            attribute(&calm.profile("customer_id", "ann"), "orders"),
            "1",
            "{mode}: others are not touched"
        );
        server.anonymous().get("/readyz").expect_status(200);
        let noticed = until(Duration::from_secs(60), || {
            let letters = tenant.get("/v1/events?status=dead_letter").expect_status(200);
            let plugin = tenant.get("/v1/plugins/misbehave").expect_status(200);
            let seen = plugin["status"] == "suspended"
                || letters["items"].as_array().is_some_and(|all| !all.is_empty());
            seen.then_some(())
        });
        assert!(noticed.is_some(), "{mode}: the misdeed happened and was noticed");
        // Suspended, the plugin is out of the way: what comes next is applied again.
        let suspended = tenant.post("/v1/plugins/misbehave/suspend", &json!({})).status;
        assert!(
            matches!(suspended, 200 | 409),
            "{mode}: {suspended}; 409 says that it was suspended by itself"
        );
        let applied = until(Duration::from_secs(60), || {
            let answer = tenant.post("/v1/events?wait=applied", &purchase("after", "France"));
            (answer.status == 202).then_some(())
        });
        assert!(applied.is_some(), "{mode}: later events are applied");
        let orders: u64 = attribute(&tenant.profile("customer_id", "ann"), "orders").parse().unwrap();
        assert!(orders >= 1, "{mode}: the event after the suspension counts");
        server.finish();
    }
}

/// What `misbehave` does when its configuration says so: the misdeed's word as `do`.
const MODES: [&str; 3] = ["loop", "grow-in-steps", "trap"];

#[test]
fn a_version_is_tried_on_given_events_and_nothing_is_kept() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let mut path_of = std::collections::BTreeMap::new();
    for (name, component) in [("country-code", "country_code.wasm"), ("rfm", "rfm.wasm")] {
        let path = format!("/v1/plugins/{name}/versions");
        let uploaded = tenant.post_bytes(&path, "application/wasm", &guest(component)).ok();
        path_of.insert(name, format!("{path}/{}/test", uploaded["version"]));
    }
    let (transform, derive) = (path_of["country-code"].as_str(), path_of["rfm"].as_str());
    let event = |country: &str, time: &str| {
        json!({"type": "Order Completed", "time": time,
            "properties": {"revenue": "9.90", "total": "9.90"}, "traits": {"country": country}})
    };
    let events = json!([event("EIRE", "2026-03-02T00:00:00Z"), event("Nowhere", "2026-03-01T00:00:00Z")]);
    let tried = tenant.post(transform, &json!({ "events": events })).ok();
    assert_eq!(tried["outputs"][0], json!({"set": {"/traits/country_code": "IE"}}), "{tried}");
    assert_eq!(tried["outputs"].as_array().unwrap().len(), 2, "{tried}");
    assert!(tried["fuel"].as_u64().unwrap() > 0 && tried["memory_bytes"].as_u64().unwrap() > 0, "{tried}");
    let none = tenant.post(transform, &json!({ "events": events, "grants": [] })).ok();
    assert_eq!(none["outputs"][0], json!({}), "what is not granted is not written: {none}");

    let tried = tenant.post(derive, &json!({ "events": events })).ok();
    assert_eq!(tried["outputs"]["frequency"].to_string().trim_matches('"'), "2", "{tried}");
    let later = json!({ "events": events, "now": "2026-03-12T00:00:00Z" });
    assert_ne!(tenant.post(derive, &later).ok()["outputs"], tried["outputs"], "recency grows");

    let many = |count: usize| json!({"events": vec![event("EIRE", "2026-03-02T00:00:00Z"); count]});
    let limits = tenant.get("/v1/limits").ok();
    let most = limits["plugin_trial_events_max"].as_u64().unwrap() as usize;
    assert_eq!(tenant.post(transform, &many(most)).ok()["outputs"].as_array().unwrap().len(), most);
    for (body, pointer) in [
        (many(most + 1), "/events"),
        (many(0), "/events"),
        (json!({"events": [{"type": ""}]}), "/events/0/type"),
        (json!({"events": events, "now": "soon"}), "/now"),
        (json!({"events": events, "config": 1}), "/config"),
        (json!({"events": events, "else": 1}), "/else"),
    ] {
        let refused = tenant.post(transform, &body).expect_status(422);
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{refused}");
    }
    tenant.post("/v1/plugins/rfm/versions/2/test", &json!({ "events": events })).expect_status(404);
    let plugin = tenant.get("/v1/plugins/country-code").ok();
    assert_eq!((&plugin["status"], &plugin["health"]), (&json!("uploaded"), &json!({})), "{plugin}");
    assert_eq!(tenant.get("/v1/profiles").status, 404, "no event was taken in");
    server.finish();
}
