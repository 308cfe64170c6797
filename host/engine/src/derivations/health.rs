//! What calls of plugins cost and how they fail, since the start of the process.

use std::collections::{BTreeMap, VecDeque};

use cdp_runtime::{Failed, LogLine, Skipped, Usage};
use parking_lot::Mutex;
use serde::Serialize;

/// Log lines kept of one version, the newest.
pub const LOG_LINES_KEPT: usize = 500;
/// Calls whose latency is kept, the newest.
const CALLS_KEPT: usize = 512;

/// What is known of one version since the start.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Health {
    /// Calls, each over many rows or states.
    pub calls: u64,
    /// Events or states that calls were about.
    pub rows: u64,
    /// Fuel used.
    pub fuel: u64,
    /// The most memory of one call, in bytes.
    pub memory_bytes_peak: usize,
    /// Microseconds of the median call among the last ones.
    pub call_us_p50: u64,
    /// Microseconds of the 99th percentile call among the last ones.
    pub call_us_p99: u64,
    /// How long the last calls took: bounds in microseconds, powers of two, with how many calls stayed within each and not
    /// within the one before; bounds without calls are left out.
    pub call_us_counts: Vec<(u64, u64)>,
    /// What failed, by code.
    pub failed: BTreeMap<String, u64>,
    /// The last thing that failed, as a sentence.
    pub last_failure: Option<String>,
    /// Why it cannot run at all, while it cannot.
    pub unavailable: Option<String>,
}

#[derive(Default)]
struct Kept {
    health: Health,
    calls_us: VecDeque<u64>,
    /// Faults of folds, and of readings, without one that went well in between.
    in_a_row: [u32; 2],
    log: VecDeque<LogLine>,
}

impl Kept {
    fn count(&mut self, what: usize, faults: usize) {
        let more = u32::try_from(faults).unwrap_or(u32::MAX);
        self.in_a_row[what] = if faults == 0 { 0 } else { self.in_a_row[what].saturating_add(more) };
    }
}

/// The health of the plugins of one tenant, by digest.
#[derive(Default)]
pub(crate) struct PluginHealth(Mutex<BTreeMap<String, Kept>>);

impl PluginHealth {
    fn with(&self, digest: &str, note: impl FnOnce(&mut Kept)) {
        let mut all = self.0.lock();
        if !all.contains_key(digest) {
            all.insert(digest.to_owned(), Kept::default());
        }
        if let Some(kept) = all.get_mut(digest) {
            note(kept);
        }
    }

    pub(crate) fn note_call(&self, digest: &str, rows: usize, usage: &Usage, log: &[LogLine]) {
        self.with(digest, |kept| {
            let health = &mut kept.health;
            health.calls += u64::from(usage.runs);
            health.rows += rows as u64;
            health.fuel = health.fuel.saturating_add(usage.fuel);
            health.memory_bytes_peak = health.memory_bytes_peak.max(usage.memory_bytes_peak);
            if usage.runs > 0 {
                kept.calls_us.push_back(u64::try_from(usage.elapsed.as_micros()).unwrap_or(u64::MAX));
            }
            while kept.calls_us.len() > CALLS_KEPT {
                kept.calls_us.pop_front();
            }
            kept.log.extend(log.iter().cloned());
            while kept.log.len() > LOG_LINES_KEPT {
                kept.log.pop_front();
            }
        });
    }

    pub(crate) fn note_failure(&self, digest: &str, code: &str, sentence: String) {
        self.with(digest, |kept| {
            *kept.health.failed.entry(code.to_owned()).or_default() += 1;
            kept.health.last_failure = Some(sentence);
        });
    }

    pub(crate) fn note_failed(&self, digest: &str, failed: &Failed) {
        self.note_failure(digest, failed.code(), failed.to_string());
    }

    /// Notes what came of folding so many events.
    pub(crate) fn note_fold(&self, digest: &str, events: usize, folded: Result<&[Skipped], &Failed>) {
        let fault = |failed: &Failed| matches!(failed, Failed::Fault(_));
        let faults = match folded {
            Ok(skipped) => {
                skipped.iter().for_each(|skipped| self.note_failed(digest, &skipped.why));
                let faults = skipped.iter().filter(|skipped| fault(&skipped.why)).count();
                if faults < events { 0 } else { faults }
            }
            Err(failed) => {
                self.note_failed(digest, failed);
                // None of them was taken in.
                if fault(failed) { events.max(1) } else { 0 }
            }
        };
        self.with(digest, |kept| kept.count(0, faults));
    }

    /// Notes what came of a reading.
    pub(crate) fn note_reading(&self, digest: &str, failed: Option<&Failed>) {
        failed.into_iter().for_each(|failed| self.note_failed(digest, failed));
        let is_fault = failed.is_some_and(|failed| matches!(failed, Failed::Fault(_)));
        self.with(digest, |kept| kept.count(1, usize::from(is_fault)));
    }

