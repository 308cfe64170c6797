//! Connectors: a plugin says what to send and what the answers mean; here it is sent, with the secrets it names.
//!
//! A plugin never has a secret: it names one in a header, and its value is put in when everything else is decided. An
//! answer that repeats a secret loses it before the plugin sees the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Batch;
use super::shelves::Shared;
use crate::format::json_object;
use crate::ledger::Change;
use cdp_domain::condition::unknown;
use cdp_domain::json;
use cdp_domain::problem::{Code, Problem};
use cdp_domain::time::Timestamp;
use cdp_domain::value::{Object, Value};
use cdp_egress::{Caps, Egress, Fault, Reply, Request, Why};
use cdp_engine::connectors::Connector;
use cdp_engine::exports::NewDestination;
use cdp_engine::{Refused, Tenant};
use cdp_runtime::connector::{
    self as guest, Delivery, HeaderValue, HttpError, HttpRequest, HttpResponse, KvError, Outside, Planned,
    Verdict,
};
use cdp_runtime::{Failed, Failure};
use compact_str::CompactString;
use http::{HeaderMap, HeaderName, HeaderValue as Header, header};
use serde_json::{Value as Json, json};

/// Bytes of a plugin's secret.
pub const PLUGIN_SECRET_BYTES_MAX: usize = 8 << 10;
/// How long a connector that sends by itself may take for one delivery of at most as many rows as a call has.
pub const DELIVERY_MAX: Duration = Duration::from_secs(60);
/// Secrets of a plugin's destination.
pub const PLUGIN_SECRETS_MAX: usize = 16;

/// Reads `{"kind": "plugin", "plugin", "config", "secrets": {name: value}}`.
pub(super) fn read(object: &Object, problems: &mut Vec<Problem>) -> Option<NewDestination> {
    unknown(object, &["kind", "plugin", "config", "secrets"], "", problems);
    let plugin = super::read::text(object, "plugin", cdp_domain::limits::NAME_BYTES_MAX, problems);
    let config = match object.get("config") {
        None | Some(Value::Null) => None,
        Some(config @ Value::Object(_)) => Some(json::to_string(config)),
        Some(_) => {
            problems.push(Problem::new("/config", Code::WrongType, "must be an object"));
            None
        }
    };
    let mut secrets = Vec::new();
    match object.get("secrets") {
        None | Some(Value::Null) => {}
        Some(Value::Object(all)) if all.len() <= PLUGIN_SECRETS_MAX => {
            for (name, value) in all.iter() {
                // It stands in a header.
                let fits = |text: &&str| {
                    (1..=PLUGIN_SECRET_BYTES_MAX).contains(&text.len())
                        && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
                };
                match value.as_text().filter(fits) {
                    Some(text) => secrets.push((CompactString::from(&**name), text.to_owned())),
                    None => {
                        let detail = format!(
                            "must be a string of 1 to {PLUGIN_SECRET_BYTES_MAX} visible characters of ASCII"
                        );
                        problems.push(Problem::new(format!("/secrets/{name}"), Code::Invalid, detail));
                    }
                }
            }
        }
        Some(_) => {
            let detail = format!("must be an object of at most {PLUGIN_SECRETS_MAX} secrets by name");
            problems.push(Problem::new("/secrets", Code::Invalid, detail));
        }
    }
    let mut settings = json!({ "plugin": plugin? });
    if let Some(config) = config {
        settings["config"] = serde_json::from_str(&config).expect("it was just written");
    }
    Some(NewDestination { kind: "plugin", settings, secrets })
}

