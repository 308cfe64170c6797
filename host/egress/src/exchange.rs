//! One HTTP request and its answer, under every cap.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, Uri, header};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper_util::client::legacy::Client;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::dial::Connector;
use crate::fault::{Fault, Why};
use crate::places::Places;
use crate::policy::Target;

/// Headers of an answer, at most.
pub const REPLY_HEADERS_MAX: usize = 64;
/// Bytes of an answer's head, at most.
pub const REPLY_HEAD_BYTES_MAX: usize = 32 << 10;
/// Connections to one host that are kept for the next request.
const IDLE_PER_HOST: usize = 6;
/// How long a connection is kept for the next request.
const IDLE_FOR: Duration = Duration::from_secs(20);

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;
pub(crate) type HttpClient = Client<Connector, Body>;

/// How long an exchange may take, and how large its answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Until the answer's head is there: waiting for a place, connecting and sending included.
    pub head: Duration,
    /// Between two parts of the answer's body.
    pub between: Duration,
    /// Until all is over.
    pub whole: Duration,
    /// Bytes of the answer's body that are read; the connection is closed on a longer one.
    pub body_bytes: usize,
}

impl Caps {
    /// Of a webhook, and of a connector's request that asks for no less.
    pub const STANDARD: Self = Self {
        head: Duration::from_secs(20),
        between: Duration::from_secs(5),
        whole: Duration::from_secs(30),
        body_bytes: 1 << 20,
    };
}

/// A request that is ready to go, secrets included. It has no `Debug` that would tell them.
pub struct Request {
    /// The method.
    pub method: Method,
    /// The whole address.
    pub url: String,
    /// All headers but `Host` and `Content-Length`.
    pub headers: HeaderMap,
    /// What is sent.
    pub body: Bytes,
    /// Its bounds.
    pub caps: Caps,
    /// Whose places it takes: the same text for all requests of one destination.
    pub destination: String,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("method", &self.method).finish_non_exhaustive()
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Its status, whatever it is: redirects are answers.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, or the beginning of it. Nothing is decompressed.
    pub body: Bytes,
    /// Whether there is, or may be, more of the body.
    pub truncated: bool,
}

pub(crate) fn client(connector: Connector) -> HttpClient {
    Client::builder(hyper_util::rt::TokioExecutor::new())
        .timer(hyper_util::rt::TokioTimer::new())
        .pool_timer(hyper_util::rt::TokioTimer::new())
        .pool_idle_timeout(IDLE_FOR)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .http1_max_headers(REPLY_HEADERS_MAX)
        .http1_max_buf_size(REPLY_HEAD_BYTES_MAX)
        .build(connector)
}

/// What names this server in a request.
pub(crate) const USER_AGENT: &str = concat!("resultfly-cdp/", env!("CARGO_PKG_VERSION"));

/// Sends a request and reads the answer's head.
pub(crate) async fn head(
    client: &HttpClient,
    target: &Target,
    mut request: http::Request<Body>,
    until: Instant,
) -> Result<http::Response<hyper::body::Incoming>, Fault> {
    request.headers_mut().entry(header::USER_AGENT).or_insert(header::HeaderValue::from_static(USER_AGENT));
    match timeout_at(until, client.request(request)).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(error)) => Err(fault_of(target, &error)),
        Err(_) => Err(Fault::retry(Why::Timeout, format!("no answer from {} in time", target.origin()))),
    }
}

pub(crate) async fn send(
    client: &HttpClient,
    places: &Places,
    target: &Target,
    url: &Url,
    request: Request,
) -> Result<Reply, Fault> {
    let begun = Instant::now();
    let Request { method, headers, body, caps, destination, .. } = request;
    let _place = places.take(&destination, &target.origin()).await?;
    let body = http_body_util::Full::new(body).map_err(|never| match never {}).boxed_unsync();
    let mut sent = http::Request::new(body);
    *sent.method_mut() = method;
    *sent.uri_mut() = uri(url)?;
    *sent.headers_mut() = headers;
    let reply = head(client, target, sent, begun + caps.head.min(caps.whole)).await?;
    let (parts, mut body) = reply.into_parts();
    let (bytes, truncated) = read(&mut body, caps, begun + caps.whole).await;
    Ok(Reply { status: parts.status, headers: parts.headers, body: bytes, truncated })
}

pub(crate) fn uri(url: &Url) -> Result<Uri, Fault> {
    url.as_str().parse().map_err(|_| {
        Fault::permanent(Why::Definition, "the address has characters that cannot be sent; encode them")
    })
}

/// As much of a body as may be, in as much time as it has; and whether that may not be all of it.
pub(crate) async fn read(body: &mut hyper::body::Incoming, caps: Caps, until: Instant) -> (Bytes, bool) {
    let mut all = BytesMut::new();
    loop {
        let next = Instant::now() + caps.between;
        match timeout_at(next.min(until), body.frame()).await {
            Ok(None) => return (all.freeze(), false),
            Ok(Some(Ok(frame))) => {
                let Ok(data) = frame.into_data() else { continue };
                let room = caps.body_bytes - all.len();
                all.extend_from_slice(&data[..data.len().min(room)]);
                if data.len() > room {
                    return (all.freeze(), true);
                }
            }
            Ok(Some(Err(_))) | Err(_) => return (all.freeze(), true),
        }
    }
}

fn fault_of(target: &Target, error: &hyper_util::client::legacy::Error) -> Fault {
    let origin = target.origin();
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(fault) = error.downcast_ref::<Fault>() {
            return fault.clone();
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            if error.is_parse_too_large() {
                return Fault::retry(
                    Why::TooLarge,
                    format!("the head of the answer of {origin} is too large"),
                );
            }
            if error.is_parse() {
                return Fault::retry(Why::Protocol, format!("what {origin} answered is no HTTP"));
            }
            if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
                break;
            }
        }
        cause = error.source();
    }
    Fault::retry(Why::Closed, format!("{origin} closed the connection before it answered"))
}
