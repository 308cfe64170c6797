//! `cdp bench ingest`: events in.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::str::FromStr;

use super::body::{Customers, Mix};
use super::load::{self, Outcome, Plan};
use super::report::{Disk, Memory, Phase, Report};
use super::usage::{self, Sampler};
use super::{complain, limits, say, setup};
use crate::demo::child::Server;
use crate::demo::client::{Client, Fallible};
use crate::demo::keys;

/// How to measure.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cdp bench ingest --events 1000000 --mode batch")]
pub(crate) struct Args {
    /// Events sent in batches at full speed; the other phases derive theirs from it.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Events a second of one open-loop phase, or `max`: full speed, and then half of what that gave.
    #[arg(long, default_value = "max")]
    rate: Rate,
    /// What to send: batches, single events, or both one after the other.
    #[arg(long, value_enum, default_value_t = Mode::Both)]
    mode: Mode,
    /// Events in a batch.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(2..=1000))]
    batch: u16,
    /// Customers, hit evenly.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=99_999_999))]
    customers: u64,
    /// Whom events are about.
    #[arg(long, value_enum, default_value_t = Mix::Plain)]
    mix: Mix,
    /// Numbers of profiles, such as 10000,100000,1000000: for each, a tenant of its own gets as many, and then `--events`
    /// are measured in batches at full speed. Replaces the other phases.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..=49_999_999))]
    profiles: Vec<u64>,
    /// With `--profiles`: the measured events are about so many of them, spread evenly, instead of all. So the cost of
    /// having more profiles shows apart from the cost of touching more of them.
    #[arg(long, requires = "profiles", value_parser = clap::value_parser!(u64).range(1..))]
    active: Option<u64>,
    /// Connections that send batches at full speed.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Connections that send single events at full speed, and all open-loop requests.
    #[arg(long, default_value_t = 128)]
    connections_single: usize,
    /// Writes the figures to a file as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Keeps the data here instead of in a temporary directory; it must not exist yet.
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    Batch,
    Single,
    Both,
}

#[derive(Debug, Clone, Copy)]
enum Rate {
    Max,
    EventsPerSecond(f64),
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.replace('_', "").parse::<f64>() {
            Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(Self::EventsPerSecond(rate)),
            _ => Err("a rate is `max` or a number of events a second above 0".to_owned()),
        }
    }
}

/// Shorter phases give latencies that are mostly chance.
const HALF_LOAD_SECONDS: f64 = 15.0;

struct Bench<'a> {
    args: &'a Args,
    server: Server,
    client: Client,
    key: String,
    sent: u64,
    customers: Customers,
    mix: Mix,
    sampler: Sampler,
    report: Report,
}

pub(crate) fn run(args: &Args) -> Fallible<()> {
    let temporary = tempfile::Builder::new().prefix("cdp-bench-").tempdir_in(std::env::current_dir()?)?;
    let dir = args.data_dir.clone().unwrap_or_else(|| temporary.path().join("data"));
    if args.data_dir.is_some() && dir.exists() {
        return Err(format!("{} exists already", dir.display()).into());
    }
    complain("measuring the machine's own limits");
    let limits = limits::measure(temporary.path(), usize::from(args.batch), args.customers)?;

    let key_file = temporary.path().join("operator.key");
    let operator_key = keys::operator_key()?;
    keys::write(&key_file, &operator_key)?;
    let server = Server::start_unlimited(&dir, &key_file)?;
    let (client, key) = setup::tenant(&server.url, &operator_key)?;
    let sampler = Sampler::start(server.pid());
    let report = Report::new(limits, args.customers);
    let (customers, mix) = (Customers::all(args.customers), args.mix);
    let mut bench = Bench { args, server, client, key, sent: 0, customers, mix, sampler, report };
    if !args.profiles.is_empty() {
        bench.sweep(&operator_key)?;
        return bench.finish(&dir);
    }
    if args.mode != Mode::Single {
        bench.mode(usize::from(args.batch), args.events)?;
    }
    if args.mode != Mode::Batch {
        let events = if args.mode == Mode::Both { args.events / 5 } else { args.events };
        bench.mode(1, events.max(1))?;
    }
    bench.finish(&dir)
}

