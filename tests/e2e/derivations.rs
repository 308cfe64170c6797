//! A derivation's life: defined, compared, upgraded under load, rolled back, and rebuilt to the byte.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::crash::verify_store;
use crate::guests::activate;
use crate::harness::http::attribute;
use crate::harness::{Server, Tenant, guest, root, send_all, unpack, until};

/// Nothing that is waited for takes longer.
const LONGEST: Duration = Duration::from_secs(120);

const CUSTOMERS: u64 = 200;

fn order(number: u64, customer: u64) -> Value {
    json!({"id": format!("o-{number}"), "type": "Order Completed",
           "identifiers": [{"type": "customer_id", "value": customer.to_string()}],
           "properties": {"revenue": "1.5"}})
}

/// `rfm` with another name for orders: a version that derives otherwise.
fn other_rfm() -> Vec<u8> {
    let (from, to) = (b"Order Completed", b"Order Cancelled");
    let mut component = guest("rfm.wasm");
    for at in 0..component.len() - from.len() {
        if &component[at..at + from.len()] == from {
            component[at..at + to.len()].copy_from_slice(to);
        }
    }
    component
}

fn frequency(tenant: &Tenant, customer: u64) -> (String, String) {
    let profile = tenant.profile("customer_id", &customer.to_string());
    let by = profile["attributes"]["frequency"]["computed_by"].as_str().unwrap_or_default().to_owned();
    (attribute(&profile, "frequency"), by)
}

#[test]
fn a_derivation_is_upgraded_under_load_rolled_back_at_once_and_rebuilt_to_the_byte() {
    let mut server = Server::fresh();
    let tenant = server.tenant("shop");
    activate(&tenant, "rfm", &guest("rfm.wasm"), &json!({}));
    tenant.define("/v1/attributes/frequency", &json!({"plugin": "rfm", "output": "frequency"}));
    tenant.define("/v1/attributes/orders", &json!({"kind": "count", "event": "Order Completed"}));
    let rule = json!({"attribute": "frequency", "op": "gte", "value": 3});
    tenant.define("/v1/segments/frequent", &json!({"title": "Three orders or more", "rule": rule}));
    let events: Vec<Value> = (0..CUSTOMERS * 3).map(|n| order(n, n % CUSTOMERS)).collect();
    send_all(&tenant, &events);
    let last = order(CUSTOMERS * 3, 0);
    tenant.post("/v1/events?wait=applied", &last).expect_status(202);
    assert_eq!(frequency(&tenant, 7).0, "3");
    assert_eq!(tenant.segment_size("frequent"), CUSTOMERS);

    let uploaded = tenant.post_bytes("/v1/plugins/rfm/versions", "application/wasm", &other_rfm()).ok();
    assert_eq!(uploaded["version"], 2, "{uploaded}");
    let held = |law: &str| {
        uploaded["laws"].as_array().unwrap().iter().any(|one| one["law"] == law && one["holds"] == true)
    };
    assert!(held("deterministic") && held("commutative") && held("mergeable"), "{uploaded}");

    let compared = tenant.post("/v1/plugins/rfm/versions/2/replay", &json!({"last": 300})).expect_status(202);
    let difference = tenant.finish_job(&compared).unwrap()["result"].clone();
    assert_eq!(
        (&difference["events"], &difference["compared"]),
        (&json!(300), &json!(CUSTOMERS)),
        "{difference}"
    );
    assert_eq!(
        (&difference["different"], &difference["same"]),
        (&json!(CUSTOMERS), &json!(0)),
        "{difference}"
    );
    let example = &difference["examples"][0];
    assert_eq!(example["candidate"]["frequency"], "0", "{example}");
    assert!(difference["candidate"]["fuel"].as_u64().unwrap() > 0, "{difference}");
    let same = tenant.post("/v1/plugins/rfm/versions/1/replay", &json!({"last": 300})).expect_status(202);
    let difference = tenant.finish_job(&same).unwrap()["result"].clone();
    assert_eq!(difference["different"], 0, "a version does not differ from itself: {difference}");

    let (over, sent) = (AtomicBool::new(false), AtomicU64::new(CUSTOMERS * 3 + 1));
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let from = sent.fetch_add(20, Ordering::Relaxed);
                // Customer 7 stays as it is, so that it shows the switch and nothing else.
                let batch: Vec<Value> = (from..from + 20).map(|n| order(n, 8 + n % 100)).collect();
                let answer = tenant.post("/v1/events", &json!({ "events": batch })).expect_status(202);
                assert_eq!(answer["accepted"], 20);
            }
        });
        let body = json!({"grants": uploaded["requests"], "config": {}});
        let path = "/v1/plugins/rfm/versions/2/activate";
        let answer = tenant.post(path, &body).expect_status(200);
        let job = json!({"job": answer["jobs"][0]});
        assert!(job["job"].is_string(), "{answer}");
        let switched = until(Duration::from_secs(60), || {
            let (value, by) = frequency(&tenant, 7);
            let old = by.starts_with("rfm@1/") && value == "3";
            let new = by.starts_with("rfm@2/") && value == "0";
            assert!(old || new, "the old version's value or the new one's, never a mixture: {value} by {by}");
            new.then_some(())
        });
        assert!(switched.is_some(), "{}", tenant.get("/v1/plugins/rfm").text());
        tenant.finish_job(&job);
        assert_eq!(tenant.segment_size("frequent"), 0, "segments turned with the version");

        let started = Instant::now();
        tenant.post("/v1/plugins/rfm/rollback", &json!({})).expect_status(200);
        let (value, by) = frequency(&tenant, 7);
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
        assert_eq!((value.as_str(), by.starts_with("rfm@1/")), ("3", true), "{by}");
        over.store(true, Ordering::Relaxed);
        load.join().unwrap();
    });
    let number = sent.load(Ordering::Relaxed);
    tenant.post("/v1/events?wait=applied", &order(number, 0)).expect_status(202);
    let all = |tenant: &Tenant| -> Vec<String> {
        (0..CUSTOMERS).map(|customer| frequency(tenant, customer).0).collect()
    };
    let before = all(&tenant);
    for customer in (0..CUSTOMERS).step_by(17) {
        let profile = tenant.profile("customer_id", &customer.to_string());
        assert_eq!(attribute(&profile, "frequency"), attribute(&profile, "orders"), "{profile}");
    }
    let plugin = tenant.get("/v1/plugins/rfm").expect_status(200);
    assert!(plugin["health"]["1"]["calls"].as_u64().unwrap() > 0, "{plugin}");
    assert_eq!(plugin["derivations"][0]["standby"], 2, "{plugin}");
    tenant.get("/v1/plugins/rfm/logs").expect_status(200);

    server.terminate();
    verify_store(&server);
    std::fs::remove_dir_all(server.data_dir.join("state")).unwrap();
    server.restart();
    let (tenant, anybody) = (tenant.at(&server.url), server.anonymous());
    let ready = until(Duration::from_secs(60), || (anybody.get("/readyz").status == 200).then_some(()));
    assert!(ready.is_some(), "{}", anybody.get("/readyz").text());
    // What came last is brought forward at the next instant, as it is while the server runs.
    let same = until(Duration::from_secs(30), || (all(&tenant) == before).then_some(()));
    assert!(same.is_some(), "{:?} is not {before:?}", all(&tenant));
    server.terminate();
    verify_store(&server);
    server.restart();
    server.finish();
}

