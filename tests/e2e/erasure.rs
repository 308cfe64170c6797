//! People are erased: at once out of everything, for good, and no way leads back.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::guests::activate;
use crate::harness::{CDP, Client, Server, Tenant, guest, run_to_end, send_all, until};

/// How many are erased; `CDP_ERASED` asks for another number. The figure that is reported is for 200.
fn people() -> usize {
    std::env::var("CDP_ERASED").ok().and_then(|text| text.parse().ok()).unwrap_or(24)
}

fn email(n: usize) -> String {
    format!("person-{n}@example.com")
}

fn identifier(n: usize) -> Value {
    json!({"type": "email", "value": email(n)})
}

/// What is known of a person before: orders, consent, a device, and an event that its schema keeps out.
fn events_of(n: usize) -> Vec<Value> {
    let who = json!([{"type": "customer_id", "value": format!("c{n}")}, identifier(n)]);
    vec![
        json!({"id": format!("order-{n}"), "type": "purchase", "time": "2026-03-01T00:00:00Z", "identifiers": who,
            "properties": {"total": "120"}, "traits": {"name": format!("Person {n}")},
            "channels": [{"channel": "email", "address": email(n), "verified": true}]}),
        json!({"id": format!("consent-{n}"), "type": "preference", "time": "2026-03-02T00:00:00Z",
            "identifiers": [{"type": "customer_id", "value": format!("c{n}")}],
            "consents": [{"channel": "email", "address": email(n), "purpose": "marketing", "status": "granted",
                "method": "web-form", "policy_version": "2026-05", "evidence": format!("form of person {n}")}]}),
        json!({"id": format!("bad-{n}"), "type": "visit", "time": "2026-03-03T00:00:00Z", "identifiers": who,
            "properties": {"pages": "many"}}),
        json!({"id": format!("future-{n}"), "type": "purchase", "time": "2126-03-01T00:00:00Z", "identifiers": who,
            "properties": {"total": "7"}}),
    ]
}

fn define(tenant: &Tenant) {
    let purpose = json!({"title": "News", "legal_basis": "consent", "channels": ["email"]});
    tenant.define("/v1/purposes/marketing", &purpose);
    tenant.define("/v1/attributes/spend", &json!({"kind": "sum", "event": "purchase", "property": "/total"}));
    let rule = json!({"attribute": "spend", "op": "gte", "value": "100"});
    tenant.define("/v1/segments/big", &json!({"title": "Big", "rule": rule}));
    let reachable = json!({"reachable": {"channel": "email", "purpose": "marketing"}});
    tenant.define("/v1/segments/reachable", &json!({"title": "Reachable", "rule": reachable}));
    let schema = json!({"mode": "quarantine", "properties": {"properties": {"pages": {"type": "number"}}}});
    tenant.put("/v1/catalogue/types/visit/schema", &schema).ok();
}

fn erase(tenant: &Tenant, n: usize) -> Value {
    let asked = json!({"identifier": identifier(n), "reason": "asked for"});
    tenant.post("/v1/erasures", &asked).expect_status(202)
}

fn certificate(tenant: &Tenant, started: &Value) -> Value {
    let job = tenant.finish_job(started).unwrap();
    assert_eq!(job["status"], "done", "{job}");
    job["result"].clone()
}

/// How often a person bought, as a plugin derives it.
fn bought(tenant: &Tenant, n: usize) -> String {
    let profile = tenant.post("/v1/profiles/lookup", &json!({"identifier": identifier(n)})).ok();
    profile["attributes"]["bought"]["value"].to_string().trim_matches('"').to_owned()
}

fn size(tenant: &Tenant, segment: &str) -> u64 {
    tenant.get(&format!("/v1/segments/{segment}")).ok()["size"].as_u64().unwrap()
}

fn suppressed_counted(tenant: &Client) -> u64 {
    let metrics = tenant.get("/metrics").text();
    let line = metrics.lines().find(|line| line.starts_with("cdp_events_suppressed_total{"));
    line.and_then(|line| line.rsplit(' ').next()).map_or(0, |count| count.parse::<f64>().unwrap() as u64)
}

