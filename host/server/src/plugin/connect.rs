//! Connectors without a server and without a network: what they plan or send for rows, and what they make of replies.
//!
//! A fixture of the world `connector-plan` is `{config?, items, plan: [{covers, request}], replies: [{to, status | error,
//! headers?, body?, expect: [VERDICT]}]}`; `to` is the position of a planned request. One of the world `connector-io` is
//! `{config?, items, deliveries: [{exchanges: [{request, status | error, headers?, body?}], expect: [VERDICT]}]}`.
//!
//! An item is `{id, change?, document, attempt?}`. In a request, a header is a text or `{"secret": NAME}`, and a body that is
//! no text is compared as JSON. A verdict is `"delivered"`, `{"retry": milliseconds or null}` or `{"rejected": reason}`.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cdp_domain::time::Timestamp;
use cdp_runtime::connector::{
    Change, ConnectorCall, DeliverCall, Delivery, HeaderValue, HttpError, HttpRequest, HttpResponse, KvError,
    Outside, Planned, Planner, Session, Shelf, Verdict,
};
use cdp_runtime::{Grants, Limits};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::events::is_same;
use super::test::Note;
use crate::{Failure, exit};

/// When deliveries of fixtures happen: 2026-01-01T00:00:00Z.
const NOW: Timestamp = Timestamp(1_767_225_600_000);
/// How long a delivery of a fixture may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// One file of fixtures.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fixture {
    #[serde(skip)]
    pub(super) name: String,
    #[serde(default, rename = "about")]
    _about: String,
    #[serde(default)]
    config: Option<Value>,
    items: Vec<Item>,
    #[serde(default)]
    plan: Option<Value>,
    #[serde(default)]
    replies: Vec<Reply>,
    #[serde(default)]
    deliveries: Vec<Played>,
}

/// A row of an audience.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    id: String,
    #[serde(default = "added")]
    change: Change,
    document: Value,
    #[serde(default)]
    attempt: u32,
}

