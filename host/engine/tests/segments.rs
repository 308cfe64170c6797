//! Attributes and segments of a living tenant against the reference model: people who turn out to be one, late events,
//! events of the future, events that are taken back, definitions that come in the middle, and time that passes.
#![expect(clippy::unwrap_used, reason = "this whole target is tests")]

#[path = "../../domain/tests/model/dice.rs"]
mod dice;
#[path = "../../domain/tests/model/mod.rs"]
mod model;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cdp_domain::event::{Defaults, Event};
use cdp_domain::identity::Rules;
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
            self.defined.segments.insert(name, value(&rule));
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

    /// The people as of an instant: who shares a device, directly or through others.
    fn people(&self, as_of: Option<i64>) -> Vec<BTreeSet<String>> {
        let mut people: Vec<BTreeSet<String>> = Vec::new();
        for seen in self.seen.iter().filter(|seen| as_of.is_none_or(|at| seen.event.time.0 <= at)) {
            let mut one: BTreeSet<String> =
                seen.event.identifiers.iter().map(|identifier| identifier.value.to_string()).collect();
            people.retain(|other| {
                let joins = !one.is_disjoint(other);
                if joins {
                    one.extend(other.iter().cloned());
                }
                !joins
            });
            people.push(one);
        }
        people
    }

    fn person(&self, devices: &BTreeSet<String>, as_of: i64) -> Person<'_> {
        let events = self.seen.iter().filter(|seen| {
            seen.event.identifiers.iter().any(|identifier| devices.contains(identifier.value.as_str()))
                && seen.void_since.is_none_or(|since| since > as_of)
        });
        Person::new(events.map(|seen| &seen.event).collect(), as_of, self.zone, &self.defined)
    }

    /// Everything that can be read of everybody, against the model; now, or as of an instant.
    fn check(&self, as_of: Option<i64>) {
        let at = as_of.unwrap_or(self.now);
        let mut members: BTreeMap<&String, BTreeSet<String>> = BTreeMap::new();
        for devices in self.people(as_of) {
            let device = devices.first().unwrap();
            let context =
                || format!("seed {}, device {device}, as of {as_of:?}, now {}", self.seed, self.now);
            let profile: ProfileView = match as_of {
                None => self.tenant.lookup("device", device).unwrap(),
                Some(at) => self.tenant.lookup_as_of("device", device, Timestamp(at)).unwrap(),
            };
            let known: BTreeSet<String> =
                profile.identifiers.iter().map(|identifier| identifier.value.to_string()).collect();
            assert_eq!(known, devices, "{}", context());
            let person = self.person(&devices, at);
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
            let page = match as_of {
                None => self.tenant.members(name, 1000, None).unwrap().items,
                Some(at) => self.tenant.members_as_of(name, Timestamp(at), 1000, None).unwrap().1.items,
            };
            let page: BTreeSet<String> = page.iter().map(ToString::to_string).collect();
            assert_eq!(page, members.remove(name).unwrap_or_default(), "seed {} {name}", self.seed);
            if as_of.is_none() {
                let changes = self.tenant.changes(name, 1000, None).unwrap().items;
                let mut inside = BTreeSet::new();
                for change in changes {
                    // Who was there when a version of the segment began to serve leaves without having entered.
                    if change.change == "entered" {
                        let news = inside.insert(change.profile_id);
                        assert!(news, "seed {} {name}: entered twice", self.seed);
                    } else {
                        inside.remove(&change.profile_id);
                    }
                }
            }
        }
    }
}

/// One history of a tenant with its definitions.
async fn one(seed: u64) {
    let dice = &mut Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let zone = dice::ZONES[dice.roll(4) as usize];
    let mut world = World::new(seed, zone).await;
    for _ in 0..dice.roll(11) {
        world.define(dice).await;
    }
    for step in 0..40 {
        match dice.roll(10) {
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
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_living_tenant_says_what_a_full_recomputation_says() {
    // Each history has up to ten definitions; the full number is run with CDP_CASES.
    let cases = std::env::var("CDP_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    for seed in 0..cases {
        one(seed).await;
    }
}
