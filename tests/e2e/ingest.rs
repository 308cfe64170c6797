//! An event arrives: accepted once, refused with every reason, found again in its person.

use serde_json::{Value, json};

use crate::harness::http::attribute;
use crate::harness::{Server, Tenant};

fn purchase(id: &str, customer: &str, total: &str) -> Value {
    json!({"id": id, "source": "till", "type": "purchase", "time": "2026-03-01T12:00:00Z",
           "identifiers": [{"type": "customer_id", "value": customer}], "properties": {"total": total}})
}

fn define(tenant: &Tenant) {
    tenant.define("/v1/attributes/orders", &json!({"kind": "count", "event": "purchase"}));
    tenant.define("/v1/attributes/spend", &json!({"kind": "sum", "event": "purchase", "property": "/total"}));
    let rule = json!({"attribute": "spend", "op": "gte", "value": "100"});
    tenant.define("/v1/segments/big", &json!({"title": "Big", "rule": rule}));
}

#[test]
fn an_event_reaches_profile_attributes_and_segment() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    define(&tenant);
    let answer = tenant.post("/v1/events?wait=applied", &purchase("1", "ann", "64.20")).expect_status(202);
    assert_eq!(answer["accepted"], 1, "{answer}");
    assert!(answer["position"].is_string(), "{answer}");
    assert_eq!(tenant.segment_size("big"), 0);
    tenant.post("/v1/events?wait=applied", &purchase("2", "ann", "35.8")).expect_status(202);
    let profile = tenant.profile("customer_id", "ann");
    assert_eq!(attribute(&profile, "orders"), "2");
    assert_eq!(attribute(&profile, "spend"), "100", "{profile}");
    assert_eq!(profile["segments"], json!(["big"]), "{profile}");
    assert_eq!(tenant.segment_size("big"), 1);
    let members = tenant.get("/v1/segments/big/members").expect_status(200);
    assert_eq!(members["items"][0]["profile_id"], profile["id"], "{members}");
    assert_eq!(members["next_cursor"], Value::Null);
    let id = profile["id"].as_str().unwrap();
    assert_eq!(tenant.get(&format!("/v1/profiles/{id}")).expect_status(200)["id"], profile["id"]);
    let events = tenant.get(&format!("/v1/profiles/{id}/events")).expect_status(200);
    let ids: Vec<&str> =
        events["items"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 2, "{events}");
    assert!(ids.contains(&"1") && ids.contains(&"2"), "{events}");
    server.finish();
}

#[test]
fn all_body_forms_are_taken() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    define(&tenant);
    let one = |id| purchase(id, "ann", "1");
    assert_eq!(tenant.post("/v1/events", &json!([one("a1"), one("a2")])).expect_status(202)["accepted"], 2);
    assert_eq!(tenant.post("/v1/events", &json!({"events": [one("b1")]})).expect_status(202)["accepted"], 1);
    let lines = format!("{}\n{}\n", one("c1"), one("c2"));
    let answer = tenant.post_bytes("/v1/events?wait=applied", "application/x-ndjson", lines.as_bytes());
    assert_eq!(answer.expect_status(202)["accepted"], 2);
    assert_eq!(attribute(&tenant.profile("customer_id", "ann"), "orders"), "5");
    server.finish();
}

#[test]
fn the_same_event_again_is_a_duplicate_and_another_under_its_id_a_conflict() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    define(&tenant);
    tenant.post("/v1/events", &purchase("1", "ann", "10")).expect_status(202);
    let again = tenant.post("/v1/events", &purchase("1", "ann", "10")).expect_status(202);
    assert_eq!((again["accepted"].as_u64(), again["duplicates"].as_u64()), (Some(0), Some(1)), "{again}");
    tenant.post("/v1/events", &purchase("1", "ann", "11")).expect_problem(409);
    let mut elsewhere = purchase("1", "ann", "11");
    elsewhere["source"] = json!("web");
    tenant.post("/v1/events?wait=applied", &elsewhere).expect_status(202);
    assert_eq!(
        attribute(&tenant.profile("customer_id", "ann"), "spend"),
        "21",
        "the first stays; a source is a world"
    );
    server.finish();
}

