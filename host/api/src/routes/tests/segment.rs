//! What analytics SDKs send and expect.

use axum::body::Body;
use axum::extract::Request;
use http::header;
use serde_json::{Value, json};

use super::World;

fn batch(key: Option<&str>) -> Value {
    let mut batch = json!({"batch": [
        {"type": "identify", "messageId": "m1", "userId": "u1", "anonymousId": null, "traits": {"email": "U1@example.com", "plan": "pro"}},
        {"type": "track", "messageId": "m2", "userId": "u1", "event": "Signed Up", "timestamp": "2026-03-01T00:00:01.000+00:00"},
        {"type": "track", "messageId": "m3"},
    ], "sentAt": "2026-03-01T00:00:02Z"});
    if let Some(key) = key {
        batch["writeKey"] = key.into();
    }
    batch
}

fn post(path: &str, kind: &str, body: &Value) -> Request {
    Request::post(path).header(header::CONTENT_TYPE, kind).body(Body::from(body.to_string())).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_with_the_key_in_its_body_is_taken_and_a_bad_message_costs_only_itself() {
    let world = World::new().await;
    let key = world.key(&["ingest"]).await;
    let answer =
        world.request(post("/v1/batch?wait=applied", "text/plain", &batch(Some(&key)))).await.expect(200);
    assert_eq!(
        (answer["success"].as_bool(), answer["accepted"].as_u64(), answer["rejected"].as_u64()),
        (Some(true), Some(2), Some(1)),
        "{answer}"
    );
    let statuses: Vec<_> =
        answer["results"].as_array().unwrap().iter().map(|one| one["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["accepted", "accepted", "invalid"]);
    let mut again = batch(Some(&key));
    again["sentAt"] = "2026-03-01T00:05:00Z".into();
    let repeated = world.request(post("/v1/batch", "application/json", &again)).await.expect(200);
    assert_eq!(
        (repeated["accepted"].as_u64(), repeated["duplicates"].as_u64()),
        (Some(0), Some(2)),
        "{repeated}"
    );
    let who = json!({"identifier": {"type": "email", "value": "u1@example.com"}});
    let profile = world.post("/v1/profiles/lookup", &who).await.expect(200);
    assert_eq!(profile["traits"]["plan"]["value"], "pro", "{profile}");
    assert_eq!(profile["channels"][0]["address"], "u1@example.com");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_or_with_a_wrong_one_nothing_is_taken() {
    let world = World::new().await;
    world.request(post("/v1/batch", "application/json", &batch(None))).await.problem(401, "missing_key");
    world
        .request(post("/v1/batch", "application/json", &batch(Some("wk"))))
        .await
        .problem(401, "invalid_key");
    let read = world.key(&["read"]).await;
    world
        .request(post("/v1/batch", "application/json", &batch(Some(&read))))
        .await
        .problem(403, "missing_scope");
}

#[tokio::test(flavor = "multi_thread")]
async fn single_calls_and_their_short_names_are_the_same_message() {
    let world = World::new().await;
    let message = json!({"messageId": "m", "userId": "u", "event": "Seen", "writeKey": world.admin});
    let first = world.request(post("/v1/track", "application/json", &message)).await.expect(200);
    let again = world.request(post("/v1/t", "application/json", &message)).await.expect(200);
    assert_eq!((first["accepted"].as_u64(), again["duplicates"].as_u64()), (Some(1), Some(1)), "{again}");
    let invalid = world
        .request(post("/v1/track", "application/json", &json!({"writeKey": world.admin})))
        .await
        .expect(200);
    assert_eq!((invalid["success"].as_bool(), invalid["rejected"].as_u64()), (Some(true), Some(1)));
    let large = json!({"event": "x".repeat(33 * 1024), "userId": "u", "writeKey": world.admin});
    world.request(post("/v1/track", "application/json", &large)).await.problem(413, "event_too_large");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_message_is_told_where_it_stands_in_the_message() {
    let world = World::new().await;
    let long = "x".repeat(600);
    let batch = json!({"batch": [
        {"type": "track", "event": "e", "userId": long, "messageId": "1"},
        {"type": "track", "event": "x".repeat(300), "userId": "u", "messageId": long},
        {"type": "track", "event": "e", "userId": "u", "messageId": "2",
         "context": {"externalIds": [{"type": "phone", "id": "555"}, {"type": "card", "id": long}]}},
        {"type": "track", "event": "e", "messageId": "3"},
        {"type": "group", "userId": "u", "messageId": "4"},
        {"type": "track", "event": "e", "userId": {"a": 1}, "messageId": "5"},
    ]});
    let answer = world.post("/v1/batch", &batch).await.expect(200);
    let places: Vec<Vec<&str>> =
        answer["results"].as_array().unwrap().iter().map(|one| super::pointers(&one["problem"])).collect();
    let wanted: [&[&str]; 6] = [
        &["/userId"],
        &["/messageId", "/event"],
        &["/context/externalIds/1/id"],
        &["/userId"],
        &["/groupId"],
        &["/userId"],
    ];
    assert_eq!(places, wanted, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_batch_says_for_all_holds_where_a_message_says_nothing() {
    let world = World::new().await;
    let batch = json!({"context": {"ip": "::1", "traits": {"email": "ann@example.com"}}, "integrations": {"All": false}, "batch": [
        {"type": "track", "event": "e", "userId": "u", "messageId": "1"},
        {"type": "track", "event": "e", "userId": "u", "messageId": "2", "context": {"ip": "::2"}},
    ]});
    assert_eq!(world.post("/v1/batch?wait=applied", &batch).await.expect(200)["accepted"], 2);
    let who = json!({"identifier": {"type": "email", "value": "ann@example.com"}});
    let profile = world.post("/v1/profiles/lookup", &who).await.expect(200);
    let events =
        world.get(&format!("/v1/profiles/{}/events", profile["id"].as_str().unwrap())).await.expect(200);
    let text = events.to_string();
    assert!(text.contains(r#""ip":"::1""#) && text.contains(r#""ip":"::2""#), "{text}");
    assert_eq!(text.matches(r#""All":false"#).count(), 2, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_correction_of_a_clock_is_fixed_at_first_and_stands_in_the_receipt() {
    let world = World::new().await;
    let batch = |sent_at: &str| {
        json!({"sentAt": sent_at, "batch": [
            {"type": "page", "userId": "u", "messageId": "1", "timestamp": "2024-03-01T09:00:00.000Z"}]})
    };
    assert_eq!(
        world.post("/v1/batch?wait=applied", &batch("2024-03-01T09:00:10Z")).await.expect(200)["accepted"],
        1
    );
    let receipt = world.get("/v1/events/1").await.expect(200);
    let stages = receipt["stages"].as_array().unwrap();
    let judged = stages.iter().find(|stage| stage["stage"] == "clock_judged").unwrap();
    assert_eq!(judged["original_time"], "2024-03-01T09:00:00.000Z");
    assert_eq!(judged["sent_at"], "2024-03-01T09:00:10.000Z");
    assert!(judged["skew_ms"].as_i64().unwrap() > 365 * 86_400_000, "{receipt}");
    assert_eq!(world.post("/v1/batch", &batch("2024-03-02T09:00:10Z")).await.expect(200)["duplicates"], 1);
    assert_eq!(world.get("/v1/events/1").await.expect(200)["stages"][1], *judged);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_origins_may_send_and_nothing_else() {
    let world = World::new().await;
    let preflight = |path: &str| {
        let request = Request::options(path).header(header::ORIGIN, "https://shop.example");
        let request = request.header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST");
        request
            .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization,x-own")
            .body(Body::empty())
            .unwrap()
    };
    let answered = world.request(preflight("/v1/t")).await;
    assert_eq!(answered.status, 204);
    assert_eq!(answered.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://shop.example");
    assert_eq!(answered.headers[header::ACCESS_CONTROL_ALLOW_HEADERS], "authorization,x-own");
    assert!(
        answered.headers[header::ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap().contains("Retry-After")
    );
    let closed = world.request(preflight("/v1/keys")).await;
    assert!(!closed.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) && closed.status == 204);
    let settings = world.get(&format!("/v1/projects/{}/settings", world.admin)).await.expect(200);
    assert_eq!(settings["integrations"]["Segment.io"]["apiKey"], world.admin.as_str());
    world.get("/v1/projects/nobody/settings").await.problem(404, "not_found");
}