fn added() -> Change {
    Change::Added
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply {
    to: usize,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    body: Value,
    expect: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Played {
    exchanges: Vec<Exchange>,
    expect: Value,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    request: Value,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    body: Value,
}

impl Fixture {
    /// Reads one file.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let wrong = |why: String| Failure::new(exit::INPUT_REJECTED, format!("{}: {why}", path.display()));
        let mut fixture: Self =
            serde_json::from_slice(&super::read(path)?).map_err(|error| wrong(error.to_string()))?;
        fixture.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(fixture)
    }

    /// As text; empty when there is none.
    pub(super) fn config(&self) -> String {
        self.config.as_ref().map(Value::to_string).unwrap_or_default()
    }

    fn rows(&self) -> Vec<Delivery> {
        self.items.iter().map(Item::row).collect()
    }
}

impl Item {
    fn row(&self) -> Delivery {
        let Self { id, change, document, attempt } = self;
        Delivery { id: id.clone(), change: *change, document: document.to_string(), attempt: *attempt }
    }
}

/// Rows of an audience, one a line.
pub(super) fn rows(lines: &[Value]) -> Result<Vec<Delivery>, Vec<String>> {
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    for (at, line) in lines.iter().enumerate() {
        match Item::deserialize(line) {
            Ok(item) => rows.push(item.row()),
            Err(error) => problems.push(format!("/{at}: {error}")),
        }
    }
    if problems.is_empty() { Ok(rows) } else { Err(problems) }
}

fn call<'a>(config: &'a str, grants: &'a Grants) -> ConnectorCall<'a> {
    ConnectorCall { config, grants, limits: Limits::default(), now: NOW }
}

/// What a connector plans for rows, with every grant.
pub(super) fn plan(planner: &Planner, config: &str, rows: &[Delivery]) -> Result<Vec<Planned>, String> {
    planner.plan(&call(config, &Grants::all()), rows).map_err(|why| format!("the plugin {why}"))
}

/// Checks a connector that plans.
pub(super) fn plans(planner: &Planner, fixture: &Fixture, note: &mut Note<'_>) {
    let (config, rows) = (fixture.config(), fixture.rows());
    let planned = match plan(planner, &config, &rows) {
        Ok(planned) => planned,
        Err(why) => return note("plan", Err(why)),
    };
    let shown: Vec<Value> = planned.iter().map(show).collect();
    let expected = fixture.plan.as_ref().and_then(Value::as_array);
    note(
        "plan",
        expected.ok_or("/plan is to be a list of requests".to_owned()).and_then(|all| same(all, &shown)),
    );
    let again = plan(planner, &config, &rows);
    note(
        "the same again",
        if again.as_ref() == Ok(&planned) { Ok(()) } else { Err("another plan".to_owned()) },
    );
    for (at, reply) in fixture.replies.iter().enumerate() {
        let what = format!("reply {at}");
        let Some(planned) = planned.get(reply.to) else {
            note(&what, Err(format!("/replies/{at}/to is {}, of {} requests", reply.to, shown.len())));
            continue;
        };
        let some: Vec<Delivery> = planned.covers.iter().map(|row| rows[*row].clone()).collect();
        let grants = Grants::all();
        let said = response(reply.status, reply.error.as_deref(), &reply.headers, &reply.body)
            .map_err(|why| format!("/replies/{at}{why}"))
            .and_then(|reply| {
                planner
                    .settle(&call(&config, &grants), &some, reply)
                    .map_err(|fault| format!("the plugin {fault}"))
            });
        note(&what, said.and_then(|said| judged(&reply.expect, &said)));
    }
}

/// Checks a connector that sends.
pub(super) fn sends(session: &Session, fixture: &Fixture, note: &mut Note<'_>) {
    let (config, rows, grants) = (fixture.config(), fixture.rows(), Grants::all());
    if fixture.deliveries.is_empty() {
        note("deliveries", Err("there is none: put what is sent and answered into /deliveries".to_owned()));
    }
    for (at, played) in fixture.deliveries.iter().enumerate() {
        let stage = Arc::new(Stage::new(&played.exchanges));
        let outside: Arc<dyn Outside> = stage.clone();
        let asked = DeliverCall { call: call(&config, &grants), deadline: DEADLINE, outside };
        let said = session.deliver(&asked, &rows).map_err(|why| format!("the plugin {why}"));
        let Acts { left, problem, .. } = stage.end();
        let sent = match (problem, left) {
            (Some(problem), _) => Err(problem),
            (None, 0) => Ok(()),
            (None, left) => Err(format!("{left} of {} requests were not sent", played.exchanges.len())),
        };
        note(&format!("delivery {at}: requests"), sent);
        note(&format!("delivery {at}: verdicts"), said.and_then(|said| judged(&played.expect, &said)));
    }
}

/// A host that plays what a fixture says.
struct Stage(Mutex<Acts>);

#[derive(Default)]
struct Acts {
    next: VecDeque<Exchange>,
    sent: usize,
    shelf: Shelf,
    problem: Option<String>,
    left: usize,
}

impl Stage {
    fn new(exchanges: &[Exchange]) -> Self {
        Self(Mutex::new(Acts { next: exchanges.iter().cloned().collect(), ..Acts::default() }))
    }

    fn with<T>(&self, ask: impl FnOnce(&mut Acts) -> T) -> T {
        ask(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn end(&self) -> Acts {
        self.with(|acts| {
            let left = acts.next.len();
            Acts { left, ..std::mem::take(acts) }
        })
    }
}

impl Outside for Stage {
    fn send(&self, request: HttpRequest, _: Instant) -> Result<HttpResponse, HttpError> {
        self.with(|acts| {
            let at = acts.sent;
            acts.sent += 1;
            let Some(exchange) = acts.next.pop_front() else {
                let more = format!("request {at} was not expected: {} {}", request.method, request.url);
                acts.problem.get_or_insert(more);
                return Err(HttpError::Quota);
            };
            let shown = show_request(&request);
            if !is_expected(&exchange.request, &shown) {
                let other = format!("request {at}: expected {}, got {shown}", exchange.request);
                acts.problem.get_or_insert(other);
            }
            match response(exchange.status, exchange.error.as_deref(), &exchange.headers, &exchange.body) {
                Ok(reply) => reply,
                Err(why) => {
                    acts.problem.get_or_insert(format!("request {at}: {why}"));
                    Err(HttpError::Quota)
                }
            }
        })
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.with(|acts| acts.shelf.get(key, NOW).map(|found| found.map(<[u8]>::to_vec)))
    }

    fn put(&self, key: &str, value: Vec<u8>, ttl_seconds: Option<u32>) -> Result<(), KvError> {
        self.with(|acts| acts.shelf.put(key, value, ttl_seconds, NOW))
    }
}

/// A reply as a fixture tells it.
fn response(
    status: Option<u16>,
    error: Option<&str>,
    headers: &Map<String, Value>,
    body: &Value,
) -> Result<Result<HttpResponse, HttpError>, String> {
    let why = match (status, error) {
        (Some(status), None) => {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let headers = headers.iter().map(|(name, value)| (name.to_lowercase(), text(value))).collect();
            let body = if body.is_null() { Vec::new() } else { text(body).into_bytes() };
            return Ok(Ok(HttpResponse { status, headers, body, truncated: false }));
        }
        (None, Some(why)) => why,
        _ => return Err(" has either a status or an error".to_owned()),
    };
    Ok(Err(match why {
        "dns" => HttpError::Dns,
        "connect" => HttpError::Connect,
        "tls" => HttpError::Tls,
        "timeout" => HttpError::Timeout,
        "too_large" => HttpError::TooLarge,
        "quota" => HttpError::Quota,
        "denied" => HttpError::Denied(String::new()),
        other => HttpError::Other(other.to_owned()),
    }))
}

/// A planned request, in the form of a fixture.
pub(super) fn show(planned: &Planned) -> Value {
    json!({"covers": planned.covers, "request": show_request(&planned.request)})
}

fn show_request(request: &HttpRequest) -> Value {
    let header = |(name, value): &(String, HeaderValue)| match value {
        HeaderValue::Plain(text) => (name.clone(), json!(text)),
        HeaderValue::Secret(secret) => (name.clone(), json!({ "secret": secret })),
    };
    let text = String::from_utf8_lossy(&request.body);
    // What is no object or list stands as text.
    let body = serde_json::from_str::<Value>(&text).ok().filter(|body| body.is_object() || body.is_array());
    let mut shown = json!({
        "method": request.method,
        "url": request.url,
        "headers": request.headers.iter().map(header).collect::<Map<_, _>>(),
        "body": body.unwrap_or_else(|| json!(text)),
    });
    if let Some(key) = &request.idempotency_key {
        shown["idempotency_key"] = json!(key);
    }
    shown
}

/// Whether a request is the one expected; what is not said of it may be anything.
fn is_expected(expected: &Value, shown: &Value) -> bool {
    let Some(expected) = expected.as_object() else { return false };
    expected.iter().all(|(name, expected)| shown.get(name).is_some_and(|shown| is_same(expected, shown)))
}

fn same(expected: &[Value], shown: &[Value]) -> Result<(), String> {
    if expected.len() != shown.len() {
        return Err(format!("/plan has {} requests, {} were planned", expected.len(), shown.len()));
    }
    for (at, (expected, shown)) in expected.iter().zip(shown).enumerate() {
        let request = expected.get("request").unwrap_or(&Value::Null);
        if expected.get("covers") != shown.get("covers") || !is_expected(request, &shown["request"]) {
            return Err(format!("request {at}: expected {expected}, got {shown}"));
        }
    }
    Ok(())
}

fn judged(expected: &Value, said: &[Verdict]) -> Result<(), String> {
    let verdict = |verdict: &Verdict| match verdict {
        Verdict::Delivered => json!("delivered"),
        Verdict::Retry(ms) => json!({ "retry": ms }),
        Verdict::Rejected(why) => json!({ "rejected": why }),
    };
    let said = Value::Array(said.iter().map(verdict).collect());
    if is_same(expected, &said) { Ok(()) } else { Err(format!("expected {expected}, got {said}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_compared_by_what_is_said_of_it() {
        let request = HttpRequest {
            method: "POST".into(),
            url: "https://a.example/x".into(),
            headers: vec![("a".into(), HeaderValue::Secret("token".into()))],
            body: b"[1.0]".to_vec(),
            timeout_ms: 1,
            idempotency_key: None,
        };
        let shown = show_request(&request);
        assert!(is_expected(&json!({"method": "POST", "body": [1]}), &shown));
        assert!(is_expected(&json!({"headers": {"a": {"secret": "token"}}}), &shown));
        for other in
            [json!({"method": "PUT"}), json!({"body": "[1.0]"}), json!({"idempotency_key": "x"}), json!(1)]
        {
            assert!(!is_expected(&other, &shown), "{other}");
        }
    }

    #[test]
    fn a_reply_has_a_status_or_an_error() {
        let of = |status, error| response(status, error, &Map::new(), &Value::Null);
        assert!(matches!(of(Some(204), None), Ok(Ok(HttpResponse { status: 204, .. }))));
        assert_eq!(of(None, Some("timeout")), Ok(Err(HttpError::Timeout)));
        assert!(of(None, None).is_err() && of(Some(1), Some("dns")).is_err());
    }

    #[test]
    fn rows_are_read_line_by_line_and_every_problem_is_told() {
        let good = json!({"id": "a", "document": {"email": "a@x.example"}});
        assert_eq!(rows(std::slice::from_ref(&good)).unwrap()[0].change, Change::Added);
        let problems = rows(&[json!({"id": "a"}), good, json!(7)]).unwrap_err();
        assert_eq!(problems.len(), 2, "{problems:?}");
    }
}
