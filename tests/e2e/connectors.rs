//! Connectors: taken in, granted, configured, and out of the way of events.

use serde_json::{Value, json};

use crate::guests::activate;
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
fn a_destination_names_a_connector_with_exactly_the_secrets_it_was_granted() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let put = |body: &Value| tenant.put("/v1/destinations/list", body);
    let with = |config: Value, secrets: Value| json!({"kind": "plugin", "plugin": "brevo", "config": config, "secrets": secrets});
    let key = "canary-key-of-brevo";
    let good = with(json!({"list": 9}), json!({ "api-key": key }));
    let pointer = |body: &Value| put(body).expect_problem(422)["errors"][0]["pointer"].clone();
    assert_eq!(pointer(&good), "/plugin", "there is no such plugin");
    activate(&tenant, "brevo", &guest("brevo_list.wasm"), &json!({"list": 7}));
    assert_eq!(pointer(&with(json!({"list": 0}), json!({ "api-key": key }))), "/config/list");
    assert_eq!(pointer(&with(json!({"list": 9}), json!({}))), "/secrets/api-key");
    assert_eq!(pointer(&with(json!({"list": 9}), json!({"api-key": key, "other": "x"}))), "/secrets/other");
    assert_eq!(pointer(&with(json!({"list": 9}), json!({"api-key": "a\r\nb: c"}))), "/secrets/api-key");
    put(&good).ok();
    let shown = tenant.get("/v1/destinations/list").expect_status(200);
    assert_eq!(
        (&shown["kind"], &shown["plugin"], &shown["config"]["list"]),
        (&json!("plugin"), &json!("brevo"), &json!(9))
    );
    assert!(!shown.to_string().contains(key), "{shown}");
    // Nothing is sent by a test of it.
    let tested = tenant.post("/v1/destinations/list/test", &json!({})).expect_status(200);
    assert_eq!(
        (&tested["ok"], &tested["hosts"][0]),
        (&json!(true), &json!("https://api.brevo.com")),
        "{tested}"
    );
    tenant.post("/v1/plugins/brevo/suspend", &json!({})).expect_status(200);
    assert_eq!(pointer(&with(json!({"list": 8}), json!({ "api-key": key }))), "/plugin", "suspended");
    server.finish();
}

/// `misplan` sends to a name that is as long as one of this machine with a port: the one is put in the place of the other.
#[test]
fn what_a_connector_plans_goes_by_the_policy_of_everything_that_leaves() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (declared, local) = ("https://api.example.com", format!("https://localhost:{port}"));
    if declared.len() != local.len() {
        eprintln!(
            "SKIPPED what_a_connector_plans_goes_by_the_policy_of_everything_that_leaves: port {port} is short"
        );
        return;
    }
    let mut component = guest("misplan.wasm");
    let mut found = 0;
    for at in 0..component.len() - declared.len() {
        if component[at..].starts_with(declared.as_bytes()) {
            component[at..at + declared.len()].copy_from_slice(local.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "its text is in it");
    listener.set_nonblocking(true).unwrap();
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    activate(&tenant, "misplan", &component, &json!({}));
    let secrets = json!({"token": "canary-token", "spare": "canary-spare"});
    let body = json!({"kind": "plugin", "plugin": "misplan", "secrets": secrets});
    tenant.put("/v1/destinations/out", &body).ok();
    let tested = tenant.post("/v1/destinations/out/test", &json!({})).expect_status(200);
    assert_eq!((&tested["ok"], &tested["code"]), (&json!(false), &json!("refused_name")), "{tested}");
    assert!(!tested.to_string().contains("canary"), "{tested}");
    assert!(listener.accept().is_err(), "nobody came");
    server.finish();
}
