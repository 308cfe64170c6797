//! Segments: the list, one with its members and its size over time, why somebody belongs to it, and the builder.

pub(super) mod detail;
mod draft;
pub(super) mod edit;
pub(super) mod explain;
pub(super) mod list;
pub(super) mod nodes;
mod read;
mod words;
