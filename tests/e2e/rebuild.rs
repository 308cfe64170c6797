//! State can be thrown away: the journal gives the same answers again.

use std::time::Duration;

use serde_json::{Value, json};

use crate::crash::verify_store;
use crate::harness::{Server, Tenant, define_lifetime, guest, send_all, until};
use crate::retail;

/// A shop in which everything that is kept has happened at least once.
fn busy_shop(server: &Server) -> Tenant {
    let tenant = server.tenant("shop");
    define_lifetime(&tenant);
    tenant.define(
        "/v1/purposes/marketing",
        &json!({"title": "News", "legal_basis": "consent", "channels": ["email"]}),
    );
    let reachable = json!({"all": [
        {"attribute": "total_spend", "op": "gte", "value": "500"},
        {"reachable": {"channel": "email", "purpose": "marketing"}},
    ]});
    tenant.define("/v1/segments/reachable", &json!({"title": "Reachable", "rule": reachable}));
    crate::guests::activate(&tenant, "country-code", &guest("country_code.wasm"), &json!({}));
    let orders = retail::events("orders.ndjson.gz");
    let contacts = retail::events("contacts.ndjson.gz");
    send_all(&tenant, &contacts[..1000]);
    send_all(&tenant, &orders[..3000]);
    let rule = json!({"attribute": "order_count", "op": "eq", "value": 1});
    tenant.define("/v1/segments/once", &json!({"title": "Once", "rule": rule}));
    send_all(&tenant, &orders[3000..4000]);
    tenant
}

/// Everything that clients can see of some hundred people and of all segments, in one order.
fn dump(tenant: &Tenant) -> Vec<String> {
    let mut lines = Vec::new();
    for segment in ["reachable", "once"] {
        let mut cursor = String::new();
        lines.push(format!("{segment} {}", tenant.segment_size(segment)));
        loop {
            let path = format!("/v1/segments/{segment}/members?limit=1000{cursor}");
            let page = tenant.get(&path).expect_status(200);
            let items = page["items"].as_array().unwrap();
            lines.extend(items.iter().map(|item| format!("{segment} {}", item["profile_id"])));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
    }
    let mut customers: Vec<String> = retail::events("orders.ndjson.gz")[..4000]
        .iter()
        .map(|event| event["identifiers"][0]["value"].as_str().unwrap().to_owned())
        .collect();
    customers.sort();
    customers.dedup();
    for customer in customers.iter().step_by(5) {
        let mut profile = tenant.profile("customer_id", customer);
        // How far we have read is no fact about the person.
        profile.as_object_mut().unwrap().remove("position");
        let id = profile["id"].as_str().unwrap().to_owned();
        lines.push(profile.to_string());
        let events = tenant.get(&format!("/v1/profiles/{id}/events")).expect_status(200);
        lines.push(without_positions(events).to_string());
    }
    lines.sort();
    lines
}

fn without_positions(mut page: Value) -> Value {
    for item in page["items"].as_array_mut().into_iter().flatten() {
        if let Some(item) = item.as_object_mut() {
            item.remove("position");
        }
    }
    page
}

fn ready(server: &Server) {
    let anybody = server.anonymous();
    let ready = until(Duration::from_secs(120), || (anybody.get("/readyz").status == 200).then_some(()));
    assert!(ready.is_some(), "the server did not become ready");
}

#[test]
fn restart_kill_and_a_removed_state_directory_keep_everything() {
    let mut server = Server::fresh();
    let tenant = busy_shop(&server);
    let before = dump(&tenant);
    assert!(before.len() > 200, "there is something to compare");

    server.terminate();
    server.restart();
    ready(&server);
    assert_same(&before, &dump(&tenant.at(&server.url)), "an orderly restart");

    server.kill_and_restart();
    ready(&server);
    assert_same(&before, &dump(&tenant.at(&server.url)), "kill -9");

    server.terminate();
    verify_store(&server);
    let state = server.data_dir.join("state");
    assert!(state.is_dir(), "the state lies in <data>/state");
    std::fs::remove_dir_all(&state).unwrap();
    server.restart();
    ready(&server);
    let tenant = tenant.at(&server.url);
    assert_same(&before, &dump(&tenant), "a rebuild from the journal");

    let again = tenant.post("/v1/events", &json!({"events": &retail::events("orders.ndjson.gz")[..100]}));
    assert_eq!(again.expect_status(202)["duplicates"], 100, "what was accepted is still known");
    server.terminate();
    verify_store(&server);
    server.restart();
    ready(&server);
    server.finish();
}

fn assert_same(before: &[String], after: &[String], what: &str) {
    let differs = before.iter().zip(after).find(|(before, after)| before != after);
    assert!(before.len() == after.len() && differs.is_none(), "after {what}: {differs:#?}");
}
