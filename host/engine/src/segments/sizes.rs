//! How large segments are, over time and together.

use cdp_domain::ids::Position;
use cdp_domain::time::Timestamp;
use roaring::RoaringBitmap;

use crate::error::{Refused, Result};
use crate::rows::Look;
use crate::tenant::Tenant;

/// Days that the size of a segment is told for, at most.
pub const HISTORY_DAYS_MAX: i64 = 366;
/// Changes that are counted for it, at most.
pub const HISTORY_CHANGES_MAX: usize = 1_000_000;

/// A segment's size at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// The instant.
    pub at: Timestamp,
    /// How many members.
    pub size: u64,
}

/// Two segments together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlap {
    /// Members of the first.
    pub first: u64,
    /// Members of the second.
    pub second: u64,
    /// Members of both.
    pub both: u64,
    /// Members of at least one.
    pub either: u64,
    /// The last record that is in it.
    pub position: Position,
}

impl Tenant {
    /// The size of the version that serves at the end of each of the last `days` local days, and now; from when it began to
    /// serve. It is counted back from now by who entered and left.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; [`Refused::Conflict`] when more than [`HISTORY_CHANGES_MAX`] entered or left in that time.
    pub fn segment_history(&self, name: &str, days: i64) -> Result<Vec<Size>> {
        let view = self.core.rows.read();
        let segment = view.inner.config.segments.get(name).ok_or(Refused::NotFound("segment"))?;
        let Some(active) = &segment.active else { return Ok(Vec::new()) };
        let now = self.core.clock.now().max(view.inner.summary.as_of);
        let since = active.published_at.unwrap_or(now);
        let zone = &self.core.zone;
        let mut size = view.members(active.no).map_or(0, RoaringBitmap::len) as i64;
        let mut out = vec![Size { at: now, size: size as u64 }];
        let mut day = 0;
        let mut end = zone.day_start(now, 0);
        let mut turns = view.turns_back(active.no);
        let mut counted = 0;
        while day < days && end >= since {
            let turn = turns.next()?.map(|logged| logged.turn);
            // What happened at midnight belongs to the day that begins.
            while day < days && end >= since && turn.is_none_or(|turn| turn.at < end) {
                out.push(Size { at: end, size: size.max(0) as u64 });
                day += 1;
                end = zone.day_start(now, -day);
            }
            let Some(turn) = turn else { break };
            size += if turn.entered { -1 } else { 1 };
            counted += 1;
            if counted > HISTORY_CHANGES_MAX {
                return Err(Refused::Conflict(format!(
                    "more than {HISTORY_CHANGES_MAX} entered or left in that time; ask for fewer days"
                )));
            }
        }
        out.reverse();
        Ok(out)
    }

    /// How many belong to both of two segments, and to either.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn overlap(&self, first: &str, second: &str) -> Result<Overlap> {
        let view = self.core.rows.read();
        let none = RoaringBitmap::new();
        let members = |name: &str| -> Result<&RoaringBitmap> {
            let segment = view.inner.config.segments.get(name).ok_or(Refused::NotFound("segment"))?;
            let members = segment.active.as_ref().and_then(|active| view.members(active.no));
            Ok(members.unwrap_or(&none))
        };
        let (a, b) = (members(first)?, members(second)?);
        let both = a.intersection_len(b);
        Ok(Overlap {
            first: a.len(),
            second: b.len(),
            both,
            either: a.len() + b.len() - both,
            position: view.inner.summary.last,
        })
    }
}
