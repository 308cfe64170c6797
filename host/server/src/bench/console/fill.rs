//! What there is to look at: people, definitions of every kind, runs, a schedule, and events that were rejected.

use serde_json::{Value, json};

use super::Args;
use crate::bench::complain;
use crate::bench::members::Members;
use crate::demo::client::{Client, Fallible};

/// Events that violate their schema, so that the list of rejected ones has several pages.
const BROKEN: u64 = 1_000;
/// One in so many comes again with another order, and so moves.
const AGAIN: u64 = 50;

/// What was made.
#[derive(Debug)]
pub(super) struct Filled {
    /// Brings an admin in, once.
    pub(super) link: String,
    /// Somebody's address.
    pub(super) email: String,
    /// A run that is over.
    pub(super) export: String,
    /// A job that is over.
    pub(super) job: String,
}

/// Fills a fresh server.
pub(super) fn fill(url: &str, operator_key: &str, args: &Args) -> Fallible<Filled> {
    let operator = Client::new(url, operator_key);
    let wanted = json!({"slug": "bench", "name": "Bench", "time_zone": "Europe/Riga"});
    let made = operator.post_json("/v1/tenants", &wanted)?.expect("making the tenant")?;
    let client = Client::new(url, made["admin_key"].as_str().ok_or("the new tenant came without its key")?);
    complain("definitions");
    let job = define(&client)?;
    complain("people come in");
    let members = Members { count: args.profiles, connections: args.connections, wait_for: "all" };
    members.send(&client, 0, 1)?;
    complain("some order again");
    members.send(&client, 1, AGAIN)?;
    for from in (0..BROKEN).step_by(500) {
        let events: Vec<_> = (from..from + 500).map(broken).collect();
        let sent = client.post_json("/v1/events?wait=applied", &Value::Array(events))?;
        sent.expect("sending what is rejected")?;
    }
    complain("a run");
    let export = run(&client)?;
    let wanted = json!({"name": "bench@example.com", "role": "admin"});
    let invited = client.post_json("/v1/users", &wanted)?.expect("inviting somebody")?;
    let link = invited["link"].as_str().ok_or("there is no link for whom was invited")?;
    let link = link.strip_prefix(url).unwrap_or(link).to_owned();
    Ok(Filled { link, email: format!("member{}@example.com", args.profiles / 2 + 1), export, job })
}

fn broken(n: u64) -> Value {
    json!({"id": format!("broken-{n}"), "type": "broken", "time": "2026-03-01T00:00:00Z",
        "identifiers": [{"type": "email", "value": format!("member{n}@example.com")}], "properties": {"total": n}})
}

/// Ten attributes, twenty segments, a purpose on two channels, a schema, a destination and a schedule. Gives a job.
fn define(client: &Client) -> Fallible<String> {
    let purpose = json!({"title": "News", "legal_basis": "consent", "channels": ["email", "sms"]});
    client.put("/v1/purposes/marketing", &purpose)?.expect("registering the purpose")?;
    let total = |kind: &str| json!({"kind": kind, "event": "purchase", "property": "/total"});
    let recent = |days: u32| json!({"kind": "sum", "event": "purchase", "property": "/total", "window": {"days": days}});
    let attributes = [
        ("orders", json!({"kind": "count", "event": "purchase"})),
        ("spent", total("sum")),
        ("largest", total("max")),
        ("smallest", total("min")),
        ("mean", total("avg")),
        ("first_order_at", json!({"kind": "first", "event": "purchase"})),
        ("last_order_at", json!({"kind": "last", "event": "purchase"})),
        ("spent_90d", recent(90)),
        ("spent_365d", recent(365)),
        ("days_since", json!({"kind": "time_since_last", "event": "purchase", "unit": "days"})),
    ];
    let mut jobs = Vec::new();
    for (name, body) in attributes {
        jobs.push(client.put(&format!("/v1/attributes/{name}"), &body)?.expect("defining an attribute")?);
    }
    let all = json!({"title": "Everybody with an address", "rule": {"identifier": "email", "op": "exists"}});
    jobs.push(client.put("/v1/segments/all", &all)?.expect("defining a segment")?);
    for n in 0..5_u32 {
        let compare = |name: &str, op: &str, value: u32| json!({"attribute": name, "op": op, "value": value});
        let did =
            json!({"event": "purchase", "within": {"days": 3650}, "count": {"op": "gte", "value": n + 1}});
        let reachable = json!({"reachable": {"channel": "email", "purpose": "marketing"}});
        for (name, rule) in [
            ("spent", compare("spent", "gte", 900 - 100 * n)),
            ("reachable", json!({"all": [compare("spent", "gte", 200 * n), reachable]})),
            ("did", json!({ "did": did })),
            ("city", json!({"trait": "city", "op": "eq", "value": format!("City {n}")})),
        ] {
            let body = json!({"title": format!("{name} {n}"), "rule": rule});
            jobs.push(client.put(&format!("/v1/segments/{name}_{n}"), &body)?.expect("defining a segment")?);
        }
    }
    for job in &jobs {
        client.finish_job(job)?;
    }
    let schema = json!({"mode": "quarantine", "properties": {"type": "object", "required": ["sum"]}});
    client.put("/v1/catalogue/types/broken/schema", &schema)?.expect("demanding a schema")?;
    client.put("/v1/destinations/folder", &json!({"kind": "file"}))?.expect("setting a destination up")?;
    let schedule = json!({"cron": "0 7 * * 1", "export": request("city_1")});
    client.put("/v1/schedules/weekly", &schedule)?.expect("setting a schedule up")?;
    let job = jobs.iter().find_map(|job| job["backfill_job"].as_str());
    Ok(job.ok_or("no definition began a job")?.to_owned())
}

fn request(segment: &str) -> Value {
    json!({"segment": segment, "format": "csv", "consent": {"channel": "email", "purpose": "marketing"},
        "fields": [{"name": "email", "from": "channel.email"}, {"name": "spent", "from": "attribute.spent"}]})
}

/// Exports a segment; gives the run.
fn run(client: &Client) -> Fallible<String> {
    let started = client.post_json("/v1/exports", &request("city_1"))?.expect("beginning the export")?;
    client.finish_job(&started)?;
    Ok(started["id"].as_str().ok_or("a run has no id")?.to_owned())
}
