//! Events as they were taken in, in the journal's order: for whoever watches them come.

use cdp_domain::ids::Position;
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_store::journal::RecordKind;
use cdp_store::seal::open_in_place;

use crate::error::{Refused, Result};
use crate::tenant::Tenant;

/// Bytes of journal that one question reads at most.
pub const RECENT_SCAN_BYTES_MAX: u64 = 16 << 20;

/// An event as it was taken in.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// The event, as it is stored.
    pub event: Value,
    /// When it was received.
    pub received_at: Timestamp,
    /// Where it stands.
    pub position: Position,
}

impl Tenant {
    /// Up to `limit` events behind a place of the journal, and the place to go on from. Without a place: none, and the
    /// end of the journal. What was erased is left out. Blocks.
    ///
    /// # Errors
    /// [`Refused::NotFound`] for a place that was never given out; the journal's.
    pub fn taken_since(&self, after: Option<Position>, limit: usize) -> Result<(Vec<Taken>, Position)> {
        let core = &*self.core;
        let Some(after) = after else { return Ok((Vec::new(), core.journal.durable())) };
        let mut reader = core.journal.reader(after.min(core.journal.durable()));
        let mut taken = Vec::new();
        while taken.len() < limit && reader.position().0.saturating_sub(after.0) < RECENT_SCAN_BYTES_MAX {
            let next = reader.next().map_err(|error| match error {
                cdp_store::Error::NotARecord { .. } => Refused::NotFound("place in the journal"),
                error => error.into(),
            });
            let Some(mut record) = next? else { break };
            if record.header.kind != RecordKind::Event {
                continue;
            }
            match open_in_place(&core.keys, self.no(), &record.header, &mut record.payload) {
                Err(cdp_store::Error::KeyDestroyed) => continue,
                opened => opened?,
            }
            let (event, _) = crate::acceptance::read(&record.payload)?;
            taken.push(Taken { event, received_at: record.header.received_at, position: record.position });
        }
        Ok((taken, reader.position()))
    }
}
