//! Events that were accepted and are kept out of state: why, which, and how they get in after all.
//!
//! | file | holds |
//! | --- | --- |
//! | `letter` | what is kept of such an event, and the words for why |
//! | `list` | finding them again |
//! | `replay` | trying them again, by a job |
//! | `attempt` | what came of it |
//!
//! The event itself stays in the journal, where it was accepted; a letter is the row that says why it went no further.
//! Three things keep an event out: it failed (`dead_letter`), a transformer dropped it on purpose (`dropped`), or its
//! person was erased before it was applied (`suppressed`).

mod attempt;
mod letter;
mod list;
mod replay;

pub use attempt::{ATTEMPTS_KEPT, Attempt};
pub(crate) use attempt::{Attempts, First};
pub use letter::{Code, Kept};
pub(crate) use letter::{Letter, Verdict};
pub use list::{DeadLetter, Filter, SCANNED_MAX};
pub use replay::{REPLAYS_MAX, Replay};
pub(crate) use replay::{attempts, not_applied_in_place, resume};
