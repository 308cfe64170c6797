//! A tenant with five attributes and three segments: the job that PostgreSQL was given beside it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::demo::client::{Client, Fallible};

/// The segment that is asked for when we wait until a position is applied.
pub(crate) const SEGMENT: &str = "big_spenders";

/// A server that takes longer than this to catch up is stuck.
const APPLY_MAX: Duration = Duration::from_secs(1200);

/// Makes the tenant and its definitions; gives its key.
pub(crate) fn tenant(url: &str, operator_key: &str) -> Fallible<(Client, String)> {
    tenant_of(url, operator_key, "bench")
}

/// The same under another slug.
pub(crate) fn tenant_of(url: &str, operator_key: &str, slug: &str) -> Fallible<(Client, String)> {
    let operator = Client::new(url, operator_key);
    let wanted = json!({"slug": slug, "name": slug, "time_zone": "UTC"});
    let made = operator.post_json("/v1/tenants", &wanted)?.expect("making the tenant")?;
    let key = made["admin_key"].as_str().ok_or("the new tenant came without its key")?.to_owned();
    let client = Client::new(url, &key);
    let mut jobs: Vec<Value> = Vec::new();
    for (name, body) in [
        ("order_count", json!({"kind": "count", "event": "purchase"})),
        ("total_spend", json!({"kind": "sum", "event": "purchase", "property": "/total"})),
        ("largest_order", json!({"kind": "max", "event": "purchase", "property": "/total"})),
        ("first_order_at", json!({"kind": "first", "event": "purchase"})),
        ("last_order_at", json!({"kind": "last", "event": "purchase"})),
    ] {
        jobs.push(client.put(&format!("/v1/attributes/{name}"), &body)?.expect("defining an attribute")?);
    }
    for (name, rule) in [
        (SEGMENT, json!({"attribute": "total_spend", "op": "gte", "value": "5000"})),
        ("regulars", json!({"attribute": "order_count", "op": "gte", "value": 10})),
        (
            "regulars_with_a_large_order",
            json!({"all": [
                {"attribute": "order_count", "op": "gte", "value": 5},
                {"attribute": "largest_order", "op": "gt", "value": "900"},
            ]}),
        ),
    ] {
        let body = json!({"title": name, "rule": rule});
        jobs.push(client.put(&format!("/v1/segments/{name}"), &body)?.expect("defining a segment")?);
    }
    for job in jobs {
        client.finish_job(&job)?;
    }
    Ok((client, key))
}

/// Returns when everything up to `position` is applied.
pub(crate) fn wait_applied(client: &Client, position: u64) -> Fallible<()> {
    let path = format!("/v1/segments/{SEGMENT}?min_position={position}");
    // The server waits some seconds itself before it answers that it is not there yet.
    let deadline = Instant::now() + APPLY_MAX;
    loop {
        let answer = client.get(&path)?;
        if answer.status != 503 || Instant::now() > deadline {
            return answer.expect("waiting until all is applied").map(drop);
        }
    }
}
