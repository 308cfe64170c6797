//! What purposes guard is stored only with consent, and nothing of it stands in any file without.

use serde_json::{Value, json};

use crate::harness::files::holding;
use crate::harness::{CDP, Server, Tenant, run_to_end, send_all};

fn guarding(tenant: &Tenant) {
    let guards = json!([
        {"event": "visit", "property": "/health/note", "action": "remove"},
        {"property": "/ip", "action": "hash"},
        {"trait": "income", "action": "remove"},
    ]);
    let care = json!({"title": "Care", "legal_basis": "consent", "guards": guards});
    tenant.define("/v1/purposes/care", &care);
}

fn visit(id: &str, customer: &str, secret: &str) -> Value {
    json!({"id": id, "type": "visit", "identifiers": [{"type": "customer_id", "value": customer}],
        "channels": [{"channel": "email", "address": format!("{customer}@example.com")}],
        "properties": {"health": {"note": format!("note-{secret}"), "room": 7}, "ip": format!("ip-{secret}")},
        "traits": {"income": format!("income-{secret}"), "city": "Riga", "$append": {"income": format!("more-{secret}")}}})
}

fn decide(tenant: &Tenant, customer: &str, status: &str) {
    let consent = json!({"channel": "email", "address": format!("{customer}@example.com"), "purpose": "care", "status": status});
    tenant.post("/v1/consents", &consent).expect_status(200);
}

fn profile(tenant: &Tenant, customer: &str) -> Value {
    tenant
        .post("/v1/profiles/lookup", &json!({"identifier": {"type": "customer_id", "value": customer}}))
        .ok()
}

fn stored(tenant: &Tenant, id: &str) -> Vec<String> {
    let receipt = tenant.get(&format!("/v1/events/{id}")).ok();
    let stages = receipt["stages"].as_array().unwrap();
    let guarded = stages.iter().find(|stage| stage["stage"] == "guarded");
    let values = guarded.map(|stage| stage["values"].as_array().unwrap().clone()).unwrap_or_default();
    values
        .iter()
        .map(|value| format!("{} {}", value["action"].as_str().unwrap(), value["pointer"].as_str().unwrap()))
        .collect()
}

const ALL: [&str; 4] = [
    "remove /properties/health/note",
    "hash /properties/ip",
    "remove /traits/income",
    "remove /traits/$append/income",
];