/// Nothing of these people is there, whatever is asked.
#[track_caller]
fn assert_gone(tenant: &Tenant, count: usize, way: &str) {
    // The state is opened again after its files were written anew; meanwhile the answer is 503.
    for n in 0..count {
        let found = tenant.post_patiently("/v1/profiles/lookup", &json!({"identifier": identifier(n)}));
        assert_eq!(found.status, 404, "{way}: {n} {}", found.text());
        let customer = json!({"identifier": {"type": "customer_id", "value": format!("c{n}")}});
        assert_eq!(tenant.post_patiently("/v1/profiles/lookup", &customer).status, 404, "{way}: {n}");
        let point = json!({"channel": "email", "address": email(n)});
        assert_eq!(tenant.post_patiently("/v1/channels/lookup", &point).status, 404, "{way}: {n}");
    }
    ready(tenant);
    for segment in ["big", "reachable"] {
        assert_eq!(size(tenant, segment), 1, "{way}: the survivor is the only member of {segment}");
    }
    let accounting = tenant.get("/v1/accounting").ok();
    assert_eq!(accounting["difference"], 0, "{way}: {accounting}");
}

/// Sends one event about each, which must be answered `suppressed`; how many attempts that were.
fn attempt(tenant: &Tenant, count: usize, event: impl Fn(usize) -> Value) -> u64 {
    for n in 0..count {
        let refused = tenant.post("/v1/events", &event(n)).expect_problem(403);
        assert_eq!(refused["code"], "suppressed", "{refused}");
    }
    count as u64
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn no_way_leads_back_for_the_erased() {
    let own = tempfile::tempdir().unwrap();
    let mut server = Server::at(&own.path().join("data"));
    let mut tenant = server.tenant("shop");
    let count = people();
    define(&tenant);
    activate(&tenant, "rfm", &guest("rfm.wasm"), &json!({"purchases": "purchase"}));
    tenant.define("/v1/attributes/bought", &json!({"plugin": "rfm", "output": "frequency"}));
    let before: Vec<Value> = (0..=count).flat_map(events_of).collect();
    send_all(&tenant, &before);
    let derived = until(std::time::Duration::from_secs(60), || (bought(&tenant, count) == "1").then_some(()));
    assert!(derived.is_some(), "what was sent last is derived, and so is what was sent before");
    let export = json!({
        "segment": "big", "format": "csv", "mode": "full",
        "fields": [{"name": "mail", "from": "channel.email"}, {"name": "name", "from": "trait.name"}],
        "consent": {"channel": "email", "purpose": "marketing"},
    });
    let (old_export, file) = tenant.export(&export);
    assert_eq!(file.lines().count(), count + 2);
    let cached = |tenant: &Tenant, n: usize| {
        let key = format!("cached-{n}");
        let asked = json!({"identifier": identifier(n)});
        tenant.call_with("POST", "/v1/profiles/lookup", &[("idempotency-key", &key)], &asked)
    };
    (0..count).for_each(|n| drop(cached(&tenant, n).ok()));
    server.terminate();
    copy(&server.data_dir.join("state"), &own.path().join("old-state"));
    server.restart();
    tenant = tenant.at(&server.url);

    let mut backup = std::process::Command::new(CDP);
    backup.args(["backup", "create"]).arg(own.path().join("backup")).arg("--data-dir").arg(&server.data_dir);
    let made = run_to_end(backup, std::time::Duration::from_secs(120));
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let first = tenant.post("/v1/profiles/lookup", &json!({"identifier": identifier(0)})).ok();
    let disclosed = tenant.get(&format!("/v1/profiles/{}/disclosures", first["id"].as_str().unwrap())).ok();
    assert_eq!(disclosed["items"][0]["id"], old_export["id"], "{disclosed}");
    let preview = json!({"identifier": identifier(0)});
    let preview = tenant.post("/v1/erasures?dry_run=true", &preview).expect_status(200);
    assert_eq!((preview["events"].as_u64(), preview["exports"].as_u64()), (Some(3), Some(1)), "{preview}");
    let compared = tenant.post("/v1/plugins/rfm/versions/1/replay", &json!({})).expect_status(202);
    assert_eq!(tenant.finish_job(&compared).unwrap()["result"]["compared"], count + 1);
    let started: Vec<Value> = (0..count).map(|n| erase(&tenant, n)).collect();
    assert_gone(&tenant, count, "when it is answered");
    for started in &started {
        let certificate = certificate(&tenant, started);
        let counts = &certificate["counts"];
        assert_eq!(counts["profiles"], 1, "{certificate}");
        assert_eq!(
            (counts["events"].as_u64(), counts["dead_letters"].as_u64()),
            (Some(3), Some(1)),
            "{certificate}"
        );
        assert_eq!((counts["export_files"].as_u64(), counts["export_rows"].as_u64()), (Some(1), Some(1)));
        assert_eq!(counts["waiting_events"], 1, "{certificate}");
        assert_eq!(counts["derived"], 3, "a state of either fragment and a reading: {certificate}");
        assert!(certificate["suppressions"].as_array().unwrap().len() >= 3, "{certificate}");
    }
    let compared = compared["job"].as_str().unwrap();
    tenant.get(&format!("/v1/jobs/{compared}")).expect_problem(404);
    let counted = suppressed_counted(&tenant);
    let mut attempts = 0;

    // 1: a late event.
    attempts += attempt(
        &tenant,
        count,
        |n| json!({"id": format!("late-{n}"), "type": "purchase", "time": "2026-02-01T00:00:00Z", "identifiers": [identifier(n)]}),
    );
    // 2: a client that sends again what was taken in before.
    attempts += attempt(&tenant, count, |n| events_of(n)[0].clone());
    // 3: an analytics SDK's import.
    for n in 0..count {
        let message = json!({"type": "identify", "messageId": format!("m{n}"), "userId": format!("u{n}"),
            "traits": {"email": email(n)}});
        let answer = tenant.post("/v1/import", &json!({"batch": [message]})).ok();
        assert_eq!(answer["results"][0]["status"], "suppressed", "{answer}");
    }
    attempts += count as u64;
    // 4: a file.
    let lines: Vec<String> = (0..count).flat_map(events_of).map(|event| event.to_string()).collect();
    let path = own.path().join("people.ndjson");
    std::fs::write(&path, lines.join("\n")).unwrap();
    let mut command = std::process::Command::new(CDP);
    command
        .args(["import", "events"])
        .arg(&path)
        .args(["--url", tenant.url()])
        .env("CDP_API_KEY", tenant.key());
    let ended = run_to_end(command, std::time::Duration::from_secs(120));
    assert_ne!(ended.code, Some(0), "{}", ended.stdout);
    attempts += lines.len() as u64;
    assert_gone(&tenant, count, "sent again");
    // 5: dead letters.
    let replay = tenant.post("/v1/dead-letters/replay", &json!({})).expect_status(202);
    assert_eq!(tenant.finish_job(&replay).unwrap()["status"], "done");
    let refused = tenant.post("/v1/dead-letters/replay", &json!({"status": "suppressed"}));
    assert_eq!(refused.status, 422);
    assert_gone(&tenant, count, "replay of dead letters");
    // 6: a backfill.
    tenant.define("/v1/attributes/orders", &json!({"kind": "count", "event": "purchase"}));
    let rule = json!({"attribute": "orders", "op": "gte", "value": 1});
    tenant.define("/v1/segments/buyers", &json!({"title": "Buyers", "rule": rule}));
    assert_eq!(size(&tenant, "buyers"), 1);
    assert_gone(&tenant, count, "backfill");
    // 7: consents by the address alone.
    for n in 0..count {
        let consent = json!({"channel": "email", "address": email(n), "purpose": "marketing", "status": "granted",
            "time": "2026-04-01T00:00:00Z"});
        assert_eq!(tenant.post("/v1/consents", &consent).expect_problem(403)["code"], "suppressed");
    }
    attempts += count as u64;
    // 8: a cached reading.
    for n in 0..count {
        assert_eq!(cached(&tenant, n).status, 404, "an answer that was remembered");
    }
    // 9: exports, the old one and one made again.
    let old = tenant.get(&format!("/v1/exports/{}/file", old_export["id"].as_str().unwrap())).text();
    assert_eq!(old.lines().count(), 2, "{old}");
    let told = tenant.get(&format!("/v1/exports/{}", old_export["id"].as_str().unwrap())).ok();
    assert_eq!(
        (told["rows"].as_u64(), told["withheld"]["erased"].as_u64()),
        (Some(1), Some(count as u64)),
        "{told}"
    );
    assert_eq!(tenant.export(&export).1.lines().count(), 2);
    // 10: somebody new who brings an identifier, or an address, of theirs.
    attempts += attempt(&tenant, count, |n| {
        let both = json!([identifier(n), {"type": "customer_id", "value": format!("new-{n}")}]);
        json!({"id": format!("merge-{n}"), "type": "alias", "identifiers": both})
    });
    attempts += attempt(&tenant, count, |n| {
        json!({"id": format!("channel-{n}"), "type": "visit", "identifiers": [{"type": "customer_id", "value": format!("new-{n}")}],
            "channels": [{"channel": "email", "address": email(n)}]})
    });
    assert_gone(&tenant, count, "merge");
    assert_eq!(suppressed_counted(&tenant) - counted, attempts, "each attempt is counted");
    // 11: a crash and a rebuild.
    server.kill();
    std::fs::remove_dir_all(server.data_dir.join("state")).unwrap();
    server.restart();
    tenant = tenant.at(&server.url);
    ready(&tenant);
    assert_gone(&tenant, count, "rebuild");
    // 12: an old copy of the state put back.
    server.terminate();
    std::fs::remove_dir_all(server.data_dir.join("state")).unwrap();
    copy(&own.path().join("old-state"), &server.data_dir.join("state"));
    server.restart();
    tenant = tenant.at(&server.url);
    ready(&tenant);
    assert_gone(&tenant, count, "an old state");
    attempt(
        &tenant,
        count,
        |n| json!({"id": format!("last-{n}"), "type": "purchase", "identifiers": [identifier(n)]}),
    );

    // 13: a backup from before is restored elsewhere.
    let restored = own.path().join("restored");
    let mut restore = std::process::Command::new(CDP);
    restore.args(["backup", "restore"]).arg(own.path().join("backup")).arg("--data-dir").arg(&restored);
    restore.arg("--erasures-file").arg(own.path().join("data.erasures"));
    let put_back = run_to_end(restore, std::time::Duration::from_secs(120));
    assert_eq!(put_back.code, Some(0), "{}", put_back.stderr);
    std::fs::copy(own.path().join("data.key"), own.path().join("restored.key")).unwrap();
    std::fs::copy(own.path().join("data.erasures"), own.path().join("restored.erasures")).unwrap();
    let elsewhere = Server::at(&restored);
    let there = tenant.at(&elsewhere.url);
    ready(&there);
    assert_gone(&there, count, "restored");
    attempt(
        &there,
        count,
        |n| json!({"id": format!("back-{n}"), "type": "purchase", "identifiers": [identifier(n)]}),
    );
    elsewhere.finish();

    let survivor = json!({"identifier": identifier(count)});
    let survivor = tenant.post("/v1/profiles/lookup", &survivor).ok();
    assert_eq!(survivor["attributes"]["spend"]["value"].to_string().trim_matches('"'), "120", "{survivor}");
    assert_eq!(bought(&tenant, count), "1");
    eprintln!("{count} erased, 13 ways back, {attempts} attempts suppressed and counted, nothing reappeared");
    server.terminate();
    let mut verify = std::process::Command::new(CDP);
    verify.args(["store", "verify", "--data-dir"]).arg(&server.data_dir);
    let verified = run_to_end(verify, std::time::Duration::from_secs(120));
    assert_eq!(verified.code, Some(0), "{} {}", verified.stdout, verified.stderr);
    let mut audit = std::process::Command::new(CDP);
    audit.args(["audit", "verify", "--data-dir"]).arg(&server.data_dir);
    let audited = run_to_end(audit, std::time::Duration::from_secs(120));
    assert_eq!(audited.code, Some(0), "{} {}", audited.stdout, audited.stderr);
    assert!(audited.stdout.contains(&format!("{count} of them erased")), "{}", audited.stdout);
}

fn ready(tenant: &Tenant) {
    let ready =
        crate::harness::until(std::time::Duration::from_secs(120), || tenant.anonymous_ready().then_some(()));
    assert!(ready.is_some(), "the server becomes ready");
}

#[test]
fn a_lifted_suppression_lets_new_events_in_and_nothing_old() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    define(&tenant);
    send_all(&tenant, &[events_of(1), events_of(2)].concat());
    let certificate = certificate(&tenant, &erase(&tenant, 1));
    let suppressions: Vec<String> = certificate["suppressions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_str().unwrap().to_owned())
        .collect();
    let listed = tenant.get("/v1/suppressions").ok();
    assert_eq!(listed["items"].as_array().unwrap().len(), suppressions.len(), "{listed}");
    for id in &suppressions {
        tenant.delete(&format!("/v1/suppressions/{id}?reason=came+back")).expect_status(204);
        tenant.delete(&format!("/v1/suppressions/{id}")).expect_problem(404);
    }
    let again = tenant.post("/v1/events?wait=applied", &events_of(1)[0]).expect_status(202);
    assert_eq!(again["duplicates"], 1, "what was sent before stays a repeat, and erased: {again}");
    tenant.post("/v1/profiles/lookup", &json!({"identifier": identifier(1)})).expect_problem(404);
    let mut fresh = events_of(1)[0].clone();
    fresh["id"] = "order-again".into();
    tenant.post("/v1/events?wait=applied", &fresh).expect_status(202);
    let profile = tenant.post("/v1/profiles/lookup", &json!({"identifier": identifier(1)})).ok();
    assert_eq!(profile["attributes"]["spend"]["value"].to_string().trim_matches('"'), "120", "{profile}");
    let consents = &profile["channels"][0]["consents"];
    assert_eq!(consents, &json!({}), "what was agreed to before is forgotten: {profile}");
    let events = tenant.get(&format!("/v1/profiles/{}/events", profile["id"].as_str().unwrap())).ok();
    assert_eq!(events["items"].as_array().unwrap().len(), 1, "{events}");
    // The same person once more.
    let certificate = self::certificate(&tenant, &erase(&tenant, 1));
    assert_eq!(certificate["counts"]["events"], 1, "{certificate}");
    tenant.post("/v1/profiles/lookup", &json!({"identifier": identifier(1)})).expect_problem(404);
    server.finish();
}

#[test]
fn what_others_share_stays_theirs() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    define(&tenant);
    let point = json!([{"channel": "sms", "address": "+37120000000"}]);
    let of = |n: usize| {
        json!({"id": format!("shared-{n}"), "type": "visit", "identifiers": [{"type": "customer_id", "value": format!("c{n}")}],
            "channels": point, "consents": [{"channel": "sms", "address": "+37120000000", "purpose": "marketing",
                "status": if n == 1 { "withdrawn" } else { "granted" }, "time": format!("2026-01-0{n}T00:00:00Z")}]})
    };
    send_all(&tenant, &[of(2), of(1)]);
    let before =
        tenant.post("/v1/channels/lookup", &json!({"channel": "sms", "address": "+371 20 000 000"})).ok();
    assert_eq!(
        (before["shared"].as_bool(), before["history"].as_array().unwrap().len()),
        (Some(true), 2),
        "{before}"
    );
    let asked = json!({"identifier": {"type": "customer_id", "value": "c1"}, "reason": "asked for"});
    let started = tenant.post("/v1/erasures", &asked).expect_status(202);
    certificate(&tenant, &started);
    let after =
        tenant.post("/v1/channels/lookup", &json!({"channel": "sms", "address": "+37120000000"})).ok();
    assert_eq!(after["consents"], before["consents"], "{after}");
    assert_eq!(after["profiles"].as_array().unwrap().len(), 1, "{after}");
    tenant
        .post(
            "/v1/events",
            &json!({"id": "more", "type": "visit", "identifiers": [{"type": "customer_id", "value": "c2"}],
        "channels": point}),
        )
        .expect_status(202);
    server.finish();
}

