//! What a plugin derives is what the server itself would: after any joins, partings, late events and voids, and after a
//! rebuild to the byte.
//!
//! `CDP_DERIVATION_RUNS` says how many histories are tried, 12 when it is not set.

#![expect(clippy::unwrap_used, reason = "this whole target is tests")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cdp_domain::ids::Position;
use cdp_domain::json;
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_engine::accept::{Accept, Incoming};
use cdp_engine::clock::ManualClock;
use cdp_engine::derivations::SLOTS_MAX;
use cdp_engine::plugins::DerivationInfo;
use cdp_engine::registry::NewTenant;
use cdp_engine::{Engine, Options, Storage, Tenant};
use cdp_store::seal::MasterKey;

const DAY_MS: i64 = 86_400_000;
const START: i64 = 1_735_689_600_000;

struct World {
    engine: Engine,
    tenant: Tenant,
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
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp(START + 100 * DAY_MS)));
        let mut options = Options::new(dir.path().join("data"), MasterKey::from_bytes([7; 32]));
        options.storage = Storage::Memory;
        options.clock = clock.clone();
        let engine = Engine::open(options).unwrap();
        let new = NewTenant { slug: "shop".into(), name: "Shop".into(), time_zone: None };
        let (info, _) = engine.create_tenant(new).await.unwrap();
        let tenant = engine.open_tenants().into_iter().find(|tenant| tenant.no() == info.no).unwrap();
        Self { engine, tenant, clock, now: START + 100 * DAY_MS, _dir: dir }
    }

    /// Time goes on until everything is applied and derived.
    async fn settle(&mut self, position: Position) {
        loop {
            self.now += 100;
            self.clock.set(Timestamp(self.now));
            if self.tenant.wait_applied(position, Duration::from_millis(100)).await {
                return;
            }
        }
    }

    async fn accept(&mut self, events: &[String]) -> Position {
        let incoming =
            events.iter().map(|text| Incoming { value: value(text), bytes: text.len(), digest_of: None });
        let how = Accept { source: "test".into(), ..Accept::default() };
        let accepted = self.tenant.accept(incoming.collect(), &how).await.unwrap();
        assert_eq!(accepted.rejected, 0, "{:?}", accepted.items);
        accepted.position
    }

    async fn send(&mut self, events: &[String]) {
        let position = self.accept(events).await;
        self.settle(position).await;
    }

    async fn erase(&mut self, user: &str) -> String {
        let job = self.tenant.erase("user_id", user, "asked for", "test").await.unwrap();
        for _ in 0..20_000 {
            let erasure = self.tenant.erasure(job).unwrap().to_string();
            if erasure.contains("\"done\"") {
                return erasure;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("not carried out: {:?}", self.tenant.erasure(job));
    }

    async fn upload(&self, plugin: &str, config: &str) {
        self.upload_bytes(plugin, guest(plugin), config).await;
    }

    async fn upload_bytes(&self, plugin: &str, bytes: Vec<u8>, config: &str) {
        let uploaded = self.tenant.upload_plugin(plugin, bytes, None).await.unwrap();
        assert_eq!(uploaded.world, "deriver");
        let body = format!(r#"{{"grants":{},"config":{config}}}"#, uploaded.requests);
        self.tenant.activate_plugin(plugin, uploaded.version, &value(&body)).await.unwrap();
    }

    fn read(&self, user: &str, name: &str) -> Option<Value> {
        let profile = self.tenant.lookup("user_id", user).unwrap();
        profile.attributes.iter().find(|(known, _)| known == name).unwrap().1.value.clone()
    }

    fn derivation(&self, plugin: &str) -> DerivationInfo {
        self.tenant.plugin(plugin).unwrap().derivations.remove(0)
    }

    async fn attribute(&mut self, name: &str, text: &str) {
        self.tenant.put_attribute(name, &value(text)).await.unwrap();
        self.built().await;
    }

    async fn segment(&mut self, name: &str, attribute: &str) {
        let rule = format!(r#"{{"rule":{{"attribute":"{attribute}","op":"gte","value":50}}}}"#);
        self.tenant.put_segment(name, &value(&rule)).await.unwrap();
        self.built().await;
    }

    async fn built(&mut self) {
        let building = |tenant: &Tenant| {
            tenant.attributes().iter().any(|a| a.status != "active")
                || tenant.segments().iter().any(|s| s.status != "active")
                || tenant.plugins().iter().any(|p| p.derivations.iter().any(|d| d.building.is_some()))
        };
        for _ in 0..20_000 {
            if !building(&self.tenant) {
                return;
            }
            self.now += 10;
            self.clock.set(Timestamp(self.now));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("not built: {:?} {:?}", self.tenant.attributes(), self.tenant.plugins());
    }

    fn compare(&self, seed: usize) {
        let mut seen = 0;
        for n in 0..6 {
            for kind in ["user_id", "device"] {
                let Ok(profile) = self.tenant.lookup(kind, &n.to_string()) else { continue };
                let of = |name: &str| {
                    let (_, view) = profile.attributes.iter().find(|(known, _)| known == name).unwrap();
                    view.value.as_ref().and_then(Value::as_decimal)
                };
                assert_eq!(of("d_n"), of("n"), "seed {seed}: {profile:#?}");
                assert_eq!(of("d_sum"), of("sum"), "seed {seed}: {profile:#?}");
                seen += 1;
            }
        }
        assert!(seen > 0);
        let members = |segment: &str| {
            let mut members = self.tenant.members(segment, 1000, None).unwrap().items;
            members.sort();
            members
        };
        assert_eq!(members("d_spenders"), members("spenders"), "seed {seed}");
    }

    /// What waited for its time comes and is derived; then all is compared.
    async fn end(mut self, seed: usize) {
        for end in ["end", "very end"] {
            let event =
                format!(r#"{{"id":"{end}","type":"look","identifiers":[{{"type":"device","value":"0"}}]}}"#);
            self.send(&[event]).await;
            self.now += 200;
        }
        self.compare(seed);
        self.finish().await;
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

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % sides as u64) as usize
    }
}

/// A step of a history: an event of somebody, often late, now and then one that joins two people or takes one back.
fn step(n: usize, dice: &mut Dice, now: i64) -> String {
    let at = |time: i64| Timestamp(time).to_string();
    if n > 3 && dice.roll(8) == 0 {
        let target = dice.roll(n);
        return format!(
            r#"{{"id":"v{n}","type":"$void","voids":"e{target}","time":"{}"}}"#,
            at(now - dice.roll(5) as i64 * 1000)
        );
    }
    let mut who = Vec::new();
    if dice.roll(3) > 0 {
        who.push(format!(r#"{{"type":"user_id","value":"{}"}}"#, dice.roll(6)));
    }
    if who.is_empty() || dice.roll(4) == 0 {
        who.push(format!(r#"{{"type":"device","value":"{}"}}"#, dice.roll(6)));
    }
    let kind = ["buy", "buy", "buy", "look"][dice.roll(4)];
    // Some lie in the future and wait for their time.
    let time = if dice.roll(12) == 0 { now + 150 } else { START + dice.roll(90) as i64 * DAY_MS };
    format!(
        r#"{{"id":"e{n}","type":"{kind}","time":"{}","identifiers":[{}],"properties":{{"total":"{}.{:02}"}}}}"#,
        at(time),
        who.join(","),
        dice.roll(40),
        dice.roll(100)
    )
}

const MUST_NOT: &str = r#"{"kind":"must_not_link","a":{"type":"user_id","value":"1"},"b":{"type":"user_id","value":"2"},"reason":"two people"}"#;

async fn history(seed: usize) {
    let mut dice = Dice(seed as u64 * 7919 + 3);
    let mut world = World::new().await;
    world.upload("rfm", r#"{"purchases":"buy","refunds":""}"#).await;
    let early = dice.roll(2) == 0;
    if early {
        world.attribute("d_n", r#"{"plugin":"rfm","output":"frequency"}"#).await;
    }
    world.attribute("n", r#"{"kind":"count","event":"buy"}"#).await;
    world.attribute("sum", r#"{"kind":"sum","event":"buy","property":"/total"}"#).await;
    world.segment("spenders", "sum").await;
    let (steps, mut constraint) = (40, None);
    let mut n = 0;
    while n < steps {
        let count = 1 + dice.roll(6);
        let events: Vec<String> = (n..n + count).map(|n| step(n, &mut dice, world.now)).collect();
        n += count;
        world.send(&events).await;
        match dice.roll(6) {
            0 if constraint.is_none() => {
                constraint = world.tenant.constrain(&value(MUST_NOT)).await.ok().map(|(made, _)| made.id);
            }
            1 => {
                if let Some(id) = constraint.take() {
                    world.tenant.release(id).await.unwrap();
                }
            }
            _ => {}
        }
        if n - count < steps / 2 && n >= steps / 2 {
            if !early {
                world.attribute("d_n", r#"{"plugin":"rfm","output":"frequency"}"#).await;
            }
            world.attribute("d_sum", r#"{"plugin":"rfm","output":"monetary","event":["buy","look"]}"#).await;
            world.segment("d_spenders", "d_sum").await;
        }
    }
    let last = step(n, &mut Dice(1), world.now);
    world.send(&[last.replace("$void", "look")]).await;
    world.end(seed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_derivation_is_what_the_server_folds_itself() {
    let runs = std::env::var("CDP_DERIVATION_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(12);
    for seed in 0..runs {
        history(seed).await;
    }
}

/// As above, with versions that are built one after the other while events, joins and voids go on coming in and nobody
/// waits for any of it.
async fn history_beside_builds(seed: usize) {
    let mut dice = Dice(seed as u64 * 104_729 + 11);
    let mut world = World::new().await;
    world.upload("rfm", r#"{"purchases":"buy","refunds":""}"#).await;
    world.attribute("n", r#"{"kind":"count","event":"buy"}"#).await;
    world.attribute("sum", r#"{"kind":"sum","event":"buy","property":"/total"}"#).await;
    world.segment("spenders", "sum").await;
    world.attribute("d_n", r#"{"plugin":"rfm","output":"frequency"}"#).await;
    world.attribute("d_sum", r#"{"plugin":"rfm","output":"monetary","event":["buy","look"]}"#).await;
    world.segment("d_spenders", "d_sum").await;
    let past: Vec<String> = (0..80).map(|n| step(n, &mut dice, world.now)).collect();
    world.send(&past).await;
    let requests = world.tenant.plugin("rfm").unwrap().versions[0].requests.clone();
    let mut n = past.len();
    for version in 0..4 {
        // What it says of recency is not asked for: each is another version, of the same values.
        let config = format!(r#"{{"purchases":"buy","refunds":"","recency":"1,2,3,{}"}}"#, 4 + version);
        let body = format!(r#"{{"grants":{requests},"config":{config}}}"#);
        assert!(!world.tenant.activate_plugin("rfm", 1, &value(&body)).await.unwrap().is_empty());
        for _ in 0..6 {
            let count = 1 + dice.roll(6);
            let events: Vec<String> = (n..n + count).map(|n| step(n, &mut dice, world.now)).collect();
            n += count;
            world.accept(&events).await;
            world.now += dice.roll(60) as i64;
            world.clock.set(Timestamp(world.now));
        }
        world.built().await;
    }
    world.end(seed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_is_built_beside_events_says_what_the_server_folds_itself() {
    let runs = std::env::var("CDP_DERIVATION_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(12);
    for seed in 0..runs {
        history_beside_builds(seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reading_that_ends_by_itself_is_made_again_and_turns_a_segment() {
    let mut world = World::new().await;
    world.upload("rfm", r#"{"purchases":"buy","refunds":"","recency":"1,2,3,4"}"#).await;
    world.attribute("days", r#"{"plugin":"rfm","output":"recency_days"}"#).await;
    let rule = r#"{"rule":{"attribute":"days","op":"gte","value":2}}"#;
    world.tenant.put_segment("lapsed", &value(rule)).await.unwrap();
    world.built().await;
    let time = Timestamp(world.now);
    world
        .send(&[format!(
            r#"{{"id":"a","type":"buy","time":"{time}","identifiers":[{{"type":"user_id","value":"1"}}]}}"#
        )])
        .await;
    let read = |world: &World| {
        let profile = world.tenant.lookup("user_id", "1").unwrap();
        let view = profile.attributes[0].1.clone();
        assert!(view.computed_by.starts_with("rfm@1/"), "{view:?}");
        (view.value, world.tenant.members("lapsed", 10, None).unwrap().items.len())
    };
    assert_eq!(read(&world), (Some(Value::from(0)), 0));
    world.now += 2 * DAY_MS + 2_000;
    world.clock.set(Timestamp(world.now));
    for _ in 0..5_000 {
        if read(&world).1 == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(read(&world), (Some(Value::from(2)), 1));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_version_serves_when_it_is_built_and_a_roll_back_takes_one_record() {
    let mut world = World::new().await;
    world.upload("rfm", r#"{"purchases":"buy","refunds":""}"#).await;
    world.attribute("n", r#"{"plugin":"rfm","output":"frequency"}"#).await;
    let buy = |id: usize, kind: &str| {
        format!(r#"{{"id":"{id}","type":"{kind}","identifiers":[{{"type":"user_id","value":"1"}}]}}"#)
    };
    world.send(&[buy(1, "buy"), buy(2, "buy"), buy(3, "look")]).await;
    let n = |world: &World| world.tenant.lookup("user_id", "1").unwrap().attributes[0].1.value.clone();
    assert_eq!(n(&world), Some(Value::from(2)));
    let requests = world.tenant.plugin("rfm").unwrap().versions[0].requests.clone();
    let body = format!(r#"{{"grants":{requests},"config":{{"purchases":"buy,look","refunds":""}}}}"#);
    let jobs = world.tenant.activate_plugin("rfm", 1, &value(&body)).await.unwrap();
    assert_eq!(jobs.len(), 1, "what serves is built under the other configuration");
    world.built().await;
    assert_eq!(n(&world), Some(Value::from(3)));
    world.send(&[buy(4, "look")]).await;
    assert_eq!(n(&world), Some(Value::from(4)));
    let started = std::time::Instant::now();
    let (version, jobs) = world.tenant.rollback_plugin("rfm").await.unwrap();
    assert_eq!((version, jobs.len()), (1, 0));
    assert_eq!(n(&world), Some(Value::from(2)), "what served before was kept up to date");
    assert!(started.elapsed() < Duration::from_secs(1));
    world.send(&[buy(5, "buy")]).await;
    assert_eq!(n(&world), Some(Value::from(3)));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_derived_of_the_erased_goes_with_them_and_what_waited_never_comes() {
    let mut world = World::new().await;
    world.upload("rfm", r#"{"purchases":"buy","refunds":"","recency":"1,2,3,4"}"#).await;
    world.attribute("n", r#"{"plugin":"rfm","output":"frequency"}"#).await;
    world.attribute("days", r#"{"plugin":"rfm","output":"recency_days"}"#).await;
    world.tenant.constrain(&value(MUST_NOT)).await.unwrap();
    let buy = |id: usize, who: &[(&str, &str)]| {
        let who: Vec<String> =
            who.iter().map(|(kind, value)| format!(r#"{{"type":"{kind}","value":"{value}"}}"#)).collect();
        format!(r#"{{"id":"e{id}","type":"buy","identifiers":[{}]}}"#, who.join(","))
    };
    // The device is shared by two who must not be linked, so that erasing the one has the other placed anew.
    world.send(&[buy(1, &[("user_id", "1"), ("device", "0")]), buy(2, &[("user_id", "1")])]).await;
    world.send(&[buy(3, &[("user_id", "2"), ("device", "0")]), buy(4, &[("device", "0")])]).await;
    world.send(&[buy(5, &[("user_id", "3")]), buy(6, &[("user_id", "3"), ("device", "5")])]).await;
    let n = |world: &World, user: &str| {
        world.tenant.lookup("user_id", user).ok().map(|found| found.attributes[1].1.value.clone())
    };
    assert_eq!(n(&world, "3"), Some(Some(Value::from(2))));
    let two = n(&world, "2");
    let erased = world.erase("1").await;
    assert!(!erased.contains("\"derived\":0"), "{erased}");
    // Accepted, and not derived when its person is erased.
    world.accept(&[buy(7, &[("user_id", "3")]), buy(8, &[("user_id", "4")])]).await;
    world.erase("3").await;
    world.send(&[buy(9, &[("user_id", "4")])]).await;
    assert_eq!((n(&world, "1"), n(&world, "3")), (None, None));
    assert_eq!(n(&world, "4"), Some(Some(Value::from(2))));
    // What the two shared is theirs alone now, or was before.
    let count = |read: &Option<Option<Value>>| read.as_ref()?.as_ref()?.as_decimal();
    assert!(count(&two).is_some() && count(&n(&world, "2")) >= count(&two), "{two:?} {:?}", n(&world, "2"));
    // What is left over of them would differ from a rebuild, which never knew them.
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plugins_derive_under_so_many_configurations_and_no_more() {
    let mut world = World::new().await;
    world.upload("rfm", "{}").await;
    let of =
        |n: usize| format!(r#"{{"plugin":"rfm","output":"frequency","config":{{"purchases":"buy {n}"}}}}"#);
    for n in 0..SLOTS_MAX {
        world.tenant.put_attribute(&format!("a{n}"), &value(&of(n))).await.unwrap();
    }
    let refused = world.tenant.put_attribute("more", &value(&of(SLOTS_MAX))).await.unwrap_err();
    assert!(format!("{refused:?}").contains(&SLOTS_MAX.to_string()), "{refused:?}");
    world.tenant.put_attribute("again", &value(&of(0))).await.unwrap();
    world.built().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_that_cannot_be_derived_is_refused_with_the_place() {
    let world = World::new().await;
    let refused = |text: &str| {
        let tenant = world.tenant.clone();
        let text = text.to_owned();
        async move { format!("{:?}", tenant.put_attribute("x", &value(&text)).await.unwrap_err()) }
    };
    assert!(refused(r#"{"plugin":"rfm","output":"score"}"#).await.contains("/plugin"));
    world.upload("rfm", "{}").await;
    assert!(refused(r#"{"plugin":"rfm","output":"shoe_size"}"#).await.contains("/output"));
    assert!(
        refused(r#"{"plugin":"rfm","output":"score","config":{"recency":"1"}}"#)
            .await
            .contains("/config/recency")
    );
    assert!(refused(r#"{"plugin":"rfm","output":"score","config":[]}"#).await.contains("/config"));
    assert!(refused(r#"{"plugin":"rfm"}"#).await.contains("/output"));
    assert!(refused(r#"{"plugin":"rfm","output":"score","window":1}"#).await.contains("/window"));
}

fn purchase(id: &str, user: &str, time: i64) -> String {
    format!(
        r#"{{"id":"{id}","type":"purchase","time":"{}","identifiers":[{{"type":"user_id","value":"{user}"}}]}}"#,
        Timestamp(time)
    )
}

fn void(id: &str) -> String {
    format!(r#"{{"id":"void {id}","type":"$void","voids":"{id}"}}"#)
}

const COUNT: &str = r#"{"plugin":"misfold","output":"count"}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_back_is_taken_out_of_states_by_plugins_that_can() {
    let mut world = World::new().await;
    world.upload("misfold", r#"{"do":"counts"}"#).await;
    world.attribute("derived", COUNT).await;
    world.attribute("counted", r#"{"kind":"count","event":"purchase"}"#).await;
    assert!(world.derivation("misfold").held.unwrap().retract);
    let mut dice = Dice(7);
    let mut sent = Vec::new();
    for round in 0..12 {
        let mut events: Vec<String> = Vec::new();
        for n in 0..1 + dice.roll(4) {
            let id = format!("{round}-{n}");
            events.push(purchase(&id, &dice.roll(3).to_string(), START + dice.roll(90) as i64 * DAY_MS));
            sent.push(id);
        }
        // Some are taken back at once, before they are in any state; some later, some before they came.
        for _ in 0..dice.roll(3) {
            events.push(void(&sent.swap_remove(dice.roll(sent.len()))));
            if sent.is_empty() {
                break;
            }
        }
        world.send(&events).await;
        for user in ["0", "1", "2"] {
            if world.tenant.lookup("user_id", user).is_ok() {
                let number = |name| world.read(user, name).and_then(|value| value.as_decimal());
                assert_eq!(number("derived"), number("counted"), "round {round}");
            }
        }
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_version_takes_states_over_where_it_is_exact() {
    let mut newer = guest("misfold");
    let mark = b"STATE-VERSION=";
    let at = newer.windows(mark.len()).position(|window| window == mark).unwrap() + mark.len();
    newer[at] = b'2';
    for (word, carried) in [("honest", true), ("migrate-forgets", false)] {
        let mut world = World::new().await;
        let config = format!(r#"{{"do":"{word}"}}"#);
        world.upload("misfold", &config).await;
        world.attribute("n", COUNT).await;
        let some: Vec<String> = (0..9).map(|n| purchase(&n.to_string(), "1", START + n * DAY_MS)).collect();
        world.send(&some).await;
        assert!(!world.derivation("misfold").carried);
        world.upload_bytes("misfold", newer.clone(), &config).await;
        world.built().await;
        let served = world.derivation("misfold");
        assert_eq!((served.version, served.carried), (Some(2), carried), "{word}");
        assert_eq!(world.read("1", "n"), Some(Value::from(9)), "{word}");
        world.send(&[purchase("late", "1", START - DAY_MS), void("3")]).await;
        assert_eq!(world.read("1", "n"), Some(Value::from(9)), "{word}");
        world.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_past_is_read_no_further_back_than_it_matters() {
    let mut world = World::new().await;
    world.upload("misfold", r#"{"do":"forgets"}"#).await;
    let now = world.now;
    world.send(&[purchase("old", "1", now - 60 * DAY_MS), purchase("older", "2", now - 50 * DAY_MS)]).await;
    world.send(&[purchase("new", "1", now - 3 * DAY_MS)]).await;
    world.attribute("n", COUNT).await;
    let begins = world.derivation("misfold").begins.unwrap();
    assert!(Timestamp::parse(&begins).unwrap().0 >= now - 20 * DAY_MS, "{begins}");
    assert_eq!((world.read("1", "n"), world.read("2", "n")), (Some(Value::from(1)), Some(Value::from(0))));
    // What comes late and is too old is left out, what is young enough is not.
    world.send(&[purchase("late and old", "2", now - 40 * DAY_MS)]).await;
    assert_eq!(world.read("2", "n"), Some(Value::from(0)));
    world.send(&[purchase("late", "2", now - DAY_MS)]).await;
    assert_eq!(world.read("2", "n"), Some(Value::from(1)));
    world.finish().await;
}
