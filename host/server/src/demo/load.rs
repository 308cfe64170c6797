//! The two files go in as any sender would send them: NDJSON, 500 events a request.

use std::io::Read as _;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use serde_json::Value;

use super::client::Fallible;
use super::{Tenant, say};

const BATCH: usize = 500;
/// Name, compressed NDJSON. They travel in the executable, so that the demo runs anywhere.
const FILES: [(&str, &[u8]); 2] = [
    ("contacts", include_bytes!("../../../../examples/retail/contacts.ndjson.gz")),
    ("orders", include_bytes!("../../../../examples/retail/orders.ndjson.gz")),
];

/// Loads both files and returns when the last event is applied.
pub(crate) fn run(tenant: &Tenant) -> Fallible<()> {
    let mut files = Vec::new();
    let mut total = 0;
    for (name, packed) in FILES {
        let mut text = String::new();
        flate2::read::GzDecoder::new(packed).read_to_string(&mut text)?;
        total += text.lines().count();
        files.push((name, text));
    }
    let style =
        ProgressStyle::with_template("{msg:>9} {wide_bar} {human_pos}/{human_len} events {rate} {eta}")?;
    let style = style.with_key("rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = write!(out, "{:.0}/s", state.per_sec());
    });
    let bar = ProgressBar::new(u64::try_from(total)?).with_style(style);
    let mut position = String::new();
    for (name, text) in &files {
        bar.set_message(*name);
        let (mut accepted, mut seen) = (0, 0);
        let lines: Vec<&str> = text.lines().collect();
        for batch in lines.chunks(BATCH) {
            let body = batch.join("\n");
            let answer = tenant
                .client
                .post_patiently("/v1/events", "application/x-ndjson", body.as_bytes())?
                .expect("sending events")?;
            if answer["rejected"].as_u64() != Some(0) {
                return Err(format!("some events of {name} were refused: {}", answer["results"]).into());
            }
            accepted += answer["accepted"].as_u64().unwrap_or_default();
            seen += answer["duplicates"].as_u64().unwrap_or_default();
            position = text_of(&answer["position"]);
            bar.inc(u64::try_from(batch.len())?);
        }
        bar.suspend(|| say(&format!("{name}: {accepted} events accepted, {seen} were there already")));
    }
    bar.set_message("applying");
    let path = format!("/v1/segments/{}?min_position={position}", super::definitions::SEGMENTS[0]);
    tenant.client.get_patiently(&path)?.expect("waiting until all is applied")?;
    bar.finish_and_clear();
    Ok(())
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