#[test]
fn a_person_is_given_everything_and_nothing_of_others() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    define(&tenant);
    send_all(&tenant, &[events_of(1), events_of(2)].concat());
    let started =
        tenant.post("/v1/access-requests", &json!({"identifier": identifier(1)})).expect_status(202);
    let job = tenant.finish_job(&started).unwrap();
    let document = &job["result"];
    assert_eq!(document["format"], "cdp-access/1", "{job}");
    assert_eq!(document["events"].as_array().unwrap().len(), 3, "{document}");
    assert_eq!(document["channels"][0]["history"].as_array().unwrap().len(), 1, "{document}");
    let text = document.to_string();
    assert!(text.contains("person-1@example.com") && text.contains("form of person 1"), "{text}");
    assert!(!text.contains("person-2"), "{text}");
    // What is given can be taken elsewhere.
    let other = server.tenant("elsewhere");
    let events: Vec<Value> =
        document["events"].as_array().unwrap().iter().map(|event| event["event"].clone()).collect();
    send_all(&other, &events);
    let there = other.post("/v1/profiles/lookup", &json!({"identifier": identifier(1)})).ok();
    assert_eq!(there["traits"]["name"]["value"], "Person 1", "{there}");
    // A document that was made before an erasure goes with it.
    certificate(&tenant, &erase(&tenant, 1));
    let id = started["job"].as_str().unwrap();
    tenant.get(&format!("/v1/jobs/{id}")).expect_problem(404);
    tenant.post("/v1/access-requests", &json!({"identifier": identifier(1)})).expect_problem(404);
    server.finish();
}

