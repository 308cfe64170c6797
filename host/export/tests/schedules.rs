//! Schedules over a clock that stands still until it is set, and over restarts.
#![expect(clippy::unwrap_used, reason = "this whole target is tests")]

use std::path::Path;
use std::sync::Arc;

use cdp_domain::json;
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_engine::accept::{Accept, Incoming};
use cdp_engine::clock::ManualClock;
use cdp_engine::registry::NewTenant;
use cdp_engine::{Engine, Options, Storage, Tenant};
use cdp_export::Exports;
use cdp_export::run::FOLLOW_MS_MAX;
use cdp_store::seal::MasterKey;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn value(text: &str) -> Value {
    json::parse(text.as_bytes(), json::Options::default()).unwrap()
}

fn open(dir: &Path, clock: &Arc<ManualClock>) -> (Engine, Exports) {
    open_towards(dir, clock, "")
}

/// The same, with hosts that may be dialled although they usually may not.
fn open_towards(dir: &Path, clock: &Arc<ManualClock>, allowed: &str) -> (Engine, Exports) {
    let mut options = Options::new(dir.join("data"), MasterKey::from_bytes([7; 32]));
    options.storage = Storage::Memory;
    options.clock = clock.clone();
    let engine = Engine::open(options).unwrap();
    // State that lies in memory is made anew from the journal.
    engine.wait_until_applied().unwrap();
    let exports = Exports::open(engine.clone(), allowed).unwrap();
    (engine, exports)
}

/// Closes it all; the directory is free when the last handle is gone.
fn close(engine: Engine, exports: Exports, tenant: Tenant) {
    exports.close();
    engine.close();
    drop((engine, exports, tenant));
}

/// Asks until there is an answer.
async fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(std::time::Instant::now() < deadline, "it does not happen");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

fn schedule(more: &str) -> Value {
    value(&format!(
        r#"{{"cron": "0 * * * *", "time_zone": "Europe/Riga", {more} "export": {{"segment": "all", "format": "csv",
            "fields": [{{"name": "email", "from": "channel.email"}}],
            "consent": {{"channel": "email", "purpose": "marketing"}}}}}}"#
    ))
}

async fn last_due(exports: &Exports, tenant: &Tenant, name: &str, want: &str) -> serde_json::Value {
    let want = at(want).to_string();
    until(|| {
        let seen = exports.schedule(tenant, name).unwrap();
        (seen["last"]["at"] == want.as_str()).then_some(seen)
    })
    .await
}

/// The runs of a schedule, by the instants that they are for.
fn runs(exports: &Exports, tenant: &Tenant, name: &str) -> Vec<String> {
    let page = exports.list(tenant, 1000, None).unwrap();
    let mut due: Vec<_> = page
        .items
        .iter()
        .filter(|info| info["schedule"] == name)
        .map(|info| info["due_at"].as_str().unwrap().to_owned())
        .collect();
    due.sort();
    due
}

/// Until every run is over: one that is under way at the next instant has that passed over, as it should be.
async fn all_over(exports: &Exports, tenant: &Tenant) {
    until(|| {
        let page = exports.list(tenant, 1000, None).unwrap();
        page.items.iter().all(|info| info["status"] == "done").then_some(())
    })
    .await;
}

