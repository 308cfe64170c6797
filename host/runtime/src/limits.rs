//! How much a guest may use.

use serde::{Deserialize, Serialize};

/// Bounds of one call. The effective bound is the smaller of the runtime's and the call's, each by itself.
///
/// Fuel counts WebAssembly instructions, roughly; calls to the host cost 1,000 and more. A batch may use
/// `fuel_base + rows × fuel_per_row`, so a row that is far above its share passes in large company and fails alone:
/// choose `fuel_base` so that it covers the heaviest single row that is to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Fuel of a run before its rows are counted; all the fuel of `describe` and `check-config`.
    pub fuel_base: u64,
    /// Fuel for each row of a run.
    pub fuel_per_row: u64,
    /// Bytes of all linear memories of an instance together.
    pub memory_bytes: usize,
    /// Elements of all tables of an instance together.
    pub table_elements: usize,
    /// Bytes that may cross to the host in one call, counted as the host has to hold them.
    pub output_bytes: usize,
    /// Log lines kept of one call of [`Transformer::apply`](crate::Transformer::apply); further ones are counted.
    pub log_lines: u32,
    /// Bytes of log text kept of one call; lines are cut at 1,024 bytes each.
    pub log_bytes: usize,
    /// New events that one row may bear.
    pub children_per_row: usize,
    /// Bytes of one state of a derivation; a plugin whose shape asks for more is refused.
    pub state_bytes: usize,
}

impl Default for Limits {
    /// 50 million fuel and 200,000 for each row (a loop burns some 500 million a second), 64 MiB, 20,000 table elements, 8 MiB out, 100 lines of 32 KiB,
    /// 16 new events from a row, 16 KiB of state.
    fn default() -> Self {
        Self {
            fuel_base: 50_000_000,
            fuel_per_row: 200_000,
            memory_bytes: 64 << 20,
            table_elements: 20_000,
            output_bytes: 8 << 20,
            log_lines: 100,
            log_bytes: 32 << 10,
            children_per_row: 16,
            state_bytes: 16 << 10,
        }
    }
}

impl Limits {
    /// The smaller of both, bound by bound.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            fuel_base: self.fuel_base.min(other.fuel_base),
            fuel_per_row: self.fuel_per_row.min(other.fuel_per_row),
            memory_bytes: self.memory_bytes.min(other.memory_bytes),
            table_elements: self.table_elements.min(other.table_elements),
            output_bytes: self.output_bytes.min(other.output_bytes),
            log_lines: self.log_lines.min(other.log_lines),
            log_bytes: self.log_bytes.min(other.log_bytes),
            children_per_row: self.children_per_row.min(other.children_per_row),
            state_bytes: self.state_bytes.min(other.state_bytes),
        }
    }

    /// Fuel of a run over so many rows.
    #[must_use]
    pub fn fuel(&self, rows: usize) -> u64 {
        self.fuel_base.saturating_add(self.fuel_per_row.saturating_mul(rows as u64))
    }
}
