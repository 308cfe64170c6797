//! Kills in the middle of runs, at every kind of destination: each row stands there once, none is missing, and our ledger
//! says the same. Webhooks are in `mirror`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::guests::activate;
use crate::harness::postgres::Postgres;
use crate::harness::random::Random;
use crate::harness::receiver::Receiver;
use crate::harness::store::Store;
use crate::harness::{Server, Tenant, guest, send_all, until};

const LONGEST: Duration = Duration::from_secs(120);
const MEMBERS: usize = 1500;

/// How often the server is killed: `CDP_EXPORT_KILLS`, or twice at each.
fn kills() -> usize {
    std::env::var("CDP_EXPORT_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(2)
}

enum Place {
    Download,
    Folder,
    Store(Store),
    Table(Postgres),
    /// A component, the receiver that it sends to, and its certificate.
    Plugin(&'static str, Receiver, String),
}

type Held = BTreeMap<String, String>;

fn address(n: usize) -> String {
    format!("person{n:04}@example.com")
}

fn person(n: usize, city: &str, status: &str, version: usize) -> Value {
    json!({
        "id": format!("{n}-{version}"), "type": "preference",
        "time": format!("2026-03-{:02}T00:{:02}:00Z", 1 + version / 60, version % 60),
        "identifiers": [{"type": "email", "value": address(n)}],
        "traits": {"city": city, "member": true},
        "channels": [{"channel": "email", "address": address(n)}],
        "consents": [{"channel": "email", "address": address(n), "purpose": "marketing", "status": status,
                      "method": "web-form", "policy_version": "1", "expires_at": null}],
    })
}

impl Place {
    fn define(&self, tenant: &Tenant) {
        let destination = match self {
            Self::Download => return,
            Self::Folder => json!({"kind": "file"}),
            Self::Store(store) => store.destination(),
            Self::Table(postgres) => {
                postgres.sql("CREATE TABLE audience (email text PRIMARY KEY, city text)");
                postgres.destination("audience")
            }
            Self::Plugin(component, receiver, _) => {
                activate(tenant, "sender", &towards(component, receiver), &json!({}));
                let mut secrets = json!({"token": "canary-token"});
                if *component == "misplan.wasm" {
                    secrets["spare"] = json!("canary-spare");
                }
                json!({"kind": "plugin", "plugin": "sender", "secrets": secrets})
            }
        };
        tenant.put("/v1/destinations/out", &destination).expect_status(201);
    }

    fn request(&self) -> Value {
        let mut request = json!({
            "segment": "members", "format": "csv", "batch": 20,
            "fields": [{"name": "email", "from": "channel.email"}, {"name": "city", "from": "trait.city"}],
            "consent": {"channel": "email", "purpose": "marketing"},
        });
        if !matches!(self, Self::Download) {
            request["destination"] = json!("out");
            request["mode"] = json!("incremental");
        }
        if matches!(self, Self::Table(_) | Self::Plugin(..)) {
            request["format"] = json!("ndjson");
        }
        request
    }

    /// What stands there after these runs.
    fn holds(&self, tenant: &Tenant, runs: &[Value]) -> Held {
        let file =
            |run: &Value| tenant.get(&format!("/v1/exports/{}/file", run["id"].as_str().unwrap())).text();
        match self {
            Self::Download => read_csv(&file(runs.last().unwrap())),
            Self::Folder => apply_all(runs.iter().map(file)),
            Self::Store(store) => apply_all(runs.iter().filter_map(|run| {
                let key = run["object"].as_str()?;
                Some(store.text(key).unwrap_or_else(|| panic!("{key} is not there")))
            })),
            Self::Table(postgres) => {
                let rows = postgres.sql("SELECT email, city FROM audience");
                rows.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect()
            }
            Self::Plugin(_, receiver, _) => {
                let mut held = Held::new();
                for message in receiver.messages() {
                    // One sends several rows together, the other each by itself.
                    let rows = message.body.as_array().cloned().unwrap_or_else(|| vec![message.body.clone()]);
                    for row in rows {
                        let email = row["email"].as_str().unwrap().to_owned();
                        match row["city"].as_str() {
                            Some(city) => held.insert(email, city.to_owned()),
                            None => held.remove(&email),
                        };
                    }
                }
                held
            }
        }
    }
}

/// A component with this receiver's host, which is as long as the one it was built for, in the place of that.
fn towards(component: &str, receiver: &Receiver) -> Vec<u8> {
    let (declared, wanted) = ("https://api.example.com", receiver.origin());
    assert_eq!(declared.len(), wanted.len(), "{wanted}");
    let mut component = guest(component);
    for at in 0..component.len() - declared.len() {
        if component[at..].starts_with(declared.as_bytes()) {
            component[at..at + declared.len()].copy_from_slice(wanted.as_bytes());
        }
    }
    component
}

fn read_csv(text: &str) -> Held {
    let rows = text.lines().skip(1).map(|line| line.split_once(',').unwrap());
    let mut held = Held::new();
    for (email, city) in rows {
        assert!(held.insert(email.to_owned(), city.to_owned()).is_none(), "{email} stands there twice");
    }
    held
}

/// The snapshot that all of these differences give, each row of a file for another person.
fn apply_all(files: impl Iterator<Item = String>) -> Held {
    let mut held = Held::new();
    for text in files {
        let mut seen = std::collections::BTreeSet::new();
        for line in text.lines().skip(1) {
            let (change, row) = line.split_once(',').unwrap();
            let (email, city) = row.split_once(',').unwrap();
            assert!(seen.insert(email.to_owned()), "{email} stands twice in one file");
            match change {
                "add" => {
                    assert!(held.insert(email.to_owned(), city.to_owned()).is_none(), "{email} was there")
                }
                "update" => {
                    assert!(held.insert(email.to_owned(), city.to_owned()).is_some(), "{email} was not")
                }
                "remove" => assert!(held.remove(email).is_some(), "{email} was not there"),
                other => panic!("{other}"),
            }
        }
    }
    held
}

fn run_over(tenant: &Tenant, path: &str) -> Value {
    let over = until(LONGEST, || {
        let answer = tenant.get(path);
        Some(answer).filter(|answer| answer.status == 200).map(|answer| answer.json()).filter(|info| {
            let status = info["status"].as_str().unwrap();
            assert!(!matches!(status, "failed" | "cancelled"), "{info}");
            status == "done"
        })
    });
    over.unwrap_or_else(|| panic!("the run goes on after the kill: {}", tenant.get(path).text()))
}

fn count(info: &Value, names: &[&str]) -> u64 {
    names.iter().map(|name| info["changes"][name].as_u64().unwrap()).sum()
}

fn kill_again_and_again(place: &Place) {
    let own = tempfile::tempdir().unwrap();
    let trusted = match place {
        Place::Plugin(_, _, certificate) => {
            let file = own.path().join("trusted.pem");
            std::fs::write(&file, certificate).unwrap();
            Some(file)
        }
        _ => None,
    };
    let mut server = Server::trusting(&own.path().join("data"), trusted);
    let mut tenant = server.tenant("shop");
    tenant.define(
        "/v1/purposes/marketing",
        &json!({"title": "News", "legal_basis": "consent", "channels": ["email"]}),
    );
    let rule = json!({"trait": "member", "op": "eq", "value": true});
    tenant.define("/v1/segments/members", &json!({"title": "Members", "rule": rule}));
    place.define(&tenant);
    let mut random = Random::seeded(11);
    let (mut want, mut runs, mut amid) = (Held::new(), Vec::new(), 0);
    for round in 0..kills() {
        let moves: Vec<usize> =
            (0..MEMBERS).filter(|n| round == 0 || random.below(3) == 0 || n % 400 == 0).collect();
        let mut events = Vec::new();
        for n in moves {
            let (city, agrees) = (format!("City {}", random.below(50)), round == 0 || random.below(5) > 0);
            events.push(person(n, &city, if agrees { "granted" } else { "withdrawn" }, round));
            match agrees {
                true => want.insert(address(n), city),
                false => want.remove(&address(n)),
            };
        }
        send_all(&tenant, &events);
        let started = tenant.post("/v1/exports", &place.request()).expect_status(202);
        let path = format!("/v1/exports/{}", started["id"].as_str().unwrap());
        let job = format!("/v1/jobs/{}", started["job"].as_str().unwrap());
        let target = random.below(MEMBERS) as u64;
        let seen = until(LONGEST, || {
            let job = tenant.get(&job).ok();
            let (status, progress) = (job["status"].as_str().unwrap().to_owned(), &job["progress"]);
            let done = progress["done"].as_u64().unwrap();
            let begun = status != "queued" && progress["total"].as_u64().unwrap() > 0;
            (matches!(status.as_str(), "done" | "failed") || begun && done >= target).then_some(status)
        });
        amid += usize::from(seen.as_deref() == Some("running"));
        server.kill_and_restart();
        tenant = tenant.at(&server.url);
        let info = run_over(&tenant, &path);
        let withheld: u64 = info["withheld"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
        let members = info["members"].as_u64().unwrap();
        if matches!(place, Place::Download) {
            assert_eq!(info["rows"].as_u64().unwrap() + withheld, members, "{info}");
        } else {
            let told = count(&info, &["add", "update"]) + info["unchanged"].as_u64().unwrap();
            assert_eq!(told + withheld, members, "{info}");
        }
        runs.push(info);
        let held = place.holds(&tenant, &runs);
        assert_eq!(held.len(), want.len(), "round {round}");
        assert_eq!(held, want, "round {round}");
        if !matches!(place, Place::Download) {
            let started = tenant.post("/v1/exports", &place.request()).expect_status(202);
            tenant.finish_job(&started);
            let next = tenant.get(&format!("/v1/exports/{}", started["id"].as_str().unwrap())).ok();
            assert_eq!(next["rows"], 0, "the ledger has every row once: {next}");
            assert_eq!(next["unchanged"].as_u64().unwrap() as usize, want.len(), "{next}");
        }
    }
    eprintln!("{} kills, {amid} of them in the middle of a run", kills());
    assert!(kills() < 20 || amid > 0, "none in the middle");
    server.finish();
}

#[test]
fn a_file_to_download_is_whole_or_not_there() {
    kill_again_and_again(&Place::Download);
}

#[test]
fn a_folder_has_every_difference_once() {
    kill_again_and_again(&Place::Folder);
}

#[test]
fn an_object_store_has_every_difference_once() {
    let store = Store::new();
    kill_again_and_again(&Place::Store(store.clone()));
    // An empty run puts an object too, or none: never two for one run.
    assert!(store.len() <= 2 * kills(), "{}", store.len());
}

#[test]
fn a_table_is_the_audience_after_every_kill() {
    let Some(postgres) = Postgres::start("a_table_is_the_audience_after_every_kill") else { return };
    kill_again_and_again(&Place::Table(postgres));
}

#[test]
fn what_a_plugin_sends_is_the_audience_after_every_kill() {
    let (receiver, certificate) = Receiver::secure();
    kill_again_and_again(&Place::Plugin("misplan.wasm", receiver, certificate));
}

#[test]
fn what_a_plugin_sends_by_itself_is_the_audience_after_every_kill() {
    let (receiver, certificate) = Receiver::secure();
    kill_again_and_again(&Place::Plugin("misdeliver.wasm", receiver.clone(), certificate));
    let secret = receiver.messages().iter().all(|message| message.authorization == "canary-token");
    assert!(secret, "the secret was put in on the way");
}
