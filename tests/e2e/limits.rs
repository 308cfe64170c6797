//! Limits as `/v1/limits` tells them: taken at n, refused at n + 1 with the place; what is kept of more than n is what
//! the documentation says. `tests/tidy` asks that every limit occurs in a test.

use serde_json::{Value, json};

use crate::harness::http::attribute;
use crate::harness::{Client, Server};
use crate::ingest::pointers;

/// The limits that a server tells.
struct Limits(Value);

impl Limits {
    fn of(client: &Client) -> Self {
        Self(client.get("/v1/limits").expect_status(200))
    }

    fn get(&self, name: &str) -> usize {
        self.0[name].as_u64().unwrap_or_else(|| panic!("{name} is not told")) as usize
    }
}

/// Refused with this place among the named ones.
fn refused(answer: crate::harness::http::Answer, pointer: &str) {
    let problem = answer.expect_problem(422);
    let named = pointers(&problem);
    assert!(named.iter().any(|one| one == pointer), "{pointer} is missing in {problem}");
}

fn event(id: &str, more: Value) -> Value {
    let mut event = json!({"id": id, "type": "purchase",
        "identifiers": [{"type": "customer_id", "value": "ann"}]});
    event.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    event
}

#[test]
fn each_part_of_an_event_is_taken_at_n_and_refused_at_n_plus_1() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let limits = Limits::of(&tenant);
    let text = |n: usize| "x".repeat(n);
    let mut number = 0;
    let mut both = |name: &str, pointer: &str, make: &dyn Fn(usize, &str) -> Value| {
        let n = limits.get(name);
        number += 1;
        tenant.post("/v1/events", &make(n, &format!("{name}-{number}"))).expect_status(202);
        refused(tenant.post("/v1/events", &make(n + 1, &format!("{name}-{number}-more"))), pointer);
    };
    both("event_id_bytes_max", "/id", &|n, _| event(&text(n), json!({})));
    both("event_type_bytes_max", "/type", &|n, id| event(id, json!({"type": text(n)})));
    both("source_bytes_max", "/source", &|n, id| event(id, json!({"source": text(n)})));
    both("traits_max", "/traits", &|n, id| {
        let traits: serde_json::Map<_, _> = (0..n).map(|at| (format!("t{at}"), json!(1))).collect();
        event(id, json!({"traits": traits}))
    });
    both("channels_max", "/channels", &|n, id| {
        let channels: Vec<_> =
            (0..n).map(|at| json!({"channel": "email", "address": format!("a{at}@example.com")})).collect();
        event(id, json!({"channels": channels}))
    });
    both("consents_max", "/consents", &|n, id| {
        let decision = |at| json!({"channel": "email", "address": "ann@example.com", "purpose": format!("p{at}"), "status": "granted"});
        event(id, json!({"consents": (0..n).map(decision).collect::<Vec<_>>()}))
    });
    both("email_local_part_bytes_max", "/identifiers/0/value", &|n, id| {
        let address = format!("{}@example.com", text(n));
        event(id, json!({"identifiers": [{"type": "email", "value": address}]}))
    });
    // Zeros before the exponent's digits do not count.
    let digits = limits.get("number_exponent_digits_max");
    let with = |id: &str, exponent: &str| {
        let body =
            event(id, json!({"properties": {"n": 7}})).to_string().replace(":7", &format!(":1e{exponent}"));
        tenant.post_bytes("/v1/events", "application/json", body.as_bytes())
    };
    with("exponent", &"9".repeat(digits)).expect_status(202);
    with("exponent-zeros", &format!("000{}", "9".repeat(digits))).expect_status(202);
    with("exponent-more", &"9".repeat(digits + 1)).expect_problem(400);
    server.finish();
}

