//! What must hold for any bytes that a client sends. Each target is a function on bytes that panics when it does not hold.
//!
//! `cargo xtask fuzz TARGET [SECONDS]` looks for bytes that break one (libFuzzer, built with coverage of our crates by a
//! stable toolchain), and an ordinary test replays the corpus in `corpus/TARGET`, so that what was found once stays found.
//! To add a target: a module, a row in [`TARGETS`], a program in `bin/`, and some inputs to begin with.

mod ingest_body;
mod normalisers;

pub use ingest_body::ingest_body;
pub use normalisers::normalisers;

/// A function on bytes.
pub type Target = fn(&[u8]);

/// Every target, by the name of its corpus.
pub const TARGETS: [(&str, Target); 2] = [("ingest_body", ingest_body), ("normalisers", normalisers)];
