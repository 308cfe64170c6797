//! Requests that are sent twice, over restarts of all kinds.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::files::holding;
use crate::harness::{Client, Server, until};

fn keyed(client: &Client, method: &str, path: &str, key: &str, body: &Value) -> crate::harness::http::Answer {
    client.call_with(method, path, &[("idempotency-key", key)], body)
}

#[test]
fn an_answer_is_there_after_kill_9_and_the_secret_in_it_is_sealed() {
    let mut server = Server::fresh();
    let mut tenant = server.tenant("shop");
    let body = json!({"name": "till", "scopes": ["read"]});
    let made = keyed(&tenant, "POST", "/v1/keys", "make-it-once", &body).expect_status(201);
    for round in 0..3 {
        match round {
            0 => server.kill_and_restart(),
            1 => {
                server.terminate();
                server.restart();
            }
            _ => {}
        }
        tenant = tenant.at(&server.url);
        let again = keyed(&tenant, "POST", "/v1/keys", "make-it-once", &body);
        assert_eq!(again.headers.get("idempotent-replayed").unwrap(), "true");
        assert_eq!(again.expect_status(201), made);
        keyed(&tenant, "POST", "/v1/keys", "make-it-once", &json!({})).expect_problem(422);
    }
    let key = made["key"].as_str().unwrap();
    tenant.with_key(key).get("/v1/segments").expect_status(200);
    let found = holding(&server.data_dir, key.as_bytes());
    assert!(found.is_empty(), "no file holds the key: {found:?}");
    let keys = tenant.get("/v1/keys").expect_status(200);
    assert_eq!(keys["items"].as_array().unwrap().len(), 2, "the admin key and one other: {keys}");
    server.finish();
}

#[test]
fn a_request_that_a_crash_interrupts_is_never_carried_out_twice() {
    let mut server = Server::fresh();
    let mut tenant = server.tenant("shop");
    let (mut answered, mut unknown) = (0, 0);
    for round in 0..12 {
        let (name, client) = (format!("r{round}"), tenant.clone());
        let body = json!({"name": name, "scopes": ["read"]});
        let sending = std::thread::spawn({
            let body = body.clone();
            move || {
                client
                    .try_call_with("POST", "/v1/keys", &[("idempotency-key", &format!("k{round}"))], &body)
                    .ok()
            }
        });
        // A sleep on purpose: the moment of the kill is what varies.
        std::thread::sleep(Duration::from_micros(300 * round));
        server.kill_and_restart();
        tenant = tenant.at(&server.url);
        let first = sending.join().unwrap().filter(|answer| answer.status == 201).map(|answer| answer.json());
        let again = keyed(&tenant, "POST", "/v1/keys", &format!("k{round}"), &body);
        match again.status {
            201 => {
                answered += 1;
                if let Some(first) = first {
                    assert_eq!(again.json(), first, "the answer that was given");
                }
            }
            _ => {
                assert!(first.is_none(), "what was answered is remembered");
                assert_eq!(again.expect_problem(409)["code"], "idempotency_unknown");
                unknown += 1;
            }
        }
        let keys = tenant.get("/v1/keys?limit=1000").expect_status(200);
        let made =
            keys["items"].as_array().unwrap().iter().filter(|key| key["name"] == name.as_str()).count();
        assert!(made <= 1, "round {round}: made {made} times");
    }
    eprintln!("{answered} answered, {unknown} unknown");
    assert!(until(Duration::from_secs(30), || (tenant.get("/readyz").status == 200).then_some(())).is_some());
    server.finish();
}
