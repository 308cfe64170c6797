//! People who are restricted: kept and not used, through joins, separations, crashes and a rebuild.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::http::attribute;
use crate::harness::{CDP, Server, Tenant, run_to_end, send_all};

fn event(id: &str, who: &[(&str, &str)], total: &str) -> Value {
    let who: Vec<Value> = who.iter().map(|(kind, value)| json!({"type": kind, "value": value})).collect();
    json!({"id": id, "type": "purchase", "time": "2026-03-01T00:00:00Z", "identifiers": who, "properties": {"total": total}})
}

fn consenting(id: &str, customer: &str) -> Value {
    let address = format!("{customer}@example.com");
    let mut event = event(id, &[("customer_id", customer), ("email", &address)], "120");
    event["consents"] =
        json!([{"channel": "email", "address": address, "purpose": "news", "status": "granted"}]);
    event
}

fn define(tenant: &Tenant) {
    tenant.define("/v1/purposes/news", &json!({"title": "News", "legal_basis": "consent"}));
    tenant.define("/v1/attributes/spend", &json!({"kind": "sum", "event": "purchase", "property": "/total"}));
    let big = json!({"attribute": "spend", "op": "gte", "value": "100"});
    tenant.define("/v1/segments/big", &json!({"title": "Big", "rule": big}));
    tenant.define("/v1/segments/not-big", &json!({"title": "Not big", "rule": {"not": big}}));
}

fn named(customer: &str) -> Value {
    json!({"identifier": {"type": "customer_id", "value": customer}})
}

fn restrict(tenant: &Tenant, customer: &str) -> Value {
    let mut asked = named(customer);
    asked["reason"] = "accuracy contested".into();
    tenant.post("/v1/restrictions", &asked).expect_status(201)
}

fn members(tenant: &Tenant, segment: &str) -> usize {
    tenant.get(&format!("/v1/segments/{segment}/members")).ok()["items"].as_array().unwrap().len()
}

fn verify(data_dir: &Path) {
    let mut command = std::process::Command::new(CDP);
    command.args(["store", "verify", "--data-dir"]).arg(data_dir);
    let verified = run_to_end(command, std::time::Duration::from_secs(120));
    assert_eq!(verified.code, Some(0), "{} {}", verified.stdout, verified.stderr);
}

const AUDIENCE: &str = r#"{"segment": "big", "format": "csv", "mode": "full",
    "fields": [{"name": "mail", "from": "channel.email"}], "consent": {"channel": "email", "purpose": "news"}}"#;

