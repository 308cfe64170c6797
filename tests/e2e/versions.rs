//! The life of a plugin's versions: tried on a share of the events, in an order, and only of makers who are trusted; the
//! same in receipts and in a rebuild.

use std::time::Duration;

use serde_json::{Value, json};

use crate::crash::verify_store;
use crate::guests::activate;
use crate::harness::{CDP, Server, Tenant, guest, run_to_end, until};

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

#[test]
fn transformers_take_their_turns_in_the_order_that_was_in_force() {
    let mut server = Server::fresh();
    let tenant = server.tenant("shop");
    activate(&tenant, "first", &guest("country_code.wasm"), &json!({}));
    activate(&tenant, "second", &guest("misbehave.wasm"), &json!({"do": "echo"}));
    let names = |answer: Value| answer["names"].clone();
    assert_eq!(names(tenant.get("/v1/plugin-order").ok()), json!(["first", "second"]));
    let put = |names: Value| tenant.put("/v1/plugin-order", &json!({ "names": names }));
    for (given, pointer) in [
        (json!(["first"]), "/names"),
        (json!(["first", "second", "third"]), "/names/2"),
        (json!(["first", "second", "first"]), "/names/2"),
        (json!("first"), "/names"),
    ] {
        assert_eq!(put(given).expect_problem(422)["errors"][0]["pointer"], pointer);
    }
    let turns = |tenant: &Tenant, round: usize| -> Vec<String> {
        let receipt = tenant.get(&format!("/v1/events/0-{round}?source=till")).ok();
        let stages = receipt["stages"].as_array().unwrap().iter();
        stages.filter_map(|stage| stage["plugin"].as_str().map(str::to_owned)).collect()
    };
    tenant.post("/v1/events?wait=applied", &event(0, 0)).ok();
    assert_eq!(names(put(json!(["second", "first"])).ok()), json!(["second", "first"]));
    tenant.post("/v1/events?wait=applied", &event(0, 1)).ok();
    server.terminate();
    verify_store(&server);
    server.restart();
    let tenant = tenant.at(&server.url);
    assert_eq!(turns(&tenant, 0), ["first", "second"]);
    assert_eq!(turns(&tenant, 1), ["second", "first"]);
    assert_eq!(names(tenant.get("/v1/plugin-order").ok()), json!(["second", "first"]));
    server.finish();
}

#[test]
fn only_what_a_trusted_maker_signed_is_taken_where_that_is_asked_for() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let cdp = |arguments: &[&str]| {
        let mut command = std::process::Command::new(CDP);
        command.arg("plugin").args(arguments).env("CDP_URL", tenant.url()).env("CDP_API_KEY", tenant.key());
        run_to_end(command, Duration::from_secs(60))
    };
    let keygen = |name: &str| {
        let made = cdp(&["keygen", &path(name)]);
        assert_eq!(made.code, Some(0), "{}", made.stderr);
        made.stdout.trim().to_owned()
    };
    let (maker, other) = (keygen("maker.key"), keygen("other.key"));
    assert_eq!(cdp(&["keygen", &path("maker.key")]).code, Some(5), "no key is written over");
    let trust = |keys: Value| tenant.put("/v1/plugin-trust", &json!({"keys": keys, "required": true}));
    for (keys, pointer) in [
        (json!([]), "/keys"),
        (json!([{"name": "maker", "key": "abc"}]), "/keys/0/key"),
        (json!([{"name": "a", "key": maker}, {"name": "b", "key": maker}]), "/keys/1/key"),
        (json!(["maker"]), "/keys/0"),
    ] {
        assert_eq!(trust(keys).expect_problem(422)["errors"][0]["pointer"], pointer);
    }
    let most = tenant.get("/v1/limits").ok()["plugin_trusted_keys_max"].as_u64().unwrap();
    let many = |n: u64| (0..n).map(|n| json!({"name": "k", "key": format!("{n:064x}")})).collect::<Vec<_>>();
    trust(json!(many(most))).ok();
    assert_eq!(trust(json!(many(most + 1))).expect_problem(422)["errors"][0]["pointer"], "/keys");
    trust(json!([{"name": "maker", "key": maker}])).ok();

    let component = path("country_code.wasm");
    std::fs::write(&component, guest("country_code.wasm")).unwrap();
    let push = || cdp(&["push", &component, "-o", "json"]);
    assert_eq!(push().code, Some(7), "it is not signed");
    assert_eq!(cdp(&["sign", &component, "--signing-key", &path("other.key")]).code, Some(0));
    assert_eq!(push().code, Some(7), "nobody trusts who signed it");
    assert_eq!(cdp(&["sign", &component, "--signing-key", &path("maker.key")]).code, Some(0));
    let pushed = push();
    assert_eq!(pushed.code, Some(0), "{}", pushed.stderr);
    let name = tenant.get("/v1/plugins").ok()["items"][0]["name"].as_str().unwrap().to_owned();
    let seen = tenant.get(&format!("/v1/plugins/{name}")).ok();
    assert_eq!(seen["versions"][0]["signed_by"], maker.as_str(), "{seen}");
    let activate = || {
        let grants = &seen["versions"][0]["requests"];
        tenant.post(&format!("/v1/plugins/{name}/versions/1/activate"), &json!({ "grants": grants }))
    };
    // Who is trusted may change; what was signed by another is not activated then.
    trust(json!([{"name": "other", "key": other}])).ok();
    activate().expect_problem(409);
    tenant.put("/v1/plugin-trust", &json!({"keys": [{"name": "maker", "key": maker}]})).ok();
    activate().ok();
    server.finish();
}
