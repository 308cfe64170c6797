//! Deletion by age: events of a type are kept for so many days, and then they are gone.
//!
//! Age is counted from the time an event happened. One that is too old already when it comes is taken in and kept out of
//! state, for the reason `expired`. All others are looked for once a day (`sweep`), fragment by fragment: a record names
//! the places of those whose days are over, and where it is applied (`apply`) they leave state and the timeline. When
//! the store has that, their payloads are redacted in the journal, in place.
//!
//! What they amounted to either goes with them (**decayed**): the fragment is folded anew from what is left, and all is as
//! if they had never been. Or it stays (**frozen**): the record carries the states of the folds over just these events,
//! and the fragment's states are those combined with what is left. That is exact, for every state is a function of the set
//! of its events. Definitions that come later see nothing of them in either case, and what plugins derive always decays.
//!
//! Who somebody is does not age. The event that is the first of its fragment, and events that name contact points or
//! decisions, leave a **stub** ([`Stub`]): when, from where, which identifiers, contact points and decisions; not what.
//!
//! A rebuild meets the redacted records instead of the events, and the records that carry what they amounted to where
//! these stand; so it comes to the same.
//!
//! | file | decides |
//! | --- | --- |
//! | `policy` | how long events are kept |
//! | `stub` | what is left of an event that was redacted |
//! | `base` | what events that are gone amounted to |
//! | `count` | what rules would remove |
//! | `plan` | whose days are over, and what to write about them |
//! | `apply` | how that is applied, at its place in the journal |
//! | `sweep` | the job, and going on with it after a restart |

mod apply;
mod base;
mod count;
pub(crate) mod packed;
mod plan;
mod policy;
mod stub;
mod sweep;

pub(crate) use apply::{Aged, AgingRow, left};
pub(crate) use base::Base;
pub(crate) use policy::late;
pub use policy::{Derived, Keep, REST, RETENTION_DAYS_MAX, RETENTION_RULES_MAX, Retention, RetentionView};
pub(crate) use stub::{Left, Stub};
pub use sweep::RETENTION_EVERY_MS;
pub(crate) use sweep::{Sweeping, sweep_if_due};
