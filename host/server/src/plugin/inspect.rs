//! `cdp plugin inspect`: what a component is and asks for.

use std::path::PathBuf;

use cdp_runtime::{Kind, Plugin, Request};
use serde_json::{Value, json};

use super::tools::Policy;
use super::{Shown, load};
use crate::{Failure, exit};

/// What to look at.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cdp plugin inspect build/order-totals.wasm
  cdp plugin inspect -o json | jq .requests")]
pub(crate) struct Args {
    /// A component, or a project that was built.
    #[arg(default_value = ".")]
    component: PathBuf,
    #[command(flatten)]
    shown: Shown,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (path, _) = load::component(&args.component, true, Policy { offline: true, talks: false })?;
    let bytes = super::read(&path)?;
    let runtime = load::runtime()?;
    let plugin = load::prepare(&runtime, &bytes)?;
    let document = describe(&plugin)?;
    args.shown.print(&document, || lines(&plugin, &document))
}

/// What is known about a plugin.
pub(super) fn describe(plugin: &Plugin) -> Result<Value, Failure> {
    let shaped = |what| move |error: serde_json::Error| Failure::because(exit::FAILED, what, &error);
    let descriptor = plugin.descriptor();
    let mut document = json!({
        "world": plugin.world().name(),
        "descriptor": serde_json::to_value(descriptor).map_err(shaped("show the descriptor"))?,
        "inspection": serde_json::to_value(plugin.inspection()).map_err(shaped("show the inspection"))?,
        "requests": serde_json::to_value(descriptor.requests()).map_err(shaped("show the requests"))?,
    });
    if let Plugin::Deriver(deriver) = plugin {
        // Without a configuration; one that needs one has no shape to show yet.
        let bound = deriver.bind("", cdp_runtime::Grants::all(), cdp_runtime::Limits::default());
        document["shape"] =
            bound.map_or(Value::Null, |bound| serde_json::to_value(bound.shape()).unwrap_or_default());
        document["retracts"] = deriver.retracts().into();
        document["migrates"] = deriver.migrates().into();
    }
    Ok(document)
}

fn lines(plugin: &Plugin, document: &Value) -> Vec<String> {
    let descriptor = plugin.descriptor();
    let inspection = plugin.inspection();
    let mut out = vec![
        format!("{} {}, a {}", descriptor.name, descriptor.version, plugin.world().name()),
        format!("  {}", descriptor.summary),
        format!("  {} KB, blake3 {}", inspection.bytes.div_ceil(1024), inspection.digest),
        format!(
            "  events: {}",
            if descriptor.event_types.is_empty() {
                "all".to_owned()
            } else {
                descriptor.event_types.join(", ")
            }
        ),
    ];
    for request in descriptor.requests() {
        out.push(format!("  asks to {}", sentence(&request)));
    }
    if let Some(shape) = document["shape"].as_object() {
        for output in shape["outputs"].as_array().into_iter().flatten() {
            out.push(format!("  gives {} ({})", text(&output["name"]), text(&output["kind"])));
        }
        let laws: Vec<&str> = shape["laws"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, holds)| (holds == true).then_some(name.as_str()))
            .collect();
        out.push(format!(
            "  promises to be {}",
            if laws.is_empty() { "nothing".to_owned() } else { laws.join(", ") }
        ));
    }
    let outside: Vec<&String> =
        inspection.imports.iter().filter(|import| !import.starts_with("cdp:")).collect();
    if !outside.is_empty() {
        out.push(format!("  imports {} interfaces of WASI, all inert", outside.len()));
    }
    out
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn sentence(request: &Request) -> String {
    let kind = |kind: Kind| format!("{kind:?}").to_lowercase();
    match request {
        Request::Read(field) => format!("read {} ({})", field.pointer, kind(field.kind)),
        Request::Write(field) => format!("write {} ({})", field.pointer, kind(field.kind)),
        Request::Secret { name } => format!("have the secret {name} put into its requests"),
        Request::Host { url } => format!("reach {url}"),
        Request::Table { name } => format!("look up in the table {name}"),
    }
}
