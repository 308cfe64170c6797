//! Which events there are, what they should carry, and what happens to those that do not.

use serde_json::{Value, json};

use crate::crash::verify_store;
use crate::harness::http::attribute;
use crate::harness::{Server, Tenant};

fn purchase(id: &str, properties: &Value) -> Value {
    json!({"id": id, "source": "till", "type": "Order Completed", "time": "2026-03-01T12:00:00Z",
           "identifiers": [{"type": "customer_id", "value": "ann"}], "properties": properties})
}

const TYPE: &str = "/v1/catalogue/types/Order%20Completed";

fn schema(tenant: &Tenant, mode: &str, total: &str) -> Value {
    let properties =
        json!({"required": ["total"], "properties": {"total": {"type": total}, "note": {"maxLength": 5}}});
    tenant.put(&format!("{TYPE}/schema"), &json!({"mode": mode, "properties": properties})).ok()
}

fn status(tenant: &Tenant, id: &str) -> Value {
    tenant.get(&format!("/v1/events/{id}?source=till")).expect_status(200)["status"].clone()
}

#[test]
fn the_catalogue_knows_types_properties_and_a_sample() {
    let mut server = Server::fresh();
    let tenant = server.tenant("shop");
    let big = json!({"total": "64.20", "items": 3, "gift": null});
    tenant.post("/v1/events", &purchase("1", &big)).expect_status(202);
    let mut early = purchase("2", &json!({"total": 12, "gift": {"paper": true}}));
    early["time"] = json!("2026-01-01T00:00:00Z");
    early["traits"] = json!({"city": "Riga"});
    tenant.post("/v1/events?wait=applied", &early).expect_status(202);
    let check = |tenant: &Tenant| {
        let told = tenant.get(TYPE).expect_status(200);
        assert_eq!((&told["type"], &told["volume"]), (&json!("Order Completed"), &json!(2)), "{told}");
        assert_eq!(told["first_seen"], "2026-01-01T00:00:00.000Z");
        assert_eq!(told["last_seen"], "2026-03-01T12:00:00.000Z");
        let properties = json!([
            {"name": "gift", "types": ["null", "object"]},
            {"name": "items", "types": ["number"]},
            {"name": "total", "types": ["number", "string"]},
        ]);
        assert_eq!(told["properties"], properties, "{told}");
        assert_eq!(told["traits"], json!([{"name": "city", "types": ["string"]}]));
        assert_eq!(
            (&told["sample"]["id"], &told["sample_hidden"]),
            (&json!("2"), &json!(false)),
            "the newest"
        );
        assert_eq!(told["sample"]["properties"]["total"], 12);
    };
    check(&tenant);
    let key = |scope: &str| {
        let made = tenant.post("/v1/keys", &json!({"name": scope, "scopes": [scope]})).expect_status(201);
        tenant.with_key(made["key"].as_str().unwrap())
    };
    let hidden = key("export").get(TYPE).expect_status(200);
    assert_eq!(hidden["sample_hidden"], true);
    assert_eq!(hidden["sample"]["properties"], json!({"gift": {"paper": "boolean"}, "total": "number"}));
    assert_eq!(hidden["sample"]["identifiers"], json!([{"type": "string", "value": "string"}]));
    key("read").get(TYPE).expect_status(200);
    key("ingest").get(TYPE).expect_problem(403);
    key("ingest").get("/v1/catalogue/types").expect_problem(403);
    tenant.get("/v1/catalogue/types/none").expect_problem(404);

    server.terminate();
    verify_store(&server);
    server.restart();
    let tenant = tenant.at(&server.url);
    check(&tenant);
    let list = tenant.get("/v1/catalogue/types").expect_status(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
    let overview = tenant.get("/v1/catalogue").expect_status(200);
    assert_eq!(overview, json!({"types": 1, "events": 2, "unlisted_events": 0}));
    server.finish();
}

#[test]
fn a_schema_blocks_leaves_out_or_quarantines() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    tenant.define("/v1/attributes/orders", &json!({"kind": "count", "event": "Order Completed"}));
    assert_eq!(schema(&tenant, "block", "string")["version"], 1);
    assert_eq!(schema(&tenant, "block", "string")["version"], 1, "the same again changes nothing");
    let refused = tenant.post("/v1/events", &purchase("1", &json!({"total": 7}))).expect_problem(422);
    assert_eq!(refused["errors"][0]["pointer"], "/properties/total", "{refused}");
    assert_eq!(refused["errors"][0]["code"], "wrong_type");
    let batch = json!([purchase("1", &json!({})), purchase("2", &json!({"total": "7"}))]);
    let answer = tenant.post("/v1/events?wait=applied", &batch).expect_status(202);
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(1), &json!(1)), "{answer}");
    tenant.get("/v1/events/1?source=till").expect_problem(404);

    assert_eq!(schema(&tenant, "omit", "string")["version"], 2);
    let long = purchase("3", &json!({"total": "7", "note": "too long", "kept": 1}));
    tenant.post("/v1/events?wait=applied", &long).expect_status(202);
    let again = tenant.post("/v1/events", &long).expect_status(202);
    assert_eq!(again["duplicates"], 1, "its identity is that of the body as sent");
    let told = tenant.get("/v1/events/3?source=till").expect_status(200);
    assert_eq!(told["stages"][1]["stage"], "schema_checked", "{told}");
    assert_eq!(
        (&told["stages"][1]["omitted"], &told["stages"][1]["version"]),
        (&json!(["/properties/note"]), &json!(2))
    );
    let profile = told["profile_id"].as_str().unwrap();
    let timeline = tenant.get(&format!("/v1/profiles/{profile}/events?limit=1000")).expect_status(200);
    let of = |id: &str| timeline["items"].as_array().unwrap().iter().find(|event| event["id"] == id).unwrap();
    assert_eq!(of("3")["properties"], json!({"total": "7", "kept": 1}), "what was left out is not kept");

    schema(&tenant, "quarantine", "string");
    tenant.post("/v1/events?wait=applied", &purchase("4", &json!({"total": 7}))).expect_status(202);
    assert_eq!(status(&tenant, "4"), "dead_letter");
    let letters = tenant.get("/v1/events?status=dead_letter&code=schema_violation").expect_status(200);
    assert_eq!(letters["items"][0]["errors"][0]["pointer"], "/properties/total", "{letters}");
    assert_eq!(attribute(&tenant.profile("customer_id", "ann"), "orders"), "2");
    server.finish();
}

