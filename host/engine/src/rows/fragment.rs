//! What is kept of one fragment.

use cdp_domain::consent::ContactPoint;
use cdp_domain::event::Event;
use cdp_domain::fold::{self, Spec};
use cdp_domain::identifier::Identifier;
use cdp_domain::identity::{Level, Origin};
use cdp_domain::ids::{FragmentId, Ordinal};
use cdp_domain::stamp::Stamp;
use cdp_domain::time::Timestamp;
use cdp_domain::traits::{Cell, Write, writes};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// Everything known under one exact set of identifiers. Lists are sorted, so that equal states have equal bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fragment {
    pub(crate) identifiers: SmallVec<[Identifier; 2]>,
    /// What else its events say about who it is.
    pub(crate) origin: Origin,
    /// Which of its identifiers link, as far as the number of fragments that hang together decides.
    pub(crate) level: Level,
    /// Bit n: identifier n is not the profile's: it was set aside, or names nobody.
    pub(crate) aside: u32,
    /// The first event in canonical order.
    pub(crate) first: Stamp,
    /// The time of the last that is not gone by its age; [`NEVER`] when all are.
    pub(crate) last_event: Timestamp,
    pub(crate) events: u64,
    /// The root of the profile it belongs to; itself, when it is the root.
    pub(crate) profile: FragmentId,
    /// What is kept of the profile, at its root.
    pub(crate) head: Option<Box<Head>>,
    pub(crate) traits: Vec<(CompactString, Cell)>,
    /// By the fold's number.
    pub(crate) folds: Vec<(u32, fold::State)>,
    pub(crate) contacts: Vec<ContactPoint>,
}

/// What is kept of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) ordinal: Ordinal,
    /// Its fragments but the root, sorted.
    pub(crate) others: Vec<FragmentId>,
    /// Whether more must be looked at than this profile to know where a fragment belongs that touches it: something in
    /// it was set aside or does not link, or an operator, an alias or a client had a say.
    pub(crate) entangled: bool,
    /// The next instant at which a membership may turn by itself; a timer stands there, unless state's time has passed it.
    pub(crate) next_turn: Option<Timestamp>,
}

/// Before any event.
pub(crate) const NEVER: Timestamp = Timestamp(i64::MIN);

impl Fragment {
    /// The time of its last event.
    pub(crate) fn last_seen(&self) -> Timestamp {
        self.last_event.max(self.first.time())
    }

    /// A fragment before its first event is taken in.
    pub(crate) fn new(
        identifiers: SmallVec<[Identifier; 2]>,
        origin: Origin,
        first: Stamp,
        id: FragmentId,
    ) -> Self {
        Self {
            last_event: first.time(),
            identifiers,
            origin,
            level: Level::Full,
            aside: 0,
            first,
            events: 0,
            profile: id,
            head: None,
            traits: Vec::new(),
            folds: Vec::new(),
            contacts: Vec::new(),
        }
    }

    /// Bytes of memory it takes, about: what hangs on it is counted by the piece.
    pub(crate) fn weight(&self) -> u64 {
        let others = self.head.as_ref().map_or(0, |head| 64 + 16 * head.others.len());
        let state = size_of::<(u32, fold::State)>();
        let folds: usize = self.folds.iter().map(|(_, fold)| state + fold.heap_bytes()).sum();
        let pieces = 64 * self.identifiers.len() + 160 * self.traits.len() + folds;
        (320 + others + pieces + 64 * self.contacts.len()) as u64
    }

    /// Its identifiers that are the profile's.
    pub(crate) fn owned(&self) -> impl Iterator<Item = &Identifier> {
        let identifiers = self.identifiers.iter().enumerate();
        identifiers.filter(|(n, _)| self.aside & 1 << n == 0).map(|(_, identifier)| identifier)
    }

    /// Whether an identifier that it carries is the profile's.
    pub(crate) fn owns(&self, identifier: &Identifier) -> bool {
        self.owned().any(|owned| owned == identifier)
    }

    /// Folds an event in: its traits, and what of `folds` wants it. The folds that did come back.
    pub(crate) fn fold_event<'a>(
        &mut self,
        event: &Event,
        folds: impl Iterator<Item = (u32, &'a Spec)>,
    ) -> Vec<u32> {
        let stamp = event.stamp();
        for (name, write) in writes(&event.traits) {
            self.write_trait(name, &stamp, write);
        }
        let mut fed = Vec::new();
        for (no, spec) in folds {
            if spec.wants(event) {
                spec.take(self.fold_mut(no), event);
                fed.push(no);
            }
        }
        fed
    }

    /// Takes one write of a trait in.
    pub(crate) fn write_trait(&mut self, name: CompactString, stamp: &Stamp, write: Write) {
        match self.traits.binary_search_by(|(known, _)| known.cmp(&name)) {
            Ok(at) => self.traits[at].1.step(stamp, write),
            Err(at) => self.traits.insert(at, (name, Cell::new(stamp.clone(), write))),
        }
    }

    /// The state of a fold, to change in place.
    pub(crate) fn fold_mut(&mut self, no: u32) -> &mut fold::State {
        let at = match self.folds.binary_search_by_key(&no, |(known, _)| *known) {
            Ok(at) => at,
            Err(at) => {
                self.folds.insert(at, (no, fold::State::Nothing));
                at
            }
        };
        &mut self.folds[at].1
    }

    /// The state of a fold.
    pub(crate) fn fold(&self, no: u32) -> Option<&fold::State> {
        self.folds.binary_search_by_key(&no, |(known, _)| *known).ok().map(|at| &self.folds[at].1)
    }

    /// Adds a contact point; whether it is new here.
    pub(crate) fn add_contact(&mut self, contact: &ContactPoint) -> bool {
        match self.contacts.binary_search(contact) {
            Ok(_) => false,
            Err(at) => {
                self.contacts.insert(at, contact.clone());
                true
            }
        }
    }
}
