//! The front door's own accept loop: HTTP/1.1 and HTTP/2 without TLS, every wait and every size bounded.
//!
//! `axum::serve` arms no timeout while headers are read and knows no cap on connections; this loop does, and it drains
//! on shutdown: no new connections, running requests end, then idle connections close.
//!
//! When there are as many connections as may be, a new one is answered 503 and closed, and those on which nothing moves
//! are closed within a second ([`HttpOptions::idle_timeout_crowded`]): silent ones make room for the next.

mod activity;
mod connection;
mod framing;
mod options;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use crate::metrics;
use connection::Signals;
pub(crate) use connection::{AmbiguousFraming, Peer};
pub use options::HttpOptions;

/// Refusals that may be under way at once; connections beyond are closed without a word.
const REFUSING_MAX: usize = 64;

/// Answers requests until `shutdown` resolves, then drains. Returns when all connections are closed, or the time for
/// draining is over.
///
/// # Errors
/// When the listener gives no more connections for a reason other than one connection's.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    options: HttpOptions,
    shutdown: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let server = Arc::new(connection::Server::new(router, options.clone()));
    let (stop, stopping) = watch::channel(false);
    let (crowd, crowded) = watch::channel(false);
    let signals = Signals { stopping, crowded };
    // The sender's clones live in the connections: when the receiver ends, none is left.
    let (alive, mut ended) = mpsc::channel::<()>(1);
    let open = Arc::new(AtomicUsize::new(0));
    let refusing = Arc::new(AtomicUsize::new(0));
    let upkeep = tokio::spawn(upkeep());
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, or the client was gone already: wait a moment, the listener stays.
                    tracing::warn!(error = %error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            },
            () = &mut shutdown => break,
        };
        let _ = stream.set_nodelay(true);
        let full = open.load(Ordering::Relaxed) >= options.connections_max;
        // It stays crowded until a new connection finds room.
        crowd.send_if_modified(|crowded| std::mem::replace(crowded, full) != full);
        if full {
            refuse(stream, &refusing);
            continue;
        }
        let guard = Counted::new(&open);
        metrics::connections(open.load(Ordering::Relaxed));
        let (server, signals, alive) = (server.clone(), signals.clone(), alive.clone());
        tokio::spawn(async move {
            let _held = (guard, alive);
            connection::run(&server, stream, signals).await;
        });
    }
    drop((listener, alive));
    let _ = stop.send(true);
    if tokio::time::timeout(options.drain_timeout, ended.recv()).await.is_err() {
        tracing::warn!(
            open = open.load(Ordering::Relaxed),
            "connections were cut off: they did not end in time"
        );
    }
    upkeep.abort();
    Ok(())
}

/// Says in one answer that there is no room, and closes.
fn refuse(mut stream: TcpStream, refusing: &Arc<AtomicUsize>) {
    const ANSWER: &[u8] =
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 1\r\n\
        Connection: close\r\nContent-Length: 192\r\n\r\n";
    if refusing.load(Ordering::Relaxed) >= REFUSING_MAX {
        return;
    }
    let guard = Counted::new(refusing);
    tokio::spawn(async move {
        let _held = guard;
        let body = format!("{:<192}", REFUSAL);
        let talking = async {
            stream.write_all(ANSWER).await?;
            stream.write_all(body.as_bytes()).await?;
            stream.shutdown().await
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), talking).await;
    });
}

const REFUSAL: &str = r#"{"type":"/docs/errors/overloaded","title":"The server is overloaded","status":503,"detail":"too many connections","code":"overloaded","message":"too many connections","retryable":true}"#;

/// Histograms are summed up now and then, so that they stay small between scrapes.
async fn upkeep() {
    let recorder = metrics::recorder();
    loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        recorder.run_upkeep();
    }
}

/// One of a number, as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod http2_tests;
#[cfg(test)]
mod tests;
