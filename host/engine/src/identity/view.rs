//! A profile's identity: its fragments, what each of their identifiers does, and why each is where it is.
//!
//! Decisions are worked out anew when they are asked for, from the fragments that hang together: so they are what the
//! rules in force say about the events that are known, and not what was thought once.

use std::collections::HashMap;

use cdp_domain::identifier::Identifier;
use cdp_domain::identity::{Decision, Level, Origin, Placed, Reason, Standing};
use cdp_domain::ids::{FragmentId, Position};
use cdp_domain::stamp::Stamp;
use cdp_domain::time::Timestamp;

use super::ground::Ground;
use crate::error::{Refused, Result};
use crate::rows::Look;
use crate::tenant::Tenant;

/// A profile's identity.
#[derive(Debug, Clone)]
pub struct IdentityView {
    /// The profile.
    pub profile: FragmentId,
    /// The version of the rules that decided.
    pub rules_version: u32,
    /// In canonical order; the first gives the profile its id.
    pub fragments: Vec<FragmentView>,
    /// The numbers of the constraints that had a say.
    pub constraints: Vec<u32>,
    /// The last record of the journal that this includes.
    pub position: Position,
}

/// A fragment, and how it came where it is.
#[derive(Debug, Clone)]
pub struct FragmentView {
    /// Its id; it leads to the profile for ever.
    pub id: FragmentId,
    /// The first event in canonical order.
    pub first: Stamp,
    /// The time of its last event.
    pub last_seen: Timestamp,
    /// How many events it has.
    pub events: u64,
    /// What its events say beside identifiers.
    pub origin: Origin,
    /// What became of it when its turn came.
    pub decision: Decision,
    /// The profiles that it found then, by the ids they had then.
    pub found: Vec<FragmentId>,
    /// Its identifiers and what they do.
    pub identifiers: Vec<IdentifierView>,
}

/// What an identifier does on a fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentifierView {
    /// The identifier.
    pub identifier: Identifier,
    /// What it does.
    pub standing: Standing,
    /// Why it was set aside, if it was.
    pub set_aside: Option<Reason>,
}

/// What hangs together with a fragment, placed.
pub(super) struct Whole {
    pub(super) level: Level,
    pub(super) closure: Vec<FragmentId>,
    pub(super) placed: HashMap<FragmentId, Placed>,
}

/// Other rules are in force than a profile was placed by: it will be in a moment.
fn being_placed() -> Refused {
    Refused::Unavailable("profiles are being placed by other rules; try again".to_owned())
}

impl Ground<'_> {
    /// Places what hangs together with a fragment, as it is placed now.
    pub(super) fn whole(&self, id: FragmentId) -> Result<Whole> {
        let level = self.found(id)?.level;
        let closure = self.closure(id, level, true)?;
        let closure = closure.ok_or_else(being_placed)?;
        let placed = self.place(&closure, level)?.into_iter().map(|placed| (placed.id, placed)).collect();
        Ok(Whole { level, closure, placed })
    }
}

impl Tenant {
    /// The identity of the profile that a fragment belongs to.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn identity(&self, id: FragmentId) -> Result<IdentityView> {
        let view = self.core.rows.read();
        let members = view.profile(id)?;
        let (profile, _) = *members.first().ok_or(Refused::NotFound("profile"))?;
        let resolver = self.core.resolver.read().clone();
        let revision = view.inner.config.identity.revision;
        let ground = Ground::new(&view, &self.core.digests, &resolver, Some(revision));
        let whole = ground.whole(profile)?;
        let mut fragments = Vec::with_capacity(members.len());
        let mut constraints = Vec::new();
        for (id, fragment) in &members {
            let placed = whole.placed.get(id);
            let placed = placed.ok_or_else(being_placed)?;
            let mut identifiers = Vec::with_capacity(fragment.identifiers.len());
            for (n, identifier) in fragment.identifiers.iter().enumerate() {
                let aside = placed.set_aside.iter().find(|(at, _)| usize::from(*at) == n);
                let set_aside = aside.map(|(_, reason)| reason.clone());
                if let Some(Reason::Constraint(id)) = &set_aside {
                    constraints.push(*id);
                }
                let standing = ground.standing(identifier, whole.level)?;
                identifiers.push(IdentifierView { identifier: identifier.clone(), standing, set_aside });
            }
            fragments.push(FragmentView {
                id: *id,
                first: fragment.first.clone(),
                last_seen: fragment.last_seen(),
                events: fragment.events,
                origin: fragment.origin,
                decision: placed.decision,
                found: placed.found.clone(),
                identifiers,
            });
        }
        fragments.sort_by(|a, b| (&a.first, a.id).cmp(&(&b.first, b.id)));
        constraints.sort_unstable();
        constraints.dedup();
        Ok(IdentityView {
            profile,
            rules_version: resolver.rules.version,
            fragments,
            constraints,
            position: view.inner.summary.last,
        })
    }
}
