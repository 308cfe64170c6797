//! Tenants: organisations whose data is walled off. For the operator.

pub mod create;
pub mod list;
