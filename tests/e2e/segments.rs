//! Attributes and segments over the wire: exact in time, through kills, in every zone; and what is refused, and where.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::http::attribute;
use crate::harness::{Server, Tenant, send_all, until};

const DAY_MS: i64 = 86_400_000;
const LONGEST: Duration = Duration::from_secs(60);

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).unwrap().to_string()
}

fn buy(id: &str, who: &str, at: &str, total: &str) -> Value {
    json!({
        "id": id, "source": "till", "type": "buy", "time": at,
        "identifiers": [{"type": "user_id", "value": who}],
        "properties": {"total": total, "currency": "EUR", "sku": "a"},
    })
}

/// "Spent more than 100 in the last 2 days."
fn define_spenders(tenant: &Tenant) {
    let spent = json!({"kind": "sum", "event": "buy", "property": "/total", "window": {"days": 2}});
    tenant.define("/v1/attributes/spent", &spent);
    let rule = json!({"attribute": "spent", "op": "gt", "value": 100});
    tenant.define("/v1/segments/spenders", &json!({ "rule": rule }));
}

fn all_changes(tenant: &Tenant, segment: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let page =
            tenant.get(&format!("/v1/segments/{segment}/changes?limit=1000{cursor}")).expect_status(200);
        all.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// Waits until a segment has this many members.
fn wait_size(tenant: &Tenant, segment: &str, size: u64) {
    let reached = until(LONGEST, || (tenant.segment_size(segment) == size).then_some(()));
    assert!(reached.is_some(), "{segment} has {} members, wanted {size}", tenant.segment_size(segment));
}

#[test]
fn a_member_leaves_within_a_second_of_the_instant_without_an_event() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    define_spenders(&tenant);
    let leaves = now_ms() + 3_000;
    send_all(&tenant, &[buy("1", "a", &time(leaves - 2 * DAY_MS), "100.01")]);
    assert_eq!(tenant.segment_size("spenders"), 1);
    wait_size(&tenant, "spenders", 0);
    let late = now_ms() - leaves;
    assert!((0..1_000).contains(&late), "seen {late} ms after the instant");
    let changes = all_changes(&tenant, "spenders");
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert_eq!((&changes[1]["change"], &changes[1]["cause"]), (&json!("left"), &json!("time")));
    let at: jiff::Timestamp = changes[1]["at"].as_str().unwrap().parse().unwrap();
    assert_eq!(at.as_millisecond(), leaves, "to the millisecond");
    server.finish();
}

#[test]
fn a_member_has_left_at_the_instant_although_the_server_was_dead_then() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::at(&dir.path().join("data"));
    let tenant = server.tenant("shop");
    define_spenders(&tenant);
    let leaves = now_ms() + 2_000;
    send_all(
        &tenant,
        &[buy("1", "a", &time(leaves - 2 * DAY_MS), "150"), buy("2", "b", &time(now_ms()), "150")],
    );
    assert_eq!(tenant.segment_size("spenders"), 2);
    server.kill();
    until(LONGEST, || (now_ms() > leaves).then_some(()));
    server.restart();
    let tenant = tenant.at(&server.url);
    until(LONGEST, || (tenant.get("/readyz").status == 200).then_some(()));
    let ready = now_ms();
    wait_size(&tenant, "spenders", 1);
    assert!(now_ms() - ready < 1_000, "it is caught up on within a second");
    let changes = all_changes(&tenant, "spenders");
    let last: jiff::Timestamp = changes.last().unwrap()["at"].as_str().unwrap().parse().unwrap();
    assert_eq!((changes.len(), last.as_millisecond()), (3, leaves), "{changes:?}");
    server.finish();
}

