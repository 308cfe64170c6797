//! The machine's own limits: how often it can sync, and how fast it parses the very bodies that are sent.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::body::Request;
use crate::demo::client::Fallible;

const APPEND_BYTES: usize = 50 * 1024;
const PREALLOCATED_BYTES: usize = 64 << 20;
const SYNC_FOR: Duration = Duration::from_secs(3);
const PARSE_FOR: Duration = Duration::from_secs(1);

/// What one disk and one core give.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Limits {
    /// fdatasync after each append of 50 KB to a file that grows.
    pub(crate) syncs_per_second_growing: f64,
    /// The same into a file that was written before.
    pub(crate) syncs_per_second_preallocated: f64,
    /// Events a second that one core parses into `serde_json::Value`.
    pub(crate) parsed_per_second_serde_json: f64,
    /// Events a second that one core parses with our own reader.
    pub(crate) parsed_per_second_cdp_domain: f64,
}

/// Measures on the file system of `dir`.
pub(crate) fn measure(dir: &Path, batch: usize, customers: u64) -> Fallible<Limits> {
    let path = dir.join("limits.tmp");
    let growing = syncs(&path, false)?;
    let preallocated = syncs(&path, true)?;
    std::fs::remove_file(&path)?;
    let mut request = Request::new("localhost", "key", batch);
    request.fill(0, super::body::Customers::all(customers), super::body::Mix::Plain);
    let body = request.body();
    let serde = rate(request.events(), || serde_json::from_slice::<serde_json::Value>(body).is_ok());
    let ours = rate(request.events(), || {
        cdp_domain::json::parse(body, cdp_domain::json::Options::default()).is_ok()
    });
    Ok(Limits {
        syncs_per_second_growing: growing,
        syncs_per_second_preallocated: preallocated,
        parsed_per_second_serde_json: serde,
        parsed_per_second_cdp_domain: ours,
    })
}

fn syncs(path: &Path, preallocate: bool) -> Fallible<f64> {
    let mut file = File::create(path)?;
    let chunk = vec![7_u8; APPEND_BYTES];
    if preallocate {
        file.write_all(&vec![0; PREALLOCATED_BYTES])?;
        file.seek(SeekFrom::Start(0))?;
    }
    file.sync_all()?;
    let start = Instant::now();
    let mut done = 0_u32;
    let mut written = 0;
    while start.elapsed() < SYNC_FOR {
        if preallocate && written + APPEND_BYTES > PREALLOCATED_BYTES {
            file.seek(SeekFrom::Start(0))?;
            written = 0;
        }
        file.write_all(&chunk)?;
        file.sync_data()?;
        written += APPEND_BYTES;
        done += 1;
    }
    Ok(f64::from(done) / start.elapsed().as_secs_f64())
}

fn rate(events: u64, parse: impl Fn() -> bool) -> f64 {
    let start = Instant::now();
    let mut parsed = 0_u64;
    while start.elapsed() < PARSE_FOR {
        if std::hint::black_box(parse()) {
            parsed += events;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let parsed = parsed as f64;
    parsed / start.elapsed().as_secs_f64()
}
