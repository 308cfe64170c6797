//! Identity: which fragments are one person, why, and what an operator can say about it.
//!
//! [`cdp_domain::identity`] is the definition; here it is kept true with every record. A new fragment, an earlier first
//! event, a change of rules and a constraint each say which fragments may have to move; what hangs together with them
//! ([`ground`]) is placed anew, and only what moved is written (`writer/rearrange.rs`). Fragments move between profiles;
//! nothing that is known of a fragment is rewritten, so undoing a join gives back exactly what would have been.
//!
//! What this costs: a fragment whose identifiers nobody else has, or that joins people without any conflict, takes one
//! step. Otherwise it is what hangs together with it, never more than
//! [`LINKED_FRAGMENTS_MAX`](cdp_domain::limits::LINKED_FRAGMENTS_MAX) fragments for each of its identifiers.

pub mod constraints;
mod dry_run;
mod explain;
pub(crate) mod ground;
pub mod log;
pub mod rules;
pub(crate) mod settle;
mod subject;
mod view;

pub use constraints::ConstraintView;
pub use dry_run::{DryRun, Move};
pub use explain::{Apart, EvidenceStep, Explanation};
pub use log::{AlertView, LogView};
pub use view::{FragmentView, IdentifierView, IdentityView};
