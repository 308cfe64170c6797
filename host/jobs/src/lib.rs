//! The only crate that decides when background work runs.
