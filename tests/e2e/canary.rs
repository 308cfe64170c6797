//! A version that is tried on a share of the events: by their identifiers, the same in receipts and in a rebuild, and out
//! of the way when it keeps failing.

use std::time::Duration;

use serde_json::{Value, json};

use crate::crash::verify_store;
use crate::guests::activate;
use crate::harness::{Server, Tenant, guest, until};

fn event(who: usize, round: usize) -> Value {
    json!({"id": format!("{who}-{round}"), "source": "till", "type": "purchase", "time": format!("2026-03-01T12:0{round}:00Z"),
           "identifiers": [{"type": "customer_id", "value": format!("c-{who}")}],
           "properties": {"total": "1", "country": "EIRE"}, "traits": {"country": "EIRE"}})
}

fn try_out(tenant: &Tenant, config: &Value, share: &Value) -> crate::harness::http::Answer {
    let version = &tenant.get("/v1/plugins/change").ok()["versions"][1];
    let body = json!({"grants": version["requests"], "config": config, "share": share});
    tenant.post("/v1/plugins/change/versions/2/activate", &body)
}

fn which(tenant: &Tenant, who: usize, round: usize) -> u64 {
    let receipt = tenant.get(&format!("/v1/events/{who}-{round}?source=till")).ok();
    let stages: Vec<_> =
        receipt["stages"].as_array().unwrap().iter().filter(|stage| stage["plugin"] == "change").collect();
    assert_eq!(stages.len(), 1, "one of the two: {receipt}");
    stages[0]["version"].as_u64().unwrap()
}

#[test]
fn a_share_of_the_events_goes_through_the_version_that_is_tried() {
    let mut server = Server::fresh();
    let tenant = server.tenant("shop");
    let plugin = || tenant.get("/v1/plugins/change").ok();
    activate(&tenant, "change", &guest("country_code.wasm"), &json!({}));
    // Known, and not run yet.
    tenant.post_bytes("/v1/plugins/change/versions", "application/wasm", &guest("misbehave.wasm")).ok();
    let pointer = |share: Value| {
        let problem = try_out(&tenant, &json!({"do": "trap"}), &share).expect_problem(422);
        problem["errors"][0]["pointer"].clone()
    };
    for share in [json!(0), json!(101), json!("many"), json!(1.5)] {
        assert_eq!(pointer(share), "/share");
    }
    let seen = try_out(&tenant, &json!({"do": "trap"}), &json!(30)).ok();
    assert_eq!(
        (&seen["active"]["version"], &seen["canary"]["activation"]["version"], &seen["canary"]["share"]),
        (&json!(1), &json!(2), &json!(30)),
        "{seen}"
    );
    let count = 60;
    for round in 0..2 {
        let batch: Vec<_> = (0..count).map(|who| event(who, round)).collect();
        tenant.post("/v1/events?wait=applied", &json!({ "events": batch })).ok();
    }
    let tried: Vec<usize> = (0..count).filter(|who| which(&tenant, *who, 0) == 2).collect();
    assert!((5..=35).contains(&tried.len()), "about three in ten of {count}: {}", tried.len());
    for who in 0..count {
        assert_eq!(which(&tenant, who, 1) == 2, tried.contains(&who), "the same people every time");
        let code = |who: usize| {
            tenant.profile("customer_id", &format!("c-{who}"))["traits"]["country_code"]["value"].clone()
        };
        if !tried.contains(&who) {
            assert_eq!(code(who), "IE", "others notice nothing");
        }
    }
    let letters = tenant.get("/v1/events?status=dead_letter&limit=1000").ok();
    assert_eq!(
        letters["items"].as_array().unwrap().len(),
        2 * tried.len(),
        "what it fails on can be replayed"
    );

    // It keeps failing, and is tried no more; nobody has to look.
    for round in 2..8 {
        let batch: Vec<_> = (0..count).map(|who| event(who, round)).collect();
        tenant.post("/v1/events?wait=applied", &json!({ "events": batch })).ok();
    }
    let over = until(Duration::from_secs(30), || Some(plugin()).filter(|seen| seen["canary"].is_null()));
    let seen = over.unwrap_or_else(|| panic!("{}", plugin()));
    assert_eq!(
        (&seen["active"]["version"], &seen["rolled_back"]["version"]),
        (&json!(1), &json!(2)),
        "{seen}"
    );
    tenant.post("/v1/events?wait=applied", &event(900, 0)).ok();
    for who in [900, tried[0]] {
        tenant.post("/v1/events?wait=applied", &event(who, 9)).ok();
        assert_eq!(which(&tenant, who, 9), 1);
    }

    // Ended by hand; and taken over for good.
    try_out(&tenant, &json!({"do": "echo"}), &json!(50)).ok();
    let seen = tenant.post("/v1/plugins/change/rollback", &json!({})).ok();
    assert_eq!((&seen["active"]["version"], &seen["canary"]), (&json!(1), &Value::Null), "{seen}");
    try_out(&tenant, &json!({"do": "echo"}), &json!(1)).ok();
    let seen = try_out(&tenant, &json!({"do": "echo"}), &json!(100)).ok();
    assert_eq!((&seen["active"]["version"], &seen["canary"]), (&json!(2), &Value::Null), "{seen}");

    server.terminate();
    verify_store(&server);
    server.restart();
    let tenant = tenant.at(&server.url);
    assert_eq!(which(&tenant, tried[0], 1), 2, "a receipt says what ran then");
    server.finish();
}