#[test]
fn killing_in_a_mass_expiry_and_in_a_backfill_leaves_no_gap_and_no_repeat() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::at(&dir.path().join("data"));
    let mut tenant = server.tenant("shop");
    define_spenders(&tenant);
    let (people, begins) = (1_500, now_ms() + 8_000);
    let events: Vec<Value> = (0..people)
        .map(|n| buy(&n.to_string(), &n.to_string(), &time(begins + n % 1_000 - 2 * DAY_MS), "101"))
        .collect();
    send_all(&tenant, &events);
    assert_eq!(tenant.segment_size("spenders"), people as u64);
    // A definition whose past is being built, and a segment upon it, when the first kill comes.
    let count = json!({"kind": "count", "event": "buy"});
    let first = tenant.put("/v1/attributes/bought", &count).ok();
    let did = json!({"did": {"event": "buy", "where": [{"property": "/sku", "op": "eq", "value": "a"}]}});
    let second = tenant.put("/v1/segments/buyers", &json!({ "rule": did })).ok();
    server.kill();
    server.restart();
    tenant = tenant.at(&server.url);
    until(LONGEST, || (tenant.get("/readyz").status == 200).then_some(()));
    for kill in 0..4 {
        let from = begins + kill * 250;
        until(LONGEST, || (now_ms() > from).then_some(()));
        server.kill();
        server.restart();
        tenant = tenant.at(&server.url);
        until(LONGEST, || (tenant.get("/readyz").status == 200).then_some(()));
    }
    wait_size(&tenant, "spenders", 0);
    let mut story: BTreeMap<String, Vec<(String, i64)>> = BTreeMap::new();
    let mut last = i64::MIN;
    for change in all_changes(&tenant, "spenders") {
        let at: jiff::Timestamp = change["at"].as_str().unwrap().parse().unwrap();
        assert!(at.as_millisecond() >= last, "in the order of time");
        last = at.as_millisecond();
        let of = story.entry(change["profile_id"].as_str().unwrap().to_owned()).or_default();
        of.push((change["change"].as_str().unwrap().to_owned(), at.as_millisecond()));
    }
    assert_eq!(story.len() as i64, people);
    for (who, turns) in &story {
        let words: Vec<&str> = turns.iter().map(|(word, _)| word.as_str()).collect();
        assert_eq!(words, ["entered", "left"], "{who}");
    }
    for answer in [first, second] {
        let built = until(LONGEST, || {
            let name = answer["name"].as_str().unwrap();
            let kind = if name == "bought" { "attributes" } else { "segments" };
            (tenant.get(&format!("/v1/{kind}/{name}")).json()["status"] == "active").then_some(())
        });
        assert!(built.is_some(), "{answer} is built after the kills");
    }
    assert_eq!(tenant.segment_size("buyers"), people as u64);
    assert_eq!(attribute(&tenant.profile("user_id", "7"), "bought"), "1");
    server.finish();
}

#[test]
fn bad_definitions_are_refused_with_the_place() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    tenant.define("/v1/attributes/n", &json!({"kind": "count", "event": "buy"}));
    tenant.define("/v1/attributes/twice", &json!({"expr": {"mul": [2, {"attribute": "n"}]}}));
    tenant.define("/v1/segments/some", &json!({"rule": {"attribute": "twice", "op": "gt", "value": 0}}));
    tenant.define("/v1/segments/upon", &json!({"rule": {"all": [{"segment": "some"}]}}));
    let rule = |rule: Value| json!({ "rule": rule });
    for (path, body, pointer) in [
        (
            "/v1/segments/some",
            rule(json!({"any": [{"trait": "a", "op": "exists"}, {"not": {"segment": "upon"}}]})),
            "/rule/any/1/not/segment",
        ),
        ("/v1/segments/self", rule(json!({"all": [{"segment": "self"}]})), "/rule/all/0/segment"),
        ("/v1/segments/x", rule(json!({"segment": "nobody"})), "/rule/segment"),
        (
            "/v1/segments/x",
            rule(json!({"all": [{"attribute": "nope", "op": "eq", "value": 1}]})),
            "/rule/all/0/attribute",
        ),
        ("/v1/segments/x", rule(json!({"attribute": "n", "op": "starts_with", "value": "a"})), "/rule/op"),
        ("/v1/segments/x", rule(json!({"attribute": "n", "op": "gt", "value": "many"})), "/rule/value"),
        (
            "/v1/segments/x",
            rule(json!({"trait": "a", "op": "matches", "value": "((a{100}){100}){100}"})),
            "/rule/value",
        ),
        ("/v1/segments/x", rule(json!({"trait": "a", "op": "matches", "value": "("})), "/rule/value"),
        (
            "/v1/segments/x",
            rule(json!({"did": {"event": "buy", "within": {"weeks": 2}}})),
            "/rule/did/within",
        ),
        ("/v1/attributes/n", json!({"expr": {"add": [1, {"attribute": "twice"}]}}), "/expr/add/1/attribute"),
        ("/v1/attributes/y", json!({"expr": {"floor": {"attribute": "gone"}}}), "/expr/floor/attribute"),
        ("/v1/attributes/y", json!({"kind": "sum", "event": "buy"}), "/property"),
    ] {
        let problem = tenant.put(path, &body).expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}: {problem}");
    }
    let problem = tenant.delete("/v1/attributes/n").expect_problem(409);
    assert!(problem["detail"].as_str().unwrap().contains("twice"), "{problem}");
    tenant.delete("/v1/segments/some").expect_problem(409);
    tenant.get("/v1/segments/some?as_of=2999-01-01T00:00:00Z").expect_problem(400);
    server.finish();
}