#[test]
fn a_batch_with_bad_items_accepts_the_good_ones() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    define(&tenant);
    tenant.post("/v1/events", &purchase("old", "ann", "1")).expect_status(202);
    let batch = json!([
        purchase("new", "ann", "2"),
        purchase("old", "ann", "1"),
        purchase("old", "ann", "9"),
        {"id": "", "type": 7, "identifiers": []},
        "no object",
        purchase("new", "ann", "2"),
    ]);
    let answer = tenant.post("/v1/events?wait=applied", &batch).expect_status(202);
    let count = |name: &str| answer[name].as_u64().unwrap();
    assert_eq!((count("accepted"), count("duplicates"), count("rejected")), (1, 2, 3), "{answer}");
    let results = answer["results"].as_array().unwrap();
    let status = |index: u64| {
        let of = results.iter().find(|result| result["index"] == index);
        of.map(|result| result["status"].as_str().unwrap().to_owned())
    };
    assert_eq!(status(0), None, "only the not accepted ones are listed");
    let listed: Vec<Option<String>> = (1..6).map(status).collect();
    let wanted = ["duplicate", "conflict", "invalid", "invalid", "duplicate"].map(|s| Some(s.to_owned()));
    assert_eq!(listed, wanted, "{answer}");
    let invalid = results.iter().find(|result| result["index"] == 3).unwrap();
    let pointers = pointers(&invalid["problem"]);
    for pointer in ["/id", "/type", "/identifiers"] {
        assert!(pointers.iter().any(|p| p.ends_with(pointer)), "{pointer} is named: {invalid}");
    }
    assert_eq!(attribute(&tenant.profile("customer_id", "ann"), "spend"), "3");

    let strict = json!([purchase("s1", "ann", "1"), {"id": "s2"}]);
    tenant.post("/v1/events?strict=true", &strict).expect_problem(422);
    let later = tenant.post("/v1/events", &purchase("s1", "ann", "1")).expect_status(202);
    assert_eq!(later["accepted"], 1, "nothing of a strict batch was taken: {later}");
    server.finish();
}

/// The pointers that a problem names.
pub(crate) fn pointers(problem: &Value) -> Vec<String> {
    let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("no errors in {problem}"));
    errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn people_are_joined_by_what_they_share_in_any_order() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    define(&tenant);
    let event = |id: &str, time: &str, identifiers: Value| json!({"id": id, "type": "purchase", "time": time, "identifiers": identifiers, "properties": {"total": "1"}});
    let batch = json!([
        event("late", "2026-03-03T00:00:00Z", json!([{"type": "email", "value": "Ann@Example.com"}])),
        event("middle", "2026-03-02T00:00:00Z", json!([{"type": "customer_id", "value": "ann"}])),
        event(
            "early",
            "2026-03-01T00:00:00Z",
            json!([{"type": "customer_id", "value": "ann"}, {"type": "email", "value": "ann@example.com"}])
        ),
    ]);
    tenant.post("/v1/events?wait=applied", &batch).expect_status(202);
    let by_customer = tenant.profile("customer_id", "ann");
    let by_email = tenant.profile("email", "ANN@example.com");
    assert_eq!(by_customer["id"], by_email["id"]);
    assert_eq!(attribute(&by_customer, "orders"), "3");
    server.finish();
}

#[test]
fn two_tenants_do_not_see_each_other() {
    let server = Server::fresh();
    let (ours, theirs) = (server.tenant("ours"), server.tenant("theirs"));
    define(&ours);
    ours.post("/v1/events?wait=applied", &purchase("1", "ann", "1")).expect_status(202);
    let who = json!({"identifier": {"type": "customer_id", "value": "ann"}});
    theirs.post("/v1/profiles/lookup", &who).expect_problem(404);
    let id = ours.profile("customer_id", "ann")["id"].as_str().unwrap().to_owned();
    theirs.get(&format!("/v1/profiles/{id}")).expect_problem(404);
    theirs.get("/v1/segments/big").expect_problem(404);
    let same_id = theirs.post("/v1/events", &purchase("1", "ann", "1")).expect_status(202);
    assert_eq!(same_id["accepted"], 1, "an id is one's own");
    server.finish();
}

#[test]
fn a_segment_library_is_answered_as_it_expects() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    tenant.define("/v1/attributes/signups", &json!({"kind": "count", "event": "Signed Up"}));
    let batch = json!({"batch": [
        {"type": "identify", "messageId": "m1", "userId": "u1", "timestamp": "2026-03-01T00:00:00Z",
         "traits": {"email": "u1@example.com", "plan": "pro"}},
        {"type": "track", "messageId": "m2", "userId": "u1", "event": "Signed Up",
         "timestamp": "2026-03-01T00:00:01Z", "properties": {}},
        {"type": "track", "messageId": "m3"},
    ], "sentAt": "2026-03-01T00:00:02Z"});
    let answer = tenant.post("/v1/batch?wait=applied", &batch).expect_status(200);
    assert_eq!(answer["success"], true, "{answer}");
    let last =
        json!({"messageId": "m4", "userId": "u1", "event": "Signed Up", "timestamp": "2026-03-02T00:00:00Z"});
    assert_eq!(tenant.post("/v1/track", &last).expect_status(200)["success"], true);
    let profile = crate::harness::until(std::time::Duration::from_secs(30), || {
        let profile = tenant.profile("user_id", "u1");
        (attribute(&profile, "signups") == "2").then_some(profile)
    });
    let profile = profile.expect("both are applied");
    assert_eq!(profile["traits"]["plan"]["value"], "pro", "{profile}");
    server.finish();
}
