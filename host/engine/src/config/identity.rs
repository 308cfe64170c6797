//! What decides about identity beside the events: rules and constraints.

use std::collections::BTreeMap;

use cdp_domain::identity::{Constraint, Constraints, Force, Resolver, Rules, Subject};
use cdp_domain::ids::Position;
use cdp_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::Change;

/// A constraint on identity, with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constrained {
    /// Its number; never reused.
    pub id: u32,
    /// What is asked for.
    pub force: Force,
    /// One of the two.
    pub a: Subject,
    /// The other.
    pub b: Subject,
    /// Why, for people.
    pub reason: String,
    /// When it was made.
    pub at: Timestamp,
}

impl Constrained {
    /// Without what is for people.
    #[must_use]
    pub fn constraint(&self) -> Constraint {
        Constraint { id: self.id, force: self.force, a: self.a.clone(), b: self.b.clone() }
    }
}

/// What decides about identity beside the events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Identity {
    /// The rules.
    pub rules: Rules,
    /// By number.
    pub constraints: BTreeMap<u32, Constrained>,
    /// The number of the next constraint.
    pub next_constraint: u32,
    /// Grows with every change of rules or constraints.
    pub revision: u32,
    /// Rules that changed a normaliser, each with the place of the journal from which on events are read by it; at most
    /// [`NORMALISER_CHANGES_MAX`].
    pub readings: Vec<(Position, Rules)>,
}

/// How often a tenant may change a normaliser: every such change is remembered, to read the events before it as they
/// were read then.
pub const NORMALISER_CHANGES_MAX: usize = 100;

impl Identity {
    /// Ready to decide, with the usual bound on linked fragments or another.
    #[must_use]
    pub fn resolver(&self, linked_max: Option<usize>) -> Resolver {
        let constraints: Vec<_> = self.constraints.values().map(Constrained::constraint).collect();
        let resolver = Resolver::new(self.rules.clone(), Constraints::new(&constraints));
        match linked_max {
            Some(max) => resolver.linked_max(max),
            None => resolver,
        }
    }

    /// Whether other rules read an identifier of some type otherwise.
    #[must_use]
    pub fn reads_otherwise(&self, rules: &Rules) -> bool {
        let kinds = self.rules.types.iter().chain(&rules.types).map(|rule| rule.kind.as_str());
        kinds.into_iter().any(|kind| self.rules.normaliser(kind) != rules.normaliser(kind))
    }

    pub(super) fn apply(&mut self, change: Change, position: Position) {
        self.revision += 1;
        match change {
            Change::RulesPut { mut rules } => {
                rules.version = self.rules.version + 1;
                if self.reads_otherwise(&rules) {
                    self.readings.push((position, rules.clone()));
                }
                self.rules = rules;
            }
            Change::ConstraintPut { constraint } => {
                self.next_constraint = self.next_constraint.max(constraint.id + 1);
                self.constraints.insert(constraint.id, constraint);
            }
            Change::ConstraintDeleted { constraint } => {
                self.constraints.remove(&constraint.id);
            }
            _ => {}
        }
    }
}
