//! `cdp bench export`: what an audience costs: rows a second by format, memory, and where the time goes.
//!
//! One tenant with consented members; every format is exported to a file, then what differs after a few changed, and a
//! webhook follows who enters. Where a PostgreSQL is named, it copies the same rows out of a join.

mod copy;
mod live;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use serde_json::{Value, json};

use super::{complain, say, usage};
use crate::demo::child::Server;
use crate::demo::client::{Client, Fallible};
use crate::demo::keys;

/// How to measure.
#[derive(Debug, clap::Args)]
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

/// Events of one request.
const BATCH: u64 = 500;
/// One in so many has not agreed.
const REFUSES: u64 = 10;
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
    load(&client, args, 0, 1)?;
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
    load(&client, args, 1, CHANGES)?;
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

/// Sends an event of every `every`-th member and returns when all are applied.
fn load(client: &Client, args: &Args, round: u64, every: u64) -> Fallible<()> {
    let next = AtomicU64::new(0);
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..args.connections {
            scope.spawn(|| {
                loop {
                    let from = next.fetch_add(BATCH, Ordering::Relaxed);
                    if from * every >= args.members || failed.lock().is_ok_and(|failed| failed.is_some()) {
                        return;
                    }
                    let upto = (from + BATCH).min(args.members.div_ceil(every));
                    // Not only those who have not agreed.
                    let body = events(round, (from..upto).map(|n| n * every + u64::from(every > 1)));
                    let sent = client.post_patiently("/v1/events", "application/json", body.as_bytes());
                    if let Err(error) = sent.and_then(|answer| answer.expect("sending events"))
                        && let Ok(mut failed) = failed.lock()
                    {
                        *failed = Some(error.to_string());
                    }
                }
            });
        }
    });
    if let Ok(Some(error)) = failed.into_inner() {
        return Err(error.into());
    }
    let last = client.post_json(
        "/v1/events?wait=applied",
        &json!([{"id": format!("end-{round}"), "type": "end",
        "identifiers": [{"type": "customer", "value": "nobody"}]}]),
    )?;
    let position = last.expect("sending the last event")?["position"].as_str().unwrap_or("0").to_owned();
    client.get_patiently(&format!("/v1/segments/all?min_position={position}"))?.expect("waiting").map(drop)
}

/// What there is to say of a member.
struct Member {
    email: String,
    name: String,
    city: String,
    total: String,
    status: &'static str,
}

fn member(n: u64) -> Member {
    let cents = n * 7919 % 100_000;
    Member {
        email: format!("member{n}@example.com"),
        name: format!("Member {n}"),
        city: format!("City {}", n % 1000),
        total: format!("{}.{:02}", cents / 100, cents % 100),
        status: if n.is_multiple_of(REFUSES) { "denied" } else { "granted" },
    }
}

fn events(round: u64, members: impl Iterator<Item = u64>) -> String {
    let mut text = String::from("{\"events\":[");
    for (n, member) in members.enumerate() {
        if n > 0 {
            text.push(',');
        }
        let Member { email, name, city, total, status } = self::member(member);
        let _ = write!(
            text,
            "{{\"id\":\"{round}-{member}\",\"type\":\"purchase\",\"time\":\"2026-03-0{}T00:00:00Z\",\
             \"identifiers\":[{{\"type\":\"email\",\"value\":\"{email}\"}}],\
             \"properties\":{{\"total\":\"{total}\"}},\"traits\":{{\"city\":\"{city}\",\"name\":\"{name}\"}},\
             \"channels\":[{{\"channel\":\"email\",\"address\":\"{email}\"}}],\
             \"consents\":[{{\"channel\":\"email\",\"address\":\"{email}\",\"purpose\":\"marketing\",\
             \"status\":\"{status}\",\"method\":\"form\",\"policy_version\":\"1\",\"expires_at\":null}}]}}",
            round + 1,
        );
    }
    text.push_str("]}");
    text
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
