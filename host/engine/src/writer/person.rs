//! A profile as rules and readers see it: the combination of its fragments.

use std::collections::BTreeMap;
use std::sync::Arc;

use cdp_domain::condition::Answer;
use cdp_domain::consent::ContactPoint;
use cdp_domain::expr::{self, Cutoffs, Expr};
use cdp_domain::fold::{At, Fold, Reading, State};
use cdp_domain::identifier::Identifier;
use cdp_domain::ids::FragmentId;
use cdp_domain::segment;
use cdp_domain::stamp::Stamp;
use cdp_domain::time::Timestamp;
use cdp_domain::traits::Cell;
use cdp_domain::value::Value;
use compact_str::CompactString;

use super::Plan;
use crate::build::States;
use crate::derivations::Known;
use crate::rows::{Contact, Fragment, Look, decode};
use crate::tenant::TenantDigests;

/// The fragments of one profile, root first, and what is needed to read them.
pub(crate) struct Person<'a> {
    pub(crate) fragments: &'a [(FragmentId, Arc<Fragment>)],
    pub(crate) plan: &'a Plan,
    pub(crate) digests: &'a TenantDigests,
    pub(crate) look: &'a dyn Look,
    /// States of folds that rows do not have: for a rule that is tried out.
    pub(crate) overlay: Option<&'a States>,
}

impl Person<'_> {
    /// Every trait that has a value, with the event that last changed it; sorted by name.
    pub(crate) fn traits(&self) -> Vec<(CompactString, Value, Stamp)> {
        let mut names: Vec<&CompactString> = self
            .fragments
            .iter()
            .flat_map(|(_, fragment)| fragment.traits.iter().map(|(name, _)| name))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
            .into_iter()
            .filter_map(|name| {
                let cell = self.cell(name)?;
                let (value, stamp) = cell.read()?;
                Some((name.clone(), value, stamp.clone()))
            })
            .collect()
    }

    fn cell(&self, name: &str) -> Option<Cell> {
        let find = |fragment: &Fragment| {
            let at = fragment.traits.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok()?;
            Some(fragment.traits[at].1.clone())
        };
        self.fragments.iter().filter_map(|(_, fragment)| find(fragment)).reduce(Cell::combine)
    }

    /// What a plugin read of the profile last, for a slot.
    pub(crate) fn derived_reading(&self, slot: u32) -> Option<(&[CompactString], Known)> {
        let (no, outputs) = self.plan.slots.get(&slot)?;
        let (root, _) = self.fragments.first()?;
        match self.look.row(&self.look.context().derived_reading(*root, *no)) {
            Ok(row) => Some((outputs.as_slice(), decode(&row?).ok()?)),
            Err(error) => {
                tracing::error!(error = %error, "a derived value could not be read; it counts as missing");
                None
            }
        }
    }

    /// The reading of an attribute that serves, at `as_of`.
    pub(crate) fn attribute(&self, name: &str, as_of: Timestamp) -> Reading {
        let at = At { as_of, zone: &self.plan.zone };
        if let Some(Expr::Derived(slot, output)) = self.plan.attributes.get(name) {
            let known = self.derived_reading(*slot);
            let valid_until = known.and_then(|(_, known)| known.valid_until);
            return Reading { value: expr::Source::derived(self, *slot, output), valid_until };
        }
        self.plan.attributes.get(name).map_or_else(Reading::default, |expr| expr.read(self, at))
    }

    /// Its identifiers but those that were set aside or name nobody; sorted, each once.
    pub(crate) fn all_identifiers(&self) -> Vec<Identifier> {
        let mut all: Vec<_> =
            self.fragments.iter().flat_map(|(_, fragment)| fragment.owned().cloned()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The restrictions that hold for it, with when each was made.
    pub(crate) fn restrictions(&self) -> BTreeMap<u32, Timestamp> {
        self.look.restricted().of(self.fragments, self.digests)
    }

    /// Whether it is kept and not used.
    pub(crate) fn is_restricted(&self) -> bool {
        !self.restrictions().is_empty()
    }

    /// Its contact points, sorted, each once.
    pub(crate) fn contacts(&self) -> Vec<ContactPoint> {
        let mut all: Vec<_> =
            self.fragments.iter().flat_map(|(_, fragment)| fragment.contacts.iter().cloned()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// What is kept of a contact point. A failing store withholds: no consent is read from it.
    pub(crate) fn contact(&self, point: &ContactPoint) -> Option<Arc<Contact>> {
        let digest = self.digests.contact.wide(&point.canonical_bytes());
        match self.look.contact(digest) {
            Ok(contact) => contact,
            Err(error) => {
                tracing::error!(error = %error, "a contact point could not be read; it counts as not consented");
                None
            }
        }
    }
}

impl expr::Source for Person<'_> {
    fn trait_value(&self, name: &str) -> Option<Value> {
        self.cell(name)?.read().map(|(value, _)| value)
    }

    fn identifiers(&self, kind: &str) -> Vec<Value> {
        let all = self.all_identifiers();
        all.into_iter().filter(|one| one.kind == kind).map(|one| Value::Text(one.value)).collect()
    }

    fn with_state(&self, fold: u32, read: &mut dyn FnMut(&State)) {
        let beside = |id: &FragmentId| self.overlay.and_then(|states| states.get(&(fold, *id)));
        let mut states =
            self.fragments.iter().filter_map(|(id, fragment)| beside(id).or_else(|| fragment.fold(fold)));
        let Some(first) = states.next() else { return read(&State::Nothing) };
        let Some(second) = states.next() else { return read(first) };
        let Some(spec) = self.plan.folds.get(&fold) else { return };
        let both = spec.combine(first.clone(), second.clone());
        read(&states.cloned().fold(both, |a, b| spec.combine(a, b)));
    }

    fn derived(&self, slot: u32, output: &str) -> Option<Value> {
        let (outputs, mut known) = self.derived_reading(slot)?;
        let at = outputs.iter().position(|name| name == output)?;
        known.values.get_mut(at)?.take()
    }

    fn cutoffs(&self, ranking: u32) -> Option<&Cutoffs> {
        self.plan.rankings.get(&ranking)
    }
}

impl segment::View for Person<'_> {
    fn reachable(&self, channel: &str, purpose: &str, as_of: Timestamp) -> Answer {
        self.reached(channel, purpose, as_of)
    }
}
