//! Segment's table of consent object against integrations object, row by row, as segments and exports see it here.
//!
//! The table: "Consent in Segment Connections", Twilio Segment documentation (CC BY 4.0), by way of segmentio/segment-docs.
//! There a row says whether one event flows to a destination at that moment; here it says whether the person may be
//! reached for what the destination is for. A destination stands for the purposes that it needs, all of them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Server, Tenant};

/// Facebook and Google Ads, Amplitude, and a destination that no category is mapped to.
const DESTINATIONS: [&str; 4] = ["facebook", "google-ads", "amplitude", "unmapped"];

/// A row: the consent object, the integrations object, whether Facebook is under analytics too, whether categories are
/// mapped at all; where Segment lets data flow, and where we do.
struct Row {
    consent: Value,
    integrations: Value,
    facebook_is_both: bool,
    mapped: bool,
    theirs: &'static [&'static str],
    ours: &'static [&'static str],
}

fn rows() -> Vec<Row> {
    let categories =
        |ad: bool, analytics: bool| json!({"categoryPreferences": {"ad": ad, "analytics": analytics}});
    let both = json!({"facebook": true, "amplitude": false});
    let row = |consent, integrations, facebook_is_both, mapped, theirs, ours| Row {
        consent,
        integrations,
        facebook_is_both,
        mapped,
        theirs,
        ours,
    };
    vec![
        // 1: nobody said anything. Segment: everywhere. Closed on purpose: unknown is no.
        row(Value::Null, Value::Null, false, true, &["facebook", "google-ads", "amplitude", "unmapped"], &[]),
        // 2: no category was agreed to. The unmapped destination: closed on purpose.
        row(json!({"categoryPreferences": {}}), Value::Null, false, true, &["unmapped"], &[]),
        // 3: no consent object. Segment: what integrations say. Closed on purpose: unknown is no.
        row(Value::Null, both.clone(), false, true, &["facebook"], &[]),
        // 4: an empty consent object. The unmapped destination: closed on purpose.
        row(json!({"categoryPreferences": {}}), both.clone(), false, true, &["unmapped"], &[]),
        // 5: categories that are mapped to nothing. Segment: everywhere. Closed on purpose.
        row(
            categories(true, false),
            Value::Null,
            false,
            false,
            &["facebook", "google-ads", "amplitude", "unmapped"],
            &[],
        ),
        // 6
        row(
            categories(true, false),
            Value::Null,
            false,
            true,
            &["facebook", "google-ads"],
            &["facebook", "google-ads"],
        ),
        // 7
        row(
            categories(true, false),
            both.clone(),
            false,
            true,
            &["facebook", "google-ads"],
            &["facebook", "google-ads"],
        ),
        // 8
        row(
            categories(true, false),
            json!({"facebook": false, "amplitude": false}),
            false,
            true,
            &["google-ads"],
            &["google-ads"],
        ),
        // 9
        row(categories(true, false), both.clone(), true, true, &["google-ads"], &["google-ads"]),
        // 10
        row(
            categories(true, true),
            both.clone(),
            true,
            true,
            &["facebook", "google-ads"],
            &["facebook", "google-ads"],
        ),
        // 11: Segment: nowhere.
        row(categories(false, true), both, true, true, &[], &[]),
    ]
}

/// The purposes that a destination needs; None: no purpose is known for it, and nothing leaves without one.
fn needs(destination: &str, row: &Row) -> Option<Vec<&'static str>> {
    match destination {
        "facebook" if row.facebook_is_both => Some(vec!["ad", "analytics", "to_facebook"]),
        "facebook" => Some(vec!["ad", "to_facebook"]),
        "google-ads" => Some(vec!["ad"]),
        "amplitude" => Some(vec!["analytics", "to_amplitude"]),
        _ => None,
    }
}

fn reachable(tenant: &Tenant, purpose: &str) -> bool {
    let coverage = tenant.get(&format!("/v1/consents/coverage?channel=email&purpose={purpose}")).ok();
    coverage["reachable"] == 1
}

