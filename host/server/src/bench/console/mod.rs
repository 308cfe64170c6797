//! `cdp bench console`: how long the server takes for each page of the console, and how much the first one brings.
//!
//! A tenant with so many profiles, definitions, exports and rejected events; somebody signed in opens every page in turn,
//! over and over, over one connection as a browser without a script does. What is timed is from the request to the last
//! byte of the answer, compressed as browsers ask for it: the server's time, and the way over the loopback interface.

mod fill;
mod pages;
mod visitor;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use self::pages::Page;
use self::visitor::Visitor;
use super::{complain, say, usage};
use crate::demo::child::Server;
use crate::demo::client::Fallible;
use crate::demo::keys;

/// How to measure.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cdp bench console --profiles 100000 --asked 50
  cdp bench console --json console.json")]
pub(crate) struct Args {
    /// Profiles, each with a name, an address, a decision about consent and an order.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=99_999_999))]
    profiles: u64,
    /// How often each page is asked for.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    asked: u64,
    /// Connections that send the events before.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
    connections: u64,
    /// Writes the figures to a file as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Keeps the data here instead of in a temporary directory; it must not exist yet.
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

/// What every page may take, and the builder with its counts, in milliseconds.
const PAGE_MS_MAX: f64 = 50.0;
const BUILDER_MS_MAX: f64 = 200.0;
/// What the first page may bring with all that it loads, in bytes as they are sent.
const FIRST_LOAD_BYTES_MAX: u64 = 60 * 1024;
/// How long it is waited for what pages count over everybody beside.
const COUNTED_MAX: Duration = Duration::from_secs(1800);

/// What one page took.
#[derive(Debug, Serialize)]
struct Measured {
    page: String,
    /// The very first time, when nothing was worked out before.
    first_ms: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// As sent.
    bytes: u64,
    bound_ms: f64,
}

/// A file that the first page loads.
#[derive(Debug, Serialize)]
struct Loaded {
    path: String,
    bytes: u64,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
struct Report {
    cores: usize,
    profiles: u64,
    asked: u64,
    pages: Vec<Measured>,
    first_load: Vec<Loaded>,
    first_load_bytes: u64,
    resident_kib: u64,
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
    let filled = fill::fill(&server.url, &operator_key, args)?;
    let mut visitor = Visitor::enter(&server.url, &filled.link)?;
    let all = pages::all(&mut visitor, &filled)?;
    complain(&format!("{} pages, for the first time", all.len()));
    let mut pages = Vec::new();
    for page in &all {
        let (took, bytes) = open(&mut visitor, page)?;
        let bound_ms = if page.builder { BUILDER_MS_MAX } else { PAGE_MS_MAX };
        pages.push((page, bound_ms, took, bytes, Vec::new()));
    }
    counted(&mut visitor, &all)?;
    complain(&format!("each of them {} times", args.asked));
    for _ in 0..args.asked {
        for (page, _, _, _, times) in &mut pages {
            times.push(open(&mut visitor, page)?.0);
        }
    }
    let first_load = first_load(&mut visitor)?;
    let report = Report {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        profiles: args.profiles,
        asked: args.asked,
        pages: pages
            .into_iter()
            .map(|(page, bound_ms, first, bytes, times)| measured(page, bound_ms, first, bytes, times))
            .collect(),
        first_load_bytes: first_load.iter().map(|one| one.bytes).sum(),
        first_load,
        resident_kib: usage::resident_kib(server.pid()).unwrap_or_default(),
    };
    let stopped = server.stop();
    say(&table(&report));
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)?;
    }
    stopped
}

/// Opens a page: how long it took, and its bytes as sent.
fn open(visitor: &mut Visitor, page: &Page) -> Fallible<(Duration, u64)> {
    let began = Instant::now();
    let answer = visitor.open(page)?;
    let took = began.elapsed();
    if answer.status != 200 {
        return Err(format!("{} was answered with {}", page.name, answer.status).into());
    }
    Ok((took, answer.sent_bytes))
}

