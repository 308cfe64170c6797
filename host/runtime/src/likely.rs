//! How many rows are tried at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::ROWS_MAX;

/// Guesses how many rows stay within the bounds of a run, so that heavy ones are not tried in large company each time.
/// It decides how long a batch takes, never what comes of it.
#[derive(Debug)]
pub(crate) struct Likely {
    rows: AtomicUsize,
    well: AtomicUsize,
}

/// What a call found out.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Found {
    /// Whether a run over several rows went over a bound.
    pub(crate) over: bool,
    /// The most rows that went well in one run.
    pub(crate) fitting: usize,
    /// Rows that stood alone at fault.
    pub(crate) isolated: usize,
    /// Whether the search for them was given up.
    pub(crate) gave_up: bool,
}

/// Runs that went well before more rows are tried.
const WELL_BEFORE_MORE: usize = 8;

impl Default for Likely {
    fn default() -> Self {
        Self { rows: AtomicUsize::new(ROWS_MAX), well: AtomicUsize::new(0) }
    }
}

impl Likely {
    pub(crate) fn rows(&self) -> usize {
        self.rows.load(Ordering::Relaxed).max(1)
    }

    /// Learns from a call over so many rows. Where rows stood alone in the end, they were to blame and not the number,
    /// unless nearly all of them are.
    pub(crate) fn learn(&self, rows: usize, found: &Found) {
        if found.gave_up {
            self.set(1);
        } else if found.isolated == 0 && found.over {
            self.set(found.fitting.max(1));
        } else if found.isolated == 0 && rows >= self.rows() {
            self.went_well();
        }
    }

    /// A whole run of as many rows as were taken for likely went well.
    fn went_well(&self) {
        if self.rows() < ROWS_MAX && self.well.fetch_add(1, Ordering::Relaxed) + 1 >= WELL_BEFORE_MORE {
            self.set((self.rows() * 2).min(ROWS_MAX));
        }
    }

    fn set(&self, rows: usize) {
        self.rows.store(rows, Ordering::Relaxed);
        self.well.store(0, Ordering::Relaxed);
    }
}
