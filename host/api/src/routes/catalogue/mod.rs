//! The catalogue: which event types there are, what they carry, and what they should carry.

pub mod overview;
pub mod schema;
pub mod types;
