//! Where every accepted event is: accepted = applied + dead letters + dropped + suppressed + expired + pending, at any time.
//!
//! The two sides are counted apart. What was accepted is the number of entries in the index of event identities, which
//! has exactly one per event and follows the journal through crashes and rollbacks; what became of it is counted by the
//! writer, in the same batch as the state itself. Pending events are counted in the journal. A difference other than 0
//! is a bug, and shows.

use cdp_domain::ids::Position;
use cdp_store::journal::RecordKind;

use crate::error::{Refused, Result};
use crate::tenant::Tenant;

/// Bytes of journal that are read to count pending events; with more of them pending, there is no check.
pub const COUNTED_BYTES_MAX: u64 = 256 << 20;
/// How often counting begins anew because the disk refused a write meanwhile.
const TRIES: u32 = 3;

/// Where every accepted event is. All numbers are since the tenant was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accounting {
    /// Accepted, durable.
    pub accepted: u64,
    /// In state.
    pub applied: u64,
    /// Failed, and kept for a replay.
    pub dead_letters: u64,
    /// Dropped by a transformer on purpose.
    pub dropped: u64,
    /// Their person was erased before they were applied.
    pub suppressed: u64,
    /// Gone by their age.
    pub expired: u64,
    /// Accepted and not processed yet.
    pub pending: u64,
    /// `accepted` less all the others: 0. None when more than [`COUNTED_BYTES_MAX`] of journal are pending; then
    /// `pending` is worked out and not counted.
    pub difference: Option<i64>,
    /// The last record that was processed.
    pub position: Position,
}

impl Tenant {
    /// Counts. Blocks: waits for the disk, and reads the headers of pending records.
    ///
    /// # Errors
    /// The journal's.
    pub fn accounting(&self) -> Result<Accounting> {
        for _ in 0..TRIES {
            if let Some(accounting) = self.try_accounting()? {
                return Ok(accounting);
            }
        }
        Err(Refused::Unavailable("the disk refuses writes; there is nothing steady to count".to_owned()))
    }

    /// None when the journal rolled back meanwhile.
    fn try_accounting(&self) -> Result<Option<Accounting>> {
        let core = &*self.core;
        let summary = core.rows.read().inner.summary.clone();
        let (accepted, generation, behind) = {
            let mut gate = core.gate.lock();
            core.forget_lost(&mut gate);
            // An append of nothing ends where the journal ends now.
            (core.identities.len(), gate.generation, core.journal.append(&[])?)
        };
        if core.journal.wait_durable_blocking(&behind).is_err() || core.journal.generation() != generation {
            return Ok(None);
        }
        let (pending, difference) = if behind.end.0.saturating_sub(summary.last.0) <= COUNTED_BYTES_MAX {
            let pending = self.events_between(summary.last, behind.end)?;
            let told = summary.processed() + pending;
            (pending, Some(accepted.cast_signed() - told.cast_signed()))
        } else {
            (accepted.saturating_sub(summary.processed()), None)
        };
        Ok(Some(Accounting {
            accepted,
            applied: summary.events,
            dead_letters: summary.dead_letters,
            dropped: summary.dropped,
            suppressed: summary.suppressed,
            expired: summary.expired,
            pending,
            difference,
            position: summary.last,
        }))
    }

    /// Event records behind the one at `after` and before `end`.
    fn events_between(&self, after: Position, end: Position) -> Result<u64> {
        let mut reader = self.core.journal.reader(after);
        let mut events = 0;
        while reader.position() < end {
            let Some((position, header, _)) = reader.next_header()? else { break };
            events += u64::from(position > after && position < end && header.kind == RecordKind::Event);
        }
        Ok(events)
    }
}