impl Bench<'_> {
    /// One size of request: at full speed and at half of it, or at the rate that was asked for.
    fn mode(&mut self, batch: usize, events: u64) -> Fallible<()> {
        match self.args.rate {
            Rate::EventsPerSecond(rate) => self.phase(batch, events, Some(rate)).map(drop),
            Rate::Max => {
                let acknowledged = self.phase(batch, events, None)?;
                let half = acknowledged / 2.0;
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
                let enough = (half * HALF_LOAD_SECONDS) as u64;
                self.phase(batch, events.min(enough).max(1), Some(half)).map(drop)
            }
        }
    }

    /// The same events on more and more profiles.
    fn sweep(&mut self, operator_key: &str) -> Fallible<()> {
        let batch = usize::from(self.args.batch);
        for (n, profiles) in self.args.profiles.iter().enumerate() {
            if n > 0 {
                (self.client, self.key) =
                    setup::tenant_of(&self.server.url, operator_key, &format!("bench-{n}"))?;
            }
            (self.customers, self.mix, self.sent) = (Customers::all(*profiles), Mix::Each, 0);
            self.phase_called(format!("making {profiles} profiles"), batch, *profiles, None)?;
            self.mix = self.args.mix;
            self.customers = Customers::some(self.args.active.unwrap_or(*profiles), *profiles);
            self.phase_called(format!("on {profiles} profiles"), batch, self.args.events, None)?;
        }
        Ok(())
    }

    /// Gives the acknowledged events a second.
    fn phase(&mut self, batch: usize, events: u64, rate: Option<f64>) -> Fallible<f64> {
        let name = match rate {
            None => format!("{batch} a request, full speed"),
            Some(rate) => format!("{batch} a request, {rate:.0} events/s due"),
        };
        self.phase_called(name, batch, events, rate)
    }

    fn phase_called(&mut self, name: String, batch: usize, events: u64, rate: Option<f64>) -> Fallible<f64> {
        complain(&format!("{name}: {events} events"));
        let connections =
            if batch > 1 && rate.is_none() { self.args.connections } else { self.args.connections_single };
        let plan = Plan {
            address: self.server.url.trim_start_matches("http://").to_owned(),
            key: self.key.clone(),
            first: self.sent,
            events,
            batch,
            rate,
            connections,
            customers: self.customers,
            mix: self.mix,
            stop: None,
        };
        let pid = self.server.pid();
        let before = (usage::cpu_seconds(pid), usage::cpu_seconds(std::process::id()));
        let quarters = Rc::new(RefCell::new(Vec::new()));
        let outcome = load::run(&plan, watch_quarters(&quarters, pid, events))?;
        setup::wait_applied(&self.client, outcome.position)?;
        let applied_after = outcome.started.map_or(0.0, |started| started.elapsed().as_secs_f64());
        // Full batches: the last one may reach beyond `events`.
        self.sent += events.next_multiple_of(batch as u64);
        let memory = Memory {
            resident_kib_at_quarters: quarters.take(),
            resident_kib_when_applied: usage::resident_kib(pid).unwrap_or_default(),
            peak_kib_so_far: self.sampler.peak_kib(),
        };
        let phase = phase_of(name, batch, rate, &outcome, applied_after, memory);
        let acknowledged = phase.acknowledged_per_second;
        self.report.phases.push(Phase {
            server_cpu_seconds: difference(before.0, usage::cpu_seconds(pid)),
            generator_cpu_seconds: difference(before.1, usage::cpu_seconds(std::process::id())),
            ..phase
        });
        Ok(acknowledged)
    }

    fn finish(mut self, dir: &Path) -> Fallible<()> {
        self.report.peak_kib = self.sampler.peak_kib();
        let events = self.sent;
        drop(self.sampler);
        let stopped = self.server.stop();
        self.report.disk = Disk::of(dir, events);
        say(&self.report.to_string());
        if let Some(path) = &self.args.json {
            std::fs::write(path, serde_json::to_vec_pretty(&self.report)?)?;
        }
        stopped
    }
}

/// Notes the memory when each quarter of the events is acknowledged.
fn watch_quarters(quarters: &Rc<RefCell<Vec<u64>>>, pid: u32, events: u64) -> impl Fn(u64) + Clone + 'static {
    let quarters = Rc::clone(quarters);
    move |acknowledged| {
        let mut seen = quarters.borrow_mut();
        while seen.len() < 4 && acknowledged * 4 >= events * (seen.len() as u64 + 1) {
            seen.push(usage::resident_kib(pid).unwrap_or_default());
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "rates and milliseconds")]
fn phase_of(
    name: String,
    batch: usize,
    rate: Option<f64>,
    outcome: &Outcome,
    applied_after: f64,
    memory: Memory,
) -> Phase {
    let milliseconds = |q| outcome.quantile(q).as_secs_f64() * 1000.0;
    Phase {
        name,
        batch,
        due_per_second: rate,
        events: outcome.accepted,
        acknowledged_per_second: outcome.accepted as f64 / outcome.took.as_secs_f64(),
        applied_per_second: outcome.accepted as f64 / applied_after,
        ack_p50_ms: milliseconds(0.50),
        ack_p99_ms: milliseconds(0.99),
        ack_max_ms: milliseconds(1.0),
        refusals: outcome.refusals,
        memory,
        server_cpu_seconds: 0.0,
        generator_cpu_seconds: 0.0,
    }
}

fn difference(before: Option<f64>, after: Option<f64>) -> f64 {
    after.zip(before).map_or(0.0, |(after, before)| after - before)
}
