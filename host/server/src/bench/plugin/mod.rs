//! `cdp bench plugin`: what a plugin costs an event, against the same work without one and in other hosts.
//!
//! One process, one thread, one run. Every round runs every case for a while, so that what the machine does besides falls on
//! all of them; the figure is the median of the rounds. Guests are the sources in `guests/`, built as a stranger's are.

mod aims;
mod runaway;
mod work;

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use cdp_domain::event::Event;
use cdp_domain::time::Timestamp;
use cdp_runtime::{Call, Digest, Grants, Limits, Options, Plugin, Row, Runtime, Transformer};
use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::runaway::{Idle, Stopped};
use super::{complain, say};
use crate::demo::client::Fallible;
use crate::plugin::bench as projects;

/// How to measure.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cdp bench plugin
  cdp bench plugin --peers target/benches/release/peers --json plugin.json")]
pub(crate) struct Args {
    /// Rounds; the figure is the median of them.
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long a case runs in a round, in milliseconds.
    #[arg(long, default_value_t = 40)]
    slice_ms: u64,
    /// The program of other hosts, built from `host/benches`; without it they are left out.
    #[arg(long, value_name = "FILE")]
    peers: Option<PathBuf>,
    /// Measure the Rust guest only, which needs no compiler of another language.
    #[arg(long)]
    rust_only: bool,
    /// Writes the figures to a file as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Orders that are measured on.
const EVENTS: usize = 1024;
const BATCHES: [usize; 4] = [1, 16, 64, 256];

/// Everything that was measured in one run.
#[derive(Debug, Serialize)]
struct Report {
    rounds: u32,
    event_bytes: usize,
    figures: Vec<Figure>,
    guests: Vec<GuestFigures>,
    runaways: Vec<Stopped>,
    idle: Idle,
}

/// One way of doing the work.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Figure {
    way: String,
    /// Events in one call; None where that means nothing.
    batch: Option<usize>,
    ns_per_event: f64,
    /// The fastest and the slowest round.
    ns_min: f64,
    ns_max: f64,
    /// Whether it is another host's.
    #[serde(default)]
    other: bool,
}

/// What a guest costs before it does anything.
#[derive(Debug, Serialize)]
struct GuestFigures {
    language: &'static str,
    component_bytes: usize,
    load_cold_ms: f64,
    load_cached_ms: f64,
    memory_bytes: usize,
    fuel_per_event: u64,
}

pub(crate) fn run(args: &Args) -> Fallible<()> {
    let texts = work::texts(EVENTS);
    let events = work::events(&texts)?;
    let home = tempfile::tempdir()?;
    let cache = home.path().join("cache");
    let languages = if args.rust_only { &projects::TRANSFORMERS[..1] } else { &projects::TRANSFORMERS[..] };
    let mut components = Vec::new();
    for guest in languages {
        complain(&format!("building the {} guest", guest.language()));
        components.push(std::fs::read(guest.build(&home.path().join(guest.language()))?)?);
    }
    complain("building a connector");
    let session = std::fs::read(projects::SESSION.build(&home.path().join("session"))?)?;
    let (mut guests, mut plugins, mut runaways) = (Vec::new(), Vec::new(), Vec::new());
    for (guest, component) in languages.iter().zip(&components) {
        let language = guest.language();
        let (plugin, figures) = load(&cache, language, component, &events)?;
        runaways.push(runaway::pure(language, &plugin, &events)?);
        guests.push(figures);
        plugins.push((language, plugin));
    }
    runaways.push(runaway::session(&session)?);
    let mut figures = measure(args, &events, &plugins);
    drop(plugins);
    let idle = runaway::idle(&cache, &components, &events)?;
    if let Some(peers) = &args.peers {
        figures.extend(others(peers, &texts, args)?);
    }
    let event_bytes = texts.iter().map(String::len).sum::<usize>() / texts.len();
    let report = Report { rounds: args.rounds, event_bytes, figures, guests, runaways, idle };
    let aims = aims::of(&report);
    say(&table(&report));
    say(&format!("\n{}", aims::table(&aims)));
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_vec_pretty(&json!({ "report": report, "aims": aims }))?)?;
    }
    Ok(())
}

