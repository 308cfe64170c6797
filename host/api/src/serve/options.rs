//! The bounds on connections, headers and bodies, each with its default.

use std::time::Duration;

use crate::rate::Rates;

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
    /// The same while the server has as many connections as it takes: who says nothing makes room for others.
    pub idle_timeout_crowded: Duration,
    /// Bytes of a request's headers, four for each header's punctuation included. At least 8 KiB.
    pub header_bytes_max: usize,
    /// Headers of a request. Below 100, where the HTTP library ends.
    pub headers_max: usize,
    /// Bytes of an address: path and query.
    pub uri_bytes_max: usize,
    /// HTTP/2 requests at the same time on one connection.
    pub h2_streams_max: u32,
    /// HTTP/2 requests that a client may have reset before we began with them; then the connection is closed.
    pub h2_resets_max: usize,
    /// HTTP/2 resets for errors of the client; then the connection is closed.
    pub h2_error_resets_max: usize,
    /// How long running requests may take on shutdown.
    pub drain_timeout: Duration,
    /// Bytes of ingest bodies in memory at the same time, of which one tenant alone gets half; more is answered 503.
    pub ingest_bytes_in_flight_max: usize,
    /// Requests of ingest that are worked on at the same time, not counting the wait for the disk.
    pub ingest_turns: usize,
    /// Requests of one tenant that wait for their turn; one more is answered 503.
    pub ingest_waiting_max: usize,
    /// What one key may send a second; more is answered 429.
    pub rates: Rates,
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
            idle_timeout_crowded: Duration::from_secs(1),
            header_bytes_max: 32 * 1024,
            headers_max: 64,
            uri_bytes_max: 8 * 1024,
            h2_streams_max: 128,
            h2_resets_max: 64,
            h2_error_resets_max: 256,
            drain_timeout: Duration::from_secs(15),
            ingest_bytes_in_flight_max: 256 << 20,
            ingest_turns: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            ingest_waiting_max: 1024,
            rates: Rates::default(),
        }
    }
}