#[test]
fn days_are_those_of_the_tenants_zone_where_they_have_23_or_25_hours_too() {
    let server = Server::fresh();
    // An event, and per instant how many of it the day then and the day before hold: calendar_days 1 and 2.
    for (zone, event, instants) in [
        // New York, 2024-03-10: 23 hours. The event is at 00:30 local.
        (
            "America/New_York",
            "2024-03-10T05:30:00Z",
            &[
                ("2024-03-11T03:59:59.999Z", "1", "1"),
                ("2024-03-11T04:00:00Z", "0", "1"),
                ("2024-03-12T03:59:59.999Z", "0", "1"),
                ("2024-03-12T04:00:00Z", "0", "0"),
            ][..],
        ),
        // New York, 2024-11-03: 25 hours. The event is in the second 01:30.
        (
            "America/New_York",
            "2024-11-03T06:30:00Z",
            &[
                ("2024-11-04T04:59:59.999Z", "1", "1"),
                ("2024-11-04T05:00:00Z", "0", "1"),
                ("2024-11-05T05:00:00Z", "0", "0"),
            ],
        ),
        // São Paulo, 2018-11-04: the day began at 01:00.
        (
            "America/Sao_Paulo",
            "2018-11-04T02:59:59.999Z",
            &[("2018-11-04T02:59:59.999Z", "1", "1"), ("2018-11-04T03:00:00Z", "0", "1")],
        ),
        (
            "America/Sao_Paulo",
            "2018-11-04T03:00:00Z",
            &[("2018-11-05T01:59:59.999Z", "1", "1"), ("2018-11-05T02:00:00Z", "0", "1")],
        ),
        // Kolkata, five and a half hours ahead.
        (
            "Asia/Kolkata",
            "2024-06-01T18:29:59.999Z",
            &[("2024-06-01T18:29:59.999Z", "1", "1"), ("2024-06-01T18:30:00Z", "0", "1")],
        ),
    ]
    .into_iter()
    .enumerate()
    .map(|(n, (zone, event, instants))| ((n, zone), event, instants))
    {
        let (n, zone) = zone;
        let tenant = server.tenant_in(&format!("zone-{n}"), zone);
        for days in [1, 2] {
            let definition = json!({"kind": "count", "event": "buy", "window": {"calendar_days": days}});
            tenant.define(&format!("/v1/attributes/days_{days}"), &definition);
        }
        send_all(&tenant, &[buy("1", "a", event, "1")]);
        for (at, one, two) in instants {
            let body = json!({"identifier": {"type": "user_id", "value": "a"}});
            let profile = tenant.post(&format!("/v1/profiles/lookup?as_of={at}"), &body).expect_status(200);
            let is = (attribute(&profile, "days_1"), attribute(&profile, "days_2"));
            assert_eq!(is, ((*one).to_owned(), (*two).to_owned()), "{zone}, {event} as of {at}");
        }
    }
    server.finish();
}

