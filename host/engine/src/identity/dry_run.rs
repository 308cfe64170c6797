//! What other rules would do, worked out as applying them would be, without doing it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cdp_domain::identity::Rules;
use cdp_domain::ids::{FragmentId, Ordinal, Position};

use super::ground::Ground;
use super::settle::Seed;
use crate::error::{Refused, Result};
use crate::rows::Look;
use crate::tenant::Core;

/// Fragments looked at under one lock, about.
const FRAGMENTS_AT_ONCE: usize = 256;

/// What other rules would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryRun {
    /// Profiles that would take others in, sorted: what is now several, and is one then.
    pub merges: Vec<Move>,
    /// Profiles that would fall apart, sorted: what is one now, and several then.
    pub splits: Vec<Move>,
    /// How many profiles there are now.
    pub profiles_before: u64,
    /// How many there would be.
    pub profiles_after: u64,
    /// Whether events would be read otherwise from then on: a normaliser differs. Events accepted before stay as read.
    pub reads_otherwise: bool,
    /// The last record of the journal that this includes.
    pub position: Position,
}

/// A profile and those that it takes in or falls into.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Move {
    /// For a merge the profile there would be, for a split the one there is.
    pub profile: FragmentId,
    /// For a merge the profiles there are, for a split those there would be; sorted, at least two.
    pub parts: Vec<FragmentId>,
}

/// Works it out, on the writer's thread, so that nothing changes meanwhile.
pub(super) fn run(core: &Core, rules: Rules) -> Result<DryRun> {
    let (identity, end, position, profiles_before) = {
        let view = core.rows.read();
        let summary = &view.inner.summary;
        (view.inner.config.identity.clone(), summary.next_ordinal, summary.last, summary.profiles)
    };
    let reads_otherwise = identity.reads_otherwise(&rules);
    let resolver = crate::config::Identity { rules, ..identity }.resolver(core.linked_fragments_max);
    let (mut from, mut decided) = (0, HashMap::new());
    let mut merges: BTreeMap<FragmentId, BTreeSet<FragmentId>> = BTreeMap::new();
    let mut splits: BTreeMap<FragmentId, BTreeSet<FragmentId>> = BTreeMap::new();
    let mut profiles_after = 0;
    while from < end {
        let view = core.rows.read();
        let mut seeds = Vec::new();
        while from < end && seeds.len() < FRAGMENTS_AT_ONCE {
            if let Some(root) = view.root(Ordinal(from))? {
                let members = view.profile(root)?.into_iter().map(|(id, _)| id);
                let left = members.filter(|id| !decided.contains_key(id));
                seeds.extend(left.map(Seed::afresh));
            }
            from += 1;
        }
        let ground =
            Ground::new(&view, &core.digests, &resolver, None).all_afresh(std::mem::take(&mut decided));
        let (settled, _) = ground.settle(seeds)?;
        for placed in settled.iter().flat_map(|settled| &settled.placed) {
            let before = ground.found(placed.id)?.profile;
            merges.entry(placed.profile).or_default().insert(before);
            splits.entry(before).or_default().insert(placed.profile);
            profiles_after += u64::from(placed.id == placed.profile);
        }
        decided = ground.into_decided();
    }
    let several = |all: BTreeMap<FragmentId, BTreeSet<FragmentId>>| {
        let several = all.into_iter().filter(|(_, parts)| parts.len() > 1);
        several.map(|(profile, parts)| Move { profile, parts: parts.into_iter().collect() }).collect()
    };
    if profiles_after == 0 && profiles_before > 0 {
        return Err(Refused::internal("a dry run found nobody"));
    }
    Ok(DryRun {
        merges: several(merges),
        splits: several(splits),
        profiles_before,
        profiles_after,
        reads_otherwise,
        position,
    })
}
