//! Browsers of other origins: they may send what analytics SDKs send, and nothing else.
//!
//! Write keys stand in web pages, so these routes are open to any origin; what a page asks for is echoed. Cookies are
//! never asked for, and the other routes stay closed to foreign pages.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::access::{Access, TABLE};

/// The origin of a page that may read the answer.
pub(crate) fn origin(request: &Request, route: &str) -> Option<HeaderValue> {
    let origin = request.headers().get(header::ORIGIN)?;
    open(route).then(|| origin.clone())
}

/// Routes that pages of other origins may use.
fn open(route: &str) -> bool {
    matches!(route, "/v1/events" | "/v1/projects/{key}/settings")
        || TABLE.iter().any(|(_, path, access)| *path == route && *access == Access::Message)
}

/// Answers a preflight with what it asks for.
pub(crate) fn preflight(request: &Request, route: &str) -> Option<Response> {
    let asked = request.headers();
    let method = asked.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
    if request.method() != Method::OPTIONS || !asked.contains_key(header::ORIGIN) || !open(route) {
        return None;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method.clone());
    if let Some(names) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
    Some(response)
}

/// Lets a page read the answer, and of its headers those that a client acts on.
pub(crate) fn expose(origin: Option<HeaderValue>, headers: &mut HeaderMap) {
    let Some(origin) = origin else { return };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers
        .insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Retry-After, Request-Id"));
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}
