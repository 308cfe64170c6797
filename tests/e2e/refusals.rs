//! Bad input is refused with the reason, and leaves the server as it was.

use serde_json::{Value, json};

use crate::harness::{Client, Server};
use crate::ingest::pointers;

fn event(id: &str) -> Value {
    json!({"id": id, "type": "purchase", "identifiers": [{"type": "customer_id", "value": "ann"}]})
}

#[test]
fn wrong_revoked_and_narrow_keys_open_nothing() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let made = tenant.post("/v1/keys", &json!({"name": "till", "scopes": ["ingest"]})).expect_status(201);
    let till = tenant.with_key(made["key"].as_str().unwrap());
    till.post("/v1/events", &event("1")).expect_status(202);
    till.get("/v1/segments").expect_problem(403);
    till.put("/v1/attributes/n", &json!({"kind": "count", "event": "purchase"})).expect_problem(403);
    till.post("/v1/tenants", &json!({"slug": "x", "name": "x", "time_zone": "UTC"})).expect_problem(403);
    tenant.delete(&format!("/v1/keys/{}", made["id"].as_str().unwrap())).ok();
    let refused = crate::harness::until(std::time::Duration::from_secs(2), || {
        let answer = till.post("/v1/events", &event("2"));
        (answer.status == 401).then_some(answer)
    });
    refused.expect("a revoked key stops working within a second").expect_problem(401);
    server.anonymous().post("/v1/events", &event("3")).expect_problem(401);
    let mangled = made["key"].as_str().unwrap().replace("cdp_live", "cdp_dead");
    tenant.with_key(&mangled).post("/v1/events", &event("3")).expect_problem(401);
    server.finish();
}

#[test]
fn malformed_json_is_a_400_with_the_place() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let bad = |client: &Client, body: &[u8]| client.post_bytes("/v1/events", "application/json", body);
    let problem = bad(&tenant, b"{\"id\": \"1\",\n  \"type\": nope}").expect_problem(400);
    let sentence = problem["detail"].as_str().unwrap();
    assert!(sentence.contains("line 2"), "{sentence}");
    bad(&tenant, b"").expect_problem(400);
    bad(&tenant, b"{\"id\": \"\xff\"}").expect_problem(400);
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let status = bad(&tenant, deep.as_bytes()).status;
    assert!(matches!(status, 400 | 422), "{status}");
    server.finish();
}

#[test]
fn invalid_fields_are_a_422_with_all_pointers() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let bad = json!({
        "id": 7, "time": "yesterday", "identifiers": [{"type": "email"}],
        "consents": [{"channel": "email", "address": "a@example.com", "purpose": "marketing", "status": "perhaps"}],
    });
    let problem = tenant.post("/v1/events", &bad).expect_problem(422);
    let pointers = pointers(&problem);
    for pointer in ["/id", "/type", "/time", "/identifiers/0/value", "/consents/0/status"] {
        assert!(pointers.iter().any(|named| named == pointer), "{pointer} is missing in {problem}");
    }
    let rule = json!({"all": [{"attribute": "unknown", "op": "gte", "value": 1}, {"trait": "x", "op": "resembles", "value": 1}]});
    let problem = tenant.put("/v1/segments/s", &json!({"title": "S", "rule": rule})).expect_problem(422);
    assert!(!crate::ingest::pointers(&problem).is_empty(), "{problem}");
    let unknown = json!({"kind": "count", "event": "purchase", "colour": "red"});
    let problem = tenant.put("/v1/attributes/a", &unknown).expect_problem(422);
    assert!(crate::ingest::pointers(&problem).iter().any(|pointer| pointer == "/colour"), "{problem}");
    server.finish();
}

#[test]
fn what_is_too_large_is_a_413_and_what_is_not_there_a_404() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let mut large = event("large");
    large["properties"] = json!({"pad": "x".repeat(2 << 20)});
    tenant.post("/v1/events", &large).expect_problem(413);
    let many: Vec<Value> = (0..1001).map(|n| event(&n.to_string())).collect();
    let status = tenant.post("/v1/events", &json!(many)).status;
    assert!(matches!(status, 413 | 422), "{status}");
    tenant.get("/v1/no-such-thing").expect_problem(404);
    tenant.get("/v1/segments/no-such-segment").expect_problem(404);
    tenant.get("/v1/profiles/prf_00000000000000000000000000000000").expect_problem(404);
    let status = tenant.delete("/v1/events").status;
    assert!(matches!(status, 404 | 405), "{status}");
    assert_eq!(tenant.post("/v1/events", &event("after")).expect_status(202)["accepted"], 1);
    server.finish();
}

#[test]
fn what_is_no_plugin_is_refused_with_the_reason_and_ingest_goes_on() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let upload = |body: &[u8]| tenant.post_bytes("/v1/plugins/bad/versions", "application/wasm", body);
    // A component that imports an instance named `wasi:sockets/network@0.2.0` and exports nothing.
    let mut sockets = b"\0asm\x0d\0\x01\0\x07\x03\x01\x42\0".to_vec();
    let name = b"wasi:sockets/network@0.2.0";
    sockets.extend([0x0a, u8::try_from(name.len() + 5).unwrap(), 1, 0, u8::try_from(name.len()).unwrap()]);
    sockets.extend(name);
    sockets.extend([5, 0]);
    let core_module = b"\0asm\x01\0\0\0";
    for (what, body) in
        [("noise", b"not a component".as_slice()), ("core module", core_module), ("sockets", &sockets)]
    {
        let problem = upload(body).expect_problem(422);
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{what}: {problem}");
    }
    let status = upload(b"").status;
    assert!(matches!(status, 400 | 422), "{status}");
    tenant.get("/v1/plugins/bad").expect_problem(404);
    assert_eq!(tenant.post("/v1/events?wait=applied", &event("after")).expect_status(202)["accepted"], 1);
    server.finish();
}
