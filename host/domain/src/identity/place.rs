//! Placing fragments in canonical order: whom each joins, and which of its identifiers are set aside.

use std::collections::HashMap;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::constraint::{Mark, Marks};
use super::{Known, Resolver, Subject};
use crate::identifier::Identifier;
use crate::ids::FragmentId;

/// A fragment, and which of its identifiers link.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The fragment.
    pub known: &'a Known,
    /// Bit n: identifier n links.
    pub links: u32,
    /// Whether constraints on the fragment itself hold: not where nothing links.
    pub constrained: bool,
}

/// What became of a fragment when its turn came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Nothing known had its identifiers.
    Created,
    /// Exactly one profile did.
    Attached,
    /// Several did, and became one.
    Merged,
}

/// Why an identifier was set aside: what joining by it would have broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A `must_not_link` with this number.
    Constraint(u32),
    /// Two values of a unique type would be in one profile.
    Unique(CompactString),
    /// More values of a type than its limit would be.
    Limit(CompactString),
    /// A client alone would join two people who are known.
    Client,
}

/// The outcome for one fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The fragment.
    pub id: FragmentId,
    /// The earliest fragment of its block: the profile's id.
    pub profile: FragmentId,
    /// What became of it.
    pub decision: Decision,
    /// The profiles that it found, by the ids that they had then, sorted.
    pub found: Vec<FragmentId>,
    /// Places among its identifiers of those that link nobody although they might have, in the order of setting aside.
    pub set_aside: Vec<(u8, Reason)>,
    /// Bit n: identifier n belongs to the profile because of this fragment.
    pub owned: u32,
}

impl Resolver {
    /// Places fragments, whose linking identifiers are decided. The answer is in canonical order and does not depend on
    /// the order given. Fragments that nothing connects do not influence each other.
    #[must_use]
    pub fn place(&self, candidates: &[Candidate<'_>]) -> Vec<Placed> {
        let mut order: Vec<&Candidate<'_>> = candidates.iter().collect();
        order.sort_by(|a, b| (&a.known.first, a.known.id).cmp(&(&b.known.first, b.known.id)));
        let mut blocks = Blocks::new(self, &order);
        let mut placed: Vec<_> =
            order.iter().enumerate().map(|(n, candidate)| blocks.place(n, candidate)).collect();
        let earliest: Vec<_> = (0..order.len()).map(|n| blocks.earliest_with(n)).collect();
        for (placed, earliest) in placed.iter_mut().zip(earliest) {
            placed.profile = order[earliest].known.id;
        }
        placed
    }
}

/// A block as it grows.
#[derive(Default)]
struct Block {
    /// The earliest of its fragments; None while only `must_link`s made it.
    earliest: Option<usize>,
    size: usize,
    /// By the place of its rule: values of a type that is unique or limited. Those of a unique type are one person's.
    counts: SmallVec<[(usize, u32); 2]>,
    marks: Marks,
}

struct Blocks<'a> {
    resolver: &'a Resolver,
    order: Vec<FragmentId>,
    of: HashMap<&'a Identifier, usize>,
    /// Blocks of fragments that `must_link`s name, made before any fragment.
    forced: HashMap<FragmentId, usize>,
    /// By fragment, in order: where it was put.
    home: Vec<usize>,
    blocks: Vec<Block>,
    parent: Vec<usize>,
}

/// An identifier of the fragment that is being placed.
#[derive(Clone, Copy)]
struct Link<'a> {
    place: usize,
    identifier: &'a Identifier,
    /// The block that it belongs to.
    block: Option<usize>,
    /// The place of its type's rule.
    rule: Option<usize>,
}

