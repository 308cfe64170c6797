//! Resolution against a model that is written separately and simply, and the stories it was made for.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::time::Timestamp;

/// How many worlds are tried; `PROPTEST_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(4000)
}

const KINDS: [&str; 4] = ["user_id", "loyalty", "email", "device"];

fn identifier(kind: usize, value: u8) -> Identifier {
    let value = if value == 0 { "null".to_owned() } else { format!("v{value}") };
    Identifier { kind: KINDS[kind % 4].into(), value: value.into() }
}

fn known(n: usize, time: i64, mut identifiers: Vec<Identifier>, event: &str, client: bool) -> Known {
    identifiers.sort();
    identifiers.dedup();
    let mut id = [0; 16];
    id[15] = n as u8;
    id[14] = (n >> 8) as u8;
    let origin = Origin::of(event, &identifiers, client);
    let first = Stamp::new(Timestamp(time), "s".into(), format!("{n:05}").into());
    Known { id: FragmentId(id), first, identifiers, origin }
}

fn rule(kind: &str, priority: u32, unique: bool, limit: Option<u32>) -> TypeRule {
    let normaliser = crate::identifier::Normaliser::Opaque;
    TypeRule { kind: kind.into(), priority, unique, limit, normaliser, blocked: Vec::new() }
}

#[derive(Debug, Clone)]
struct World {
    resolver: Resolver,
    constraints: Vec<Constraint>,
    fragments: Vec<Known>,
}

fn world() -> impl Strategy<Value = World> {
    let fragment = (0_i64..6, prop::collection::vec((0_usize..4, 0_u8..5), 1..4), 0_u8..8);
    let subject = (any::<bool>(), 0_usize..4, 1_u8..5, 0_usize..12);
    let constraint = (any::<bool>(), subject.clone(), subject);
    let rules =
        (any::<bool>(), prop::option::of(1_u32..3), 1_u32..4, prop_oneof![Just(3_usize), Just(5), Just(100)]);
    (
        prop::collection::vec(fragment, 1..12),
        prop_oneof![Just(Vec::new()).boxed(), prop::collection::vec(constraint, 0..4).boxed()],
        rules,
    )
        .prop_map(|(fragments, constraints, (two_unique, limit, shared_after, linked_max))| {
            let fragments: Vec<_> = fragments
                .into_iter()
                .enumerate()
                .map(|(n, (time, identifiers, how))| {
                    let identifiers =
                        identifiers.into_iter().map(|(kind, value)| identifier(kind, value)).collect();
                    known(n, time, identifiers, if how % 4 == 0 { "alias" } else { "x" }, how > 5)
                })
                .collect();
            let subject = |(of_fragment, kind, value, n): (bool, usize, u8, usize)| match fragments.get(n) {
                Some(fragment) if of_fragment => Subject::Fragment(fragment.id),
                _ => Subject::Identifier(identifier(kind, value)),
            };
            let constraints: Vec<_> = constraints
                .into_iter()
                .enumerate()
                .map(|(id, (must, a, b))| Constraint {
                    id: id as u32,
                    force: if must { Force::MustLink } else { Force::MustNotLink },
                    a: subject(a),
                    b: subject(b),
                })
                .filter(|constraint| constraint.a != constraint.b)
                .collect();
            let rules = Rules {
                version: 1,
                types: vec![
                    rule("email", 2, false, limit),
                    rule("loyalty", 3, two_unique, None),
                    rule("user_id", 1, true, None),
                ],
                shared_after,
                block_usual: true,
            };
            let resolver = Resolver::new(rules, Constraints::new(&constraints)).linked_max(linked_max);
            World { resolver, constraints, fragments }
        })
}

/// A block of the model: everything it is made of, looked through again for every question.
#[derive(Debug, Clone, Default)]
struct Model {
    fragments: Vec<usize>,
    asked: BTreeSet<Subject>,
    identifiers: BTreeSet<Identifier>,
    /// Pairs of values of one type that are said to be one person's.
    same: Vec<(Identifier, Identifier)>,
}

