//! The catalogue: which event types there are, what they carry, and what they should carry.
//!
//! | file | holds |
//! | --- | --- |
//! | `observe` | what is counted of each type, as events go by |
//! | `view` | what clients are shown |
//! | `schema` | what a type should carry: definitions and their bounds |
//! | `check` | what acceptance does with an event that does not |
//!
//! Every accepted event is counted under the type it was sent with, whatever becomes of it: before transformers see it,
//! and those that end as dead letters too. Counting costs a look-up and a walk over the names, in memory; what changed
//! goes to the store with the generation it belongs to, so a rebuild counts the same.
//!
//! A schema is in force for events that are accepted after its definition was answered. What it says is decided at
//! acceptance and written behind the event ([`crate::acceptance`]), so neither a later version nor the order of records
//! changes what happened. The identity of an event is that of its body as sent: leaving a value out does not make a
//! repeat another event.

mod check;
mod observe;
mod schema;
mod view;

pub(crate) use check::{Said, Schemas};
pub(crate) use observe::Catalogue;
pub use observe::{CATALOGUE_PROPERTIES_MAX, CATALOGUE_TYPES_MAX};
pub use schema::{Mode, SCHEMA_BYTES_MAX, SCHEMA_NODES_MAX, SCHEMA_PATTERN_BYTES_MAX, SCHEMAS_MAX, Schema};
pub use view::{Field, Overview, TypeView, shape};
