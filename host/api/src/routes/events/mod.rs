//! Events: taking them in, and what became of them.

pub mod cloud;
pub mod dead_letters;
pub mod ingest;
pub mod intake;
pub mod items;
pub mod read;
pub mod receipt;
pub mod recent;
pub mod replay;
pub mod report;
pub mod stages;

use std::time::Duration;

/// Events of one request.
pub const EVENTS_MAX: usize = 1000;
/// Longest wait of `?wait=applied`.
pub const WAIT_APPLIED_MAX: Duration = Duration::from_secs(10);