impl Model {
    fn join(&self, other: &Self) -> Self {
        let mut out = self.clone();
        out.fragments.extend(&other.fragments);
        out.asked.extend(other.asked.iter().cloned());
        out.identifiers.extend(other.identifiers.iter().cloned());
        out.same.extend(other.same.iter().cloned());
        out
    }

    fn say_all_same(&mut self) {
        let all: Vec<_> = self.identifiers.iter().cloned().collect();
        for a in &all {
            self.same.extend(all.iter().filter(|b| b.kind == a.kind).map(|b| (a.clone(), b.clone())));
        }
    }

    /// How many people the values of a type speak of.
    fn people(&self, kind: &str) -> usize {
        let mut groups: Vec<BTreeSet<&Identifier>> =
            self.identifiers.iter().filter(|i| i.kind == kind).map(|i| BTreeSet::from([i])).collect();
        for (a, b) in &self.same {
            let (with, mut rest): (Vec<_>, Vec<_>) =
                groups.into_iter().partition(|group| group.contains(a) || group.contains(b));
            if !with.is_empty() {
                rest.push(with.into_iter().flatten().collect());
            }
            groups = rest;
        }
        groups.len()
    }

    fn subjects(&self, fragments: &[&Known]) -> BTreeSet<Subject> {
        let ids = self.fragments.iter().map(|n| Subject::Fragment(fragments[*n].id));
        let identifiers = self.identifiers.iter().cloned().map(Subject::Identifier);
        ids.chain(identifiers).chain(self.asked.iter().cloned()).collect()
    }
}