#[test]
fn who_is_restricted_is_kept_and_in_no_segment_audience_or_file() {
    let own = tempfile::tempdir().unwrap();
    let mut server = Server::at(&own.path().join("data"));
    let mut tenant = server.tenant("shop");
    define(&tenant);
    send_all(&tenant, &["ann", "bob", "cid"].map(|who| consenting(who, who)));
    let audience: Value = serde_json::from_str(AUDIENCE).unwrap();
    let (old, file) = tenant.export(&audience);
    assert_eq!(file.lines().count(), 4);
    assert_eq!((members(&tenant, "big"), members(&tenant, "not-big")), (3, 0));

    let made = restrict(&tenant, "ann");
    assert_eq!((made["export_files"].as_u64(), made["export_rows"].as_u64()), (Some(1), Some(1)), "{made}");
    assert_eq!(
        (members(&tenant, "big"), members(&tenant, "not-big")),
        (2, 0),
        "in neither, whatever it says"
    );
    let ann = tenant.post("/v1/profiles/lookup", &named("ann")).ok();
    assert_eq!(ann["restrictions"][0]["id"], made["id"], "{ann}");
    assert_eq!((&ann["segments"], attribute(&ann, "spend").as_str()), (&json!([]), "120"), "{ann}");
    let told = tenant.get(&format!("/v1/segments/big/members/{}", ann["id"].as_str().unwrap())).ok();
    assert_eq!((told["member"].as_bool(), told["restricted"].as_bool()), (Some(false), Some(true)), "{told}");
    let held = tenant.get(&format!("/v1/exports/{}/file", old["id"].as_str().unwrap())).text();
    assert!(!held.contains("ann@") && held.lines().count() == 3, "{held}");
    let told = tenant.get(&format!("/v1/exports/{}", old["id"].as_str().unwrap())).ok();
    assert_eq!(
        (told["rows"].as_u64(), told["withheld"]["restricted"].as_u64()),
        (Some(2), Some(1)),
        "{told}"
    );
    let coverage = tenant.get("/v1/consents/coverage?channel=email&purpose=news").ok();
    assert_eq!(
        (coverage["reachable"].as_u64(), coverage["withheld"]["restricted"].as_u64()),
        (Some(2), Some(1)),
        "{coverage}"
    );
    let rule = json!({"rule": {"attribute": "spend", "op": "gte", "value": "1"}});
    assert_eq!(tenant.post("/v1/segments/preview", &rule).ok()["size"], 2);
    assert!(!tenant.export(&audience).1.contains("ann@"));
    let changes = tenant.get("/v1/segments/big/changes").ok();
    let last = changes["items"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (last["change"].as_str(), last["cause"].as_str()),
        (Some("left"), Some("restriction")),
        "{last}"
    );
    let document = tenant.post("/v1/access-requests", &named("ann")).expect_status(202);
    let document = tenant.finish_job(&document).unwrap();
    assert_eq!(document["result"]["restrictions"][0]["id"], made["id"], "{document}");

    // What comes later is taken in, and changes nothing about it.
    send_all(&tenant, &[event("later", &[("customer_id", "ann"), ("device", "d1")], "500")]);
    let ann = tenant.post("/v1/profiles/lookup", &named("ann")).ok();
    assert_eq!((attribute(&ann, "spend").as_str(), members(&tenant, "big")), ("620", 2), "{ann}");

    server.kill_and_restart();
    tenant = tenant.at(&server.url);
    ready(&tenant);
    assert_eq!(members(&tenant, "big"), 2, "after a crash");
    server.terminate();
    verify(&server.data_dir);
    std::fs::remove_dir_all(server.data_dir.join("state")).unwrap();
    server.restart();
    tenant = tenant.at(&server.url);
    ready(&tenant);
    assert_eq!(members(&tenant, "big"), 2, "after a rebuild");

    let id = made["id"].as_str().unwrap().to_owned();
    let listed = tenant.get("/v1/restrictions").ok();
    assert_eq!((listed["items"].as_array().unwrap().len(), &listed["items"][0]["id"]), (1, &made["id"]));
    assert_eq!(tenant.get(&format!("/v1/restrictions/{id}")).ok()["reason"], "accuracy contested");
    tenant.delete(&format!("/v1/restrictions/{id}?reason=settled")).expect_status(204);
    tenant.delete(&format!("/v1/restrictions/{id}")).expect_problem(404);
    assert_eq!(members(&tenant, "big"), 3, "where the rules say");
    assert!(tenant.export(&audience).1.contains("ann@"));
    let audit = tenant.get("/v1/audit").ok().to_string();
    for act in ["POST /v1/restrictions", "DELETE /v1/restrictions/{id}"] {
        assert!(audit.contains(act), "{act} stands in {audit}");
    }
    assert!(!audit.contains("ann"), "and nobody is named");
    server.terminate();
    verify(&server.data_dir);
}

fn ready(tenant: &Tenant) {
    let ready =
        crate::harness::until(std::time::Duration::from_secs(120), || tenant.anonymous_ready().then_some(()));
    assert!(ready.is_some(), "the server becomes ready");
}

#[test]
fn a_restriction_goes_over_in_a_join_and_stays_with_every_part() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    define(&tenant);
    send_all(&tenant, &["ann", "bob"].map(|who| consenting(who, who)));
    let restricted = |customer: &str| {
        let profile = tenant.post("/v1/profiles/lookup", &named(customer)).ok();
        !profile["restrictions"].as_array().unwrap().is_empty()
    };
    let made = restrict(&tenant, "ann");
    assert_eq!((restricted("ann"), restricted("bob"), members(&tenant, "big")), (true, false, 1));
    let both = json!({"kind": "must_link", "a": named("ann")["identifier"], "b": named("bob")["identifier"],
        "reason": "one household"});
    let joined = tenant.post("/v1/identity/constraints", &both).expect_status(201);
    assert_eq!((restricted("ann"), restricted("bob"), members(&tenant, "big")), (true, true, 0), "joined");
    // Made while they are one, a restriction is of both.
    let second = restrict(&tenant, "bob");
    tenant.delete(&format!("/v1/identity/constraints/{}", joined["id"].as_str().unwrap())).expect_status(204);
    assert_eq!(
        (restricted("ann"), restricted("bob"), members(&tenant, "big")),
        (true, true, 0),
        "apart again"
    );
    tenant.delete(&format!("/v1/restrictions/{}", second["id"].as_str().unwrap())).expect_status(204);
    assert_eq!((restricted("ann"), restricted("bob"), members(&tenant, "big")), (true, false, 1));
    tenant.delete(&format!("/v1/restrictions/{}", made["id"].as_str().unwrap())).expect_status(204);
    assert_eq!((restricted("ann"), restricted("bob"), members(&tenant, "big")), (false, false, 2));

    let nobody = json!({"identifier": {"type": "customer_id", "value": "nobody"}, "reason": "x"});
    tenant.post("/v1/restrictions", &nobody).expect_problem(404);
    let problem = tenant.post("/v1/restrictions", &json!({"why": 1})).expect_problem(422);
    let pointers: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|one| one["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["/identifier", "/reason", "/why"]);
    server.finish();
}
