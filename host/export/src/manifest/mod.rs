//! What a run wrote and on what grounds, in a form that can be checked without the server.
//!
//! | file | decides |
//! | --- | --- |
//! | `tree` | the root of many commitments, and the way from one of them to it |
//! | `commit` | what is committed to of each row |
//! | `verify` | whether a manifest, a file and a proof belong together |

mod commit;
mod tree;
mod verify;

pub(crate) use commit::{Salts, consent_json, leaf};
pub(crate) use tree::path_of;
pub use tree::{Tree, root_of};
pub use verify::{Checked, verify};

/// The form of manifests, as they say themselves.
pub const MANIFEST_FORMAT: &str = "cdp-export-manifest/1";