/// The model: (fragment, profile, identifiers set aside), sorted.
fn naive(world: &World) -> Vec<(FragmentId, FragmentId, Vec<Identifier>)> {
    let World { resolver, constraints, fragments } = world;
    let rules = &resolver.rules;
    let named = |subject: &Subject| {
        constraints.iter().any(|c| c.force == Force::MustLink && (c.a == *subject || c.b == *subject))
    };
    let forced = |i: &Identifier| named(&Subject::Identifier(i.clone()));
    let blocked = |i: &Identifier| i.value == "null" && !forced(i);
    let unique = |kind: &str| rules.types.iter().any(|rule| rule.kind == kind && rule.unique);
    let shared = |i: &Identifier| {
        let with: Vec<_> = fragments.iter().filter(|f| f.identifiers.contains(i)).collect();
        !forced(i)
            && KINDS.iter().filter(|kind| unique(kind) && i.kind != **kind).any(|kind| {
                let values: BTreeSet<_> = with
                    .iter()
                    .flat_map(|f| &f.identifiers)
                    .filter(|other| other.kind == *kind && !blocked(other))
                    .collect();
                values.len() > rules.shared_after as usize
            })
    };
    let may: BTreeMap<&Identifier, bool> =
        fragments.iter().flat_map(|f| &f.identifiers).map(|i| (i, !blocked(i) && !shared(i))).collect();
    let strong = |i: &Identifier| unique(&i.kind) || forced(i);
    // Flood from a fragment, through identifiers and must_links.
    let reach = |from: usize, only_strong: bool| {
        let mut subjects = BTreeSet::from([Subject::Fragment(fragments[from].id)]);
        loop {
            let before = subjects.len();
            for f in fragments {
                let of: Vec<_> = std::iter::once(Subject::Fragment(f.id))
                    .chain(
                        f.identifiers
                            .iter()
                            .filter(|i| may[i] && (!only_strong || strong(i)))
                            .cloned()
                            .map(Subject::Identifier),
                    )
                    .collect();
                if of.iter().any(|s| subjects.contains(s)) {
                    subjects.extend(of);
                }
            }
            for c in constraints.iter().filter(|c| c.force == Force::MustLink) {
                if subjects.contains(&c.a) || subjects.contains(&c.b) {
                    subjects.extend([c.a.clone(), c.b.clone()]);
                }
            }
            if subjects.len() == before {
                return fragments.iter().filter(|f| subjects.contains(&Subject::Fragment(f.id))).count();
            }
        }
    };
    let level: BTreeMap<FragmentId, u8> = (0..fragments.len())
        .map(|n| {
            let max = resolver.fragments_max();
            (fragments[n].id, if reach(n, false) <= max { 2 } else { u8::from(reach(n, true) <= max) })
        })
        .collect();

    let mut order: Vec<&Known> = fragments.iter().collect();
    order.sort_by_key(|f| (f.first.clone(), f.id));
    let broken = |subjects: &BTreeSet<Subject>| {
        constraints
            .iter()
            .find(|c| c.force == Force::MustNotLink && subjects.contains(&c.a) && subjects.contains(&c.b))
    };
    // Only constraints that something here is touched by can matter.
    let alive = |subject: &Subject| {
        let mut connected = BTreeSet::from([subject.clone()]);
        for _ in 0..constraints.len() {
            for c in constraints.iter().filter(|c| c.force == Force::MustLink) {
                if connected.contains(&c.a) || connected.contains(&c.b) {
                    connected.extend([c.a.clone(), c.b.clone()]);
                }
            }
        }
        fragments.iter().filter(|f| level[&f.id] > 0).any(|f| {
            connected.contains(&Subject::Fragment(f.id))
                || f.identifiers.iter().any(|i| connected.contains(&Subject::Identifier(i.clone())))
        })
    };
    let mut blocks: Vec<Model> = Vec::new();
    for c in constraints.iter().filter(|c| c.force == Force::MustLink && alive(&c.a)) {
        let mut two = Vec::new();
        for subject in [&c.a, &c.b] {
            let at = blocks.iter().position(|block| block.asked.contains(subject)).unwrap_or_else(|| {
                let mut block = Model { asked: BTreeSet::from([subject.clone()]), ..Model::default() };
                if let Subject::Identifier(i) = subject {
                    block.identifiers.insert(i.clone());
                }
                blocks.push(block);
                blocks.len() - 1
            });
            two.push(at);
        }
        let mut union = blocks[two[0]].join(&blocks[two[1]]);
        if two[0] != two[1] && broken(&union.asked).is_none() {
            union.say_all_same();
            blocks[two[0]] = union;
            blocks.remove(two[1]);
        }
    }
    let mut aside: BTreeMap<FragmentId, Vec<Identifier>> = BTreeMap::new();
    for (n, fragment) in order.iter().enumerate() {
        let level = level[&fragment.id];
        let mut linking: Vec<Identifier> = fragment
            .identifiers
            .iter()
            .filter(|i| may[i] && (level == 2 || (level == 1 && strong(i))))
            .cloned()
            .collect();
        linking.sort_by_key(|i| (rules.priority(&i.kind), i.clone()));
        let itself = Subject::Fragment(fragment.id);
        let mut own = level > 0 && named(&itself);
        let (union, found) = loop {
            let found: Vec<usize> = (0..blocks.len())
                .filter(|b| {
                    linking.iter().any(|i| blocks[*b].identifiers.contains(i))
                        || (own && blocks[*b].asked.contains(&itself))
                })
                .collect();
            let mut union = found.iter().fold(Model::default(), |all, b| all.join(&blocks[*b]));
            union.fragments.push(n);
            union.identifiers.extend(linking.iter().cloned());
            if fragment.origin.alias && !fragment.origin.client {
                for a in &linking {
                    union
                        .same
                        .extend(linking.iter().filter(|b| a.kind == b.kind).map(|b| (a.clone(), b.clone())));
                }
            }
            if own {
                union.say_all_same();
            }
            // An identifier takes part if it, or the block that it leads to, does.
            let leads = |i: &Identifier, of: &dyn Fn(&Model) -> bool| {
                let block = blocks.iter().find(|b| b.identifiers.contains(i));
                block.map_or_else(
                    || of(&Model { identifiers: BTreeSet::from([i.clone()]), ..Model::default() }),
                    of,
                )
            };
            let mut subjects = union.subjects(&order);
            if level == 0 {
                subjects.remove(&itself);
            }
            let culprit = if let Some(c) = broken(&subjects) {
                let at = linking.iter().rposition(|i| {
                    leads(i, &|b| {
                        let subjects = b.subjects(&order);
                        subjects.contains(&c.a) || subjects.contains(&c.b)
                    })
                });
                if at.is_none() {
                    own = false;
                }
                Some(at)
            } else if own {
                None
            } else {
                let has = |b: &Model, kind: &str| b.identifiers.iter().any(|i| i.kind == kind);
                let by_rule = rules.types.iter().find(|rule| {
                    let values = |b: &Model| b.identifiers.iter().filter(|i| i.kind == rule.kind).count();
                    let limit = rule.limit.map_or(usize::MAX, |limit| limit as usize);
                    let before = found.iter().map(|b| values(&blocks[*b])).max().unwrap_or(0);
                    (rule.unique && union.people(&rule.kind) > 1)
                        || (!rule.unique && values(&union) > limit && values(&union) > before)
                });
                let is_known = |b: &Model| b.identifiers.iter().any(|i| unique(&i.kind));
                if let Some(rule) = by_rule {
                    Some(linking.iter().rposition(|i| leads(i, &|b| has(b, &rule.kind))))
                } else if fragment.origin.client
                    && found.iter().filter(|b| is_known(&blocks[**b])).count() > 1
                {
                    Some(linking.iter().rposition(|i| {
                        blocks.iter().find(|b| b.identifiers.contains(i)).is_some_and(is_known)
                    }))
                } else {
                    None
                }
            };
            match culprit {
                Some(Some(at)) => aside.entry(fragment.id).or_default().push(linking.remove(at)),
                Some(None) => {}
                None => break (union, found),
            }
        };
        for b in found.into_iter().rev() {
            blocks.remove(b);
        }
        blocks.push(union);
    }
    let mut out = Vec::new();
    for block in &blocks {
        let Some(earliest) = block.fragments.iter().min() else { continue };
        for n in &block.fragments {
            let id = order[*n].id;
            let mut aside = aside.get(&id).cloned().unwrap_or_default();
            aside.sort();
            out.push((id, order[*earliest].id, aside));
        }
    }
    out.sort();
    out
}

