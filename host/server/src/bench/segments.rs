//! `cdp bench segments`: what attributes and segments cost, and how soon they answer.
//!
//! One tenant takes the events without any definition, another the same with twenty attributes and fifty segments.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use serde_json::{Value, json};

use super::body::Mix;
use super::load::{self, Plan};
use super::{complain, say, usage};
use crate::demo::child::Server;
use crate::demo::client::{Client, Fallible};
use crate::demo::keys;

/// How to measure.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cdp bench segments --profiles 100000 --events 1000000 --json segments.json")]
pub(crate) struct Args {
    /// Events sent to each of the two tenants.
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// Profiles, hit evenly.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=99_999_999))]
    profiles: u64,
    /// Connections that send batches of 100.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Writes the figures to a file as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Keeps the data here instead of in a temporary directory; it must not exist yet.
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

const BATCH: usize = 100;
/// A server that takes longer than this for one thing is stuck.
const LONGEST: Duration = Duration::from_secs(3600);
/// How often a question is asked whose time is told.
const ASKED: usize = 15;
/// When the generator's events happened.
const HAPPENED_MS: i64 = 1_772_366_400_000;
const MINUTE_MS: i64 = 60_000;

/// Everything that was measured in one run.
#[derive(Debug, Serialize)]
struct Report {
    cores: usize,
    events: u64,
    profiles: u64,
    applied_per_second_bare: f64,
    applied_per_second_full: f64,
    times_slower: f64,
    state_bytes_per_profile_bare: f64,
    state_bytes_per_profile_full: f64,
    resident_kib_full: u64,
    backfill_events_per_second: f64,
    applied_per_second_beside_a_backfill: f64,
    share_kept_beside_a_backfill: f64,
    segment_build_profiles_per_second: f64,
    preview_ms: f64,
    size_ms: f64,
    overlap_ms: f64,
    expired: u64,
    expired_per_second: f64,
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
    let server = Server::start(&dir, "127.0.0.1:0", &key_file)?;
    let bench = Bench { args, server, operator_key };
    let state = dir.join("state");

    complain("without definitions");
    let (bare, bare_key) = bench.tenant("bare")?;
    let applied_per_second_bare = bench.load(&bare, &bare_key, 0, args.events)?;
    tell("applied a second", applied_per_second_bare);
    let bytes_bare = settled(&state);
    complain("with 20 attributes and 50 segments");
    let (full, full_key) = bench.tenant("full")?;
    define(&full)?;
    let applied_per_second_full = bench.load(&full, &full_key, 0, args.events)?;
    tell("applied a second", applied_per_second_full);
    let bytes_full = settled(&state).saturating_sub(bytes_bare);
    let resident_kib_full = usage::resident_kib(bench.server.pid()).unwrap_or_default();

    complain("an attribute over all past events");
    let began = Instant::now();
    let filtered = json!({"kind": "sum", "event": "purchase", "property": "/items",
        "where": [{"property": "/items", "op": "gte", "value": 3}]});
    finish(&full, &full.put("/v1/attributes/later", &filtered)?.expect("defining")?)?;
    let backfill = began.elapsed();
    let backfill_events_per_second = per_second(args.events, backfill);
    tell("events a second", backfill_events_per_second);

    complain("the same again, beside an attribute over all past events");
    let (share, beside) = bench.beside(&full, &full_key)?;

    tell("share kept", share);
    complain("questions");
    let rule = json!({"rule": {"all": [
        {"attribute": "total_spend", "op": "gte", "value": 3000},
        {"attribute": "order_count", "op": "lt", "value": 12},
    ]}});
    let preview_ms =
        median_ms(|| full.post_json("/v1/segments/preview", &rule)?.expect("previewing").map(drop))?;
    let size_ms = median_ms(|| full.get("/v1/segments/spend_0")?.expect("reading a size").map(drop))?;
    let overlap = "/v1/segments/spend_0/overlap?with=orders_0";
    let overlap_ms = median_ms(|| full.get(overlap)?.expect("comparing two").map(drop))?;
    tell("ms for a preview", preview_ms);
    tell("ms for an overlap", overlap_ms);

