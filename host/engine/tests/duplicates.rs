//! One event is one event: however it is spelt, however often and from wherever it is sent.
#![expect(clippy::unwrap_used, reason = "this whole target is tests")]

use std::sync::Arc;

use cdp_domain::json;
use cdp_domain::time::Timestamp;
use cdp_domain::value::{Number, Object, Value};
use cdp_engine::accept::{Accept, Incoming, Verdict};
use cdp_engine::clock::ManualClock;
use cdp_engine::registry::NewTenant;
use cdp_engine::{Engine, Options, Storage, Tenant};
use cdp_store::seal::MasterKey;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

struct World {
    engine: Engine,
    clock: Arc<ManualClock>,
    _dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp(1_000_000)));
        let mut options = Options::new(dir.path().join("data"), MasterKey::from_bytes([7; 32]));
        options.storage = Storage::Memory;
        options.clock = clock.clone();
        Self { engine: Engine::open(options).unwrap(), clock, _dir: dir }
    }

    async fn tenant(&self, slug: &str) -> Tenant {
        let new = NewTenant { slug: slug.into(), name: slug.into(), time_zone: None };
        let (info, _) = self.engine.create_tenant(new).await.unwrap();
        self.engine.open_tenants().into_iter().find(|tenant| tenant.no() == info.no).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.engine.close();
    }
}

fn value(text: &str) -> Value {
    json::parse(text.as_bytes(), json::Options::default()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

async fn send(tenant: &Tenant, source: &str, texts: &[String]) -> Vec<Verdict> {
    let incoming =
        texts.iter().map(|text| Incoming { value: value(text), bytes: text.len(), digest_of: None });
    let how = Accept { source: source.into(), ..Accept::default() };
    let accepted = tenant.accept(incoming.collect(), &how).await.unwrap();
    accepted.items.into_iter().map(|item| item.verdict).collect()
}

fn event(id: &str, properties: &str) -> String {
    format!(
        r#"{{"id":"{id}","type":"t","identifiers":[{{"type":"u","value":"1"}}],"properties":{properties}}}"#
    )
}

/// A JSON value as something that can be spelt in several ways.
#[derive(Debug, Clone)]
enum Tree {
    Scalar(&'static str),
    Text(String),
    /// Digits and a power of ten.
    Number(bool, String, i32),
    List(Vec<Tree>),
    Members(Vec<(String, Tree)>),
}

fn tree() -> impl Strategy<Value = Tree> {
    let digits = prop_oneof!["[1-9][0-9]{0,3}", "[1-9][0-9]{17,40}", Just("0".to_owned())];
    let leaf = prop_oneof![
        prop_oneof![Just("null"), Just("true"), Just("false")].prop_map(Tree::Scalar),
        "[a-zä\"\\\\ ]{0,6}".prop_map(Tree::Text),
        (any::<bool>(), digits, -40..400_i32)
            .prop_map(|(negative, digits, exponent)| { Tree::Number(negative, digits, exponent) }),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Tree::List),
            proptest::collection::btree_map("[a-d]{1,2}", inner, 0..4)
                .prop_map(|members| Tree::Members(members.into_iter().collect())),
        ]
    })
}

