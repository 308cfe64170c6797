//! Canonical order: what depends on order uses (event time, source, event id), never the order of arrival.

use std::cmp::Ordering;
use std::sync::Arc;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// An event's place in canonical order. Cheap to clone; equal stamps are the same event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stamp(Arc<Parts>);

#[derive(Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Parts {
    time: Timestamp,
    source: CompactString,
    id: CompactString,
}

impl Stamp {
    /// The stamp of the event `id` of `source` at `time`.
    #[must_use]
    pub fn new(time: Timestamp, source: CompactString, id: CompactString) -> Self {
        Self(Arc::new(Parts { time, source, id }))
    }

    /// When it happened.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.0.time
    }

    /// Who reported it.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The event's id within its source.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }
}

impl Ord for Stamp {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (&*self.0, &*other.0);
        a.time.cmp(&b.time).then_with(|| a.source.cmp(&b.source)).then_with(|| a.id.cmp(&b.id))
    }
}

impl PartialOrd for Stamp {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