#[test]
fn a_void_restores_what_was_before_in_any_order() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    for (name, kind) in [("sum", "sum"), ("max", "max"), ("last", "last"), ("skus", "distinct_count")] {
        tenant.define(
            &format!("/v1/attributes/{name}"),
            &json!({"kind": kind, "event": "buy", "property": "/total"}),
        );
    }
    define_spenders(&tenant);
    let at = |ago: i64| time(now_ms() - ago);
    let void = |id: &str, of: &str| json!({"id": id, "source": "till", "type": "$void", "voids": of});
    let picture = || {
        let profile = tenant.profile("user_id", "a");
        ["sum", "max", "last", "skus", "spent"].map(|name| attribute(&profile, name))
    };
    send_all(&tenant, &[buy("1", "a", &at(3_000), "40.50"), buy("2", "a", &at(2_000), "0.10")]);
    let before = picture();
    send_all(&tenant, &[buy("3", "a", &at(1_000), "99.90")]);
    assert_eq!(tenant.segment_size("spenders"), 1);
    assert_ne!(picture(), before);
    // Twice, of the unknown, of itself: once it counts.
    send_all(&tenant, &[void("v1", "3"), void("v2", "3"), void("v3", "nothing"), void("v4", "v1")]);
    assert_eq!(picture(), before);
    assert_eq!(tenant.segment_size("spenders"), 0);
    // Before it comes.
    send_all(&tenant, &[void("v5", "4"), buy("4", "a", &at(500), "1000")]);
    assert_eq!(picture(), before);
    let explained = {
        let id = tenant.profile("user_id", "a")["id"].as_str().unwrap().to_owned();
        tenant.get(&format!("/v1/segments/spenders/members/{id}")).expect_status(200)
    };
    let evidence: Vec<&str> = explained["conditions"][0]["evidence"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["id"].as_str().unwrap())
        .collect();
    assert_eq!((evidence, &explained["member"]), (vec!["2", "1"], &json!(false)), "{explained}");
    tenant.post("/v1/events", &json!({"id": "v", "source": "till", "type": "$void"})).expect_problem(422);
    server.finish();
}

#[test]
fn a_preview_says_what_the_segment_then_says_and_a_held_version_waits() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let events: Vec<Value> = (0..60_i64)
        .map(|n| {
            let at = time(now_ms() - n * 3_600_000);
            buy(&n.to_string(), &(n % 20).to_string(), &at, &(n * 5).to_string())
        })
        .collect();
    send_all(&tenant, &events);
    let rule = json!({"all": [
        {"did": {"event": "buy", "within": {"days": 1}, "count": {"op": "gte", "value": 2}}},
        {"trait": "city", "op": "ne", "value": "Riga"},
    ]});
    let some = json!({"did": {"event": "buy", "where": [{"property": "/total", "op": "gt", "value": 200}]}});
    for rule in [&some, &rule] {
        let preview = tenant.post("/v1/segments/preview", &json!({ "rule": rule })).expect_status(200);
        assert_eq!((&preview["exact"], &preview["profiles"]), (&json!(true), &json!(20)), "{preview}");
        tenant.define("/v1/segments/tried", &json!({ "rule": rule }));
        assert_eq!(preview["size"], tenant.segment_size("tried"), "{preview}");
    }
    let preview = tenant.post("/v1/segments/preview", &json!({ "rule": rule })).expect_status(200);
    assert_eq!(preview["conditions"][1]["missing"], 20, "{preview}");
    assert_eq!(preview["conditions"][0]["pointer"], "/all/0", "{preview}");

    tenant.define("/v1/segments/kept", &json!({ "rule": some }));
    let before = tenant.segment_size("kept");
    let other = json!({"not": some});
    let compared = json!({"rule": other, "compare_with": "kept"});
    let compared = tenant.post("/v1/segments/preview", &compared).expect_status(200);
    assert_eq!((&compared["enters"], &compared["leaves"]), (&json!(20 - before), &json!(before)));
    tenant.define("/v1/segments/kept", &json!({"rule": other, "publish": "manually", "announce": true}));
    let held = tenant.get("/v1/segments/kept").expect_status(200);
    assert_eq!((&held["status"], &held["size"]), (&json!("held"), &json!(before)), "{held}");
    tenant.post("/v1/segments/kept/publish", &json!({})).expect_status(200);
    assert_eq!(tenant.segment_size("kept"), 20 - before);
    let changes = all_changes(&tenant, "kept");
    assert_eq!(changes.len(), 20);
    assert!(changes.iter().all(|change| change["cause"] == "definition"));
    tenant.define("/v1/segments/all", &json!({"rule": {"did": {"event": "buy"}}}));
    let overlap = tenant.get("/v1/segments/all/overlap?with=kept").expect_status(200);
    assert_eq!(
        (&overlap["size"], &overlap["both"], &overlap["only"], &overlap["either"]),
        (&json!(20), &json!(20 - before), &json!(before), &json!(20))
    );
    let history = tenant.get("/v1/segments/all/history?days=3").expect_status(200);
    assert_eq!(history["items"].as_array().unwrap().last().unwrap()["size"], 20);
    server.finish();
}
