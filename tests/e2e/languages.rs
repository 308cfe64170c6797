//! The same plugin from the templates of every language: it builds as it is, passes its own test, and gives the values of
//! a plain loop over the committed subset of Online Retail, which the native attributes are held to as well (`retail.rs`).
//!
//! A language whose compiler cannot be had on this machine is passed over, and the reason printed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::http::plain;
use crate::harness::{CDP, root};
use crate::retail::{Customer, customers, events};

/// What `cdp` says when a compiler is missing: exit code 3.
const CONFIGURATION: i32 = 3;

fn cdp(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(CDP)
        .args(arguments)
        .current_dir(dir)
        .env("CARGO_TARGET_DIR", cargo_target())
        .output()
        .unwrap()
}

/// Where the Rust templates of all tests are built, so that what they depend on is built once.
pub(crate) fn cargo_target() -> std::path::PathBuf {
    root().join("target/templates")
}

fn shown(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A new project, built; None when this machine lacks the compiler.
fn built(home: &Path, language: &str, world: &str) -> Option<std::path::PathBuf> {
    let name = format!("{world}-{language}");
    let made = cdp(home, &["plugin", "new", &name, "--world", world, "--lang", language]);
    assert!(made.status.success(), "{language}: {}", shown(&made));
    let dir = home.join(&name);
    let built = cdp(&dir, &["plugin", "build"]);
    if built.status.code() == Some(CONFIGURATION) {
        eprintln!("{language} is passed over: {}", shown(&built));
        return None;
    }
    assert!(built.status.success(), "{language}: {}", shown(&built));
    Some(dir)
}

/// Runs the template of a derivation over the retail data, and compares every customer.
fn derives_as_a_plain_loop_does(language: &str) {
    let home = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let Some(dir) = built(home.path(), language, "deriver") else { return };
    let to_build = started.elapsed();
    let tested = cdp(&dir, &["plugin", "test", "--no-build"]);
    assert!(tested.status.success(), "{language}: {}", shown(&tested));
    let orders = root().join("examples/retail/orders.ndjson.gz");
    let arguments = ["plugin", "run", "--no-build", "--by", "customer_id", "-o", "json", "--events"];
    let run = Command::new(CDP).args(arguments).arg(orders).current_dir(&dir).output().unwrap();
    assert!(run.status.success(), "{language}: {}", shown(&run));
    let answer: Value = serde_json::from_slice(&run.stdout).unwrap();
    let people = answer["people"].as_object().unwrap();
    let expected: BTreeMap<String, Customer> = customers(&events("orders.ndjson.gz"));
    assert_eq!(people.len(), expected.len(), "{language}");
    for (id, customer) in &expected {
        let values = &people[id]["values"];
        let text = |name: &str| values[name].as_str().map_or_else(|| values[name].to_string(), str::to_owned);
        assert_eq!(text("order_count"), customer.orders.to_string(), "{language}, {id}");
        assert_eq!(text("total_spend"), customer.spend.normalize().to_string(), "{language}, {id}");
        let last = customer.last.as_deref().map_or(Value::Null, Value::from);
        assert_eq!(
            plain(values["last_order_at"].as_str().unwrap_or("")),
            plain(last.as_str().unwrap_or("")),
            "{language}, {id}"
        );
    }
    eprintln!(
        "{language}: built in {:.1} s, all in {:.1} s; {} fuel for {} customers",
        to_build.as_secs_f64(),
        started.elapsed().as_secs_f64(),
        answer["usage"]["fuel"],
        people.len()
    );
}

/// Builds the template of a transform and runs its fixture.
fn transforms_as_its_fixture_says(language: &str) {
    let home = tempfile::tempdir().unwrap();
    let Some(dir) = built(home.path(), language, "transformer") else { return };
    let tested = cdp(&dir, &["plugin", "test", "--no-build"]);
    assert!(tested.status.success(), "{language}: {}", shown(&tested));
}

/// Builds the template of a connector, runs its fixture, and shows what it plans.
fn hands_out_as_its_fixture_says(language: &str, world: &str) {
    let home = tempfile::tempdir().unwrap();
    let Some(dir) = built(home.path(), language, world) else { return };
    let tested = cdp(&dir, &["plugin", "test", "--no-build"]);
    assert!(tested.status.success(), "{language}: {}", shown(&tested));
    let rows = dir.join("rows.ndjson");
    std::fs::write(&rows, "{\"id\": \"a\", \"document\": {\"email\": \"ann@example.com\"}}\n").unwrap();
    let config = r#"{"list": "vip"}"#;
    let run = cdp(
        &dir,
        &["plugin", "run", "--no-build", "-o", "json", "--rows", "rows.ndjson", "--config", config],
    );
    if world == "connector-io" {
        assert!(shown(&run).contains("sends by itself"), "{}", shown(&run));
        return;
    }
    let answer: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(answer["requests"][0]["request"]["body"][0]["email"], "ann@example.com", "{answer}");
    let wrong = cdp(&dir, &["plugin", "run", "--no-build", "--rows", "rows.ndjson", "--config", "{}"]);
    assert!(shown(&wrong).contains("/list"), "{}", shown(&wrong));
}

/// Through the helpers of an interpreted language every kind of value goes in and comes out as it was: text that is not ASCII,
/// columns in which all, some and none are there, events of several types.
fn carries_every_kind_of_value(language: &str, file: &str, source: &str) {
    const KINDS: [&str; 6] = ["text", "integer", "number", "boolean", "decimal", "json"];
    let home = tempfile::tempdir().unwrap();
    let dir = project(home.path(), language, file, source);
    let full = |text: &str, n: i64| {
        json!({
            "text": text, "integer": n, "number": n as f64 / 8.0, "boolean": n % 2 == 0,
            "decimal": format!("{n}.25"), "json": {"list": [n, null, text], "nested": {"": text}},
        })
    };
    let null: Value = KINDS.into_iter().map(|kind| (kind.to_owned(), Value::Null)).collect();
    let wrong = json!({"text": 5, "integer": "5", "decimal": true});
    let all =
        [full("plain", 1), full("", -2), full("Ærøskøbing \u{1F9C0}\u{0} \u{7f}\u{80}\u{ff}", (1 << 53) - 1)];
    let several = [full("ÿ", 0), null, json!({}), wrong.clone(), full("é", 7)];
    for (name, events) in [("all", &all[..]), ("several", &several[..]), ("none", &[json!({}), json!({})])] {
        let expected = |event: &Value| {
            let there = |kind: &&str| event.get(kind).is_some() && *event != wrong;
            let mut set = serde_json::Map::new();
            for kind in KINDS.into_iter().filter(there) {
                let value = match &event[kind] {
                    // What a double holds beside whole numbers goes on as the exact text of it.
                    Value::Number(number) if kind == "number" => match number.as_f64().unwrap() {
                        whole if whole.fract() == 0.0 => json!(whole as i64),
                        other => json!(other.to_string()),
                    },
                    other => other.clone(),
                };
                set.insert(format!("/traits/{kind}"), value);
            }
            if *event == wrong {
                set.insert("/traits/mistyped".into(), "text integer decimal".into());
            }
            let gone = KINDS.into_iter().filter(|kind| !there(kind)).map(|kind| format!("/traits/{kind}"));
            let gone: Vec<String> = gone.collect();
            match (set.is_empty(), gone.is_empty()) {
                (false, false) => json!({"set": set, "remove": gone}),
                (false, true) => json!({"set": set}),
                (true, _) => json!({"remove": gone}),
            }
        };
        let types = ["One", "Other", "One", "Third", "Other"];
        let typed = events.iter().zip(types).map(|(event, kind)| json!({"type": kind, "properties": event}));
        let fixture = json!({
            "about": name,
            "events": typed.collect::<Vec<_>>(),
            "expect": events.iter().map(expected).collect::<Vec<_>>(),
        });
        std::fs::write(dir.join(format!("tests/{name}.json")), fixture.to_string()).unwrap();
    }
    tested_well(language, &cdp(&dir, &["plugin", "test"]));
}

/// A plugin in the place of a template's, with fixtures of its own in the place of the template's.
fn project(home: &Path, language: &str, file: &str, source: &str) -> std::path::PathBuf {
    let made = cdp(home, &["plugin", "new", "mine", "--world", "transformer", "--lang", language]);
    assert!(made.status.success(), "{language}: {}", shown(&made));
    let dir = home.join("mine");
    std::fs::write(dir.join(file), source).unwrap();
    for old in std::fs::read_dir(dir.join("tests")).unwrap() {
        std::fs::remove_file(old.unwrap().path()).unwrap();
    }
    dir
}

/// A test went well, or could not be run because this machine lacks the compiler.
fn tested_well(language: &str, tested: &Output) {
    if tested.status.code() == Some(CONFIGURATION) {
        eprintln!("{language} is passed over: {}", shown(tested));
        return;
    }
    assert!(tested.status.success(), "{language}: {}", shown(tested));
}

#[test]
fn names_that_every_object_has_are_names_like_others() {
    let home = tempfile::tempdir().unwrap();
    let dir = project(home.path(), "js", "plugin.js", include_str!("data/guests/inherited.js"));
    let there = json!({"constructor": "a", "toString": "b", "__proto__": "c"});
    let event = |kind: &str, properties: &Value| json!({"type": kind, "properties": properties});
    let fixture = json!({
        "events": [event("One", &there), event("Other", &there), event("One", &json!({}))],
        "expect": [
            {"set": {"/traits/all": "a b c"}},
            {"set": {"/traits/all": "a b c", "/traits/constructor": "a", "/traits/toString": "b", "/traits/__proto__": "c"}},
            {"set": {"/traits/all": "undefined undefined undefined"}},
        ],
    });
    std::fs::write(dir.join("tests/names.json"), fixture.to_string()).unwrap();
    tested_well("js", &cdp(&dir, &["plugin", "test"]));
}

/// What every event has of itself cannot be the name of a field, which would stand in its place.
#[test]
fn a_field_with_a_name_of_the_events_own_is_refused_by_name() {
    let own = [
        ("js", "plugin.js", "reads: { revenue:", "reads: { occurredAt: text(\"/id\"), revenue:"),
        ("python", "plugin.py", "reads={", "reads={\"why\": text(\"/id\"), "),
    ];
    for (language, file, from, to) in own {
        let home = tempfile::tempdir().unwrap();
        let template = root().join(format!("plugins/templates/{language}/transformer/{file}"));
        let source = std::fs::read_to_string(template).unwrap();
        assert!(source.contains(from), "{language}: {source}");
        let dir = project(home.path(), language, file, &source.replace(from, to));
        let refused = cdp(&dir, &["plugin", "build"]);
        if refused.status.code() == Some(CONFIGURATION) {
            eprintln!("{language} is passed over: {}", shown(&refused));
            continue;
        }
        let name = if language == "js" { "occurredAt" } else { "why" };
        let sentence = format!("a field cannot be called \"{name}\": every event has that");
        assert!(!refused.status.success() && shown(&refused).contains(&sentence), "{}", shown(&refused));
    }
}

#[test]
fn javascript_carries_every_kind_of_value() {
    carries_every_kind_of_value("js", "plugin.js", include_str!("data/guests/kinds.js"));
}

#[test]
fn python_carries_every_kind_of_value() {
    carries_every_kind_of_value("python", "plugin.py", include_str!("data/guests/kinds.py"));
}

macro_rules! languages {
    ($($module:ident: $language:literal),*) => {$(
        mod $module {
            #[test]
            fn derives_as_a_plain_loop_does() {
                super::derives_as_a_plain_loop_does($language);
            }

            #[test]
            fn transforms_as_its_fixture_says() {
                super::transforms_as_its_fixture_says($language);
            }
        }
    )*};
}

languages!(rust: "rust", js: "js", ts: "ts", python: "python", go: "go", c: "c");

#[test]
fn connectors_of_every_template_hand_out_as_their_fixtures_say() {
    for (language, world) in [
        ("rust", "connector-plan"),
        ("rust", "connector-io"),
        ("js", "connector-plan"),
        ("js", "connector-io"),
        ("ts", "connector-plan"),
        ("ts", "connector-io"),
        ("python", "connector-plan"),
        ("python", "connector-io"),
    ] {
        hands_out_as_its_fixture_says(language, world);
    }
}

#[test]
fn a_project_without_a_template_is_refused_and_told_where_there_is_one() {
    let home = tempfile::tempdir().unwrap();
    let refused = cdp(home.path(), &["plugin", "new", "x", "--world", "connector-io", "--lang", "go"]);
    assert!(!refused.status.success() && shown(&refused).contains("rust"), "{}", shown(&refused));
    assert!(!home.path().join("x").exists());
}