#[test]
fn each_part_of_a_rule_is_taken_at_n_and_refused_at_n_plus_1() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let limits = Limits::of(&tenant);
    let put = |rule: &Value| tenant.put("/v1/segments/tried", &json!({"title": "Tried", "rule": rule}));
    let both = |name: &str, pointer: &str, rule: &dyn Fn(usize) -> Value| {
        let n = limits.get(name);
        tenant.finish_job(&put(&rule(n)).ok());
        refused(put(&rule(n + 1)), pointer);
    };
    let city = |n: usize| json!({"trait": "city", "op": "eq", "value": n});
    both("rule_conditions_max", "/rule", &|n| json!({"any": (0..n - 1).map(city).collect::<Vec<_>>()}));
    // The innermost condition is the deepest level.
    let nested = |levels: usize| (1..levels).fold(city(1), |rule, _| json!({"not": rule}));
    let n = limits.get("rule_depth_max");
    tenant.finish_job(&put(&nested(n)).ok());
    refused(put(&nested(n + 1)), &format!("/rule{}", "/not".repeat(n)));
    let op = json!({"property": "/total", "op": "gt", "value": 1});
    both(
        "where_conditions_max",
        "/rule/did/where",
        &|n| json!({"did": {"event": "purchase", "where": vec![&op; n]}}),
    );
    both(
        "event_types_per_source_max",
        "/rule/did/event",
        &|n| json!({"did": {"event": (0..n).map(|at| format!("e{at}")).collect::<Vec<_>>()}}),
    );
    both(
        "pattern_bytes_max",
        "/rule/value",
        &|n| json!({"trait": "city", "op": "matches", "value": "x".repeat(n)}),
    );
    // What a pattern comes to once it is compiled cannot be told to the byte.
    assert!(limits.get("pattern_compiled_bytes_max") > 0);
    let repeated =
        |times: usize| json!({"trait": "city", "op": "matches", "value": format!("[a-z]{{{times}}}")});
    tenant.finish_job(&put(&repeated(100)).ok());
    refused(put(&repeated(100_000)), "/rule/value");
    both(
        "sequence_steps_max",
        "/rule/sequence/steps",
        &|n| json!({"sequence": {"steps": vec![json!({"event": "purchase"}); n]}}),
    );
    both(
        "regularly_periods_max",
        "/rule/did/regularly/periods",
        &|n| json!({"did": {"event": "purchase", "regularly": {"periods": n, "of": {"days": 1}, "at_least": 2}}}),
    );
    let n = limits.get("segment_title_bytes_max");
    let titled =
        |n: usize| tenant.put("/v1/segments/titled", &json!({"title": "x".repeat(n), "rule": city(1)}));
    titled(n).ok();
    refused(titled(n + 1), "/title");
    let n = limits.get("preview_sample_max");
    let preview = |n: usize| tenant.post("/v1/segments/preview", &json!({"rule": city(1), "sample": n}));
    preview(n).expect_status(200);
    refused(preview(n + 1), "/sample");
    let days = limits.get("preview_history_days");
    let asked =
        tenant.post("/v1/segments/preview", &json!({"rule": city(1), "history": true})).expect_status(200);
    let job = tenant.finish_job(&json!({"job": asked["history_job"]})).unwrap();
    assert_eq!(job["result"]["items"].as_array().unwrap().len(), days + 1, "today and {days} days: {job}");
    let n = limits.get("history_days_max");
    let history = |n: usize| tenant.get(&format!("/v1/segments/titled/history?days={n}"));
    history(n).expect_status(200);
    history(n + 1).expect_problem(400);
    server.finish();
}

#[test]
fn definitions_refer_to_others_n_deep_and_no_deeper() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let n = Limits::of(&tenant).get("rule_nesting_max");
    tenant.define("/v1/segments/s0", &json!({"rule": {"trait": "city", "op": "exists"}}));
    tenant.define("/v1/attributes/a0", &json!({"kind": "count", "event": "purchase"}));
    let above = |at: usize| {
        let segment = json!({"rule": {"segment": format!("s{}", at - 1)}});
        let attribute = json!({"expr": {"add": [{"attribute": format!("a{}", at - 1)}, 1]}});
        (
            tenant.put(&format!("/v1/segments/s{at}"), &segment),
            tenant.put(&format!("/v1/attributes/a{at}"), &attribute),
        )
    };
    let mut reached = [0, 0];
    for at in 1..=n + 2 {
        let (segment, attribute) = above(at);
        for (kind, answer) in [segment, attribute].into_iter().enumerate() {
            if reached[kind] + 1 < at {
                continue;
            }
            if answer.status == 422 {
                let problem = answer.expect_problem(422);
                assert!(problem.to_string().contains(&format!("deeper than {n}")), "{problem}");
            } else {
                tenant.finish_job(&answer.ok());
                reached[kind] = at;
            }
        }
    }
    assert_eq!(reached, [n, n]);
    server.finish();
}