fn told(world: &World, fragments: &[Known]) -> Vec<(FragmentId, FragmentId, Vec<Identifier>)> {
    let mut out: Vec<_> = world
        .resolver
        .resolve(fragments)
        .into_iter()
        .map(|placed| {
            let known = fragments.iter().find(|f| f.id == placed.id).unwrap();
            let mut aside: Vec<_> =
                placed.set_aside.iter().map(|(n, _)| known.identifiers[usize::from(*n)].clone()).collect();
            aside.sort();
            (placed.id, placed.profile, aside)
        })
        .collect();
    out.sort();
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn resolution_is_what_the_model_says_in_any_order(world in world(), turn in any::<prop::sample::Index>()) {
        let want = naive(&world);
        prop_assert_eq!(&told(&world, &world.fragments), &want);
        let mut turned = world.fragments.clone();
        let n = turned.len();
        turned.rotate_left(turn.index(n));
        turned.reverse();
        prop_assert_eq!(&told(&world, &turned), &want);
    }

    #[test]
    fn no_rule_and_no_must_not_link_is_ever_broken(world in world()) {
        let must = world.constraints.iter().any(|c| c.force == Force::MustLink);
        let alias = world.fragments.iter().any(|f| f.origin.alias);
        let placed = world.resolver.resolve(&world.fragments);
        let mut profiles: BTreeMap<FragmentId, BTreeSet<Subject>> = BTreeMap::new();
        for placed in &placed {
            let known = world.fragments.iter().find(|f| f.id == placed.id).unwrap();
            let of = profiles.entry(placed.profile).or_default();
            of.insert(Subject::Fragment(placed.id));
            let owned = known.identifiers.iter().enumerate().filter(|(n, _)| placed.owned & 1 << n != 0);
            of.extend(owned.map(|(_, identifier)| Subject::Identifier(identifier.clone())));
        }
        for subjects in profiles.values() {
            for c in world.constraints.iter().filter(|c| c.force == Force::MustNotLink) {
                let overgrown = world.resolver.fragments_max() < 100;
                prop_assert!(overgrown || !(subjects.contains(&c.a) && subjects.contains(&c.b)), "{:?}", c);
            }
            let users = subjects.iter().filter(|s| matches!(s, Subject::Identifier(i) if i.kind == "user_id"));
            prop_assert!(must || alias || users.count() <= 1);
        }
    }

    #[test]
    fn taking_the_separating_evidence_away_separates(world in world()) {
        let placed = world.resolver.resolve(&world.fragments);
        let census = world.resolver.census(&world.fragments);
        let candidates: Vec<_> = world.fragments.iter().zip(&census).map(|(known, (level, standing))| {
            let links = standing.iter().enumerate().filter(|(_, s)| **s == Standing::Links).map(|(n, _)| 1 << n).sum();
            Candidate { known, links, constrained: *level > Level::Nothing }
        }).collect();
        for pair in placed.windows(2).filter(|pair| pair[0].profile == pair[1].profile) {
            let (a, b) = (Subject::Fragment(pair[0].id), Subject::Fragment(pair[1].id));
            let cut = separating(&world.resolver, &world.constraints, &candidates, &a, &b);
            prop_assert!(!cut.is_empty());
            let constraints: Vec<_> = world.constraints.iter()
                .filter(|c| !cut.contains(&Step::Constraint(c.id))).cloned().collect();
            let resolver = Resolver::new(world.resolver.rules.clone(), Constraints::new(&constraints));
            let left: Vec<_> = candidates.iter()
                .filter(|candidate| !cut.contains(&Step::Fragment(candidate.known.id)))
                .map(|candidate| {
                    let mut links = candidate.links;
                    for (n, identifier) in candidate.known.identifiers.iter().enumerate() {
                        if cut.contains(&Step::Carries(candidate.known.id, identifier.clone())) {
                            links &= !(1 << n);
                        }
                    }
                    Candidate { links, ..*candidate }
                }).collect();
            let after = resolver.place(&left);
            let profile = |id| after.iter().find(|placed| placed.id == id).map(|placed| placed.profile);
            prop_assert_ne!(profile(pair[0].id), profile(pair[1].id));
        }
    }
}

