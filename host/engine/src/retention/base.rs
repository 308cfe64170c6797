//! What events that are gone amounted to, where that stays.

use cdp_domain::fold::{Fold as _, State};
use cdp_domain::time::Timestamp;
use cdp_domain::traits::Cell;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::rows::Fragment;
use crate::writer::Plan;

/// States over a set of events of one fragment, to be combined with those over the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Base {
    /// How many events.
    pub(crate) events: u64,
    /// The time of the last.
    pub(crate) last_event: Timestamp,
    /// By the fold's number, ascending.
    pub(crate) folds: Vec<(u32, State)>,
    /// By name, ascending.
    pub(crate) traits: Vec<(CompactString, Cell)>,
}

impl Base {
    /// What these events amount to together with others. A fold that there is no more is left as it was.
    pub(crate) fn join(&mut self, other: Self, plan: &Plan) {
        self.events += other.events;
        self.last_event = self.last_event.max(other.last_event);
        for (no, state) in other.folds {
            match self.folds.binary_search_by_key(&no, |(known, _)| *known) {
                Ok(at) => {
                    if let Some(spec) = plan.folds.get(&no) {
                        let known = &mut self.folds[at].1;
                        *known = spec.combine(std::mem::take(known), state);
                    }
                }
                Err(at) => self.folds.insert(at, (no, state)),
            }
        }
        for (name, cell) in other.traits {
            match self.traits.binary_search_by(|(known, _)| known.cmp(&name)) {
                Ok(at) => {
                    let known = self.traits.remove(at).1;
                    self.traits.insert(at, (name, known.combine(cell)));
                }
                Err(at) => self.traits.insert(at, (name, cell)),
            }
        }
    }

    /// Adds it to what a fragment has of its other events; the number of events is not touched.
    pub(crate) fn add_to(&self, fragment: &mut Fragment, plan: &Plan) {
        for (no, state) in &self.folds {
            if let Some(spec) = plan.folds.get(no) {
                let known = fragment.fold_mut(*no);
                *known = spec.combine(std::mem::take(known), state.clone());
            }
        }
        for (name, cell) in &self.traits {
            match fragment.traits.binary_search_by(|(known, _)| known.cmp(name)) {
                Ok(at) => {
                    let (name, known) = fragment.traits.remove(at);
                    fragment.traits.insert(at, (name, known.combine(cell.clone())));
                }
                Err(at) => fragment.traits.insert(at, (name.clone(), cell.clone())),
            }
        }
        fragment.last_event = fragment.last_event.max(self.last_event);
    }
}