#[test]
fn every_row_is_as_the_table_says_or_stricter() {
    let server = Server::fresh();
    let mut stricter = Vec::new();
    for (n, row) in rows().into_iter().enumerate() {
        let tenant = server.tenant(&format!("row-{}", n + 1));
        for (name, basis) in [
            ("ad", "consent"),
            ("analytics", "consent"),
            ("to_facebook", "legitimate_interest"),
            ("to_amplitude", "legitimate_interest"),
        ] {
            tenant.define(&format!("/v1/purposes/{name}"), &json!({"title": name, "legal_basis": basis}));
        }
        let categories = if row.mapped { json!({"ad": "ad", "analytics": "analytics"}) } else { json!({}) };
        let integrations = json!({"facebook": "to_facebook", "amplitude": "to_amplitude"});
        let mapping = json!({"categories": categories, "integrations": integrations});
        tenant.put("/v1/consents/signals", &mapping).expect_status(200);
        let mut message = json!({"type": "identify", "messageId": "m", "userId": "u", "traits": {"email": "a@example.com"}});
        if row.consent != Value::Null {
            message["context"] = json!({"consent": row.consent});
        }
        if row.integrations != Value::Null {
            message["integrations"] = row.integrations.clone();
        }
        let answer = tenant.post("/v1/identify?wait=applied", &message).ok();
        assert_eq!(answer["accepted"], 1, "row {}: {answer}", n + 1);
        let flows = |destination: &&&str| {
            needs(destination, &row)
                .is_some_and(|purposes| purposes.iter().all(|purpose| reachable(&tenant, purpose)))
        };
        let ours: BTreeSet<&str> = DESTINATIONS.iter().filter(flows).copied().collect();
        assert_eq!(ours, row.ours.iter().copied().collect(), "row {}", n + 1);
        let theirs: BTreeSet<&str> = row.theirs.iter().copied().collect();
        assert!(ours.is_subset(&theirs), "row {}: nothing flows that would not there", n + 1);
        if ours != theirs {
            stricter.push(n + 1);
        }
    }
    assert_eq!(stricter, [1, 2, 3, 4, 5], "the rows that are closed on purpose, as documented");
    eprintln!("11 rows, {} closed on purpose", stricter.len());
    server.finish();
}

#[test]
fn a_browser_that_says_no_is_heard_and_what_cannot_be_read_is_counted() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    tenant.define("/v1/purposes/ads", &json!({"title": "Ads", "legal_basis": "legitimate_interest"}));
    let refused = tenant.put("/v1/consents/signals", &json!({"gpc": ["ads", "none"], "tcf": {"25": "ads"}}));
    assert_eq!(refused.expect_problem(422)["errors"][0]["pointer"], "/tcf/25");
    let refused = tenant.put("/v1/consents/signals", &json!({"gpc": ["ads", "none"]})).expect_problem(422);
    assert_eq!(refused["errors"][0]["pointer"], "/gpc/1");
    tenant.put("/v1/consents/signals", &json!({"gpc": ["ads"], "tcf": {"3": "ads"}})).expect_status(200);
    let event = |id: &str| {
        json!({"id": id, "type": "visit", "identifiers": [{"type": "customer_id", "value": id}],
            "channels": [{"channel": "email", "address": format!("{id}@example.com")}]})
    };
    let send = |id: &str, headers: &[(&str, &str)]| {
        tenant.call_with("POST", "/v1/events?wait=applied", headers, &event(id)).expect_status(202);
        let point = json!({"channel": "email", "address": format!("{id}@example.com")});
        let point = tenant.post("/v1/channels/lookup", &point).ok();
        point["consents"]["ads"]["status"].as_str().map(str::to_owned)
    };
    assert_eq!(send("a", &[("sec-gpc", "1")]).as_deref(), Some("denied"));
    for (id, value) in [("b", "0"), ("c", "true"), ("d", "11"), ("e", "1, 1")] {
        assert_eq!(send(id, &[("sec-gpc", value)]), None, "{value}");
    }
    let mut malformed = event("f");
    malformed["signals"] = json!({"tcf": "nonsense"});
    tenant.post("/v1/events?wait=applied", &malformed).expect_status(202);
    let metrics = tenant.get("/metrics").text();
    assert!(metrics.contains("cdp_privacy_signals_malformed_total{tenant=\"1\"} 1"), "{metrics}");
    server.finish();
}

