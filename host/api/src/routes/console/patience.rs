//! Pages wait for a moment in which the state cannot be read.
//!
//! It is opened again after an erasure had its files written anew, or after the disk failed. Who asks for data is told so by
//! 503 and asks again; a person should not have to, and a page that refreshes itself would be a failure in the browser's
//! eyes. Only what asks and changes nothing is tried again.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::Method;
use tokio::time::{Instant, sleep};

use crate::error::{Code, Failure};

/// How long a page waits; then it says what is the matter.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// How often it tries.
const EVERY: Duration = Duration::from_millis(25);

/// Does what this module promises.
pub(super) async fn wait(request: Request, next: Next) -> Response {
    if request.method() != Method::GET {
        return next.run(request).await;
    }
    let (parts, _) = request.into_parts();
    let until = Instant::now() + WAIT_MAX;
    loop {
        let request = Request::from_parts(parts.clone(), Body::empty());
        let response = next.clone().run(request).await;
        let failure = response.extensions().get::<Failure>();
        if failure.is_none_or(|failure| failure.code != Code::Unavailable) || Instant::now() >= until {
            return response;
        }
        sleep(EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use axum::Router;
    use axum::middleware::from_fn;
    use axum::response::IntoResponse as _;
    use axum::routing::get;
    use http::StatusCode;
    use tower::ServiceExt as _;

    use super::*;

    /// What is answered to one request where the first so many fail with `code`, and how often it was tried.
    async fn answered(method: Method, code: Code, failures: u32) -> (StatusCode, u32) {
        let tries = Arc::new(AtomicU32::new(0));
        let counted = tries.clone();
        let page = async move || {
            if counted.fetch_add(1, Ordering::Relaxed) < failures {
                Failure::new(code, "the state is being opened again").into_response()
            } else {
                "the page".into_response()
            }
        };
        let router = Router::new().route("/", get(page.clone()).post(page)).layer(from_fn(wait));
        let request = Request::builder().method(method).uri("/").body(Body::empty()).unwrap();
        let status = router.oneshot(request).await.unwrap().status();
        (status, tries.load(Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_waits_for_the_state_and_nothing_else_does() {
        assert_eq!(answered(Method::GET, Code::Unavailable, 3).await, (StatusCode::OK, 4));
        assert_eq!(answered(Method::POST, Code::Unavailable, 1).await, (StatusCode::SERVICE_UNAVAILABLE, 1));
        assert_eq!(answered(Method::GET, Code::Overloaded, 1).await, (StatusCode::SERVICE_UNAVAILABLE, 1));
        assert_eq!(answered(Method::GET, Code::NotFound, 1).await, (StatusCode::NOT_FOUND, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_state_that_stays_away_is_told_of() {
        let begun = Instant::now();
        let (status, tries) = answered(Method::GET, Code::Unavailable, u32::MAX).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(tries > 1 && begun.elapsed() >= WAIT_MAX, "{tries} tries");
    }
}
