//! Receipts: what became of an event, and every stage it passed.
//!
//! Nothing is written for an ordinary event. A receipt is worked out when somebody asks: the journal has the event and
//! what acceptance found out, [`pipeline`] the transformers of that place (which are run again: they are deterministic),
//! the fragment the profile, the configuration the attributes that take the event in, and the log of changes who entered
//! and left. Only what cannot be worked out again is stored: why an event was kept out, and what came of replays.
//!
//! To add a stage: a variant of [`Stage`], the function that works it out, and its form in the HTTP contract.

pub(crate) mod pipeline;
mod stage;
mod work_out;

pub use stage::{Changed, NewEventRef, Receipt, SegmentRef, Stage, TraitRef, Transformed};