    complain("a mass expiry");
    // Long enough for the build, by what the backfill took; it is checked that it was.
    let patience = Duration::from_secs(5 + args.profiles / 2_000) + backfill * 2;
    let (build, expired, expiry) = expire(&full, patience)?;
    tell("expired a second", per_second(expired, expiry));
    let report = Report {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        events: args.events,
        profiles: args.profiles,
        applied_per_second_bare,
        applied_per_second_full,
        times_slower: applied_per_second_bare / applied_per_second_full,
        state_bytes_per_profile_bare: ratio(bytes_bare, args.profiles),
        state_bytes_per_profile_full: ratio(bytes_full, args.profiles),
        resident_kib_full,
        backfill_events_per_second,
        applied_per_second_beside_a_backfill: beside,
        share_kept_beside_a_backfill: share,
        segment_build_profiles_per_second: per_second(args.profiles, build),
        preview_ms,
        size_ms,
        overlap_ms,
        expired,
        expired_per_second: per_second(expired, expiry),
    };
    let stopped = bench.server.stop();
    say(&table(&report));
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)?;
    }
    stopped
}

struct Bench<'a> {
    args: &'a Args,
    server: Server,
    operator_key: String,
}

impl Bench<'_> {
    fn tenant(&self, slug: &str) -> Fallible<(Client, String)> {
        let operator = Client::new(&self.server.url, &self.operator_key);
        let wanted = json!({"slug": slug, "name": slug, "time_zone": "UTC"});
        let made = operator.post_json("/v1/tenants", &wanted)?.expect("making the tenant")?;
        let key = made["admin_key"].as_str().ok_or("the new tenant came without its key")?.to_owned();
        Ok((Client::new(&self.server.url, &key), key))
    }

    /// Sends part of the events again as new ones, first alone and then while an attribute is computed over all that went
    /// before; gives the share of its rate that applying keeps, and the rate.
    fn beside(&self, client: &Client, key: &str) -> Fallible<(f64, f64)> {
        let part = (self.args.events / 20).max(1);
        let alone = self.load(client, key, self.args.events * 2, part)?;
        let other = json!({"kind": "sum", "event": "purchase", "property": "/items",
            "where": [{"property": "/items", "op": "gte", "value": 4}]});
        let begun = client.put("/v1/attributes/beside", &other)?.expect("defining")?;
        let beside = self.load(client, key, self.args.events * 3, part)?;
        let job = begun["backfill_job"].as_str().ok_or("no backfill began")?;
        let state = client.get(&format!("/v1/jobs/{job}"))?.expect("reading a job")?;
        if state["status"] != "running" {
            complain(&format!("the backfill was over before the events were: {}", state["status"]));
        }
        finish(client, &begun)?;
        Ok((beside / alone, beside))
    }

    /// Sends `events` events of the numbered stream; gives how many were applied a second.
    fn load(&self, client: &Client, key: &str, first: u64, events: u64) -> Fallible<f64> {
        let plan = Plan {
            address: self.server.url.trim_start_matches("http://").to_owned(),
            key: key.to_owned(),
            first,
            events,
            batch: BATCH,
            rate: None,
            connections: self.args.connections,
            customers: super::body::Customers::all(self.args.profiles),
            stop: None,
            mix: Mix::Plain,
        };
        let outcome = load::run(&plan, |_| ())?;
        let path = format!("/v1/attributes?limit=1&min_position={}", outcome.position);
        let deadline = Instant::now() + LONGEST;
        loop {
            let answer = client.get(&path)?;
            if answer.status != 503 || Instant::now() > deadline {
                answer.expect("waiting until all is applied")?;
                break;
            }
        }
        let took = outcome.started.map_or(outcome.took, |started| started.elapsed());
        Ok(per_second(outcome.accepted, took))
    }
}

