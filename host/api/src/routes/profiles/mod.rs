//! Profiles: what is held about one person.

pub mod disclosures;
pub mod get;
pub mod identity;
pub mod lookup;
pub mod timeline;
pub mod view;