/// Whether the plugin is there, takes the configuration, and has every secret that it was granted, and no other.
///
/// # Errors
/// What is wrong, with pointers.
pub(crate) async fn check(tenant: &Tenant, new: &NewDestination) -> cdp_engine::Result<()> {
    let plugin = new.settings["plugin"].as_str().unwrap_or_default();
    let config = new.settings.get("config").map(Json::to_string);
    let connector = tenant.checked_connector(plugin, config).await.map_err(|refused| match refused {
        Refused::NotFound(_) => {
            Refused::invalid(Problem::new("/plugin", Code::NotFound, "there is no such plugin"))
        }
        Refused::Conflict(why) => Refused::invalid(Problem::new("/plugin", Code::Invalid, why)),
        other => other,
    })?;
    let mut problems = Vec::new();
    for name in connector.secrets() {
        if !new.secrets.iter().any(|(known, _)| known == name) {
            let detail = "is missing: the plugin was granted it";
            problems.push(Problem::new(format!("/secrets/{name}"), Code::Required, detail));
        }
    }
    for (name, _) in &new.secrets {
        if !connector.secrets().any(|granted| granted == name) {
            let detail = "is no secret that the plugin was granted";
            problems.push(Problem::new(format!("/secrets/{name}"), Code::NotFound, detail));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Refused::Invalid(problems)) }
}

/// The active version of the plugin that these settings name.
pub(super) fn open(tenant: &Tenant, settings: &Json) -> cdp_engine::Result<Connector> {
    let config = settings.get("config").map(Json::to_string);
    tenant.connector(settings["plugin"].as_str().unwrap_or_default(), config.as_deref())
}

/// A connector with everything that it needs for a destination.
pub(crate) struct Way {
    pub(super) connector: Connector,
    pub(super) post: Arc<Post>,
}

/// What sends for connectors.
pub(crate) struct Post {
    pub(super) secrets: Vec<(CompactString, String)>,
    pub(super) egress: Egress,
    /// Whose places its requests take.
    pub(super) destination: String,
    pub(super) tenant: Tenant,
    /// What a connector keeps that sends by itself.
    pub(super) kept: Shared,
}

impl Way {
    /// Sends a batch by whatever requests the plugin plans or makes; the rows that are never taken come back, by their place
    /// and with why. Where any of it is to be tried again, all of it is.
    pub(super) fn send(&self, id: &str, batch: &Batch<'_>) -> Result<Vec<(usize, String)>, Fault> {
        let (rows, now) = (deliveries(id, batch), batch.at);
        let mut rejected = Vec::new();
        for (part, first) in rows.chunks(guest::ITEMS_MAX).zip((0..).step_by(guest::ITEMS_MAX)) {
            let mut judge = |verdict: Verdict, at: usize| {
                match verdict {
                    Verdict::Delivered => {}
                    Verdict::Retry(ms) => return Err(again(ms)),
                    Verdict::Rejected(why) => {
                        let why = redacted(&self.post.secrets, why.as_bytes());
                        let why = String::from_utf8_lossy(&why);
                        rejected.push((first + at, format!("the plugin says that it is never taken: {why}")));
                    }
                }
                Ok(())
            };
            if self.connector.sends_by_itself() {
                let outside = Arc::new(Lent { post: self.post.clone(), now });
                let verdicts = self.connector.deliver(now, part, DELIVERY_MAX, outside);
                let verdicts = verdicts.map_err(|failed| not_planned(&failed))?;
                verdicts.into_iter().zip(0..).try_for_each(|(verdict, at)| judge(verdict, at))?;
                continue;
            }
            for planned in self.connector.plan(now, part).map_err(|failed| not_planned(&failed))? {
                let items: Vec<Delivery> = planned.covers.iter().map(|&at| part[at].clone()).collect();
                let covers = planned.covers.clone();
                let verdicts = self.exchange(now, planned, &items)?;
                verdicts.into_iter().zip(covers).try_for_each(|(verdict, at)| judge(verdict, at))?;
            }
        }
        Ok(rejected)
    }

    /// Whether the plugin is there, takes its configuration, and reaches hosts that may be talked to. Sends nothing.
    pub(super) fn check(&self) -> Result<Json, Fault> {
        self.connector.check_config().map_err(|refused| Fault::Permanent {
            why: Why::Definition,
            detail: format!("the plugin does not take its configuration: {refused}"),
        })?;
        let mut hosts = Vec::new();
        for host in self.connector.hosts() {
            self.post.egress.policy().http(host)?;
            hosts.push(host);
        }
        Ok(json!({ "hosts": hosts }))
    }

