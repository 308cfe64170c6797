//! `cdp import`: a file of events or profiles goes in through the public interface, like any sender's.
//!
//! # What holds
//!
//! - **A second run changes nothing.** A row's event has an id of its own, or one made from what the row says; the server
//!   knows it again.
//! - **Nothing newer is overridden.** Every row carries a time; the server orders by it, not by arrival.
//! - **No opt-out is undone.** A consent is marked as imported, and a grant that does not say when it was decided loses
//!   against any refusal there is (`cdp_domain::consent`).
//! - **A bad row costs itself.** It goes to the error file with its number, the place in the row and why.
//! - **An interrupted run goes on** behind the last row that is known to be in (`checkpoint.rs`).
//!
//! Rows flow from [`input`] through [`row`] (and [`mapping`] for CSV) in batches to [`send`]; [`report`] keeps the books.

mod checkpoint;
mod input;
mod mapping;
mod report;
mod row;
mod send;

use std::path::PathBuf;
use std::time::Duration;

use cdp_domain::time::Timestamp;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{Failure, exit, say};
use checkpoint::Checkpoint;
use input::Input;
use mapping::Mapping;
use report::{Outcome, Report};
use row::Shaper;

/// Events a request, at most; what the server takes is in its `/v1/limits`.
const BATCH_MAX: usize = 1000;
/// Bytes of a request's body, about: below the server's bound with room for what stands around the events.
const BATCH_BYTES_MAX: usize = 900 * 1024;
/// Requests under way at the same time, at most.
const CONCURRENCY_MAX: usize = 32;

/// What to import.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Import events: things that happened, each at its time.
    #[command(after_help = "Examples:
  cdp import events orders.csv --map id=id --map \"E-mail=identifier.email\" --set type=purchase
  gzip -dc visits.ndjson.gz | cdp import events - --format ndjson")]
    Events(Args),
    /// Import profiles: what is known about people, at one time.
    #[command(after_help = "Examples:
  cdp import profiles customers.csv --map \"E-mail=identifier.email\" --map City=trait.city --dry-run")]
    Profiles(Args),
}

/// How to import.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// NDJSON or CSV, also compressed with gzip; `-` reads standard input.
    file: PathBuf,
    /// What the file is [default: by its name].
    #[arg(long, value_enum)]
    format: Option<input::Format>,
    /// Where a CSV column goes, such as `--map "E-mail=identifier.email"`; may be repeated.
    #[arg(long = "map", value_name = "COLUMN=PATH")]
    maps: Vec<String>,
    /// The same in a file: a table `[columns]`, and a table `[set]`.
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// What is the same in every row that does not say it, such as `--set type=purchase`; may be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    sets: Vec<String>,
    /// The time of rows that have none [default for profiles: when the file was changed last].
    #[arg(long, value_name = "TIME")]
    time: Option<String>,
    /// Who reported the rows that do not say; with an event's id it is the event's identity.
    #[arg(long, default_value = "import")]
    source: String,
    /// The server.
    #[arg(long, env = "CDP_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// A file with a key that may ingest [default: the key in CDP_API_KEY].
    #[arg(long, env = "CDP_API_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Rows a request.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=BATCH_MAX as i64))]
    batch: u32,
    /// Requests under way at the same time.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=CONCURRENCY_MAX as i64))]
    concurrency: u32,
    /// Rows per second, at most [default: as fast as the server takes them].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// How long to go on trying while the server takes nothing, in seconds.
    #[arg(long, default_value_t = 300)]
    patience: u64,
    /// Where refused rows are written [default: FILE.errors.ndjson].
    #[arg(long, value_name = "FILE")]
    errors: Option<PathBuf>,
    /// Begin at the first row, whatever an interrupted run has done.
    #[arg(long)]
    from_start: bool,
    /// Read, map and check every row, and send nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Events,
    Profiles,
}

/// A row that became an event.
#[derive(Debug)]
struct Ready {
    place: input::Place,
    /// The event as JSON.
    text: String,
    /// Whether its id was made from what the row says.
    made_id: bool,
}

/// Rows that go out in one request.
#[derive(Debug)]
struct Batch {
    /// In the order of the file.
    number: u64,
    rows: Vec<Ready>,
    /// Rows on the way that became no event.
    refused: Vec<report::Refused>,
    /// Rows of the file before and in this batch, refused ones included.
    rows_read: u64,
    bytes_read: u64,
}

