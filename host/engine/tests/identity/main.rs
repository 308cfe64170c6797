//! Identity over the real engine: the same people in any order of delivery, what undoing gives back, and what is bounded.
#![expect(clippy::unwrap_used, reason = "this whole target is tests")]

mod bounds;
mod orders;
mod undo;
mod world;
