//! What an operator knows better than any rule: these two are one person, or never are.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::identifier::Identifier;
use crate::ids::FragmentId;

/// What a constraint speaks of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// Whoever an identifier links to.
    Identifier(Identifier),
    /// Whoever a fragment belongs to.
    Fragment(FragmentId),
}

/// What a constraint asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Force {
    /// The two are never in one profile.
    MustNotLink,
    /// The two are in one profile, whatever rules say.
    MustLink,
}

/// A constraint. They are in force for all events, also for those before it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constraint {
    /// Its number within the tenant; never reused. Of two that contradict, the lower `must_link` counts, and any
    /// `must_not_link` outranks every `must_link`.
    pub id: u32,
    /// What is asked for.
    pub force: Force,
    /// One of the two.
    pub a: Subject,
    /// The other.
    pub b: Subject,
}

/// A side of a `must_not_link`: whoever has one may not get the other of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    pub(super) constraint: u32,
    pub(super) second: bool,
}

pub(super) type Marks = SmallVec<[Mark; 2]>;

/// Two subjects of a `must_link`.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) constraint: u32,
    pub(super) a: Subject,
    pub(super) b: Subject,
}

/// All constraints of a tenant, ready to be asked.
#[derive(Debug, Clone, Default)]
pub struct Constraints {
    marks: HashMap<Subject, Marks>,
    /// Subjects that `must_link`s connect, directly or through others.
    group_of: HashMap<Subject, usize>,
    /// By group: its pairs, in the order of their constraints.
    groups: Vec<Vec<Pair>>,
}

impl Constraints {
    /// Makes them ready. The order given does not matter.
    #[must_use]
    pub fn new<'a>(all: impl IntoIterator<Item = &'a Constraint>) -> Self {
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_by_key(|constraint| constraint.id);
        let mut out = Self::default();
        for constraint in all {
            let (a, b) = (&constraint.a, &constraint.b);
            if constraint.force == Force::MustNotLink {
                for (subject, second) in [(a, false), (b, true)] {
                    let marks = out.marks.entry(subject.clone()).or_default();
                    marks.push(Mark { constraint: constraint.id, second });
                }
                continue;
            }
            let group = match (out.group_of.get(a).copied(), out.group_of.get(b).copied()) {
                (Some(one), Some(other)) if one != other => {
                    let moved = std::mem::take(&mut out.groups[other]);
                    for subject in moved.iter().flat_map(|pair| [&pair.a, &pair.b]) {
                        out.group_of.insert(subject.clone(), one);
                    }
                    out.groups[one].extend(moved);
                    out.groups[one].sort_by_key(|pair| pair.constraint);
                    one
                }
                (Some(group), _) | (None, Some(group)) => group,
                (None, None) => {
                    out.groups.push(Vec::new());
                    out.groups.len() - 1
                }
            };
            out.groups[group].push(Pair { constraint: constraint.id, a: a.clone(), b: b.clone() });
            for subject in [a, b] {
                out.group_of.insert(subject.clone(), group);
            }
        }
        out
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty() && self.groups.is_empty()
    }

    pub(super) fn marks(&self, subject: &Subject) -> &[Mark] {
        if self.marks.is_empty() {
            return &[];
        }
        self.marks.get(subject).map_or(&[], |marks| marks.as_slice())
    }

    /// Whether a `must_link` names this identifier: then it links whatever else is said of it.
    #[must_use]
    pub fn forces(&self, identifier: &Identifier) -> bool {
        !self.groups.is_empty() && self.group(&Subject::Identifier(identifier.clone())).is_some()
    }

    /// Whether any constraint names this subject.
    #[must_use]
    pub fn concern(&self, subject: &Subject) -> bool {
        self.marks.contains_key(subject) || self.group_of.contains_key(subject)
    }

    pub(super) fn group(&self, subject: &Subject) -> Option<usize> {
        self.group_of.get(subject).copied()
    }

    /// The pairs of a group.
    pub(super) fn pairs(&self, group: usize) -> &[Pair] {
        &self.groups[group]
    }

    /// Everything that `must_link`s connect with `subject`, itself included; empty when they name it nowhere.
    #[must_use]
    pub fn connected(&self, subject: &Subject) -> Vec<&Subject> {
        if self.groups.is_empty() {
            return Vec::new();
        }
        let pairs = self.group(subject).map_or(&[][..], |group| self.pairs(group));
        let mut all: Vec<_> = pairs.iter().flat_map(|pair| [&pair.a, &pair.b]).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}
