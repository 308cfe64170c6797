//! Events that transformers make: state is what it would be if their makers had sent them, whatever comes when; they go
//! with the event they were made of, and a rebuild makes the same bytes.
//!
//! `CDP_BORN_RUNS` says how many histories are tried, 4 when it is not set.

#![expect(clippy::unwrap_used, reason = "this whole target is tests")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cdp_domain::ids::Position;
use cdp_domain::json;
use cdp_domain::limits::NEW_EVENTS_MAX;
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_engine::accept::{Accept, Incoming};
use cdp_engine::clock::ManualClock;
use cdp_engine::dead_letters::Filter;
use cdp_engine::receipts::{Receipt, Stage};
use cdp_engine::registry::NewTenant;
use cdp_engine::{Engine, Options, Storage, Tenant};
use cdp_store::seal::MasterKey;

const DAY_MS: i64 = 86_400_000;
const START: i64 = 1_735_689_600_000;

struct World {
    engine: Engine,
    clock: Arc<ManualClock>,
    now: i64,
    _dir: tempfile::TempDir,
}

fn value(text: &str) -> Value {
    json::parse(text.as_bytes(), json::Options::default()).unwrap()
}

fn guest(name: &str) -> Vec<u8> {
    let usual = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/guests");
    let dir = std::env::var_os("CDP_GUESTS_DIR").map_or_else(|| PathBuf::from(usual), PathBuf::from);
    std::fs::read(dir.join(format!("{name}.wasm"))).expect("run `cargo xtask guests`")
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now = START + 100 * DAY_MS;
        let clock = Arc::new(ManualClock::new(Timestamp(now)));
        let mut options = Options::new(dir.path().join("data"), MasterKey::from_bytes([7; 32]));
        options.storage = Storage::Memory;
        options.clock = clock.clone();
        Self { engine: Engine::open(options).unwrap(), clock, now, _dir: dir }
    }

    async fn tenant(&self, slug: &str) -> Tenant {
        let new = NewTenant { slug: slug.into(), name: slug.into(), time_zone: None };
        let (info, _) = self.engine.create_tenant(new).await.unwrap();
        self.engine.open_tenants().into_iter().find(|tenant| tenant.no() == info.no).unwrap()
    }

    /// Time goes on until everything is applied and derived.
    async fn settle(&mut self, tenant: &Tenant, position: Position) {
        loop {
            self.now += 100;
            self.clock.set(Timestamp(self.now));
            if tenant.wait_applied(position, Duration::from_millis(100)).await {
                return;
            }
        }
    }

    async fn send(&mut self, tenant: &Tenant, events: &[String]) {
        let incoming =
            events.iter().map(|text| Incoming { value: value(text), bytes: text.len(), digest_of: None });
        let how = Accept { source: "test".into(), ..Accept::default() };
        let accepted = tenant.accept(incoming.collect(), &how).await.unwrap();
        assert_eq!(accepted.rejected, 0, "{:?}", accepted.items);
        self.settle(tenant, accepted.position).await;
    }

    async fn built(&mut self, tenant: &Tenant) {
        for _ in 0..20_000 {
            let building = tenant.attributes().iter().any(|a| a.status != "active")
                || tenant.segments().iter().any(|s| s.status != "active");
            if !building {
                return;
            }
            self.now += 10;
            self.clock.set(Timestamp(self.now));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("not built: {:?}", tenant.attributes());
    }

    async fn define(&mut self, tenant: &Tenant, attributes: &[(&str, &str)]) {
        for (name, text) in attributes {
            tenant.put_attribute(name, &value(text)).await.unwrap();
        }
        self.built(tenant).await;
    }

    async fn finish(self) {
        let engine = self.engine.clone();
        tokio::task::spawn_blocking(move || {
            let verified = engine.verify().unwrap();
            assert!(verified.iter().all(|tenant| tenant.differences.is_empty()), "{verified:?}");
            engine.close();
        })
        .await
        .unwrap();
    }
}

async fn activate(tenant: &Tenant, plugin: &str, config: &str) {
    activate_as(tenant, plugin, plugin, config).await;
}

async fn activate_as(tenant: &Tenant, plugin: &str, component: &str, config: &str) {
    let uploaded = tenant.upload_plugin(plugin, guest(&component.replace('-', "_")), None).await.unwrap();
    let body = format!(r#"{{"grants":{},"config":{config}}}"#, uploaded.requests);
    tenant.activate_plugin(plugin, uploaded.version, &value(&body)).await.unwrap();
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % sides as u64) as usize
    }
}

