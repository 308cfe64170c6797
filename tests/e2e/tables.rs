//! Lookup tables: uploaded, read by a plugin, versioned, and the same in a rebuild.

use serde_json::{Value, json};

use crate::guests::activate;
use crate::harness::{Server, Tenant, guest};

fn put(tenant: &Tenant, kind: &str, text: &str) -> (u16, Value) {
    let answer = tenant.try_call("PUT", "/v1/tables/vat", kind, Some(text.as_bytes())).unwrap();
    (answer.status, answer.json())
}

fn event(id: &str) -> Value {
    json!({"id": id, "type": "Order Completed", "time": "2026-03-01T12:00:00Z",
           "identifiers": [{"type": "customer_id", "value": id}], "properties": {"total": "1"}})
}

/// What the plugin wrote on an event: what it found in the table.
fn found(tenant: &Tenant, id: &str) -> String {
    let profile = tenant.profile("customer_id", id);
    profile["attributes"]["found"]["value"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_plugin_reads_the_version_of_its_event_and_a_rebuild_reads_the_same() {
    let mut server = Server::fresh();
    let tenant = server.tenant("shop");
    tenant.define(
        "/v1/attributes/found",
        &json!({"kind": "last", "event": "Order Completed", "property": "/copy"}),
    );
    activate(&tenant, "misbehave", &guest("misbehave.wasm"), &json!({"do": "look-up"}));
    let send = |id: &str| tenant.post("/v1/events?wait=applied", &event(id)).expect_status(202);
    send("before");
    let (status, first) = put(&tenant, "text/csv", "key,rate\nDE,19\nFR,20\n");
    assert_eq!((status, &first["version"], &first["rows"]), (201, &json!(1), &json!(2)), "{first}");
    send("first");
    assert_eq!(put(&tenant, "application/x-ndjson", "{\"key\":\"DE\",\"value\":\"16\"}\n").1["version"], 2);
    send("second");
    assert_eq!(
        put(&tenant, "text/csv", "key,rate\nDE,16\n").1["version"],
        2,
        "the same rows are the same version"
    );
    tenant.delete("/v1/tables/vat").expect_status(204);
    send("after");
    let seen = |tenant: &Tenant| ["before", "first", "second", "after"].map(|id| found(tenant, id));
    let live = seen(&tenant);
    assert!(live[0].starts_with("Err"), "{live:?}");
    assert_eq!(live[1], r#"Ok([Some("19"), None])"#);
    assert_eq!(live[2], r#"Ok([Some("16"), None])"#);
    assert!(live[3].starts_with("Err"), "{live:?}");
    server.terminate();
    std::fs::remove_dir_all(server.data_dir.join("state")).unwrap();
    server.restart();
    let tenant = tenant.at(&server.url);
    tenant.get("/v1/segments?limit=1").expect_status(200);
    tenant.post("/v1/events?wait=applied", &event("rebuilt")).expect_status(202);
    assert_eq!(seen(&tenant), live);
    server.finish();
}

#[test]
fn bad_lines_are_named_and_nothing_is_changed() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let (status, problem) = put(&tenant, "text/csv", "key,rate\nDE,19\n,20\nDE,21\n");
    assert_eq!(status, 422, "{problem}");
    let text = problem.to_string();
    assert!(text.contains("/3") && text.contains("/4"), "{text}");
    assert_eq!(put(&tenant, "application/json", "{}").0, 415);
    tenant.get("/v1/tables/vat").expect_status(404);
    server.finish();
}
