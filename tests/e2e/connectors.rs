//! Connectors: taken in, granted, configured, and out of the way of events.

use serde_json::{Value, json};

use crate::harness::http::attribute;
use crate::harness::{Server, guest};

#[test]
fn a_connector_is_activated_with_what_it_is_granted_and_sees_no_event() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    tenant.define("/v1/attributes/orders", &json!({"kind": "count", "event": "Order Completed"}));
    let uploaded =
        tenant.post_bytes("/v1/plugins/brevo/versions", "application/wasm", &guest("brevo_list.wasm")).ok();
    assert_eq!(uploaded["world"], "connector-plan");
    let requests = uploaded["requests"].as_array().unwrap();
    assert_eq!(requests.len(), 2, "a host and a secret: {uploaded}");
    let activate = |grants: &Value, config: &Value| {
        tenant.post("/v1/plugins/brevo/versions/1/activate", &json!({"grants": grants, "config": config}))
    };
    let problem = activate(&uploaded["requests"], &json!({})).expect_problem(422);
    assert_eq!(problem["errors"][0]["pointer"], "/config/list", "{problem}");
    let mut more = uploaded["requests"].clone();
    let host = requests.iter().position(|request| request.to_string().contains("https://")).unwrap();
    more[host] =
        serde_json::from_str(&more[host].to_string().replace("api.brevo.com", "evil.example")).unwrap();
    let problem = activate(&more, &json!({"list": 7})).expect_problem(422);
    assert_eq!(problem["errors"][0]["pointer"], format!("/grants/{host}"), "{problem}");
    activate(&uploaded["requests"], &json!({"list": 7})).expect_status(200);
    assert_eq!(tenant.get("/v1/plugins/brevo").expect_status(200)["status"], "active");
    let event = json!({"id": "1", "type": "Order Completed", "time": "2026-03-01T12:00:00Z",
                       "identifiers": [{"type": "customer_id", "value": "ann"}]});
    tenant.post("/v1/events?wait=applied", &event).expect_status(202);
    assert_eq!(attribute(&tenant.profile("customer_id", "ann"), "orders"), "1");
    // There are no events to compare two versions over.
    tenant.post("/v1/plugins/brevo/versions/1/replay", &json!({"last": 10})).expect_problem(409);
    server.finish();
}

#[test]
fn a_connector_that_would_send_by_itself_is_refused() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let problem = tenant
        .post_bytes("/v1/plugins/own/versions", "application/wasm", &guest("misdeliver.wasm"))
        .expect_problem(422);
    assert!(problem.to_string().contains("connector-io"), "{problem}");
    tenant.get("/v1/plugins/own").expect_problem(404);
    server.finish();
}
