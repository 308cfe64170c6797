//! `cdp bench export`: what an audience costs: rows a second by format, memory, and where the time goes.
//!
//! One tenant with consented members; every format is exported to a file, then what differs after a few changed, and a
//! webhook follows who enters. Where a PostgreSQL is named, it copies the same rows out of a join.

mod copy;
mod live;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use serde_json::{Value, json};

use super::members::Members;
use super::{complain, say, usage};
use crate::demo::child::Server;
use crate::demo::client::{Client, Fallible};
use crate::demo::keys;

/// How to measure.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cdp bench export --members 100000
  cdp bench export --postgres postgresql://owner@127.0.0.1/postgres --json export.json")]
pub(crate) struct Args {
    /// Members of the audience.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=99_999_999))]
    members: u64,
    /// Connections that send the members' events before.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
    connections: u64,
    /// A PostgreSQL to compare with, as `psql -d` takes it, such as `postgresql://owner@127.0.0.1/postgres`; two tables are
    /// made there and dropped.
    #[arg(long)]
    postgres: Option<String>,
    /// Writes the figures to a file as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Keeps the data here instead of in a temporary directory; it must not exist yet.
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

/// One in so many changes before the second incremental run.
const CHANGES: u64 = 100;

/// What one run cost.
#[derive(Debug, Serialize)]
struct Measured {
    name: String,
    rows: u64,
    bytes: u64,
    seconds: f64,
    rows_per_second: f64,
    cpu_seconds: f64,
    read_ms: u64,
    consent_ms: u64,
    project_ms: u64,
    encode_ms: u64,
    peak_mib_above: f64,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
struct Report {
    cores: usize,
    members: u64,
    runs: Vec<Measured>,
    live: live::Live,
    copy: Option<copy::Copied>,
}

pub(crate) fn run(args: &Args) -> Fallible<()> {
    let temporary = tempfile::Builder::new().prefix("cdp-bench-").tempdir_in(std::env::current_dir()?)?;
    let dir = args.data_dir.clone().unwrap_or_else(|| temporary.path().join("data"));
    if args.data_dir.is_some() && dir.exists() {
        return Err(format!("{} exists already", dir.display()).into());
    }
    let key_file = temporary.path().join("operator.key");
    let operator_key = keys::operator_key()?;
    keys::write(&key_file, &operator_key)?;
    let server = Server::start_unlimited(&dir, &key_file)?;
    let client = tenant(&server.url, &operator_key)?;
    complain("members come in");
    let members = Members { count: args.members, connections: args.connections, wait_for: "all" };
    members.send(&client, 0, 1)?;
    client.put("/v1/destinations/folder", &json!({"kind": "file"}))?.expect("setting a destination up")?;
    let mut runs = Vec::new();
    for (name, more) in [
        ("csv", json!({"format": "csv"})),
        ("csv, gzip", json!({"format": "csv", "compression": "gzip"})),
        ("ndjson", json!({"format": "ndjson"})),
        ("parquet", json!({"format": "parquet"})),
        (
            "csv, incremental, all new",
            json!({"format": "csv", "mode": "incremental", "destination": "folder"}),
        ),
    ] {
        complain(name);
        runs.push(measure(&client, server.pid(), name, &more)?);
    }
    complain("some change");
    members.send(&client, 1, CHANGES)?;
    let more = json!({"format": "csv", "mode": "incremental", "destination": "folder"});
    runs.push(measure(&client, server.pid(), "csv, incremental, one in a hundred", &more)?);
    complain("a webhook follows");
    let live = live::measure(&client)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let stopped = server.stop();
    let copy = match &args.postgres {
        Some(connection) => {
            complain("PostgreSQL copies");
            // What was measured before is told in any case.
            let copied = copy::measure(connection, args.members);
            copied.map_err(|error| complain(&error.to_string())).ok()
        }
        None => None,
    };
    let report = Report { cores, members: args.members, runs, live, copy };
    say(&table(&report));
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)?;
    }
    stopped
}