#[test]
fn bounds_of_consent_hold_at_n_and_n_plus_1() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let limits = tenant.get("/v1/limits").ok();
    let limit = |name: &str| limits[name].as_u64().unwrap() as usize;
    let purpose = |n: usize| json!({"title": "t", "legal_basis": "consent", "policy": {"version": "1", "url": "u".repeat(n)}});
    let n = limit("policy_url_bytes_max");
    tenant.put("/v1/purposes/p0", &purpose(n)).expect_status(201);
    let refused = tenant.put("/v1/purposes/p0", &purpose(n + 1)).expect_problem(422);
    assert_eq!(refused["errors"][0]["pointer"], "/policy/url");
    for at in 1..limit("purposes_max") {
        tenant.put(&format!("/v1/purposes/p{at}"), &purpose(1)).expect_status(201);
    }
    tenant.put("/v1/purposes/one-more", &purpose(1)).expect_problem(409);
    let n = limit("signals_max");
    let signals = |n: usize| json!({"gpc": vec!["p0"; n]});
    tenant.put("/v1/consents/signals", &signals(n)).expect_status(200);
    let refused = tenant.put("/v1/consents/signals", &signals(n + 1)).expect_problem(422);
    assert_eq!(refused["errors"][0]["pointer"], "/gpc");
    let consent = |n: usize, time: &str| {
        json!({"channel": "email", "address": "a@example.com", "purpose": "p0", "status": "granted", "time": time,
            "evidence": "e".repeat(n)})
    };
    let n = limit("consent_evidence_bytes_max");
    tenant.post("/v1/consents", &consent(n, "2026-01-01T00:00:00Z")).expect_status(200);
    let refused = tenant.post("/v1/consents", &consent(n + 1, "2026-01-02T00:00:00Z")).expect_problem(422);
    assert_eq!(refused["errors"][0]["pointer"], "/evidence");
    let n = limit("consent_history_max");
    let many: Vec<Value> = (0..n)
        .map(|at| consent(1, &format!("2026-02-01T{:02}:{:02}:{:02}Z", at / 3600, at / 60 % 60, at % 60)))
        .collect();
    for part in many.chunks(500) {
        tenant.post("/v1/consents", &json!({"consents": part})).expect_status(200);
    }
    let point =
        tenant.post("/v1/channels/lookup", &json!({"channel": "email", "address": "a@example.com"})).ok();
    let history = point["history"].as_array().unwrap();
    assert_eq!(history.len(), n, "of {} the newest", n + 1);
    assert_eq!(history.last().unwrap()["evidence"], "e", "and not the first");
    server.finish();
}

#[test]
fn a_receipt_is_checked_offline_and_acts_stand_in_the_audit_log() {
    let own = tempfile::tempdir().unwrap();
    let server = Server::at(&own.path().join("data"));
    let tenant = server.tenant("shop");
    let policy = json!({"version": "7", "url": "https://example.com/7"});
    let purpose = json!({"title": "News", "legal_basis": "consent", "policy": policy});
    tenant.put("/v1/purposes/news", &purpose).expect_status(201);
    let consent = json!({"channel": "email", "address": "ann@example.com", "purpose": "news", "status": "granted",
        "time": "2026-01-01T00:00:00Z", "method": "web-form", "policy_version": "7", "evidence": "form 1"});
    tenant.post("/v1/consents", &consent).expect_status(200);
    let asked = json!({"channel": "email", "address": "Ann@Example.com", "purpose": "news"});
    let receipt = tenant.post("/v1/consents/receipts", &asked).ok();
    assert_eq!(receipt["receipt"]["collectionMethod"], "web-form", "{receipt}");
    let key = receipt["signature"]["key"].as_str().unwrap().to_owned();
    let check = |document: &Value, key: &str| {
        let path = own.path().join("receipt.json");
        std::fs::write(&path, document.to_string()).unwrap();
        let mut command = std::process::Command::new(crate::harness::CDP);
        command.args(["audit", "receipt"]).arg(&path).args(["--key", key]);
        crate::harness::run_to_end(command, std::time::Duration::from_secs(60)).code
    };
    assert_eq!(check(&receipt, &key), Some(0));
    let mut changed = receipt.clone();
    changed["receipt"]["collectionMethod"] = "call".into();
    assert_eq!(check(&changed, &key), Some(9));
    assert_eq!(check(&receipt, &"0".repeat(64)), Some(9));
    tenant
        .post(
            "/v1/consents/receipts",
            &json!({"channel": "email", "address": "ann@example.com", "purpose": "none"}),
        )
        .expect_problem(404);

    let who = json!({"identifier": {"type": "email", "value": "ann@example.com"}});
    let profile = tenant.post("/v1/profiles/lookup", &who).ok();
    let audit = tenant.get("/v1/audit?limit=2").ok();
    assert_eq!(audit["items"][0]["act"], "PUT /v1/purposes/{name}", "{audit}");
    assert_eq!(
        (audit["items"][0]["details"]["path"].as_str(), audit["items"][0]["entry"].as_u64()),
        (Some("/v1/purposes/news"), Some(1))
    );
    let rest = tenant.get(&format!("/v1/audit?cursor={}", audit["next_cursor"].as_str().unwrap())).ok();
    let all = [audit["items"].as_array().unwrap().as_slice(), rest["items"].as_array().unwrap()].concat();
    let lookup = all.iter().find(|item| item["act"] == "POST /v1/profiles/lookup").unwrap();
    assert_eq!(lookup["details"]["profile"], profile["id"], "{lookup}");
    assert!(lookup["by"].as_str().unwrap().starts_with("key_"), "{lookup}");
    assert!(!json!(all).to_string().contains("ann@"), "nobody is named");
    let text = std::fs::read_to_string(server.data_dir.join("ledger/00000001/audit/entries")).unwrap();
    assert_eq!(text.lines().count(), all.len());
    server.finish();
}

