//! The outermost layer: gives every request an id, writes every failure as a problem, counts, and lets browsers in.
//!
//! Whatever says no without a [`Failure`], the router or a library, is written as a problem of its status too: no
//! answer of an error is plain text.

use std::any::Any;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::error::{Answer, Code, Failure};
use crate::serve::{AmbiguousFraming, HttpOptions};
use crate::{cors, metrics};

/// The header that carries a request's id, both ways.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
/// Bytes of an id that a client may choose.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// The id of a request, for those who show it before this layer does.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) HeaderValue);

/// An answer that says no in its own form: a page for people. It stays as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown;

/// Does what this module promises.
pub(crate) async fn finish(State(http): State<HttpOptions>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request_id(request.headers());
    request.extensions_mut().insert(RequestId(id.clone()));
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    let method = request.method().clone();
    let origin = cors::origin(&request, route);
    let mut response = match head(&request, &http) {
        Err(failure) => failure.into_response(),
        Ok(()) => match cors::preflight(&request, route) {
            Some(answer) => answer,
            None => next.run(request).await,
        },
    };
    let failure = response.extensions_mut().remove::<Failure>();
    let shown = response.extensions().get::<Shown>().is_some();
    if failure.is_some() || response.status().as_u16() >= 400 && !shown && !is_problem(&response) {
        response = problem(response, failure, &id, route);
    }
    cors::expose(origin, response.headers_mut());
    response.headers_mut().insert(REQUEST_ID, id);
    let took = began.elapsed();
    metrics::request(route, &method, response.status(), took);
    tracing::debug!(route, method = %method, status = response.status().as_u16(), took_us = took.as_micros() as u64, "answered");
    response
}

/// Checks what stands before a body.
fn head(request: &Request, http: &HttpOptions) -> Answer<()> {
    if request.extensions().get::<AmbiguousFraming>().is_some() {
        return Err(Failure::new(
            Code::MalformedRequest,
            "where the body ends can be understood in two ways",
        ));
    }
    let uri_bytes = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    if uri_bytes > http.uri_bytes_max {
        return Err(Failure::new(
            Code::UriTooLong,
            format!("the address is longer than {} bytes", http.uri_bytes_max),
        ));
    }
    let headers = request.headers();
    if headers.len() > http.headers_max {
        let detail = format!("the request has more than {} headers", http.headers_max);
        return Err(Failure::new(Code::HeadersTooLarge, detail));
    }
    // As on the wire: `name: value` and the end of the line.
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes > http.header_bytes_max {
        let detail = format!("the headers have more than {} bytes", http.header_bytes_max);
        return Err(Failure::new(Code::HeadersTooLarge, detail));
    }
    Ok(())
}

/// Writes a refusal as a problem and keeps its headers; logs the cause.
fn problem(response: Response, failure: Option<Failure>, id: &HeaderValue, route: &str) -> Response {
    let id = id.to_str().unwrap_or_default();
    let (mut parts, _) = response.into_parts();
    let failure = failure.unwrap_or_else(|| {
        let code = Code::of_status(parts.status);
        Failure::new(
            code,
            match code {
                Code::UnknownRoute => "there is no such address; /openapi.json lists all",
                Code::MethodNotAllowed => {
                    "the address does not take this method; the Allow header says which it takes"
                }
                Code::InvalidParameter => "a part of the address cannot be read",
                _ => code.title(),
            },
        )
    });
    if let Some(chain) = failure.chain() {
        tracing::error!(request_id = id, route, error = chain, "a request failed");
    }
    parts.status = failure.code.status();
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    parts.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    parts.headers.remove(header::CONTENT_LENGTH);
    if matches!(failure.code, Code::RequestTimeout | Code::MalformedRequest) {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Response::from_parts(parts, Body::from(failure.body(id)))
}

fn is_problem(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json")
}

/// Makes an answer of a panic.
pub(crate) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    // Words that were put together at that moment may hold what somebody is called.
    let words = panic.downcast_ref::<&'static str>().copied().unwrap_or("words of the moment are left out");
    Failure::internal(format!("a handler panicked: {words}")).into_response()
}

/// Panics where a request asks for it, with the words that it brings.
pub(crate) async fn panic_probe(request: Request, next: Next) -> Response {
    if let Some(words) = request.headers().get("panic-probe") {
        panic!("asked to panic about {}", words.to_str().unwrap_or_default());
    }
    next.run(request).await
}

/// The client's own id where it sent a sane one, or a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).or_else(|| headers.get("x-request-id"));
    let sane = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        let usual = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
        (1..=REQUEST_ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(usual)
    };
    if let Some(id) = given.filter(sane) {
        return id.clone();
    }
    new_request_id()
}

/// An id that no other request of this process has.
pub(crate) fn new_request_id() -> HeaderValue {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    static PROCESS: std::sync::LazyLock<String> =
        std::sync::LazyLock::new(|| uuid::Uuid::now_v7().simple().to_string());
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let id = format!("req_{}{number:08x}", &PROCESS[..16]);
    HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("req_0"))
}