#[test]
fn each_part_of_an_expression_is_taken_at_n_and_refused_at_n_plus_1() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let limits = Limits::of(&tenant);
    let put = |expr: &Value| tenant.put("/v1/attributes/tried", &json!({"expr": expr}));
    let n = limits.get("expression_parts_max");
    // One for each sum, and one for each number.
    let sum = |parts: usize| {
        let (mut left, mut sums) = (parts - 1, Vec::new());
        while left > 0 {
            let numbers = left.min(32) - 1;
            sums.push(json!({"add": vec![1; numbers.max(1)]}));
            left -= numbers.max(1) + 1;
        }
        json!({"add": sums})
    };
    tenant.finish_job(&put(&sum(n)).ok());
    put(&sum(n + 1)).expect_problem(422);
    let n = limits.get("expression_depth_max");
    let nested = |levels: usize| (1..levels).fold(json!(1), |expr, _| json!({"floor": expr}));
    tenant.finish_job(&put(&nested(n)).ok());
    put(&nested(n + 1)).expect_problem(422);
    tenant.define("/v1/attributes/spend", &json!({"kind": "sum", "event": "purchase", "property": "/total"}));
    let n = limits.get("rank_buckets_max");
    let rank = |n: usize| put(&json!({"rank": {"of": {"attribute": "spend"}, "buckets": n}}));
    tenant.finish_job(&rank(n).ok());
    refused(rank(n + 1), "/expr/rank/buckets");
    assert_eq!(limits.get("ranking_every_ms"), 3_600_000, "the documentation says every hour");
    server.finish();
}

#[test]
fn there_are_n_definitions_of_each_kind_and_no_more_and_a_page_of_them_has_its_usual_size() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let limits = Limits::of(&tenant);
    for (limit, noun, body) in [
        ("attributes_max", "attributes", json!({"kind": "count", "event": "purchase"})),
        ("segments_max", "segments", json!({"rule": {"trait": "city", "op": "exists"}})),
    ] {
        let n = limits.get(limit);
        for at in 0..n {
            tenant.put(&format!("/v1/{noun}/d{at}"), &body).ok();
        }
        let problem = tenant.put(&format!("/v1/{noun}/more"), &body).expect_problem(409);
        assert!(problem["detail"].as_str().unwrap().contains(&n.to_string()), "{problem}");
        tenant.put(&format!("/v1/{noun}/d0"), &body).ok();
        let page = tenant.get(&format!("/v1/{noun}")).expect_status(200);
        assert_eq!(page["items"].as_array().unwrap().len(), limits.get("page_items_default"));
        assert!(page["next_cursor"].is_string(), "{noun}");
    }
    let n = limits.get("schemas_max");
    let schema = |at: usize| {
        tenant.put(
            &format!("/v1/catalogue/types/t{at}/schema"),
            &json!({"mode": "block", "properties": {"required": ["total"]}}),
        )
    };
    (0..n).for_each(|at| drop(schema(at).ok()));
    schema(n).expect_problem(409);
    schema(0).ok();
    let n = limits.get("constraint_reason_bytes_max");
    let constrain = |n: usize| {
        let of = |value: &str| json!({"type": "customer_id", "value": value});
        let body = json!({"kind": "must_not_link", "a": of("ann"), "b": of("bob"), "reason": "x".repeat(n)});
        tenant.post("/v1/identity/constraints", &body)
    };
    constrain(n).ok();
    refused(constrain(n + 1), "/reason");
    server.finish();
}

/// Sends events a minute apart and gives the profile.
fn told(tenant: &Client, events: Vec<Value>) -> Value {
    let mut position = None;
    for part in events.chunks(1000) {
        let answer = tenant.post("/v1/events?wait=applied", &json!(part)).expect_status(202);
        assert_eq!(answer["accepted"], part.len(), "{answer}");
        position = Some(answer);
    }
    assert!(position.is_some());
    tenant.profile("customer_id", "ann")
}

