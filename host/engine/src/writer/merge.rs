//! Where a new fragment belongs, and what moves when people turn out to be one.
//!
//! One step is exact where nothing stands in the way of anything: when all that the fragment would join was joined
//! without a conflict, and the union breaks no rule, then no subset of it does, so every order comes to this union.
//! Everything else is placed anew ([`crate::identity::ground`]). Both must give what [`cdp_domain::identity`] defines;
//! a property test compares them after every event.

use std::collections::BTreeSet;

use cdp_domain::event::EXPIRED;
use cdp_domain::identifier::Identifier;
use cdp_domain::identity::{Company, Level, Origin, Subject};
use cdp_domain::ids::{FragmentId, Ordinal};
use cdp_domain::stamp::Stamp;

use super::apply::Applier;
use super::evaluate::Cause;
use crate::error::{Refused, Result};
use crate::feed::Pending;
use crate::identity::ground::{COMPANY_KEPT_FROM, Ground};
use crate::identity::log::{About, Because, Happened};
use crate::identity::settle::Seed;
use crate::rows::{Fragment, Head, Look, NEVER, Turn, encode};

/// A company that is to be kept in a row of its own.
type Kept = ([u8; 16], Company);

impl Applier<'_> {
    /// What identity resolution reads, as rows stand now.
    pub(crate) fn ground(&self) -> Ground<'_> {
        Ground::new(&self.hand, &self.core.digests, &self.resolver, Some(self.revision))
    }

    /// Makes a fragment for identifiers that were not seen together before, and joins the people it connects.
    pub(super) fn place(&mut self, id: FragmentId, pending: &Pending, stamp: &Stamp) -> Result<()> {
        let event = &pending.event;
        let mut fragment = Fragment::new(event.identifiers.clone(), pending.origin, stamp.clone(), id);
        if event.kind == EXPIRED {
            fragment.last_event = NEVER;
        }
        fragment.aside = self.blocked(&event.identifiers);
        let mut alone = Vec::new();
        for identifier in &event.identifiers {
            let digest = self.core.digests.identifier.wide(&identifier.canonical_bytes());
            if self.hand.carrier(digest)?.is_none() {
                alone.push(identifier);
            }
            self.hand.put_carrier(digest, id);
        }
        self.hand.inner.summary.fragments += 1;
        self.hand.put_fragment(id, fragment);
        if alone.len() == event.identifiers.len() && self.nothing_to_decide(&alone, pending.origin) {
            return self.found_profile(id);
        }

        let ground = self.ground();
        alone.into_iter().for_each(|identifier| ground.carried_alone(identifier, id));
        let (kept, crossed) = meet(&ground, id, &event.identifiers)?;
        let joined = if crossed.is_empty() { one_step(&ground, id, &event.identifiers)? } else { None };
        if let Some(roots) = joined {
            drop(ground);
            self.keep(kept);
            return if roots.is_empty() { self.found_profile(id) } else { self.take_in(id, &roots) };
        }
        let mut seeds = vec![Seed { id, at_most: Level::Full, afresh: !crossed.is_empty() }];
        for identifier in &crossed {
            ground.carriers(identifier, |id| {
                seeds.push(Seed::afresh(id));
                Ok(false)
            })?;
        }
        let (settled, overgrown) = ground.settle(seeds)?;
        drop(ground);
        self.keep(kept);
        for identifier in crossed {
            let digest = self.core.digests.identifier.wide(&identifier.canonical_bytes());
            self.alert(digest, About::Shared(identifier))?;
        }
        for fragment in overgrown {
            self.alert(fragment.0, About::Overgrown(fragment))?;
        }
        self.rearrange(&settled, Because::Fragment(id), Some(id))
    }

    /// Whether a fragment of identifiers that nobody has is a profile of its own, whatever else there is.
    fn nothing_to_decide(&self, identifiers: &[&Identifier], origin: Origin) -> bool {
        let ruled = |one: &Identifier| {
            self.resolver.rules.rule(&one.kind).is_some_and(|rule| rule.unique || rule.limit.is_some())
        };
        self.resolver.constraints.is_empty() && {
            let ruled: BTreeSet<_> = identifiers.iter().copied().filter(|one| ruled(one)).cloned().collect();
            self.resolver.plain(&ruled, origin.client)
        }
    }

    /// After a fragment turned out to be older than was known: its turn comes earlier.
    pub(super) fn grown_older(&mut self, id: FragmentId) -> Result<()> {
        let root = self.hand.fragment(id)?.map(|fragment| fragment.profile);
        let root = match root {
            Some(root) => self.hand.fragment(root)?,
            None => None,
        };
        let entangled = root.and_then(|root| root.head.as_ref().map(|head| head.entangled));
        if !entangled.ok_or_else(|| Refused::internal("a profile's root has no head"))? {
            return self.reroot(id);
        }
        let level = self.hand.fragment(id)?.map_or(Level::Full, |fragment| fragment.level);
        let ground = self.ground();
        let (settled, _) = ground.settle(vec![Seed { id, at_most: level, afresh: false }])?;
        drop(ground);
        self.rearrange(&settled, Because::Fragment(id), Some(id))
    }

    /// Bits of the identifiers that name nobody.
    pub(super) fn blocked(&self, identifiers: &[Identifier]) -> u32 {
        let blocked = identifiers.iter().enumerate().filter(|(_, one)| self.resolver.blocked(one));
        blocked.map(|(n, _)| 1 << n).sum()
    }

    pub(crate) fn keep(&mut self, kept: Vec<Kept>) {
        for (digest, company) in kept {
            let key = self.hand.context().company(digest);
            let revision = self.revision;
            self.hand.put(key, encode(&(revision, company)));
        }
    }

    /// A profile of one fragment.
    fn found_profile(&mut self, id: FragmentId) -> Result<()> {
        let head = self.new_head();
        self.hand.put(self.hand.context().ordinal(head.ordinal), id.0.to_vec());
        self.hand.fragment_mut(id)?.expect("it was just put").head = Some(Box::new(head));
        Ok(())
    }

    pub(super) fn new_head(&mut self) -> Head {
        let summary = &mut self.hand.inner.summary;
        summary.profiles += 1;
        let ordinal = Ordinal(summary.next_ordinal);
        summary.next_ordinal += 1;
        Head { ordinal, others: Vec::new(), entangled: false, next_turn: None }
    }

    /// Joins a fragment and the profiles it connects.
    fn take_in(&mut self, id: FragmentId, roots: &[FragmentId]) -> Result<()> {
        let home = self.join(roots, Because::Fragment(id))?;
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
    fn join(&mut self, roots: &[FragmentId], because: Because) -> Result<FragmentId> {
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
        // Only what comes from elsewhere gets another root: the profile whose root stays keeps its pointers.
        let moved: Vec<FragmentId> = heads
            .iter()
            .filter(|(_, id, _)| *id != root)
            .flat_map(|(_, id, head)| std::iter::once(*id).chain(head.others.iter().copied()))
            .collect();
        for member in &moved {
            if let Some(fragment) = self.hand.fragment_mut(*member)? {
                fragment.profile = root;
            }
        }
        let mut others = moved;
        for (_, _, head) in heads.iter().filter(|(_, id, _)| *id == root) {
            others.extend_from_slice(&head.others);
        }
        others.sort_unstable();
        heads.sort_by_key(|(_, _, head)| head.ordinal);
        for (_, id, _) in heads.iter().filter(|(_, id, _)| *id != root) {
            self.log(Happened::Merged, root, *id, because);
        }
        let (_, was, mut home) = heads.remove(0);
        for (_, id, absorbed) in heads {
            self.absorb(id, &absorbed)?;
        }
        self.rename(home.ordinal, was, root, Cause::Merge);
        home.others = others;
        let key = self.hand.context().ordinal(home.ordinal);
        self.hand.put(key, root.0.to_vec());
        self.hand.fragment_mut(root)?.expect("it is one of the roots").head = Some(home);
        Ok(root)
    }

    /// Ends a profile that became part of another.
    pub(super) fn absorb(&mut self, id: FragmentId, head: &Head) -> Result<()> {
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

    /// Reports that a member goes on under another id: who follows the changes of a segment knows its members by id.
    pub(super) fn rename(&mut self, ordinal: Ordinal, from: FragmentId, to: FragmentId, cause: Cause) {
        if from == to {
            return;
        }
        let (plan, at) = (self.plan, self.hand.inner.summary.as_of);
        for segment in plan.segments.iter().filter(|segment| segment.serves) {
            if self.hand.members(segment.no).is_some_and(|members| members.contains(ordinal.0)) {
                self.report(segment.no, Turn { profile: from, entered: false, at, cause });
                self.report(segment.no, Turn { profile: to, entered: true, at, cause });
            }
        }
    }

    /// After a fragment was placed or turned out to be older: a profile's root is its earliest fragment.
    fn reroot(&mut self, id: FragmentId) -> Result<()> {
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
        let ordinal = head.ordinal;
        let key = self.hand.context().ordinal(ordinal);
        self.hand.put(key, id.0.to_vec());
        let root = self.hand.fragment_mut(id)?.ok_or_else(missing)?;
        root.profile = id;
        root.head = Some(head);
        self.log(Happened::Renamed, id, old, Because::Fragment(id));
        self.rename(ordinal, old, id, Cause::Merge);
        Ok(())
    }
}

/// Counts a new fragment in the company of its identifiers; those come back that it makes shared, and companies that
/// are kept in rows of their own.
fn meet(
    ground: &Ground<'_>,
    id: FragmentId,
    identifiers: &[Identifier],
) -> Result<(Vec<Kept>, Vec<Identifier>)> {
    let (mut kept, mut crossed) = (Vec::new(), Vec::new());
    for identifier in identifiers {
        if ground.resolver.blocked(identifier) || !ground.resolver.can_be_shared(identifier) {
            continue;
        }
        let (mut company, counted) = ground.company(identifier, Some(id))?;
        let before = company.clone();
        company.see(ground.resolver, identifier, identifiers);
        ground.set_shared(identifier, company.shared());
        if company.shared() && !before.shared() {
            crossed.push(identifier.clone());
        }
        if counted.map_or(company != before, |counted| counted + 1 >= COMPANY_KEPT_FROM) {
            kept.push((ground.digest(identifier), company));
        }
    }
    Ok((kept, crossed))
}

/// The roots of the profiles that a new fragment joins, when that takes one step; None when it does not.
fn one_step(
    ground: &Ground<'_>,
    id: FragmentId,
    identifiers: &[Identifier],
) -> Result<Option<Vec<FragmentId>>> {
    let resolver = ground.resolver;
    let mut roots = Vec::new();
    let mut linking = Vec::new();
    for identifier in identifiers {
        if !ground.may_link(identifier)? {
            continue;
        }
        linking.push(identifier);
        if let Some(carrier) = ground.carrier(identifier, id)? {
            roots.push(ground.found(carrier)?.profile);
        }
    }
    roots.sort_unstable();
    roots.dedup();
    let mut members = vec![id];
    for root in &roots {
        let fragment = ground.look.fragment(*root)?;
        let head = fragment.as_ref().and_then(|fragment| fragment.head.as_ref());
        let head = head.ok_or_else(|| Refused::internal("a profile's root has no head"))?;
        if head.entangled {
            return Ok(None);
        }
        members.push(*root);
        members.extend_from_slice(&head.others);
        if members.len() > resolver.fragments_max() {
            return Ok(None);
        }
    }
    let ruled = |identifier: &Identifier| {
        resolver.rules.rule(&identifier.kind).is_some_and(|rule| rule.unique || rule.limit.is_some())
    };
    let free = resolver.constraints.is_empty();
    let own = ground.found(id)?;
    if free && roots.len() == 1 && !own.known.origin.client && !linking.iter().any(|one| ruled(one)) {
        return Ok(Some(roots));
    }
    let mut all = BTreeSet::new();
    let mut client = false;
    for member in members {
        let fragment = ground.look.fragment(member)?;
        let fragment = fragment.ok_or_else(|| Refused::internal("a profile's fragment is missing"))?;
        client |= fragment.origin.client;
        let concerned = |one: &Identifier| resolver.constraints.concern(&Subject::Identifier(one.clone()));
        if !free
            && (resolver.constraints.concern(&Subject::Fragment(member))
                || fragment.identifiers.iter().any(concerned))
        {
            return Ok(None);
        }
        for identifier in fragment.identifiers.iter().filter(|one| ruled(one)) {
            if !all.contains(identifier) && ground.may_link(identifier)? {
                all.insert(identifier.clone());
            }
        }
    }
    Ok(resolver.plain(&all, client).then_some(roots))
}
