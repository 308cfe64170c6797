//! Generated histories, each delivered in many orders with repetitions, compared after every step with what resolving all
//! fragments at once says and with plain loops over the events; then the rules change, exactly as the dry run said.
//!
//! `CDP_IDENTITY_HISTORIES` says how many histories, `CDP_IDENTITY_ORDERS` in how many orders each; all of them live in
//! one tenant for each set of rules, apart from each other by their values, so that thousands take seconds.

use std::collections::{BTreeMap, BTreeSet};

use cdp_domain::identifier::Identifier;
use cdp_domain::identity::{Constraint, Constraints, Force, Known, Origin, Resolver, Rules, Subject};
use cdp_domain::ids::FragmentId;
use cdp_domain::stamp::Stamp;
use cdp_domain::time::Timestamp;

use super::world::{Dice, World, event, value};

const EVENTS: usize = 12;

/// How much: small where nothing else is said.
fn size(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

struct Happening {
    time: i64,
    alias: bool,
    client: bool,
    /// Type and value, without what keeps copies apart.
    identifiers: Vec<(&'static str, String)>,
    total: i64,
    colour: Option<usize>,
}

fn history(seed: u64) -> Vec<Happening> {
    let mut dice = Dice(seed);
    dice.roll(2);
    let kinds = [("user_id", 3), ("loyalty", 2), ("email", 3), ("device", 4)];
    (0..EVENTS)
        .map(|_| {
            let alias = dice.roll(8) == 0;
            let mut identifiers = BTreeSet::new();
            for _ in 0..dice.roll(3) + 1 {
                let (kind, values) = kinds[dice.roll(kinds.len())];
                let value =
                    if dice.roll(10) == 0 { "bad".to_owned() } else { format!("v{}", dice.roll(values)) };
                identifiers.insert((kind, value));
            }
            if alias {
                identifiers.extend([("user_id", "v0".to_owned()), ("user_id", format!("v{}", dice.roll(3)))]);
            }
            Happening {
                time: dice.roll(8) as i64,
                alias,
                client: dice.roll(10) == 0,
                identifiers: identifiers.into_iter().collect(),
                total: dice.roll(50) as i64,
                colour: (dice.roll(3) == 0).then(|| dice.roll(3)),
            }
        })
        .collect()
}

/// By event: the event that its profile begins with.
type Begins = BTreeMap<usize, String>;
/// By the event that a profile begins with: its identifiers.
type Shown = BTreeMap<String, BTreeSet<Identifier>>;

/// One history in one order.
struct Copy {
    history: usize,
    name: String,
    order: Vec<usize>,
    constraints: Vec<Constraint>,
}

impl Copy {
    fn event_id(&self, n: usize) -> String {
        format!("e{n:02}.{}", self.name)
    }

    fn identifier(&self, kind: &str, value: &str) -> Identifier {
        Identifier { kind: kind.into(), value: format!("{value}.{}", self.name).into() }
    }

    fn json(&self, n: usize, happening: &Happening) -> String {
        let values: Vec<_> = happening
            .identifiers
            .iter()
            .map(|(kind, value)| (*kind, self.identifier(kind, value).value.to_string()))
            .collect();
        let identifiers: Vec<_> = values.iter().map(|(kind, value)| (*kind, value.as_str())).collect();
        let colour = happening.colour.map_or_else(String::new, |colour| format!(r#""colour":"c{colour}""#));
        let rest = format!(r#","properties":{{"total":{}}},"traits":{{{colour}}}"#, happening.total);
        let kind = if happening.alias { "alias" } else { "buy" };
        event(&self.event_id(n), kind, happening.time, &identifiers, &rest)
    }

    /// What one look at everything says of these events.
    fn model(&self, resolver: &Resolver, history: &[Happening], known: &[usize]) -> (Begins, Shown) {
        let mut fragments: BTreeMap<(Vec<Identifier>, u8), Known> = BTreeMap::new();
        let mut fragment_of = BTreeMap::new();
        for n in known {
            let happening = &history[*n];
            let mut identifiers: Vec<_> =
                happening.identifiers.iter().map(|(kind, value)| self.identifier(kind, value)).collect();
            identifiers.sort();
            let kind = if happening.alias { "alias" } else { "buy" };
            let origin = Origin::of(kind, &identifiers, happening.client);
            let stamp = Stamp::new(Timestamp(happening.time), "test".into(), self.event_id(*n).into());
            let mut id = [0; 16];
            id[0] = *n as u8 + 1;
            let fragment = fragments.entry((identifiers.clone(), origin.byte())).or_insert_with(|| Known {
                id: FragmentId(id),
                first: stamp.clone(),
                identifiers,
                origin,
            });
            fragment.first = fragment.first.clone().min(stamp);
            fragment_of.insert(*n, fragment.id);
        }
        let all: Vec<Known> = fragments.into_values().collect();
        let of = |id: FragmentId| all.iter().find(|known| known.id == id).unwrap();
        let placed = resolver.resolve(&all);
        let mut root = BTreeMap::new();
        let mut identifiers: BTreeMap<String, BTreeSet<Identifier>> = BTreeMap::new();
        for placed in &placed {
            let begins = of(placed.profile).first.id().to_owned();
            let shown = identifiers.entry(begins.clone()).or_default();
            for (at, identifier) in of(placed.id).identifiers.iter().enumerate() {
                let aside = placed.set_aside.iter().any(|(n, _)| usize::from(*n) == at);
                if !aside && !resolver.blocked(identifier) {
                    shown.insert(identifier.clone());
                }
            }
            root.insert(placed.id, begins);
        }
        let by_event = fragment_of.into_iter().map(|(n, id)| (n, root[&id].clone())).collect();
        (by_event, identifiers)
    }

    /// Compares the engine with the model, and readings with plain loops.
    fn check(
        &self,
        world: &World,
        resolver: &Resolver,
        history: &[Happening],
        known: &[usize],
    ) -> Vec<String> {
        let (model, identifiers) = self.model(resolver, history, known);
        let mut profiles: BTreeMap<FragmentId, Vec<usize>> = BTreeMap::new();
        for n in known {
            profiles.entry(world.profile_of(&self.event_id(*n))).or_default().push(*n);
        }
        let mut pictures = Vec::new();
        for (id, mut events) in profiles {
            events.sort_unstable();
            let identity = world.tenant.identity(id).unwrap();
            let begins = identity.fragments[0].first.id().to_owned();
            for n in &events {
                assert_eq!(model[n], begins, "{} event {n} of {:?}", self.name, self.order);
            }
            let view = world.tenant.profile(id).unwrap();
            assert_eq!(view.id, identity.fragments[0].id);
            let shown: BTreeSet<_> = view.identifiers.iter().cloned().collect();
            assert_eq!(shown, identifiers[&begins], "{} of {:?}", self.name, self.order);
            let buys: Vec<_> = events.iter().filter(|n| !history[**n].alias).collect();
            let count = buys.len();
            let sum: i64 = buys.iter().map(|n| history[**n].total).sum();
            let last = events
                .iter()
                .filter(|n| history[**n].colour.is_some())
                .max_by_key(|n| (history[**n].time, self.event_id(**n)))
                .and_then(|n| history[*n].colour);
            let attribute = |name: &str| {
                let (_, read) = view.attributes.iter().find(|(known, _)| known == name).unwrap();
                read.value.as_ref().map(cdp_domain::json::to_string)
            };
            assert_eq!(attribute("n"), Some(count.to_string()), "{}", self.name);
            assert_eq!(attribute("sum"), Some(format!("\"{sum}\"")), "{}", self.name);
            let colour = view.traits.first().map(|(_, colour)| cdp_domain::json::to_string(&colour.value));
            assert_eq!(colour, last.map(|last| format!("\"c{last}\"")), "{}", self.name);
            assert_eq!(view.segments.len(), usize::from(sum >= 100), "{}", self.name);
            let identifiers: Vec<_> = shown.iter().map(|i| format!("{} {}", i.kind, i.value)).collect();
            let text = format!("{events:?} {begins} {identifiers:?} {count} {sum} {last:?}");
            pictures.push(text.replace(&self.name, ""));
        }
        pictures.sort();
        pictures
    }
}

fn copies(world: usize, worlds: usize) -> (Vec<(usize, Vec<Happening>)>, Vec<Copy>) {
    let (all, orders) = (size("CDP_IDENTITY_HISTORIES", 160), size("CDP_IDENTITY_ORDERS", 24));
    let histories: Vec<_> =
        (0..all).filter(|n| n % worlds == world).map(|n| (n, history(n as u64 * 977 + 5))).collect();
    let mut copies = Vec::new();
    for (at, (n, _)) in histories.iter().enumerate() {
        for turn in 0..orders {
            let mut order: Vec<usize> = (0..EVENTS).collect();
            match turn {
                0 => {}
                1 => order.reverse(),
                _ => Dice((n * 1000 + turn) as u64).shuffle(&mut order),
            }
            copies.push(Copy { history: at, name: format!("h{n}o{turn}"), order, constraints: Vec::new() });
        }
    }
    (histories, copies)
}

fn resolver(rules: &Rules, linked_max: usize, copy: &Copy) -> Resolver {
    Resolver::new(rules.clone(), Constraints::new(&copy.constraints)).linked_max(linked_max)
}

/// One constraint a history, in some histories: in half of the copies before anything, in the others in the middle.
async fn constrain(world: &World, copy: &mut Copy, seed: usize) {
    let mut dice = Dice(seed as u64 * 31 + 7);
    let force = if dice.roll(2) == 0 { Force::MustLink } else { Force::MustNotLink };
    let kinds = ["user_id", "email", "device"];
    let mut side = || {
        let (kind, value) = (kinds[dice.roll(3)], format!("v{}", dice.roll(3)));
        (kind, value)
    };
    let (a, b) = (side(), side());
    if a == b {
        return;
    }
    let [a, b] = [a, b].map(|(kind, value)| copy.identifier(kind, &value));
    let word = if force == Force::MustLink { "must_link" } else { "must_not_link" };
    let json = |i: &Identifier| format!(r#"{{"type":"{}","value":"{}"}}"#, i.kind, i.value);
    let body = format!(r#"{{"kind":"{word}","a":{},"b":{},"reason":"test"}}"#, json(&a), json(&b));
    let (made, _) = world.tenant.constrain(&value(&body)).await.unwrap();
    copy.constraints =
        vec![Constraint { a: Subject::Identifier(a), b: Subject::Identifier(b), ..made.constraint() }];
}

async fn play(number: usize, worlds: usize, rules: &str, other_rules: &str, linked_max: usize) {
    let (histories, mut copies) = copies(number, worlds);
    let world = World::new(Some(linked_max)).await;
    world.define().await;
    world.tenant.put_identity_rules(&value(rules)).await.unwrap();
    let rules = world.tenant.identity_rules();
    let mut dice = Dice(number as u64);
    for step in 0..EVENTS {
        if step == 0 || step == EVENTS / 2 {
            for (n, copy) in copies.iter_mut().enumerate() {
                let of = copy.history;
                if of % 8 == 3 && n % 2 == usize::from(step > 0) {
                    constrain(&world, copy, of).await;
                }
            }
        }
        let mut events = [Vec::new(), Vec::new()];
        for copy in &copies {
            let (_, history) = &histories[copy.history];
            let n = copy.order[step];
            events[usize::from(history[n].client)].push(copy.json(n, &history[n]));
            if dice.roll(3) == 0 {
                let n = copy.order[dice.roll(step + 1)];
                events[usize::from(history[n].client)].push(copy.json(n, &history[n]));
            }
        }
        world.send(&events[0], false).await;
        world.send(&events[1], true).await;
        let last = step + 1 == EVENTS;
        let mut told: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for copy in &copies {
            if !last && dice.roll(4) > 0 {
                continue;
            }
            let (_, history) = &histories[copy.history];
            let picture =
                copy.check(&world, &resolver(&rules, linked_max, copy), history, &copy.order[..=step]);
            if last {
                let want = told.entry(copy.history).or_insert_with(|| picture.clone());
                assert_eq!(want, &picture, "{} in the order {:?}", copy.name, copy.order);
            }
        }
    }
    change_rules(&world, &histories, &copies, other_rules, linked_max).await;
    world.finish().await;
}

/// What a dry run says is what happens.
async fn change_rules(
    world: &World,
    histories: &[(usize, Vec<Happening>)],
    copies: &[Copy],
    rules: &str,
    linked_max: usize,
) {
    let profiles = || -> BTreeMap<String, FragmentId> {
        let ids = copies.iter().flat_map(|copy| (0..EVENTS).map(|n| copy.event_id(n)));
        ids.map(|id| (id.clone(), world.profile_of(&id))).collect()
    };
    let before = profiles();
    let said = world.tenant.try_identity_rules(&value(rules)).await.unwrap();
    assert_eq!(profiles(), before, "a dry run changes nothing");
    world.tenant.put_identity_rules(&value(rules)).await.unwrap();
    let after = profiles();
    let (mut merges, mut splits) = (BTreeMap::new(), BTreeMap::new());
    for (event, was) in &before {
        let is = after[event];
        merges.entry(is).or_insert_with(BTreeSet::new).insert(*was);
        splits.entry(*was).or_insert_with(BTreeSet::new).insert(is);
    }
    let several = |all: BTreeMap<FragmentId, BTreeSet<FragmentId>>| -> Vec<_> {
        let several = all.into_iter().filter(|(_, parts)| parts.len() > 1);
        several.map(|(id, parts)| (id, parts.into_iter().collect::<Vec<_>>())).collect()
    };
    let told = |moves: &[cdp_engine::identity::Move]| -> Vec<_> {
        moves.iter().map(|one| (one.profile, one.parts.clone())).collect()
    };
    assert_eq!(told(&said.merges), several(merges));
    assert_eq!(told(&said.splits), several(splits));
    assert_eq!(said.profiles_after, world.tenant.stats().profiles);
    let rules = world.tenant.identity_rules();
    for copy in copies {
        let all: Vec<usize> = (0..EVENTS).collect();
        copy.check(world, &resolver(&rules, linked_max, copy), &histories[copy.history].1, &all);
    }
}

const STRICT: &str = r#"{"types":[
    {"type":"user_id","priority":1,"unique":true,"blocked":["bad*"]},{"type":"loyalty","priority":2,"unique":true,"blocked":["bad*"]},
    {"type":"email","priority":3,"limit":2,"normaliser":"opaque","blocked":["bad*"]},
    {"type":"device","priority":4,"blocked":["bad*"]}],"shared_after":2}"#;

const LOOSE: &str = r#"{"types":[
    {"type":"user_id","priority":1,"unique":true,"blocked":["bad*"]},{"type":"loyalty","priority":2,"blocked":["bad*"]},
    {"type":"email","priority":3,"normaliser":"opaque","blocked":["bad*"]},
    {"type":"device","priority":4,"blocked":["bad*"]}],"shared_after":1}"#;

const NONE: &str = r#"{"types":[{"type":"device","priority":1,"blocked":["bad*"]},
    {"type":"email","priority":1,"normaliser":"opaque","blocked":["bad*"]},
    {"type":"loyalty","priority":1,"blocked":["bad*"]},{"type":"user_id","priority":1,"blocked":["bad*"]}],"shared_after":5}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_order_gives_what_one_look_at_everything_says_after_every_step_with_strict_rules() {
    play(0, 4, STRICT, LOOSE, 1000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_order_gives_what_one_look_at_everything_says_after_every_step_with_loose_rules() {
    play(1, 4, LOOSE, NONE, 1000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_order_gives_what_one_look_at_everything_says_after_every_step_where_little_may_hang_together() {
    play(2, 4, LOOSE, STRICT, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_order_gives_what_one_look_at_everything_says_after_every_step_without_limits() {
    play(3, 4, NONE, STRICT, 6).await;
}
