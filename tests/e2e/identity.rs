//! Identity as clients meet it: known duplicates are found, joins are undone, and every answer says why.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::crash::verify_store;
use crate::harness::{Server, Tenant, root, send_all, sets, unpack, until};

/// A person's record: its name, and the keys by which it is matched.
type Record = (String, Vec<(&'static str, String)>);

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Reads a table of people; every key is a column, or several of which all must be there.
fn people(bytes: &[u8], name: &str, keys: &[(&'static str, &[&str])]) -> Vec<Record> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let head = reader.headers().unwrap().clone();
    let place = |name: &str| head.iter().position(|column| column == name).unwrap();
    let rows = reader.records().map(|row| {
        let row = row.unwrap();
        let mut of = Vec::new();
        for (key, columns) in keys {
            let parts: Vec<_> = columns.iter().map(|column| squeezed(&row[place(column)])).collect();
            if parts.iter().all(|part| !part.is_empty()) {
                of.push((*key, parts.join("|")));
            }
        }
        (row[place(name)].to_owned(), of)
    });
    rows.collect()
}

fn groups(bytes: &[u8]) -> BTreeMap<String, String> {
    let mut reader = csv::Reader::from_reader(bytes);
    reader.records().map(|row| row.unwrap()).map(|row| (row[0].to_owned(), row[1].to_owned())).collect()
}

/// Sends the records and checks the group of each: it is named after its smallest record.
fn grouped_as_expected(
    tenant: &Tenant,
    records: &[Record],
    keys: &[&str],
    expected: &BTreeMap<String, String>,
) {
    assert_eq!(records.len(), expected.len());
    let named = |kind: &str, value: &str| json!({"type": kind, "value": value});
    let events: Vec<Value> = records
        .iter()
        .map(|(record, of)| {
            let mut identifiers = vec![named("record", record)];
            identifiers.extend(of.iter().filter(|(key, _)| keys.contains(key)).map(|(k, v)| named(k, v)));
            json!({"id": record, "source": "people", "type": "identify", "time": "2024-01-01T00:00:00Z",
                   "identifiers": identifiers})
        })
        .collect();
    send_all(tenant, &events);
    let mut members: BTreeMap<String, BTreeSet<&String>> = BTreeMap::new();
    for (record, _) in records {
        let profile = tenant.profile("record", record);
        members.entry(profile["id"].as_str().unwrap().to_owned()).or_default().insert(record);
    }
    let mut wrong = Vec::new();
    for records in members.values() {
        let name = records.first().unwrap();
        wrong.extend(records.iter().filter(|record| expected[**record] != **name).map(ToString::to_string));
    }
    assert!(wrong.is_empty(), "{} records are in another group: {wrong:?}", wrong.len());
    assert_eq!(members.len(), expected.values().collect::<BTreeSet<_>>().len());
}

/// Rules that say nothing: equal values join, and nothing else does.
fn plain_rules(tenant: &Tenant) {
    let types =
        json!([{"type": "record", "priority": 1}, {"type": "email", "priority": 2, "normaliser": "opaque"}]);
    tenant.put("/v1/identity/rules", &json!({"types": types, "block_usual": false})).expect_status(200);
}

const FAKE: [(&str, &[&str]); 2] = [("email", &["email"]), ("name_dob", &["first_name", "surname", "dob"])];
const FEBRL: [(&str, &[&str]); 2] =
    [("ssid", &["soc_sec_id"]), ("name_dob", &["given_name", "surname", "date_of_birth"])];

#[test]
fn the_committed_duplicates_are_found_record_for_record() {
    let data = root().join("tests/e2e/data");
    let records = people(&unpack(&data.join("fake_1000.csv.gz")), "unique_id", &FAKE);
    let expected = groups(&unpack(&data.join("fake_1000_components.csv.gz")));
    let server = Server::fresh();
    let tenant = server.tenant("people");
    plain_rules(&tenant);
    grouped_as_expected(&tenant, &records, &["email", "name_dob"], &expected);
    server.finish();
}

#[test]
fn known_duplicates_of_four_sets_are_found_record_for_record() {
    let Some(dir) = sets::shared("known_duplicates_of_four_sets_are_found_record_for_record") else { return };
    let server = Server::fresh();
    for n in 0..=3 {
        let (set, file, name, keys) = match n {
            0 => ("fake_1000".to_owned(), "fake_1000.csv.gz".to_owned(), "unique_id", &FAKE),
            n => (format!("febrl{n}"), format!("febrl_dataset{n}.csv.gz"), "rec_id", &FEBRL),
        };
        let records = people(&unpack(&dir.join("people").join(file)), name, keys);
        let all = [vec![keys[0].0], vec![keys[0].0, keys[1].0]];
        for (turn, keys) in all.iter().enumerate() {
            let tenant = server.tenant(&format!("people-{n}-{turn}"));
            plain_rules(&tenant);
            let by = format!("by_{}", keys.join("_or_"));
            let expected = dir.join("expected").join(&set).join(by).join("components.csv.gz");
            grouped_as_expected(&tenant, &records, keys, &groups(&unpack(&expected)));
        }
    }
    server.finish();
}

fn event(id: &str, time: &str, identifiers: &[(&str, &str)]) -> Value {
    let identifiers: Vec<_> =
        identifiers.iter().map(|(kind, value)| json!({"type": kind, "value": value})).collect();
    json!({"id": id, "source": "shop", "type": "visit", "time": format!("2026-01-{time}T00:00:00Z"),
           "identifiers": identifiers, "properties": {"page": id}})
}

fn linked(tenant: &Tenant, a: (&str, &str), b: (&str, &str)) -> Value {
    let of = |(kind, value): (&str, &str)| json!({"type": kind, "value": value});
    tenant.post("/v1/identity/explain", &json!({"a": of(a), "b": of(b)})).expect_status(200)
}

#[test]
fn every_answer_says_why_and_what_would_part_them() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    send_all(
        &tenant,
        &[
            event("1", "01", &[("user_id", "abc123"), ("email", "jane@example.com")]),
            event("2", "02", &[("user_id", "abc456"), ("email", "Jane@Example.com")]),
            event("3", "03", &[("device", "d"), ("email", "jane@example.com")]),
            event("4", "04", &[("user_id", "null"), ("device", "other")]),
            event("5", "05", &[("user_id", "NULL"), ("device", "another")]),
        ],
    );
    let (one, two) = (tenant.profile("user_id", "abc123"), tenant.profile("user_id", "abc456"));
    assert_ne!(one["id"], two["id"]);
    assert_eq!(tenant.profile("email", "JANE@example.com")["id"], one["id"]);
    assert_ne!(tenant.profile("device", "other")["id"], tenant.profile("device", "another")["id"]);

    let why = linked(&tenant, ("user_id", "abc123"), ("device", "d"));
    assert_eq!((&why["linked"], &why["profile_id"]), (&json!(true), &one["id"]));
    let steps: Vec<_> =
        why["path"].as_array().unwrap().iter().map(|step| step["kind"].as_str().unwrap()).collect();
    assert_eq!(steps, ["identifier", "fragment", "identifier", "fragment", "identifier"], "{why}");
    assert_eq!(why["separating"].as_array().unwrap().len(), 1, "{why}");
    let apart = linked(&tenant, ("user_id", "abc123"), ("user_id", "abc456"));
    assert_eq!((&apart["linked"], &apart["a"], &apart["b"]), (&json!(false), &one["id"], &two["id"]));
    let because = &apart["because"][0];
    assert_eq!(
        (&because["kind"], &because["identifier"]["type"]),
        (&json!("set_aside"), &json!("email")),
        "{apart}"
    );
    assert_eq!(
        (&because["reason"]["rule"], &because["reason"]["type"]),
        (&json!("unique"), &json!("user_id"))
    );

    let path = format!("/v1/profiles/{}/identity", two["id"].as_str().unwrap());
    let identity = tenant.get(&path).expect_status(200);
    let fragment = &identity["fragments"][0];
    assert_eq!(
        (&fragment["decision"], &fragment["first_event"]["event_id"]),
        (&json!("created"), &json!("2"))
    );
    let standing = |n: usize| fragment["identifiers"][n]["standing"].clone();
    assert_eq!((standing(0), standing(1)), (json!("set_aside"), json!("links")), "{identity}");
    let blocked = tenant.profile("device", "other");
    let path = format!("/v1/profiles/{}/identity", blocked["id"].as_str().unwrap());
    let identity = tenant.get(&path).expect_status(200);
    assert_eq!(identity["identifiers"][1]["standing"], "blocked", "{identity}");
    server.finish();
}

#[test]
fn a_join_is_undone_and_redone_over_restarts_and_old_ids_lead_on() {
    let mut server = Server::fresh();
    let mut tenant = server.tenant("shop");
    send_all(
        &tenant,
        &[
            event("1", "01", &[("email", "ann@x.eu")]),
            event("2", "02", &[("loyalty", "7")]),
            event("3", "03", &[("email", "ann@x.eu"), ("loyalty", "7")]),
        ],
    );
    let joined = tenant.profile("loyalty", "7")["id"].clone();
    assert_eq!(joined, tenant.profile("email", "ann@x.eu")["id"]);
    let never = json!({"kind": "must_not_link", "a": {"type": "email", "value": "Ann@X.eu"},
        "b": {"type": "loyalty", "value": "7"}, "reason": "two customers"});
    let made = tenant.post("/v1/identity/constraints", &never).expect_status(201);
    assert_eq!((&made["kind"], &made["a"]["value"]), (&json!("must_not_link"), &json!("ann@x.eu")), "{made}");
    assert_eq!(tenant.post("/v1/identity/constraints", &never).expect_status(200)["id"], made["id"]);
    for turn in 0..2 {
        let (ann, card) = (tenant.profile("email", "ann@x.eu"), tenant.profile("loyalty", "7"));
        assert_eq!((&ann["id"], ann["fragments"].as_array().unwrap().len()), (&joined, 2));
        assert_ne!(card["id"], joined);
        let log = tenant.get("/v1/identity/log").expect_status(200);
        assert_eq!(log["items"][0]["kind"], "split", "{log}");
        assert_eq!(log["items"][0]["because"]["constraint"], made["id"], "{log}");
        assert_eq!(log["items"][1]["kind"], "merged", "{log}");
        if turn == 0 {
            server.kill_and_restart();
            tenant = tenant.at(&server.url);
            until(std::time::Duration::from_secs(60), || (tenant.get("/readyz").status == 200).then_some(()))
                .unwrap();
        }
    }
    let apart = linked(&tenant, ("email", "ann@x.eu"), ("loyalty", "7"));
    assert!(apart["because"].as_array().unwrap().iter().any(|why| why["kind"] == "constraint"), "{apart}");
    let listed = tenant.get("/v1/identity/constraints").expect_status(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let path = format!("/v1/identity/constraints/{}", made["id"].as_str().unwrap());
    tenant.delete(&path).expect_status(204);
    tenant.delete(&path).expect_problem(404);
    assert_eq!(tenant.profile("loyalty", "7")["id"], joined);
    server.finish();
}

#[test]
fn rules_are_tried_changed_and_refused_with_pointers() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let begun = tenant.get("/v1/identity/rules").expect_status(200);
    assert_eq!((&begun["version"], &begun["shared_after"]), (&json!(0), &json!(5)), "{begun}");
    assert_eq!((&begun["types"][0]["type"], &begun["types"][0]["unique"]), (&json!("user_id"), &json!(true)));
    send_all(
        &tenant,
        &[
            event("1", "01", &[("user_id", "u1"), ("device", "d")]),
            event("2", "02", &[("user_id", "u2"), ("device", "d")]),
        ],
    );
    let (one, two) =
        (tenant.profile("user_id", "u1")["id"].clone(), tenant.profile("user_id", "u2")["id"].clone());
    let rules = json!({"types": [{"type": "user_id", "priority": 1}], "shared_after": 9});
    let tried = tenant.put("/v1/identity/rules?dry_run=true", &rules).expect_status(200);
    let mut parts = [one.clone(), two.clone()];
    parts.sort_by_key(ToString::to_string);
    assert_eq!(tried["merges"], json!([{"profile_id": one, "parts": parts}]), "{tried}");
    assert_eq!((&tried["splits"], &tried["profiles_after"]), (&json!([]), &json!(1)));
    assert_eq!(tenant.profile("user_id", "u2")["id"], two);
    let put = tenant.put("/v1/identity/rules", &rules).expect_status(200);
    assert_eq!(put["version"], 1);
    assert_eq!(tenant.put("/v1/identity/rules", &rules).expect_status(200)["version"], 1);
    assert_eq!(tenant.profile("user_id", "u2")["id"], one);
    let back = json!({"types": begun["types"], "shared_after": 5});
    let tried = tenant.put("/v1/identity/rules?dry_run=true", &back).expect_status(200);
    assert_eq!(tried["splits"], json!([{"profile_id": one, "parts": parts}]), "{tried}");
    assert_eq!(tenant.put("/v1/identity/rules", &back).expect_status(200)["version"], 2);
    assert_eq!(tenant.profile("user_id", "u2")["id"], two);

    let bad = json!({"types": [{"type": "a", "priority": 0, "colour": 1}], "shared_after": "x"});
    let problem = tenant.put("/v1/identity/rules", &bad).expect_problem(422);
    let pointers: BTreeSet<_> =
        problem["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, BTreeSet::from(["/types/0/colour", "/types/0/priority", "/shared_after"]));
    let bad = json!({"kind": "maybe", "a": "prf_7", "b": {"type": "email", "value": "no address"}});
    let problem = tenant.post("/v1/identity/constraints", &bad).expect_problem(422);
    let pointers: BTreeSet<_> =
        problem["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, BTreeSet::from(["/kind", "/a", "/b/value", "/reason"]));
    tenant
        .post("/v1/identity/explain", &json!({"a": "prf_00000000000000000000000000000000"}))
        .expect_problem(422);
    server.finish();
}

#[test]
fn an_alias_joins_two_users_unless_a_public_key_says_so() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let public = tenant.post("/v1/keys", &json!({"name": "web", "scopes": ["ingest"], "public": true}));
    let public = tenant.with_key(public.expect_status(201)["key"].as_str().unwrap());
    tenant
        .post("/v1/keys", &json!({"name": "web", "scopes": ["ingest", "read"], "public": true}))
        .expect_problem(422);
    let identify = |user: &str, n: &str| json!({"type": "identify", "userId": user, "messageId": n});
    let alias = |from: &str, to: &str, n: &str| json!({"type": "alias", "previousId": from, "userId": to, "messageId": n});
    let send = |who: &Tenant, what: &Value| {
        who.post("/v1/batch", &json!({"batch": [what]})).expect_status(200);
    };
    for (user, n) in [("old", "1"), ("new", "2"), ("third", "3")] {
        send(&tenant, &identify(user, n));
    }
    send(&tenant, &alias("old", "old", "4"));
    send(&tenant, &alias("old", "new", "5"));
    send(&public, &alias("third", "new", "6"));
    let wait = tenant.post("/v1/events?wait=applied", &event("w", "01", &[("user_id", "w")]));
    wait.expect_status(202);
    assert_eq!(tenant.profile("user_id", "old")["id"], tenant.profile("user_id", "new")["id"]);
    assert_ne!(tenant.profile("user_id", "third")["id"], tenant.profile("user_id", "new")["id"]);
    server.finish();
}

#[test]
fn a_kill_in_the_middle_of_a_change_of_rules_leaves_all_of_it_or_nothing() {
    let mut server = Server::fresh();
    let tenant = server.tenant("shop");
    let events: Vec<_> = (0..6000)
        .map(|n| {
            let (user, device) = (format!("u{n}"), format!("d{}", n / 3));
            event(&format!("e{n}"), "01", &[("user_id", &user), ("device", &device)])
        })
        .collect();
    send_all(&tenant, &events);
    let rules = json!({"types": [{"type": "user_id", "priority": 1}]});
    for turn in 0..3 {
        let client = tenant.at(&server.url);
        let rules = if turn == 1 {
            json!({"types": [{"type": "user_id", "priority": 1, "unique": true}]})
        } else {
            rules.clone()
        };
        let putting = std::thread::spawn(move || {
            client
                .try_call("PUT", "/v1/identity/rules", "application/json", Some(rules.to_string().as_bytes()))
                .ok();
        });
        // Somewhere in it: the change takes longer than this on any machine, or is over, which must be right too.
        std::thread::sleep(std::time::Duration::from_millis(20 + 40 * turn));
        server.kill_and_restart();
        putting.join().unwrap();
        let after = tenant.at(&server.url);
        until(std::time::Duration::from_secs(60), || (after.get("/readyz").status == 200).then_some(()))
            .unwrap();
        let version = after.get("/v1/identity/rules").expect_status(200)["version"].as_u64().unwrap();
        assert!(version <= turn + 1);
        let together = after.profile("user_id", "u0")["id"] == after.profile("user_id", "u2")["id"];
        for n in (0..6000).step_by(600) {
            let same = after.profile("user_id", &format!("u{n}"))["id"]
                == after.profile("user_id", &format!("u{}", n + 2))["id"];
            assert_eq!(same, together, "{n} with the rules of version {version}");
        }
    }
    server.terminate();
    verify_store(&server);
}