/// `n` seconds before now, to the second.
fn ago(seconds: i64) -> String {
    let now = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap();
    (now - jiff::SignedDuration::from_secs(seconds)).to_string()
}

#[test]
fn what_is_kept_of_a_history_is_exact_up_to_n_and_beyond_it_as_documented() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let limits = Limits::of(&tenant);
    let (exact, values) = (limits.get("window_exact_events_max"), limits.get("window_values_max"));
    let day = json!({"days": 1});
    tenant.define("/v1/attributes/n", &json!({"kind": "count", "event": "purchase", "window": day}));
    tenant.define(
        "/v1/attributes/usual",
        &json!({"kind": "most_frequent", "event": "purchase", "property": "/sku", "window": day}),
    );
    tenant.define(
        "/v1/attributes/money",
        &json!({"kind": "sum", "event": "pay", "property": "/total", "currency": "each"}),
    );
    tenant.define(
        "/v1/attributes/about",
        &json!({"kind": "distinct_count", "event": "look", "property": "/sku"}),
    );
    // The oldest value comes most often among n + 1, and no longer among the newest n.
    let sku = |at: usize| if at <= values / 2 { "old".to_owned() } else { "new".to_owned() };
    let buy = |at: usize| {
        event(&format!("p{at}"), json!({"time": ago(80_000 - at as i64), "properties": {"sku": sku(at)}}))
    };
    let profile = told(&tenant, (0..values).map(buy).collect());
    assert_eq!(attribute(&profile, "usual"), "old", "{values} values: one more of the old ones");
    let profile = told(&tenant, vec![buy(values), buy(values + 1), buy(values + 2)]);
    assert_eq!(attribute(&profile, "usual"), "new", "the newest {values} are read");
    // Beyond the exact ones the amount stays right; what is old leaves late by less than a 256th of the window.
    let profile = told(&tenant, (values + 3..exact + 100).map(buy).collect());
    assert_eq!(attribute(&profile, "n"), (exact + 100).to_string());
    let until: jiff::Timestamp = profile["attributes"]["n"]["valid_until"].as_str().unwrap().parse().unwrap();
    let first: jiff::Timestamp = ago(80_000).parse().unwrap();
    let late = until.duration_since(first).as_secs() - 86_400;
    assert!((-5..=86_400 / 256 + 5).contains(&late), "{late} s late");
    let n = limits.get("currencies_max");
    let pay = |at: usize| {
        let code: String =
            [b'A' + (at / 26) as u8, b'A' + (at % 26) as u8, b'Z'].map(char::from).iter().collect();
        event(&format!("m{at}"), json!({"type": "pay", "properties": {"total": "1.5", "currency": code}}))
    };
    let codes = |profile: &Value| profile["attributes"]["money"]["value"].as_object().unwrap().len();
    assert_eq!(codes(&told(&tenant, (0..n).map(pay).collect())), n);
    let more = told(&tenant, vec![pay(n)]);
    assert_eq!(codes(&more), n);
    assert!(more["attributes"]["money"]["value"].get("AAZ").is_some(), "those whose codes sort first stay");
    let (n, percent) = (limits.get("distinct_exact_max"), limits.get("distinct_error_percent"));
    let look = |at: usize| event(&format!("l{at}"), json!({"type": "look", "properties": {"sku": at}}));
    assert_eq!(attribute(&told(&tenant, (0..n).map(look).collect()), "about"), n.to_string());
    let about: f64 = attribute(&told(&tenant, (n..5 * n).map(look).collect()), "about").parse().unwrap();
    let error = (about / (5 * n) as f64 - 1.0).abs() * 100.0;
    // The figure is a standard error; four of them is one case in fifteen thousand, and the values are always the same.
    assert!(error <= 4.0 * percent as f64, "{error} % off");
    server.finish();
}

