//! `cdp bench fairness`: what a tenant with little to send notices of one that sends a hundred times as much.
//!
//! The quiet tenant sends single events at a steady rate, first alone and then beside the noisy one. Both loads are open:
//! a latency counts from when the request was due.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::load::{self, Outcome, Plan};
use super::{complain, say, setup};
use crate::demo::child::Server;
use crate::demo::client::Fallible;
use crate::demo::keys;

/// How to measure.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cdp bench fairness")]
pub(crate) struct Args {
    /// Events a second of the quiet tenant, one a request.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// How many times as many the noisy one sends; 0 is as many as it can.
    #[arg(long, default_value_t = 100)]
    times: u32,
    /// Events of one request of the noisy one.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    batch: u16,
    /// Connections of the noisy one.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Seconds of each of the two phases.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Rounds: quiet alone and beside the noisy one, one after the other.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
}

/// Connections of the quiet tenant.
const QUIET_CONNECTIONS: usize = 8;
/// Customers of each.
const CUSTOMERS: u64 = 10_000;
/// How long the noisy one is at it before the quiet one is measured.
const WARMING: Duration = Duration::from_secs(1);

struct Side {
    address: String,
    key: String,
    sent: u64,
}

impl Side {
    fn plan(&self, rate: Option<f64>, events: u64, batch: usize, connections: usize) -> Plan {
        Plan {
            mix: super::body::Mix::Plain,
            address: self.address.clone(),
            key: self.key.clone(),
            first: self.sent,
            events,
            batch,
            rate,
            connections,
            customers: super::body::Customers::all(CUSTOMERS),
            stop: None,
        }
    }
}

/// Measures and prints the table.
pub(crate) fn run(args: &Args) -> Fallible<()> {
    let temporary = tempfile::Builder::new().prefix("cdp-bench-").tempdir_in(std::env::current_dir()?)?;
    let key_file = temporary.path().join("operator.key");
    let operator_key = keys::operator_key()?;
    keys::write(&key_file, &operator_key)?;
    let server = Server::start_unlimited(&temporary.path().join("data"), &key_file)?;
    let address = server.url.trim_start_matches("http://").to_owned();
    let side = |slug| -> Fallible<Side> {
        let (_, key) = setup::tenant_of(&server.url, &operator_key, slug)?;
        Ok(Side { address: address.clone(), key, sent: 0 })
    };
    let (mut quiet, mut noisy) = (side("quiet")?, side("noisy")?);
    say("| round | quiet tenant | requests | p50 ms | p99 ms | max ms | noisy events/s |");
    say("| ---: | --- | ---: | ---: | ---: | ---: | ---: |");
    let mut ratios = Vec::new();
    for round in 1..=args.rounds {
        complain(&format!(
            "round {round}: {} s alone, {} s beside the noisy tenant",
            args.seconds, args.seconds
        ));
        let alone = measure(args, &mut quiet)?;
        row(round, "alone", &alone, 0.0);
        let stop = Arc::new(AtomicBool::new(false));
        let load = loud(args, &mut noisy, &stop);
        std::thread::sleep(WARMING);
        let beside = measure(args, &mut quiet);
        stop.store(true, Ordering::Relaxed);
        let loud = load.join().map_err(|_| "the noisy load panicked")??;
        let beside = beside?;
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let rate = loud.accepted as f64 / loud.took.as_secs_f64();
        row(round, "beside", &beside, rate);
        ratios.push(beside.quantile(0.99).as_secs_f64() / alone.quantile(0.99).as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    say(&format!("\np99 beside / p99 alone: {median:.2} (median of {} rounds)", ratios.len()));
    server.stop()
}

fn measure(args: &Args, quiet: &mut Side) -> Fallible<Outcome> {
    let events = u64::from(args.rate) * u64::from(args.seconds);
    let plan = quiet.plan(Some(f64::from(args.rate)), events, 1, QUIET_CONNECTIONS);
    quiet.sent += events;
    load::run(&plan, |_| {})
}

type Loud = std::thread::JoinHandle<Result<Outcome, String>>;

/// Begins the noisy load, on a thread of its own; it goes on until it is told to stop.
fn loud(args: &Args, noisy: &mut Side, stop: &Arc<AtomicBool>) -> Loud {
    let rate = (args.times > 0).then(|| f64::from(args.rate) * f64::from(args.times));
    // More than any machine sends meanwhile.
    let events = 1_000_000 * u64::from(args.seconds + 60);
    let mut plan = noisy.plan(rate, events, usize::from(args.batch), args.connections);
    plan.stop = Some(stop.clone());
    noisy.sent += events;
    std::thread::spawn(move || load::run(&plan, |_| {}).map_err(|error| error.to_string()))
}

fn row(round: u32, what: &str, outcome: &Outcome, noisy_rate: f64) {
    let ms = |q| outcome.quantile(q).as_secs_f64() * 1000.0;
    let requests = outcome.latencies.len();
    say(&format!(
        "| {round} | {what} | {requests} | {:.2} | {:.2} | {:.2} | {noisy_rate:.0} |",
        ms(0.5),
        ms(0.99),
        ms(1.0)
    ));
}