/// A tenant with a purpose, and a segment of everybody who has an address.
async fn shop(engine: &Engine, purpose: &str, legal_basis: &str) -> Tenant {
    let new = NewTenant { slug: "shop".into(), name: "Shop".into(), time_zone: None };
    engine.create_tenant(new).await.unwrap();
    let tenant = engine.open_tenants().pop().unwrap();
    let definition = format!(r#"{{"title": "Why", "legal_basis": "{legal_basis}"}}"#);
    tenant.put_purpose(purpose, &value(&definition)).await.unwrap();
    let rule = value(r#"{"title": "All", "rule": {"identifier": "email", "op": "exists"}}"#);
    tenant.put_segment("all", &rule).await.unwrap();
    until(|| tenant.take_members("all").ok()).await;
    tenant
}

/// A receiver of webhooks that takes everything; whole bodies come as they are there.
fn receiver() -> (String, std::sync::mpsc::Receiver<String>) {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, bodies) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (sender, mut reader) = (sender.clone(), BufReader::new(stream));
            std::thread::spawn(move || {
                loop {
                    let (mut length, mut line) = (0, String::new());
                    while matches!(reader.read_line(&mut line), Ok(3..)) {
                        if let Some(text) = line.to_lowercase().strip_prefix("content-length:") {
                            length = text.trim().parse().unwrap();
                        }
                        line.clear();
                    }
                    let mut body = vec![0; length];
                    if line.is_empty() || reader.read_exact(&mut body).is_err() {
                        return;
                    }
                    sender.send(String::from_utf8(body).unwrap()).ok();
                    reader.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
                }
            });
        }
    });
    (url, bodies)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_follows_for_its_time_and_not_a_millisecond_longer() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(at("2026-11-26T00:30:00Z")));
    let (engine, exports) = open_towards(dir.path(), &clock, "127.0.0.1");
    // Nobody has to agree to what is needed for a contract.
    let tenant = shop(&engine, "orders", "contract").await;
    let (url, bodies) = receiver();
    let hook = format!(
        r#"{{"kind": "webhook", "url": "{url}", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}}"#
    );
    exports.put_destination(&tenant, "hook", &value(&hook)).await.unwrap();
    let request = r#"{"segment": "all", "destination": "hook", "mode": "incremental", "follow": true,
        "fields": [{"name": "email", "from": "channel.email"}],
        "consent": {"channel": "email", "purpose": "orders"}}"#;
    let says_hello = async |email: &str| {
        let event = format!(
            r#"{{"id": "{email}", "source": "test", "type": "hello", "time": "2026-01-01T00:00:00Z",
                "identifiers": [{{"type": "email", "value": "{email}"}}],
                "channels": [{{"channel": "email", "address": "{email}"}}]}}"#
        );
        let incoming = Incoming { value: value(&event), bytes: event.len(), digest_of: None };
        let how = Accept { source: "test".into(), ..Accept::default() };
        tenant.accept(vec![incoming], &how).await.unwrap();
    };
    let arrives = async |email: &str| {
        until(|| bodies.try_recv().ok().filter(|body| body.contains(email))).await;
    };
    says_hello("ann@example.com").await;
    until(|| tenant.take_members("all").ok().filter(|members| members.len() == 1)).await;
    let begun = at("2026-11-26T00:30:00Z");
    let run = exports.start(&tenant, &value(request)).await.unwrap();
    // Who was a member when the run began is sent by its look at everybody. Its time to follow begins after that, and has
    // begun when somebody arrives who was not.
    arrives("ann@example.com").await;
    says_hello("bob@example.com").await;
    arrives("bob@example.com").await;
    clock.set(Timestamp(begun.0 + FOLLOW_MS_MAX - 1));
    says_hello("cyd@example.com").await;
    arrives("cyd@example.com").await;
    assert_eq!(exports.get(&tenant, run.id).unwrap()["status"], "running", "so long");
    clock.set(Timestamp(begun.0 + FOLLOW_MS_MAX));
    let info =
        until(|| Some(exports.get(&tenant, run.id).unwrap()).filter(|info| info["status"] == "done")).await;
    assert_eq!((&info["changes"]["add"], &info["rows"]), (&3.into(), &3.into()), "{info}");
    close(engine, exports, tenant);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_held_for_its_time_and_not_a_millisecond_longer_than_until_the_next_look() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(at("2026-11-26T00:30:00Z")));
    let (engine, exports) = open(dir.path(), &clock);
    let tenant = shop(&engine, "marketing", "consent").await;
    let request = r#"{"segment": "all", "fields": [{"name": "email", "from": "channel.email"}],
        "consent": {"channel": "email", "purpose": "marketing"}}"#;
    let run = exports.start(&tenant, &value(request)).await.unwrap();
    let held = until(|| exports.file(&tenant, run.id).ok()).await;
    let ended = at(exports.get(&tenant, run.id).unwrap()["ended_at"].as_str().unwrap());
    // A second file says when a look was over.
    clock.set(Timestamp(ended.0 + cdp_export::FILES_KEPT_MS));
    let other = exports.start(&tenant, &value(request)).await.unwrap();
    until(|| exports.file(&tenant, other.id).ok()).await;
    close(engine, exports, tenant);
    let (engine, exports) = open(dir.path(), &clock);
    let tenant = engine.open_tenants().pop().unwrap();
    assert!(exports.file(&tenant, run.id).is_ok(), "so long, and not longer");
    clock.set(Timestamp(ended.0 + cdp_export::FILES_KEPT_MS + 2 * 3_600_000));
    until(|| (exports.get(&tenant, run.id).unwrap()["file"] == "expired").then_some(())).await;
    assert!(exports.file(&tenant, run.id).is_err() && !held.path.exists());
    assert!(exports.file(&tenant, other.id).is_ok(), "the younger one stays");
    assert_eq!(exports.manifest(&tenant, run.id).unwrap()["file"], "expired");
    close(engine, exports, tenant);
}

