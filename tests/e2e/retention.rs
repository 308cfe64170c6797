//! Events that are gone by their age: out of state, timeline and journal, through kills in the middle and a rebuild.

use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::harness::http::attribute;
use crate::harness::random::Random;
use crate::harness::{CDP, Server, Tenant, run_to_end, send_all, until};

const CUSTOMERS: usize = 300;
const KILLS: usize = 6;

fn days_ago(days: i64) -> String {
    (Timestamp::now() - SignedDuration::from_hours(24 * days)).to_string()
}

fn event(kind: &str, n: usize, days: i64, more: Value) -> Value {
    let mut event = json!({"id": format!("{kind}-{n}-{days}"), "type": kind, "time": days_ago(days),
        "identifiers": [{"type": "customer_id", "value": format!("c{n}")}]});
    let more = more.as_object().unwrap().clone();
    event.as_object_mut().unwrap().extend(more);
    event
}

fn history(n: usize) -> [Value; 5] {
    let address = format!("c{n}@example.com");
    [
        event("view", n, 120, json!({"properties": {"page": "first"}})),
        event("view", n, 100, json!({"properties": {"page": "old"}, "traits": {"seen": "old"}})),
        event(
            "purchase",
            n,
            90,
            json!({"properties": {"total": "10.50"}, "traits": {"tier": "gold"},
            "consents": [{"channel": "email", "address": address, "purpose": "news", "status": "granted"}]}),
        ),
        event("purchase", n, 80, json!({"properties": {"total": "4.50"}})),
        event("view", n, 1, json!({"properties": {"page": "new"}})),
    ]
}

fn define(tenant: &Tenant) {
    tenant.define("/v1/purposes/news", &json!({"title": "News", "legal_basis": "consent"}));
    tenant.define("/v1/attributes/views", &json!({"kind": "count", "event": "view"}));
    tenant.define("/v1/attributes/spend", &json!({"kind": "sum", "event": "purchase", "property": "/total"}));
    let rule = json!({"attribute": "views", "op": "gte", "value": 3});
    tenant.define("/v1/segments/curious", &json!({"title": "Curious", "rule": rule}));
}

fn rules() -> Value {
    json!({"rules": [{"type": "view", "days": 30, "derived": "decayed"},
        {"type": "purchase", "days": 30, "derived": "frozen"}]})
}

fn verify(data_dir: &Path) {
    let mut command = std::process::Command::new(CDP);
    command.args(["store", "verify", "--data-dir"]).arg(data_dir);
    let verified = run_to_end(command, Duration::from_secs(120));
    assert_eq!(verified.code, Some(0), "{} {}", verified.stdout, verified.stderr);
}

fn ready(tenant: &Tenant) {
    assert!(until(Duration::from_secs(60), || tenant.anonymous_ready().then_some(())).is_some());
}

fn swept(tenant: &Tenant) -> Value {
    let done = until(Duration::from_secs(120), || {
        let retention = tenant.get("/v1/retention").ok();
        retention["swept_at"].is_string().then_some(retention)
    });
    done.expect("what is over goes")
}

/// What is known of somebody, without what a restart changes.
fn known(tenant: &Tenant, n: usize) -> Value {
    let mut profile = tenant.profile("customer_id", &format!("c{n}"));
    profile.as_object_mut().unwrap().remove("position");
    profile
}

