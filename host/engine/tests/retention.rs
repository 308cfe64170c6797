//! Deletion by age against a naive model: another tenant that is told only what is left.
//!
//! In the model an event that decayed is one of the type `bare`, with nobody's properties or traits; one that is frozen is
//! there as it was; one that was too old when it came is not there at all.
#![expect(clippy::unwrap_used, reason = "this whole target is tests")]

#[path = "../../domain/tests/model/dice.rs"]
mod dice;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cdp_domain::json;
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_engine::accept::{Accept, Incoming};
use cdp_engine::clock::ManualClock;
use cdp_engine::registry::NewTenant;
use cdp_engine::{Engine, Options, Storage, Tenant};
use cdp_store::seal::MasterKey;
use dice::Dice;

const DAY: i64 = 86_400_000;
const BEGINS: i64 = 1_700_000_000_000;
const DEVICES: u64 = 8;
/// Days that events are kept; `note` for ever.
const KEPT: [(&str, i64, &str); 2] = [("view", 10, "decayed"), ("buy", 20, "frozen")];

fn value(text: &str) -> Value {
    json::parse(text.as_bytes(), json::Options::default()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[derive(Clone)]
struct Sent {
    id: String,
    kind: &'static str,
    time: i64,
    who: String,
    rest: String,
    /// It was too old when it came.
    late: bool,
    /// It went by its age.
    gone: bool,
    /// It was taken back while it was there.
    void: bool,
}

impl Sent {
    fn kept(&self) -> Option<(i64, &'static str)> {
        KEPT.iter().find(|(kind, ..)| *kind == self.kind).map(|(_, days, derived)| (*days * DAY, *derived))
    }

    fn is_over(&self, now: i64) -> bool {
        self.kept().is_some_and(|(kept, _)| self.time + kept <= now)
    }

    fn text(&self, kind: &str, rest: &str) -> String {
        let (id, time) = (&self.id, Timestamp(self.time));
        format!(
            r#"{{"id": "{id}", "type": "{kind}", "time": "{time}", "identifiers": [{}]{rest}}}"#,
            self.who
        )
    }
}

struct World {
    engine: Option<Engine>,
    clock: Arc<ManualClock>,
    now: i64,
    sent: Vec<Sent>,
    voids: Vec<(String, usize)>,
    defined: Vec<(String, String)>,
    dir: tempfile::TempDir,
}

fn open(dir: &std::path::Path, clock: &Arc<ManualClock>) -> Engine {
    let mut options = Options::new(dir.join("data"), MasterKey::from_bytes([7; 32]));
    options.storage = Storage::Memory;
    options.clock = clock.clone();
    Engine::open(options).unwrap()
}

async fn tenant(engine: &Engine, slug: &str) -> Tenant {
    let new = NewTenant { slug: slug.into(), name: slug.into(), time_zone: None };
    let (info, _) = engine.create_tenant(new).await.unwrap();
    engine.open_tenants().into_iter().find(|tenant| tenant.no() == info.no).unwrap()
}

async fn send(tenant: &Tenant, text: &str) {
    let incoming = Incoming { value: value(text), bytes: text.len(), digest_of: None };
    let how = Accept { source: "app".into(), ..Accept::default() };
    let accepted = tenant.accept(vec![incoming], &how).await.unwrap();
    assert_eq!(accepted.accepted, 1, "{text} {:?}", accepted.items);
    assert!(tenant.wait_applied(accepted.position, Duration::from_secs(20)).await);
}

async fn built(tenant: &Tenant) {
    let mut tries = 0;
    while tenant.attributes().iter().any(|a| a.status != "active")
        || tenant.segments().iter().any(|s| s.status != "active")
    {
        tokio::time::sleep(Duration::from_millis(1)).await;
        tries += 1;
        assert!(tries < 20_000, "something is not built");
    }
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp(BEGINS)));
        let engine = Some(open(dir.path(), &clock));
        let (sent, voids, defined) = (Vec::new(), Vec::new(), Vec::new());
        Self { engine, clock, now: BEGINS, sent, voids, defined, dir }
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    fn shop(&self) -> Tenant {
        self.engine().open_tenants().into_iter().find(|tenant| tenant.info().slug == "shop").unwrap()
    }

    async fn define(&mut self, name: &str, definition: &str) {
        self.shop().put_attribute(name, &value(definition)).await.unwrap();
        built(&self.shop()).await;
        self.defined.push((name.to_owned(), definition.to_owned()));
    }

    async fn event(&mut self, dice: &mut Dice) {
        let mut who = format!(r#"{{"type": "device", "value": "d{}"}}"#, dice.roll(DEVICES));
        if dice.chance(2) {
            who.push_str(&format!(r#", {{"type": "device", "value": "d{}"}}"#, dice.roll(DEVICES)));
        }
        let mut rest =
            format!(r#", "properties": {{"total": {}, "sku": "s{}"}}"#, dice.roll(50), dice.roll(4));
        if dice.chance(3) {
            rest.push_str(&format!(r#", "traits": {{"city": "c{}"}}"#, dice.roll(3)));
        }
        if dice.chance(1) {
            let address = format!("a{}@shop.example", dice.roll(DEVICES));
            rest.push_str(&format!(
                r#", "consents": [{{"channel": "email", "address": "{address}", "purpose": "news", "status": "granted"}}]"#
            ));
        }
        let kind = ["view", "buy", "note"][dice.roll(3) as usize];
        let time = self.now - dice.roll(25 * 24) as i64 * (DAY / 24);
        let id = format!("e{}", self.sent.len());
        let mut sent = Sent { id, kind, time, who, rest, late: false, gone: false, void: false };
        sent.late = self.ruled() && sent.is_over(self.now);
        send(&self.shop(), &sent.text(sent.kind, &sent.rest)).await;
        self.sent.push(sent);
    }

    fn ruled(&self) -> bool {
        !self.shop().retention().retention.rules.is_empty()
    }

    async fn void(&mut self, dice: &mut Dice) {
        let target = dice.roll(self.sent.len() as u64) as usize;
        let id = format!("v{}", self.voids.len());
        let text = format!(
            r#"{{"id": "{id}", "type": "$void", "voids": "e{target}", "time": "{}"}}"#,
            Timestamp(self.now)
        );
        send(&self.shop(), &text).await;
        if !self.sent[target].gone {
            self.sent[target].void = true;
        }
        self.voids.push((id, target));
    }

    async fn keep(&self) {
        let rules = KEPT.map(|(kind, days, derived)| {
            format!(r#"{{"type": "{kind}", "days": {days}, "derived": "{derived}"}}"#)
        });
        self.shop().put_retention(&value(&format!(r#"{{"rules": [{}]}}"#, rules.join(",")))).await.unwrap();
    }

    /// Until everything whose days are over is gone.
    async fn swept(&mut self) {
        let shop = self.shop();
        let mut tries = 0;
        while shop.retention().retention.swept_at.is_none_or(|at| at.0 < self.now) {
            tokio::task::block_in_place(|| shop.wait_until_applied().unwrap());
            tokio::time::sleep(Duration::from_millis(2)).await;
            tries += 1;
            assert!(tries < 10_000, "it is never swept: {:?}", shop.retention());
        }
        let now = self.now;
        self.sent.iter_mut().filter(|sent| sent.is_over(now)).for_each(|sent| sent.gone = true);
    }

    /// A tenant that was told what is left.
    async fn model(&self, n: usize) -> Tenant {
        let model = tenant(self.engine(), &format!("model-{n}")).await;
        let purpose = r#"{"title": "News", "legal_basis": "consent", "channels": ["email"]}"#;
        model.put_purpose("news", &value(purpose)).await.unwrap();
        for (name, definition) in &self.defined {
            model.put_attribute(name, &value(definition)).await.unwrap();
        }
        built(&model).await;
        for sent in self.sent.iter().filter(|sent| !sent.late) {
            let decayed = sent.gone && sent.kept().is_some_and(|(_, derived)| derived == "decayed");
            let consents = sent.rest.find(r#", "consents""#).map_or("", |at| &sent.rest[at..]);
            let (kind, rest) =
                if decayed || sent.void { ("bare", consents) } else { (sent.kind, sent.rest.as_str()) };
            send(&model, &sent.text(kind, rest)).await;
        }
        model
    }

    async fn check(&self, n: usize) {
        let (shop, model) = (self.shop(), self.model(n).await);
        for device in (0..DEVICES).map(|n| format!("d{n}")) {
            let read = |tenant: &Tenant| {
                let profile = tenant.lookup("device", &device).ok()?;
                let attributes: BTreeMap<String, String> = profile
                    .attributes
                    .iter()
                    .map(|(name, read)| (name.to_string(), format!("{:?}", read.value)))
                    .collect();
                let traits: Vec<_> =
                    profile.traits.iter().map(|(name, read)| (name.clone(), read.value.clone())).collect();
                let ids: Vec<_> = profile.identifiers.iter().map(|one| one.value.clone()).collect();
                let channels: Vec<_> = profile
                    .channels
                    .iter()
                    .map(|one| (one.contact.clone(), format!("{:?}", one.consents)))
                    .collect();
                Some((profile.id, ids, attributes, traits, channels, profile.first_seen))
            };
            let (is, should) = (read(&shop), read(&model));
            let parts = |read: &Option<_>| format!("{read:#?}");
            // The two tenants call people by other names.
            let strip = |text: String| text.lines().skip(4).collect::<Vec<_>>().join("\n");
            assert_eq!(strip(parts(&is)), strip(parts(&should)), "round {n}, {device}");
        }
        let accounting = tokio::task::block_in_place(|| shop.accounting().unwrap());
        assert_eq!(accounting.difference, Some(0), "{accounting:?}");
        let left_over = self.sent.iter().filter(|sent| sent.gone).count() as u64;
        assert!(accounting.expired <= left_over, "{accounting:?}");
        let verified = tokio::task::block_in_place(|| self.engine().verify().unwrap());
        let shop = verified.iter().find(|one| one.tenant == shop.no()).unwrap();
        assert_eq!(shop.differences, Vec::<String>::new(), "round {n}");
    }
}

async fn history(seed: u64) {
    let mut dice = Dice(seed);
    let mut world = World::new();
    tenant(world.engine(), "shop").await;
    let purpose = r#"{"title": "News", "legal_basis": "consent", "channels": ["email"]}"#;
    world.shop().put_purpose("news", &value(purpose)).await.unwrap();
    for (name, definition) in [
        ("views", r#"{"kind": "count", "event": "view"}"#),
        ("spent", r#"{"kind": "sum", "event": "buy", "property": "/total"}"#),
        ("last_sku", r#"{"kind": "last", "event": ["buy", "view"], "property": "/sku"}"#),
        ("skus", r#"{"kind": "unique_list", "event": ["buy", "view"], "property": "/sku"}"#),
        ("recent", r#"{"kind": "count", "event": ["buy", "view"], "window": {"days": 15}}"#),
        ("since", r#"{"kind": "time_since_first", "event": "buy", "unit": "days"}"#),
    ] {
        world.define(name, definition).await;
    }
    for _ in 0..25 {
        world.event(&mut dice).await;
    }
    world.keep().await;
    world.swept().await;
    world.check(0).await;
    for round in 1..4 {
        for _ in 0..15 {
            world.event(&mut dice).await;
            if dice.chance(2) {
                world.void(&mut dice).await;
            }
        }
        if round == 2 {
            // Events that are gone already are not in what is defined later; here none of its type goes.
            world.define("notes", r#"{"kind": "count", "event": "note"}"#).await;
        }
        world.now += (1 + dice.roll(6) as i64) * DAY + 1;
        world.clock.set(Timestamp(world.now));
        world.swept().await;
        world.check(round).await;
    }
    // A whole new state from the redacted journal answers the same.
    let before: Vec<_> =
        (0..DEVICES).map(|n| format!("{:?}", world.shop().lookup("device", &format!("d{n}")).ok())).collect();
    let expired = world.shop().retention().expired;
    assert!(expired > 0 || world.sent.iter().all(|sent| !sent.gone));
    world.engine().close();
    drop(world.engine.take());
    world.engine = Some(open(world.dir.path(), &world.clock));
    tokio::task::block_in_place(|| world.engine().wait_until_applied().unwrap());
    let after: Vec<_> =
        (0..DEVICES).map(|n| format!("{:?}", world.shop().lookup("device", &format!("d{n}")).ok())).collect();
    assert_eq!(before, after);
    assert_eq!(world.shop().retention().expired, expired);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_is_what_a_tenant_knows_that_was_told_nothing_else() {
    let histories = std::env::var("CDP_RETENTION_HISTORIES").ok().and_then(|n| n.parse().ok()).unwrap_or(4);
    for seed in 1..=histories {
        history(seed).await;
    }
}

/// A shop with attributes and one customer, with so many events of a type.
async fn one_customer(engine: &Engine, kind: &str, attributes: &[(&str, &str)], events: usize) -> Tenant {
    let shop = tenant(engine, "shop").await;
    for (name, definition) in attributes {
        shop.put_attribute(name, &value(definition)).await.unwrap();
    }
    built(&shop).await;
    for n in 0..events {
        // A thousand bytes of its own each.
        let page = format!("{n:04}").repeat(250);
        let time = Timestamp(BEGINS - 90 * DAY + n as i64);
        let text = format!(
            r#"{{"id": "{kind}-{n}", "type": "{kind}", "time": "{time}", "identifiers": [{{"type": "device", "value": "d"}}], "properties": {{"page": "{page}"}}}}"#
        );
        send(&shop, &text).await;
    }
    shop
}

async fn until_swept(shop: &Tenant) {
    for _ in 0..10_000 {
        if shop.retention().retention.swept_at.is_some() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("it is never swept: {:?}", shop.retention());
}

/// What the only job of a kind came to.
async fn ended(engine: &Engine, shop: &Tenant, kind: &str) -> Arc<serde_json::Value> {
    for _ in 0..10_000 {
        let job = engine.jobs().list(shop.no()).into_iter().find(|job| job.kind == kind).unwrap();
        assert!(job.error.is_none(), "{job:?}");
        if let Some(result) = job.result {
            return result;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("{kind} never ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_frozen_of_one_person_may_be_more_than_a_record_holds() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp(BEGINS)));
    let engine = open(dir.path(), &clock);
    // What stays of 700 values of a thousand bytes is more than a mebibyte in the form that it has in a record.
    let most = r#"{"kind": "most_frequent", "event": "view", "property": "/page"}"#;
    let count = r#"{"kind": "count", "event": "view"}"#;
    let shop = one_customer(&engine, "view", &[("most", most), ("views", count)], 700).await;
    let read = |shop: &Tenant| {
        let profile = shop.lookup("device", "d").unwrap();
        format!("{:?}", profile.attributes.iter().map(|(name, read)| (name, &read.value)).collect::<Vec<_>>())
    };
    let before = read(&shop);
    let rules = value(r#"{"rules": [{"type": "view", "days": 30, "derived": "frozen"}]}"#);
    shop.try_retention(&rules).unwrap();
    let counted = ended(&engine, &shop, "retention_preview").await;
    assert_eq!(counted["events"], 700, "{counted}");
    shop.put_retention(&rules).await.unwrap();
    until_swept(&shop).await;
    // All but the first, which says who they are.
    assert_eq!(shop.retention().expired, 699);
    assert_eq!(read(&shop), before);
    let result = ended(&engine, &shop, "retention").await;
    assert_eq!((&result["redacted"], &result["waiting"]), (&700.into(), &0.into()), "{result}");
    let verified = tokio::task::block_in_place(|| engine.verify().unwrap());
    assert_eq!(verified[0].differences, Vec::<String>::new());
    engine.close();
    drop(shop);
    drop(engine);
    let engine = open(dir.path(), &clock);
    tokio::task::block_in_place(|| engine.wait_until_applied().unwrap());
    assert_eq!(read(&engine.open_tenants().remove(0)), before, "after a rebuild");
}
