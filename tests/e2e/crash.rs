//! kill -9 at random moments under load: what was acknowledged is there, once.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::http::attribute;
use crate::harness::random::Random;
use crate::harness::{CDP, Client, Server, Tenant, run_to_end};

const KILLS: usize = 50;
const SENDERS: u64 = 3;
const BATCH: u64 = 20;
const CUSTOMERS: u64 = 97;

/// One request: its events, and whether it was acknowledged.
struct Request {
    first: u64,
    acknowledged: bool,
}

fn customer(number: u64) -> String {
    format!("c{}", number * 31 % CUSTOMERS)
}

fn body(first: u64) -> Value {
    let events: Vec<Value> = (first..first + BATCH)
        .map(|number| {
            json!({"id": format!("k-{number}"), "source": "crash", "type": "purchase", "time": "2026-03-01T12:00:00Z",
                   "identifiers": [{"type": "customer_id", "value": customer(number)}],
                   "properties": {"total": (number % 100).to_string()}})
        })
        .collect();
    json!({ "events": events })
}

#[test]
fn fifty_kills_under_load_lose_and_double_nothing() {
    let mut random = Random::seeded(50);
    let mut server = Server::fresh();
    let mut tenant = server.tenant("shop");
    tenant.define("/v1/attributes/orders", &json!({"kind": "count", "event": "purchase"}));
    tenant.define("/v1/attributes/spend", &json!({"kind": "sum", "event": "purchase", "property": "/total"}));
    let next = AtomicU64::new(0);
    let mut requests = Vec::new();
    for round in 0..KILLS {
        let alive = Duration::from_millis(30 + random.next() % 600);
        requests.extend(load_until_killed(&mut server, &tenant, &next, alive));
        if round % 10 == 9 {
            verify_store(&server);
        }
        server.restart();
        tenant = tenant.at(&server.url);
        let told = accounting(&tenant);
        let least = requests.iter().filter(|request| request.acknowledged).count() as u64 * BATCH;
        assert!(told["accepted"].as_u64().unwrap() >= least, "{told}: at least {least} were acknowledged");
    }
    let acknowledged = counts(requests.iter().filter(|request| request.acknowledged));
    let sent = counts(requests.iter());
    let unknown = requests.iter().filter(|request| !request.acknowledged).count();
    eprintln!("{} requests of {BATCH}, {unknown} of them never acknowledged, {KILLS} kills", requests.len());
    assert!(requests.len() > KILLS, "there was load");

    settle(&tenant, "settled-1");
    let before = measured(&tenant, &sent);
    for (who, count) in &before {
        let least = acknowledged.get(who).copied().unwrap_or_default();
        assert!(
            (least..=sent[who]).contains(count),
            "{who}: {count} is not between {least} acknowledged and {} sent",
            sent[who]
        );
    }
    // What was never acknowledged is sent again, as a sender would: some of it is there already.
    let mut survived = 0;
    for request in requests.iter().filter(|request| !request.acknowledged) {
        let answer = tenant.post_patiently("/v1/events", &body(request.first)).expect_status(202);
        assert_eq!(answer["rejected"], 0, "{answer}");
        survived += answer["duplicates"].as_u64().unwrap();
    }
    let in_acknowledged: u64 = acknowledged.values().sum();
    assert_eq!(
        before.values().sum::<u64>(),
        in_acknowledged + survived,
        "nothing is there that nobody knows of"
    );
    settle(&tenant, "settled-2");
    assert_eq!(measured(&tenant, &sent), sent, "each event exactly once");
    let all = sent.values().sum::<u64>() + 2;
    assert_eq!(accounting(&tenant)["accepted"], all, "those of the senders, and two that settle");
    server.terminate();
    verify_store(&server);
    server.restart();
    assert_eq!(measured(&tenant.at(&server.url), &sent), sent, "and after another start");
    server.finish();
}

/// Where every accepted event is, which must add up at any time.
fn accounting(tenant: &Tenant) -> Value {
    let told = tenant.get("/v1/accounting").expect_status(200);
    let number = |name: &str| told[name].as_u64().unwrap();
    let parts = ["applied", "dead_letters", "dropped", "suppressed", "pending"];
    assert_eq!(number("accepted"), parts.into_iter().map(number).sum::<u64>(), "{told}");
    assert_eq!(told["difference"], 0, "{told}");
    told
}

/// Several senders at full speed; the server is killed under them.
fn load_until_killed(
    server: &mut Server,
    tenant: &Tenant,
    next: &AtomicU64,
    alive: Duration,
) -> Vec<Request> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|_| {
                let tenant = tenant.clone();
                let over = &over;
                scope.spawn(move || send_until(&tenant, next, over))
            })
            .collect();
        // A sleep on purpose: the moment of the kill is what is chosen at random.
        std::thread::sleep(alive);
        server.kill();
        over.store(true, Ordering::Relaxed);
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    })
}

fn send_until(tenant: &Client, next: &AtomicU64, over: &AtomicBool) -> Vec<Request> {
    let mut requests = Vec::new();
    let mut first = next.fetch_add(BATCH, Ordering::Relaxed);
    while !over.load(Ordering::Relaxed) {
        let sent = body(first).to_string();
        match tenant.try_call("POST", "/v1/events", "application/json", Some(sent.as_bytes())) {
            // Not taken: the same request goes again, as a sender would do it.
            Ok(answer) if matches!(answer.status, 429 | 503) => std::thread::sleep(Duration::from_millis(5)),
            Ok(answer) => {
                let answer = answer.expect_status(202);
                let taken = answer["accepted"].as_u64().unwrap() + answer["duplicates"].as_u64().unwrap();
                assert_eq!(taken, BATCH, "{answer}");
                requests.push(Request { first, acknowledged: true });
                first = next.fetch_add(BATCH, Ordering::Relaxed);
            }
            Err(_) => break,
        }
    }
    requests.push(Request { first, acknowledged: false });
    requests
}

fn counts<'a>(requests: impl Iterator<Item = &'a Request>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for number in requests.flat_map(|request| request.first..request.first + BATCH) {
        *counts.entry(customer(number)).or_default() += 1;
    }
    counts
}

/// An event of nobody's that is applied only after everything before it.
fn settle(tenant: &Tenant, id: &str) {
    let last =
        json!({"id": id, "type": "settle", "identifiers": [{"type": "customer_id", "value": "settle"}]});
    tenant.post_patiently("/v1/events?wait=applied", &last).expect_status(202);
}

fn measured(tenant: &Tenant, of: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let count = |who: &String| {
        let wanted = json!({"identifier": {"type": "customer_id", "value": who}});
        let answer = tenant.post("/v1/profiles/lookup", &wanted);
        if answer.status == 404 {
            0
        } else {
            attribute(&answer.expect_status(200), "orders").parse().unwrap()
        }
    };
    of.keys().map(|who| (who.clone(), count(who))).collect()
}

/// `cdp store verify` compares the state with a rebuild from the journal.
pub(crate) fn verify_store(server: &Server) {
    let mut command = Command::new(CDP);
    command.args(["store", "verify", "--data-dir"]).arg(&server.data_dir);
    let ended = run_to_end(command, Duration::from_secs(120));
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
}