#[test]
fn the_gift_shops_customers_are_worth_what_their_orders_and_refunds_say() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    activate(&tenant, "rfm", &guest("rfm.wasm"), &json!({}));
    let revenue = |event: &str| json!({"kind": "sum", "event": event, "property": "/revenue"});
    tenant.define("/v1/attributes/bought", &revenue("Order Completed"));
    tenant.define("/v1/attributes/refunded", &revenue("Order Refunded"));
    tenant.define("/v1/attributes/orders", &json!({"kind": "count", "event": "Order Completed"}));
    tenant.define("/v1/attributes/frequency", &json!({"plugin": "rfm", "output": "frequency"}));
    let text = unpack(&root().join("examples/retail/orders.ndjson.gz"));
    let orders: Vec<Value> = text
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    send_all(&tenant, &orders);
    // Built from the past, while the other followed event by event.
    tenant.define("/v1/attributes/monetary", &json!({"plugin": "rfm", "output": "monetary"}));
    let mut customers: Vec<String> =
        orders.iter().map(|order| order["identifiers"][0]["value"].as_str().unwrap().to_owned()).collect();
    customers.sort();
    customers.dedup();
    assert_eq!(customers.len(), 4372);
    let number = |text: String| text.parse::<rust_decimal::Decimal>().unwrap();
    for customer in customers.iter().step_by(11) {
        let profile = tenant.profile("customer_id", customer);
        let of = |name: &str| number(attribute(&profile, name));
        assert_eq!(of("monetary"), of("bought") - of("refunded"), "{profile}");
        assert_eq!(of("frequency"), of("orders"), "{profile}");
    }
    server.finish();
}

/// The same component with a section that says nothing: another version.
fn again(component: &[u8]) -> Vec<u8> {
    let mut again = component.to_vec();
    again.extend_from_slice(b"\0\x05\x04note");
    again
}

#[test]
fn a_newer_version_that_keeps_failing_gives_way_to_the_one_before_it() {
    let mut server = Server::fresh();
    let tenant = server.tenant("shop");
    let plugin = |tenant: &Tenant| tenant.get("/v1/plugins/fold").ok();
    let event = |n: u64, id: &str| {
        json!({"id": id, "source": format!("s{n}"), "type": "purchase", "time": "2026-03-01T12:00:00Z",
               "identifiers": [{"type": "customer_id", "value": "ann"}], "properties": {"total": "1"}})
    };
    let count = |tenant: &Tenant| attribute(&tenant.profile("customer_id", "ann"), "orders");
    let reaches = |tenant: &Tenant, want: &str| {
        until(LONGEST, || (count(tenant) == want).then_some(()))
            .unwrap_or_else(|| panic!("{}", count(tenant)));
    };
    activate(&tenant, "fold", &guest("misfold.wasm"), &json!({"do": "plain"}));
    tenant.define("/v1/attributes/orders", &json!({"plugin": "fold", "output": "count"}));
    tenant.post("/v1/events?wait=applied", &event(0, "good")).ok();
    reaches(&tenant, "1");
    activate(&tenant, "fold", &again(&guest("misfold.wasm")), &json!({"do": "trap:poison"}));
    until(LONGEST, || (plugin(&tenant)["derivations"][0]["version"] == 2).then_some(())).expect("it serves");
    for n in 1..=64 {
        tenant.post("/v1/events", &event(n, "poison")).ok();
    }
    let back = until(LONGEST, || Some(plugin(&tenant)).filter(|seen| seen["active"]["version"] == 1));
    let seen = back.unwrap_or_else(|| panic!("{}", plugin(&tenant)));
    assert_eq!((&seen["status"], &seen["rolled_back"]["version"]), (&json!("active"), &json!(2)), "{seen}");
    // Its predecessor was kept up to date all the while.
    reaches(&tenant, "65");
    server.terminate();
    verify_store(&server);
    server.restart();
    let tenant = tenant.at(&server.url);
    assert_eq!(plugin(&tenant)["rolled_back"]["version"], 2, "a restart knows it");
    reaches(&tenant, "65");
    server.finish();
}