/// Loads a component without and with a cache, and checks that it does the work right.
fn load(
    cache: &Path,
    language: &'static str,
    component: &[u8],
    events: &[Event],
) -> Fallible<(std::sync::Arc<Transformer>, GuestFigures)> {
    let options = || Options { cache_dir: Some(cache.to_owned()), cache_key: [7; 32], ..Options::default() };
    let cold = Runtime::new(options())?;
    let started = Instant::now();
    cold.load(component)?;
    let load_cold_ms = started.elapsed().as_secs_f64() * 1e3;
    // As a server does when it starts, or when somebody calls a plugin again that was given up.
    let file = cache.join("component.wasm");
    std::fs::write(&file, component)?;
    let (mut cached, mut last, digest) = (Vec::new(), None, Digest::of(component));
    for _ in 0..5 {
        let runtime = Runtime::new(options())?;
        let started = Instant::now();
        let plugin = runtime.load_file(&file, digest)?;
        cached.push(started.elapsed().as_secs_f64() * 1e3);
        last = Some(plugin);
    }
    cached.sort_by(f64::total_cmp);
    let Some(Plugin::Transformer(plugin)) = last else { return Err("the guest is no transformer".into()) };
    let rows = rows(events);
    let applied = apply(&plugin, &rows);
    for (at, (row, event)) in applied.rows.iter().zip(events).enumerate() {
        let got = row.as_ref().map_err(|fault| format!("{language}: the plugin {fault}"))?;
        let expected = work::in_place(event).ok().flatten().map(str::to_owned);
        if work::band(got) != expected {
            return Err(format!("{language}: event {at} came to {got:?}, not to {expected:?}").into());
        }
    }
    let figures = GuestFigures {
        language,
        component_bytes: component.len(),
        load_cold_ms,
        load_cached_ms: cached[cached.len() / 2],
        memory_bytes: applied.usage.memory_bytes_peak,
        fuel_per_event: applied.usage.fuel / events.len() as u64,
    };
    Ok((plugin, figures))
}

fn rows(events: &[Event]) -> Vec<Row<'_>> {
    events.iter().map(|event| Row { event, received_at: Timestamp(event.time.0 + 1) }).collect()
}

fn apply(plugin: &Transformer, rows: &[Row<'_>]) -> cdp_runtime::Applied {
    plugin.apply(&Call { config: "", grants: &Grants::all(), limits: Limits::default(), rows })
}

/// One way of doing the work, and what does the n-th batch of it.
struct Case<'a> {
    way: String,
    batch: Option<usize>,
    go: Box<dyn Fn(usize) + 'a>,
    rounds: Vec<f64>,
}

impl<'a> Case<'a> {
    fn new(way: &str, batch: Option<usize>, go: impl Fn(usize) + 'a) -> Self {
        Self { way: way.to_owned(), batch, go: Box::new(go), rounds: Vec::new() }
    }
}

