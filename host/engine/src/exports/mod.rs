//! What exports need of a tenant: who is in a segment and may be reached, the record of runs, and the configuration of
//! destinations and schedules. What a run is, and how it is done, stands in the crate above.
//!
//! | file | decides |
//! | --- | --- |
//! | `audience` | who belongs to an audience, and the values of a person |
//! | `runs` | how runs are written down, and what is sealed beside |
//! | `destinations` | where audiences go, and the secrets for it |
//! | `schedules` | when they go by themselves |

mod audience;
mod destinations;
mod runs;
mod schedules;

pub use audience::{AudienceRow, Consent, Granted, Members, MovedSince, Place, Source};
pub use destinations::{DESTINATIONS_MAX, Destination, DestinationState, NewDestination, SealedSecret};
pub use runs::Due;
pub use schedules::{Overlap, SCHEDULES_MAX, Schedule};
