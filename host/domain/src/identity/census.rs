//! Which identifiers link: what is shared, and where too many fragments hang together.

use std::collections::HashMap;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::place::Candidate;
use super::{Known, Placed, Resolver, Subject};
use crate::identifier::Identifier;

/// What an identifier does on a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It links, unless it is set aside when the fragment is placed.
    Links,
    /// It names nobody.
    Blocked,
    /// Too many different people have it.
    Shared,
    /// Too many fragments hang together through it and others.
    Overgrown,
}

/// Which identifiers link on a fragment, as far as the number of fragments that hang together decides. Ordered: `Full`
/// lets the most link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// None.
    Nothing,
    /// Those of unique types, and those that a `must_link` names.
    Strong,
    /// All.
    Full,
}

impl Level {
    /// Whether an identifier links at this level.
    #[must_use]
    pub fn lets(self, strong: bool) -> bool {
        match self {
            Self::Nothing => false,
            Self::Strong => strong,
            Self::Full => true,
        }
    }
}

/// With how many different values of unique types an identifier was seen, until that settles that it is shared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Company {
    /// By unique type: the values, sorted. Empty when it is shared.
    seen: Vec<(CompactString, Vec<CompactString>)>,
    shared: bool,
}

impl Company {
    /// Takes in the identifiers of a fragment that has `of`. True when it is shared: more need not be looked at.
    pub fn see(&mut self, resolver: &Resolver, of: &Identifier, identifiers: &[Identifier]) -> bool {
        for other in identifiers {
            let counts =
                other.kind != of.kind && resolver.rules.unique(&other.kind) && !resolver.blocked(other);
            if self.shared || !counts {
                continue;
            }
            let at = self.seen.iter().position(|(kind, _)| *kind == other.kind).unwrap_or_else(|| {
                self.seen.push((other.kind.clone(), Vec::new()));
                self.seen.len() - 1
            });
            let values = &mut self.seen[at].1;
            if let Err(place) = values.binary_search(&other.value) {
                values.insert(place, other.value.clone());
            }
            if values.len() > resolver.rules.shared_after as usize {
                self.shared = true;
                self.seen.clear();
            }
        }
        self.shared
    }

    /// Whether it is shared, by what was seen so far.
    #[must_use]
    pub fn shared(&self) -> bool {
        self.shared
    }
}

impl Resolver {
    /// Whether an identifier can become shared: another type is unique, and no `must_link` names it.
    #[must_use]
    pub fn can_be_shared(&self, of: &Identifier) -> bool {
        let other = self.rules.types.iter().any(|rule| rule.unique && rule.kind != of.kind);
        other && !self.constraints.forces(of)
    }

    /// What every identifier of every fragment does, by fragment in the order given, when these are all there are.
    #[must_use]
    pub fn census(&self, fragments: &[Known]) -> Vec<(Level, Vec<Standing>)> {
        let mut carriers: HashMap<&Identifier, Vec<usize>> = HashMap::new();
        for (n, fragment) in fragments.iter().enumerate() {
            for identifier in &fragment.identifiers {
                carriers.entry(identifier).or_default().push(n);
            }
        }
        let judge = |identifier: &Identifier, carriers: &[usize]| {
            if self.blocked(identifier) {
                return Standing::Blocked;
            }
            let mut company = Company::default();
            let shared = self.can_be_shared(identifier)
                && carriers.iter().any(|n| company.see(self, identifier, &fragments[*n].identifiers));
            if shared { Standing::Shared } else { Standing::Links }
        };
        let standing: HashMap<_, _> = carriers
            .iter()
            .map(|(identifier, carriers)| (*identifier, judge(identifier, carriers)))
            .collect();
        let links = |identifier: &Identifier| standing[identifier] == Standing::Links;
        let full = self.sizes(fragments, &carriers, &links);
        let strong =
            self.sizes(fragments, &carriers, &|identifier| links(identifier) && self.strong(identifier));
        let level = |n: usize| match () {
            () if full[n] <= self.fragments_max() => Level::Full,
            () if strong[n] <= self.fragments_max() => Level::Strong,
            () => Level::Nothing,
        };
        let of = |(n, fragment): (usize, &Known)| {
            let level = level(n);
            let judge = |identifier: &Identifier| match standing[identifier] {
                Standing::Links if !level.lets(self.strong(identifier)) => Standing::Overgrown,
                standing => standing,
            };
            (level, fragment.identifiers.iter().map(judge).collect())
        };
        fragments.iter().enumerate().map(of).collect()
    }

    /// By fragment: how many hang together with it through identifiers that `links` says do, and through `must_link`s.
    fn sizes(
        &self,
        fragments: &[Known],
        carriers: &HashMap<&Identifier, Vec<usize>>,
        links: &dyn Fn(&Identifier) -> bool,
    ) -> Vec<usize> {
        let mut sets = Sets::new(fragments.len());
        for (_, carriers) in carriers.iter().filter(|(identifier, _)| links(identifier)) {
            carriers.windows(2).for_each(|pair| sets.join(pair[0], pair[1]));
        }
        let mut first_of_group: HashMap<usize, usize> = HashMap::new();
        for (n, fragment) in fragments.iter().enumerate() {
            let subjects = std::iter::once(Subject::Fragment(fragment.id))
                .chain(fragment.identifiers.iter().cloned().map(Subject::Identifier));
            for group in subjects.filter_map(|subject| self.constraints.group(&subject)) {
                sets.join(n, *first_of_group.entry(group).or_insert(n));
            }
        }
        (0..fragments.len()).map(|n| sets.size(n)).collect()
    }

    /// Partitions fragments into people, when these are all there are. The answer is in canonical order and does not
    /// depend on the order given.
    #[must_use]
    pub fn resolve(&self, fragments: &[Known]) -> Vec<Placed> {
        let census = self.census(fragments);
        let candidates: Vec<_> = fragments
            .iter()
            .zip(&census)
            .map(|(known, (level, standing))| {
                let mut links = 0;
                for (n, _) in
                    standing.iter().enumerate().filter(|(_, standing)| **standing == Standing::Links)
                {
                    links |= 1 << n;
                }
                Candidate { known, links, constrained: *level > Level::Nothing }
            })
            .collect();
        self.place(&candidates)
    }
}

/// Disjoint sets of numbers, joined small to large.
struct Sets {
    parent: Vec<usize>,
    sizes: Vec<usize>,
}

impl Sets {
    fn new(len: usize) -> Self {
        Self { parent: (0..len).collect(), sizes: vec![1; len] }
    }

    fn find(&mut self, mut n: usize) -> usize {
        while self.parent[n] != n {
            self.parent[n] = self.parent[self.parent[n]];
            n = self.parent[n];
        }
        n
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        if a == b {
            return;
        }
        let (small, large) = if self.sizes[a] < self.sizes[b] { (a, b) } else { (b, a) };
        self.parent[small] = large;
        self.sizes[large] += self.sizes[small];
    }

    fn size(&mut self, n: usize) -> usize {
        let root = self.find(n);
        self.sizes[root]
    }
}
