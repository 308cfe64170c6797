//! What the plugin host promises about its cost, and whether one run kept it.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::{BATCHES, Report};

/// Events in a call, for what is promised of an event.
const BATCH: usize = BATCHES[BATCHES.len() - 1];
/// Nanoseconds an event in a Rust guest, and in one that is interpreted.
const NATIVE_GUEST_NS_MAX: f64 = 500.0;
const INTERPRETED_NS_MAX: f64 = 10_000.0;
/// How many times as long as the native function a Rust guest may take.
const TIMES_NATIVE_MAX: f64 = 3.0;
/// How many times as fast as other hosts a Rust guest is.
const TIMES_OTHERS_MIN: f64 = 10.0;
/// Milliseconds of loading from the cache.
const LOAD_MS_MAX: f64 = 10.0;
/// Milliseconds that a runaway runs on behind its deadline.
const OVER_MS_MAX: f64 = 20.0;

/// One promise.
#[derive(Debug, Serialize)]
pub(super) struct Aim {
    what: String,
    bound: String,
    seen: f64,
    kept: bool,
}

impl Aim {
    fn at_most(what: impl Into<String>, seen: f64, max: f64) -> Self {
        Self { what: what.into(), bound: format!("<= {max}"), seen, kept: seen <= max }
    }

    fn at_least(what: impl Into<String>, seen: f64, min: f64) -> Self {
        Self { what: what.into(), bound: format!(">= {min}"), seen, kept: seen >= min }
    }
}

/// All that the figures speak of: other hosts only where they were measured.
pub(super) fn of(report: &Report) -> Vec<Aim> {
    let find = |way: &str, batch: Option<usize>| {
        let found = report.figures.iter().find(|one| one.way.starts_with(way) && one.batch == batch);
        found.map(|one| one.ns_per_event)
    };
    let mut out = Vec::new();
    let (native, rust) = (find("native, over columns", Some(BATCH)), find("rust guest", Some(BATCH)));
    if let Some((native, rust)) = native.zip(rust) {
        out.push(Aim::at_most("Rust guest, ns an event", rust, NATIVE_GUEST_NS_MAX));
        out.push(Aim::at_most("Rust guest, times the native function", rust / native, TIMES_NATIVE_MAX));
        let others = report.figures.iter().filter(|one| one.other);
        out.extend(others.map(|one| {
            let batch = one.batch.map_or(String::new(), |batch| format!(", batch {batch}"));
            let what = format!("Rust guest, times as fast as {}{batch}", one.way);
            Aim::at_least(what, one.ns_per_event / rust, TIMES_OTHERS_MIN)
        }));
    }
    for language in ["js", "python"] {
        let ns = find(&format!("{language} guest"), Some(BATCH));
        out.extend(
            ns.map(|ns| Aim::at_most(format!("{language} guest, ns an event"), ns, INTERPRETED_NS_MAX)),
        );
    }
    for one in &report.guests {
        let what = format!("{} guest, ms to load from the cache", one.language);
        out.push(Aim::at_most(what, one.load_cached_ms, LOAD_MS_MAX));
    }
    for one in &report.runaways {
        let over = one.over_ms_max;
        out.extend(
            over.map(|over| Aim::at_most(format!("{}, ms over its deadline", one.what), over, OVER_MS_MAX)),
        );
    }
    let loaded = report.idle.loaded as f64;
    out.push(Aim::at_most("idle plugins whose code is in memory", loaded, 0.0));
    out
}

pub(super) fn table(aims: &[Aim]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(["aim", "bound", "seen", "kept"]);
    for aim in aims {
        table.add_row([
            aim.what.clone(),
            aim.bound.clone(),
            format!("{:.2}", aim.seen),
            if aim.kept { "yes" } else { "NO" }.to_owned(),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
