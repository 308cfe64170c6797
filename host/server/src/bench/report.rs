//! The figures, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::limits::Limits;
use super::usage::{Size, disk};

/// Everything that was measured in one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) cores: usize,
    pub(crate) customers: u64,
    pub(crate) limits: Limits,
    pub(crate) phases: Vec<Phase>,
    pub(crate) peak_kib: u64,
    pub(crate) disk: Disk,
}

/// One kind of load.
#[derive(Debug, Serialize)]
pub(crate) struct Phase {
    pub(crate) name: String,
    pub(crate) batch: usize,
    /// None at full speed.
    pub(crate) due_per_second: Option<f64>,
    pub(crate) events: u64,
    pub(crate) acknowledged_per_second: f64,
    /// Events over the time from the first request until the last event is applied.
    pub(crate) applied_per_second: f64,
    pub(crate) ack_p50_ms: f64,
    pub(crate) ack_p99_ms: f64,
    pub(crate) ack_max_ms: f64,
    /// Answers 429 or 503; their requests were sent again.
    pub(crate) refusals: u64,
    pub(crate) memory: Memory,
    pub(crate) server_cpu_seconds: f64,
    pub(crate) generator_cpu_seconds: f64,
}

/// The server's resident memory.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Memory {
    /// When 25, 50, 75 and 100 % of the phase's events were acknowledged.
    pub(crate) resident_kib_at_quarters: Vec<u64>,
    pub(crate) resident_kib_when_applied: u64,
    /// Since the server started.
    pub(crate) peak_kib_so_far: u64,
}

/// What lies on disk after the server ended.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Disk {
    pub(crate) events: u64,
    pub(crate) parts: BTreeMap<String, Size>,
}

impl Disk {
    /// Sums by part; a folder of a tenant is looked into, so that its journal, state and indexes stand apart.
    pub(crate) fn of(dir: &Path, events: u64) -> Self {
        let mut parts = BTreeMap::new();
        collect(dir, "", 3, &mut parts);
        Self { events, parts }
    }
}

/// Names that tell what is inside; anything else is looked into.
const PARTS: [&str; 9] =
    ["journal", "state", "runs", "index", "indexes", "exports", "plugins", "cache", "checkpoints"];

fn collect(dir: &Path, above: &str, depth: u32, parts: &mut BTreeMap<String, Size>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_dir && depth > 0 && !PARTS.contains(&name.as_str()) {
            collect(&entry.path(), &name, depth - 1, parts);
            continue;
        }
        let part = if is_dir {
            name
        } else if above.is_empty() {
            "other files".to_owned()
        } else {
            above.to_owned()
        };
        let size = disk(&entry.path());
        let sum: &mut Size = parts.entry(part).or_default();
        sum.bytes += size.bytes;
        sum.allocated_bytes += size.allocated_bytes;
    }
}

impl Report {
    pub(crate) fn new(limits: Limits, customers: u64) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { cores, customers, limits, phases: Vec::new(), peak_kib: 0, disk: Disk::default() }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} cores, generator on the same machine, {} customers\n", self.cores, self.customers)?;
        writeln!(f, "{}\n", self.speed())?;
        writeln!(f, "{}\n", self.memory())?;
        writeln!(f, "peak memory of the server: {}\n", mib(self.peak_kib))?;
        writeln!(f, "{}\n", self.disk_table())?;
        write!(f, "{}", self.limits_table())
    }
}

impl Report {
    fn speed(&self) -> Table {
        let mut table = numbers(&[
            "load",
            "events",
            "acknowledged/s",
            "applied/s",
            "ack p50 ms",
            "ack p99 ms",
            "ack max ms",
            "sent again",
            "server CPU s",
            "generator CPU s",
            "server µs/event",
        ]);
        for phase in &self.phases {
            #[expect(clippy::cast_precision_loss, reason = "a mean")]
            let each = phase.server_cpu_seconds * 1e6 / phase.events.max(1) as f64;
            table.add_row([
                phase.name.clone(),
                phase.events.to_string(),
                format!("{:.0}", phase.acknowledged_per_second),
                format!("{:.0}", phase.applied_per_second),
                format!("{:.2}", phase.ack_p50_ms),
                format!("{:.2}", phase.ack_p99_ms),
                format!("{:.2}", phase.ack_max_ms),
                phase.refusals.to_string(),
                format!("{:.2}", phase.server_cpu_seconds),
                format!("{:.2}", phase.generator_cpu_seconds),
                format!("{each:.1}"),
            ]);
        }
        table
    }

    fn memory(&self) -> Table {
        let mut table = numbers(&[
            "server memory at",
            "25 %",
            "50 %",
            "75 %",
            "100 % acknowledged",
            "all applied",
            "peak so far",
        ]);
        for phase in &self.phases {
            let mut row = vec![phase.name.clone()];
            let quarters = &phase.memory.resident_kib_at_quarters;
            row.extend((0..4).map(|n| quarters.get(n).map_or("–".to_owned(), |&kib| mib(kib))));
            row.push(mib(phase.memory.resident_kib_when_applied));
            row.push(mib(phase.memory.peak_kib_so_far));
            table.add_row(row);
        }
        table
    }

    fn disk_table(&self) -> Table {
        let mut table = numbers(&["on disk", "bytes", "bytes/event", "set aside", "set aside/event"]);
        #[expect(clippy::cast_precision_loss, reason = "a mean")]
        let each = |bytes: u64| format!("{:.1}", bytes as f64 / self.disk.events.max(1) as f64);
        let mut all = Size::default();
        for (part, size) in &self.disk.parts {
            all.bytes += size.bytes;
            all.allocated_bytes += size.allocated_bytes;
            table.add_row(disk_row(part, *size, each));
        }
        table.add_row(disk_row("together", all, each));
        table
    }

    fn limits_table(&self) -> Table {
        let mut table = numbers(&["the machine's own limits", "a second"]);
        for (what, rate) in [
            ("fdatasync after 50 KB, file grows", self.limits.syncs_per_second_growing),
            ("fdatasync after 50 KB, file written before", self.limits.syncs_per_second_preallocated),
            ("events parsed on one core, serde_json::Value", self.limits.parsed_per_second_serde_json),
            ("events parsed on one core, cdp_domain::json", self.limits.parsed_per_second_cdp_domain),
        ] {
            table.add_row([what.to_owned(), format!("{rate:.0}")]);
        }
        table
    }
}

fn disk_row(part: &str, size: Size, each: impl Fn(u64) -> String) -> [String; 5] {
    [
        part.to_owned(),
        size.bytes.to_string(),
        each(size.bytes),
        size.allocated_bytes.to_string(),
        each(size.allocated_bytes),
    ]
}

/// A Markdown table, ready for the README; all columns but the first hold numbers.
fn numbers(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(head);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn mib(kib: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a size to read")]
    let mib = kib as f64 / 1024.0;
    format!("{mib:.0} MiB")
}
