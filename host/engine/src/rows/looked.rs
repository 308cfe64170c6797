//! How often rows are asked for: what a piece of work costs, apart from how fast the machine is.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the tenant was opened.
#[derive(Debug, Default)]
pub(super) struct Looked {
    asked: AtomicU64,
    stored: AtomicU64,
}

impl Looked {
    /// So many rows were asked for, wherever they were found.
    pub(super) fn asked(&self, rows: usize) {
        self.asked.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// The store was asked, because no memory had the answer.
    pub(super) fn stored(&self) {
        self.stored.fetch_add(1, Ordering::Relaxed);
    }

    /// Rows asked for, and questions to the store.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.asked.load(Ordering::Relaxed), self.stored.load(Ordering::Relaxed))
    }
}