#[test]
fn an_edited_ledger_is_found_offline_and_another_master_key_opens_the_data() {
    let own = tempfile::tempdir().unwrap();
    let mut server = Server::at(&own.path().join("data"));
    let mut tenant = server.tenant("shop");
    for n in 0..5 {
        let consent = json!({"channel": "email", "address": format!("a{n}@example.com"), "purpose": "news", "status": "granted",
            "time": "2026-01-01T00:00:00Z"});
        tenant.post("/v1/consents", &consent).expect_status(200);
    }
    server.terminate();
    let command = |args: &[&str], more: &[(&str, &std::path::Path)]| {
        let mut command = std::process::Command::new(crate::harness::CDP);
        command.args(args).arg("--data-dir").arg(own.path().join("data"));
        for (name, path) in more {
            command.arg(name).arg(path);
        }
        crate::harness::run_to_end(command, std::time::Duration::from_secs(60))
    };
    let verified = command(&["audit", "verify"], &[]);
    assert_eq!(verified.code, Some(0), "{} {}", verified.stdout, verified.stderr);
    assert!(verified.stdout.contains("consents: 5 entries hold"), "{}", verified.stdout);
    let path = own.path().join("data/ledger/00000001/consents/entries");
    let whole = std::fs::read(&path).unwrap();
    let mut edited = whole.clone();
    let third = edited.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0;
    edited[third + 40] ^= 1;
    std::fs::write(&path, &edited).unwrap();
    let found = command(&["audit", "verify"], &[]);
    assert_eq!(found.code, Some(9), "{}", found.stdout);
    assert!(found.stdout.contains("consents: entry 3 does not hold"), "{}", found.stdout);
    std::fs::write(&path, &whole).unwrap();

    let (old, new) = (own.path().join("data.key"), own.path().join("new.key"));
    let rotated = command(&["keys", "rotate"], &[("--to-key-file", &new)]);
    assert_eq!(rotated.code, Some(0), "{}", rotated.stderr);
    assert_ne!(command(&["audit", "verify"], &[("--master-key-file", &old)]).code, Some(0));
    assert_eq!(command(&["audit", "verify"], &[("--master-key-file", &new)]).code, Some(0));
    std::fs::rename(&new, &old).unwrap();
    server.restart();
    tenant = tenant.at(&server.url);
    let point = json!({"channel": "email", "address": "a1@example.com"});
    let held = crate::harness::until(std::time::Duration::from_secs(60), || {
        let answer = tenant.post("/v1/channels/lookup", &point);
        (answer.status == 200).then(|| answer.json())
    });
    assert_eq!(held.unwrap()["consents"]["news"]["status"], "granted");
    server.finish();
}
