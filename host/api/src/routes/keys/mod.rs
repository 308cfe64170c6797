//! API keys of a tenant.

pub mod create;
pub mod list;
pub mod revoke;