#[tokio::test(flavor = "multi_thread")]
async fn instants_have_their_runs_once_also_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(at("2026-11-26T00:30:00Z")));
    let (engine, exports) = open(dir.path(), &clock);
    let tenant = shop(&engine, "marketing", "consent").await;
    exports.put_schedule(&tenant, "made_up", &schedule("")).await.unwrap();
    exports.put_schedule(&tenant, "not_made_up", &schedule(r#""catch_up": false,"#)).await.unwrap();

    clock.set(at("2026-11-26T01:00:00Z"));
    for name in ["made_up", "not_made_up"] {
        let seen = last_due(&exports, &tenant, name, "2026-11-26T01:00:00Z").await;
        assert!(seen["last"]["export"].is_string(), "{seen}");
        assert_eq!(seen["next_at"], at("2026-11-26T02:00:00Z").to_string());
        assert_eq!(runs(&exports, &tenant, name), [at("2026-11-26T01:00:00Z").to_string()]);
    }
    all_over(&exports, &tenant).await;
    close(engine, exports, tenant);

    // Away for three instants.
    clock.set(at("2026-11-26T04:10:00Z"));
    let (engine, exports) = open(dir.path(), &clock);
    let tenant = engine.open_tenants().pop().unwrap();
    let two = [at("2026-11-26T01:00:00Z").to_string(), at("2026-11-26T04:00:00Z").to_string()];
    last_due(&exports, &tenant, "made_up", "2026-11-26T04:00:00Z").await;
    assert_eq!(runs(&exports, &tenant, "made_up"), two, "one run makes up for all");
    let seen = last_due(&exports, &tenant, "not_made_up", "2026-11-26T04:00:00Z").await;
    assert!(seen["last"]["skipped"].as_str().unwrap().contains("away"), "{seen}");
    assert_eq!(runs(&exports, &tenant, "not_made_up"), two[..1]);
    close(engine, exports, tenant);

    // Nothing is dealt with twice.
    let (engine, exports) = open(dir.path(), &clock);
    let tenant = engine.open_tenants().pop().unwrap();
    all_over(&exports, &tenant).await;
    clock.set(at("2026-11-26T05:00:00Z"));
    last_due(&exports, &tenant, "made_up", "2026-11-26T05:00:00Z").await;
    let three = [two.to_vec(), vec![at("2026-11-26T05:00:00Z").to_string()]].concat();
    assert_eq!(runs(&exports, &tenant, "made_up"), three);
    close(engine, exports, tenant);
}
