//! What plugins derive: slots that attributes read, the versions that serve them, and building their past.
//!
//! A slot is a plugin under one configuration; attributes read its outputs by name, whichever version serves. A version
//! that is to serve is built beside the one that does, from the events of the journal, fragment by fragment, and then a
//! record switches: before it every reader has the old values, behind it the new. The version before stays up to date, so
//! that rolling back is one record too.
//!
//! | file | what |
//! | --- | --- |
//! | `state` | what is kept of a fragment and a profile, and what waits |
//! | `slots` | slots and versions in the configuration |
//! | `define` | slots and versions come to be |
//! | `build` | the past of a version |
//! | `shadow` | a version run beside the active one, and the difference |
//! | `health` | what calls cost and how they fail, since the start |

mod build;
mod define;
mod health;
mod shadow;
mod slots;
mod state;

pub(crate) use build::{build_here, build_slot};
pub use define::SLOTS_MAX;
pub(crate) use define::{begin, begin_for, bind, load, submit_slots, versions_for};
pub(crate) use health::PluginHealth;
pub use health::{Health, LOG_LINES_KEPT};
pub use shadow::SHADOW_EVENTS_MAX;
pub use slots::{Carries, DerivationVersion, Held, Slot};
pub(crate) use state::{Fresh, Kept, Known, Underway};