#[test]
fn what_cannot_be_erased_is_said_with_the_reason() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let nobody = json!({"identifier": identifier(9), "reason": "x"});
    tenant.post("/v1/erasures", &nobody).expect_problem(404);
    let problems = |body: &Value| {
        let problem = tenant.post("/v1/erasures", body).expect_problem(422);
        let errors = problem["errors"].as_array().unwrap().clone();
        let pointers: Vec<String> =
            errors.iter().map(|one| one["pointer"].as_str().unwrap().to_owned()).collect();
        pointers
    };
    assert_eq!(problems(&json!({"why": 1})), ["/identifier", "/reason", "/why"]);
    assert_eq!(problems(&json!({"identifier": {"type": "email"}, "reason": "x"})), ["/identifier/value"]);
    assert_eq!(problems(&json!({"identifier": identifier(1), "reason": " "})), ["/reason"]);
    let long = |bytes: usize| json!({"identifier": identifier(1), "reason": "r".repeat(bytes)});
    assert_eq!(problems(&long(1001)), ["/reason"]);
    assert_eq!(tenant.post("/v1/erasures", &long(1000)).status, 404, "the reason is fine, nobody is there");
    let all: BTreeMap<String, Value> = serde_json::from_value(tenant.get("/v1/limits").ok()).unwrap();
    assert_eq!(all["erasure_reason_bytes_max"], 1000);
    server.finish();
}
