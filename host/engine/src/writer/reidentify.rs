//! Placing everybody anew whom a change of rules or a constraint concerns.
//!
//! A constraint is in force when its record is applied, seen whole or not at all. After a change of rules every fragment
//! is placed anew, some hundred at a time, so that readers wait for none of it: each sees a profile as it was or as it
//! will be, never half of one. No generation is frozen meanwhile, so the store has all of it or nothing, and after a
//! crash the record is applied again from the beginning.

use std::collections::HashMap;

use cdp_domain::identity::{Level, Subject};
use cdp_domain::ids::{FragmentId, Ordinal};

use super::apply::Applier;
use super::run::Writer;
use crate::config::Change;
use crate::error::Result;
use crate::identity::ground::Ground;
use crate::identity::log::{About, Because};
use crate::identity::settle::Seed;
use crate::rows::Look;

/// Fragments placed anew under one lock, about: what a reader may have to wait for.
const FRAGMENTS_AT_ONCE: usize = 256;

impl Applier<'_> {
    /// After a change was taken into the configuration: lets it decide from here on, and brings whom a constraint
    /// concerns to it. Other rules concern everybody, which takes longer ([`Writer::identify_anew`]).
    pub(super) fn decide_otherwise(&mut self, change: &Change) -> Result<()> {
        let decides = match change {
            Change::RulesPut { .. } | Change::ConstraintPut { .. } | Change::ConstraintDeleted { .. } => true,
            Change::Erased { erasure } => !erasure.constraints.is_empty(),
            _ => false,
        };
        if !decides {
            return Ok(());
        }
        let identity = &self.hand.inner.config.identity;
        self.revision = identity.revision;
        self.resolver = self.core.decide_by(identity);
        match change {
            Change::ConstraintPut { constraint } => {
                self.constrained([&constraint.a, &constraint.b], Because::Constraint(constraint.id))
            }
            Change::ConstraintDeleted { constraint } => {
                self.constrained([&constraint.a, &constraint.b], Because::ConstraintRemoved(constraint.id))
            }
            _ => Ok(()),
        }
    }

    /// Places anew whoever a constraint between two subjects concerns, which was just made or removed.
    pub(super) fn constrained(&mut self, subjects: [&Subject; 2], because: Because) -> Result<()> {
        let ground = self.ground();
        let mut seeds = Vec::new();
        let mut all: Vec<Subject> = Vec::new();
        for subject in subjects {
            all.push(subject.clone());
            all.extend(ground.resolver.constraints.connected(subject).into_iter().cloned());
        }
        let mut add = |id| seeds.push(Seed::afresh(id));
        for subject in all {
            match subject {
                Subject::Fragment(id) if ground.look.fragment(id)?.is_some() => add(id),
                Subject::Fragment(_) => {}
                Subject::Identifier(identifier) => ground.carriers(&identifier, |id| {
                    add(id);
                    Ok(false)
                })?,
            }
        }
        let (settled, overgrown) = ground.settle(seeds)?;
        drop(ground);
        for fragment in overgrown {
            self.alert(fragment.0, About::Overgrown(fragment))?;
        }
        self.rearrange(&settled, because, None)
    }

    /// Places anew the profiles behind ordinals from `from` on, and what hangs together with them; where to go on comes
    /// back.
    fn reidentify(
        &mut self,
        mut from: u32,
        end: u32,
        decided: &mut HashMap<FragmentId, Level>,
        because: Because,
    ) -> Result<u32> {
        let mut seeds = Vec::new();
        while from < end && seeds.len() < FRAGMENTS_AT_ONCE {
            if let Some(root) = self.hand.root(Ordinal(from))? {
                let members = self.hand.profile(root)?.into_iter().map(|(id, _)| id);
                let left = members.filter(|id| !decided.contains_key(id));
                seeds.extend(left.map(Seed::afresh));
            }
            from += 1;
        }
        let resolver = self.resolver.clone();
        let ground = Ground::new(&self.hand, &self.core.digests, &resolver, Some(self.revision))
            .all_afresh(std::mem::take(decided));
        let (settled, overgrown) = ground.settle(seeds)?;
        let shared = ground.seen_shared();
        *decided = ground.into_decided();
        for (digest, identifier) in shared {
            self.alert(digest, About::Shared(identifier))?;
        }
        for fragment in overgrown {
            self.alert(fragment.0, About::Overgrown(fragment))?;
        }
        self.rearrange(&settled, because, None)?;
        Ok(from)
    }
}

impl Writer {
    /// After other rules were applied: brings all profiles to them.
    pub(super) fn identify_anew(&mut self) -> Result<()> {
        let plan = self.plan.clone();
        let (version, end) = {
            let view = self.core.rows.read();
            (view.inner.config.identity.rules.version, view.inner.summary.next_ordinal)
        };
        let (mut from, mut decided) = (0, HashMap::new());
        while from < end {
            let mut applier = Applier::new(&self.core, &plan);
            from = applier.reidentify(from, end, &mut decided, Because::Rules(version))?;
            applier.finish();
        }
        Ok(())
    }
}
