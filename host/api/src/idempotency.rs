//! The layer behind `Idempotency-Key`: a request that is sent twice is carried out once.
//!
//! It concerns POST and PUT, but for events and analytics messages: those carry ids of their own. The same key with the
//! same request gets the stored answer, marked `Idempotent-Replayed: true`; requests are the same when method, address
//! and body are, whatever the order of the body's fields and the spelling of its numbers. Answers of a failing server
//! (5xx) and requests for patience (408, 429) are not remembered.
//!
//! A request that was begun is ended even if its client goes away, so that its answer is there for the repeat.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use cdp_domain::ids::TenantNo;
use cdp_domain::json;
use cdp_domain::problem::Problem;
use cdp_engine::answers::{Begun, Caller, Ticket};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ObjectBuilder, Type};

use crate::access::{Access, TABLE};
use crate::app::App;
use crate::auth::Member;
use crate::body::{self, Bounds};
use crate::error::{Answer, Code, Failure};

/// Bytes of a key.
pub const KEY_BYTES_MAX: usize = 255;

/// The request's header.
pub(crate) const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header of an answer that was given before.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What is asked and not done, and answers with what is held about people: remembered, it would outlast their erasure.
const NEVER_REMEMBERED: [&str; 6] = [
    "/v1/consents/receipts",
    "/v1/profiles/lookup",
    "/v1/channels/lookup",
    "/v1/identity/explain",
    "/v1/identity/constraints",
    "/v1/segments/preview",
];

/// Whether a route takes keys.
pub(crate) fn concerns(method: &str, path: &str) -> bool {
    let row = TABLE.iter().find(|row| row.0 == method && row.1 == path);
    matches!(method, "POST" | "PUT")
        && path != "/v1/events"
        && !NEVER_REMEMBERED.contains(&path)
        && row.is_some_and(|row| row.2 != Access::Message)
}

/// The header, for the description.
pub(crate) fn parameter() -> Parameter {
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(utoipa::openapi::Required::False)
        .description(Some(
            "Names the request: sent again with the same key within 24 hours, it gets the same answer",
        ))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).max_length(Some(KEY_BYTES_MAX)).build()))
        .build()
}

/// Does what this module promises.
pub(crate) async fn remember(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let concerned = path.as_ref().is_some_and(|path| concerns(request.method().as_str(), path));
    let Some(key) = key(request.headers()).filter(|_| concerned) else { return Ok(next.run(request).await) };
    let key = match key {
        Ok(key) => key,
        Err(failure) => {
            let (parts, body) = request.into_parts();
            body::discard(&parts.headers, body).await;
            return Err(failure);
        }
    };
    let (parts, body) = request.into_parts();
    let upload = path.is_some_and(|path| path.ends_with("/versions"));
    let bounds = if upload { Bounds::upload(&app) } else { Bounds::json(&app) };
    let bytes = body::read(&parts.headers, body, bounds).await?;
    let caller = match parts.extensions.get::<Member>() {
        Some(member) => Caller { tenant: member.tenant.no(), key: Some(member.key) },
        None => Caller { tenant: TenantNo(0), key: None },
    };
    let print = fingerprint(&parts, bytes.clone()).await?;
    let request = Request::from_parts(parts, Body::from(bytes));
    // Away from the connection: a client that goes away stops nothing.
    let answering = async move {
        let begun = app.engine().answers().begin(caller, &key, print).await?;
        answer(begun, request, next).await
    };
    tokio::spawn(answering).await.map_err(Failure::internal)?
}

