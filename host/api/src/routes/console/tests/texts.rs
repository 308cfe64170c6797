//! Texts that would be scripts, in everything that somebody outside can write: they stay texts.

use cdp_engine::users::Role;
use http::Method;
use serde_json::json;

use super::{Browser, shop};

/// Beginnings and ends that lead out of where a text stands, around what would run.
fn payloads() -> Vec<String> {
    let out = [
        "",
        "\">",
        "'>",
        "</title>",
        "</textarea>",
        "</script>",
        "</style>",
        "-->",
        "]]>",
        "\" ",
        "' ",
        "`",
        "</time>",
        "</option>",
        "</svg>",
    ];
    let run = [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<svg onload=alert(1)>",
        "<iframe srcdoc=\"<script>alert(1)</script>\">",
        "onmouseover=alert(1) x=\"",
        "javascript:alert(1)",
        "<a href=javascript:alert(1)>x</a>",
        "<math><mtext></p><script>alert(1)</script>",
        "<details open ontoggle=alert(1)>",
        "{{constructor.constructor('alert(1)')()}}",
    ];
    let all: Vec<_> = out.iter().flat_map(|out| run.iter().map(move |run| format!("{out}{run}"))).collect();
    assert_eq!(all.len(), 150);
    all
}

/// What must never stand in a page: a payload as it was sent. What browsers read as a part of the page begins with one
/// of these, and none of our own templates has them.
fn assert_text(page: &str, at: &str) {
    for bad in [
        "<script>alert",
        "<img src=x",
        "<svg onload",
        "<iframe",
        "<math>",
        "<details open ontoggle",
        "href=\"javascript:",
        "<a href=javascript",
    ] {
        assert!(
            !page.contains(bad),
            "{at}: {bad} in {}",
            &page[page.find(bad).unwrap_or(0).saturating_sub(200)..][..400.min(page.len())]
        );
    }
    // A quote in an attribute's value would end it.
    for (at_byte, _) in page.match_indices("onmouseover=alert") {
        let before = &page[..at_byte];
        let tag = before.rfind('<').unwrap_or(0);
        let open = before[tag..].matches('"').count() % 2 == 1;
        let around = page[tag..].chars().take(400).collect::<String>();
        assert!(open || before[tag..].contains('>'), "{at}: an attribute got out of its quotes: {around}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_a_script_stays_a_text() {
    let world = shop().await;
    let admin = Browser::of(&world, Role::Admin).await;
    let (mut pages, mut erased) = (Vec::new(), Vec::new());
    for (n, payload) in payloads().iter().enumerate() {
        let event = json!({
            "id": format!("x{n}{payload}"), "source": format!("s{payload}"), "type": format!("t{n}{payload}"),
            "identifiers": [{"type": "customer_id", "value": format!("c{n}{payload}")}, {"type": "loyalty_id", "value": format!("l{n}{payload}")}],
            "traits": {"name": payload, (format!("trait{payload}")): payload},
            "properties": {(format!("p{payload}")): payload, "nested": {(payload.as_str()): [payload]}},
            "channels": [{"channel": "email", "address": format!("a{n}@example.com")}],
            "consents": [{"channel": "email", "address": format!("a{n}@example.com"), "purpose": "marketing", "status": "granted", "method": payload.chars().take(60).collect::<String>(), "policy_version": payload.chars().take(60).collect::<String>()}],
        });
        let answered = world.post("/v1/events?wait=applied", &event).await;
        if answered.status == 202 {
            let lookup = json!({"identifier": {"type": "customer_id", "value": format!("c{n}{payload}")}});
            let profile = world.post("/v1/profiles/lookup", &lookup).await.expect(200);
            pages.push(profile["id"].as_str().unwrap().to_owned());
        }
        if n == 0 {
            assert_eq!(answered.status, 202, "{}", answered.text);
        }
        let title = json!({"title": payload.chars().take(150).collect::<String>(), "rule": {"trait": "name", "op": "eq", "value": payload}});
        world.put(&format!("/v1/segments/s{n}"), &title).await.expect(201);
        let purpose = json!({"title": payload, "legal_basis": "consent", "channels": ["email"]});
        assert_eq!(world.put(&format!("/v1/purposes/p{n}"), &purpose).await.status, 201);
        let key = json!({"name": format!("{n}{payload}"), "scopes": ["ingest"]});
        assert_eq!(world.post("/v1/keys", &key).await.status, 201);
        let constraint = json!({"kind": "must_not_link", "reason": payload,
            "a": {"type": "customer_id", "value": format!("c{n}{payload}")},
            "b": {"type": "customer_id", "value": format!("d{n}{payload}")}});
        assert_eq!(world.post("/v1/identity/constraints", &constraint).await.status, 201);
        if n % 10 == 0 {
            // An event that a schema keeps out, and a user, a maker and an organisation of such a name.
            let schema = json!({"mode": "quarantine", "properties": {"type": "object", "properties": {"p": {"enum": [payload]}}}});
            assert!(world.put("/v1/catalogue/types/kept_out/schema", &schema).await.status < 300);
            let event = json!({"id": format!("k{n}{payload}"), "type": "kept_out", "properties": {"p": format!("{n}{payload}"), (payload.as_str()): 1},
                "identifiers": [{"type": "customer_id", "value": "1"}]});
            world.post("/v1/events?wait=applied", &event).await.expect(202);
            let named = json!({"name": payload, "role": "marketer"});
            assert!(world.post("/v1/users", &named).await.status < 500);
            let trust = json!({"keys": [{"name": payload, "key": format!("{n:064x}")}]});
            assert_eq!(world.put("/v1/plugin-trust", &trust).await.status, 200);
            let shown = admin.get("/console/plugins").await;
            assert_text(&shown.text, "/console/plugins");
            let other = json!({"slug": format!("other-{n}"), "name": payload});
            let other = world.send(Method::POST, "/v1/tenants", crate::routes::tests::OPERATOR, &other).await;
            assert_eq!(other.status, 201, "{}", other.text);
            let tenant = world.engine.open_tenants().pop().unwrap();
            assert_eq!(tenant.info().name, *payload);
            let somebody = Browser::at(&world, &tenant, Role::Admin).await;
            let page = somebody.get("/console").await;
            assert_eq!(page.status, 200);
            assert_text(&page.text, "another organisation");
            // Somebody who is restricted for such a reason, and somebody who is erased for one.
            let who = json!({"identifier": {"type": "customer_id", "value": "1"}, "reason": payload});
            assert_eq!(world.post("/v1/restrictions", &who).await.status, 201);
            let event = json!({"id": format!("e{n}"), "type": "Order", "identifiers": [{"type": "customer_id", "value": format!("gone{n}")}]});
            world.post("/v1/events?wait=applied", &event).await.expect(202);
            let gone = json!({"identifier": {"type": "customer_id", "value": format!("gone{n}")}, "reason": payload});
            erased
                .push(world.post("/v1/erasures", &gone).await.expect(202)["id"].as_str().unwrap().to_owned());
        }
    }
    let rule = |kind: &String| json!({"type": kind, "days": 36_500, "derived": "frozen"});
    let rules: Vec<_> = payloads().iter().filter(|text| text.len() <= 100).map(rule).collect();
    assert_eq!(world.put("/v1/retention", &json!({"rules": rules})).await.status, 200);
    assert!(pages.len() >= 100, "most of them are acceptable events: {}", pages.len());
    for id in pages.iter().step_by(7) {
        for view in
            ["", "?view=timeline", "?view=identity", "?view=consent", "?view=segments", "?view=disclosures"]
        {
            let at = format!("/console/profiles/{id}{view}");
            assert_text(&admin.get(&at).await.text, &at);
        }
        let at = format!("/console/segments/s3/members/{id}");
        assert_text(&admin.get(&at).await.text, &at);
    }
    for id in &erased {
        let at = format!("/console/privacy/erasures/{id}");
        assert_text(&admin.get(&at).await.text, &at);
    }
    for at in [
        "/console",
        "/console/catalogue/kept_out",
        "/console/identity",
        "/console/privacy",
        "/console/privacy/access",
        "/console/privacy/retention",
        "/console/privacy/suppressions",
        "/console/plugins",
        "/console/exports",
        "/console/exports/schedules",
        "/console/exports/destinations",
        "/console/account",
        "/console/profiles",
        "/console/segments",
        "/console/segments/+new",
        "/console/segments/s5",
        "/console/segments/s5/edit",
        "/console/exports/new",
        "/console/channels",
        "/console/events",
        "/console/events/rejected",
        "/console/catalogue",
        "/console/attributes",
        "/console/keys",
        "/console/users",
        "/console/system",
        "/console/audit",
        "/console/jobs",
    ] {
        let page = admin.get(at).await;
        assert_eq!(page.status, 200, "{at}");
        assert_text(&page.text, at);
    }
    let suppressions = world.get("/v1/suppressions").await.expect(200);
    let suppression = suppressions["items"][0]["id"].as_str().expect("somebody was erased").to_owned();
    let suppression = format!("/console/privacy/suppressions/{suppression}/lift");
    // And in everything that a form sends back.
    for payload in payloads() {
        let text = payload.as_str();
        let long = format!("{text}{}", " and so on".repeat(100));
        for (at, fields) in [
            ("/console/search", vec![("q", text)]),
            ("/console/profiles", vec![("type", text), ("value", text)]),
            ("/console/channels/lookup", vec![("channel", text), ("address", text)]),
            (
                "/console/segments/+build",
                vec![
                    ("do", text),
                    ("name", text),
                    ("title", text),
                    ("json", text),
                    ("r.kind", "group"),
                    ("r.0.kind", "trait"),
                    ("r.0.name", text),
                    ("r.0.op", text),
                    ("r.0.value", text),
                    ("r.0.raw", text),
                    ("r.1.kind", "did"),
                    ("r.1.event", text),
                    ("r.1.when", "between"),
                    ("r.1.from", text),
                    ("r.1.w0.op", text),
                    ("r.1.w0.property", text),
                    ("r.1.w0.value", text),
                    ("r.2.kind", "raw"),
                    ("r.2.json", text),
                    ("r.3.kind", "segment"),
                    ("r.3.segment", text),
                    ("r.4.kind", "reachable"),
                    ("r.4.channel", text),
                    ("r.4.purpose", text),
                ],
            ),
            ("/console/attributes", vec![("name", text), ("definition", text)]),
            (
                "/console/exports/new",
                vec![
                    ("segment", text),
                    ("consent", text),
                    ("field", text),
                    ("schedule", text),
                    ("cron", text),
                    ("time_zone", text),
                    ("overlap", text),
                    ("mode", text),
                ],
            ),
            ("/console/privacy/erasures/+preview", vec![("type", text), ("value", text)]),
            ("/console/privacy/erasures", vec![("type", "customer_id"), ("value", "1"), ("reason", "")]),
            ("/console/privacy/erasures", vec![("type", text), ("value", text), ("reason", text)]),
            (
                "/console/privacy/restrictions",
                vec![("who_type", text), ("who_value", text), ("who_reason", text)],
            ),
            ("/console/privacy/access", vec![("ask_type", text), ("ask_value", text)]),
            ("/console/privacy/retention/+preview", vec![("type", text), ("days", text), ("derived", text)]),
            ("/console/privacy/retention/+preview", vec![("do", "remove"), ("type", text)]),
            ("/console/privacy/retention", vec![("rules", text), ("was", text)]),
            (suppression.as_str(), vec![("reason", long.as_str())]),
            ("/console/identity/rules", vec![("rules", text)]),
            (
                "/console/identity/constraints",
                vec![
                    ("a_type", text),
                    ("a_value", text),
                    ("b_type", text),
                    ("b_value", text),
                    ("kind", text),
                    ("reason", text),
                ],
            ),
            ("/console/plugins/+trust", vec![("whose", text), ("key", text)]),
            ("/console/plugins/+order", vec![("plugin", text), ("to", text)]),
            ("/console/events/find", vec![("id", text), ("source", text)]),
            ("/console/events/rejected/replay", vec![("code", text), ("type", "none"), ("plugin", text)]),
            ("/console/catalogue/Order/schema", vec![("mode", text), ("properties", text), ("traits", text)]),
            (
                "/console/exports/destinations",
                vec![("name", text), ("kind", text), ("url", text), ("table", text)],
            ),
            ("/console/keys", vec![("name", ""), ("scope", text), ("ends", text)]),
            ("/console/users", vec![("name", text), ("role", text)]),
            (
                "/console/purposes",
                vec![("name", text), ("title", text), ("legal_basis", text), ("channels", text)],
            ),
            (
                "/console/sign-in",
                vec![("tenant", text), ("name", text), ("password", "wrong"), ("next", text)],
            ),
        ] {
            let skip = at == "/console/sign-in" && payload.len() % 17 != 0;
            if !skip {
                let answered = admin.post(at, &fields).await;
                assert!(answered.status < 500, "{at}: {}", answered.text);
                assert_text(&answered.text, at);
            }
        }
    }
    let listed = world.send(Method::GET, "/v1/segments?limit=1", &world.admin, &json!(null)).await;
    assert_eq!(listed.status, 200, "the server goes on");
}

#[test]
fn a_text_that_got_out_is_noticed() {
    for bad in [
        "<p><script>alert(1)</script>",
        "<input value=\"\" onmouseover=alert(1) x=\"\">",
        "<a href=\"javascript:alert(1)\">",
    ] {
        assert!(std::panic::catch_unwind(|| assert_text(bad, "here")).is_err(), "{bad}");
    }
    assert_text("<input value=\"&#34; onmouseover=alert(1)\"> onmouseover=alert(1)", "here");
}