fn check(tenant: &Tenant, n: usize) -> String {
    let profile = known(tenant, n);
    assert_eq!(
        (attribute(&profile, "views"), attribute(&profile, "spend")),
        ("1".into(), "15".into()),
        "{profile}"
    );
    assert_eq!(profile["traits"]["tier"]["value"], "gold", "{profile}");
    assert!(profile["traits"].get("seen").is_none(), "{profile}");
    assert_eq!(profile["segments"], json!([]), "{profile}");
    assert_eq!(profile["channels"][0]["consents"]["news"]["status"], "granted", "{profile}");
    let id = profile["id"].as_str().unwrap().to_owned();
    let timeline = tenant.get(&format!("/v1/profiles/{id}/events")).ok();
    let kinds: Vec<_> =
        timeline["items"].as_array().unwrap().iter().map(|one| one["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        ["view", "$expired", "$expired"],
        "the first, and the one with a decision, leave a stub: {timeline}"
    );
    assert!(!timeline.to_string().contains("10.50"), "{timeline}");
    id
}

#[test]
fn what_is_too_old_is_gone_and_what_it_amounted_to_goes_or_stays() {
    let own = tempfile::tempdir().unwrap();
    let data = own.path().join("data");
    let mut server = Server::at(&data);
    let mut tenant = server.tenant("shop");
    define(&tenant);
    let events: Vec<Value> = (0..CUSTOMERS).flat_map(history).collect();
    send_all(&tenant, &events);
    assert_eq!(tenant.segment_size("curious"), CUSTOMERS as u64);
    let at_first = tenant.get("/v1/retention").ok();
    assert_eq!(at_first, json!({"rules": [], "set_at": null, "swept_at": null, "expired": 0}));

    tenant.put("/v1/retention", &rules()).ok();
    let mut random = Random::seeded(11);
    for _ in 0..KILLS {
        let quiet = Duration::from_millis(random.below(150) as u64);
        let _ = until(quiet, || None::<()>);
        server.kill_and_restart();
        tenant = tenant.at(&server.url);
    }
    ready(&tenant);
    let retention = swept(&tenant);
    // Of five events of each two are gone without a trace: the second view, and the purchase without a decision.
    assert_eq!(retention["expired"], 2 * CUSTOMERS, "{retention}");
    assert_eq!(tenant.segment_size("curious"), 0);
    let id = check(&tenant, 0);
    check(&tenant, CUSTOMERS - 1);
    let changes = tenant.get("/v1/segments/curious/changes?limit=1000").ok();
    assert!(changes["items"].as_array().unwrap().iter().any(|one| one["cause"] == "retention"), "{changes}");

    let receipt = tenant.get("/v1/events/purchase-0-80?source=admin").ok();
    assert_eq!(
        (receipt["status"].as_str(), receipt["code"].as_str()),
        (Some("expired"), Some("expired")),
        "{receipt}"
    );
    let again = tenant.post("/v1/events?wait=applied", &json!([events[3]])).json();
    assert_eq!(again["results"][0]["status"], "duplicate", "{again}");
    let late = event("purchase", 0, 200, json!({"properties": {"total": "1000"}}));
    tenant.post("/v1/events?wait=applied", &json!([late])).ok();
    let receipt = tenant.get("/v1/events/purchase-0-200?source=admin").ok();
    assert_eq!(
        (receipt["status"].as_str(), receipt["code"].as_str()),
        (Some("dropped"), Some("expired")),
        "{receipt}"
    );
    check(&tenant, 0);
    let accounting = tenant.get("/v1/accounting").ok();
    assert_eq!(
        (accounting["difference"].as_i64(), accounting["expired"].as_u64()),
        (Some(0), Some(2 * CUSTOMERS as u64)),
        "{accounting}"
    );

    // A definition that comes later knows nothing of it; the past is what is left.
    tenant.define("/v1/attributes/all_purchases", &json!({"kind": "count", "event": "purchase"}));
    let profile = known(&tenant, 0);
    assert_eq!(attribute(&profile, "all_purchases"), "0", "{profile}");

    let before: Vec<Value> = (0..5).map(|n| known(&tenant, n)).collect();
    server.terminate();
    verify(&data);
    std::fs::remove_dir_all(data.join("state")).unwrap();
    server.restart();
    tenant = tenant.at(&server.url);
    ready(&tenant);
    let after: Vec<Value> = (0..5).map(|n| known(&tenant, n)).collect();
    assert_eq!(before, after, "a state that is made anew from the redacted journal");

    // What is frozen goes with an erasure like everything else.
    let asked = json!({"identifier": {"type": "customer_id", "value": "c0"}, "reason": "asked for"});
    let erasure = tenant.post("/v1/erasures", &asked).expect_status(202);
    tenant.finish_job(&erasure);
    tenant.get(&format!("/v1/profiles/{id}")).expect_problem(404);
    let accounting = tenant.get("/v1/accounting").ok();
    assert_eq!(accounting["difference"], 0, "{accounting}");
    server.terminate();
    verify(&data);
}
