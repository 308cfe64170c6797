//! What the demo defines: a purpose, a plugin, attributes and segments.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::client::Fallible;
use super::{Tenant, say};

const ORDER: &str = "Order Completed";
const REFUND: &str = "Order Refunded";

/// The segments whose sizes are shown, in this order.
pub(crate) const SEGMENTS: [&str; 4] =
    ["big_spenders", "one_time_buyers", "reachable_big_spenders", "abroad"];

fn attributes() -> [(&'static str, Value); 6] {
    [
        ("order_count", json!({"kind": "count", "event": ORDER})),
        ("total_spend", json!({"kind": "sum", "event": ORDER, "property": "/revenue"})),
        ("refund_count", json!({"kind": "count", "event": REFUND})),
        ("refund_total", json!({"kind": "sum", "event": REFUND, "property": "/revenue"})),
        ("first_order_at", json!({"kind": "first", "event": ORDER})),
        ("last_order_at", json!({"kind": "last", "event": ORDER})),
    ]
}

fn segments() -> [(&'static str, Value); 4] {
    let big = json!({"attribute": "total_spend", "op": "gte", "value": "1000"});
    let reachable = json!({"reachable": {"channel": "email", "purpose": "marketing"}});
    [
        ("big_spenders", json!({"title": "Spent £1,000 or more", "rule": big})),
        (
            "one_time_buyers",
            json!({"title": "Ordered exactly once", "rule": {"attribute": "order_count", "op": "eq", "value": 1}}),
        ),
        (
            "reachable_big_spenders",
            json!({"title": "Spent £1,000 or more, and agreed to e-mail", "rule": {"all": [big, reachable]}}),
        ),
        (
            "abroad",
            json!({"title": "Not in the United Kingdom", "rule": {"all": [
                {"trait": "country_code", "op": "exists"},
                {"trait": "country_code", "op": "ne", "value": "GB"},
            ]}}),
        ),
    ]
}

/// Puts every definition; what is there unchanged stays as it is.
pub(crate) fn put(tenant: &Tenant, component: &Path) -> Fallible<()> {
    let client = &tenant.client;
    let purpose = json!({"title": "News and offers", "legal_basis": "consent", "channels": ["email"]});
    client.put("/v1/purposes/marketing", &purpose)?.expect("registering the purpose")?;
    activate(tenant, component)?;
    let mut jobs = Vec::new();
    for (name, body) in attributes() {
        jobs.push(client.put(&format!("/v1/attributes/{name}"), &body)?.expect("defining an attribute")?);
    }
    for (name, body) in segments() {
        jobs.push(client.put(&format!("/v1/segments/{name}"), &body)?.expect("defining a segment")?);
    }
    for job in jobs {
        client.finish_job(&job)?;
    }
    Ok(())
}

/// Uploads the component and makes it active.
fn activate(tenant: &Tenant, component: &Path) -> Fallible<()> {
    let client = &tenant.client;
    let bytes = std::fs::read(component)
        .map_err(|error| format!("the plugin {} cannot be read: {error}", component.display()))?;
    let uploaded = client
        .post("/v1/plugins/country-code/versions", "application/wasm", &bytes)?
        .expect("uploading the plugin country-code")?;
    let version = match &uploaded["version"] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let grants = &uploaded["requests"];
    let body = json!({"grants": grants, "config": {}});
    client
        .post_json(&format!("/v1/plugins/country-code/versions/{version}/activate"), &body)?
        .expect("activating the plugin country-code")?;
    say(&format!(
        "plugin country-code {version} is active ({})",
        uploaded["digest"].as_str().unwrap_or("no digest")
    ));
    Ok(())
}

/// Where the component is.
pub(crate) fn find_component(given: Option<&Path>) -> Fallible<PathBuf> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    const FILE: &str = "country_code.wasm";
    let mut places = vec![PathBuf::from("target/guests").join(FILE)];
    if let Ok(executable) = std::env::current_exe() {
        for folder in executable.ancestors().skip(1).take(2) {
            places.push(folder.join(FILE));
            places.push(folder.join("guests").join(FILE));
        }
    }
    places.into_iter().find(|place| place.is_file()).ok_or_else(|| {
        format!("{FILE} is neither in target/guests nor beside the executable: run `cargo xtask guests`, or name it with --plugin").into()
    })
}
