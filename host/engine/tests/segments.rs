//! Attributes and segments of a living tenant against the reference model: people who turn out to be one, joins that are
//! undone and done again, late events, events of the future, events that are taken back, definitions that come in the
//! middle, and time that passes.
//!
//! Who is one is asked of the resolver, which has tests of its own; what is known of them is computed by the model.
#![expect(clippy::unwrap_used, reason = "this whole target is tests")]

#[path = "../../domain/tests/model/dice.rs"]
mod dice;
#[path = "../../domain/tests/model/mod.rs"]
mod model;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cdp_domain::event::{Defaults, Event};
use cdp_domain::identifier::Identifier;
use cdp_domain::identity::{Constraint, Constraints, Known, Origin, Resolver, Rules, Subject};
use cdp_domain::ids::FragmentId;
use cdp_domain::json;
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_engine::accept::{Accept, Incoming};
use cdp_engine::clock::ManualClock;
use cdp_engine::profiles::ProfileView;
use cdp_engine::registry::NewTenant;
use cdp_engine::{Engine, Options, Storage, Tenant};
use cdp_store::seal::MasterKey;
use dice::Dice;
use model::{Person, World as Defined};

const HOUR: i64 = 3_600_000;
const DEVICES: u64 = 6;

fn value(text: &str) -> Value {
    json::parse(text.as_bytes(), json::Options::default()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn device(n: u64) -> Identifier {
    Identifier { kind: "device".into(), value: format!("d{n}").into() }
}

/// A person: the events that are theirs, and the devices that lead to them.
#[derive(Default)]
struct Who<'a> {
    events: Vec<&'a Seen>,
    devices: BTreeSet<String>,
}

/// An event as the model sees it: when it was received, and since when it does not count.
struct Seen {
    event: Event,
    void_since: Option<i64>,
}

struct World {
    engine: Engine,
    tenant: Tenant,
    clock: Arc<ManualClock>,
    now: i64,
    zone: &'static str,
    defined: Defined,
    numeric: Vec<String>,
    seen: Vec<Seen>,
    /// Voids that came before what they take back, by id.
    early: BTreeMap<String, i64>,
    /// What an operator has said, by the number it got.
    said: BTreeMap<u32, Constraint>,
    /// How many joins were undone by that, and how many were made.
    undone: usize,
    /// The members of each segment when it began to serve: they are there without having entered.
    began: BTreeMap<String, BTreeSet<String>>,
    seed: u64,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new(seed: u64, zone: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now = dice::BEGINS;
        let clock = Arc::new(ManualClock::new(Timestamp(now)));
        let mut options = Options::new(dir.path().join("data"), MasterKey::from_bytes([7; 32]));
        options.storage = Storage::Memory;
        options.clock = clock.clone();
        let engine = Engine::open(options).unwrap();
        let new = NewTenant { slug: "shop".into(), name: "Shop".into(), time_zone: Some(zone.into()) };
        let (info, _) = engine.create_tenant(new).await.unwrap();
        let tenant = engine.open_tenants().into_iter().find(|tenant| tenant.no() == info.no).unwrap();
        Self {
            engine,
            tenant,
            clock,
            now,
            zone,
            defined: Defined::default(),
            numeric: Vec::new(),
            seen: Vec::new(),
            early: BTreeMap::new(),
            said: BTreeMap::new(),
            undone: 0,
            began: BTreeMap::new(),
            seed,
            _dir: dir,
        }
    }

    async fn send(&self, text: &str) {
        let incoming = Incoming { value: value(text), bytes: text.len(), digest_of: None };
        let how = Accept { source: "app".into(), ..Accept::default() };
        let accepted = self.tenant.accept(vec![incoming], &how).await.unwrap();
        assert_eq!(accepted.accepted, 1, "{text} {:?}", accepted.items);
        assert!(self.tenant.wait_applied(accepted.position, Duration::from_secs(20)).await);
    }

    async fn event(&mut self, dice: &mut Dice) {
        let id = self.seen.len();
        let mut identifiers = vec![format!(r#"{{"type": "device", "value": "d{}"}}"#, dice.roll(DEVICES))];
        if dice.chance(2) {
            // Now and then two devices turn out to be one person's.
            identifiers.push(format!(r#"{{"type": "device", "value": "d{}"}}"#, dice.roll(DEVICES)));
        }
        let text = format!(
            r#"{{"id": "e{id}", "source": "app", "type": "{}", "time": "{}", "identifiers": [{}], {}}}"#,
            dice::kind(dice),
            Timestamp(dice::instant(dice)),
            identifiers.join(","),
            dice::payload(dice)
        );
        self.send(&text).await;
        let defaults = Defaults { source: "app", time: Timestamp(0), rules: &Rules::default() };
        let event = Event::from_value(value(&text), defaults).unwrap();
        self.seen.push(Seen { event, void_since: self.early.get(&format!("e{id}")).copied() });
    }

    async fn void(&mut self, dice: &mut Dice, n: usize) {
        // Of what was there, of what is yet to come, or of nothing.
        let target = dice.roll(self.seen.len() as u64 + 3) as usize;
        let time = dice::instant(dice);
        let who = if dice.chance(5) { r#", "identifiers": [{"type": "device", "value": "d0"}]"# } else { "" };
        let text = format!(
            r#"{{"id": "v{n}", "source": "app", "type": "$void", "voids": "e{target}", "time": "{}"{who}}}"#,
            Timestamp(time)
        );
        self.send(&text).await;
        let since = time.min(self.now);
        match self.seen.get_mut(target) {
            Some(seen) => seen.void_since = Some(seen.void_since.map_or(since, |known| known.min(since))),
            None => {
                let known = self.early.entry(format!("e{target}")).or_insert(since);
                *known = (*known).min(since);
            }
        }
    }

    async fn define(&mut self, dice: &mut Dice) {
        let n = self.defined.attributes.len() as u64;
        if n < 6 {
            let formula = n > 2 && dice.chance(4);
            let text = if formula {
                format!(r#"{{"expr": {}}}"#, dice::formula(dice, n, 3))
            } else {
                dice::aggregate(dice, true)
            };
            let name = format!("a{n}");
            self.tenant.put_attribute(&name, &value(&text)).await.unwrap();
            // What is no number is told by the refusal.
            let number = self.tenant.preview(&cdp_engine::segments::Trial {
                rule: value(&format!(r#"{{"attribute": "{name}", "op": "between", "value": [1, 2]}}"#)),
                ..Default::default()
            });
            if number.is_ok() {
                self.numeric.push(name.clone());
            }
            self.defined.attributes.insert(name, value(&text));
        } else {
            let m = self.defined.segments.len() as u64;
            let rule = dice::rule(dice, &self.numeric, m, 2);
            let name = format!("s{m}");
            self.tenant.put_segment(&name, &value(&format!(r#"{{"rule": {rule}}}"#))).await.unwrap();
            self.defined.segments.insert(name.clone(), value(&rule));
            self.built().await;
            self.began.insert(name.clone(), self.members(&name, None));
        }
        self.built().await;
    }

    async fn built(&self) {
        let mut tries = 0;
        while self.tenant.attributes().iter().any(|a| a.status != "active")
            || self.tenant.segments().iter().any(|s| s.status != "active")
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
            tries += 1;
            assert!(tries < 20_000, "seed {}: something is not built", self.seed);
        }
    }

    /// Until the timers that are due by the clock have fired: between two messages the writer looks at it.
    fn settle(&self) {
        tokio::task::block_in_place(|| {
            self.tenant.wait_until_applied().unwrap();
            self.tenant.wait_until_applied().unwrap();
        });
    }

    /// Says of two devices that they never are one person's, or always; or takes back what was said.
    async fn constrain(&mut self, dice: &mut Dice) {
        let before = self.people(None).len();
        if let Some(id) = self.said.keys().next().copied().filter(|_| dice.chance(3)) {
            self.tenant.release(id).await.unwrap();
            self.said.remove(&id);
        } else {
            let [a, b] = [dice.roll(DEVICES), dice.roll(DEVICES)].map(device);
            let word = if dice.chance(4) { "must_link" } else { "must_not_link" };
            let body = format!(
                r#"{{"kind": "{word}", "a": {{"type": "device", "value": "{}"}},
                "b": {{"type": "device", "value": "{}"}}, "reason": "test"}}"#,
                a.value, b.value
            );
            // Refused: one device twice, or the opposite of what stands.
            let Ok((made, _)) = self.tenant.constrain(&value(&body)).await else { return };
            let (a, b) = (Subject::Identifier(a), Subject::Identifier(b));
            self.said.insert(made.id, Constraint { a, b, ..made.constraint() });
        }
        self.undone += self.people(None).len().saturating_sub(before);
    }

    /// The people as of an instant, each with the events that are theirs.
    fn people(&self, as_of: Option<i64>) -> Vec<Who<'_>> {
        let said: Vec<Constraint> = self.said.values().cloned().collect();
        let resolver = Resolver::new(Rules::default(), Constraints::new(&said));
        let mut fragments: BTreeMap<Vec<Identifier>, (Known, Vec<&Seen>)> = BTreeMap::new();
        for seen in self.seen.iter().filter(|seen| as_of.is_none_or(|at| seen.event.time.0 <= at)) {
            let mut identifiers: Vec<Identifier> = seen.event.identifiers.iter().cloned().collect();
            identifiers.sort();
            identifiers.dedup();
            let (stamp, next) = (seen.event.stamp(), fragments.len() as u8 + 1);
            let (known, events) = fragments.entry(identifiers.clone()).or_insert_with(|| {
                let origin = Origin::of(&seen.event.kind, &identifiers, false);
                let known = Known { id: FragmentId([next; 16]), first: stamp.clone(), identifiers, origin };
                (known, Vec::new())
            });
            known.first = known.first.clone().min(stamp);
            events.push(seen);
        }
        let all: Vec<Known> = fragments.values().map(|(known, _)| known.clone()).collect();
        let mut people: BTreeMap<FragmentId, Who<'_>> = BTreeMap::new();
        for placed in resolver.resolve(&all) {
            let (known, events) = fragments.values().find(|(known, _)| known.id == placed.id).unwrap();
            let who = people.entry(placed.profile).or_default();
            who.events.extend(events);
            let aside = |n: usize| placed.set_aside.iter().any(|(at, _)| usize::from(*at) == n);
            let shown = known.identifiers.iter().enumerate().filter(|(n, _)| !aside(*n));
            who.devices.extend(shown.map(|(_, device)| device.value.to_string()));
        }
        people.into_values().collect()
    }

    fn person<'a>(&'a self, who: &Who<'a>, as_of: i64) -> Person<'a> {
        let events = who.events.iter().filter(|seen| seen.void_since.is_none_or(|since| since > as_of));
        Person::new(events.map(|seen| &seen.event).collect(), as_of, self.zone, &self.defined)
    }

    /// Everything that can be read of everybody, against the model; now, or as of an instant.
    fn check(&self, as_of: Option<i64>) {
        let at = as_of.unwrap_or(self.now);
        let mut members: BTreeMap<&String, BTreeSet<String>> = BTreeMap::new();
        for who in self.people(as_of) {
            let of = who.events[0].event.id.as_str();
            let context =
                || format!("seed {}, profile of {of}, as of {as_of:?}, now {}", self.seed, self.now);
            let id = self.tenant.receipt("app", of).unwrap().profile_id.unwrap();
            let profile: ProfileView = match (as_of, who.devices.first()) {
                (None, _) => self.tenant.profile(id).unwrap(),
                (Some(at), Some(device)) => {
                    self.tenant.lookup_as_of("device", device, Timestamp(at)).unwrap()
                }
                // Nothing leads to who has no device of their own.
                (Some(_), None) => continue,
            };
            let known: BTreeSet<String> =
                profile.identifiers.iter().map(|identifier| identifier.value.to_string()).collect();
            assert_eq!(known, who.devices, "{}", context());
            let person = self.person(&who, at);
            for (name, definition) in &self.defined.attributes {
                let read = profile.attributes.iter().find(|(known, _)| known == name).unwrap();
                let definition = json::to_string(definition);
                assert_eq!(read.1.value, person.attribute(name), "{name} {definition}, {}", context());
            }
            for (name, rule) in &self.defined.segments {
                let holds = person.rule(rule);
                let rule = json::to_string(rule);
                let is = profile.segments.iter().any(|known| known == name);
                assert_eq!(is, holds, "{name} {rule}, {}", context());
                if holds {
                    members.entry(name).or_default().insert(profile.id.to_string());
                }
                if as_of.is_none() {
                    let explained = self.tenant.explain_member(name, profile.id).unwrap();
                    assert_eq!(explained.member, holds, "explained: {name} {rule}, {}", context());
                }
            }
        }
        for name in self.defined.segments.keys() {
            let are = self.members(name, as_of);
            assert_eq!(are, members.remove(name).unwrap_or_default(), "seed {} {name}", self.seed);
            if as_of.is_none() {
                let mut inside = self.began[name].clone();
                for change in self.tenant.changes(name, 1000, None).unwrap().items {
                    let id = change.profile_id.to_string();
                    let news =
                        if change.change == "entered" { inside.insert(id) } else { inside.remove(&id) };
                    assert!(news, "seed {} {name}: {change:?}", self.seed);
                }
                assert_eq!(
                    inside, are,
                    "seed {} {name}: who follows the changes knows the members",
                    self.seed
                );
            }
        }
    }

    fn members(&self, name: &str, as_of: Option<i64>) -> BTreeSet<String> {
        let page = match as_of {
            None => self.tenant.members(name, 1000, None).unwrap().items,
            Some(at) => self.tenant.members_as_of(name, Timestamp(at), 1000, None).unwrap().1.items,
        };
        page.iter().map(ToString::to_string).collect()
    }
}

/// One history of a tenant with its definitions; how many joins were undone in it.
async fn one(seed: u64) -> usize {
    let dice = &mut Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let zone = dice::ZONES[dice.roll(4) as usize];
    let mut world = World::new(seed, zone).await;
    for _ in 0..dice.roll(11) {
        world.define(dice).await;
    }
    for step in 0..40 {
        match dice.roll(11) {
            0 => {
                world.now += 1 + dice.roll(30) as i64 * HOUR;
                world.clock.set(Timestamp(world.now));
            }
            1 if world.defined.segments.len() < 4 => world.define(dice).await,
            2 => world.void(dice, step).await,
            3 => {
                world.settle();
                world.check(None);
            }
            4 if dice.chance(2) => world.constrain(dice).await,
            _ => world.event(dice).await,
        }
    }
    for days in [1, 3, 12] {
        world.settle();
        world.check(None);
        world.now += days * 24 * HOUR + dice.roll(3) as i64 - 1;
        world.clock.set(Timestamp(world.now));
    }
    world.settle();
    world.check(None);
    for _ in 0..2 {
        world.check(Some(dice::instant(dice)));
    }
    if seed.is_multiple_of(4) {
        let engine = world.engine.clone();
        let verified = tokio::task::spawn_blocking(move || engine.verify()).await.unwrap().unwrap();
        assert!(verified.iter().all(|tenant| tenant.differences.is_empty()), "seed {seed}: {verified:?}");
    }
    let engine = world.engine.clone();
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    world.undone
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_living_tenant_says_what_a_full_recomputation_says() {
    // Each history has up to ten definitions; the full number is run with CDP_CASES.
    let cases = std::env::var("CDP_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let mut undone = 0;
    for seed in 0..cases {
        undone += one(seed).await;
    }
    assert!(undone > 0, "some joins were undone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_defined_while_events_come_in_is_what_a_rebuild_makes_of_the_journal() {
    for seed in 0..6 {
        let world = World::new(seed, "UTC").await;
        let event = move |n: u64| {
            let time = Timestamp(dice::BEGINS - 1000 * n as i64);
            value(&format!(
                r#"{{"id": "e{n}", "source": "app", "type": "buy", "time": "{time}",
                "identifiers": [{{"type": "device", "value": "d{}"}}], "properties": {{"total": {}}}}}"#,
                n % 97 * (seed + 1) % 89,
                n % 13
            ))
        };
        let tenant = world.tenant.clone();
        let sending = tokio::spawn(async move {
            let mut last = None;
            for part in 0..150 {
                let incoming = (part * 20..part * 20 + 20)
                    .map(|n| Incoming { value: event(n), bytes: 200, digest_of: None })
                    .collect();
                let how = Accept { source: "app".into(), ..Accept::default() };
                last = Some(tenant.accept(incoming, &how).await.unwrap().position);
            }
            assert!(tenant.wait_applied(last.unwrap(), Duration::from_secs(60)).await);
        });
        let text = r#"{"kind": "sum", "event": "buy", "property": "/total"}"#;
        world.tenant.put_attribute("spent", &value(text)).await.unwrap();
        for n in 0..4 {
            let rule = format!(
                r#"{{"rule": {{"any": [{{"attribute": "spent", "op": "gt", "value": {}}},
                {{"did": {{"event": "buy", "count": {{"op": "gte", "value": {}}}, "within": {{"minutes": 30}}}}}}]}}}}"#,
                100 + 20 * n,
                3 + n
            );
            // Some replace one that is still being built.
            world.tenant.put_segment(&format!("s{}", n % 3), &value(&rule)).await.unwrap();
            tokio::task::yield_now().await;
        }
        world.built().await;
        sending.await.unwrap();
        let engine = world.engine.clone();
        let verified = tokio::task::spawn_blocking(move || engine.verify()).await.unwrap().unwrap();
        assert!(verified.iter().all(|tenant| tenant.differences.is_empty()), "seed {seed}: {verified:?}");
        let engine = world.engine.clone();
        tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    }
}