/// Twenty attributes, five of them in windows, and fifty segments upon them.
fn define(client: &Client) -> Fallible<()> {
    let mut jobs = Vec::new();
    let mut attribute = |name: &str, kind: &str, more: Value| -> Fallible<()> {
        let mut body = json!({"kind": kind, "event": "purchase"});
        for (field, value) in more.as_object().into_iter().flatten() {
            body[field] = value.clone();
        }
        jobs.push(client.put(&format!("/v1/attributes/{name}"), &body)?.expect("defining an attribute")?);
        Ok(())
    };
    let total = json!({"property": "/total"});
    for (name, kind, more) in [
        ("order_count", "count", json!({})),
        ("total_spend", "sum", total.clone()),
        ("least", "min", total.clone()),
        ("greatest", "max", total.clone()),
        ("mean", "avg", total.clone()),
        ("first_order_at", "first", json!({})),
        ("last_order_at", "last", json!({})),
        ("last_store", "last", json!({"property": "/store"})),
        ("first_campaign", "first", json!({"property": "/campaign"})),
        ("stores", "distinct_count", json!({"property": "/store"})),
        ("tills", "unique_list", json!({"property": "/till"})),
        ("usual_items", "most_frequent", json!({"property": "/items"})),
        ("days_since", "time_since_last", json!({"unit": "days"})),
        ("items", "sum", json!({"property": "/items"})),
        ("euros", "sum", json!({"property": "/total", "currency": "EUR"})),
        ("orders_365d", "count", json!({"window": {"days": 365}})),
        ("spend_365d", "sum", json!({"property": "/total", "window": {"days": 365}})),
        ("items_300d", "sum", json!({"property": "/items", "window": {"days": 300}})),
        ("mean_400d", "avg", json!({"property": "/total", "window": {"days": 400}})),
        ("greatest_days", "max", json!({"property": "/total", "window": {"calendar_days": 380}})),
    ] {
        attribute(name, kind, more)?;
    }
    let compare = |name: &str, op: &str, value: i64| json!({"attribute": name, "op": op, "value": value});
    for n in 0..10 {
        for (name, rule) in [
            ("spend", compare("total_spend", "gte", 500 * (n + 1))),
            ("orders", compare("order_count", "gte", n + 1)),
            (
                "recent",
                json!({"all": [compare("spend_365d", "gt", 400 * n), compare("orders_365d", "lt", 20)]}),
            ),
            (
                "lapsed",
                json!({"all": [compare("days_since", "gt", 30 * n), {"not": compare("greatest", "lt", 100 * n)}]}),
            ),
            (
                "did",
                json!({"did": {"event": "purchase", "within": {"days": 365},
                    "where": [{"property": "/items", "op": "gt", "value": n}], "count": {"op": "gte", "value": 2}}}),
            ),
        ] {
            let body = json!({ "rule": rule });
            jobs.push(client.put(&format!("/v1/segments/{name}_{n}"), &body)?.expect("defining a segment")?);
        }
    }
    for job in jobs {
        finish(client, &job)?;
    }
    Ok(())
}