#[test]
fn what_is_guarded_is_stored_only_where_consent_stands() {
    let own = tempfile::tempdir().unwrap();
    let mut server = Server::at(&own.path().join("data"));
    let mut tenant = server.tenant("shop");
    guarding(&tenant);
    send_all(&tenant, &[visit("none", "ann", "s3cr3t-none")]);
    assert_eq!(stored(&tenant, "none"), ALL);
    let ann = profile(&tenant, "ann");
    assert_eq!(
        (&ann["traits"]["city"]["value"], &ann["traits"]["income"]),
        (&json!("Riga"), &Value::Null),
        "{ann}"
    );
    let events = tenant.get(&format!("/v1/profiles/{}/events", ann["id"].as_str().unwrap())).ok();
    let properties = &events["items"][0]["properties"];
    assert_eq!(properties["health"], json!({"room": 7}), "{events}");
    let hash = properties["ip"].as_str().unwrap().to_owned();
    assert_eq!(hash.len(), 32, "{events}");
    // A repeat is a repeat, whatever was taken out of the first.
    let again = tenant.post("/v1/events", &visit("none", "ann", "s3cr3t-none")).expect_status(202);
    assert_eq!(again["duplicates"], 1, "{again}");
    let other = tenant.post("/v1/events", &visit("none", "ann", "s3cr3t-else")).expect_problem(409);
    assert_eq!(other["code"], "event_conflict", "{other}");

    decide(&tenant, "ann", "granted");
    send_all(&tenant, &[visit("yes", "ann", "plain-yes")]);
    assert_eq!(stored(&tenant, "yes"), Vec::<String>::new());
    assert!(profile(&tenant, "ann")["traits"]["income"]["value"].to_string().contains("plain-yes"));
    // The address is known by the profile: the event itself names none.
    let mut bare = visit("bare", "ann", "plain-bare");
    bare.as_object_mut().unwrap().remove("channels");
    send_all(&tenant, &[bare]);
    assert_eq!(stored(&tenant, "bare"), Vec::<String>::new());
    // Taken back, in an event that was acknowledged a moment before and in the event itself.
    let mut no = json!({"id": "no", "type": "preference", "identifiers": [{"type": "customer_id", "value": "ann"}],
        "consents": [{"channel": "email", "address": "ann@example.com", "purpose": "care", "status": "withdrawn"}]});
    tenant.post("/v1/events", &no).expect_status(202);
    tenant.post("/v1/events", &visit("after", "ann", "s3cr3t-after")).expect_status(202);
    assert_eq!(stored(&tenant, "after"), ALL, "acknowledged is known");
    decide(&tenant, "ann", "granted");
    no["id"] = "no-2".into();
    let batch = json!([no, visit("behind", "ann", "s3cr3t-behind")]);
    tenant.post("/v1/events?wait=applied", &batch).expect_status(202);
    assert_eq!(stored(&tenant, "behind"), ALL, "earlier in the same request");
    decide(&tenant, "ann", "granted");
    let mut own_no = visit("own", "ann", "s3cr3t-own");
    own_no["consents"] = no["consents"].clone();
    tenant.post("/v1/events?wait=applied", &own_no).expect_status(202);
    assert_eq!(stored(&tenant, "own"), ALL, "the event's own no");
    let mut own_yes = visit("own-yes", "bob", "plain-own");
    own_yes["consents"] =
        json!([{"channel": "email", "address": "bob@example.com", "purpose": "care", "status": "granted"}]);
    tenant.post("/v1/events?wait=applied", &own_yes).expect_status(202);
    assert_eq!(stored(&tenant, "own-yes"), Vec::<String>::new(), "the event's own yes");
    // An analytics SDK, which repeats traits in its context.
    let message = json!({"type": "identify", "messageId": "m1", "userId": "cid",
        "traits": {"income": "s3cr3t-sdk", "city": "Oslo"}, "context": {"traits": {"income": "s3cr3t-sdk"}}});
    tenant.post("/v1/batch", &json!({"batch": [message]})).ok();
    let metrics = tenant.get("/metrics").text();
    assert!(metrics.lines().any(|line| line.starts_with("cdp_values_guarded_total{")), "{metrics}");
    let same =
        tenant.post("/v1/events?wait=applied", &visit("hash", "dan", "s3cr3t-none")).expect_status(202);
    assert_eq!(same["accepted"], 1);
    let dan = profile(&tenant, "dan");
    let events = tenant.get(&format!("/v1/profiles/{}/events", dan["id"].as_str().unwrap())).ok();
    assert_eq!(events["items"][0]["properties"]["ip"], hash.as_str(), "equal values have equal digests");

    let before = [profile(&tenant, "ann"), profile(&tenant, "bob"), dan];
    server.terminate();
    assert!(
        !holding(own.path(), b"plain-own").is_empty(),
        "or nothing is shown: state holds what may be kept"
    );
    assert!(holding(own.path(), b"s3cr3t").is_empty());
    std::fs::remove_dir_all(server.data_dir.join("state")).unwrap();
    server.restart();
    tenant = tenant.at(&server.url);
    let ready =
        crate::harness::until(std::time::Duration::from_secs(120), || tenant.anonymous_ready().then_some(()));
    assert!(ready.is_some());
    let after = [profile(&tenant, "ann"), profile(&tenant, "bob"), profile(&tenant, "dan")];
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((&before["traits"], &before["channels"]), (&after["traits"], &after["channels"]));
    }
    assert_eq!(stored(&tenant, "own"), ALL, "a rebuild finds what was stored");
    server.terminate();
    let mut command = std::process::Command::new(CDP);
    command.args(["store", "verify", "--data-dir"]).arg(&server.data_dir);
    let verified = run_to_end(command, std::time::Duration::from_secs(120));
    assert_eq!(verified.code, Some(0), "{} {}", verified.stdout, verified.stderr);
    assert!(holding(own.path(), b"s3cr3t").is_empty());
}

#[test]
fn a_guard_is_told_what_is_wrong_with_it() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let put = |guards: Value| {
        tenant.put("/v1/purposes/care", &json!({"title": "Care", "legal_basis": "consent", "guards": guards}))
    };
    for (guard, pointer) in [
        (json!({"property": "note", "action": "remove"}), "/guards/0/property"),
        (json!({"property": "/note", "action": "burn"}), "/guards/0/action"),
        (json!({"property": "/note", "trait": "x", "action": "hash"}), "/guards/0/property"),
        (json!({"trait": "$add", "action": "hash"}), "/guards/0/trait"),
        (json!({"trait": "x", "event": "visit", "action": "hash"}), "/guards/0/event"),
        (json!({"action": "hash"}), "/guards/0/property"),
        (json!(7), "/guards/0"),
    ] {
        let problem = put(json!([guard])).expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    let limits = tenant.get("/v1/limits").ok();
    let limit = |name: &str| limits[name].as_u64().unwrap() as usize;
    let one = |bytes: usize| json!({"property": format!("/{}", "p".repeat(bytes - 1)), "action": "remove"});
    let n = limit("guards_per_purpose_max");
    assert_eq!(put(json!(vec![one(5); n])).status, 201);
    assert_eq!(put(json!(vec![one(5); n + 1])).expect_problem(422)["errors"][0]["pointer"], "/guards");
    let n = limit("guard_pointer_bytes_max");
    assert_eq!(put(json!([one(n)])).status, 200);
    assert_eq!(put(json!([one(n + 1)])).expect_problem(422)["errors"][0]["pointer"], "/guards/0/property");
    let listed = tenant.get("/v1/purposes").ok();
    assert_eq!(listed["items"][0]["guards"][0]["action"], "remove", "{listed}");
    server.finish();
}
