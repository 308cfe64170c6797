//! Every error that a client can see: one table, and the answer made from it.
//!
//! A handler gives a [`Failure`]; the outermost layer ([`crate::finish`]) writes it as `application/problem+json`
//! (RFC 9457) with the request's id and logs the cause, once. What stands in a failure is safe to show.
//! To add an error: a line in the table below; its page under `/docs/errors/` comes from there.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use cdp_domain::problem::Problem;
use cdp_engine::Refused;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

macro_rules! table {
    ($($(#[doc = $doc:literal])+ $name:ident, $code:literal, $status:literal, $retryable:literal, $title:literal;)*) => {
        /// What went wrong, as a stable word. The words are part of the contract and never change their meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)*
        }

        impl Code {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The status it is answered with.
            #[must_use]
            pub fn status(self) -> StatusCode {
                let status = match self { $(Self::$name => $status,)* };
                StatusCode::from_u16(status).expect("the table holds valid statuses")
            }

            /// Whether the same request may succeed later, without a change.
            #[must_use]
            pub fn retryable(self) -> bool {
                match self { $(Self::$name => $retryable,)* }
            }

            /// A short name for people, the same for all occurrences.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// What it means and what helps, for its page.
            #[must_use]
            pub fn help(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)* }
            }
        }
    };
}

table! {
    /// The body is not JSON (RFC 8259). The detail says at which line and column reading stopped. Names that stand twice in one object, lone surrogates and nesting beyond the limit are refused too.
    MalformedJson, "malformed_json", 400, false, "The body is not valid JSON";
    /// The body does not have the form that its headers announce, such as gzip.
    MalformedBody, "malformed_body", 400, false, "The body cannot be read";
    /// The request is not HTTP, or where its body ends can be understood in two ways: both `Content-Length` and `Transfer-Encoding`, one of them twice, a line without CR, a chunk without its length. The connection is closed.
    MalformedRequest, "malformed_request", 400, false, "The request is not valid HTTP";
    /// The request is not one in OpenDSR form: `errors` and `error` say what is wrong with it.
    InvalidSubjectRequest, "invalid_subject_request", 400, false, "The request is not one in OpenDSR form";
    /// A parameter in the address is not acceptable.
    InvalidParameter, "invalid_parameter", 400, false, "A parameter is not acceptable";
    /// The cursor was not given by this server for this list with these filters. Begin again without one.
    InvalidCursor, "invalid_cursor", 400, false, "The cursor does not belong to this list";
    /// The request carries no API key. Send `Authorization: Bearer <key>`, or the key as the user name of HTTP Basic.
    MissingKey, "missing_key", 401, false, "An API key is required";
    /// The API key does not exist, was revoked or has expired.
    InvalidKey, "invalid_key", 401, false, "The API key is not valid";
    /// The API key is valid and lacks the scope that this call needs.
    MissingScope, "missing_scope", 403, false, "The API key lacks the scope";
    /// The console user's role does not include this. An admin can do it, or give another role.
    MissingRole, "missing_role", 403, false, "The role does not include this";
    /// A page of another site sent the form. Open the console itself and send it from there.
    CrossSite, "cross_site", 403, false, "The request comes from another site";
    /// The session of the console ended: nobody is signed in. Sign in and do it again.
    SignedOut, "signed_out", 401, false, "Nobody is signed in";
    /// The person was erased, and nothing about them is taken in until the suppression is lifted.
    Suppressed, "suppressed", 403, false, "The person is suppressed";
    /// There is no such thing, or it belongs to somebody else: the two are not told apart.
    NotFound, "not_found", 404, false, "There is no such thing";
    /// No call has this address. `/openapi.json` lists all.
    UnknownRoute, "unknown_route", 404, false, "There is no such address";
    /// The address exists and does not take this method; the `Allow` header says which it takes.
    MethodNotAllowed, "method_not_allowed", 405, false, "The method is not allowed here";
    /// The request did not arrive in time. Send it again, in one go.
    RequestTimeout, "request_timeout", 408, true, "The request took too long to arrive";
    /// It contradicts what is there already; the detail says what.
    Conflict, "conflict", 409, false, "It contradicts what is there";
    /// Another event of this source has this id; the first one stays. A repeat of the same event is no conflict.
    EventConflict, "event_conflict", 409, false, "Another event has this id";
    /// The first request with this `Idempotency-Key` is still being carried out. Ask again in a moment.
    IdempotencyRunning, "idempotency_running", 409, true, "The same request is under way";
    /// A request with this `Idempotency-Key` was begun, and its answer is not known: the server stopped meanwhile, or the answer was too large to keep. See whether it was done; to do it again, use another key.
    IdempotencyUnknown, "idempotency_unknown", 409, false, "What became of the request is not known";
    /// The body is larger than this call takes. `/v1/limits` gives every limit; split the request.
    BodyTooLarge, "body_too_large", 413, false, "The body is too large";
    /// One event is larger than an event may be.
    EventTooLarge, "event_too_large", 413, false, "The event is too large";
    /// The request carries more events than one request may. Split it.
    TooManyEvents, "too_many_events", 413, false, "There are too many events in the request";
    /// The address is longer than the limit.
    UriTooLong, "uri_too_long", 414, false, "The address is too long";
    /// The `Content-Type` or `Content-Encoding` is not one that this call takes.
    UnsupportedMediaType, "unsupported_media_type", 415, false, "The body's type is not supported";
    /// The request was understood and is not acceptable: `errors` has every problem, each with its place.
    Invalid, "invalid", 422, false, "The request is not valid";
    /// The `Idempotency-Key` was used with another request. Use a new key for a new request.
    IdempotencyReused, "idempotency_key_reused", 422, false, "The key belongs to another request";
    /// Of a request that was to be accepted all or nothing some part was not acceptable, so nothing was accepted.
    NothingAccepted, "nothing_accepted", 422, false, "Nothing was accepted";
    /// The tenant's plugin failed or refused; nothing was changed.
    PluginFailed, "plugin_failed", 422, false, "The plugin failed";
    /// The key sends more than it may: `budget` says of what (`requests`, `events` or `bytes` a second). Nothing was accepted; send the same request again after as many seconds as `Retry-After` says.
    RateLimited, "rate_limited", 429, true, "Too many requests";
    /// The request has more headers, or more bytes of headers, than the limits allow.
    HeadersTooLarge, "headers_too_large", 431, false, "The headers are too large";
    /// Something failed that is not the client's doing. It is logged under the request's id.
    Internal, "internal", 500, true, "Internal error";
    /// The server has as much work as it can queue. Nothing was accepted; wait as long as `Retry-After` says.
    Overloaded, "overloaded", 503, true, "The server is overloaded";
    /// The server cannot do this now: the disk is full, or state is being rebuilt. Nothing was accepted.
    Unavailable, "unavailable", 503, true, "Not available now";
    /// What `min_position` asks for is not applied yet, after waiting as long as the server waits.
    NotAppliedYet, "not_applied_yet", 503, true, "The position is not applied yet";
}

