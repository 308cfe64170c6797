//! Identity: which fragments are one person. A pure function of the set of fragments, the rules and the constraints.
//!
//! Three questions, each answered from the **set** of fragments, so that no order of arrival can matter:
//!
//! 1. *Which identifiers link?* ([`Standing`]) A blocked value does not ([`blocked`]). A value that fragments show
//!    together with more than `shared_after` values of one unique type is shared, and does not. Where more than
//!    [`LINKED_FRAGMENTS_MAX`](crate::limits::LINKED_FRAGMENTS_MAX) fragments hang together, identifiers of types that
//!    are not unique do not, and if that is not enough, none does. What a `must_link` names always links.
//! 2. *In which order?* Canonical order of each fragment's first event.
//! 3. *Who is joined?* ([`Resolver::place`]) Each fragment in that order looks up the blocks that its linking
//!    identifiers belong to: none makes a new block, one takes it in, several are merged, if constraints and rules allow
//!    the union; else, of the fragment's identifiers that take part in the conflict, the one of lowest priority is set
//!    aside, and it tries again.
//!
//! Fragments that no linking identifier connects have nothing to do with each other, so a change needs only the fragments
//! connected with it to be placed again, and there are boundedly many of those.
//!
//! Borrowed ideas: set-aside by priority from Segment Unify, unique identifiers and the anonymous profile of a shared
//! value from Snowplow Identities, include and exclude edges that outrank rules from RudderStack Profiles.

pub mod blocked;
mod census;
mod constraint;
mod evidence;
mod place;
mod rules;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::identifier::Identifier;
use crate::ids::FragmentId;
use crate::limits::LINKED_FRAGMENTS_MAX;
use crate::stamp::Stamp;

pub use census::{Company, Level, Standing};
pub use constraint::{Constraint, Constraints, Force, Subject};
pub use evidence::{Step, path, separating};
pub use place::{Candidate, Decision, Placed, Reason};
pub use rules::{Rules, SHARED_AFTER_DEFAULT, TypeRule};

/// What an event says beside its identifiers that matters for identity. Part of what makes a fragment: the same
/// identifiers from elsewhere are another fragment, which their identifiers link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Origin {
    /// It says that all its values of one type are one person's (`alias`).
    pub alias: bool,
    /// It came with a key that anybody can read, as in a web page: it may not join people who are known already.
    pub client: bool,
}

impl Origin {
    /// The origin of an event of this type with these identifiers, sorted. Only where a type occurs twice is there
    /// anything to alias; so an alias to itself is nothing special.
    #[must_use]
    pub fn of(event_kind: &str, identifiers: &[Identifier], client: bool) -> Self {
        let twice = || identifiers.windows(2).any(|pair| pair[0].kind == pair[1].kind);
        Self { alias: event_kind == "alias" && twice(), client }
    }

    /// As a byte that no other origin has.
    #[must_use]
    pub fn byte(self) -> u8 {
        u8::from(self.alias) | u8::from(self.client) << 1
    }
}

/// A fragment as identity resolution sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its id.
    pub id: FragmentId,
    /// The canonical first event that had exactly these identifiers.
    pub first: Stamp,
    /// Sorted, each once; at most [`IDENTIFIERS_MAX`](crate::limits::IDENTIFIERS_MAX).
    pub identifiers: Vec<Identifier>,
    /// What else its events say.
    pub origin: Origin,
}

/// Everything that decides beside the fragments.
#[derive(Debug, Clone, Default)]
pub struct Resolver {
    /// The tenant's rules.
    pub rules: Rules,
    /// The tenant's constraints.
    pub constraints: Constraints,
    linked_max: Option<usize>,
}

impl Resolver {
    /// With these rules and constraints.
    #[must_use]
    pub fn new(rules: Rules, constraints: Constraints) -> Self {
        Self { rules, constraints, linked_max: None }
    }

    /// With another bound on linked fragments than [`LINKED_FRAGMENTS_MAX`], for tests.
    #[must_use]
    pub fn linked_max(mut self, max: usize) -> Self {
        self.linked_max = Some(max);
        self
    }

    /// How many fragments may be linked together.
    #[must_use]
    pub fn fragments_max(&self) -> usize {
        self.linked_max.unwrap_or(LINKED_FRAGMENTS_MAX)
    }

    /// Whether an identifier never links, whoever has it.
    #[must_use]
    pub fn blocked(&self, identifier: &Identifier) -> bool {
        self.rules.blocked(identifier) && !self.constraints.forces(identifier)
    }

    /// Whether an identifier links even where very many fragments hang together: its type is unique, or a `must_link`
    /// names it.
    #[must_use]
    pub fn strong(&self, identifier: &Identifier) -> bool {
        self.rules.unique(&identifier.kind) || self.constraints.forces(identifier)
    }
}

impl Resolver {
    /// Whether these identifiers may all be one person's whatever the order in which they were met, no alias and no
    /// operator helping: no type has more values than it may, and where a client had a say, at most one is of a unique type.
    #[must_use]
    pub fn plain(&self, identifiers: &std::collections::BTreeSet<Identifier>, client: bool) -> bool {
        let of = |kind: &str| identifiers.iter().filter(|identifier| identifier.kind == kind).count();
        let within = |rule: &TypeRule| {
            let most = if rule.unique { 1 } else { rule.limit.map_or(usize::MAX, |limit| limit as usize) };
            of(&rule.kind) <= most
        };
        let unique =
            || self.rules.types.iter().filter(|rule| rule.unique).map(|rule| of(&rule.kind)).sum::<usize>();
        self.rules.types.iter().all(within) && (!client || unique() <= 1)
    }
}
