//! What is said to connectors and what they say, without the types of the engine that runs them.

use cdp_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::bindings::cdp::plugin::{delivery_types as delivery, http_types as http, kv as raw_kv};
use crate::grants::Grants;
use crate::limits::Limits;

/// What a connector is asked, beside the items.
#[derive(Debug, Clone, Copy)]
pub struct ConnectorCall<'a> {
    /// The tenant's configuration of the connector, as text.
    pub config: &'a str,
    /// What the tenant granted: which hosts it may reach and which secrets it may name.
    pub grants: &'a Grants,
    /// Bounds; the runtime's own hold too.
    pub limits: Limits,
    /// The instant of the delivery: the same when it is tried again.
    pub now: Timestamp,
}

/// How a row of an audience changed for this destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is new there.
    Added,
    /// Its fields are others than before.
    Updated,
    /// It no longer belongs there.
    Removed,
}

/// A row of an audience for a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Names the row, the same each time.
    pub id: String,
    /// What happened to it.
    pub change: Change,
    /// Its mapped fields, as JSON text.
    pub document: String,
    /// 0 at first, one more each time it is tried again.
    pub attempt: u32,
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The destination has it.
    Delivered,
    /// Try again, not before so many milliseconds if it says so.
    Retry(Option<u32>),
    /// It will never work, for this reason of at most 512 bytes.
    Rejected(String),
}

/// The value of a header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderValue {
    /// This text.
    Plain(String),
    /// The secret of this name; whoever sends inserts it, and only towards hosts that it is bound to.
    Secret(String),
}

/// A request that a connector wants sent; it has passed every check of this crate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRequest {
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// `https://host[:port]/…` with a host that was granted.
    pub url: String,
    /// Names in lower case; none that decides about the connection or the body's length.
    pub headers: Vec<(String, HeaderValue)>,
    /// At most [`BODY_BYTES_MAX`](super::BODY_BYTES_MAX).
    pub body: Vec<u8>,
    /// 1 to [`TIMEOUT_MS_MAX`](super::TIMEOUT_MS_MAX).
    pub timeout_ms: u32,
    /// To be sent as `Idempotency-Key`.
    pub idempotency_key: Option<String>,
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, or its beginning.
    pub body: Vec<u8>,
    /// Whether there was more of it.
    pub truncated: bool,
}

/// Why there is no reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpError {
    /// It was not sent: this is not allowed.
    Denied(String),
    /// The name was not found.
    Dns,
    /// No connection.
    Connect,
    /// No trust in the other side.
    Tls,
    /// Not in time.
    Timeout,
    /// The reply's head is too large.
    TooLarge,
    /// Too many requests.
    Quota,
    /// Something else.
    Other(String),
}

/// Why a value was not kept or found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KvError {
    /// The plugin has as many keys, or as many bytes, as it may have.
    Quota,
    /// The key or the value is larger than any may be.
    TooLarge,
    /// The store does not answer.
    Unavailable,
}

/// Bytes of a reason that are kept.
const REASON_BYTES_MAX: usize = 512;

/// A guest's text, cut at a character.
fn short(mut text: String) -> String {
    let mut end = text.len().min(REASON_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

impl From<&Delivery> for delivery::Delivery {
    fn from(item: &Delivery) -> Self {
        let change = match item.change {
            Change::Added => delivery::Change::Added,
            Change::Updated => delivery::Change::Updated,
            Change::Removed => delivery::Change::Removed,
        };
        Self { id: item.id.clone(), change, document: item.document.clone(), attempt: item.attempt }
    }
}

impl From<delivery::Verdict> for Verdict {
    fn from(verdict: delivery::Verdict) -> Self {
        match verdict {
            delivery::Verdict::Delivered => Self::Delivered,
            delivery::Verdict::Retry(ms) => Self::Retry(ms),
            delivery::Verdict::Rejected(why) => Self::Rejected(short(why)),
        }
    }
}

impl From<http::Request> for HttpRequest {
    fn from(raw: http::Request) -> Self {
        let value = |value| match value {
            http::HeaderValue::Plain(text) => HeaderValue::Plain(text),
            http::HeaderValue::Secret(name) => HeaderValue::Secret(name),
        };
        Self {
            method: raw.method,
            url: raw.url,
            headers: raw.headers.into_iter().map(|(name, raw)| (name, value(raw))).collect(),
            body: raw.body,
            timeout_ms: raw.timeout_ms,
            idempotency_key: raw.idempotency_key,
        }
    }
}

impl From<HttpResponse> for http::Response {
    fn from(reply: HttpResponse) -> Self {
        let HttpResponse { status, headers, body, truncated } = reply;
        Self { status, headers, body, truncated }
    }
}

impl From<HttpError> for http::HttpError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Denied(why) => Self::Denied(why),
            HttpError::Dns => Self::Dns,
            HttpError::Connect => Self::Connect,
            HttpError::Tls => Self::Tls,
            HttpError::Timeout => Self::Timeout,
            HttpError::TooLarge => Self::TooLarge,
            HttpError::Quota => Self::Quota,
            HttpError::Other(why) => Self::Other(why),
        }
    }
}

impl From<KvError> for raw_kv::KvError {
    fn from(error: KvError) -> Self {
        match error {
            KvError::Quota => Self::Quota,
            KvError::TooLarge => Self::TooLarge,
            KvError::Unavailable => Self::Unavailable,
        }
    }
}