impl Code {
    /// The code of this word.
    #[must_use]
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == word)
    }

    /// What an answer of this status means that somebody else made without saying more.
    #[must_use]
    pub fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            401 => Self::InvalidKey,
            403 => Self::MissingScope,
            404 => Self::UnknownRoute,
            405 => Self::MethodNotAllowed,
            408 => Self::RequestTimeout,
            409 => Self::Conflict,
            413 => Self::BodyTooLarge,
            414 => Self::UriTooLong,
            415 => Self::UnsupportedMediaType,
            422 => Self::Invalid,
            429 => Self::RateLimited,
            431 => Self::HeadersTooLarge,
            503 => Self::Unavailable,
            400..500 => Self::InvalidParameter,
            _ => Self::Internal,
        }
    }
}

/// An answer that says no. Travels in the response's extensions to the layer that writes it.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Which row of the table.
    pub code: Code,
    /// One sentence for people; never a secret, never what was sent.
    pub detail: String,
    /// Every field at fault.
    pub errors: Vec<Problem>,
    /// Seconds to wait, with 429 and 503.
    pub retry_after: Option<u32>,
    /// What goes to the log and never to the client.
    pub cause: Option<Arc<dyn StdError + Send + Sync>>,
    /// Members of the body beyond the usual ones, such as `results`.
    pub extra: BTreeMap<Cow<'static, str>, serde_json::Value>,
}

/// Shorthand for what handlers give.
pub type Answer<T = Response> = Result<T, Failure>;