async fn answer(begun: Begun, request: Request, next: Next) -> Answer<Response> {
    match begun {
        Begun::Fresh(ticket) => carry_out(request, next, ticket).await,
        Begun::Known(answer) => Stored::read(&answer)?.into_answer(),
        Begun::Running => Err(Failure {
            retry_after: Some(1),
            ..Failure::new(Code::IdempotencyRunning, "the first request with this key is under way")
        }),
        Begun::Other => {
            Err(Failure::new(Code::IdempotencyReused, "this Idempotency-Key was used with another request"))
        }
        Begun::Unknown => Err(Failure::new(
            Code::IdempotencyUnknown,
            "a request with this key was begun and its answer is not known; it is not carried out again",
        )),
        Begun::Full { retry_after } => Err(Failure {
            retry_after: Some(retry_after),
            ..Failure::new(Code::RateLimited, "as many answers are remembered as may be; nothing was done")
        }),
    }
}

/// The key of a request that has one.
fn key(headers: &HeaderMap) -> Option<Answer<String>> {
    let value = headers.get(KEY)?;
    let usual = |text: &&str| {
        (1..=KEY_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
    };
    let text = value.to_str().ok().filter(usual).filter(|_| headers.get_all(KEY).iter().count() == 1);
    Some(text.map(str::to_owned).ok_or_else(|| {
        let detail = format!("the Idempotency-Key stands once and has 1 to {KEY_BYTES_MAX} ASCII characters");
        Failure::new(Code::InvalidParameter, detail)
    }))
}

/// What makes a request this request.
async fn fingerprint(parts: &Parts, bytes: Bytes) -> Answer<[u8; 32]> {
    let gzip = body::is_gzip(&parts.headers).unwrap_or(false);
    let (method, target) = (parts.method.clone(), parts.uri.path_and_query().map(ToString::to_string));
    let heavy = gzip || bytes.len() > crate::INLINE_BYTES_MAX;
    crate::work(heavy, move || {
        let inflated = if gzip { body::inflate(&bytes, body::BODY_BYTES_MAX).ok() } else { None };
        let plain = inflated.as_deref().unwrap_or(&bytes);
        let canonical = json::parse(plain, body::json_options());
        let canonical = canonical.map(|value| json::to_string(&value).into_bytes());
        let mut hash = blake3::Hasher::new();
        for part in [method.as_str().as_bytes(), target.unwrap_or_default().as_bytes()] {
            hash.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        hash.update(canonical.as_deref().unwrap_or(plain));
        *hash.finalize().as_bytes()
    })
    .await
}

/// Carries a request out to its end and remembers its answer, whether or not somebody waits for it.
async fn carry_out(request: Request, next: Next, ticket: Ticket) -> Result<Response, Failure> {
    let response = match tokio::spawn(next.run(request)).await {
        Ok(response) => response,
        Err(error) => Failure::internal(error).into_response(),
    };
    let status =
        response.extensions().get::<Failure>().map_or(response.status(), |failure| failure.code.status());
    if status.is_server_error() || matches!(status.as_u16(), 408 | 429) {
        ticket.forget().await?;
        return Ok(response);
    }
    let (stored, response) = Stored::of(response).await?;
    let remembered = match stored {
        Some(stored) => ticket.answered(&stored.write()?).await,
        // Dropped: a repeat is told that the answer is not known.
        None => Ok(()),
    };
    if let Err(error) = remembered {
        // It was carried out: to say otherwise would have it done twice.
        tracing::error!(error = %error, "an answer could not be remembered");
    }
    Ok(response)
}

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stored {
    Answer { status: u16, headers: Vec<(String, String)>, body: String },
    Failure { code: String, detail: String, errors: Vec<Problem>, extra: BTreeMap<String, serde_json::Value> },
}

impl Stored {
    /// What is kept of an answer, and the answer again; None when it is no text.
    async fn of(response: Response) -> Answer<(Option<Self>, Response)> {
        if let Some(failure) = response.extensions().get::<Failure>() {
            let stored = Self::Failure {
                code: failure.code.as_str().to_owned(),
                detail: failure.detail.clone(),
                errors: failure.errors.clone(),
                extra: failure.extra.iter().map(|(name, value)| (name.to_string(), value.clone())).collect(),
            };
            return Ok((Some(stored), response));
        }
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.map_err(Failure::internal)?.to_bytes();
        let headers = parts.headers.iter().filter(|(name, _)| **name != header::CONTENT_LENGTH);
        let headers = headers
            .map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
            .collect::<Option<Vec<_>>>();
        let text = std::str::from_utf8(&bytes).ok().map(str::to_owned);
        let stored = headers.zip(text).map(|(headers, body)| Self::Answer {
            status: parts.status.as_u16(),
            headers,
            body,
        });
        Ok((stored, Response::from_parts(parts, Body::from(bytes))))
    }

    fn write(&self) -> Answer<Vec<u8>> {
        serde_json::to_vec(self).map_err(Failure::internal)
    }

    fn read(bytes: &[u8]) -> Answer<Self> {
        serde_json::from_slice(bytes).map_err(Failure::internal)
    }

    /// The answer, marked as one that was given before.
    fn into_answer(self) -> Answer<Response> {
        let mut response = match self {
            Self::Answer { status, headers, body } => {
                let mut response = Response::new(Body::from(body));
                *response.status_mut() = StatusCode::from_u16(status).map_err(Failure::internal)?;
                for (name, value) in headers {
                    let name = HeaderName::try_from(name).map_err(Failure::internal)?;
                    response
                        .headers_mut()
                        .append(name, HeaderValue::try_from(value).map_err(Failure::internal)?);
                }
                response
            }
            Self::Failure { code, detail, errors, extra } => {
                let code =
                    Code::find(&code).ok_or_else(|| Failure::internal("a remembered code is unknown"))?;
                let extra = extra.into_iter().map(|(name, value)| (name.into(), value)).collect();
                Failure { errors, extra, ..Failure::new(code, detail) }.into_response()
            }
        };
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (KEY, HeaderValue::from_bytes(value.as_bytes()).unwrap())).collect()
    }

    #[test]
    fn a_key_stands_once_and_has_1_to_255_characters() {
        assert!(key(&HeaderMap::new()).is_none());
        assert_eq!(key(&headers(&["a b"])).unwrap().unwrap(), "a b");
        assert!(key(&headers(&[&"k".repeat(KEY_BYTES_MAX)])).unwrap().is_ok());
        for bad in [&[""][..], &[&"k".repeat(KEY_BYTES_MAX + 1)], &["a", "a"], &["ключ"]] {
            assert_eq!(key(&headers(bad)).unwrap().unwrap_err().code, Code::InvalidParameter, "{bad:?}");
        }
    }

    #[test]
    fn events_and_messages_have_ids_of_their_own() {
        assert!(concerns("POST", "/v1/keys") && concerns("PUT", "/v1/segments/{name}"));
        assert!(concerns("POST", "/v1/tenants") && concerns("POST", "/v1/consents"));
        for (method, path) in
            [("POST", "/v1/events"), ("POST", "/v1/batch"), ("GET", "/v1/keys"), ("DELETE", "/v1/keys/{id}")]
        {
            assert!(!concerns(method, path), "{method} {path}");
        }
    }

    #[tokio::test]
    async fn the_spelling_of_a_body_does_not_make_another_request() {
        async fn print(method: &str, target: &str, body: &str) -> [u8; 32] {
            let request = http::Request::builder().method(method).uri(target).body(()).unwrap();
            fingerprint(&request.into_parts().0, Bytes::from(body.to_owned())).await.unwrap()
        }
        let one = print("PUT", "/v1/x", r#"{"a": 1.0, "b": 2}"#).await;
        assert_eq!(one, print("PUT", "/v1/x", r#"{"b":2,"a":1}"#).await);
        for (method, target, body) in [
            ("POST", "/v1/x", r#"{"b":2,"a":1}"#),
            ("PUT", "/v1/y", r#"{"b":2,"a":1}"#),
            ("PUT", "/v1/x?z", r#"{"b":2,"a":1}"#),
            ("PUT", "/v1/x", r#"{"b":2,"a":2}"#),
        ] {
            assert_ne!(one, print(method, target, body).await);
        }
    }
}
