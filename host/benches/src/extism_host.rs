//! Extism, with JSON text in and out.

use std::path::Path;

use extism::{Manifest, Plugin, Wasm};
use serde_json::Value;

use crate::{Case, Fallible, expected};

/// The guest, built by the command in its manifest.
const GUEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/benches/extism_guest.wasm");

fn plugin() -> Fallible<Plugin> {
    let guest = std::fs::read(Path::new(GUEST)).map_err(|error| format!("{GUEST}: {error}"))?;
    Ok(Plugin::new(Manifest::new([Wasm::data(guest)]), [], false)?)
}

pub(crate) fn cases(texts: &[String], orders: &[Value]) -> Fallible<Vec<Case>> {
    let mut first = plugin()?;
    let answer = first.call::<&str, String>("apply", &texts.join("\n"))?;
    for (line, order) in answer.lines().zip(orders) {
        let got: Value = if line.is_empty() { Value::Null } else { serde_json::from_str(line)? };
        if got["properties"]["value_band"].as_str() != expected(order) {
            return Err(format!("Extism: {order} came to {line:?}").into());
        }
    }
    let mut cases = Vec::new();
    for batch in [1, 64, 256] {
        let lines: Vec<String> = texts.chunks(batch).map(|chunk| chunk.join("\n")).collect();
        let mut plugin = plugin()?;
        cases.push(Case::new("Extism, JSON lines in and out, one instance kept", batch, move |n| {
            let answer = plugin.call::<&str, String>("apply", &lines[n % lines.len()]).expect("it was tried");
            std::hint::black_box(answer);
        }));
    }
    Ok(cases)
}
