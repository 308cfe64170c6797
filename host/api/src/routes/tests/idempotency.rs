//! Requests that are sent twice.

use axum::body::Body;
use axum::extract::Request;
use http::{Method, header};
use serde_json::{Value, json};

use super::{Answered, OPERATOR, World, event};
use crate::routes::tests::pointers;

impl World {
    async fn keyed(&self, method: Method, path: &str, key: &str, name: &str, body: &Value) -> Answered {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        let request =
            request.header(header::CONTENT_TYPE, "application/json").header("Idempotency-Key", name);
        self.request(request.body(Body::from(body.to_string())).unwrap()).await
    }

    async fn keyed_post(&self, path: &str, name: &str, body: &Value) -> Answered {
        self.keyed(Method::POST, path, &self.admin, name, body).await
    }
}

fn replayed(answered: &Answered) -> bool {
    answered.headers.get("idempotent-replayed").is_some_and(|value| value == "true")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_once_however_often_it_is_asked_for() {
    let world = World::new().await;
    let body = json!({"name": "till", "scopes": ["ingest"]});
    let first = world.keyed_post("/v1/keys", "k-1", &body).await;
    assert!(!replayed(&first));
    let first_id = first.headers["request-id"].clone();
    let made = first.expect(201);
    let again = world.keyed_post("/v1/keys", "k-1", &json!({"scopes": ["ingest"], "name": "till"})).await;
    assert!(replayed(&again));
    assert_ne!(again.headers["request-id"], first_id, "each request has an id of its own");
    assert_eq!(again.headers[header::CONTENT_TYPE], "application/json");
    assert_eq!(again.expect(201), made);
    let other = world.keyed_post("/v1/keys", "k-1", &json!({"name": "web", "scopes": ["ingest"]})).await;
    other.problem(422, "idempotency_key_reused");
    let elsewhere = world.keyed(Method::PUT, "/v1/segments/s", &world.admin, "k-1", &json!({})).await;
    elsewhere.problem(422, "idempotency_key_reused");
    assert_ne!(world.keyed_post("/v1/keys", "k-2", &body).await.expect(201)["id"], made["id"]);
    let keys = world.get("/v1/keys").await.expect(200);
    let tills = keys["items"].as_array().unwrap().iter().filter(|key| key["name"] == "till").count();
    assert_eq!(tills, 2, "one per Idempotency-Key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_remembered_with_every_problem() {
    let world = World::new().await;
    let first = world.keyed_post("/v1/keys", "k", &json!({"name": "", "scopes": ["fly"]})).await;
    let first = first.problem(422, "invalid");
    let again = world.keyed_post("/v1/keys", "k", &json!({"name": "", "scopes": ["fly"]})).await;
    assert!(replayed(&again));
    let again = again.problem(422, "invalid");
    assert_eq!(pointers(&again), pointers(&first));
    assert_ne!(again["instance"], first["instance"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_and_each_key_have_keys_of_their_own() {
    let world = World::new().await;
    let body = json!({"slug": "second", "name": "Second"});
    let made = world.keyed(Method::POST, "/v1/tenants", OPERATOR, "k", &body).await.expect(201);
    let again = world.keyed(Method::POST, "/v1/tenants", OPERATOR, "k", &body).await;
    assert!(replayed(&again));
    assert_eq!(again.expect(201), made, "with the same admin key, which works");
    let purpose = json!({"title": "News", "legal_basis": "consent", "channels": []});
    let theirs = made["admin_key"].as_str().unwrap();
    let other = world.key(&["admin"]).await;
    for key in [theirs, &world.admin, &other] {
        let put = world.keyed(Method::PUT, "/v1/purposes/news", key, "k", &purpose).await;
        assert!(!replayed(&put) && put.status < 300, "{}", put.text);
    }
    let bad = world.keyed(Method::POST, "/v1/keys", "cdp_live_admin_x", "k", &json!({})).await;
    assert!(!replayed(&bad));
    bad.problem(401, "invalid_key");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_told_apart_by_their_own_ids() {
    let world = World::new().await;
    for n in 0..2 {
        let answered = world.keyed_post("/v1/events", "k", &event(&n.to_string())).await;
        assert!(!replayed(&answered));
        assert_eq!(answered.expect(202)["accepted"], 1);
    }
    let long = "k".repeat(256);
    world.keyed_post("/v1/keys", &long, &json!({})).await.problem(400, "invalid_parameter");
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_at_once_are_one() {
    let world = std::sync::Arc::new(World::new().await);
    let body = json!({"name": "till", "scopes": ["ingest"]});
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (world, body) = (world.clone(), body.clone());
        asking.spawn(async move {
            loop {
                let answered = world.keyed_post("/v1/keys", "storm", &body).await;
                if answered.status != 409 {
                    return answered.expect(201)["key"].as_str().unwrap().to_owned();
                }
                assert_eq!(answered.headers[header::RETRY_AFTER], "1");
                answered.problem(409, "idempotency_running");
            }
        });
    }
    let mut keys = asking.join_all().await;
    keys.dedup();
    assert_eq!(keys.len(), 1, "{keys:?}");
}
