//! What was withdrawn stays withdrawn, whatever happens to the people around it.
#![expect(clippy::unwrap_used, reason = "this whole target is tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cdp_domain::json;
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_engine::accept::{Accept, Incoming, Verdict};
use cdp_engine::clock::ManualClock;
use cdp_engine::exports::Consent;
use cdp_engine::registry::NewTenant;
use cdp_engine::{Engine, Options, Storage, Tenant};
use cdp_store::seal::MasterKey;

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

struct World {
    engine: Engine,
    tenant: Tenant,
    clock: Arc<ManualClock>,
    sent: u64,
    _dir: tempfile::TempDir,
}

const NOW: i64 = 1_000_000;

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp(NOW)));
        let mut options = Options::new(dir.path().join("data"), MasterKey::from_bytes([7; 32]));
        options.storage = Storage::Memory;
        options.clock = clock.clone();
        let engine = Engine::open(options).unwrap();
        let new = NewTenant { slug: "shop".into(), name: "Shop".into(), time_zone: None };
        let (info, _) = engine.create_tenant(new).await.unwrap();
        let tenant = engine.open_tenants().into_iter().find(|tenant| tenant.no() == info.no).unwrap();
        let world = Self { engine, tenant, clock, sent: 0, _dir: dir };
        world.purpose("news", "consent").await;
        world
    }

    async fn purpose(&self, name: &str, basis: &str) {
        let text = format!(r#"{{"title":"{name}","legal_basis":"{basis}","channels":["email"]}}"#);
        self.tenant.put_purpose(name, &value(&text)).await.unwrap();
    }

    async fn send(&mut self, rest: &str) {
        self.sent += 1;
        let text = format!(r#"{{"id":"e{}","type":"t",{rest}}}"#, self.sent);
        let how = Accept { source: "s".into(), ..Accept::default() };
        let events = vec![Incoming { value: value(&text), bytes: text.len(), digest_of: None }];
        let accepted = self.tenant.accept(events, &how).await.unwrap();
        assert_eq!(accepted.items[0].verdict, Verdict::Accepted, "{text}");
        assert!(self.tenant.wait_applied(accepted.position, Duration::from_secs(60)).await);
    }

    async fn decide(&mut self, who: u64, address: u64, status: &str, at: i64, rest: &str) {
        let at = Timestamp(at);
        self.send(&format!(
            r#""time":"{at}","identifiers":[{{"type":"user","value":"u{who}"}}],
            "consents":[{{"channel":"email","address":"a{address}@x.eu","purpose":"news","status":"{status}","time":"{at}"{rest}}}]"#
        ))
        .await;
    }

    fn status(&self, address: u64) -> Option<&'static str> {
        let point = self.tenant.contact_point("email", &format!("a{address}@x.eu")).ok()?;
        point.consents.iter().find(|one| one.purpose == "news").map(|one| one.status)
    }

    fn reachable(&self, purpose: &str) -> (u64, BTreeMap<&'static str, u64>) {
        let consent = Consent { channel: "email".into(), purpose: purpose.into() };
        let coverage = self.tenant.coverage(&consent).unwrap();
        (coverage.reachable, coverage.withheld)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.engine.close();
    }
}

fn value(text: &str) -> Value {
    json::parse(text.as_bytes(), json::Options::default()).unwrap()
}

