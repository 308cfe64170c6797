//! Connectors of both worlds, through doubles of the host: what they plan, what they send, and what stops them.

#![expect(clippy::unwrap_used, reason = "this whole target is tests")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cdp_domain::time::Timestamp;
use cdp_runtime::connector::{
    Change, ConnectorCall, DeliverCall, Delivery, HeaderValue, HttpError, HttpRequest, HttpResponse, KvError,
    Outside, Planner, Session, Shelf, Verdict,
};
use cdp_runtime::{CacheUse, Failed, Failure, Fault, Grants, Limits, Options, Plugin, Request, Runtime};
use support::{guest, limits, runtime};

const NOW: Timestamp = Timestamp(1_735_689_600_000);

fn items(count: usize) -> Vec<Delivery> {
    (0..count)
        .map(|n| Delivery {
            id: format!("i{n}"),
            change: Change::Added,
            document: format!(r#"{{"n":{n}}}"#),
            attempt: 0,
        })
        .collect()
}

fn granted() -> Grants {
    Grants::of([
        Request::Host { url: "https://api.example.com".into() },
        Request::Secret { name: "token".into() },
    ])
}

fn call<'a>(config: &'a str, grants: &'a Grants) -> ConnectorCall<'a> {
    ConnectorCall { config, grants, limits: Limits::default(), now: NOW }
}

fn planner() -> Arc<Planner> {
    match runtime().load(&guest("misplan")).unwrap() {
        Plugin::Planner(planner) => planner,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_plan_covers_every_item_once_and_names_secrets_only() {
    let plan = planner().plan(&call("good", &granted()), &items(5)).unwrap();
    assert_eq!(
        plan.iter().map(|planned| planned.covers.clone()).collect::<Vec<_>>(),
        [vec![0, 1], vec![2, 3], vec![4]]
    );
    let request = &plan[0].request;
    assert_eq!(request.url, "https://api.example.com/v1/items?at=1735689600000");
    assert_eq!(request.body, br#"[{"n":0},{"n":1}]"#);
    assert_eq!(request.headers[1], ("authorization".into(), HeaderValue::Secret("token".into())));
    assert_eq!(request.idempotency_key.as_deref(), Some("i0"));
}

#[test]
fn a_plan_that_breaks_a_rule_is_not_sent() {
    let (planner, grants) = (planner(), granted());
    for (word, sentence) in [
        ("twice", "item 0 is covered twice"),
        ("uncovered", "item 4 is covered by no request"),
        ("out-of-range", "covers item 99 of 5"),
        ("covers-none", "covers no item"),
        ("elsewhere", "https://evil.example was not declared and granted"),
        ("plain-http", "does not begin with https://"),
        ("spare-host", "https://spare.example.com was not declared and granted"),
        ("spare-secret", "the secret \"spare\" was not declared and granted"),
        ("unknown-secret", "the secret \"root\" was not declared and granted"),
        ("another-host-inside", "is the sender's own"),
        ("huge", "are allowed"),
    ] {
        match planner.plan(&call(word, &grants), &items(5)) {
            Err(Failed::Fault(Fault::Contract(why))) => assert!(why.contains(sentence), "{word}: {why}"),
            other => panic!("{word}: {other:?}"),
        }
    }
    planner.plan(&call("spare-host", &Grants::all()), &items(5)).unwrap();
}

#[test]
fn what_a_planner_says_of_itself_arrives() {
    let (planner, grants) = (planner(), granted());
    let says = |word| planner.plan(&call(word, &grants), &items(2)).unwrap_err();
    assert_eq!(says("transient"), Failed::Said(Failure::Transient(Some(250))));
    assert_eq!(says("misconfigured"), Failed::Said(Failure::Misconfigured("asked to".into())));
    assert_eq!(says("rejected"), Failed::Said(Failure::Rejected("asked to".into())));
    assert_eq!(says("loop"), Failed::Fault(Fault::Fuel));
}

#[test]
fn replies_become_one_verdict_for_each_item() {
    let (planner, grants) = (planner(), granted());
    let reply = |status, body: &str| {
        Ok(HttpResponse { status, body: body.as_bytes().to_vec(), ..HttpResponse::default() })
    };
    let settle = |word, reply| planner.settle(&call(word, &grants), &items(2), reply);
    assert_eq!(settle("good", reply(204, "")), Ok(vec![Verdict::Delivered; 2]));
    assert_eq!(settle("good", reply(429, "")), Ok(vec![Verdict::Retry(Some(1500)); 2]));
    assert_eq!(
        settle("good", reply(400, "no such list")),
        Ok(vec![Verdict::Rejected("no such list".into()); 2])
    );
    assert_eq!(settle("good", Err(HttpError::Timeout)), Ok(vec![Verdict::Retry(None); 2]));
    let Err(Fault::Contract(why)) = settle("too-many-verdicts", reply(200, "")) else { panic!() };
    assert_eq!(why, "3 verdicts for 2 items");
    let Ok(verdicts) = settle("good", reply(400, &"é".repeat(2_000))) else { panic!() };
    assert!(matches!(&verdicts[0], Verdict::Rejected(why) if why.len() == 512), "reasons are cut");
}

/// A host for sessions: remembers what was sent, answers 200, and keeps a shelf.
#[derive(Default)]
struct Double {
    sent: Mutex<Vec<HttpRequest>>,
    shelf: Mutex<Shelf>,
    slow: Option<Duration>,
    /// Does not look at the deadline.
    stubborn: bool,
}

impl Outside for Double {
    fn send(&self, request: HttpRequest, deadline: Instant) -> Result<HttpResponse, HttpError> {
        self.sent.lock().unwrap().push(request);
        if let Some(slow) = self.slow {
            let until = Instant::now() + slow;
            let until = if self.stubborn { until } else { until.min(deadline) };
            std::thread::sleep(until.saturating_duration_since(Instant::now()));
        }
        Ok(HttpResponse { status: 200, ..HttpResponse::default() })
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.shelf.lock().unwrap().get(key, NOW).map(|found| found.map(<[u8]>::to_vec))
    }

    fn put(&self, key: &str, value: Vec<u8>, ttl_seconds: Option<u32>) -> Result<(), KvError> {
        self.shelf.lock().unwrap().put(key, value, ttl_seconds, NOW)
    }
}

fn session() -> Arc<Session> {
    match runtime().load(&guest("misdeliver")).unwrap() {
        Plugin::Session(session) => session,
        other => panic!("{other:?}"),
    }
}

fn deliver(
    session: &Session,
    config: &str,
    outside: &Arc<Double>,
    deadline: Duration,
) -> Result<Vec<Verdict>, Failed> {
    let grants = granted();
    let outside: Arc<dyn Outside> = Arc::clone(outside) as _;
    session.deliver(&DeliverCall { call: call(config, &grants), deadline, outside }, &items(3))
}

const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_session_sends_and_keeps_its_cursor() {
    let (session, outside) = (session(), Arc::new(Double::default()));
    for _ in 0..2 {
        assert_eq!(deliver(&session, "good", &outside, SOON), Ok(vec![Verdict::Delivered; 3]));
    }
    let sent = outside.sent.lock().unwrap();
    assert_eq!(sent.len(), 6);
    assert_eq!(sent[0].headers, [("authorization".into(), HeaderValue::Secret("token".into()))]);
    assert_eq!(outside.shelf.lock().unwrap().get("cursor", NOW), Ok(Some(&b"xxxxxx"[..])));
}

#[test]
fn a_session_reaches_nothing_that_was_not_granted() {
    let (session, outside) = (session(), Arc::new(Double::default()));
    let said = |word| match deliver(&session, word, &outside, SOON).unwrap().remove(0) {
        Verdict::Rejected(why) => why,
        other => panic!("{other:?}"),
    };
    assert!(said("elsewhere").contains("Denied"), "{}", said("elsewhere"));
    assert!(said("malformed").contains("Other"), "{}", said("malformed"));
    assert!(outside.sent.lock().unwrap().is_empty(), "nothing came as far as the host");
    assert_eq!(said("many"), "1000", "requests of one delivery are bounded");
    assert_eq!(said("hoard"), "1000", "and so are keys");
}

#[test]
fn a_session_ends_at_its_deadline_whatever_it_does() {
    let session = session();
    for (word, slow, stubborn) in [
        ("loop-there", None, false),
        ("send-for-ever", None, false),
        ("good", Some(Duration::from_secs(3600)), false),
        ("good", Some(Duration::from_secs(5)), true),
    ] {
        let outside = Arc::new(Double { slow, stubborn, ..Double::default() });
        let deadline = Duration::from_millis(200);
        let started = Instant::now();
        // Under a thousand requests, sending for ever ends in the quota's answers and goes on computing.
        assert_eq!(
            deliver(&session, word, &outside, deadline),
            Err(Failed::Fault(Fault::Deadline)),
            "{word}"
        );
        let took = started.elapsed();
        eprintln!("{word}: stopped {:?} after its deadline", took.saturating_sub(deadline));
        assert!(took >= Duration::from_millis(190), "{word}: {took:?}");
        assert!(took < Duration::from_secs(4), "{word}: {took:?}; how exactly is for the bench to say");
    }
}

#[test]
fn a_session_breaks_the_contract_and_grows_in_vain() {
    let (session, outside) = (session(), Arc::new(Double::default()));
    let said = |word| deliver(&session, word, &outside, SOON).unwrap_err();
    assert_eq!(said("grow"), Failed::Fault(Fault::Memory));
    assert_eq!(said("misconfigured"), Failed::Said(Failure::Misconfigured("asked to".into())));
    let Failed::Fault(Fault::Contract(why)) = said("few-verdicts") else { panic!() };
    assert_eq!(why, "0 verdicts for 3 items");
    assert_eq!(session.check_config("loop"), Err(Fault::Deadline));
    assert_eq!(session.check_config("good"), Ok(Ok(())));
}

#[test]
fn each_kind_of_work_has_machine_code_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let prepare = || {
        let options =
            Options { cache_dir: Some(dir.path().to_owned()), limits: limits(), ..Options::default() };
        let runtime = Runtime::new(options).unwrap();
        let Plugin::Session(session) = runtime.load(&guest("misdeliver")).unwrap() else { panic!() };
        runtime.load(&guest("misplan")).unwrap();
        session.cache_use()
    };
    assert_eq!((prepare(), prepare()), (CacheUse::Stored, CacheUse::Loaded));
    // An artefact that the other engine made is none for this one, even under its name.
    let mut files: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "compiled"));
    let [a, b] = &files[..] else { panic!("{files:?}") };
    let swapped = dir.path().join("swapped");
    std::fs::rename(a, &swapped).unwrap();
    std::fs::rename(b, a).unwrap();
    std::fs::rename(&swapped, b).unwrap();
    assert_eq!(prepare(), CacheUse::Stored);
}
