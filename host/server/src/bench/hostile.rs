//! `cdp bench hostile`: what a tenant notices of three others that bring every guest that means harm.
//!
//! The quiet tenant sends single events at a steady rate, first alone and then while the others upload, activate and feed
//! the table of hostile guests, over and over, as fast as they are let ([`cdp_api::Rates::changes_per_second`]). The load is
//! open: a latency counts from when the request was due.
//!
//! A machine has better and worse minutes, which are longer than what is to be seen. So short phases take turns, the
//! latencies of all of one kind are taken together, and how far the result can be relied on is said with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};

use super::load::{self, Outcome, Plan};
use super::{complain, say, setup};
use crate::demo::child::Server;
use crate::demo::client::{Client, Fallible};
use crate::demo::keys;

/// How to measure.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cdp bench hostile")]
pub(crate) struct Args {
    /// Where `cargo xtask hostile` put the guests.
    #[arg(long, default_value = "target/guests")]
    guests: PathBuf,
    /// Events a second of the quiet tenant, one a request.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Seconds of each of the two phases.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Rounds: quiet alone and beside the others, one after the other.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
}

/// Tenants that mean harm.
const HOSTILE: usize = 3;
/// Connections of the quiet tenant, and its customers.
const QUIET: (usize, u64) = (8, 10_000);
/// Events that each hostile guest is fed.
const FED: usize = 3;

/// A row of the table.
struct Guest {
    name: String,
    component: Arc<Vec<u8>>,
    config: Value,
}

/// Measures and prints the tables.
pub(crate) fn run(args: &Args) -> Fallible<()> {
    let table = Arc::new(read(&args.guests)?);
    let temporary = tempfile::Builder::new().prefix("cdp-bench-").tempdir_in(std::env::current_dir()?)?;
    let key_file = temporary.path().join("operator.key");
    let operator_key = keys::operator_key()?;
    keys::write(&key_file, &operator_key)?;
    // As anybody starts it: what a tenant may change a second is part of what is measured.
    let server = Server::start(&temporary.path().join("data"), "127.0.0.1:0", &key_file)?;
    let (_, quiet_key) = setup::tenant_of(&server.url, &operator_key, "quiet")?;
    let mut hostile = Vec::new();
    for n in 0..HOSTILE {
        hostile.push(setup::tenant_of(&server.url, &operator_key, &format!("hostile-{n}"))?.1);
    }
    say(&format!("\n{} hostile guests in {HOSTILE} tenants\n", table.len()));
    say("| round | quiet tenant | requests | errors | p50 ms | p99 ms | max ms | guests brought |");
    say("| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    let mut rounds = Vec::new();
    let (mut sent, mut brought_all) = (0, 0);
    let brought = Arc::new(AtomicU64::new(0));
    let events = u64::from(args.rate) * u64::from(args.seconds);
    let mut measure = || -> Fallible<Outcome> {
        let plan = Plan {
            mix: super::body::Mix::Plain,
            address: server.url.trim_start_matches("http://").to_owned(),
            key: quiet_key.clone(),
            first: sent,
            events,
            batch: 1,
            rate: Some(f64::from(args.rate)),
            connections: QUIET.0,
            customers: super::body::Customers::all(QUIET.1),
            stop: None,
        };
        sent += events;
        load::run(&plan, |_| {})
    };
    for round in 1..=args.rounds {
        complain(&format!("round {round}: {} s alone, {} s beside the others", args.seconds, args.seconds));
        let alone = measure()?;
        row(round, "alone", &alone, events, 0);
        let stop = Arc::new(AtomicBool::new(false));
        brought.store(0, Ordering::Relaxed);
        let threads: Vec<_> = hostile
            .iter()
            .enumerate()
            .map(|(at, key)| {
                let client = Client::new(&server.url, key);
                let (table, stop, brought) = (table.clone(), stop.clone(), brought.clone());
                std::thread::spawn(move || {
                    // What they send is what is measured. What their machines compute would not be the server's.
                    cdp_threads::stand_back();
                    bring(&client, &table, (at, round), &stop, &brought)
                })
            })
            .collect();
        let beside = measure();
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().map_err(|_| "a hostile tenant's load panicked")??;
        }
        let beside = beside?;
        row(round, "beside", &beside, events, brought.load(Ordering::Relaxed));
        brought_all += brought.load(Ordering::Relaxed);
        rounds.push([alone, beside]);
    }
    let all: Vec<_> = rounds.iter().collect();
    let [alone, beside] = [0, 1].map(|kind| together(&all, kind));
    row("all", "alone", &alone, events * u64::from(args.rounds), 0);
    row("all", "beside", &beside, events * u64::from(args.rounds), brought_all);
    let (low, high) = trusted(&rounds);
    say(&format!(
        "\np99 beside / p99 alone: {:.2} (all requests of {} rounds together; {low:.2} to {high:.2} in 90 of 100 resamplings of the rounds)",
        ratio(&all),
        rounds.len()
    ));
    server.stop()
}

