//! Identity: which fragments are one person. A pure function of the fragments, their first-seen order and the rules.
//!
//! Fragments are taken in canonical order. Each looks up the blocks that its identifiers belong to: none makes a new
//! block, one takes it in, several are merged if the rules allow the union; else the fragment's identifier of lowest
//! priority is set aside and it tries again. So the same fragments give the same people, however they arrived.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::identifier::{Identifier, Normaliser};
use crate::ids::FragmentId;
use crate::stamp::Stamp;

/// What a tenant says about one identifier type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeRule {
    /// The type.
    #[serde(rename = "type")]
    pub kind: CompactString,
    /// 1 is the highest. A type in no rule has the lowest.
    pub priority: u32,
    /// Whether two values may never be in one profile.
    pub unique: bool,
    /// How many values one profile may have.
    pub limit: Option<u32>,
    /// How values become comparable.
    pub normaliser: Normaliser,
}

/// A tenant's rules of identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Rules {
    /// Grows with every change.
    pub version: u32,
    /// The types that something is said about.
    pub types: Vec<TypeRule>,
}

impl Rules {
    /// How values of this type become comparable.
    #[must_use]
    pub fn normaliser(&self, kind: &str) -> Normaliser {
        self.rule(kind).map_or_else(|| Normaliser::usual_for(kind), |rule| rule.normaliser)
    }

    fn rule(&self, kind: &str) -> Option<&TypeRule> {
        self.types.iter().find(|rule| rule.kind == kind)
    }

    /// Higher numbers are set aside first.
    fn priority(&self, kind: &str) -> u32 {
        self.rule(kind).map_or(u32::MAX, |rule| rule.priority)
    }

    /// Whether any union of people is acceptable: then a new fragment can never split or refuse a block,
    /// and one step on the known result is always exact.
    #[must_use]
    pub fn unlimited(&self) -> bool {
        self.types.iter().all(|rule| !rule.unique && rule.limit.is_none())
    }

    /// The first type of which `identifiers` hold more values than one profile may.
    fn violated(&self, identifiers: &BTreeMap<&Identifier, usize>) -> Option<&TypeRule> {
        self.types.iter().find(|rule| {
            let values = identifiers.keys().filter(|identifier| identifier.kind == rule.kind).count();
            values > if rule.unique { 1 } else { rule.limit.map_or(usize::MAX, |limit| limit as usize) }
        })
    }
}

/// A fragment as identity resolution sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its id.
    pub id: FragmentId,
    /// The canonical first event that had exactly these identifiers.
    pub first: Stamp,
    /// Sorted, each once.
    pub identifiers: Vec<Identifier>,
}

/// Why a fragment is where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// Nothing known had its identifiers.
    Created,
    /// Exactly one block did.
    Attached,
    /// Several did, and became one.
    Merged,
}

/// The outcome for one fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The fragment.
    pub id: FragmentId,
    /// The earliest fragment of its block: the profile's id.
    pub profile: FragmentId,
    /// How it came there.
    pub decision: Decision,
    /// Identifiers that were not allowed to link, lowest priority first.
    pub set_aside: Vec<Identifier>,
}

/// Partitions fragments into people. The answer is in canonical order and does not depend on the order given.
#[must_use]
pub fn resolve(rules: &Rules, fragments: &[Known]) -> Vec<Placed> {
    let mut order: Vec<&Known> = fragments.iter().collect();
    order.sort_by(|a, b| a.first.cmp(&b.first).then_with(|| a.id.cmp(&b.id)));
    let mut blocks = Blocks { rules, of: BTreeMap::new(), members: Vec::new(), identifiers: Vec::new() };
    let decisions: Vec<_> = order.iter().enumerate().map(|(n, fragment)| blocks.place(n, fragment)).collect();
    let mut profile_of = vec![0; order.len()];
    for members in &blocks.members {
        let earliest = members.iter().min().copied();
        members.iter().for_each(|&n| profile_of[n] = earliest.expect("it has this member"));
    }
    order
        .iter()
        .zip(decisions)
        .zip(profile_of)
        .map(|((fragment, (decision, set_aside)), profile)| Placed {
            id: fragment.id,
            profile: order[profile].id,
            decision,
            set_aside,
        })
        .collect()
}

struct Blocks<'a> {
    rules: &'a Rules,
    of: BTreeMap<&'a Identifier, usize>,
    members: Vec<Vec<usize>>,
    identifiers: Vec<BTreeMap<&'a Identifier, usize>>,
}

