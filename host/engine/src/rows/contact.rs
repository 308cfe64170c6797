//! What is kept of one contact point: the consent that holds there, and which fragments use it.

use cdp_domain::consent::{ContactPoint, Current};
use cdp_domain::ids::FragmentId;
use cdp_domain::stamp::Stamp;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// A contact point, shared by whoever shares it. Lists are sorted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Contact {
    pub(crate) point: ContactPoint,
    /// Whether it was verified, as the latest event in canonical order says that says anything.
    pub(crate) verified: Option<(Stamp, bool)>,
    /// By purpose.
    pub(crate) consents: Vec<(CompactString, Current)>,
    pub(crate) fragments: Vec<FragmentId>,
}

impl Contact {
    pub(crate) fn new(point: ContactPoint) -> Self {
        Self { point, verified: None, consents: Vec::new(), fragments: Vec::new() }
    }

    /// Bytes of memory it takes, about.
    pub(crate) fn weight(&self) -> u64 {
        (192 + 160 * self.consents.len() + 16 * self.fragments.len()) as u64
    }

    /// Takes a decision in; whether what holds changed.
    pub(crate) fn decide(&mut self, purpose: &CompactString, decision: Current) -> bool {
        match self.consents.binary_search_by(|(known, _)| known.cmp(purpose)) {
            Ok(at) => {
                let before = self.consents[at].1.clone();
                let after = before.clone().combine(decision);
                let changed = after != before;
                self.consents[at].1 = after;
                changed
            }
            Err(at) => {
                self.consents.insert(at, (purpose.clone(), decision));
                true
            }
        }
    }

    /// Takes in that it was verified, or was found not to be.
    pub(crate) fn verify(&mut self, stamp: &Stamp, verified: bool) {
        if self.verified.as_ref().is_none_or(|(known, _)| stamp > known) {
            self.verified = Some((stamp.clone(), verified));
        }
    }

    /// What holds for a purpose.
    pub(crate) fn consent(&self, purpose: &str) -> Option<&Current> {
        self.consents
            .binary_search_by(|(known, _)| known.as_str().cmp(purpose))
            .ok()
            .map(|at| &self.consents[at].1)
    }

    /// Notes that a fragment uses it.
    pub(crate) fn used_by(&mut self, fragment: FragmentId) {
        if let Err(at) = self.fragments.binary_search(&fragment) {
            self.fragments.insert(at, fragment);
        }
    }
}
