//! An audience is exported: exactly the members of the segment whose consent stands.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Server, Tenant};

/// A person who spent `total` and whose decisions about e-mail are these, oldest first.
fn person(name: &str, total: &str, decisions: &[&str]) -> Vec<Value> {
    let address = format!("{name}@example.com");
    let mut events = vec![json!({
        "id": format!("{name}-order"), "type": "purchase", "time": "2026-03-01T00:00:00Z",
        "identifiers": [{"type": "customer_id", "value": name}, {"type": "email", "value": address}],
        "properties": {"total": total}, "traits": {"city": "Riga, \"old\" town"},
        "channels": [{"channel": "email", "address": address}],
    })];
    for (n, status) in decisions.iter().enumerate() {
        events.push(json!({
            "id": format!("{name}-consent-{n}"), "type": "preference", "time": format!("2026-03-0{}T00:00:00Z", n + 2),
            "identifiers": [{"type": "customer_id", "value": name}],
            "consents": [{"channel": "email", "address": address, "purpose": "marketing", "status": status,
                          "method": "web-form", "policy_version": "2026-05", "expires_at": null}],
        }));
    }
    events
}

fn shop(server: &Server) -> Tenant {
    let tenant = server.tenant("shop");
    tenant.define(
        "/v1/purposes/marketing",
        &json!({"title": "News", "legal_basis": "consent", "channels": ["email"]}),
    );
    tenant.define("/v1/attributes/spend", &json!({"kind": "sum", "event": "purchase", "property": "/total"}));
    let rule = json!({"attribute": "spend", "op": "gte", "value": "100"});
    tenant.define("/v1/segments/big", &json!({"title": "Big", "rule": rule}));
    let mut events = Vec::new();
    events.extend(person("granted", "100", &["granted"]));
    events.extend(person("granted-again", "300.50", &["denied", "granted"]));
    events.extend(person("withdrawn", "200", &["granted", "withdrawn"]));
    events.extend(person("denied", "200", &["denied"]));
    events.extend(person("never-asked", "200", &[]));
    events.extend(person("small", "99.99", &["granted"]));
    // Newest first: the decision's own time counts, not its arrival.
    events.reverse();
    let answer = tenant.post("/v1/events?wait=applied", &json!({ "events": events })).expect_status(202);
    assert_eq!(answer["rejected"], 0, "{answer}");
    tenant
}

fn wanted(format: &str) -> Value {
    json!({
        "segment": "big", "format": format, "mode": "full",
        "fields": [{"name": "mail", "from": "channel.email"}, {"name": "spent", "from": "attribute.spend"},
                   {"name": "city", "from": "trait.city"}, {"name": "id", "from": "identifier.customer_id"}],
        "consent": {"channel": "email", "purpose": "marketing"},
    })
}

#[test]
fn the_csv_holds_exactly_the_consented_members() {
    let server = Server::fresh();
    let tenant = shop(&server);
    let (done, file) = tenant.export(&wanted("csv"));
    let mut reader = csv::Reader::from_reader(file.as_bytes());
    assert_eq!(reader.headers().unwrap(), vec!["mail", "spent", "city", "id"]);
    let rows: BTreeSet<Vec<String>> =
        reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
    let row = |cells: [&str; 4]| cells.map(str::to_owned).to_vec();
    let city = "Riga, \"old\" town";
    let spent = |row: &Vec<String>| crate::harness::http::plain(&row[1]);
    assert_eq!(
        rows.iter()
            .map(|row| [row[0].clone(), spent(row), row[2].clone(), row[3].clone()].to_vec())
            .collect::<BTreeSet<_>>(),
        BTreeSet::from([
            row(["granted@example.com", "100", city, "granted"]),
            row(["granted-again@example.com", "300.5", city, "granted-again"]),
        ])
    );
    assert_eq!(done["rows"], 2, "{done}");
    let withheld: u64 = done["withheld"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(withheld, 3, "rows and withheld are the members: {done}");
    server.finish();
}

#[test]
fn ndjson_gives_the_same_people() {
    let server = Server::fresh();
    let tenant = shop(&server);
    let (_, file) = tenant.export(&wanted("ndjson"));
    let mails: BTreeSet<String> = file
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["mail"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        mails,
        BTreeSet::from(["granted@example.com".to_owned(), "granted-again@example.com".to_owned()])
    );
    server.finish();
}

#[test]
fn a_withdrawal_between_two_exports_counts() {
    let server = Server::fresh();
    let tenant = shop(&server);
    assert_eq!(tenant.export(&wanted("csv")).0["rows"], 2);
    let withdrawal = json!({
        "id": "w", "type": "preference", "time": "2026-03-20T00:00:00Z",
        "identifiers": [{"type": "customer_id", "value": "granted"}],
        "consents": [{"channel": "email", "address": "GRANTED@example.com", "purpose": "marketing",
                      "status": "withdrawn", "method": "call", "policy_version": "2026-05", "expires_at": null}],
    });
    tenant.post("/v1/events?wait=applied", &withdrawal).expect_status(202);
    let (done, file) = tenant.export(&wanted("csv"));
    assert_eq!(done["rows"], 1, "{done}");
    assert!(!file.contains("granted@example.com"), "{file}");
    server.finish();
}

#[test]
fn an_export_without_a_known_purpose_is_refused() {
    let server = Server::fresh();
    let tenant = shop(&server);
    let mut without = wanted("csv");
    without.as_object_mut().unwrap().remove("consent");
    tenant.post("/v1/exports", &without).expect_problem(422);
    let mut unknown = wanted("csv");
    unknown["consent"]["purpose"] = json!("astrology");
    tenant.post("/v1/exports", &unknown).expect_problem(422);
    let mut nowhere = wanted("csv");
    nowhere["segment"] = json!("nobody");
    let status = tenant.post("/v1/exports", &nowhere).status;
    assert!(matches!(status, 404 | 422), "{status}");
    server.finish();
}
