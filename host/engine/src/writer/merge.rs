//! Where a new fragment belongs, and what moves when people turn out to be one.
//!
//! While no rule limits who may be joined, one step on the known result is exact: whatever shares an identifier is one
//! person ([`cdp_domain::identity`] is the definition; a property test compares). Fragments move between profiles,
//! nothing that is known of a fragment is rewritten.

use cdp_domain::event::Event;
use cdp_domain::ids::{FragmentId, Ordinal};
use cdp_domain::stamp::Stamp;

use super::apply::Applier;
use super::evaluate::{Cause, Turn};
use crate::error::{Refused, Result};
use crate::rows::{Fragment, Head, Look};

impl Applier<'_> {
    /// Makes a fragment for identifiers that were not seen together before, and joins the people it connects.
    pub(super) fn place(&mut self, id: FragmentId, event: &Event, stamp: &Stamp) -> Result<()> {
        let context = *self.hand.context();
        let mut roots = Vec::new();
        for identifier in &event.identifiers {
            let digest = self.core.digests.identifier.wide(&identifier.canonical_bytes());
            if let Some(other) = self.hand.carrier(digest)? {
                let other = self.hand.fragment(other)?;
                roots.push(
                    other.ok_or_else(|| Refused::internal("an identifier's fragment is missing"))?.profile,
                );
            }
            self.hand.put_carrier(digest, id);
        }
        roots.sort_unstable();
        roots.dedup();
        let mut fragment = Fragment::new(event.identifiers.clone(), stamp.clone(), id);
        self.hand.inner.summary.fragments += 1;
        if roots.is_empty() {
            let summary = &mut self.hand.inner.summary;
            summary.profiles += 1;
            let ordinal = Ordinal(summary.next_ordinal);
            summary.next_ordinal += 1;
            fragment.head = Some(Box::new(Head { ordinal, others: Vec::new(), next_turn: None }));
            self.hand.put(context.ordinal(ordinal), id.0.to_vec());
            self.hand.put_fragment(id, fragment);
            return Ok(());
        }
        self.hand.put_fragment(id, fragment);
        let home = self.join(&roots)?;
        let root =
            self.hand.fragment_mut(home)?.ok_or_else(|| Refused::internal("a profile's root is missing"))?;
        let head = root.head.as_mut().ok_or_else(|| Refused::internal("a profile's root has no head"))?;
        if let Err(at) = head.others.binary_search(&id) {
            head.others.insert(at, id);
        }
        self.hand.fragment_mut(id)?.expect("it was just put").profile = home;
        self.reroot(id)
    }

    /// Makes one profile of several; its root comes back. The oldest of them goes on under its ordinal.
    fn join(&mut self, roots: &[FragmentId]) -> Result<FragmentId> {
        let [first, rest @ ..] = roots else { return Err(Refused::internal("nothing to join")) };
        if rest.is_empty() {
            return Ok(*first);
        }
        let mut heads = Vec::with_capacity(roots.len());
        for root in roots {
            let fragment =
                self.hand.fragment_mut(*root)?.ok_or_else(|| Refused::internal("a root is missing"))?;
            let head = fragment.head.take().ok_or_else(|| Refused::internal("a root has no head"))?;
            heads.push((fragment.first.clone(), *root, head));
        }
        let root = heads.iter().map(|(first, id, _)| (first, *id)).min().expect("there are several").1;
        let mut members: Vec<FragmentId> = roots.to_vec();
        heads.iter().for_each(|(_, _, head)| members.extend_from_slice(&head.others));
        members.sort_unstable();
        members.dedup();
        heads.sort_by_key(|(_, _, head)| head.ordinal);
        let (_, _, mut home) = heads.remove(0);
        for (_, id, absorbed) in heads {
            self.absorb(id, &absorbed)?;
        }
        for member in &members {
            if let Some(fragment) = self.hand.fragment_mut(*member)? {
                fragment.profile = root;
            }
        }
        members.retain(|member| *member != root);
        home.others = members;
        let key = self.hand.context().ordinal(home.ordinal);
        self.hand.put(key, root.0.to_vec());
        self.hand.fragment_mut(root)?.expect("it is one of the roots").head = Some(home);
        Ok(root)
    }

    /// Ends a profile that became part of another.
    fn absorb(&mut self, id: FragmentId, head: &Head) -> Result<()> {
        let context = *self.hand.context();
        let at = self.hand.inner.summary.as_of;
        let plan = self.plan;
        for segment in &plan.segments {
            if self.hand.set_member(segment.no, head.ordinal, false) && segment.serves {
                self.report(segment.no, Turn { profile: id, entered: false, at, cause: Cause::Merge });
            }
        }
        if let Some(next) = head.next_turn {
            self.hand.delete(context.timer(next, head.ordinal));
        }
        self.hand.delete(context.ordinal(head.ordinal));
        self.hand.inner.summary.profiles -= 1;
        Ok(())
    }

    /// After a fragment was placed or turned out to be older: a profile's root is its earliest fragment.
    pub(super) fn reroot(&mut self, id: FragmentId) -> Result<()> {
        let missing = || Refused::internal("a profile's fragment is missing");
        let fragment = self.hand.fragment(id)?.ok_or_else(missing)?;
        let old = fragment.profile;
        if old == id {
            return Ok(());
        }
        let root = self.hand.fragment(old)?.ok_or_else(missing)?;
        if (&fragment.first, id) > (&root.first, old) {
            return Ok(());
        }
        drop((fragment, root));
        let mut head = self.hand.fragment_mut(old)?.and_then(|root| root.head.take()).ok_or_else(missing)?;
        head.others.retain(|other| *other != id);
        if let Err(at) = head.others.binary_search(&old) {
            head.others.insert(at, old);
        }
        for member in &head.others {
            self.hand.fragment_mut(*member)?.ok_or_else(missing)?.profile = id;
        }
        let key = self.hand.context().ordinal(head.ordinal);
        self.hand.put(key, id.0.to_vec());
        let root = self.hand.fragment_mut(id)?.ok_or_else(missing)?;
        root.profile = id;
        root.head = Some(head);
        Ok(())
    }
}
