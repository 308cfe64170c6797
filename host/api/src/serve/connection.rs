//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tower::Service as _;

use super::HttpOptions;
use super::activity::{Activity, Watched};
use super::framing::Framing;
use super::wire::Wire;

/// How long a connection that is asked to end may take before it is cut off.
const ENDING_MAX: Duration = Duration::from_secs(5);

/// What a request carries whose end can be understood in two ways; it is refused, and the connection closed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AmbiguousFraming;

/// From where a request comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// What all connections share.
pub(super) struct Server {
    builder: Builder<TokioExecutor>,
    router: Router,
    options: HttpOptions,
}

impl Server {
    pub(super) fn new(router: Router, options: HttpOptions) -> Self {
        let mut builder = Builder::new(TokioExecutor::new());
        // Our own limits are below the library's, so that what is a little too large is told in our own words.
        let header_bytes_max = options.header_bytes_max.max(8192) * 2;
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(options.header_read_timeout)
            .max_buf_size(header_bytes_max)
            .half_close(false);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(options.h2_streams_max)
            .max_pending_accept_reset_streams(options.h2_resets_max)
            .max_local_error_reset_streams(options.h2_error_resets_max)
            .max_header_list_size(u32::try_from(header_bytes_max).unwrap_or(u32::MAX))
            .keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10));
        Self { builder, router, options }
    }

    fn patience(&self, crowded: bool) -> Duration {
        if crowded { self.options.idle_timeout_crowded } else { self.options.idle_timeout }
    }
}

/// What a connection is told of the server while it lives.
#[derive(Clone)]
pub(super) struct Signals {
    /// The server stops.
    pub(super) stopping: watch::Receiver<bool>,
    /// There are as many connections as may be.
    pub(super) crowded: watch::Receiver<bool>,
}

/// Serves a connection until it ends, falls silent, or the server stops.
pub(super) async fn run(server: &Server, stream: TcpStream, signals: Signals) {
    cdp_threads::go_first();
    let Signals { mut stopping, mut crowded } = signals;
    let activity = Activity::new();
    let framing = Arc::new(Mutex::new(Framing::new()));
    let requests = Arc::new(AtomicU64::new(0));
    let (router, watched, followed) = (server.router.clone(), activity.clone(), framing.clone());
    let peer = stream.peer_addr().ok().map(|address| Peer(address.ip()));
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        let (mut router, activity) = (router.clone(), watched.clone());
        // On HTTP/1, which alone can be ambiguous, requests come one after the other.
        if followed.lock().is_ambiguous(requests.fetch_add(1, Ordering::Relaxed)) {
            request.extensions_mut().insert(AmbiguousFraming);
        }
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        async move {
            let handling = activity.handle();
            let request: Request = request.map(Body::new);
            let Ok(response): Result<Response, Infallible> = router.call(request).await;
            drop(handling);
            Ok::<_, Infallible>(response.map(|body| Watched { body, activity }))
        }
    });
    let stream = Wire::new(stream, framing);
    let serving = server.builder.serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    loop {
        let patience = server.patience(*crowded.borrow_and_update());
        let left = patience.saturating_sub(activity.idle()).max(Duration::from_millis(10));
        tokio::select! {
            ended = serving.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error = %error, "a connection ended early");
                }
                return;
            }
            () = tokio::time::sleep(left) => {
                if activity.idle() < patience {
                    continue;
                }
            }
            () = async { drop(crowded.changed().await) } => continue,
            () = async { drop(stopping.wait_for(|stop| *stop).await) } => {
                // Running requests may end: the accept loop bounds how long.
                serving.as_mut().graceful_shutdown();
                let _ = serving.await;
                return;
            }
        }
        break;
    }
    serving.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(ENDING_MAX, serving).await;
}