#[test]
fn what_was_quarantined_is_replayed_after_the_schema_is_mended_and_a_rebuild_agrees() {
    let mut server = Server::fresh();
    let mut tenant = server.tenant("shop");
    tenant.define("/v1/attributes/orders", &json!({"kind": "count", "event": "Order Completed"}));
    schema(&tenant, "quarantine", "string");
    let events: Vec<_> = (0..200).map(|n| purchase(&n.to_string(), &json!({"total": n}))).collect();
    crate::harness::send_all(&tenant, &events);
    let replay = |tenant: &Tenant, wanted: &Value| {
        let job = tenant.post("/v1/dead-letters/replay", wanted).expect_status(202);
        tenant.finish_job(&job).unwrap()["result"].clone()
    };
    let wanted = json!({"code": "schema_violation"});
    assert_eq!(replay(&tenant, &wanted), json!({"replayed": 200, "applied": 0, "kept_out": 200}));
    // Whoever blocks from now on must not lose what is there.
    schema(&tenant, "block", "string");
    assert_eq!(replay(&tenant, &json!({"id": "1"}))["kept_out"], 1);
    schema(&tenant, "block", "number");
    assert_eq!(replay(&tenant, &json!({"id": "1", "source": "till"}))["applied"], 1);
    assert_eq!(replay(&tenant, &wanted), json!({"replayed": 199, "applied": 199, "kept_out": 0}));
    assert_eq!(attribute(&tenant.profile("customer_id", "ann"), "orders"), "200");
    tenant.delete(&format!("{TYPE}/schema")).expect_status(204);
    tenant.get(&format!("{TYPE}/schema")).expect_problem(404);
    tenant.post("/v1/events?wait=applied", &purchase("any", &json!({}))).expect_status(202);
    assert_eq!(status(&tenant, "any"), "applied");
    assert_eq!(schema(&tenant, "omit", "number")["version"], 4, "versions go on");

    server.terminate();
    verify_store(&server);
    std::fs::remove_dir_all(server.data_dir.join("state")).unwrap();
    server.restart();
    tenant = tenant.at(&server.url);
    let rebuilt = crate::harness::until(std::time::Duration::from_secs(60), || {
        (tenant.anonymous_ready()).then(|| attribute(&tenant.profile("customer_id", "ann"), "orders"))
    });
    assert_eq!(rebuilt.as_deref(), Some("201"), "quarantined then, applied where they were replayed");
    let told = tenant.get("/v1/accounting").expect_status(200);
    assert_eq!((&told["applied"], &told["difference"]), (&json!(201), &json!(0)), "{told}");
    server.finish();
}

#[test]
fn a_schema_that_is_none_is_refused_with_its_place() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let body = json!({"mode": "block", "properties": {"$ref": "https://example.com/schema.json"}});
    let refused = tenant.put(&format!("{TYPE}/schema"), &body).expect_problem(422);
    assert_eq!(refused["errors"][0]["pointer"], "/properties/$ref", "{refused}");
    let body = json!({"mode": "warn", "traits": {"type": "text"}});
    let refused = tenant.put(&format!("{TYPE}/schema"), &body).expect_problem(422);
    let places: Vec<_> = crate::ingest::pointers(&refused);
    assert!(places.contains(&"/mode".to_owned()) && places.contains(&"/traits".to_owned()), "{refused}");
    server.finish();
}
