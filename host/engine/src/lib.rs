//! The only crate that changes customer data.