    fn exchange(&self, now: Timestamp, planned: Planned, items: &[Delivery]) -> Result<Vec<Verdict>, Fault> {
        let answer = self.post.send(planned.request, None);
        // What the policy refuses is the tenant's to hear, not the plugin's to judge.
        if let Err(fault @ (Fault::Refused { .. } | Fault::Permanent { .. })) = answer {
            return Err(fault);
        }
        let answer = answer.map_err(|fault| http_error(&fault));
        self.connector.settle(now, items, answer).map_err(|fault| Fault::Retry {
            why: Why::Internal,
            detail: format!("the plugin failed judging an answer: {fault}"),
            after: None,
        })
    }
}

impl Post {
    /// Sends a request and gives the answer as the plugin sees it, before a deadline if there is one.
    fn send(&self, asked: HttpRequest, deadline: Option<Instant>) -> Result<HttpResponse, Fault> {
        let request = self.request(asked, deadline)?;
        pollster::block_on(self.egress.send(request)).map(|reply| self.reply(reply))
    }

    /// A request with its secrets put in.
    fn request(&self, asked: HttpRequest, deadline: Option<Instant>) -> Result<Request, Fault> {
        let wrong = |detail: &str| Fault::Permanent { why: Why::Definition, detail: detail.to_owned() };
        let mut headers = HeaderMap::new();
        for (name, value) in asked.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("a header has no name"))?;
            let value = match value {
                HeaderValue::Plain(text) => Header::from_str(&text),
                HeaderValue::Secret(secret) => {
                    let found = self.secrets.iter().find(|(known, _)| *known == secret);
                    let (_, secret) =
                        found.ok_or_else(|| wrong("the destination lacks a secret of the plugin"))?;
                    Header::from_str(secret).map(|mut value| {
                        value.set_sensitive(true);
                        value
                    })
                }
            };
            headers.append(name, value.map_err(|_| wrong("a header has a value that cannot be sent"))?);
        }
        if let Some(key) = asked.idempotency_key {
            let key = Header::from_str(&key).map_err(|_| wrong("the idempotency key cannot be sent"))?;
            headers.insert("idempotency-key", key);
        }
        let within = Duration::from_millis(asked.timeout_ms.into());
        let left = deadline.map_or(within, |deadline| deadline.saturating_duration_since(Instant::now()));
        let within = within.min(left);
        Ok(Request {
            method: asked.method.parse().map_err(|_| wrong("the method is none"))?,
            url: asked.url,
            headers,
            body: asked.body.into(),
            caps: Caps { head: within, whole: within, ..Caps::STANDARD },
            destination: self.destination.clone(),
        })
    }

    /// An answer as the plugin sees it: without cookies, and without any secret that it repeats.
    fn reply(&self, reply: Reply) -> HttpResponse {
        let headers = reply.headers.iter().filter(|(name, _)| **name != header::SET_COOKIE);
        let headers = headers.map(|(name, value)| {
            let value = redacted(&self.secrets, value.as_bytes());
            (name.as_str().to_owned(), String::from_utf8_lossy(&value).into_owned())
        });
        HttpResponse {
            status: reply.status.as_u16(),
            headers: headers.collect(),
            body: redacted(&self.secrets, &reply.body),
            truncated: reply.truncated,
        }
    }
}

/// What is lent to a connector that sends by itself, for one delivery.
struct Lent {
    post: Arc<Post>,
    now: Timestamp,
}

impl Outside for Lent {
    fn send(&self, request: HttpRequest, deadline: Instant) -> Result<HttpResponse, HttpError> {
        self.post.send(request, Some(deadline)).map_err(|fault| http_error(&fault))
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        let mut kept = self.post.kept.lock();
        kept.shelf(&self.post.tenant).get(key, self.now).map(|found| found.map(<[u8]>::to_vec))
    }

    fn put(&self, key: &str, value: Vec<u8>, ttl_seconds: Option<u32>) -> Result<(), KvError> {
        let mut kept = self.post.kept.lock();
        kept.shelf(&self.post.tenant).put(key, value, ttl_seconds, self.now)?;
        kept.save(&self.post.tenant).map_err(|error| {
            tracing::error!(%error, "what a connector keeps could not be written down");
            KvError::Unavailable
        })
    }
}

