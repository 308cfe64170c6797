//! Placing anew what hangs together: a closure at a time, each as large as may hang together and no larger.

use std::collections::{HashMap, HashSet, VecDeque};

use cdp_domain::identifier::Identifier;
use cdp_domain::identity::{Candidate, Level, Placed, Standing, Subject};
use cdp_domain::ids::FragmentId;

use super::ground::{Found, Ground};
use crate::error::{Refused, Result};

/// Fragments that are to be placed together, with everything that hangs together with them.
pub(crate) struct Settled {
    pub(crate) level: Level,
    pub(crate) placed: Vec<Placed>,
}

/// A fragment to begin with. What hangs together with it is placed anew.
#[derive(Clone, Copy)]
pub(crate) struct Seed {
    pub(crate) id: FragmentId,
    /// It is known not to be above this level.
    pub(crate) at_most: Level,
    /// Levels that are stored say nothing: they may have to rise.
    pub(crate) afresh: bool,
}

impl Seed {
    /// Everything about it is to be found out anew.
    pub(crate) fn afresh(id: FragmentId) -> Self {
        Self { id, at_most: Level::Full, afresh: true }
    }
}

impl Ground<'_> {
    /// Lets no stored level count: the rules that everything was placed by are others now. What was decided on earlier
    /// grounds of the same change counts.
    pub(crate) fn all_afresh(self, decided: HashMap<FragmentId, Level>) -> Self {
        self.all_afresh.set(true);
        *self.decided.borrow_mut() = decided;
        self
    }

    /// What was decided, to go on with.
    pub(crate) fn into_decided(self) -> HashMap<FragmentId, Level> {
        self.decided.into_inner()
    }

    /// The level of a fragment as far as it is known.
    fn level(&self, found: &Found) -> Level {
        if let Some(level) = self.decided.borrow().get(&found.known.id) {
            return *level;
        }
        if self.all_afresh.get() { Level::Full } else { found.level }
    }

    /// Everything that hangs together with a fragment at a level, itself included. `enter` says whether to go on into a
    /// fragment, or to give up: then, and when there are more than `max`, None comes back.
    fn reach(
        &self,
        from: FragmentId,
        level: Level,
        max: usize,
        enter: impl Fn(&Found) -> Option<bool>,
    ) -> Result<Option<Vec<FragmentId>>> {
        let mut seen = HashSet::from([from]);
        let mut order = vec![from];
        let mut asked: HashSet<Identifier> = HashSet::new();
        let mut next = 0;
        let mut gave_up = false;
        while next < order.len() && !gave_up && order.len() <= max {
            let found = self.found(order[next])?;
            next += 1;
            let mut come = |id: FragmentId| -> Result<bool> {
                if seen.contains(&id) {
                    return Ok(false);
                }
                match enter(&*self.found(id)?) {
                    None => gave_up = true,
                    Some(true) => {
                        seen.insert(id);
                        order.push(id);
                    }
                    // All that carry one identifier are on one side: they hung together before.
                    Some(false) => return Ok(true),
                }
                Ok(gave_up || order.len() > max)
            };
            let mut identifiers: Vec<Identifier> = Vec::new();
            for identifier in &found.known.identifiers {
                if level.lets(self.resolver.strong(identifier)) && self.may_link(identifier)? {
                    identifiers.push(identifier.clone());
                }
            }
            if level > Level::Nothing && !self.resolver.constraints.is_empty() {
                let own = std::iter::once(Subject::Fragment(found.known.id))
                    .chain(found.known.identifiers.iter().cloned().map(Subject::Identifier));
                for subject in own {
                    for subject in self.resolver.constraints.connected(&subject) {
                        match subject {
                            Subject::Identifier(identifier) => identifiers.push(identifier.clone()),
                            Subject::Fragment(id) if self.look.fragment(*id)?.is_some() => {
                                come(*id)?;
                            }
                            Subject::Fragment(_) => {}
                        }
                    }
                }
            }
            for identifier in identifiers {
                if asked.insert(identifier.clone()) {
                    self.carriers(&identifier, &mut come)?;
                }
            }
        }
        Ok((!gave_up && order.len() <= max).then_some(order))
    }

    /// Everything that hangs together with a fragment at a level; None when that is more than may.
    pub(crate) fn closure(
        &self,
        from: FragmentId,
        level: Level,
        afresh: bool,
    ) -> Result<Option<Vec<FragmentId>>> {
        if level == Level::Nothing {
            return Ok(Some(vec![from]));
        }
        self.reach(from, level, self.resolver.fragments_max(), |found| {
            // What is below hangs together with more than may: then so does this.
            let known = self.decided.borrow().get(&found.known.id).copied();
            let stored = if afresh || self.all_afresh.get() { None } else { Some(found.level) };
            (known.or(stored).unwrap_or(Level::Full) >= level).then_some(true)
        })
    }

    /// Places the seeds and what hangs together with them. Where too many do, those that were placed at a higher level
    /// before become seeds too. `overgrown` are the seeds where too many were found, not merely met.
    pub(crate) fn settle(&self, seeds: Vec<Seed>) -> Result<(Vec<Settled>, Vec<FragmentId>)> {
        let mut seeds: VecDeque<Seed> = seeds.into();
        let mut done: HashSet<FragmentId> = HashSet::new();
        let (mut settled, mut overgrown) = (Vec::new(), Vec::new());
        while let Some(seed) = seeds.pop_front() {
            if done.contains(&seed.id) {
                continue;
            }
            let mut level = seed.at_most;
            let closure = loop {
                match self.closure(seed.id, level, seed.afresh)? {
                    Some(closure) => break closure,
                    None => {
                        let lower = if level == Level::Full { Level::Strong } else { Level::Nothing };
                        let all =
                            self.reach(seed.id, level, usize::MAX, |found| Some(self.level(found) >= level))?;
                        let all = all.ok_or_else(|| Refused::internal("what hangs together has no end"))?;
                        if all.len() > self.resolver.fragments_max() {
                            overgrown.push(seed.id);
                        }
                        for id in all {
                            self.decided.borrow_mut().insert(id, lower);
                            if id != seed.id {
                                seeds.push_back(Seed { id, at_most: lower, afresh: false });
                            }
                        }
                        level = lower;
                    }
                }
            };
            for id in &closure {
                done.insert(*id);
                self.decided.borrow_mut().insert(*id, level);
                if seed.afresh {
                    // Whoever was with one of them may be left behind.
                    let with = self.profile_of(*id)?.into_iter().filter(|other| !done.contains(other));
                    seeds.extend(with.map(Seed::afresh));
                }
            }
            settled.push(Settled { level, placed: self.place(&closure, level)? });
        }
        Ok((settled, overgrown))
    }

    /// The fragments of the profile that a fragment belongs to as rows stand.
    fn profile_of(&self, id: FragmentId) -> Result<Vec<FragmentId>> {
        let profile = self.found(id)?.profile;
        let root = self.look.fragment(profile)?;
        let head = root.as_ref().and_then(|root| root.head.as_ref());
        let others = head.map(|head| head.others.iter().copied());
        Ok(std::iter::once(profile).chain(others.into_iter().flatten()).collect())
    }

    /// The identifiers that were found to be shared, with their digests; sorted.
    pub(crate) fn seen_shared(&self) -> Vec<([u8; 16], Identifier)> {
        let shared = self.shared.borrow();
        let shared = shared.iter().filter(|(_, shared)| **shared);
        let mut all: Vec<_> = shared.map(|(one, _)| (self.digest(one), one.clone())).collect();
        all.sort_unstable_by_key(|(digest, _)| *digest);
        all
    }

    /// Places a closure.
    pub(crate) fn place(&self, closure: &[FragmentId], level: Level) -> Result<Vec<Placed>> {
        self.with_candidates(closure, level, |candidates| self.resolver.place(candidates))
    }

    /// Does something with a closure's fragments and which of their identifiers link.
    pub(crate) fn with_candidates<T>(
        &self,
        closure: &[FragmentId],
        level: Level,
        then: impl FnOnce(&[Candidate<'_>]) -> T,
    ) -> Result<T> {
        let found: Vec<_> = closure.iter().map(|id| self.found(*id)).collect::<Result<_>>()?;
        let mut candidates = Vec::with_capacity(found.len());
        for found in &found {
            let mut links = 0;
            for (n, identifier) in found.known.identifiers.iter().enumerate() {
                if self.standing(identifier, level)? == Standing::Links {
                    links |= 1 << n;
                }
            }
            candidates.push(Candidate { known: &found.known, links, constrained: level > Level::Nothing });
        }
        Ok(then(&candidates))
    }
}