/// Writes a tree in one of its spellings; the dice decide.
fn spell(tree: &Tree, dice: &mut Dice, out: &mut String) {
    out.push_str(["", " ", "\n\t"][dice.roll(3)]);
    match tree {
        Tree::Scalar(word) => out.push_str(word),
        Tree::Text(text) => {
            out.push('"');
            for c in text.chars() {
                match (c, dice.roll(3)) {
                    ('"' | '\\', 0) | (_, 1) => out.push_str(&format!("\\u{:04x}", c as u32)),
                    ('"' | '\\', _) => out.extend(['\\', c]),
                    _ => out.push(c),
                }
            }
            out.push('"');
        }
        Tree::Number(negative, digits, exponent) => {
            out.push_str(if *negative { "-" } else { "" });
            let zeros = dice.roll(3);
            match dice.roll(4) {
                0 => out.push_str(&format!("{digits}e{exponent}")),
                1 => out.push_str(&format!("{digits}.{}E{exponent}", "0".repeat(zeros + 1))),
                2 => {
                    let (head, tail) = digits.split_at(1);
                    let point = if tail.is_empty() { String::new() } else { format!(".{tail}") };
                    let exponent = exponent + tail.len() as i32;
                    let plus = if exponent >= 0 && zeros > 0 { "+" } else { "" };
                    out.push_str(&format!("{head}{point}e{plus}{exponent}"));
                }
                _ if digits == "0" => out.push_str("0.000"),
                _ => out.push_str(&format!("{digits}{}e{}", "0".repeat(zeros), exponent - zeros as i32)),
            }
        }
        Tree::List(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                out.push_str(if n > 0 { "," } else { "" });
                spell(item, dice, out);
            }
            out.push(']');
        }
        Tree::Members(members) => {
            let mut order: Vec<_> = members.iter().collect();
            for n in (1..order.len()).rev() {
                order.swap(n, dice.roll(n + 1));
            }
            out.push('{');
            for (n, (name, member)) in order.into_iter().enumerate() {
                out.push_str(if n > 0 { " , " } else { "" });
                out.push_str(&format!("\"{name}\"{}:", [" ", ""][dice.roll(2)]));
                spell(member, dice, out);
            }
            out.push('}');
        }
    }
}

/// A small generator, so that a seed names a spelling.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

#[test]
fn a_spelling_is_a_duplicate() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = World::new();
    let tenant = runtime.block_on(world.tenant("shop"));
    let count = std::cell::Cell::new(0);
    let mut runner = TestRunner::new(Config { cases: 300, ..Config::default() });
    let cases = (proptest::collection::btree_map("[a-d]{1,2}", tree(), 0..5), any::<u64>());
    runner
        .run(&cases, |(members, seed)| {
            let (tree, mut dice) = (Tree::Members(members.into_iter().collect()), Dice(seed));
            count.set(count.get() + 1);
            let n = count.get();
            let mut texts = Vec::new();
            for _ in 0..4 {
                let mut text = String::new();
                spell(&tree, &mut dice, &mut text);
                texts.push(event(&format!("e{n}"), &text));
            }
            let verdicts = runtime.block_on(send(&tenant, "s", &texts));
            prop_assert_eq!(&verdicts[0], &Verdict::Accepted, "{}", texts[0]);
            for (verdict, text) in verdicts.iter().zip(&texts).skip(1) {
                prop_assert_eq!(verdict, &Verdict::Duplicate, "{} and {}", texts[0], text);
            }
            Ok(())
        })
        .unwrap();
}

/// Changes one scalar somewhere, the `at`-th counted from the front; false when there are fewer.
fn mutate(value: &mut Value, at: &mut usize) -> bool {
    match value {
        Value::List(items) => items.iter_mut().any(|item| mutate(item, at)),
        Value::Object(object) => {
            let mut members: Vec<_> = std::mem::take(object).into_iter().collect();
            let changed = members.iter_mut().any(|(_, member)| mutate(member, at));
            *object = members.into_iter().collect::<Object>();
            changed
        }
        scalar if *at == 0 => {
            let changed = match &*scalar {
                Value::Null => Value::Bool(false),
                Value::Bool(truth) => Value::Bool(!truth),
                Value::Number(number) => {
                    let digits = number.to_string();
                    let (mantissa, exponent) = digits.split_once('e').unwrap_or((&digits, "0"));
                    let point = if mantissa.contains('.') { "" } else { "." };
                    Value::Number(Number::parse(&format!("{mantissa}{point}7e{exponent}")).unwrap())
                }
                Value::Text(text) => Value::Text(format!("{text}\u{301}").into()),
                other => other.clone(),
            };
            *scalar = changed;
            true
        }
        _ => {
            *at -= 1;
            false
        }
    }
}