/// The bytes with every secret in them starred out.
fn redacted(secrets: &[(CompactString, String)], bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (_, secret) in secrets {
        let secret = secret.as_bytes();
        let mut at = 0;
        while at + secret.len() <= bytes.len() {
            if bytes[at..].starts_with(secret) {
                bytes[at..at + secret.len()].fill(b'*');
                at += secret.len();
            } else {
                at += 1;
            }
        }
    }
    bytes
}

fn deliveries(id: &str, batch: &Batch<'_>) -> Vec<Delivery> {
    let names = || batch.plan.fields.iter().map(|field| field.name.as_str());
    let rows = batch.items.iter().enumerate().map(|(at, item)| {
        let mut document = String::new();
        json_object(None, names(), &item.values, &mut document);
        let change = match item.change {
            Change::Add => guest::Change::Added,
            Change::Update => guest::Change::Updated,
            Change::Remove => guest::Change::Removed,
        };
        Delivery { id: format!("{id}-{at}"), change, document, attempt: 0 }
    });
    rows.collect()
}

fn again(ms: Option<u32>) -> Fault {
    Fault::Retry {
        why: Why::Unavailable,
        detail: "the plugin asks for another attempt".to_owned(),
        after: ms.map(|ms| Duration::from_millis(ms.into()).min(cdp_egress::retry::RETRY_AFTER_MAX)),
    }
}

fn not_planned(failed: &Failed) -> Fault {
    let detail = format!("the plugin planned nothing: {failed}");
    match failed {
        Failed::Said(Failure::Rejected(_)) => Fault::Permanent { why: Why::Rejected, detail },
        Failed::Said(Failure::Transient(ms)) => {
            let after = again(*ms).after();
            Fault::Retry { why: Why::Unavailable, detail, after }
        }
        Failed::Said(Failure::Misconfigured(_)) | Failed::Fault(_) => {
            Fault::Retry { why: Why::Definition, detail, after: None }
        }
    }
}

fn http_error(fault: &Fault) -> HttpError {
    match fault {
        Fault::Refused { detail, .. } => HttpError::Denied(detail.clone()),
        Fault::Retry { why, detail, .. } | Fault::Permanent { why, detail } => match why {
            Why::Dns => HttpError::Dns,
            Why::Connect => HttpError::Connect,
            Why::Tls => HttpError::Tls,
            Why::Timeout => HttpError::Timeout,
            Why::TooLarge => HttpError::TooLarge,
            Why::Busy => HttpError::Quota,
            _ => HttpError::Other(detail.clone()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(text: &str) -> Vec<String> {
        let parsed = json::parse(text.as_bytes(), json::Options::default()).unwrap();
        let mut problems = Vec::new();
        read(parsed.as_object().unwrap(), &mut problems);
        problems.iter().map(|problem| problem.pointer.to_string()).collect()
    }

    fn with(secrets: usize, bytes: usize) -> Vec<String> {
        let secrets: Vec<String> =
            (0..secrets).map(|n| format!("\"s{n}\":\"{}\"", "x".repeat(bytes))).collect();
        pointers(&format!("{{\"kind\":\"plugin\",\"plugin\":\"p\",\"secrets\":{{{}}}}}", secrets.join(",")))
    }

    #[test]
    fn a_destination_has_as_many_secrets_and_bytes_of_them_as_may_be() {
        assert_eq!(with(PLUGIN_SECRETS_MAX, 1), Vec::<String>::new());
        assert_eq!(with(PLUGIN_SECRETS_MAX + 1, 1), ["/secrets"]);
        assert_eq!(with(1, PLUGIN_SECRET_BYTES_MAX), Vec::<String>::new());
        assert_eq!(with(1, PLUGIN_SECRET_BYTES_MAX + 1), ["/secrets/s0"]);
        assert_eq!(with(1, 0), ["/secrets/s0"]);
        assert_eq!(pointers(r#"{"plugin":"p","config":[],"x":1}"#).len(), 2);
    }

    #[test]
    fn what_repeats_a_secret_loses_it() {
        let secrets = [("a".into(), "key".to_owned()), ("b".into(), "keykey2".to_owned())];
        assert_eq!(redacted(&secrets, b"x key keykey2 ke"), b"x *** ******2 ke");
        assert_eq!(redacted(&secrets, b""), b"");
        assert_eq!(redacted(&[], b"key"), b"key");
    }
}