/// Does it.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    let (kind, args) = match command {
        Command::Events(args) => (Kind::Events, args),
        Command::Profiles(args) => (Kind::Profiles, args),
    };
    let key = if args.dry_run { String::new() } else { key(&args)? };
    let mut input = Input::open(&args.file, args.format)?;
    let mapping = Mapping::of(&args.maps, &args.sets, args.mapping.as_deref(), input.columns())?;
    let time = time(&args, kind, &input)?;
    let shaper = Shaper { kind, source: &args.source, time, mapping: &mapping };
    let mut checkpoint = Checkpoint::of(&args, kind, &input, &mapping)?;
    let resumed = if args.from_start || args.dry_run { None } else { checkpoint.load()? };
    let errors = args.errors.clone().unwrap_or_else(|| input.beside("errors.ndjson"));
    let mut report = Report::new(errors, resumed.as_ref());
    let bar = bar(&input)?;
    if let Some(done) = &resumed {
        bar.suspend(|| {
            say(&format!("{} rows were dealt with by an earlier run; going on behind them", done.rows))
        })?;
        input.skip(done.rows)?;
    }
    if args.dry_run {
        check_all(&mut input, &shaper, &mut report, &bar)?;
    } else {
        let sender = send::Sender::new(&args.url, &key, Duration::from_secs(args.patience), args.rate);
        let mut batches =
            Batches { input: &mut input, shaper: &shaper, rows_max: args.batch as usize, number: 0 };
        let sent =
            send::all(&sender, args.concurrency as usize, &mut batches, &mut report, |report, batch| {
                bar.set_position(batch.bytes_read);
                bar.set_message(report.line());
                checkpoint.save(report, false)
            });
        if let Err(failure) = sent {
            checkpoint.save(&mut report, true)?;
            return Err(failure);
        }
    }
    bar.finish_and_clear();
    report.finish()?;
    if !args.dry_run {
        checkpoint.remove()?;
    }
    let verb = if args.dry_run { "would be sent" } else { "accepted" };
    report.tell(verb)?;
    match report.refused {
        0 => Ok(()),
        n => Err(Failure::new(
            exit::INPUT_REJECTED,
            format!("{n} rows were refused; they stand with the reasons in {}", report.path.display()),
        )),
    }
}

/// Makes batches of what the input gives.
struct Batches<'a> {
    input: &'a mut Input,
    shaper: &'a Shaper<'a>,
    rows_max: usize,
    number: u64,
}

impl send::Source for Batches<'_> {
    fn next(&mut self) -> Result<Option<Batch>, Failure> {
        let (mut rows, mut refused) = (Vec::with_capacity(self.rows_max), Vec::new());
        let mut bytes = 0;
        while rows.len() + refused.len() < self.rows_max && bytes < BATCH_BYTES_MAX {
            let Some(row) = self.input.next()? else { break };
            match row.and_then(|row| self.shaper.shape(row)).and_then(row::Shaped::ready) {
                Ok(ready) => {
                    bytes += ready.text.len() + 1;
                    rows.push(ready);
                }
                Err(one) => refused.push(one),
            }
        }
        if rows.is_empty() && refused.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        let (rows_read, bytes_read) = (self.input.rows(), self.input.bytes());
        Ok(Some(Batch { number: self.number - 1, rows, refused, rows_read, bytes_read }))
    }

    fn explain(&self, refused: &mut report::Refused, row: &Ready) {
        self.shaper.name_columns(refused, &row.text);
    }
}

/// Reads, maps and checks every row as the server would, as far as that needs no server.
fn check_all(
    input: &mut Input,
    shaper: &Shaper<'_>,
    report: &mut Report,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    while let Some(row) = input.next()? {
        match row.and_then(|row| shaper.shape(row)).and_then(|shaped| shaper.check(shaped)) {
            Ok(()) => report.count(Outcome::Accepted),
            Err(refused) => report.refuse(refused)?,
        }
        report.rows = input.rows();
        if report.rows.is_multiple_of(1000) {
            bar.set_position(input.bytes());
            bar.set_message(report.line());
        }
    }
    Ok(())
}

fn key(args: &Args) -> Result<String, Failure> {
    let key = match &args.key_file {
        Some(file) => std::fs::read_to_string(file).map_err(|error| {
            Failure::because(exit::CONFIGURATION, &format!("read the key in {}", file.display()), &error)
        })?,
        None => std::env::var("CDP_API_KEY").map_err(|_| {
            let sentence =
                "there is no key: put one that may ingest into CDP_API_KEY, or name its file with --key-file";
            Failure::new(exit::CONFIGURATION, sentence)
        })?,
    };
    Ok(key.trim().to_owned())
}

fn time(args: &Args, kind: Kind, input: &Input) -> Result<Option<Timestamp>, Failure> {
    if let Some(text) = &args.time {
        let parsed = Timestamp::parse(text);
        return parsed.map(Some).map_err(|detail| Failure::new(exit::USAGE, format!("--time {detail}")));
    }
    match (kind, input.changed_at()) {
        (Kind::Events, _) => Ok(None),
        (Kind::Profiles, Some(at)) => Ok(Some(at)),
        (Kind::Profiles, None) => Err(Failure::new(
            exit::USAGE,
            "profiles from standard input need --time: as of when is it what was known?",
        )),
    }
}

fn bar(input: &Input) -> Result<ProgressBar, Failure> {
    let (bar, template) = match input.bytes_total() {
        Some(total) => (ProgressBar::new(total), "{wide_bar} {percent:>3} % {msg} {eta}"),
        None => (ProgressBar::new_spinner(), "{spinner} {binary_bytes} {msg}"),
    };
    let style = ProgressStyle::with_template(template)
        .map_err(|error| Failure::because(exit::FAILED, "draw the progress", &error))?;
    Ok(bar.with_style(style))
}
