//! Plugins: the list, one with its versions, health and logs, uploading, the order of turns, whose are taken, and trying a
//! version on events.

mod cost;
pub(super) mod detail;
pub(super) mod list;
pub(super) mod order;
pub(super) mod trial;
pub(super) mod trust;
pub(super) mod upload;
