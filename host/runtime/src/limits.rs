//! How much a guest may use.

use serde::{Deserialize, Serialize};

/// Bounds of one run. The effective bound is the smaller of the runtime's and the call's, each by itself.
///
/// **What a row comes to does not depend on its company.** No bound grows with the rows of a run: a run over a thousand
/// rows gets exactly what a run over one row gets. A run that goes over a bound has no answer at all; it is cut in
/// halves, and a row that stands alone is judged by the very same bounds. A run costs at least what each part of it
/// costs, so a row that passes in company passes alone, and a row that fails alone fails every run it is part of until
/// it stands alone. How rows are cut, by whom and in which order, therefore decides how long a batch takes and never
/// what comes of it.
///
/// Fuel counts WebAssembly instructions, roughly, and is the same on every machine. A call to the host costs 1,000 and
/// a unit for each byte it carries, so `fuel / 1,000` bounds the calls of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Fuel of a run, from the start of its instance to its answer; also of `describe` and `check-config`.
    pub fuel: u64,
    /// Bytes of all linear memories of an instance together. A guest that asks for more is stopped on the spot: it does
    /// not see the refusal, so its answer cannot depend on it.
    pub memory_bytes: usize,
    /// Elements of all tables of an instance together; asking for more stops the guest likewise.
    pub table_elements: usize,
    /// Handles to resources that an instance holds at once.
    pub handles: usize,
    /// Bytes of the fields of a run's rows, roughly; a run is closed before it has more, save that a single row always
    /// makes one.
    pub input_bytes: usize,
    /// Bytes that may cross to the host in one call, counted as the host has to hold them.
    pub output_bytes: usize,
    /// Log lines kept of one call of [`Transformer::apply`](crate::Transformer::apply); further ones are counted.
    pub log_lines: u32,
    /// Bytes of log text kept of one call; lines are cut at 1,024 bytes each.
    pub log_bytes: usize,
    /// New events that one row may bear; all transformers together have a bound of the same size for each accepted event.
    pub children_per_row: usize,
    /// Bytes of one state of a derivation; a plugin whose shape asks for more is refused.
    pub state_bytes: usize,
}

/// Rows of one run, at most.
pub const ROWS_MAX: usize = 1024;

impl Default for Limits {
    /// 50 million fuel (a loop burns some 500 million a second), 64 MiB, 20,000 table elements, 1,000 handles, 1 MiB in,
    /// 8 MiB out, 100 lines of 32 KiB, 64 new events from a row, 16 KiB of state.
    fn default() -> Self {
        Self {
            fuel: 50_000_000,
            memory_bytes: 64 << 20,
            table_elements: 20_000,
            handles: 1_000,
            input_bytes: 1 << 20,
            output_bytes: 8 << 20,
            log_lines: 100,
            log_bytes: 32 << 10,
            children_per_row: cdp_domain::limits::NEW_EVENTS_MAX,
            state_bytes: 16 << 10,
        }
    }
}

impl Limits {
    /// The smaller of both, bound by bound.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            fuel: self.fuel.min(other.fuel),
            memory_bytes: self.memory_bytes.min(other.memory_bytes),
            table_elements: self.table_elements.min(other.table_elements),
            handles: self.handles.min(other.handles),
            input_bytes: self.input_bytes.min(other.input_bytes),
            output_bytes: self.output_bytes.min(other.output_bytes),
            log_lines: self.log_lines.min(other.log_lines),
            log_bytes: self.log_bytes.min(other.log_bytes),
            children_per_row: self.children_per_row.min(other.children_per_row),
            state_bytes: self.state_bytes.min(other.state_bytes),
        }
    }
}
