//! What a marketer wants to see first.

use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use super::client::Fallible;
use super::definitions::SEGMENTS;
use super::{Tenant, say};

/// A customer with something to tell: orders from Australia, refunds, and a consent.
const CUSTOMER: &str = "12415";
const ROWS_SHOWN: usize = 5;

/// How many are in each segment.
pub(crate) fn segments(tenant: &Tenant) -> Fallible<()> {
    let mut table = plain_table(["segment", "who", "people"]);
    if let Some(column) = table.column_mut(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for name in SEGMENTS {
        let segment =
            tenant.client.get_patiently(&format!("/v1/segments/{name}"))?.expect("reading a segment")?;
        table.add_row([name.to_owned(), text(&segment["title"]), text(&segment["size"])]);
    }
    say(&format!("\nSegments\n{table}"));
    Ok(())
}

/// One person, as the server knows them.
pub(crate) fn profile(tenant: &Tenant) -> Fallible<()> {
    let who = json!({"identifier": {"type": "customer_id", "value": CUSTOMER}});
    let profile = tenant.client.post_json("/v1/profiles/lookup", &who)?.expect("looking a customer up")?;
    let mut table = plain_table(["what", "value", "from"]);
    for identifier in items(&profile["identifiers"]) {
        table.add_row([text(&identifier["type"]), text(&identifier["value"]), "identifier".to_owned()]);
    }
    for (name, value) in fields(&profile["traits"]) {
        table.add_row([
            name.to_owned(),
            text(&value["value"]),
            format!("trait, reported by {}", text(&value["source"])),
        ]);
    }
    for (name, value) in fields(&profile["attributes"]) {
        table.add_row([name.to_owned(), text(&value["value"]), "attribute, computed from events".to_owned()]);
    }
    for channel in items(&profile["channels"]) {
        for (purpose, consent) in fields(&channel["consents"]) {
            let what = format!("{} for {purpose}", text(&channel["channel"]));
            table.add_row([what, text(&consent["status"]), format!("consent of {}", text(&consent["time"]))]);
        }
    }
    for segment in items(&profile["segments"]) {
        table.add_row(["segment".to_owned(), text(segment), "membership".to_owned()]);
    }
    say(&format!("\nCustomer {CUSTOMER} ({})\n{table}", text(&profile["id"])));
    Ok(())
}

/// An audience as a file, and what consent keeps back.
pub(crate) fn exports(tenant: &Tenant, data_dir: &Path) -> Fallible<()> {
    let (done, file) = export(tenant, "reachable_big_spenders")?;
    let path = data_dir.with_extension("reachable_big_spenders.csv");
    std::fs::write(&path, &file)?;
    let content = String::from_utf8_lossy(&file);
    say(&format!("\nExport of reachable_big_spenders: {} rows in {}", text(&done["rows"]), path.display()));
    for line in content.lines().take(ROWS_SHOWN + 1) {
        say(&format!("  {line}"));
    }
    say(&format!("Withheld: {}", withheld(&done)));
    let (all, _) = export(tenant, "big_spenders")?;
    say(&format!(
        "\nThe same export of all big_spenders gives {} rows, because consent is asked for every row.\nWithheld: {}",
        text(&all["rows"]),
        withheld(&all)
    ));
    Ok(())
}

fn export(tenant: &Tenant, segment: &str) -> Fallible<(Value, Vec<u8>)> {
    let client = &tenant.client;
    let wanted = json!({
        "segment": segment,
        "format": "csv",
        "fields": [
            {"name": "email", "from": "channel.email"},
            {"name": "country", "from": "trait.country_code"},
            {"name": "total_spend", "from": "attribute.total_spend"},
        ],
        "consent": {"channel": "email", "purpose": "marketing"},
        "mode": "full",
    });
    let started = client.post_json("/v1/exports", &wanted)?.expect("starting an export")?;
    client.finish_job(&started)?;
    let id = text(&started["id"]);
    let done = client.get_patiently(&format!("/v1/exports/{id}"))?.expect("reading an export")?;
    let file = client.get_patiently(&format!("/v1/exports/{id}/file"))?;
    if file.status != 200 {
        file.expect("downloading an export")?;
        return Err("the export's file was not there".into());
    }
    Ok((done, file.body))
}

fn withheld(export: &Value) -> String {
    let reasons: Vec<String> =
        fields(&export["withheld"]).map(|(reason, n)| format!("{} {reason}", text(n))).collect();
    if reasons.is_empty() { "nobody".to_owned() } else { reasons.join(", ") }
}

/// Who works in the console of the demo.
const CONSOLE_USER: &str = "demo";

/// The link that opens the console, signed in.
pub(crate) fn console(tenant: &Tenant) -> Fallible<()> {
    let client = &tenant.client;
    let wanted = json!({"name": CONSOLE_USER, "role": "admin", "link": "sign_in"});
    let mut answer = client.post_json("/v1/users", &wanted)?;
    if answer.status == 409 {
        // There from an earlier run: another link for the same user.
        let users = client.get_patiently("/v1/users")?.expect("listing console users")?;
        let user = items(&users["items"]).find(|user| user["name"] == CONSOLE_USER);
        let id =
            user.and_then(|user| user["id"].as_str()).ok_or("the console user of the demo is not there")?;
        answer = client.post_json(&format!("/v1/users/{id}/link"), &json!({"link": "sign_in"}))?;
    }
    let made = answer.expect("making a link to the console")?;
    say(&format!("\nConsole, signed in (once, within 24 hours)\n  {}{}", client.url, text(&made["link"])));
    Ok(())
}

/// The calls to go on with.
pub(crate) fn next_steps(tenant: &Tenant) {
    let (url, key) = (&tenant.client.url, &tenant.key);
    say(&format!(
        r#"
Go on with
  KEY={key}
  curl -sw '\n' -H "Authorization: Bearer $KEY" {url}/v1/segments
  curl -sw '\n' -H "Authorization: Bearer $KEY" {url}/v1/profiles/lookup -d '{{"identifier": {{"type": "customer_id", "value": "{CUSTOMER}"}}}}' -H 'Content-Type: application/json'
  curl -sw '\n' -H "Authorization: Bearer $KEY" '{url}/v1/events?wait=applied' -H 'Content-Type: application/json' -d '{{"id": "first", "type": "Order Completed", "identifiers": [{{"type": "customer_id", "value": "{CUSTOMER}"}}], "properties": {{"revenue": "10.00", "country": "Australia"}}}}'
  curl -sw '\n' -H "Authorization: Bearer $KEY" {url}/v1/exports"#
    ));
}

fn plain_table(head: [&str; 3]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header(head);
    table
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn fields(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