/// Sequences of the property; `CDP_CONSENT_SEQUENCES` asks for more.
fn sequences() -> u64 {
    std::env::var("CDP_CONSENT_SEQUENCES").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

/// Merges, undone merges, imports, late and tied grants in any order: a withdrawal that was sent stands, and nobody who
/// has no other address is reachable.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_a_later_yes_of_the_person_turns_a_withdrawal_into_a_grant() {
    let mut operations = 0;
    for seed in 1..=sequences() {
        let mut world = World::new().await;
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut withdrawn: BTreeMap<u64, i64> = BTreeMap::new();
        let mut granted: BTreeMap<u64, i64> = BTreeMap::new();
        let mut constraints = Vec::new();
        for _ in 0..30 {
            operations += 1;
            let (who, address) = (dice.below(4), dice.below(3));
            let known = withdrawn.get(&address).copied();
            // Never later than the last withdrawal of this address.
            let early = |dice: &mut Dice, last: i64| last - dice.below(500) as i64;
            match dice.below(8) {
                0 | 1 => {
                    // Not before a yes that the person gave later.
                    let at = (NOW - dice.below(1000) as i64).max(granted.get(&address).copied().unwrap_or(0));
                    let status = if dice.below(2) == 0 { "withdrawn" } else { "denied" };
                    world.decide(who, address, status, at, "").await;
                    let last = withdrawn.entry(address).or_insert(at);
                    *last = at.max(*last);
                }
                2 => {
                    let at = early(&mut dice, known.unwrap_or(NOW));
                    granted.entry(address).and_modify(|last| *last = at.max(*last)).or_insert(at);
                    world.decide(who, address, "granted", at, r#","method":"web-form""#).await;
                }
                3 => {
                    let at = known.unwrap_or(NOW);
                    granted.entry(address).and_modify(|last| *last = at.max(*last)).or_insert(at);
                    world
                        .decide(who, address, "granted", at, r#","expires_at":"2100-01-01T00:00:00Z""#)
                        .await;
                }
                4 => {
                    let at = NOW + dice.below(1000) as i64;
                    world.decide(who, address, "granted", at, r#","method":"import""#).await;
                }
                5 => {
                    let other = dice.below(4);
                    world
                        .send(&format!(
                            r#""time":"{}","identifiers":[{{"type":"user","value":"u{who}"}},{{"type":"card","value":"k{other}"}}],
                            "channels":[{{"channel":"email","address":"a{address}@x.eu"}}]"#,
                            Timestamp(NOW - dice.below(900) as i64)
                        ))
                        .await;
                }
                6 => {
                    let kind = if dice.below(2) == 0 { "must_not_link" } else { "must_link" };
                    let other = dice.below(4);
                    let text = format!(
                        r#"{{"kind":"{kind}","a":{{"type":"user","value":"u{who}"}},"b":{{"type":"card","value":"k{other}"}},"reason":"r"}}"#
                    );
                    if let Ok((made, _)) = world.tenant.constrain(&value(&text)).await {
                        constraints.push(made.id);
                    }
                }
                _ => {
                    if let Some(id) = constraints.pop() {
                        world.tenant.release(id).await.unwrap_or_default();
                    }
                }
            }
            for address in withdrawn.keys() {
                let status = world.status(*address);
                assert!(
                    matches!(status, Some("withdrawn" | "denied")),
                    "seed {seed}: {status:?} of {withdrawn:?}"
                );
            }
            if withdrawn.len() == 3 {
                assert_eq!(world.reachable("news").0, 0, "seed {seed}");
            }
        }
        // And the person may still say yes, later.
        if let Some((address, at)) = withdrawn.iter().next().filter(|(_, at)| **at < NOW) {
            world.decide(0, *address, "granted", at + 1, "").await;
            assert_eq!(world.status(*address), Some("granted"), "seed {seed}");
        }
    }
    eprintln!("{} sequences, {operations} operations: no withdrawal became a grant", sequences());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legal_basis_says_what_a_status_lets_be_done() {
    let mut world = World::new().await;
    world.purpose("receipts", "contract").await;
    world.purpose("survey", "legitimate_interest").await;
    world.purpose("recall", "legal_obligation").await;
    let channel = |n: u64| {
        format!(
            r#""channels":[{{"channel":"email","address":"a{n}@x.eu"}}],"identifiers":[{{"type":"user","value":"u{n}"}}]"#
        )
    };
    world.send(&channel(0)).await;
    world.send(&channel(1)).await;
    world.send(r#""identifiers":[{"type":"user","value":"u2"}]"#).await;
    assert_eq!(
        world.reachable("news"),
        (0, BTreeMap::from([("consent_unknown", 2), ("no_contact_point", 1)]))
    );
    for purpose in ["receipts", "survey", "recall"] {
        assert_eq!(world.reachable(purpose), (2, BTreeMap::from([("no_contact_point", 1)])), "{purpose}");
        let objection = format!(
            r#""identifiers":[{{"type":"user","value":"u0"}}],"consents":[{{"channel":"email","address":"a0@x.eu","purpose":"{purpose}","status":"withdrawn"}}]"#
        );
        world.send(&objection).await;
    }
    assert_eq!(
        world.reachable("survey"),
        (1, BTreeMap::from([("consent_withdrawn", 1), ("no_contact_point", 1)]))
    );
    assert_eq!(world.reachable("recall").0, 2, "a law asks nobody");
    let unknown = Consent { channel: "email".into(), purpose: "nothing".into() };
    assert!(world.tenant.coverage(&unknown).is_err(), "an unknown purpose is no");
    let sms = Consent { channel: "sms".into(), purpose: "news".into() };
    assert!(world.tenant.coverage(&sms).is_err(), "the purpose is not for this channel");
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_on_one_number_are_apart_and_a_new_address_begins_unknown() {
    let mut world = World::new().await;
    world.tenant.put_purpose("all", &value(r#"{"title":"All","legal_basis":"consent"}"#)).await.unwrap();
    let consent = |channel: &str, address: &str, status: &str| {
        format!(
            r#""identifiers":[{{"type":"user","value":"u0"}}],"consents":[{{"channel":"{channel}","address":"{address}","purpose":"all","status":"{status}"}}]"#
        )
    };
    world.send(&consent("sms", "+37120000001", "granted")).await;
    world.send(&consent("whatsapp", "+37120000001", "denied")).await;
    let reach = |world: &World, channel: &str| {
        let consent = Consent { channel: channel.into(), purpose: "all".into() };
        world.tenant.coverage(&consent).unwrap().reachable
    };
    assert_eq!((reach(&world, "sms"), reach(&world, "whatsapp")), (1, 0));
    world.send(&consent("email", "old@x.eu", "granted")).await;
    world.send(r#""identifiers":[{"type":"user","value":"u1"}],"channels":[{"channel":"email","address":"new@x.eu","verified":true}]"#).await;
    let consent = Consent { channel: "email".into(), purpose: "all".into() };
    let coverage = world.tenant.coverage(&consent).unwrap();
    assert_eq!((coverage.reachable, coverage.withheld.get("consent_unknown")), (1, Some(&1)));
    assert_eq!(world.tenant.contact_point("email", "New@X.eu").unwrap().verified, Some(true));
    assert_eq!(world.tenant.contact_point("email", "old@x.eu").unwrap().verified, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_decays_at_its_expiry_and_its_ledger_says_what_was_decided() {
    let mut world = World::new().await;
    let until = Timestamp(NOW + 5000);
    let rest = format!(
        r#","expires_at":"{until}","method":"call","policy_version":"7","evidence":"call 81","actor":"agent 4""#
    );
    world.decide(0, 0, "granted", NOW, &rest).await;
    assert_eq!((world.status(0), world.reachable("news").0), (Some("granted"), 1));
    world.clock.set(Timestamp(NOW + 4999));
    assert_eq!(world.reachable("news").0, 1);
    world.clock.set(until);
    assert_eq!((world.status(0), world.reachable("news").0), (Some("expired"), 0));
    let history = world.tenant.contact_point("email", "a0@x.eu").unwrap().history;
    let text = history[0].to_string();
    for said in ["\"call 81\"", "\"agent 4\"", "\"policy_version\":\"7\"", "\"granted\"", "\"source\":\"s\""]
    {
        assert!(text.contains(said), "{said} in {text}");
    }
}
