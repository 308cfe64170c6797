//! The only crate that knows wasmtime: inspects, prepares and runs plugins.
//!
//! The way of a component: bytes → [`Runtime::inspect`] (nothing runs; every reason against it at once) →
//! [`Runtime::load`] (compiled or taken from the authenticated cache, linked, asked what it is) →
//! [`Transformer::apply`] on batches of events, or [`Deriver::bind`] and [`Derivation::fold`] on groups of them.
//!
//! What holds whatever a guest does:
//!
//! - It sees the fields it declared and was granted, and nothing else; nothing it says leaves a batch unchecked.
//! - A call ends: fuel, memory, handles, output, log and calls to the host are bounded by [`Limits`].
//! - What it kept in memory from an earlier run makes no difference: an instance is fresh, or compared with a fresh one.
//! - A batch that fails is cut in halves until the rows at fault stand alone; the others get their answers, and what comes
//!   of a row does not depend on its company.
//! - Compiling it takes so much time and memory and no more, in a child process ([`Compiler`]).
//! - The same component, configuration and events give the same answers, on every machine and in every replay.
//!
//! Everything is synchronous and runs on the caller's thread, which needs at least 1 MiB of stack.
//!
//! A new hook is a new world in `wit/`, a module beside [`transformer`](Transformer) that binds it, and a guest in
//! `tests/guests` that misuses it.

pub mod admission;
mod bindings;
mod cache;
mod call;
mod code;
mod columns;
mod compiler;
pub mod connector;
mod deriver;
mod descriptor;
mod digest;
mod engine;
mod error;
mod exports;
mod grants;
mod guest;
mod imports;
mod inert;
mod inspect;
mod likely;
mod limits;
mod logs;
mod outcome;
mod places;
mod refusal;
mod shown;
mod state;
mod told;
mod transformer;

pub use compiler::{COMPLAINT, CompileLimits, Compiler, compile_here};
pub use deriver::{
    Answers, BindError, Derivation, Deriver, Failed, Folded, Group, Law, Laws, Output, Reading, Shape,
    Skipped, Tested, VALUE_BYTES_MAX,
};
pub use descriptor::{Descriptor, Field, Kind, Request};
pub use digest::Digest;
pub use engine::{CacheUse, Options, Plugin, Runtime, Work};
pub use error::{Error, Fault};
pub use grants::{Grants, Tables};
pub use inspect::{Inspection, World};
pub use limits::{Limits, ROWS_MAX};
pub use logs::{Level, LogLine};
pub use outcome::{Failure, NewEvent, RowOutcome};
pub use refusal::Refusal;
pub use shown::shown;
pub use transformer::{Applied, Call, Row, Transformer, Usage};
