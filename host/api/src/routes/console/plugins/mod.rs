//! Plugins: the list, one with its versions, health and logs, uploading, and trying a version on events.

pub(super) mod detail;
pub(super) mod list;
pub(super) mod trial;
pub(super) mod upload;
