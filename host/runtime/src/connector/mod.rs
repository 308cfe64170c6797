//! Connectors: plugins that hand audiences out, in two worlds.
//!
//! A [`Planner`] does no I/O: it says which requests to send ([`Planner::plan`]), the host sends them, and it judges the
//! replies ([`Planner::settle`]). A [`Session`] sends by itself, step by step, through what the host lends it
//! ([`Outside`]).
//!
//! What holds for both, whatever the guest does:
//!
//! - A request names a host that was declared and granted, keeps every bound below, and names secrets instead of having
//!   them: their values never come near a guest.
//! - Each item has one verdict. Items without one are no news; the caller tries them again.
//!
//! This crate opens no connection. Who fulfils [`Outside`], or sends what a planner planned, resolves names, filters
//! addresses, inserts secrets and follows no redirect.

mod check;
mod kv;
mod planner;
mod session;
mod words;

pub(crate) use check::origin;
pub use check::{
    BODY_BYTES_MAX, HEADER_BYTES_MAX, HEADERS_MAX, IDEMPOTENCY_KEY_BYTES_MAX, TIMEOUT_MS_MAX, URL_BYTES_MAX,
};
pub use kv::{KEY_BYTES_MAX, KEYS_MAX, Shelf, TOTAL_BYTES_MAX, VALUE_BYTES_MAX};
pub(crate) use planner::check_types as check_planner_types;
pub use planner::{Planned, Planner};
pub use session::{DeliverCall, Outside, REQUESTS_MAX, SESSIONS_MAX, Session};
pub(crate) use session::{Io, Lent, build};
pub use words::{
    Change, ConnectorCall, Delivery, HeaderValue, HttpError, HttpRequest, HttpResponse, KvError, Verdict,
};

/// Items of one call, at most.
pub const ITEMS_MAX: usize = 1_000;