impl Failure {
    /// A failure of this kind.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let retry_after = matches!(code.status().as_u16(), 429 | 503).then_some(1);
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after,
            cause: None,
            extra: BTreeMap::new(),
        }
    }

    /// The same with another member in the body.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Serialize) -> Self {
        self.extra.insert(Cow::Borrowed(name), serde_json::to_value(value).unwrap_or_default());
        self
    }

    /// Fields that are not acceptable.
    #[must_use]
    pub fn invalid(errors: Vec<Problem>) -> Self {
        let detail = match errors.as_slice() {
            [one] => one.to_string(),
            many => format!("{} fields are not acceptable", many.len()),
        };
        Self { errors, ..Self::new(Code::Invalid, detail) }
    }

    /// Our bug: the cause goes to the log.
    pub fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let cause = Some(Arc::from(cause.into()));
        Self {
            cause,
            ..Self::new(Code::Internal, "the server failed; the failure is logged under the request's id")
        }
    }

    /// There is no such thing.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no such {what}"))
    }

    /// The body, for the request of this id.
    #[must_use]
    pub fn body(&self, request_id: &str) -> Vec<u8> {
        let errors = &self.errors;
        let errors =
            errors.iter().map(|p| Field { pointer: &p.pointer, code: p.code, detail: &p.detail }).collect();
        let body = ProblemBody {
            kind: format!("/docs/errors/{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: &self.detail,
            instance: request_id,
            code: self.code.as_str(),
            message: &self.detail,
            retryable: self.code.retryable(),
            errors,
            extra: &self.extra,
        };
        serde_json::to_vec(&body).unwrap_or_default()
    }

    /// The causes in one line, for the log.
    #[must_use]
    pub fn chain(&self) -> Option<String> {
        let first = self.cause.as_deref()?;
        let mut line = first.to_string();
        let mut at = first.source();
        while let Some(cause) = at {
            let _ = write!(line, ": {cause}");
            at = cause.source();
        }
        Some(line)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code.status() == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotFound(what) => Self::not_found(what),
            Refused::Invalid(problems) => Self::invalid(problems),
            Refused::Conflict(detail) => Self::new(Code::Conflict, detail),
            Refused::Overloaded { retry_after } => Self {
                retry_after: Some(retry_after),
                ..Self::new(
                    Code::Overloaded,
                    "the server has more work than it can queue; nothing was accepted",
                )
            },
            Refused::Unavailable(detail) => Self::new(Code::Unavailable, detail),
            Refused::Plugin(detail) => Self::new(Code::PluginFailed, detail),
            Refused::Internal(cause) => Self::internal(cause),
        }
    }
}

/// The body of every error (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody<'a> {
    /// Address of the page about this code, on this server.
    #[serde(rename = "type")]
    kind: String,
    /// Short name of the code.
    title: &'a str,
    /// The status of the answer.
    status: u16,
    /// What is wrong this time.
    detail: &'a str,
    /// The request's id, as in the `Request-Id` header.
    instance: &'a str,
    /// Stable word for programs.
    code: &'a str,
    /// The same as `detail`; some analytics SDKs read it.
    message: &'a str,
    /// Whether the same request may succeed later.
    retryable: bool,
    /// Every field at fault.
    errors: Vec<Field<'a>>,
    /// More, for some codes: `results` when a whole request was refused, `ready` and `reasons` of `/readyz`.
    #[serde(flatten)]
    #[schema(ignore)]
    extra: &'a BTreeMap<Cow<'static, str>, serde_json::Value>,
}

/// One field at fault.
#[derive(Serialize, ToSchema)]
#[schema(as = ProblemField)]
struct Field<'a> {
    /// JSON pointer (RFC 6901) into the body; empty for the whole.
    pointer: &'a str,
    /// Stable word, such as `required`.
    #[schema(value_type = String)]
    code: cdp_domain::problem::Code,
    /// One sentence for people.
    detail: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_found_again() {
        for code in Code::ALL {
            assert_eq!(Code::find(code.as_str()), Some(*code), "{code:?}");
            assert!(code.status().is_client_error() || code.status().is_server_error());
        }
    }

    #[test]
    fn a_status_without_more_becomes_a_code_of_that_status() {
        for status in [401, 403, 404, 405, 408, 409, 413, 414, 415, 422, 429, 431, 500, 503] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(Code::of_status(status).status(), status);
        }
    }

    #[test]
    fn the_body_names_the_page_and_repeats_the_sentence() {
        let body = Failure::new(Code::NotFound, "there is no such segment").body("req-1");
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["type"], "/docs/errors/not_found");
        assert_eq!((&body["detail"], &body["message"]), (&body["message"], &body["detail"]));
        assert_eq!((body["status"].as_u64(), body["instance"].as_str()), (Some(404), Some("req-1")));
        assert_eq!((body["retryable"].as_bool(), &body["errors"]), (Some(false), &serde_json::json!([])));
    }
}