fn of(kind: &str, value: &str) -> Identifier {
    Identifier { kind: kind.into(), value: value.into() }
}

fn people(resolver: &Resolver, fragments: &[Known]) -> usize {
    resolver.resolve(fragments).iter().map(|placed| placed.profile).collect::<BTreeSet<_>>().len()
}

#[test]
fn a_second_user_on_one_address_leaves_the_address_with_the_first() {
    let fragments = [
        known(1, 1, vec![of("user_id", "abc123"), of("email", "jane@example.com")], "x", false),
        known(2, 2, vec![of("user_id", "abc456"), of("email", "jane@example.com")], "x", false),
        known(3, 3, vec![of("email", "jane@example.com")], "x", false),
    ];
    let placed = Resolver::default().resolve(&fragments);
    assert_eq!(placed[1].profile, fragments[1].id);
    assert_eq!(placed[1].set_aside, [(0, Reason::Unique("user_id".into()))]);
    assert_eq!((placed[2].profile, placed[2].decision), (fragments[0].id, Decision::Attached));
}

#[test]
fn a_value_of_ten_thousand_users_links_none_of_them_and_its_own_events_nobody() {
    let mut fragments: Vec<_> = (0..10_000)
        .map(|n| {
            let user = of("user_id", &format!("u{n}"));
            known(n, n as i64, vec![user, of("email", "till@shop.eu"), of("device", "till")], "x", false)
        })
        .collect();
    fragments.push(known(10_001, 0, vec![of("email", "till@shop.eu")], "x", false));
    assert_eq!(people(&Resolver::default(), &fragments), 10_001);
    let five = &fragments[..5];
    let mut with_own = five.to_vec();
    with_own.push(fragments[10_000].clone());
    assert_eq!(people(&Resolver::default(), &with_own), 5, "up to five it belongs to the first");
}

