//! Many clients that send the same events at the same time.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::harness::http::attribute;
use crate::harness::random::Random;
use crate::harness::{Server, Tenant};

const CLIENTS: usize = 64;
const IDS: usize = 10_000;
const TIMES: usize = 8;
/// Events of one request.
const EACH: usize = 20;

fn event(n: usize, total: usize) -> Value {
    json!({"id": format!("storm-{n}"), "source": "till", "type": "purchase", "time": "2026-03-01T12:00:00Z",
           "identifiers": [{"type": "customer_id", "value": format!("c{}", n % 100)}], "properties": {"total": total}})
}

/// Sends requests from all clients at once; gives the sums of accepted, duplicates, and of events with this status.
fn send(tenant: &Tenant, requests: &[Vec<Value>], status: &str) -> (u64, u64, u64) {
    let next = AtomicUsize::new(0);
    let [accepted, duplicates, others] = [(); 3].map(|()| AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let client = tenant.at_same();
                while let Some(events) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let answer = client.post_patiently("/v1/events", &json!(events)).expect_status(202);
                    accepted.fetch_add(answer["accepted"].as_u64().unwrap(), Ordering::Relaxed);
                    duplicates.fetch_add(answer["duplicates"].as_u64().unwrap(), Ordering::Relaxed);
                    let results = answer["results"].as_array().unwrap();
                    let count = results.iter().filter(|result| result["status"] == status).count();
                    others.fetch_add(count as u64, Ordering::Relaxed);
                }
            });
        }
    });
    [accepted, duplicates, others].map(AtomicU64::into_inner).into()
}

#[test]
fn ten_thousand_ids_sent_eight_times_by_64_clients_count_once_and_every_mutation_is_a_conflict() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    tenant.define("/v1/attributes/orders", &json!({"kind": "count", "event": "purchase"}));
    tenant.define("/v1/attributes/spend", &json!({"kind": "sum", "event": "purchase", "property": "/total"}));
    let mut all: Vec<usize> = (0..IDS).cycle().take(IDS * TIMES).collect();
    Random::seeded(7).shuffle(&mut all);
    let requests: Vec<Vec<Value>> =
        all.chunks(EACH).map(|chunk| chunk.iter().map(|&n| event(n, 1)).collect()).collect();
    let (accepted, duplicates, rejected) = send(&tenant, &requests, "conflict");
    assert_eq!((accepted, duplicates, rejected), (IDS as u64, (IDS * (TIMES - 1)) as u64, 0));

    // One field of each differs.
    let mutated = |n: usize| {
        let mut event = event(n, 1);
        match n % 5 {
            0 => event["properties"]["total"] = json!(2),
            1 => event["type"] = json!("refund"),
            2 => event["time"] = json!("2026-03-01T12:00:00.001Z"),
            3 => event["identifiers"][0]["value"] = json!("somebody"),
            _ => event["properties"]["more"] = Value::Null,
        }
        event
    };
    let all: Vec<usize> = (0..IDS).collect();
    let requests: Vec<Vec<Value>> =
        all.chunks(100).map(|chunk| chunk.iter().map(|&n| mutated(n)).collect()).collect();
    assert_eq!(send(&tenant, &requests, "conflict"), (0, 0, IDS as u64));
    // Spelt otherwise, the same event is the same.
    let again: Vec<Vec<Value>> = vec![(0..100).map(|n| event(n, 1)).collect()];
    assert_eq!(send(&tenant, &again, "duplicate"), (0, 100, 100));
    let spelt = r#"[{"time":"2026-03-01T12:00:00Z","type":"purchase","properties":{"total":1.0e0},
        "source":"till","identifiers":[{"value":"c0","type":"customer_id"}], "id":"storm-0"}]"#;
    let answer = tenant.post_bytes("/v1/events?wait=applied", "application/json", spelt.as_bytes());
    assert_eq!(answer.expect_status(202)["duplicates"], 1);
    for customer in [0, 42, 99] {
        let profile = tenant.profile("customer_id", &format!("c{customer}"));
        assert_eq!(
            (attribute(&profile, "orders"), attribute(&profile, "spend")),
            ("100".into(), "100".into())
        );
    }
    server.finish();
}
