//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tower::Service as _;

use super::HttpOptions;
use super::activity::{Activity, Watched};

/// How long a connection that is asked to end may take before it is cut off.
const ENDING_MAX: Duration = Duration::from_secs(5);

/// What all connections share.
pub(super) struct Server {
    builder: Builder<TokioExecutor>,
    router: Router,
    options: HttpOptions,
}

impl Server {
    pub(super) fn new(router: Router, options: HttpOptions) -> Self {
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(options.header_read_timeout)
            .max_buf_size(options.header_bytes_max.max(8192))
            .max_headers(options.headers_max)
            .half_close(false);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(options.h2_streams_max)
            .max_pending_accept_reset_streams(options.h2_resets_max)
            .max_local_error_reset_streams(options.h2_error_resets_max)
            .max_header_list_size(u32::try_from(options.header_bytes_max).unwrap_or(u32::MAX))
            .keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10));
        Self { builder, router, options }
    }
}

/// Serves a connection until it ends, falls silent, or the server stops.
pub(super) async fn run(server: &Server, stream: TcpStream, mut stopping: watch::Receiver<bool>) {
    let activity = Activity::new();
    let (router, watched) = (server.router.clone(), activity.clone());
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (mut router, activity) = (router.clone(), watched.clone());
        async move {
            let handling = activity.handle();
            let request: Request = request.map(Body::new);
            let Ok(response): Result<Response, Infallible> = router.call(request).await;
            drop(handling);
            Ok::<_, Infallible>(response.map(|body| Watched { body, activity }))
        }
    });
    let serving = server.builder.serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    loop {
        let patience =
            server.options.idle_timeout.saturating_sub(activity.idle()).max(Duration::from_millis(10));
        tokio::select! {
            ended = serving.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error = %error, "a connection ended early");
                }
                return;
            }
            () = tokio::time::sleep(patience) => {
                if activity.idle() < server.options.idle_timeout {
                    continue;
                }
            }
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
