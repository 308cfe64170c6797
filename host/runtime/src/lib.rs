//! The only crate that knows wasmtime: inspects, prepares and runs plugins.
//!
//! The way of a component: bytes → [`Runtime::inspect`] (nothing runs; every reason against it at once) →
//! [`Runtime::load`] (compiled or taken from the authenticated cache, linked, asked once what it is) →
//! [`Transformer::apply`] on batches of events, or [`Deriver::bind`] and [`Derivation::fold`] on groups of them.
//!
//! What holds whatever a guest does:
//!
//! - It sees the fields it declared and was granted, and nothing else; nothing it says leaves a batch unchecked.
//! - A call ends: fuel, memory, output, log and calls to the host are bounded by [`Limits`].
//! - Every run starts from a fresh instance, so that what it kept is gone.
//! - A batch that fails is cut in halves until the rows at fault stand alone; the others get their answers.
//! - The same component, configuration and events give the same answers, on every machine and in every replay.
//!
//! Everything is synchronous and runs on the caller's thread, which needs at least 1 MiB of stack.
//!
//! A new hook is a new world in `wit/`, a module beside [`transformer`](Transformer) that binds it, and a guest in
//! `tests/guests` that misuses it.

mod bindings;
mod cache;
mod columns;
mod deriver;
mod descriptor;
mod digest;
mod engine;
mod error;
mod grants;
mod guest;
mod imports;
mod inert;
mod inspect;
mod limits;
mod logs;
mod outcome;
mod refusal;
mod state;
mod transformer;

pub use deriver::{
    Answers, BindError, Derivation, Deriver, Failed, Folded, Group, Laws, Output, Reading, Shape, Skipped,
    VALUE_BYTES_MAX,
};
pub use descriptor::{Descriptor, Field, Kind, Request};
pub use digest::Digest;
pub use engine::{CacheUse, Options, Plugin, Runtime};
pub use error::{Error, Fault};
pub use grants::{Grants, Tables};
pub use inspect::{Inspection, World};
pub use limits::Limits;
pub use logs::{Level, LogLine};
pub use outcome::{Failure, NewEvent, RowOutcome};
pub use refusal::Refusal;
pub use transformer::{Applied, Call, Row, Transformer, Usage};
