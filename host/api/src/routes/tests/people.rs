//! What is told about people, and to which keys.

use http::Method;
use serde_json::{Value, json};

use super::{World, event};

async fn ended(world: &World, id: &str) {
    while matches!(
        world.get(&format!("/v1/jobs/{id}")).await.expect(200)["status"].as_str(),
        Some("queued" | "running")
    ) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_of_an_access_request_is_told_to_keys_that_may_ask_for_one() {
    let world = World::new().await;
    world.post("/v1/events?wait=applied", &event("e1")).await.expect(202);
    let who = json!({"identifier": {"type": "customer_id", "value": "ann"}});
    let started = world.post("/v1/access-requests", &who).await.expect(202);
    let id = started["job"].as_str().unwrap();
    ended(&world, id).await;

    let state = world.get(&format!("/v1/access-requests/{id}")).await.expect(200);
    assert_eq!((&state["status"], &state["document"]["events"]), (&json!("done"), &json!(1)), "{state}");
    assert!(!state.to_string().contains("\"ann\""), "{state}");
    let file = world.get(&format!("/v1/access-requests/{id}/document")).await;
    assert_eq!(file.headers["content-type"], "application/json");
    let disposition = file.headers["content-disposition"].to_str().unwrap().to_owned();
    assert_eq!(disposition, format!("attachment; filename=\"{id}.json\""));
    let document = file.expect(200);
    assert_eq!(document["events"][0]["event"]["id"], "e1", "{document}");
    assert_eq!(world.get(&format!("/v1/jobs/{id}")).await.expect(200)["result"], document);

    for scope in ["ingest", "read", "export"] {
        let key = world.key(&[scope]).await;
        let job = world.send(Method::GET, &format!("/v1/jobs/{id}"), &key, &Value::Null).await.expect(200);
        assert_eq!((&job["status"], &job["result"]), (&json!("done"), &Value::Null), "{scope}");
        let at = format!("/v1/access-requests/{id}/document");
        world.send(Method::GET, &at, &key, &Value::Null).await.problem(403, "missing_scope");
    }
    let list = world.get("/v1/jobs").await.expect(200);
    assert!(list["items"].as_array().unwrap().iter().all(|job| job["result"].is_null()), "{list}");
    // Both ways of reading it are written down.
    let log = world.get("/v1/audit?limit=1000").await.expect(200).to_string();
    for act in ["GET /v1/access-requests/{id}/document", "GET /v1/jobs/{id}"] {
        assert!(log.contains(act), "{act}: {log}");
    }
    world.get("/v1/access-requests/job_none").await.problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rules_would_remove_is_counted_and_stays() {
    let world = World::new().await;
    for (n, kind, time) in [
        (1, "view", "2020-01-01"),
        (2, "view", "2020-02-01"),
        (3, "buy", "2020-03-01"),
        (4, "view", "2999-01-01"),
    ] {
        let event = json!({"id": format!("e{n}"), "type": kind, "time": format!("{time}T00:00:00Z"),
            "identifiers": [{"type": "customer_id", "value": "ann"}]});
        world.post("/v1/events?wait=applied", &event).await;
    }
    let rules = json!({"rules": [{"type": "view", "days": 30, "derived": "decayed"},
        {"type": "*", "days": 36500, "derived": "frozen"}, {"type": "buy", "days": 1, "derived": "frozen"}]});
    let counting = world.put("/v1/retention?dry_run=true", &rules).await.expect(202);
    let id = counting["job"].as_str().unwrap();
    ended(&world, id).await;
    let result = world.get(&format!("/v1/jobs/{id}")).await.expect(200)["result"].clone();
    assert_eq!(result["events"], 3, "{result}");
    let wanted = json!([
        {"type": "*", "days": 36500, "derived": "frozen", "events": 0, "oldest": null},
        {"type": "buy", "days": 1, "derived": "frozen", "events": 1, "oldest": "2020-03-01T00:00:00.000Z"},
        {"type": "view", "days": 30, "derived": "decayed", "events": 2, "oldest": "2020-01-01T00:00:00.000Z"},
    ]);
    assert_eq!(result["rules"], wanted);
    assert_eq!(world.get("/v1/retention").await.expect(200)["rules"], json!([]), "nothing is changed");
    world.get(&format!("/v1/access-requests/{id}")).await.problem(404, "not_found");
    let bad = json!({"rules": [{"type": "view", "days": 0, "derived": "decayed"}]});
    let problem = world.put("/v1/retention?dry_run=true", &bad).await.problem(422, "invalid");
    assert_eq!(super::pointers(&problem), ["/rules/0/days"]);
    world.put("/v1/retention?dry_run=maybe", &rules).await.problem(400, "invalid_parameter");
}