fn tenant(url: &str, operator_key: &str) -> Fallible<Client> {
    let wanted = json!({"slug": "bench", "name": "bench", "time_zone": "UTC"});
    let made =
        Client::new(url, operator_key).post_json("/v1/tenants", &wanted)?.expect("making the tenant")?;
    let client = Client::new(url, made["admin_key"].as_str().ok_or("the new tenant came without its key")?);
    let purpose = json!({"title": "News", "legal_basis": "consent", "channels": ["email"]});
    client.put("/v1/purposes/marketing", &purpose)?.expect("registering the purpose")?;
    for (path, body) in [
        ("/v1/attributes/orders", json!({"kind": "count", "event": "purchase"})),
        ("/v1/attributes/spent", json!({"kind": "sum", "event": "purchase", "property": "/total"})),
        ("/v1/segments/all", json!({"title": "All", "rule": {"identifier": "email", "op": "exists"}})),
    ] {
        client.finish_job(&client.put(path, &body)?.expect("defining")?)?;
    }
    Ok(client)
}

fn measure(client: &Client, pid: u32, name: &str, more: &Value) -> Fallible<Measured> {
    let mut request = json!({
        "segment": "all",
        "fields": [
            {"name": "email", "from": "channel.email"}, {"name": "name", "from": "trait.name"},
            {"name": "city", "from": "trait.city"}, {"name": "orders", "from": "attribute.orders"},
            {"name": "spent", "from": "attribute.spent"},
        ],
        "consent": {"channel": "email", "purpose": "marketing"},
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        request[name] = value.clone();
    }
    let before_kib = usage::resident_kib(pid).unwrap_or_default();
    let cpu = usage::cpu_seconds(pid).unwrap_or_default();
    let sampler = usage::Sampler::start(pid);
    let began = Instant::now();
    let started = client.post_json("/v1/exports", &request)?.expect("beginning the export")?;
    let info = client.finish_job(&started)?;
    let seconds = began.elapsed().as_secs_f64();
    let peak_kib = sampler.peak_kib();
    let number = |of: &Value| of.as_u64().unwrap_or(0);
    let members = number(&info["members"]);
    let times = &info["times"];
    Ok(Measured {
        name: name.to_owned(),
        rows: number(&info["rows"]),
        bytes: number(&info["bytes"]),
        seconds,
        rows_per_second: members as f64 / seconds,
        cpu_seconds: usage::cpu_seconds(pid).unwrap_or_default() - cpu,
        read_ms: number(&times["read_ms"]),
        consent_ms: number(&times["consent_ms"]),
        project_ms: number(&times["project_ms"]),
        encode_ms: number(&times["encode_ms"]),
        peak_mib_above: peak_kib.saturating_sub(before_kib) as f64 / 1024.0,
    })
}

fn table(report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header([
        "export",
        "rows",
        "MB",
        "s",
        "members/s",
        "CPU s",
        "reading ms",
        "consent ms",
        "projection ms",
        "encoding ms",
        "MiB above",
    ]);
    for run in &report.runs {
        table.add_row([
            run.name.clone(),
            run.rows.to_string(),
            format!("{:.1}", run.bytes as f64 / 1e6),
            format!("{:.2}", run.seconds),
            format!("{:.0}", run.rows_per_second),
            format!("{:.2}", run.cpu_seconds),
            run.read_ms.to_string(),
            run.consent_ms.to_string(),
            run.project_ms.to_string(),
            run.encode_ms.to_string(),
            format!("{:.0}", run.peak_mib_above),
        ]);
    }
    for column in 1..11 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let Report { members, cores, live, .. } = report;
    let mut text = format!("{members} members, {cores} cores\n{table}\n");
    let live::Live { changes, p50_ms, p99_ms } = live;
    _ = writeln!(
        text,
        "{changes} who entered, from the acknowledged event to the webhook's request: {p50_ms:.0} ms in the middle, \
         {p99_ms:.0} ms for 99 of 100"
    );
    if let Some(copy) = &report.copy {
        let csv = report.runs.first().map_or(0.0, |run| run.rows as f64 / run.seconds);
        _ = writeln!(
            text,
            "PostgreSQL copies {} rows in {:.2} s, {:.0} rows/s; the export as CSV gives {csv:.0} rows/s, {:.2} of that",
            copy.rows,
            copy.seconds,
            copy.rows_per_second,
            csv / copy.rows_per_second
        );
    }
    text
}
