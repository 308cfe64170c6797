//! The bounds on connections, headers and bodies, each with its default.

use std::time::Duration;

/// How much the front door takes, and how long it waits.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Connections at the same time; one more is answered 503 and closed.
    pub connections_max: usize,
    /// From the first byte of a request, or from connecting, until its headers are complete.
    pub header_read_timeout: Duration,
    /// Silence within a body.
    pub body_idle_timeout: Duration,
    /// From the headers to the end of a body.
    pub body_read_timeout: Duration,
    /// The same for a plugin's component.
    pub upload_read_timeout: Duration,
    /// A connection on which nothing moves is closed after this long: kept alive without a request, or with an answer
    /// that the client does not read.
    pub idle_timeout: Duration,
    /// Bytes of a request's headers. At least 8 KiB.
    pub header_bytes_max: usize,
    /// Headers of a request.
    pub headers_max: usize,
    /// HTTP/2 requests at the same time on one connection.
    pub h2_streams_max: u32,
    /// HTTP/2 requests that a client may have reset before we began with them; then the connection is closed.
    pub h2_resets_max: usize,
    /// HTTP/2 resets for errors of the client; then the connection is closed.
    pub h2_error_resets_max: usize,
    /// How long running requests may take on shutdown.
    pub drain_timeout: Duration,
    /// Bytes of ingest bodies in memory at the same time; one more is answered 503.
    pub ingest_bytes_in_flight_max: usize,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            header_read_timeout: Duration::from_secs(10),
            body_idle_timeout: Duration::from_secs(10),
            body_read_timeout: Duration::from_secs(30),
            upload_read_timeout: Duration::from_secs(300),
            idle_timeout: Duration::from_secs(75),
            header_bytes_max: 32 * 1024,
            headers_max: 100,
            h2_streams_max: 128,
            h2_resets_max: 64,
            h2_error_resets_max: 256,
            drain_timeout: Duration::from_secs(15),
            ingest_bytes_in_flight_max: 256 << 20,
        }
    }
}