/// What came of a phase, alone and beside the others.
type Round = [Outcome; 2];

/// The outcome of all rounds as if they were one.
fn together(rounds: &[&Round], kind: usize) -> Outcome {
    let mut all = Outcome::default();
    for round in rounds {
        all.accepted += round[kind].accepted;
        all.refusals += round[kind].refusals;
        all.latencies.extend_from_slice(&round[kind].latencies);
    }
    all.latencies.sort_unstable();
    all
}

fn ratio(rounds: &[&Round]) -> f64 {
    let [alone, beside] = [0, 1].map(|kind| together(rounds, kind).quantile(0.99).as_secs_f64());
    beside / alone
}

/// Between what the ratio lies in 90 of 100 drawings of as many rounds, each from all of them (the bootstrap, Efron 1979).
fn trusted(rounds: &[Round]) -> (f64, f64) {
    const DRAWINGS: usize = 1000;
    let mut ratios: Vec<f64> = (0..DRAWINGS)
        .map(|_| {
            let drawn: Vec<_> = rounds.iter().map(|_| &rounds[fastrand::usize(..rounds.len())]).collect();
            ratio(&drawn)
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    (ratios[DRAWINGS / 20], ratios[DRAWINGS - DRAWINGS / 20])
}

/// The table that `cargo xtask hostile` wrote.
fn read(guests: &Path) -> Fallible<Vec<Guest>> {
    let dir = guests.join("hostile");
    let at = dir.join("table.json");
    let text =
        std::fs::read(&at).map_err(|error| format!("{}: {error}; run cargo xtask hostile", at.display()))?;
    let rows: Vec<Value> = serde_json::from_slice(&text)?;
    let word = |row: &Value, name: &str| -> Fallible<String> {
        Ok(row[name].as_str().ok_or_else(|| format!("the table has a row without {name}"))?.to_owned())
    };
    let guest = |row: &Value| -> Fallible<Guest> {
        Ok(Guest {
            name: word(row, "name")?,
            component: Arc::new(std::fs::read(dir.join(word(row, "file")?))?),
            config: serde_json::from_str(&word(row, "config")?)?,
        })
    };
    rows.iter().map(guest).collect()
}

/// Brings one guest after the other until told to stop. What the server answers is judged by the tests; here it only has
/// to answer.
fn bring(
    client: &Client,
    table: &[Guest],
    (at, round): (usize, u32),
    stop: &AtomicBool,
    brought: &AtomicU64,
) -> Result<(), String> {
    let start = at * table.len() / HOSTILE;
    for (n, guest) in table.iter().cycle().skip(start).enumerate() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        one(client, guest, &format!("{}-{round}-{n}", guest.name))
            .map_err(|error| format!("{}: {error}", guest.name))?;
        brought.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn one(client: &Client, guest: &Guest, id: &str) -> Fallible<()> {
    let uploaded =
        client.post_patiently("/v1/plugins/guest/versions", "application/wasm", &guest.component)?;
    if !(200..300).contains(&uploaded.status) {
        return Ok(());
    }
    let uploaded = uploaded.json()?;
    let path = format!("/v1/plugins/guest/versions/{}/activate", uploaded["version"]);
    let activation = json!({"grants": uploaded["requests"], "config": guest.config}).to_string();
    client.post_patiently(&path, "application/json", activation.as_bytes())?;
    let events: Vec<Value> = (0..FED)
        .map(|n| {
            json!({"id": format!("{id}-{n}"), "type": "purchase", "time": "2026-03-01T12:00:00Z",
                   "identifiers": [{"type": "customer_id", "value": "ann"}], "properties": {"total": "1"}})
        })
        .collect();
    client.post_patiently(
        "/v1/events",
        "application/json",
        json!({ "events": events }).to_string().as_bytes(),
    )?;
    client.get("/v1/accounting").map(drop)
}

fn row(round: impl std::fmt::Display, what: &str, outcome: &Outcome, events: u64, brought: u64) {
    let ms = |q| outcome.quantile(q).as_secs_f64() * 1000.0;
    let errors = events - outcome.accepted + outcome.refusals;
    say(&format!(
        "| {round} | {what} | {} | {errors} | {:.2} | {:.2} | {:.2} | {brought} |",
        outcome.latencies.len(),
        ms(0.5),
        ms(0.99),
        ms(1.0)
    ));
}