    /// Faults in a row, of folds or of readings.
    pub(crate) fn in_a_row(&self, digest: &str) -> u32 {
        self.0.lock().get(digest).map_or(0, |kept| kept.in_a_row[0].max(kept.in_a_row[1]))
    }

    /// Begins to count anew.
    pub(crate) fn note_well(&self, digest: &str) {
        self.with(digest, |kept| kept.in_a_row = [0; 2]);
    }

    pub(crate) fn note_available(&self, digest: &str, reason: Option<String>) {
        self.with(digest, |kept| kept.health.unavailable = reason);
    }

    /// Forgets what plugins said in their own words, which may name people; what they cost stays.
    pub(crate) fn forget_said(&self) {
        for kept in self.0.lock().values_mut() {
            kept.log.clear();
            kept.health.last_failure = None;
        }
    }

    /// What is known of a version.
    pub(crate) fn of(&self, digest: &str) -> Health {
        let all = self.0.lock();
        let Some(kept) = all.get(digest) else { return Health::default() };
        let mut sorted: Vec<u64> = kept.calls_us.iter().copied().collect();
        sorted.sort_unstable();
        let at = |percent: usize| sorted.get((sorted.len() * percent / 100).min(sorted.len().max(1) - 1));
        let at = |percent| at(percent).copied().unwrap_or(0);
        let call_us_counts = counts(&sorted);
        Health { call_us_p50: at(50), call_us_p99: at(99), call_us_counts, ..kept.health.clone() }
    }

    /// Its newest log lines, oldest first.
    pub(crate) fn log(&self, digest: &str) -> Vec<LogLine> {
        self.0.lock().get(digest).map(|kept| kept.log.iter().cloned().collect()).unwrap_or_default()
    }
}

/// How many of these stay within each power of two.
fn counts(us: &[u64]) -> Vec<(u64, u64)> {
    let mut counts = BTreeMap::new();
    for one in us {
        *counts.entry(one.max(&1).checked_next_power_of_two().unwrap_or(u64::MAX)).or_default() += 1;
    }
    counts.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use cdp_runtime::{Failure, Fault, Level};

    use super::*;

    #[test]
    fn calls_are_counted_by_powers_of_two() {
        assert_eq!(
            counts(&[0, 1, 2, 3, 4, 5, 900, u64::MAX]),
            [(1, 2), (2, 1), (4, 2), (8, 1), (1024, 1), (u64::MAX, 1)]
        );
        assert_eq!(counts(&[]), []);
    }

    #[test]
    fn faults_in_a_row_are_counted_until_something_goes_well() {
        let health = PluginHealth::default();
        let fault = Failed::Fault(Fault::Fuel);
        let said = Failed::Said(Failure::Transient(None));
        let skipped = |n: usize, why: &Failed| -> Vec<Skipped> {
            (0..n).map(|row| Skipped { row, why: why.clone() }).collect()
        };
        health.note_fold("a", 3, Ok(&skipped(3, &fault)));
        health.note_fold("a", 1, Err(&fault));
        assert_eq!((health.in_a_row("a"), health.in_a_row("b")), (4, 0));
        // What a plugin refuses in its own words is no fault, and no proof that it works either: but it ran.
        health.note_fold("a", 2, Ok(&skipped(2, &said)));
        assert_eq!(health.in_a_row("a"), 0);
        health.note_fold("a", 5, Ok(&skipped(5, &fault)));
        health.note_fold("a", 5, Ok(&skipped(4, &fault)));
        assert_eq!(health.in_a_row("a"), 0, "one of them went well");
        // Readings are counted by themselves: folds that go well do not hide that nothing can be read.
        for _ in 0..7 {
            health.note_fold("a", 1, Ok(&[]));
            health.note_reading("a", Some(&fault));
        }
        assert_eq!(health.in_a_row("a"), 7);
        health.note_reading("a", None);
        assert_eq!(health.in_a_row("a"), 0);
    }

    #[test]
    fn the_newest_lines_are_kept_until_somebody_is_erased_and_what_calls_cost_stays() {
        let health = PluginHealth::default();
        let line = |n: usize| LogLine { level: Level::Info, message: n.to_string() };
        let lines: Vec<LogLine> = (0..LOG_LINES_KEPT).map(line).collect();
        let usage = Usage { runs: 1, fuel: 7, ..Usage::default() };
        health.note_call("a", 3, &usage, &lines);
        assert_eq!(health.log("a"), lines);
        health.note_call("a", 3, &usage, &[line(LOG_LINES_KEPT)]);
        assert_eq!(health.log("a"), (1..=LOG_LINES_KEPT).map(line).collect::<Vec<_>>());
        health.note_failure("a", "plugin_trapped", "it said ann@example.com".to_owned());
        assert!(health.of("a").last_failure.is_some());
        health.forget_said();
        let left = health.of("a");
        assert_eq!((left.calls, left.rows, left.fuel, left.failed["plugin_trapped"]), (2, 6, 14, 1));
        assert_eq!((left.last_failure, health.log("a").len()), (None, 0));
    }
}
