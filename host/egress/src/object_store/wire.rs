//! Requests of `object_store`, sent as everything is sent here.

use std::error::Error as _;
use std::fmt;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use http::{StatusCode, header};
use http_body_util::BodyExt as _;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use tokio::time::Instant;

use super::Last;
use crate::exchange::{self, Caps};
use crate::fault::{Fault, Why};
use crate::policy::Policy;
use crate::{Egress, retry};

/// A part takes longer than a message, and no answer that is wanted here is large.
const CAPS: Caps = Caps {
    head: Duration::from_secs(120),
    between: Duration::from_secs(10),
    whole: Duration::from_secs(150),
    body_bytes: 1 << 20,
};

/// What came of the last request: its status, and how long to leave the store alone.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    status: StatusCode,
    after: Option<Duration>,
    origin: String,
}

/// The way out for one use of a store.
#[derive(Clone)]
pub(super) struct Wire {
    egress: Egress,
    destination: String,
    last: Last,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl Wire {
    pub(super) fn new(egress: &Egress, destination: String) -> Self {
        Self { egress: egress.clone(), destination, last: Last::default() }
    }

    pub(super) fn policy(&self) -> &Policy {
        self.egress.policy()
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Fault> {
        *self.last.lock() = None;
        let inner = &self.egress.0;
        let (target, url) = self.policy().http(&request.uri().to_string())?;
        let begun = Instant::now();
        let _place = inner.places.take(&self.destination, &target.origin()).await?;
        // As it is signed: nothing is written anew. What was judged must be what is sent.
        if request.uri().authority().map(http::uri::Authority::host) != url.host_str() {
            return Err(Fault::permanent(Why::Definition, "the endpoint's host is not in its one form"));
        }
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        let reply = exchange::head(&inner.client, &target, request, begun + CAPS.head).await?;
        let (parts, mut body) = reply.into_parts();
        let (bytes, truncated) = exchange::read(&mut body, CAPS, begun + CAPS.whole).await;
        let after = parts.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let after = after.and_then(|value| retry::retry_after(value, SystemTime::now()));
        let origin = target.origin();
        if truncated && parts.status.is_success() {
            let sentence = format!("the answer of {origin} did not end within its bounds");
            return Err(Fault::retry(Why::TooLarge, sentence));
        }
        *self.last.lock() = Some(Seen { status: parts.status, after, origin });
        Ok(HttpResponse::from_parts(parts, bytes.into()))
    }

    /// A fault in our words: what a store writes is not for showing, and what the library writes quotes it.
    pub(super) fn fault(&self, error: &object_store::Error) -> Fault {
        let mut cause = error.source();
        while let Some(error) = cause {
            if let Some(fault) = error.downcast_ref::<Fault>() {
                return fault.clone();
            }
            cause = error.source();
        }
        tracing::debug!(kind = error_name(error), "a store did not take a request");
        let Some(Seen { status, after, origin }) = self.last.lock().clone() else {
            return Fault::permanent(
                Why::Definition,
                "the request could not be made: the credentials are at fault",
            );
        };
        let said = format!("{origin} answered {}", status.as_u16());
        match status.as_u16() {
            200..=299 => {
                Fault::retry(Why::Protocol, format!("what {origin} answered is none of a store's answers"))
            }
            300..=399 => Fault::retry(Why::Redirected, format!("{said}: redirects are not followed")),
            401 | 403 => Fault::retry(Why::Unauthorised, said),
            404 => Fault::retry(Why::NotFound, said),
            408 | 409 | 425 => Fault::retry(Why::Unavailable, said),
            412 => Fault::permanent(Why::Conflict, said),
            429 => Fault::Retry { why: Why::RateLimited, detail: said, after },
            501 => Fault::permanent(Why::Definition, format!("{said}: it cannot put under a condition")),
            400..=499 => Fault::permanent(Why::Rejected, said),
            _ => Fault::Retry { why: Why::Unavailable, detail: said, after },
        }
    }
}

fn error_name(error: &object_store::Error) -> &'static str {
    match error {
        object_store::Error::NotFound { .. } => "not found",
        object_store::Error::PermissionDenied { .. } => "permission denied",
        object_store::Error::Unauthenticated { .. } => "unauthenticated",
        object_store::Error::Precondition { .. } => "precondition",
        object_store::Error::AlreadyExists { .. } => "already exists",
        _ => "other",
    }
}

#[async_trait]
impl HttpService for Wire {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        // Never tried again in there: when to is decided above, for all kinds alike.
        self.send(request).await.map_err(|fault| HttpError::new(HttpErrorKind::Unknown, fault))
    }
}

impl HttpConnector for Wire {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}
