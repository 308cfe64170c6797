//! The whole table of hostile guests in three tenants at once, while a fourth goes about its work.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cdp_hostile::{Component, Expected, Hostile, corpus};
use serde_json::{Value, json};

use crate::harness::http::attribute;
use crate::harness::{Server, Tenant, guest, until};

/// Events that each hostile guest is asked about.
const EVENTS: u64 = 3;
/// Tenants that bring the whole table.
const HOSTILE_TENANTS: usize = 3;

#[test]
fn a_tenant_notices_nothing_of_the_whole_hostile_table_in_three_others() {
    let server = Server::fresh();
    let hostile: Vec<Tenant> = (0..HOSTILE_TENANTS).map(|n| server.tenant(&format!("hostile-{n}"))).collect();
    let calm = server.tenant("calm");
    calm.define("/v1/attributes/orders", &json!({"kind": "count", "event": "Order Completed"}));
    let table = corpus();
    let done = AtomicBool::new(false);
    let latencies = std::thread::scope(|scope| {
        let working = scope.spawn(|| work(&calm, &done));
        let brought: Vec<_> = hostile
            .iter()
            .enumerate()
            .map(|(at, tenant)| {
                let table = &table;
                // Each begins elsewhere, so that different guests meet.
                let start = at * table.len() / HOSTILE_TENANTS;
                scope.spawn(move || bring(tenant, table.iter().cycle().skip(start).take(table.len())))
            })
            .collect();
        let brought: Vec<_> = brought.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        let latencies = working.join().unwrap();
        brought.into_iter().for_each(Result::unwrap);
        latencies
    });
    let orders = attribute(&calm.profile("customer_id", "ann"), "orders");
    assert_eq!(orders, latencies.len().to_string(), "every event of the calm tenant was accepted and counts");
    for tenant in &hostile {
        let told = tenant.get("/v1/accounting").expect_status(200);
        assert_eq!((&told["difference"], &told["pending"]), (&json!(0), &json!(0)), "{told}");
    }
    let p99 = latencies[(latencies.len() - 1) * 99 / 100];
    eprintln!("the calm tenant: {} events without an error, p99 {p99:?} (a debug build)", latencies.len());
    server.finish();
}

/// Sends one event after the other until told to stop; none may fail. Gives how long each took, sorted.
fn work(calm: &Tenant, done: &AtomicBool) -> Vec<Duration> {
    let mut latencies = Vec::new();
    while !done.load(Ordering::Relaxed) {
        let event = event(&format!("calm-{}", latencies.len()));
        let sent = Instant::now();
        assert_eq!(calm.post("/v1/events", &event).expect_status(202)["accepted"], 1);
        latencies.push(sent.elapsed());
    }
    latencies.sort_unstable();
    assert!(latencies.len() > 100, "{}", latencies.len());
    let applied = until(Duration::from_secs(120), || {
        (calm.get("/v1/accounting").expect_status(200)["pending"] == 0).then_some(())
    });
    assert!(applied.is_some(), "all of it is applied");
    latencies
}

fn event(id: &str) -> Value {
    json!({"id": id, "type": "Order Completed", "time": "2026-03-01T12:00:00Z",
           "identifiers": [{"type": "customer_id", "value": "ann"}], "properties": {"total": "1"}})
}

/// Uploads each guest, activates it, has it asked, and checks what came of it.
fn bring<'t>(tenant: &Tenant, table: impl Iterator<Item = &'t Hostile>) {
    let misbehave = guest("misbehave.wasm");
    for hostile in table {
        let name = &hostile.name;
        let component = match &hostile.component {
            Component::Bytes(bytes) => bytes,
            Component::Misbehave => &misbehave,
        };
        let uploaded =
            tenant.try_call("POST", "/v1/plugins/guest/versions", "application/wasm", Some(component));
        let uploaded = match uploaded {
            Ok(answer) => answer,
            // The server says that it is too large before it was sent.
            Err(_) if name == "huge-upload" => continue,
            Err(error) => panic!("{name}: {error}"),
        };
        if matches!(hostile.expected, Expected::Refused(_) | Expected::Unfit(_)) {
            assert!(matches!(uploaded.status, 413 | 422), "{name}: {}", uploaded.text());
            continue;
        }
        let uploaded = uploaded.ok();
        let (grants, version) = (&uploaded["requests"], &uploaded["version"]);
        let poisoned = format!("{name}-1");
        let config: Value = serde_json::from_str(&hostile.config.replace("e7", &poisoned)).unwrap();
        let activate = format!("/v1/plugins/guest/versions/{version}/activate");
        let activated = tenant.post(&activate, &json!({"grants": grants, "config": config}));
        if activated.status == 422 {
            // It could not even judge its configuration.
            assert!(name.starts_with("allocates-"), "{name}: {}", activated.text());
            continue;
        }
        activated.expect_status(200);
        let before = dead_letters(tenant);
        for n in 0..EVENTS {
            let sent = tenant.post_patiently("/v1/events", &event(&format!("{name}-{n}")));
            assert_eq!(sent.expect_status(202)["accepted"], 1, "{name}: ingest goes on");
        }
        let settled = until(Duration::from_secs(120), || {
            let told = tenant.get("/v1/accounting").expect_status(200);
            (told["pending"] == 0).then_some(())
        });
        assert!(settled.is_some(), "{name}: its events are judged");
        let expected = match hostile.expected {
            Expected::Fault(_) => EVENTS,
            Expected::Poison(_) => 1,
            _ => 0,
        };
        assert_eq!(dead_letters(tenant) - before, expected, "{name}");
    }
}

fn dead_letters(tenant: &Tenant) -> u64 {
    tenant.get("/v1/accounting").expect_status(200)["dead_letters"].as_u64().unwrap()
}