fn measure(
    args: &Args,
    events: &[Event],
    plugins: &[(&'static str, std::sync::Arc<Transformer>)],
) -> Vec<Figure> {
    let rows = rows(events);
    let mut cases: Vec<Case<'_>> = Vec::new();
    let in_place = |n: usize| _ = black_box(work::in_place(&events[n % EVENTS]));
    cases.push(Case::new("native, in place", None, in_place));
    for batch in BATCHES {
        let chunk = move |n: usize| {
            let start = n * batch % EVENTS;
            start..start + batch
        };
        let go = move |n: usize| drop(black_box(work::Columns::of(&events[chunk(n)]).judge()));
        cases.push(Case::new("native, over columns", Some(batch), go));
        for (language, plugin) in plugins {
            let rows = &rows;
            let go = move |n: usize| drop(black_box(apply(plugin, &rows[chunk(n)])));
            cases.push(Case::new(&format!("{language} guest"), Some(batch), go));
        }
    }
    let slice = Duration::from_millis(args.slice_ms);
    for round in 0..=args.rounds {
        complain(&format!("round {round} of {}", args.rounds));
        for case in &mut cases {
            let (mut calls, started) = (0, Instant::now());
            while started.elapsed() < slice {
                (case.go)(calls);
                calls += 1;
            }
            let ns = started.elapsed().as_secs_f64() * 1e9 / (calls * case.batch.unwrap_or(1)) as f64;
            // The first round warms caches and branches up, and does not count.
            if round > 0 {
                case.rounds.push(ns);
            }
        }
    }
    cases.into_iter().map(|case| figure(case.way, case.batch, case.rounds)).collect()
}

fn figure(way: String, batch: Option<usize>, mut rounds: Vec<f64>) -> Figure {
    rounds.sort_by(f64::total_cmp);
    let (first, last) = (rounds.first().copied(), rounds.last().copied());
    let ns_per_event = rounds[rounds.len() / 2];
    Figure {
        way,
        batch,
        ns_per_event,
        ns_min: first.unwrap_or(0.0),
        ns_max: last.unwrap_or(0.0),
        other: false,
    }
}

/// The same orders in other hosts, measured by a program of their own right after ours.
fn others(program: &Path, texts: &[String], args: &Args) -> Fallible<Vec<Figure>> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), texts.join("\n"))?;
    complain("measuring other hosts");
    let output = Command::new(program)
        .arg(file.path())
        .args([args.rounds.to_string(), args.slice_ms.to_string()])
        .output()
        .map_err(|error| format!("{} could not be run: {error}", program.display()))?;
    if !output.status.success() {
        return Err(format!("{}: {}", program.display(), String::from_utf8_lossy(&output.stderr)).into());
    }
    let figures: Vec<Figure> = serde_json::from_slice(&output.stdout)?;
    Ok(figures.into_iter().map(|figure| Figure { other: true, ..figure }).collect())
}

fn table(report: &Report) -> String {
    let mut figures = Table::new();
    figures.load_style(presets::ASCII_MARKDOWN).set_header([
        "way",
        "batch",
        "ns/event",
        "µs/batch",
        "min",
        "max",
    ]);
    for one in &report.figures {
        let per_batch =
            one.batch.map_or(String::new(), |batch| format!("{:.1}", one.ns_per_event * batch as f64 / 1e3));
        figures.add_row([
            one.way.clone(),
            one.batch.map_or(String::new(), |batch| batch.to_string()),
            format!("{:.0}", one.ns_per_event),
            per_batch,
            format!("{:.0}", one.ns_min),
            format!("{:.0}", one.ns_max),
        ]);
    }
    let mut guests = Table::new();
    guests.load_style(presets::ASCII_MARKDOWN).set_header([
        "guest",
        "component KB",
        "load cold ms",
        "load cached ms",
        "memory KB",
        "fuel/event",
    ]);
    for one in &report.guests {
        guests.add_row([
            one.language.to_owned(),
            one.component_bytes.div_ceil(1024).to_string(),
            format!("{:.1}", one.load_cold_ms),
            format!("{:.1}", one.load_cached_ms),
            (one.memory_bytes / 1024).to_string(),
            one.fuel_per_event.to_string(),
        ]);
    }
    let mut runaways = Table::new();
    runaways.load_style(presets::ASCII_MARKDOWN).set_header([
        "runaway",
        "had",
        "stopped after ms",
        "at most ms",
    ]);
    for one in &report.runaways {
        runaways.add_row([
            one.what.clone(),
            one.had.clone(),
            format!("{:.1}", one.ms),
            format!("{:.1}", one.ms_max),
        ]);
    }
    let idle = report.idle.resident_kib.map_or(String::new(), |[before, used, idle]| {
        format!("\n\nResident KiB: {before} before the plugins were loaded, {used} after each was called, {idle} when idle.")
    });
    for table in [&mut figures, &mut guests, &mut runaways] {
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!(
        "Events of {} bytes, median of {} rounds.\n\n{figures}\n\n{guests}\n\n{runaways}{idle}",
        report.event_bytes, report.rounds
    )
}