#[test]
fn a_sequence_looks_at_the_newest_n_steps_and_an_explanation_shows_n_events_of_the_newest_so_many() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let limits = Limits::of(&tenant);
    let (kept, shown, scanned) =
        (limits.get("sequence_events_max"), limits.get("evidence_max"), limits.get("evidence_scan_max"));
    let steps = json!([{"event": "look"}, {"event": "buy"}]);
    tenant.define("/v1/segments/both", &json!({"rule": {"sequence": {"steps": steps}}}));
    tenant.define("/v1/segments/buyers", &json!({"rule": {"did": {"event": "buy"}}}));
    let of = |id: String, kind: &str, seconds: usize| {
        event(&id, json!({"type": kind, "time": ago(50_000 - seconds as i64)}))
    };
    // One look, and then as many purchases as are kept, less one.
    let first = [of("look".into(), "look", 0)];
    let buys = |from: usize, to: usize| (from..to).map(|at| of(format!("b{at}"), "buy", at));
    let profile = told(&tenant, first.into_iter().chain(buys(1, kept)).collect());
    assert_eq!(tenant.segment_size("both"), 1);
    told(&tenant, buys(kept, kept + 1).collect());
    assert_eq!(tenant.segment_size("both"), 0, "the look is not among the newest {kept} steps any more");
    let explain = || {
        let id = profile["id"].as_str().unwrap();
        tenant.get(&format!("/v1/segments/buyers/members/{id}")).expect_status(200).to_string()
    };
    assert_eq!(explain().matches("\"source\"").count(), shown);
    // What is older than the newest so many events is not looked for.
    told(&tenant, (0..scanned - kept).map(|at| of(format!("c{at}"), "call", kept + 1 + at)).collect());
    assert_eq!(explain().matches("\"source\"").count(), shown, "{scanned} events and one more");
    told(&tenant, (0..kept - 1).map(|at| of(format!("d{at}"), "call", scanned + 1 + at)).collect());
    assert_eq!(explain().matches("\"source\"").count(), 1, "the newest purchase is the last one looked at");
    server.finish();
}

#[test]
fn a_preview_looks_at_everybody_up_to_n_profiles_and_at_an_even_sample_beyond() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let n = Limits::of(&tenant).get("preview_profiles_max");
    let someone = |at: usize| {
        json!({"id": format!("e{at}"), "type": "visit", "traits": {"even": at.is_multiple_of(2)},
            "identifiers": [{"type": "customer_id", "value": format!("c{at}")}]})
    };
    let send = |from: usize, to: usize| {
        let all: Vec<Value> = (from..to).map(someone).collect();
        for part in all.chunks(1000) {
            tenant.post_patiently("/v1/events?wait=applied", &json!(part)).expect_status(202);
        }
    };
    let preview = |exact: bool| {
        let body = json!({"rule": {"trait": "even", "op": "eq", "value": true}, "exact": exact});
        tenant.post("/v1/segments/preview", &body).expect_status(200)
    };
    send(0, n);
    let told = preview(false);
    assert_eq!((told["size"].as_u64(), &told["exact"]), (Some(n as u64 / 2), &json!(true)), "{told}");
    send(n, n + 1);
    let told = preview(false);
    assert_eq!(told["exact"], false, "{told}");
    let off = told["size"].as_f64().unwrap() / (n as f64 / 2.0) - 1.0;
    assert!(off.abs() < 0.05, "{told}");
    assert_eq!(preview(true)["size"].as_u64(), Some(n as u64 / 2 + 1));
    server.finish();
}

#[test]
fn a_page_of_dead_letters_looks_at_n_of_them_and_says_where_to_go_on() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let n = Limits::of(&tenant).get("dead_letters_scanned_max");
    let schema = json!({"mode": "quarantine", "properties": {"properties": {"total": {"type": "string"}}}});
    tenant.put("/v1/catalogue/types/purchase/schema", &schema).ok();
    let bad: Vec<Value> =
        (0..=n).map(|at| event(&format!("e{at}"), json!({"properties": {"total": 1}}))).collect();
    for part in bad.chunks(1000) {
        tenant.post_patiently("/v1/events?wait=applied", &json!(part)).expect_status(202);
    }
    let last = format!("/v1/events?status=dead_letter&id=e{n}");
    let page = tenant.get(&last).expect_status(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 0, "it is number n + 1");
    let cursor = page["next_cursor"].as_str().unwrap();
    let page = tenant.get(&format!("{last}&cursor={cursor}")).expect_status(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    let page = tenant.get(&format!("/v1/events?status=dead_letter&id=e{}", n - 1)).expect_status(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 1, "it is number n");
    server.finish();
}
