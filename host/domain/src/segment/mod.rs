//! Segments: boolean rules over what is known of a profile at an instant.
//!
//! | file | has |
//! | --- | --- |
//! | `rule` | rules as clients write them, read with every problem and its place, and written back |
//! | `behaviour` | `did` and `sequence`: conditions on events |
//! | `formula` | what a rule compiles to: attributes, nested segments and behaviour become folds and what is read of them |
//! | `answer` | evaluating a formula, with the next instant at which it may turn |
//! | `explain` | the same, condition by condition |
//!
//! Preview, live evaluation, explanation and backfill evaluate one formula with one function, so they cannot disagree.

mod answer;
mod behaviour;
mod explain;
mod formula;
mod rule;
mod types;

pub use answer::View;
pub use behaviour::{Did, Sequence, Shape};
pub use explain::{Explained, Truth};
pub use formula::{Catalogue, Formula, Needs, compile, compile_expr};
pub use rule::{Names, Rule};

pub use crate::condition::earlier;