/// A segment of everybody that ends for all of them at once; how long it took to build, how many left, and how long that took.
fn expire(client: &Client, ends_in: Duration) -> Fallible<(Duration, u64, Duration)> {
    let ends_in = i64::try_from(ends_in.as_millis())?;
    let minutes = (now_ms() + ends_in - HAPPENED_MS) / MINUTE_MS + 1;
    let ends = HAPPENED_MS + minutes * MINUTE_MS;
    let began = Instant::now();
    let rule = json!({"rule": {"did": {"event": "purchase", "within": {"minutes": minutes}}}});
    finish(client, &client.put("/v1/segments/ending", &rule)?.expect("defining a segment")?)?;
    let build = began.elapsed();
    let size = || -> Fallible<u64> {
        let segment = client.get("/v1/segments/ending")?.expect("reading a size")?;
        segment["size"].as_u64().ok_or_else(|| "a segment without a size".into())
    };
    let members = size()?;
    if members == 0 {
        return Err("the segment ended before it was built; the machine is too slow for this size".into());
    }
    std::thread::sleep(Duration::from_millis(u64::try_from((ends - now_ms()).max(0))?));
    let began = Instant::now();
    while size()? > 0 {
        if began.elapsed() > LONGEST {
            return Err("the members did not leave".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok((build, members, began.elapsed()))
}

fn finish(client: &Client, answer: &Value) -> Fallible<()> {
    let Some(id) = answer["backfill_job"].as_str() else { return Ok(()) };
    let deadline = Instant::now() + LONGEST;
    loop {
        let job = client.get_patiently(&format!("/v1/jobs/{id}"))?.expect("reading a job")?;
        match job["status"].as_str() {
            Some("done") => return Ok(()),
            Some("queued" | "running") if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            _ => return Err(format!("a job did not end well: {job}").into()),
        }
    }
}

/// The bytes below a path, once they stay the same.
fn settled(path: &std::path::Path) -> u64 {
    let mut before = usage::disk(path).bytes;
    for _ in 0..60 {
        std::thread::sleep(Duration::from_millis(1500));
        let now = usage::disk(path).bytes;
        if now == before {
            break;
        }
        before = now;
    }
    before
}

fn median_ms(mut ask: impl FnMut() -> Fallible<()>) -> Fallible<f64> {
    let mut took = Vec::with_capacity(ASKED);
    for _ in 0..ASKED {
        let began = Instant::now();
        ask()?;
        took.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    took.sort_by(f64::total_cmp);
    Ok(took[ASKED / 2])
}

/// Says a figure as soon as it is known: a run takes long, and may be ended before its table.
fn tell(what: &str, figure: f64) {
    complain(&format!("  {figure:.2} {what}"));
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "rates")]
fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64().max(1e-9)
}

#[expect(clippy::cast_precision_loss, reason = "bytes a profile")]
fn ratio(bytes: u64, profiles: u64) -> f64 {
    bytes as f64 / profiles as f64
}

fn table(report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["what", "figure"]);
    for (what, figure) in [
        ("events, profiles, cores", format!("{}, {}, {}", report.events, report.profiles, report.cores)),
        ("applied events/s without definitions", format!("{:.0}", report.applied_per_second_bare)),
        (
            "applied events/s with 20 attributes and 50 segments",
            format!("{:.0}", report.applied_per_second_full),
        ),
        ("times slower", format!("{:.2}", report.times_slower)),
        (
            "bytes of state per profile without definitions",
            format!("{:.0}", report.state_bytes_per_profile_bare),
        ),
        ("bytes of state per profile with all", format!("{:.0}", report.state_bytes_per_profile_full)),
        ("memory of the server with all, MiB", format!("{}", report.resident_kib_full / 1024)),
        ("backfill of an attribute, events/s", format!("{:.0}", report.backfill_events_per_second)),
        (
            "applied events/s beside a backfill",
            format!(
                "{:.0} ({:.0} %)",
                report.applied_per_second_beside_a_backfill,
                100.0 * report.share_kept_beside_a_backfill
            ),
        ),
        (
            "build of a segment with a new fold, profiles/s",
            format!("{:.0}", report.segment_build_profiles_per_second),
        ),
        ("preview over existing attributes, ms", format!("{:.1}", report.preview_ms)),
        ("size of a segment, ms", format!("{:.2}", report.size_ms)),
        ("overlap of two segments, ms", format!("{:.2}", report.overlap_ms)),
        ("members that left at one instant", format!("{}", report.expired)),
        ("of them a second", format!("{:.0}", report.expired_per_second)),
    ] {
        table.add_row([what.to_owned(), figure]);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}
