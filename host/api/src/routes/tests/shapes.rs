//! Operations that are not about events: what their answers look like.

use http::{Method, header};
use serde_json::{Value, json};

use super::{World, event};

async fn done(world: &World, job: &Value) -> Value {
    loop {
        let job = world.get(&format!("/v1/jobs/{}", job.as_str().unwrap())).await.expect(200);
        if !matches!(job["status"].as_str(), Some("queued" | "running")) {
            return job;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_are_made_built_listed_and_removed() {
    let world = World::new().await;
    let mut one = event("1");
    one["properties"] = json!({"total": "120.50"});
    world.post("/v1/events?wait=applied", &one).await.expect(202);
    let spend = json!({"kind": "sum", "event": "purchase", "property": "/total"});
    let made = world.put("/v1/attributes/spend", &spend).await.expect(201);
    assert_eq!(made["version"], 1, "{made}");
    assert_eq!(done(&world, &made["backfill_job"]).await["status"], "done");
    let rule = json!({"title": "Big", "rule": {"attribute": "spend", "op": "gte", "value": "100"}});
    let made = world.put("/v1/segments/big", &rule).await.expect(201);
    assert_eq!(done(&world, &made["backfill_job"]).await["status"], "done");
    world.put("/v1/segments/big", &rule).await.expect(200);
    let segment = world.get("/v1/segments/big").await.expect(200);
    assert_eq!(
        (segment["size"].as_u64(), segment["status"].as_str()),
        (Some(1), Some("active")),
        "{segment}"
    );
    let members = world.get("/v1/segments/big/members").await.expect(200);
    assert!(members["items"][0]["profile_id"].as_str().unwrap().starts_with("prf_"), "{members}");
    world.get("/v1/segments/big/changes").await.expect(200);
    let listed = world.get("/v1/attributes").await.expect(200);
    assert_eq!(listed["items"][0]["definition"]["kind"], "sum", "{listed}");
    world
        .send(Method::DELETE, "/v1/attributes/spend", &world.admin, &Value::Null)
        .await
        .problem(409, "conflict");
    world.send(Method::DELETE, "/v1/segments/big", &world.admin, &Value::Null).await.expect(204);
    world.send(Method::DELETE, "/v1/attributes/spend", &world.admin, &Value::Null).await.expect(204);
    world.get("/v1/attributes/spend").await.problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn consents_are_in_force_when_they_are_answered() {
    let world = World::new().await;
    let purpose = json!({"title": "Marketing", "legal_basis": "consent", "channels": ["email"]});
    world.put("/v1/purposes/marketing", &purpose).await.expect(201);
    let consent = json!({"channel": "email", "address": "Ann@Example.com", "purpose": "marketing", "status": "granted", "time": "2026-01-01T00:00:00Z"});
    let answer = world.post("/v1/consents", &consent).await.expect(200);
    assert_eq!((answer["accepted"].as_u64(), answer["applied"].as_bool()), (Some(1), Some(true)), "{answer}");
    assert_eq!(
        world.post("/v1/consents", &json!({"consents": [consent]})).await.expect(200)["duplicates"],
        1
    );
    let who = json!({"identifier": {"type": "email", "value": "ann@example.com"}});
    let profile = world.post("/v1/profiles/lookup", &who).await.expect(200);
    assert_eq!(profile["channels"][0]["consents"]["marketing"]["status"], "granted", "{profile}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_operators_and_people_read_is_there() {
    let world = World::new().await;
    assert_eq!(world.get("/healthz").await.expect(200)["status"], "ok");
    assert_eq!(world.get("/readyz").await.expect(200)["ready"], true);
    let limits = world.get("/v1/limits").await.expect(200);
    for (name, value) in [
        ("event_bytes_max", 32 * 1024),
        ("body_bytes_max", 1 << 20),
        ("events_per_request_max", 1000),
        ("event_depth_max", 32),
        ("upload_bytes_max", 32 << 20),
        ("page_items_max", 1000),
    ] {
        assert_eq!(limits[name], value, "{name}");
    }
    assert!(limits.as_object().unwrap().values().all(|limit| limit.as_u64().is_some_and(|limit| limit > 0)));
    assert!(world.get("/openapi.json").await.expect(200)["paths"]["/v1/events"]["post"].is_object());
    world.post("/v1/events?wait=applied", &event("1")).await.expect(202);
    let metrics = world.get("/metrics").await;
    assert!(metrics.text.contains("cdp_events_accepted_total{tenant="), "{}", metrics.text);
    assert!(
        metrics.text.contains("route=\"/v1/events\"") && !metrics.text.contains("shop"),
        "{}",
        metrics.text
    );
    for path in ["/", "/docs", "/docs/errors", "/docs/start-here/customer-profiles"] {
        let page = world.get(path).await;
        assert_eq!(
            (page.status, page.headers[header::CONTENT_TYPE].to_str().unwrap()),
            (200, "text/html; charset=utf-8"),
            "{path}"
        );
    }
    for code in crate::error::Code::ALL {
        assert_eq!(world.get(&format!("/docs/errors/{}", code.as_str())).await.status, 200);
    }
    world.get("/docs/errors/none").await.problem(404, "not_found");
    world.get("/docs/none").await.problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sane_request_id_is_kept_and_another_is_replaced() {
    let world = World::new().await;
    let with = |id: &str| {
        let request = axum::extract::Request::get("/healthz").header("request-id", id);
        request.body(axum::body::Body::empty()).unwrap()
    };
    assert_eq!(world.request(with("abc-1")).await.headers["request-id"], "abc-1");
    let replaced = world.request(with("a b")).await.headers["request-id"].clone();
    assert!(replaced.to_str().unwrap().starts_with("req_"));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_tenants_are_listed_without_secrets() {
    let world = World::new().await;
    let key = world.key(&["read"]).await;
    let listed = world.get("/v1/keys").await;
    assert!(
        !listed.text.contains(&key) && listed.body["items"].as_array().unwrap().len() == 2,
        "{}",
        listed.text
    );
    let tenants = world.send(Method::GET, "/v1/tenants", super::OPERATOR, &Value::Null).await.expect(200);
    assert_eq!(tenants["items"][0]["slug"], "shop");
    let again = json!({"slug": "shop", "name": "Shop"});
    world.send(Method::POST, "/v1/tenants", super::OPERATOR, &again).await.problem(409, "conflict");
}
