//! People: finding them, and everything that is known of one.

pub(super) mod consent;
pub(super) mod detail;
pub(super) mod find;
pub(super) mod identity;
pub(super) mod timeline;