/// Returns when what pages count over everybody is there, so that what follows is measured as somebody meets it who works
/// there; a page says itself while it counts.
fn counted(visitor: &mut Visitor, pages: &[Page]) -> Fallible<()> {
    let deadline = Instant::now() + COUNTED_MAX;
    let mut waited = false;
    loop {
        let mut counting = None;
        for page in pages.iter().filter(|page| !page.builder) {
            if visitor.open(page)?.text()?.contains("being counted") {
                counting = Some(page.name.clone());
            }
        }
        let Some(page) = counting else { return Ok(()) };
        if Instant::now() > deadline {
            return Err(format!("{page} counts for too long").into());
        }
        if !waited {
            complain(&format!("{page} counts everybody"));
            waited = true;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// The overview with the files that it names, as an empty browser loads them.
fn first_load(visitor: &mut Visitor) -> Fallible<Vec<Loaded>> {
    let page = visitor.open(&Page::at("overview", "/console"))?;
    let text = page.text()?;
    let mut files = vec![Loaded { path: "/console".to_owned(), bytes: page.sent_bytes }];
    for part in text.split('"').filter(|part| part.starts_with("/console/assets/")) {
        let file = visitor.open(&Page::at(part, part))?;
        files.push(Loaded { path: part.to_owned(), bytes: file.sent_bytes });
    }
    Ok(files)
}

fn measured(page: &Page, bound_ms: f64, first: Duration, bytes: u64, mut times: Vec<Duration>) -> Measured {
    times.sort_unstable();
    let ms = |took: Duration| took.as_secs_f64() * 1000.0;
    // The smallest that this share of them does not exceed.
    let at = |percent: usize| times[(times.len() * percent).div_ceil(100).max(1) - 1];
    Measured {
        page: page.name.clone(),
        first_ms: ms(first),
        p50_ms: ms(at(50)),
        p99_ms: ms(at(99)),
        max_ms: ms(times[times.len() - 1]),
        bytes,
        bound_ms,
    }
}

fn table(report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["page", "first ms", "p50 ms", "p99 ms", "max ms", "bytes sent", "within"]);
    for one in &report.pages {
        let within = if one.p99_ms <= one.bound_ms { "yes" } else { "NO" };
        table.add_row([
            one.page.clone(),
            format!("{:.1}", one.first_ms),
            format!("{:.1}", one.p50_ms),
            format!("{:.1}", one.p99_ms),
            format!("{:.1}", one.max_ms),
            one.bytes.to_string(),
            format!("{within}, {:.0} ms", one.bound_ms),
        ]);
    }
    for column in 1..6 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let Report { profiles, cores, asked, first_load_bytes, resident_kib, .. } = report;
    let slowest = report.pages.iter().filter(|one| one.bound_ms <= PAGE_MS_MAX).map(|one| one.p99_ms);
    let slowest = slowest.fold(0.0, f64::max);
    let files: Vec<_> =
        report.first_load.iter().map(|one| format!("{} {} bytes", one.path, one.bytes)).collect();
    let within = if *first_load_bytes <= FIRST_LOAD_BYTES_MAX { "within" } else { "BEYOND" };
    format!(
        "{profiles} profiles, {cores} cores, each page {asked} times\n{table}\n\
         the slowest page but the builder took {slowest:.1} ms for 99 of 100\n\
         first load: {first_load_bytes} bytes, {within} {FIRST_LOAD_BYTES_MAX} ({})\n\
         memory of the server: {} MiB",
        files.join(", "),
        resident_kib / 1024
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let times: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        let one = measured(&Page::at("a", "/a"), 50.0, Duration::from_millis(200), 7, times);
        assert_eq!((one.first_ms, one.p50_ms, one.p99_ms, one.max_ms), (200.0, 50.0, 99.0, 100.0));
        let one = measured(&Page::at("a", "/a"), 50.0, Duration::ZERO, 7, vec![Duration::from_millis(3)]);
        assert_eq!((one.p50_ms, one.p99_ms, one.max_ms), (3.0, 3.0, 3.0));
    }
}