const PEOPLE: usize = 5;
const KINDS: [&str; 2] = ["user_id", "device"];

/// A step of a history in both tellings: as the plugin's tenant gets it, and as one gets it whose sender sends the lines.
fn step(n: usize, dice: &mut Dice, now: i64) -> (String, Vec<String>) {
    let at = |time: i64| Timestamp(time).to_string();
    if n > 3 && dice.roll(7) == 0 {
        let (target, time) = (dice.roll(n), at(now - dice.roll(5) as i64 * 1000));
        let void = |id: String, of: String| {
            format!(r#"{{"id":"{id}","type":"$void","voids":"{of}","time":"{time}"}}"#)
        };
        let lines = (1..=3).map(|line| void(format!("v{n}-{line}"), format!("e{target}-{line}")));
        let whole = void(format!("v{n}"), format!("e{target}"));
        return (whole.clone(), std::iter::once(whole).chain(lines).collect());
    }
    let mut who = Vec::new();
    if dice.roll(3) > 0 {
        who.push(format!(r#"{{"type":"user_id","value":"{}"}}"#, dice.roll(PEOPLE)));
    }
    if who.is_empty() || dice.roll(4) == 0 {
        who.push(format!(r#"{{"type":"device","value":"{}"}}"#, dice.roll(PEOPLE)));
    }
    let who = who.join(",");
    // Some lie in the future and wait for their time.
    let time = if dice.roll(12) == 0 { now + 150 } else { START + dice.roll(90) as i64 * DAY_MS };
    let event = |id: String, kind: &str, properties: String| {
        format!(
            r#"{{"id":"{id}","type":"{kind}","time":"{}","identifiers":[{who}],"properties":{{{properties}}}}}"#,
            at(time)
        )
    };
    let lines: Vec<String> = (0..dice.roll(4))
        .map(|_| format!(r#""sku":"s{}","quantity":{}"#, dice.roll(9), 1 + dice.roll(5)))
        .collect();
    let products: Vec<String> = lines.iter().map(|line| format!("{{{line}}}")).collect();
    let order = event(format!("e{n}"), "order", format!(r#""products":[{}]"#, products.join(",")));
    let sent = lines.iter().enumerate().map(|(line, said)| {
        event(format!("e{n}-{}", line + 1), "line", format!(r#"{said},"line":{}"#, line + 1))
    });
    (order.clone(), std::iter::once(order).chain(sent).collect())
}

const COUNTED: [(&str, &str); 3] = [
    ("lines", r#"{"kind":"count","event":"line"}"#),
    ("pieces", r#"{"kind":"sum","event":"line","property":"/quantity"}"#),
    ("products", r#"{"kind":"distinct_count","event":"line","property":"/sku"}"#),
];
const DERIVED: (&str, &str) = ("derived", r#"{"plugin":"rfm","output":"frequency","event":["line"]}"#);
const RULE: &str = r#"{"rule":{"attribute":"pieces","op":"gte","value":8}}"#;

/// Whose they are, what is read of them, and in how many segments they are.
type Facts = (String, Vec<(String, Option<Value>)>, usize);

fn facts(tenant: &Tenant, at: Option<Timestamp>) -> Vec<Facts> {
    let mut all = Vec::new();
    for kind in KINDS {
        for n in 0..PEOPLE {
            let found = match at {
                None => tenant.lookup(kind, &n.to_string()),
                Some(at) => tenant.lookup_as_of(kind, &n.to_string(), at),
            };
            let Ok(profile) = found else { continue };
            let of = |(name, view): &(_, cdp_engine::profiles::AttributeView)| {
                (format!("{name}"), view.value.clone())
            };
            let mut attributes: Vec<(String, Option<Value>)> = profile.attributes.iter().map(of).collect();
            if at.is_some() {
                attributes.retain(|(name, _)| name != "derived");
            }
            all.push((format!("{kind} {n}"), attributes, profile.segments.len()));
        }
    }
    all
}

async fn history(seed: usize) {
    let mut dice = Dice(seed as u64 * 7919 + 11);
    let mut world = World::new();
    let made = world.tenant("made").await;
    let told = world.tenant("told").await;
    let shuffled = world.tenant("shuffled").await;
    for tenant in [&made, &shuffled] {
        activate(tenant, "order-lines", r#"{"event":"line","only":"order"}"#).await;
    }
    for tenant in [&made, &told, &shuffled] {
        activate(tenant, "rfm", r#"{"purchases":"line","refunds":""}"#).await;
    }
    let early = dice.roll(2) == 0;
    let mut whole = Vec::new();
    let mut n = 0;
    while n < 36 {
        let count = 1 + dice.roll(6);
        let steps: Vec<_> = (n..n + count).map(|n| step(n, &mut dice, world.now)).collect();
        if (n == 0) == early && n <= 18 && n + count > if early { 0 } else { 18 } {
            for tenant in [&made, &told] {
                world.define(tenant, &COUNTED).await;
                world.define(tenant, &[DERIVED]).await;
                tenant.put_segment("many", &value(RULE)).await.unwrap();
                world.built(tenant).await;
            }
        }
        n += count;
        let orders: Vec<String> = steps.iter().map(|(order, _)| order.clone()).collect();
        world.send(&made, &orders).await;
        world.send(&told, &steps.iter().flat_map(|(_, sent)| sent.clone()).collect::<Vec<_>>()).await;
        whole.extend(orders);
    }
    // Another order, and some of it twice.
    world.define(&shuffled, &COUNTED).await;
    for at in (1..whole.len()).rev() {
        whole.swap(at, dice.roll(at + 1));
    }
    let again: Vec<String> = whole.iter().filter(|_| dice.roll(5) == 0).cloned().collect();
    for part in whole.chunks(7).chain(again.chunks(5)) {
        world.send(&shuffled, part).await;
    }
    world.define(&shuffled, &[DERIVED]).await;
    shuffled.put_segment("many", &value(RULE)).await.unwrap();
    world.built(&shuffled).await;
    // What waited for its time has come, and is derived.
    for end in ["end", "very end"] {
        let event =
            format!(r#"{{"id":"{end}","type":"look","identifiers":[{{"type":"device","value":"0"}}]}}"#);
        for tenant in [&made, &told, &shuffled] {
            world.send(tenant, std::slice::from_ref(&event)).await;
        }
        world.now += 200;
    }
    let expected = facts(&told, None);
    assert!(expected.iter().any(|(_, attributes, _)| attributes.iter().any(|(_, value)| value.is_some())));
    assert_eq!(facts(&made, None), expected, "seed {seed}");
    assert_eq!(facts(&shuffled, None), expected, "seed {seed}, in another order");
    let past = Some(Timestamp(START + 40 * DAY_MS));
    assert_eq!(facts(&made, past), facts(&told, past), "seed {seed}, in the past");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_transformer_makes_counts_as_if_it_had_been_sent() {
    let runs = std::env::var("CDP_BORN_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(4);
    for seed in 0..runs {
        history(seed).await;
    }
}

fn order(id: &str, user: &str, lines: usize, more: &str) -> String {
    let line = |n: usize| format!(r#"{{"sku":"s{n}","quantity":1{more}}}"#);
    let lines: Vec<String> = (0..lines).map(line).collect();
    format!(
        r#"{{"id":"{id}","type":"order","time":"2025-02-01T00:00:00Z","identifiers":[{{"type":"user_id","value":"{user}"}}],"properties":{{"order_id":"{id}","products":[{}]}}}}"#,
        lines.join(",")
    )
}

fn read(tenant: &Tenant, user: &str, name: &str) -> Option<Value> {
    let profile = tenant.lookup("user_id", user).ok()?;
    profile.attributes.iter().find(|(known, _)| known == name)?.1.value.clone()
}

fn number(tenant: &Tenant, user: &str, name: &str) -> Option<String> {
    read(tenant, user, name)?.as_decimal().map(|number| number.normalize().to_string())
}

fn made(receipt: &Receipt, plugin: &str) -> Vec<(String, bool)> {
    let of = |stage: &Stage| match stage {
        Stage::Transformed { plugin: by, new_events, .. } if by == plugin => {
            Some(new_events.iter().map(|one| (one.id.to_string(), one.kept)).collect())
        }
        _ => None,
    };
    receipt.stages.iter().find_map(of).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_events_are_seen_wherever_events_are_and_go_with_their_own() {
    let mut world = World::new();
    let tenant = world.tenant("shop").await;
    activate(&tenant, "order-lines", r#"{"event":"line","only":"order"}"#).await;
    world.define(&tenant, &COUNTED[..1]).await;
    let others = r#","country":"EIRE""#;
    world.send(&tenant, &[order("o1", "1", 2, others), order("o2", "2", 1, "")]).await;
    let receipt = tenant.receipt("test", "o1").unwrap();
    let both = [("o1.$1".to_owned(), true), ("o1.$2".to_owned(), true)];
    assert_eq!(made(&receipt, "order-lines"), both);
    assert_eq!(tenant.receipt("test", "o1.$2").unwrap(), receipt, "found by its id too");
    let timeline = |user: &str| {
        let profile = tenant.lookup("user_id", user).unwrap();
        let page = tenant.timeline(profile.id, 10, None).unwrap().items;
        page.iter().map(|one| json::to_string(&one.event)).collect::<Vec<_>>()
    };
    let seen = timeline("1");
    assert_eq!(seen.len(), 3, "{seen:#?}");
    assert!(seen[0].contains(r#""id":"o1.$2""#) && seen[0].contains(r#""born_of":"o1""#), "{seen:#?}");
    let profile = tenant.lookup("user_id", "1").unwrap();
    let (mut paged, mut before) = (Vec::new(), None);
    loop {
        let page = tenant.timeline(profile.id, 1, before).unwrap();
        paged.extend(page.items.iter().map(|one| json::to_string(&one.event)));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(paged, seen, "page by page");
    let (line, sample) = tenant.event_type("line").unwrap();
    assert_eq!(line.volume, 3);
    assert!(json::to_string(&sample.unwrap()).contains("born_of"));
    assert_eq!(tenant.accounting().unwrap().applied, 2, "what was accepted is accounted for");
    // A later transformer sees them too, and each has its own answer there.
    activate(&tenant, "country-code", "{}").await;
    world.send(&tenant, &[order("o3", "1", 1, others)]).await;
    assert!(timeline("1").iter().any(|event| event.contains(r#""country_code":"IE""#)));
    assert!(!timeline("2").iter().any(|event| event.contains("country_code")));
    // Taking the order back takes its lines back.
    assert_eq!(read(&tenant, "1", "lines"), Some(Value::from(3)));
    world.send(&tenant, &[r#"{"id":"v","type":"$void","voids":"o1"}"#.to_owned()]).await;
    assert_eq!(read(&tenant, "1", "lines"), Some(Value::from(1)));
    // Who is erased leaves nothing of them behind.
    let job = tenant.erase("user_id", "1", "asked for", "test").await.unwrap();
    for _ in 0..20_000 {
        if tenant.erasure(job).unwrap().to_string().contains("\"done\"") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(tenant.lookup("user_id", "1").is_err());
    assert!(tenant.receipt("test", "o1.$1").unwrap().stages.len() <= 2, "the record cannot be read any more");
    assert_eq!(read(&tenant, "2", "lines"), Some(Value::from(1)));
    world.finish().await;
}

/// The lines of an order age with it: they decay together, and what they amounted to stays together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_events_age_with_their_own() {
    for derived in ["decayed", "frozen"] {
        let mut world = World::new();
        let tenant = world.tenant("shop").await;
        activate(&tenant, "order-lines", r#"{"event":"line","only":"order"}"#).await;
        world.define(&tenant, &COUNTED).await;
        let fresh =
            order("o4", "1", 1, "").replace("2025-02-01T00:00:00Z", &Timestamp(world.now).to_string());
        let old = [("o1", 2), ("o2", 2), ("o3", 1)].map(|(id, lines)| order(id, "1", lines, ""));
        world.send(&tenant, &old).await;
        world.send(&tenant, &[fresh]).await;
        assert_eq!(read(&tenant, "1", "lines"), Some(Value::from(6)));
        let rules = format!(r#"{{"rules": [{{"type": "order", "days": 30, "derived": "{derived}"}}]}}"#);
        tenant.put_retention(&value(&rules)).await.unwrap();
        let mut tries = 0;
        while tenant.retention().retention.swept_at.is_none() {
            tokio::task::block_in_place(|| tenant.wait_until_applied().unwrap());
            tokio::time::sleep(Duration::from_millis(2)).await;
            tries += 1;
            assert!(tries < 10_000, "it is never swept");
        }
        let left = if derived == "frozen" { 6 } else { 1 };
        assert_eq!(read(&tenant, "1", "lines"), Some(Value::from(left)), "{derived}");
        let profile = tenant.lookup("user_id", "1").unwrap();
        let page = tenant.timeline(profile.id, 20, None).unwrap().items;
        let shown: Vec<_> = page.iter().map(|one| json::to_string(&one.event)).collect();
        let stubs = shown.iter().filter(|event| event.contains("$expired")).count();
        assert_eq!(
            (shown.len() - stubs, stubs <= 2),
            (2, true),
            "the fresh order, its line and a stub: {shown:#?}"
        );
        let accounting = tenant.accounting().unwrap();
        assert_eq!((accounting.expired, accounting.difference), (2, Some(0)), "{accounting:?}");
        world.finish().await;
    }
}

async fn letters(world: &mut World, tenant: &Tenant) -> Vec<(String, String, String)> {
    world.now += 100;
    let all = tenant.dead_letters(&Filter::default(), 100, None).unwrap().items;
    all.iter().map(|one| (one.id.to_string(), one.code.as_str().to_owned(), one.reason.clone())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_later_transformer_fails_on_one_the_order_waits_with_all_of_them() {
    let mut world = World::new();
    let tenant = world.tenant("shop").await;
    activate(&tenant, "order-lines", r#"{"event":"line","only":"order"}"#).await;
    activate(&tenant, "misbehave", r#"{"do":"trap:o2.$2"}"#).await;
    world.define(&tenant, &COUNTED[..1]).await;
    let orders: Vec<String> = (1..=3).map(|n| order(&format!("o{n}"), "1", 3, "")).collect();
    world.send(&tenant, &orders).await;
    let kept_out = letters(&mut world, &tenant).await;
    assert_eq!(kept_out.len(), 1, "{kept_out:?}");
    assert_eq!((kept_out[0].0.as_str(), kept_out[0].1.as_str()), ("o2", "plugin_trapped"));
    assert!(kept_out[0].2.starts_with("at o2.$2: "), "{kept_out:?}");
    assert_eq!(read(&tenant, "1", "lines"), Some(Value::from(6)), "its neighbours pass");
    assert_eq!(
        made(&tenant.receipt("test", "o2").unwrap(), "order-lines").iter().filter(|one| one.1).count(),
        0
    );
    // Put right, the order comes in with its lines; one of another is dropped.
    activate(&tenant, "misbehave", r#"{"do":"drop-one:o4.$1"}"#).await;
    tenant.replay_dead_letters(Filter::default()).await.unwrap();
    for _ in 0..20_000 {
        if tenant.receipt("test", "o2").unwrap().status == "applied" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    world.send(&tenant, &[order("o4", "2", 3, "")]).await;
    assert_eq!(letters(&mut world, &tenant).await, []);
    assert_eq!(read(&tenant, "1", "lines"), Some(Value::from(9)));
    assert_eq!(read(&tenant, "2", "lines"), Some(Value::from(2)));
    let kept: Vec<bool> =
        made(&tenant.receipt("test", "o4").unwrap(), "order-lines").iter().map(|one| one.1).collect();
    assert_eq!(kept, [false, true, true]);
    // Built from the past, an attribute sees the same.
    world.define(&tenant, &COUNTED).await;
    assert_eq!(number(&tenant, "1", "pieces").as_deref(), Some("9"));
    assert_eq!(number(&tenant, "2", "pieces").as_deref(), Some("2"));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_transformers_together_make_so_many_of_one_event_and_no_more() {
    let mut world = World::new();
    let tenant = world.tenant("shop").await;
    activate(&tenant, "order-lines", r#"{"event":"line","only":"order"}"#).await;
    // Makes as many again of the order, and none of its lines.
    activate_as(&tenant, "other-lines", "order-lines", r#"{"event":"other","only":"order"}"#).await;
    world.define(&tenant, &COUNTED[..1]).await;
    world.send(&tenant, &[order("o1", "1", NEW_EVENTS_MAX / 2, "")]).await;
    assert_eq!(letters(&mut world, &tenant).await, []);
    assert_eq!(read(&tenant, "1", "lines"), Some(Value::from(NEW_EVENTS_MAX as i64 / 2)));
    let made_last = made(&tenant.receipt("test", "o1").unwrap(), "other-lines").pop().unwrap();
    assert_eq!(made_last, (format!("o1.${NEW_EVENTS_MAX}"), true));
    world.send(&tenant, &[order("o2", "1", NEW_EVENTS_MAX / 2 + 1, "")]).await;
    let kept_out = letters(&mut world, &tenant).await;
    assert_eq!((kept_out[0].0.as_str(), kept_out[0].1.as_str()), ("o2", "plugin_contract"));
    assert!(kept_out[0].2.contains("more than 64 events"), "{kept_out:?}");
    assert_eq!(read(&tenant, "1", "lines"), Some(Value::from(NEW_EVENTS_MAX as i64 / 2)));
    world.finish().await;
}
