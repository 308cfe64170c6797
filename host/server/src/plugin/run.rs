//! `cdp plugin run`: events through a component, on this machine.

use std::collections::BTreeMap;
use std::io::{BufRead, Read as _};
use std::path::{Path, PathBuf};

use cdp_domain::time::Timestamp;
use cdp_runtime::{Call, Grants, Group, Limits, LogLine, Plugin, Row, Usage};
use flate2::read::MultiGzDecoder;
use serde_json::{Value, json};

use super::events::Events;
use super::tools::Policy;
use super::{Shown, connect, load, test};
use crate::{Failure, exit};

/// What to run.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cdp plugin run --events orders.ndjson
  cdp plugin run build/vip-list.wasm --rows rows.ndjson --config '{\"list\": \"vip\"}'
  cdp plugin run build/order-totals.wasm --events orders.ndjson.gz --by customer_id --now 2011-12-10T00:00:00Z
  echo '{\"type\": \"Order Completed\", \"properties\": {\"revenue\": \"9.90\"}}' | cdp plugin run --events -")]
pub(crate) struct Args {
    /// A project, which is built first, or a component.
    #[arg(default_value = ".")]
    plugin: PathBuf,
    /// Events, or for a connector rows of an audience, one a line, also compressed with gzip; `-` reads standard input.
    #[arg(long, visible_alias = "rows", value_name = "FILE")]
    events: PathBuf,
    /// The configuration, as JSON.
    #[arg(long, default_value = "", hide_default_value = true)]
    config: String,
    /// A deriver: one state for each value of this identifier type [default: one state for all].
    #[arg(long, value_name = "TYPE")]
    by: Option<String>,
    /// A deriver: the instant of the reading [default: the last event's].
    #[arg(long, value_name = "TIME")]
    now: Option<String>,
    /// Take what was built before.
    #[arg(long)]
    no_build: bool,
    /// Fetch no compiler.
    #[arg(long, env = "CDP_OFFLINE")]
    offline: bool,
    #[command(flatten)]
    shown: Shown,
}

/// Events of a run, at most: this is a tool for looking, an import is for more.
const EVENTS_MAX: usize = 1_000_000;

/// People of one call.
const COMPANY: usize = 16;

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let policy = Policy { offline: args.offline, talks: args.shown.is_for_people() };
    let (path, _) = load::component(&args.plugin, args.no_build, policy)?;
    let lines = lines(&args.events)?;
    let wrong = |problems: Vec<String>| {
        Failure::new(exit::INPUT_REJECTED, format!("{}: {}", args.events.display(), problems.join("; ")))
    };
    let runtime = load::runtime()?;
    let plugin = load::prepare(&runtime, &super::read(&path)?)?;
    match plugin.check_config(&args.config) {
        Ok(Ok(())) => {}
        Ok(Err(problems)) => {
            return Err(Failure::new(exit::INPUT_REJECTED, format!("--config {}", problems.join("; "))));
        }
        Err(fault) => return Err(Failure::new(exit::FAILED, format!("the plugin {fault}"))),
    }
    match &plugin {
        Plugin::Transformer(transformer) => {
            let events = Events::of(&lines).map_err(wrong)?;
            let call = Call {
                config: &args.config,
                grants: &Grants::all(),
                limits: Limits::default(),
                rows: &events.rows(),
            };
            let applied = transformer.apply(&call);
            let rows = test::answers(&applied);
            let document = json!({"events": rows, "usage": usage(&applied.usage), "log": applied.log});
            args.shown.print(&document, || {
                let ids = events.rows().into_iter().map(|row| row.event.id.to_string()).collect::<Vec<_>>();
                let mut lines: Vec<String> =
                    ids.iter().zip(&rows).map(|(id, row)| format!("{id}\t{row}")).collect();
                lines.extend(tail(&applied.usage, &applied.log));
                lines
            })
        }
        Plugin::Deriver(deriver) => {
            let events = Events::of(&lines).map_err(wrong)?;
            let bound = deriver
                .bind(&args.config, Grants::all(), Limits::default())
                .map_err(|error| Failure::because(exit::FAILED, "ask the plugin for its shape", &error))?;
            let now = match &args.now {
                Some(text) => {
                    Timestamp::parse(text).map_err(|why| Failure::new(exit::USAGE, format!("--now {why}")))?
                }
                None => events.last_at(),
            };
            let groups = groups(&events, args.by.as_deref());
            let asked: Vec<Group<'_>> = groups.values().map(|rows| Group { state: &[], rows }).collect();
            // A few people at a time, as a server has them: one call may search for rows at fault only so long.
            let mut folded = bound.fold(&[]);
            for company in asked.chunks(COMPANY) {
                let one = bound.fold(company);
                folded.items.extend(one.items);
                folded.log.extend(one.log);
                folded.usage.fuel += one.usage.fuel;
                folded.usage.elapsed += one.usage.elapsed;
                folded.usage.runs += one.usage.runs;
                folded.usage.memory_bytes_peak =
                    folded.usage.memory_bytes_peak.max(one.usage.memory_bytes_peak);
            }
            let mut states = Vec::with_capacity(folded.items.len());
            for (who, folded) in groups.keys().zip(&folded.items) {
                let folded = folded
                    .as_ref()
                    .map_err(|why| Failure::new(exit::FAILED, format!("{who}: the plugin {why}")))?;
                states.push(folded.state.as_slice());
            }
            let mut people = serde_json::Map::new();
            let skipped = folded.items.iter().flatten().map(|folded| &folded.skipped);
            let read = states.chunks(COMPANY).flat_map(|states| test::readings(&bound, states, now));
            for ((who, read), skipped) in groups.keys().zip(read).zip(skipped) {
                let mut read = read.map_err(|why| Failure::new(exit::FAILED, format!("{who}: {why}")))?;
                read["skipped"] =
                    skipped.iter().map(|one| json!({"row": one.row, "why": one.why.to_string()})).collect();
                people.insert(who.clone(), read);
            }
            let document = json!({"now": now.to_string(), "people": people, "usage": usage(&folded.usage), "log": folded.log});
            args.shown.print(&document, || {
                let mut lines: Vec<String> =
                    people.iter().map(|(who, read)| format!("{who}\t{}", read["values"])).collect();
                lines.extend(tail(&folded.usage, &folded.log));
                lines
            })
        }
        Plugin::Planner(planner) => {
            let rows = connect::rows(&lines).map_err(wrong)?;
            let planned =
                connect::plan(planner, &args.config, &rows).map_err(|why| Failure::new(exit::FAILED, why))?;
            let requests: Vec<Value> = planned.iter().map(connect::show).collect();
            args.shown.print(&json!({ "requests": requests }), || {
                requests.iter().map(|one| format!("{}\t{}", one["covers"], one["request"])).collect()
            })
        }
        // Nothing is sent from here.
        Plugin::Session(_) => {
            let sentence = "a connector-io sends by itself: `cdp plugin test` plays its exchanges".to_owned();
            Err(Failure::new(exit::INPUT_REJECTED, sentence))
        }
    }
}