#[test]
fn ten_thousand_mutations_of_one_field_are_ten_thousand_conflicts() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = World::new();
    let tenant = runtime.block_on(world.tenant("shop"));
    let text = r#"{"a":1,"b":"x","c":[true,null,1.5,{"d":12345678901234567890123456789012345}],"e":{"f":"1","g":""}}"#;
    let mut conflicts = 0;
    for batch in 0..20 {
        let firsts: Vec<_> = (0..500).map(|n| event(&format!("e{batch}-{n}"), text)).collect();
        assert!(runtime.block_on(send(&tenant, "s", &firsts)).iter().all(|v| *v == Verdict::Accepted));
        let mutants: Vec<_> = (0..500)
            .map(|n| {
                let mut properties = value(text);
                assert!(mutate(&mut properties, &mut (n % 8)), "{n}");
                assert_ne!(properties, value(text), "{n}");
                event(&format!("e{batch}-{n}"), &json::to_string(&properties))
            })
            .collect();
        let verdicts = runtime.block_on(send(&tenant, "s", &mutants));
        conflicts += verdicts.iter().filter(|verdict| **verdict == Verdict::Conflict).count();
        let again = runtime.block_on(send(&tenant, "s", &firsts));
        assert!(again.iter().all(|verdict| *verdict == Verdict::Duplicate), "the first stays");
    }
    assert_eq!(conflicts, 10_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_senders_of_ten_thousand_ids_eight_times_each_accept_ten_thousand() {
    const IDS: usize = 10_000;
    let world = World::new();
    let tenant = world.tenant("shop").await;
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..64 {
        let tenant = tenant.clone();
        senders.spawn(async move {
            let mut accepted = 0;
            // Each id eight times in all, at the same time from senders that are eight apart.
            let mine = (0..IDS).filter(|id| id % 8 == sender % 8).collect::<Vec<_>>();
            for part in mine.chunks(100) {
                let events: Vec<_> = part.iter().map(|id| event(&id.to_string(), r#"{"n":1}"#)).collect();
                let verdicts = send(&tenant, "s", &events).await;
                assert!(verdicts.iter().all(|v| matches!(v, Verdict::Accepted | Verdict::Duplicate)));
                accepted += verdicts.iter().filter(|verdict| **verdict == Verdict::Accepted).count();
            }
            accepted
        });
    }
    assert_eq!(senders.join_all().await.into_iter().sum::<usize>(), IDS);
    let check = tokio::task::spawn_blocking(move || tenant.accounting().unwrap()).await.unwrap();
    assert_eq!((check.accepted, check.difference), (IDS as u64, Some(0)));
}

#[tokio::test]
async fn an_event_without_a_time_is_repeated_without_one_whenever() {
    let world = World::new();
    let tenant = world.tenant("shop").await;
    let one = [event("1", "{}")];
    assert_eq!(send(&tenant, "s", &one).await, [Verdict::Accepted]);
    world.clock.set(Timestamp(1_000_000 + 400 * 24 * 3600 * 1000));
    assert_eq!(send(&tenant, "s", &one).await, [Verdict::Duplicate]);
    let named = one[0].replacen('{', r#"{"source":"s","#, 1);
    assert_eq!(
        send(&tenant, "other", &[named]).await,
        [Verdict::Duplicate],
        "a source that is named is the same"
    );
    let timed = one[0].replacen('{', r#"{"time":"1970-01-01T00:16:40Z","#, 1);
    assert_eq!(
        send(&tenant, "s", &[timed]).await,
        [Verdict::Conflict],
        "a time that was not sent is another body"
    );
}

#[tokio::test]
async fn an_id_belongs_to_its_source_and_tenant() {
    let world = World::new();
    let mut accepted = 0;
    for slug in ["a", "b"] {
        let tenant = world.tenant(slug).await;
        for source in ["web", "till"] {
            for _ in 0..2 {
                let verdicts = send(&tenant, source, &[event("1", "{}")]).await;
                accepted += usize::from(verdicts == [Verdict::Accepted]);
            }
        }
    }
    assert_eq!(accepted, 4);
}
