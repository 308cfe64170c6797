//! Settings of the front door: its bounds, and what one key may send.

use std::time::Duration;

use cdp_api::HttpOptions;
use serde::Deserialize;

use crate::{Failure, exit};

/// Bytes of headers below which ordinary requests would fail.
const HEADER_BYTES_LEAST: usize = 8 * 1024;
/// Headers of a request that the HTTP library can tell apart from too many.
const HEADERS_MOST: usize = 99;

/// What one key may send a second, and connections.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct HttpArgs {
    /// Connections at the same time [default: 4096].
    #[arg(long, env = "CDP_CONNECTIONS_MAX", value_name = "N")]
    connections_max: Option<usize>,
    /// Requests that one key may send a second; 0 is no limit [default: 20000].
    #[arg(long, env = "CDP_REQUESTS_PER_SECOND_MAX", value_name = "N")]
    requests_per_second_max: Option<u64>,
    /// Events that one key may send a second; 0 is no limit [default: 500000].
    #[arg(long, env = "CDP_EVENTS_PER_SECOND_MAX", value_name = "N")]
    events_per_second_max: Option<u64>,
    /// Bytes of bodies, after decompression, that one key may send a second; 0 is no limit [default: 268435456].
    #[arg(long, env = "CDP_BYTES_PER_SECOND_MAX", value_name = "N")]
    bytes_per_second_max: Option<u64>,
    /// Changes of one tenant a second, by calls with the scope `admin` or `export` and by forms of the console; 0 is no limit [default: 20].
    #[arg(long, env = "CDP_CHANGES_PER_SECOND_MAX", value_name = "N")]
    changes_per_second_max: Option<u64>,
    /// Seconds of its rates that a key may send at once [default: 2].
    #[arg(long, env = "CDP_BURST_SECONDS", value_name = "N")]
    burst_seconds: Option<u64>,
}

/// The other bounds, in the table `[http]` of `cdp.toml`, under their names in `/v1/limits`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpFile {
    header_read_ms_max: Option<u64>,
    body_idle_ms_max: Option<u64>,
    body_read_ms_max: Option<u64>,
    upload_read_ms_max: Option<u64>,
    connection_idle_ms_max: Option<u64>,
    connection_idle_crowded_ms_max: Option<u64>,
    drain_ms_max: Option<u64>,
    header_bytes_max: Option<usize>,
    headers_max: Option<usize>,
    uri_bytes_max: Option<usize>,
    http2_streams_max: Option<u32>,
    http2_resets_max: Option<usize>,
    http2_error_resets_max: Option<usize>,
    ingest_bytes_in_flight_max: Option<usize>,
    ingest_turns: Option<usize>,
    ingest_waiting_max: Option<usize>,
}

/// The names of [`HttpFile`], for whoever shows settings.
pub(crate) const FILE_SETTINGS: [&str; 16] = [
    "header_read_ms_max",
    "body_idle_ms_max",
    "body_read_ms_max",
    "upload_read_ms_max",
    "connection_idle_ms_max",
    "connection_idle_crowded_ms_max",
    "drain_ms_max",
    "header_bytes_max",
    "headers_max",
    "uri_bytes_max",
    "http2_streams_max",
    "http2_resets_max",
    "http2_error_resets_max",
    "ingest_bytes_in_flight_max",
    "ingest_turns",
    "ingest_waiting_max",
];

/// Connections and rates, at the top of `cdp.toml`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FileRates {
    pub(crate) connections_max: Option<usize>,
    pub(crate) requests_per_second_max: Option<u64>,
    pub(crate) events_per_second_max: Option<u64>,
    pub(crate) bytes_per_second_max: Option<u64>,
    pub(crate) changes_per_second_max: Option<u64>,
    pub(crate) burst_seconds: Option<u64>,
}

