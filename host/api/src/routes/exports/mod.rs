//! Exports: a segment at a moment, for somebody, after consent was asked.

pub mod create;
pub mod file;
pub mod get;
pub mod list;
pub mod manifest;
pub mod proof;
pub mod wish;
pub mod withheld;

use cdp_domain::ids::ExportId;

use crate::error::{Answer, Failure};

/// An export: `{id, status, segment, format, rows, withheld, position, sha256, job, …}`.
pub(crate) type Export = serde_json::Value;

pub(crate) fn parse(id: &str) -> Answer<ExportId> {
    id.parse().map_err(|_| Failure::not_found("export"))
}