/// One group of rows for each value of an identifier type, in canonical order.
fn groups<'e>(events: &'e Events, by: Option<&str>) -> BTreeMap<String, Vec<Row<'e>>> {
    let mut groups: BTreeMap<String, Vec<Row<'e>>> = BTreeMap::new();
    for row in events.canonical() {
        let who = match by {
            None => Some("everybody".to_owned()),
            Some(kind) => {
                let found = row.event.identifiers.iter().find(|identifier| identifier.kind == kind);
                found.map(|identifier| identifier.value.to_string())
            }
        };
        if let Some(who) = who {
            groups.entry(who).or_default().push(row);
        }
    }
    groups
}

fn usage(usage: &Usage) -> Value {
    json!({"fuel": usage.fuel, "memory_bytes": usage.memory_bytes_peak, "runs": usage.runs,
        "microseconds": u64::try_from(usage.elapsed.as_micros()).unwrap_or(u64::MAX)})
}

fn tail(usage: &Usage, log: &[LogLine]) -> Vec<String> {
    let mut lines: Vec<String> = log
        .iter()
        .map(|line| format!("log {}: {}", format!("{:?}", line.level).to_lowercase(), line.message))
        .collect();
    lines.push(format!(
        "{} fuel, {} KB of memory, {} runs, {:.1} ms",
        usage.fuel,
        usage.memory_bytes_peak / 1024,
        usage.runs,
        usage.elapsed.as_secs_f64() * 1e3
    ));
    lines
}

fn lines(path: &Path) -> Result<Vec<Value>, Failure> {
    let wrong = |why: String| Failure::new(exit::INPUT_REJECTED, format!("{}: {why}", path.display()));
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        std::io::stdin()
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::because(exit::CONFIGURATION, "read standard input", &error))?;
    } else {
        bytes = super::read(path)?;
    }
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut text = Vec::new();
        MultiGzDecoder::new(bytes.as_slice())
            .read_to_end(&mut text)
            .map_err(|error| wrong(error.to_string()))?;
        bytes = text;
    }
    let mut values = Vec::new();
    for (at, line) in bytes.as_slice().lines().enumerate() {
        let line = line.map_err(|error| wrong(format!("line {}: {error}", at + 1)))?;
        if line.trim().is_empty() {
            continue;
        }
        if values.len() == EVENTS_MAX {
            return Err(wrong(format!("more than {EVENTS_MAX} lines")));
        }
        values.push(serde_json::from_str(&line).map_err(|error| wrong(format!("line {}: {error}", at + 1)))?);
    }
    Ok(values)
}