/// The bounds that flags, environment and file say, and else the usual ones.
pub(crate) fn options(args: &HttpArgs, rates: &FileRates, file: &HttpFile) -> Result<HttpOptions, Failure> {
    let mut http = HttpOptions::default();
    set(&mut http.connections_max, args.connections_max.or(rates.connections_max));
    set(&mut http.rates.requests_per_second, args.requests_per_second_max.or(rates.requests_per_second_max));
    set(&mut http.rates.events_per_second, args.events_per_second_max.or(rates.events_per_second_max));
    set(&mut http.rates.bytes_per_second, args.bytes_per_second_max.or(rates.bytes_per_second_max));
    set(&mut http.rates.changes_per_second, args.changes_per_second_max.or(rates.changes_per_second_max));
    set(&mut http.rates.burst_seconds, args.burst_seconds.or(rates.burst_seconds));
    for (of, ms) in [
        (&mut http.header_read_timeout, file.header_read_ms_max),
        (&mut http.body_idle_timeout, file.body_idle_ms_max),
        (&mut http.body_read_timeout, file.body_read_ms_max),
        (&mut http.upload_read_timeout, file.upload_read_ms_max),
        (&mut http.idle_timeout, file.connection_idle_ms_max),
        (&mut http.idle_timeout_crowded, file.connection_idle_crowded_ms_max),
        (&mut http.drain_timeout, file.drain_ms_max),
    ] {
        set(of, ms.map(Duration::from_millis));
    }
    set(&mut http.header_bytes_max, file.header_bytes_max);
    set(&mut http.headers_max, file.headers_max);
    set(&mut http.uri_bytes_max, file.uri_bytes_max);
    set(&mut http.h2_streams_max, file.http2_streams_max);
    set(&mut http.h2_resets_max, file.http2_resets_max);
    set(&mut http.h2_error_resets_max, file.http2_error_resets_max);
    set(&mut http.ingest_bytes_in_flight_max, file.ingest_bytes_in_flight_max);
    set(&mut http.ingest_turns, file.ingest_turns);
    set(&mut http.ingest_waiting_max, file.ingest_waiting_max);
    check(&http)?;
    Ok(http)
}

fn set<T>(of: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *of = given;
    }
}

/// Refuses what would leave a server that answers nobody.
fn check(http: &HttpOptions) -> Result<(), Failure> {
    let least = [
        ("connections_max", http.connections_max, 1),
        ("header_bytes_max", http.header_bytes_max, HEADER_BYTES_LEAST),
        ("headers_max", http.headers_max, 16),
        ("uri_bytes_max", http.uri_bytes_max, 512),
        ("http2_streams_max", http.h2_streams_max as usize, 1),
        ("ingest_bytes_in_flight_max", http.ingest_bytes_in_flight_max, 2 << 20),
        ("ingest_turns", http.ingest_turns, 1),
        ("ingest_waiting_max", http.ingest_waiting_max, 1),
        ("burst_seconds", usize::try_from(http.rates.burst_seconds).unwrap_or(usize::MAX), 1),
    ];
    for (name, given, least) in least {
        if given < least {
            return Err(Failure::new(
                exit::CONFIGURATION,
                format!("{name} is {given} and must be at least {least}"),
            ));
        }
    }
    if http.headers_max > HEADERS_MOST {
        let sentence = format!("headers_max is {} and can be at most {HEADERS_MOST}", http.headers_max);
        return Err(Failure::new(exit::CONFIGURATION, sentence));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_outranks_the_file_and_the_file_the_default() {
        let args = HttpArgs { events_per_second_max: Some(7), ..HttpArgs::default() };
        let rates = FileRates {
            events_per_second_max: Some(8),
            bytes_per_second_max: Some(9),
            ..FileRates::default()
        };
        let file = HttpFile { body_idle_ms_max: Some(10), ..HttpFile::default() };
        let http = options(&args, &rates, &file).unwrap();
        assert_eq!((http.rates.events_per_second, http.rates.bytes_per_second), (7, 9));
        assert_eq!(http.rates.requests_per_second, HttpOptions::default().rates.requests_per_second);
        assert_eq!(http.body_idle_timeout, Duration::from_millis(10));
    }

    #[test]
    fn what_would_answer_nobody_is_refused_by_name() {
        for (name, file) in [
            ("headers_max", HttpFile { headers_max: Some(100), ..HttpFile::default() }),
            ("headers_max", HttpFile { headers_max: Some(15), ..HttpFile::default() }),
            ("ingest_turns", HttpFile { ingest_turns: Some(0), ..HttpFile::default() }),
        ] {
            let failure = options(&HttpArgs::default(), &FileRates::default(), &file).err().unwrap();
            assert_eq!(failure.code, exit::CONFIGURATION);
            assert!(failure.to_string().contains(name), "{failure}");
        }
    }
}
