//! The promise of the house: the same events, in any order and any number of times, give the same people and facts.

#![expect(clippy::unwrap_used, reason = "this whole target is tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cdp_domain::ids::Position;
use cdp_domain::json;
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_engine::accept::{Accept, Incoming, Verdict};
use cdp_engine::clock::ManualClock;
use cdp_engine::registry::NewTenant;
use cdp_engine::{Engine, Options, Storage, Tenant};
use cdp_store::seal::MasterKey;

struct World {
    engine: Engine,
    tenant: Tenant,
    clock: Arc<ManualClock>,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp(1_000_000)));
        let mut options = Options::new(dir.path().join("data"), MasterKey::from_bytes([7; 32]));
        options.storage = Storage::Memory;
        options.secret = Some([9; 32]);
        options.clock = clock.clone();
        let engine = Engine::open(options).unwrap();
        let new = NewTenant { slug: "shop".into(), name: "Shop".into(), time_zone: None };
        let (info, _) = engine.create_tenant(new).await.unwrap();
        let tenant = engine.open_tenants().into_iter().find(|tenant| tenant.no() == info.no).unwrap();
        Self { engine, tenant, clock, _dir: dir }
    }

    async fn send(&self, events: &[String]) -> Vec<Verdict> {
        let incoming =
            events.iter().map(|text| Incoming { value: value(text), bytes: text.len(), digest_of: None });
        let how = Accept { source: "test".into(), ..Accept::default() };
        let accepted = self.tenant.accept(incoming.collect(), &how).await.unwrap();
        self.applied(accepted.position).await;
        accepted.items.into_iter().map(|item| item.verdict).collect()
    }

    async fn applied(&self, position: Position) {
        assert!(self.tenant.wait_applied(position, Duration::from_secs(20)).await);
    }

    async fn define(&self) {
        for (name, text) in [
            ("n", r#"{"kind":"count","event":"buy"}"#),
            ("sum", r#"{"kind":"sum","event":"buy","property":"/total"}"#),
            ("first", r#"{"kind":"first","event":"buy"}"#),
            ("last", r#"{"kind":"last","event":"buy","property":"/total"}"#),
        ] {
            self.tenant.put_attribute(name, &value(text)).await.unwrap();
        }
        let news = r#"{"title":"News","legal_basis":"consent"}"#;
        self.tenant.put_purpose("news", &value(news)).await.unwrap();
        for (name, text) in [
            ("spenders", r#"{"rule":{"attribute":"sum","op":"gte","value":50}}"#),
            ("reachable", r#"{"rule":{"reachable":{"channel":"email","purpose":"news"}}}"#),
            (
                "red",
                r#"{"rule":{"all":[{"trait":"colour","op":"eq","value":"red"},{"attribute":"n","op":"gt","value":0}]}}"#,
            ),
        ] {
            self.tenant.put_segment(name, &value(text)).await.unwrap();
        }
        while self.tenant.attributes().iter().any(|a| a.status != "active")
            || self.tenant.segments().iter().any(|s| s.status != "active")
        {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Everything that clients can see, by profile.
    fn picture(&self) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        for n in 0..6 {
            for kind in ["user_id", "device"] {
                let Ok(profile) = self.tenant.lookup(kind, &n.to_string()) else { continue };
                let text = format!(
                    "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
                    profile.fragments,
                    profile.identifiers,
                    profile.traits,
                    profile.attributes.iter().map(|(name, a)| (name, &a.value)).collect::<Vec<_>>(),
                    profile.channels,
                    profile.segments,
                    profile.first_seen,
                    profile.last_seen
                );
                out.insert(format!("{kind} {n} {}", profile.id), text);
            }
        }
        for segment in self.tenant.segments() {
            let mut members = self.tenant.members(&segment.name, 1000, None).unwrap().items;
            members.sort();
            out.insert(format!("segment {}", segment.name), format!("{} {members:?}", segment.size));
        }
        out
    }
}

fn value(text: &str) -> Value {
    json::parse(text.as_bytes(), json::Options::default()).unwrap()
}

/// A small generator, so that a seed names a history.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn history(seed: u64) -> Vec<String> {
    let mut dice = Dice(seed);
    (0..30)
        .map(|id| {
            let time = Timestamp(dice.roll(8) as i64 * 1000);
            let mut identifiers = Vec::new();
            if dice.roll(3) > 0 {
                identifiers.push(format!(r#"{{"type":"user_id","value":"{}"}}"#, dice.roll(5)));
            }
            if identifiers.is_empty() || dice.roll(4) == 0 {
                identifiers.push(format!(r#"{{"type":"device","value":"{}"}}"#, dice.roll(6)));
            }
            let traits = match dice.roll(6) {
                0 => r#"{"colour":"red"}"#.to_owned(),
                1 => r#"{"colour":"blue"}"#.to_owned(),
                2 => r#"{"colour":null}"#.to_owned(),
                3 => r#"{"$add":{"visits":1}}"#.to_owned(),
                4 => format!(r#"{{"$append":{{"tags":"t{id}"}},"$set_once":{{"origin":"{id}"}}}}"#),
                _ => "{}".to_owned(),
            };
            let consents = match dice.roll(5) {
                0 => r#"[{"channel":"email","address":"a@x.eu","purpose":"news","status":"granted"}]"#,
                1 => r#"[{"channel":"email","address":"a@x.eu","purpose":"news","status":"withdrawn"}]"#,
                2 => r#"[{"channel":"email","address":"b@x.eu","purpose":"news","status":"granted"}]"#,
                _ => "[]",
            };
            format!(
                r#"{{"id":"e{id}","type":"buy","time":"{time}","identifiers":[{}],"properties":{{"total":"{}.{}"}},"traits":{traits},"consents":{consents}}}"#,
                identifiers.join(","),
                dice.roll(40),
                dice.roll(10)
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_order_batching_and_repetition_gives_the_same_picture_and_so_does_a_rebuild() {
    for seed in 0..6 {
        let events = history(seed);
        let straight = World::new().await;
        straight.define().await;
        straight.send(&events).await;
        let want = straight.picture();
        for turn in 0..3 {
            let mut dice = Dice(seed * 100 + turn);
            let mut mixed = events.clone();
            for n in (1..mixed.len()).rev() {
                mixed.swap(n, dice.roll(n as u64 + 1) as usize);
            }
            let world = World::new().await;
            // Once the definitions come first, once they come in the middle and their past is built.
            let cut = if turn == 1 { mixed.len() / 2 } else { 0 };
            world.send(&mixed[..cut]).await;
            world.define().await;
            let mut rest = mixed[cut..].to_vec();
            while !rest.is_empty() {
                let size = (dice.roll(7) as usize + 1).min(rest.len());
                let part: Vec<_> = rest.drain(..size).collect();
                world.send(&part).await;
                let again = world.send(&part).await;
                assert!(again.iter().all(|verdict| *verdict == Verdict::Duplicate));
            }
            assert_eq!(world.picture(), want, "seed {seed}, turn {turn}");
            let engine = world.engine.clone();
            let verified = tokio::task::spawn_blocking(move || engine.verify()).await.unwrap().unwrap();
            assert!(verified.iter().all(|tenant| tenant.differences.is_empty()), "{verified:?}");
            let engine = world.engine.clone();
            tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
        }
        let engine = straight.engine.clone();
        tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_runs_out_ends_a_membership_without_an_event() {
    let world = World::new().await;
    world.define().await;
    let event = r#"{"id":"1","type":"x","identifiers":[{"type":"user_id","value":"1"}],"consents":[{"channel":"email","address":"a@x.eu","purpose":"news","status":"granted","expires_at":"1970-01-01T00:33:20Z"}]}"#;
    world.send(&[event.to_owned()]).await;
    assert_eq!(world.tenant.segment("reachable").unwrap().size, 1);
    world.clock.set(Timestamp(1_999_999));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.tenant.segment("reachable").unwrap().size, 1);
    world.clock.set(Timestamp(2_000_000));
    let mut tries = 0;
    while world.tenant.segment("reachable").unwrap().size == 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        tries += 1;
        assert!(tries < 500, "the membership did not end");
    }
    let changes = world.tenant.changes("reachable", 10, None).unwrap().items;
    let told: Vec<_> = changes.iter().map(|change| (change.change, change.cause, change.at)).collect();
    assert_eq!(told, [("entered", "event", Timestamp(1_000_000)), ("left", "time", Timestamp(2_000_000))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_id_with_another_body_is_a_conflict_and_the_first_stays() {
    let world = World::new().await;
    let event = |total: &str| {
        format!(
            r#"{{"id":"1","type":"buy","identifiers":[{{"type":"user_id","value":"1"}}],"properties":{{"total":{total}}}}}"#
        )
    };
    assert_eq!(
        world.send(&[event("1"), event("1.0"), event("2")]).await,
        [Verdict::Accepted, Verdict::Duplicate, Verdict::Conflict]
    );
    assert_eq!(world.send(&[event("2"), event("1e0")]).await, [Verdict::Conflict, Verdict::Duplicate]);
    let profile = world.tenant.lookup("user_id", "1").unwrap();
    assert_eq!(world.tenant.timeline(profile.id, 10, None).unwrap().items.len(), 1);
}