impl<'a> Blocks<'a> {
    fn new(resolver: &'a Resolver, order: &[&Candidate<'a>]) -> Self {
        let mut blocks = Self {
            resolver,
            order: order.iter().map(|candidate| candidate.known.id).collect(),
            of: HashMap::with_capacity(order.len()),
            forced: HashMap::new(),
            home: Vec::with_capacity(order.len()),
            blocks: Vec::new(),
            parent: Vec::new(),
        };
        if resolver.constraints.is_empty() {
            return blocks;
        }
        let subjects = order.iter().filter(|candidate| candidate.constrained).flat_map(|candidate| {
            let identifiers = candidate.known.identifiers.iter().cloned().map(Subject::Identifier);
            std::iter::once(Subject::Fragment(candidate.known.id)).chain(identifiers)
        });
        let mut groups: Vec<_> =
            subjects.filter_map(|subject| resolver.constraints.group(&subject)).collect();
        groups.sort_unstable();
        groups.dedup();
        groups.into_iter().for_each(|group| blocks.force(group));
        blocks
    }

    /// Joins the subjects of a group of `must_link`s, pair by pair, where no `must_not_link` forbids it.
    fn force(&mut self, group: usize) {
        let resolver = self.resolver;
        for pair in resolver.constraints.pairs(group) {
            let [a, b] = [&pair.a, &pair.b].map(|subject| self.forced(subject));
            if a != b && broken(&[&self.blocks[a].marks, &self.blocks[b].marks]).is_none() {
                self.join(a, b);
            }
        }
    }

    /// The block that a subject of a `must_link` has from the beginning.
    fn forced(&mut self, subject: &'a Subject) -> usize {
        let known = match subject {
            Subject::Identifier(identifier) => self.of.get(identifier).copied(),
            Subject::Fragment(id) => self.forced.get(id).copied(),
        };
        if let Some(block) = known {
            return self.find(block);
        }
        let marks = self.resolver.constraints.marks(subject).into();
        let block = self.add(Block { marks, ..Block::default() });
        match subject {
            Subject::Identifier(identifier) => {
                if let Some(rule) = self.ruled(identifier) {
                    self.blocks[block].count(rule, 1);
                }
                self.of.insert(identifier, block);
            }
            Subject::Fragment(id) => {
                self.forced.insert(*id, block);
            }
        }
        block
    }

    /// The place of the rule that limits an identifier's type.
    fn ruled(&self, identifier: &Identifier) -> Option<usize> {
        let rules = &self.resolver.rules;
        let ruled = |at: &usize| rules.types[*at].unique || rules.types[*at].limit.is_some();
        rules.place(&identifier.kind).filter(ruled)
    }

    fn add(&mut self, block: Block) -> usize {
        self.blocks.push(block);
        self.parent.push(self.blocks.len() - 1);
        self.blocks.len() - 1
    }

    fn find(&mut self, mut n: usize) -> usize {
        while self.parent[n] != n {
            self.parent[n] = self.parent[self.parent[n]];
            n = self.parent[n];
        }
        n
    }

    /// Joins two blocks, small to large.
    fn join(&mut self, a: usize, b: usize) -> usize {
        let (small, large) = if self.blocks[a].size < self.blocks[b].size { (a, b) } else { (b, a) };
        self.parent[small] = large;
        let moved = std::mem::take(&mut self.blocks[small]);
        let home = &mut self.blocks[large];
        home.size += moved.size;
        home.earliest = home.earliest.into_iter().chain(moved.earliest).min();
        for (rule, count) in moved.counts {
            home.count(rule, count);
        }
        home.marks.extend(moved.marks);
        large
    }

    fn earliest_with(&mut self, n: usize) -> usize {
        let block = self.find(self.home[n]);
        self.blocks[block].earliest.expect("a fragment is in it")
    }

    fn link(&mut self, place: usize, identifier: &'a Identifier) -> Link<'a> {
        let block = self.of.get(identifier).copied().map(|block| self.find(block));
        Link { place, identifier, block, rule: self.ruled(identifier) }
    }

    fn place(&mut self, n: usize, candidate: &Candidate<'a>) -> Placed {
        let known = candidate.known;
        let itself = Subject::Fragment(known.id);
        let own = self.forced.get(&known.id).copied().filter(|_| candidate.constrained);
        let mut own = own.map(|block| self.find(block));
        let mut links: Vec<Link<'a>> = Vec::with_capacity(known.identifiers.len());
        for (place, identifier) in known.identifiers.iter().enumerate() {
            if candidate.links & 1 << place != 0 {
                links.push(self.link(place, identifier));
            }
        }
        // Highest priority first, so that the last is what is set aside.
        links.sort_by_key(|link| (self.resolver.rules.priority(&link.identifier.kind), link.place));
        let marks = if candidate.constrained { self.resolver.constraints.marks(&itself) } else { &[] };
        let mut set_aside = Vec::new();
        let found = loop {
            let mut found: SmallVec<[usize; 4]> =
                own.into_iter().chain(links.iter().filter_map(|l| l.block)).collect();
            found.sort_unstable();
            found.dedup();
            let Some((reason, involved)) = self.conflict(known, own, marks, &links, &found) else {
                break found;
            };
            match links.iter().rposition(|link| involved(self, link)) {
                Some(at) => set_aside.push((links.remove(at).place as u8, reason)),
                // Only the fragment itself is in the way of what a `must_link` asks for it.
                None => own = None,
            }
        };
        self.settle(n, known, marks, &links, &found, set_aside)
    }

    fn settle(
        &mut self,
        n: usize,
        known: &Known,
        marks: &[Mark],
        links: &[Link<'a>],
        found: &[usize],
        set_aside: Vec<(u8, Reason)>,
    ) -> Placed {
        let ids = found.iter().filter_map(|block| self.blocks[*block].earliest).map(|at| self.order[at]);
        let mut ids: Vec<_> = ids.collect();
        ids.sort_unstable();
        let joined = found.iter().copied().reduce(|a, b| self.join(a, b));
        let home = joined.unwrap_or_else(|| self.add(Block::default()));
        let mut owned = 0;
        for link in links {
            owned |= 1 << link.place;
            if link.block.is_some() {
                continue;
            }
            self.of.insert(link.identifier, home);
            if let Some(rule) = link.rule {
                self.blocks[home].count(rule, 1);
            }
            if !self.resolver.constraints.is_empty() {
                let subject = Subject::Identifier(link.identifier.clone());
                self.blocks[home].marks.extend_from_slice(self.resolver.constraints.marks(&subject));
            }
        }
        let block = &mut self.blocks[home];
        block.size += 1;
        block.earliest = Some(block.earliest.map_or(n, |earliest| earliest.min(n)));
        block.marks.extend_from_slice(marks);
        block.marks.sort_unstable();
        block.marks.dedup();
        self.home.push(home);
        let decision = match ids.len() {
            0 => Decision::Created,
            1 => Decision::Attached,
            _ => Decision::Merged,
        };
        Placed { id: known.id, profile: known.id, decision, found: ids, set_aside, owned }
    }

    /// What the union of the blocks found with the fragment would break, and which links take part in that.
    #[expect(clippy::type_complexity, reason = "an answer for one caller")]
    fn conflict(
        &self,
        known: &Known,
        own: Option<usize>,
        marks: &[Mark],
        links: &[Link<'a>],
        found: &[usize],
    ) -> Option<(Reason, Box<dyn Fn(&Self, &Link<'a>) -> bool>)> {
        let of_link = |this: &Self, link: &Link<'a>| match link.block {
            Some(block) => this.blocks[block].marks.clone(),
            None => this.resolver.constraints.marks(&Subject::Identifier(link.identifier.clone())).into(),
        };
        if !self.resolver.constraints.is_empty() {
            let own_marks = own.map(|block| self.blocks[block].marks.clone());
            let of_links: Vec<Marks> = links.iter().map(|link| of_link(self, link)).collect();
            let all: Vec<&[Mark]> = std::iter::once(marks)
                .chain(own_marks.iter().map(|marks| marks.as_slice()))
                .chain(of_links.iter().map(|marks| marks.as_slice()))
                .collect();
            if let Some(constraint) = broken(&all) {
                let involved = move |this: &Self, link: &Link<'a>| {
                    of_link(this, link).iter().any(|mark| mark.constraint == constraint)
                };
                return Some((Reason::Constraint(constraint), Box::new(involved)));
            }
        }
        if own.is_some() {
            return None;
        }
        for (rule, type_rule) in self.resolver.rules.types.iter().enumerate() {
            let named: SmallVec<[Option<usize>; 4]> =
                links.iter().filter(|link| link.rule == Some(rule)).map(|link| link.block).collect();
            let fresh = named.iter().filter(|block| block.is_none()).count();
            let with = found.iter().filter(|block| self.blocks[**block].counted(rule) > 0);
            let (named_there, with_others): (Vec<_>, Vec<_>) =
                with.copied().partition(|block| named.contains(&Some(*block)));
            let with = named_there.len() + with_others.len();
            let values = fresh + found.iter().map(|block| self.blocks[*block].counted(rule)).sum::<usize>();
            let aliased = known.origin.alias && !known.origin.client && named.len() > 1;
            let people = if aliased { 1 + with_others.len() } else { fresh + with };
            let involved = move |this: &Self, link: &Link<'a>| match link.block {
                Some(block) => this.blocks[block].counted(rule) > 0 || link.rule == Some(rule),
                None => link.rule == Some(rule),
            };
            if type_rule.unique && people > 1 {
                return Some((Reason::Unique(type_rule.kind.clone()), Box::new(involved)));
            }
            let limit =
                type_rule.limit.filter(|_| !type_rule.unique).map_or(usize::MAX, |limit| limit as usize);
            if values > limit && (fresh > 0 || with > 1) {
                return Some((Reason::Limit(type_rule.kind.clone()), Box::new(involved)));
            }
        }
        let known_people = |block: &usize| self.blocks[*block].is_known(self.resolver);
        if known.origin.client && found.iter().filter(|block| known_people(block)).count() > 1 {
            let involved = |this: &Self, link: &Link<'a>| {
                link.block.is_some_and(|block| this.blocks[block].is_known(this.resolver))
            };
            return Some((Reason::Client, Box::new(involved)));
        }
        None
    }
}

impl Block {
    fn count(&mut self, rule: usize, more: u32) {
        match self.counts.iter_mut().find(|(known, _)| *known == rule) {
            Some((_, count)) => *count += more,
            None => self.counts.push((rule, more)),
        }
    }

    fn counted(&self, rule: usize) -> usize {
        self.counts.iter().find(|(known, _)| *known == rule).map_or(0, |(_, count)| *count as usize)
    }

    /// Whether it has an identifier of a unique type.
    fn is_known(&self, resolver: &Resolver) -> bool {
        self.counts.iter().any(|(rule, count)| *count > 0 && resolver.rules.types[*rule].unique)
    }
}

/// A `must_not_link` of which both sides are there.
fn broken(marks: &[&[Mark]]) -> Option<u32> {
    let mut all: Vec<Mark> = marks.iter().flat_map(|marks| marks.iter().copied()).collect();
    all.sort_unstable();
    all.dedup();
    all.windows(2).find(|pair| pair[0].constraint == pair[1].constraint).map(|pair| pair[0].constraint)
}
