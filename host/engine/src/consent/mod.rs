//! Contact points, what was decided about them, and the proof of it.
//!
//! Consent binds to a contact point and a purpose, never to a person, so joining and separating people changes nothing
//! about it. What currently holds is a fold over decisions, in the row of the contact point; every decision is kept as
//! it was reported, in the **ledger**: a row by contact point for reading, and an entry in a chain of hashes beside the
//! state, which no rebuild rewrites.
//!
//! | file | decides |
//! | --- | --- |
//! | `ledger` | what is kept of a decision, and what of it goes into the chain |
//! | `reach` | who may be reached, on which of several contact points, and why not |
//! | `lookup` | what clients see of a contact point |
//! | `receipt` | what a person is given, signed |
//! | `signals` | which purposes privacy signals are about |
//! | `coverage` | how many may be reached |
//! | `guards` | what of an event is stored only with consent |

mod coverage;
mod guards;
mod ledger;
mod lookup;
mod reach;
mod receipt;
mod signals;

pub use coverage::{COVERAGE_PROFILES_MAX, Coverage};
pub use guards::{GUARD_WAIT_MS_MAX, Guarded};
pub(crate) use guards::{Guards, Refusals};
pub(crate) use ledger::{Kept, content};
pub(crate) use lookup::history;
pub use lookup::{ContactView, HISTORY_MAX, Holding};
pub use reach::Withheld;
pub use receipt::check as check_receipt;
pub(crate) use receipt::signer;
pub use signals::SIGNALS_MAX;