#[test]
fn an_alias_links_two_unique_ids_unless_a_client_says_so_or_an_operator_forbids_it() {
    let fragments = |client| {
        vec![
            known(1, 1, vec![of("user_id", "old")], "x", false),
            known(2, 2, vec![of("user_id", "new")], "x", false),
            known(3, 3, vec![of("user_id", "old"), of("user_id", "new")], "alias", client),
        ]
    };
    assert_eq!(people(&Resolver::default(), &fragments(false)), 1);
    assert_eq!(people(&Resolver::default(), &fragments(true)), 2);
    let [a, b] = ["old", "new"].map(|value| Subject::Identifier(of("user_id", value)));
    let never = Constraint { id: 0, force: Force::MustNotLink, a, b };
    let resolver = Resolver::new(Rules::default(), Constraints::new(&[never]));
    assert_eq!(people(&resolver, &fragments(false)), 2);
    let itself = [known(1, 1, vec![of("user_id", "old"), of("user_id", "old")], "alias", false)];
    assert!(!itself[0].origin.alias);
}

#[test]
fn a_client_does_not_join_two_who_are_known() {
    let mut rules = Rules::default();
    rules.types.insert(1, rule("loyalty", 4, true, None));
    let resolver = Resolver::new(rules, Constraints::default());
    let fragments = |client| {
        vec![
            known(1, 1, vec![of("user_id", "u"), of("email", "a@x.eu")], "x", false),
            known(2, 2, vec![of("loyalty", "l"), of("device", "d")], "x", false),
            known(3, 3, vec![of("email", "a@x.eu"), of("device", "d")], "x", client),
        ]
    };
    assert_eq!(people(&resolver, &fragments(false)), 1);
    assert_eq!(people(&resolver, &fragments(true)), 2);
}

#[test]
fn a_chain_holds_together_up_to_the_bound_and_beyond_it_nobody_is_joined() {
    let chain = |n: usize| -> Vec<_> {
        let link = |n: usize| of("device", &format!("d{n}"));
        (0..n).map(|n| known(n, n as i64, vec![link(n), link(n + 1)], "x", false)).collect()
    };
    let resolver = Resolver::default();
    assert_eq!(people(&resolver, &chain(LINKED_FRAGMENTS_MAX)), 1);
    assert_eq!(people(&resolver, &chain(LINKED_FRAGMENTS_MAX + 1)), LINKED_FRAGMENTS_MAX + 1);
}

#[test]
fn what_is_entangled_falls_back_to_unique_identifiers() {
    let resolver = Resolver::default().linked_max(6);
    let pair = |n: usize| {
        let (user, device) =
            (of("user_id", &format!("u{}", n / 2)), of("device", &format!("d{}", n.div_ceil(2))));
        known(n, n as i64, vec![user, device], "x", false)
    };
    let chain: Vec<_> = (0..6).map(pair).collect();
    assert_eq!(people(&resolver, &chain), 3);
    let longer: Vec<_> = (0..20).map(pair).collect();
    assert_eq!(people(&resolver, &longer), 10);
}