impl<'a> Blocks<'a> {
    fn place(&mut self, n: usize, fragment: &'a Known) -> (Decision, Vec<Identifier>) {
        let mut linking: Vec<&Identifier> = fragment.identifiers.iter().collect();
        // Highest priority first, so that the last is what is set aside.
        linking.sort_by_key(|identifier| (self.rules.priority(&identifier.kind), *identifier));
        let mut set_aside = Vec::new();
        loop {
            let mut found: Vec<usize> = linking.iter().filter_map(|i| self.of.get(*i).copied()).collect();
            found.sort_unstable();
            found.dedup();
            let union = found
                .iter()
                .flat_map(|&block| self.identifiers[block].keys().copied())
                .chain(linking.iter().copied())
                .map(|identifier| (identifier, 0))
                .collect();
            if linking.len() > 1 && self.rules.violated(&union).is_some() {
                set_aside.extend(linking.pop().cloned());
                continue;
            }
            let home = found.first().copied().unwrap_or_else(|| {
                self.members.push(Vec::new());
                self.identifiers.push(BTreeMap::new());
                self.members.len() - 1
            });
            for &other in found.iter().skip(1) {
                let moved = std::mem::take(&mut self.members[other]);
                self.members[home].extend(moved);
                let moved = std::mem::take(&mut self.identifiers[other]);
                moved.keys().for_each(|identifier| {
                    self.of.insert(identifier, home);
                });
                self.identifiers[home].extend(moved);
            }
            self.members[home].push(n);
            for identifier in linking {
                self.of.insert(identifier, home);
                self.identifiers[home].insert(identifier, 0);
            }
            let decision = match found.len() {
                0 => Decision::Created,
                1 => Decision::Attached,
                _ => Decision::Merged,
            };
            return (decision, set_aside);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;
    use proptest::prelude::*;

    fn known(n: usize, time: i64, identifiers: &[(u8, u8)]) -> Known {
        let kinds = ["user_id", "email", "device"];
        let mut identifiers: Vec<_> = identifiers
            .iter()
            .map(|&(kind, value)| Identifier {
                kind: kinds[kind as usize % 3].into(),
                value: value.to_string().into(),
            })
            .collect();
        identifiers.sort();
        identifiers.dedup();
        let mut id = [0; 16];
        id[15] = n as u8;
        Known {
            id: FragmentId(id),
            first: Stamp::new(Timestamp(time), "s".into(), n.to_string().into()),
            identifiers,
        }
    }

    /// Plain connected components, written the slow way.
    fn naive_components(fragments: &[Known]) -> Vec<(FragmentId, FragmentId)> {
        let mut label: Vec<usize> = (0..fragments.len()).collect();
        loop {
            let mut changed = false;
            for a in 0..fragments.len() {
                for b in 0..fragments.len() {
                    let share = fragments[a].identifiers.iter().any(|i| fragments[b].identifiers.contains(i));
                    let earlier = |x: usize| (&fragments[x].first, fragments[x].id);
                    if share && earlier(label[b]) < earlier(label[a]) {
                        label[a] = label[b];
                        changed = true;
                    }
                }
            }
            if !changed {
                break;
            }
        }
        let mut out: Vec<_> = fragments.iter().zip(label).map(|(f, l)| (f.id, fragments[l].id)).collect();
        out.sort();
        out
    }

    proptest! {
        #[test]
        fn without_limits_people_are_connected_components_in_any_order(
            items in proptest::collection::vec((0_i64..5, proptest::collection::vec((0_u8..3, 0_u8..5), 1..3)), 1..12),
            turn in any::<prop::sample::Index>(),
        ) {
            let fragments: Vec<_> = items.iter().enumerate().map(|(n, (time, ids))| known(n, *time, ids)).collect();
            let mut turned = fragments.clone();
            let n = turned.len();
            turned.rotate_left(turn.index(n));
            let mut got: Vec<_> = resolve(&Rules::default(), &turned).iter().map(|p| (p.id, p.profile)).collect();
            got.sort();
            prop_assert_eq!(got, naive_components(&fragments));
        }

        #[test]
        fn a_unique_type_never_has_two_values_in_one_profile(
            items in proptest::collection::vec((0_i64..5, proptest::collection::vec((1_u8..3, 0_u8..4), 1..3), 0_u8..4), 1..12),
        ) {
            let unique = TypeRule { kind: "user_id".into(), priority: 1, unique: true, limit: None, normaliser: Normaliser::Opaque };
            let rules = Rules { version: 1, types: vec![unique] };
            let fragments: Vec<_> = items.iter().enumerate().map(|(n, (time, ids, user))| {
                let mut ids = ids.clone();
                ids.push((0, *user));
                known(n, *time, &ids)
            }).collect();
            let mut users: BTreeMap<FragmentId, Vec<CompactString>> = BTreeMap::new();
            for placed in resolve(&rules, &fragments) {
                let fragment = fragments.iter().find(|f| f.id == placed.id).unwrap();
                let user = fragment.identifiers.iter().find(|i| i.kind == "user_id").unwrap();
                users.entry(placed.profile).or_default().push(user.value.clone());
            }
            for values in users.values_mut() {
                values.sort();
                values.dedup();
                prop_assert_eq!(values.len(), 1);
            }
        }
    }
}
