//! What is kept of plugins' folds, and what waits to be brought forward.

use std::collections::BTreeSet;

use cdp_domain::event::Event;
use cdp_domain::ids::FragmentId;
use cdp_domain::stamp::Stamp;
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use serde::{Deserialize, Serialize};

/// What a derivation keeps of a fragment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The plugin's bytes; empty is the state of no events.
    pub(crate) state: Vec<u8>,
    /// The last event in canonical order that it was given.
    pub(crate) last: Option<Stamp>,
    /// Events that could not be folded and were left out.
    pub(crate) skipped: u32,
}

/// What a derivation read of a profile last, under its root.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Known {
    /// By output.
    pub(crate) values: Vec<Option<Value>>,
    /// When the plugin says that they may change.
    pub(crate) valid_until: Option<Timestamp>,
    /// When they are read again: a timer stands there.
    pub(crate) again_at: Option<Timestamp>,
}

/// What happened since plugins' folds were brought forward last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Underway {
    /// Events to be folded. Not stored: their fragments are folded anew instead.
    #[serde(skip)]
    pub(crate) events: Vec<Fresh>,
    /// Events that were folded and taken back since. Not stored: their fragments are folded anew instead.
    #[serde(skip)]
    pub(crate) taken: Vec<Fresh>,
    /// Fragments whose events are to be folded anew.
    pub(crate) anew: BTreeSet<FragmentId>,
    /// Fragments whose profiles have other fragments than before.
    pub(crate) moved: BTreeSet<FragmentId>,
    /// When all that is done; None when there is nothing to do.
    pub(crate) at: Option<Timestamp>,
    /// No reading is to be made again before this.
    pub(crate) read_at: Option<Timestamp>,
}

/// An event that waits to be folded by plugins.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fresh {
    pub(crate) fragment: FragmentId,
    pub(crate) received_at: Timestamp,
    pub(crate) event: Event,
}

impl Underway {
    /// When there is something to do next.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        cdp_domain::segment::earlier(self.at, self.read_at)
    }

    /// As it is stored: what waits is folded anew after a start.
    pub(crate) fn stored(&self) -> Self {
        let (events, taken) = (Vec::new(), Vec::new());
        let (anew, moved) = (self.anew.clone(), self.moved.clone());
        let mut stored = Self { events, taken, anew, moved, at: self.at, read_at: self.read_at };
        stored.anew.extend(self.events.iter().chain(&self.taken).map(|fresh| fresh.fragment));
        stored
    }
}
