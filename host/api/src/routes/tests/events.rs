//! Events on their way in, and what reading shows of them.

use axum::body::Body;
use axum::extract::Request;
use http::{Method, header};
use serde_json::{Value, json};

use super::{World, event};

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_taken_applied_and_found_again() {
    let world = World::new().await;
    let mut one = event("1");
    one["traits"] = json!({"city": "Riga", "exact": 12345678901234567_u64});
    one["time"] = "2026-03-01T12:00:00Z".into();
    let answer = world.post("/v1/events?wait=applied", &one).await.expect(202);
    assert_eq!((answer["accepted"].as_u64(), answer["applied"].as_bool()), (Some(1), Some(true)), "{answer}");
    assert!(answer["position"].is_string() && answer["results"] == json!([]));
    let who = json!({"identifier": {"type": "customer_id", "value": "ann"}});
    let position = answer["position"].as_str().unwrap();
    let profile = world.post(&format!("/v1/profiles/lookup?min_position={position}"), &who).await.expect(200);
    assert_eq!(profile["identifiers"], json!([{"type": "customer_id", "value": "ann"}]));
    assert_eq!(profile["traits"]["city"]["value"], "Riga");
    assert_eq!(profile["traits"]["city"]["event_id"], "1");
    let id = profile["id"].as_str().unwrap();
    assert_eq!(world.get(&format!("/v1/profiles/{id}")).await.expect(200)["id"], profile["id"]);
    let timeline = world.get(&format!("/v1/profiles/{id}/events")).await.expect(200);
    assert_eq!(timeline["items"][0]["id"], "1", "{timeline}");
    assert_eq!(timeline["items"][0]["time"], "2026-03-01T12:00:00.000Z");
    let receipt = world.get("/v1/events/1").await.expect(200);
    assert_eq!(
        (receipt["status"].as_str(), receipt["profile_id"].as_str()),
        (Some("applied"), Some(id)),
        "{receipt}"
    );
    world.get("/v1/events/1?source=elsewhere").await.problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_event_is_answered_plainly() {
    let world = World::new().await;
    world.post("/v1/events", &event("1")).await.expect(202);
    let again = world.post("/v1/events", &event("1")).await.expect(202);
    assert_eq!((again["accepted"].as_u64(), again["duplicates"].as_u64()), (Some(0), Some(1)), "{again}");
    assert_eq!(again["results"][0]["status"], "duplicate");
    let mut other = event("1");
    other["properties"] = json!({"total": 1});
    world.post("/v1/events", &other).await.problem(409, "event_conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_with_bad_items_accepts_the_good_ones() {
    let world = World::new().await;
    world.post("/v1/events", &event("old")).await.expect(202);
    let mut other = event("old");
    other["properties"] = json!({"total": 1});
    let batch = json!([event("new"), event("old"), other, {"id": "", "type": 7}, "no object", event("new")]);
    let answer = world.post("/v1/events", &batch).await.expect(202);
    let count = |name: &str| answer[name].as_u64().unwrap();
    assert_eq!((count("accepted"), count("duplicates"), count("rejected")), (1, 2, 3), "{answer}");
    let told: Vec<_> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["index"].as_u64().unwrap(), one["status"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [(1, "duplicate"), (2, "conflict"), (3, "invalid"), (4, "invalid"), (5, "duplicate")]);
    let all = world.post("/v1/events?results=all", &json!({"events": [event("n2"), {}]})).await.expect(202);
    assert_eq!(
        (all["results"][0]["status"].as_str(), all["results"][1]["status"].as_str()),
        (Some("accepted"), Some("invalid"))
    );
    let strict = world
        .post("/v1/events?strict=true", &json!([event("n3"), {}]))
        .await
        .problem(422, "nothing_accepted");
    assert_eq!(
        (strict["results"][0]["status"].as_str(), strict["results"][1]["status"].as_str()),
        (Some("not_attempted"), Some("invalid")),
        "{strict}"
    );
    assert_eq!(world.post("/v1/events", &event("n3")).await.expect(202)["accepted"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_and_gzip_are_taken_and_a_bad_line_costs_only_itself() {
    use std::io::Write as _;
    let world = World::new().await;
    let lines = format!("{}\n{{bad\n\n{}\n", event("1"), event("2"));
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(lines.as_bytes()).unwrap();
    let request = Request::post("/v1/events")
        .header(header::AUTHORIZATION, format!("Bearer {}", world.admin))
        .header(header::CONTENT_TYPE, "application/x-ndjson")
        .header(header::CONTENT_ENCODING, "gzip")
        .body(Body::from(encoder.finish().unwrap()))
        .unwrap();
    let answer = world.request(request).await.expect(202);
    assert_eq!((answer["accepted"].as_u64(), answer["rejected"].as_u64()), (Some(2), Some(1)), "{answer}");
    assert_eq!(answer["results"][0]["index"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_event_is_one_event_in_all_three_modes() {
    let world = World::new().await;
    let data = json!({"identifiers": [{"type": "customer_id", "value": "ann"}], "traits": {"city": "Riga"}, "total": "4.20"});
    let whole = json!({"specversion": "1.0", "id": "ce 1", "source": "/pos/3", "type": "purchase",
                       "time": "2026-03-01T12:00:00Z", "data": data});
    let binary = Request::post("/v1/events?wait=applied")
        .header(header::AUTHORIZATION, format!("Bearer {}", world.admin))
        .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
        .header("ce-specversion", "1.0")
        .header("ce-id", "ce%201")
        .header("ce-source", "/pos/3")
        .header("ce-type", "purchase")
        .header("ce-time", "2026-03-01T12:00:00Z")
        .body(Body::from(data.to_string()))
        .unwrap();
    assert_eq!(world.request(binary).await.expect(202)["accepted"], 1);
    let structured =
        world.raw("/v1/events", "application/cloudevents+json", whole.to_string()).await.expect(202);
    assert_eq!(structured["duplicates"], 1, "{structured}");
    let mut other = whole.clone();
    other["data"]["total"] = "4.21".into();
    world
        .raw("/v1/events", "application/cloudevents+json", other.to_string())
        .await
        .problem(409, "event_conflict");
    let mut bad = whole.clone();
    bad["id"] = "ce-2".into();
    bad["data"]["identifiers"] = json!([{"type": "email", "value": "nobody"}]);
    let batch = json!([whole, bad, 7]).to_string();
    let answer = world.raw("/v1/events", "application/cloudevents-batch+json", batch).await.expect(202);
    assert_eq!((answer["duplicates"].as_u64(), answer["rejected"].as_u64()), (Some(1), Some(2)), "{answer}");
    assert_eq!(super::pointers(&answer["results"][1]["problem"]), ["/data/identifiers/0/value"]);
    let who = json!({"identifier": {"type": "customer_id", "value": "ann"}});
    let profile = world.post("/v1/profiles/lookup", &who).await.expect(200);
    assert_eq!(profile["traits"]["city"]["value"], "Riga");
    assert_eq!(world.get("/v1/events/ce%201?source=/pos/3").await.expect(200)["status"], "applied");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_nested_too_deep_are_refused_by_themselves() {
    let world = World::new().await;
    let mut deep = event("deep");
    deep["properties"] = (0..31).fold(json!({}), |inner, _| json!({"a": inner}));
    world.post("/v1/events", &deep).await.problem(422, "invalid");
    let answer = world.post("/v1/events", &json!([deep, event("1")])).await.expect(202);
    assert_eq!((answer["accepted"].as_u64(), answer["rejected"].as_u64()), (Some(1), Some(1)), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_do_not_see_each_other() {
    let world = World::new().await;
    let body = json!({"slug": "other", "name": "Other"});
    let made = world.send(Method::POST, "/v1/tenants", super::OPERATOR, &body).await.expect(201);
    let theirs = made["admin_key"].as_str().unwrap();
    world.post("/v1/events?wait=applied", &event("1")).await.expect(202);
    let who = json!({"identifier": {"type": "customer_id", "value": "ann"}});
    world.send(Method::POST, "/v1/profiles/lookup", theirs, &who).await.problem(404, "not_found");
    world.send(Method::GET, "/v1/events/1", theirs, &Value::Null).await.problem(404, "not_found");
    let answer = world.send(Method::POST, "/v1/events", theirs, &event("1")).await.expect(202);
    assert_eq!(answer["accepted"], 1, "an id is one's own");
}
