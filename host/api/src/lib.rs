//! The only crate that knows our HTTP and JSON.
