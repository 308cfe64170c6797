//! Journeys with the real binary over a socket.
//!
//! Each test owns its server: its own directory, a port of its own, its own process. Tests wait for states, with a
//! deadline, and never sleep for a while and hope. To add a journey: a module named after its noun.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "this whole target is tests")]

mod answers;
mod audience;
mod backup;
mod bomb;
mod browser;
mod canaries;
mod catalogue;
mod command_line;
mod compiling;
mod connectors;
mod consent;
mod console;
mod console_plugins;
mod crash;
mod demo;
mod derivations;
mod disk;
mod documentation;
mod erasure;
mod exclusive;
mod expected;
mod follow;
mod formats;
mod guards;
mod guests;
mod harness;
mod history;
mod hostile;
mod idempotency;
mod identity;
mod import;
mod ingest;
mod killed;
mod languages;
mod limits;
mod mirror;
mod newcomer;
mod opendsr;
mod rebuild;
mod receipts;
mod receivers;
mod recordings;
mod refusals;
mod restriction;
mod retail;
mod retention;
mod robust;
mod sdk;
mod segments;
mod storm;
mod stranger;
mod streams;
mod suspension;
mod tables;
mod versions;
