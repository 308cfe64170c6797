//! What people may ask for: that everything held about them is given to them, or forgotten.
//!
//! An erasure is a record of the journal like any other change. It names only keyed digests and fragments, so it may stand
//! there for ever, and a rebuild comes to the same: where the record stands nobody is known any more.
//! Before it is answered the person is out of reads, segments and exports, the data keys that sealed their events are
//! destroyed, and nothing that names one of their identifiers is taken in until the suppression is lifted.
//! A job then takes the person out of what is held beside the state, has the state written anew so that no old bytes
//! linger, and gives the certificate.
//!
//! | file | decides |
//! | --- | --- |
//! | `suppress` | what is not taken in, and how that is lifted |
//! | `erase` | what an erasure comprises, and its request |
//! | `restrict` | who is kept and not used |
//! | `outside` | erasures as they are written down outside of the data directory |
//! | `opendsr` | the same requests in OpenDSR form |
//! | `access` | everything that is held about a person, in one document |
//! | `apply` | how it is applied, at its place in the journal |
//! | `job` | what is held beside the state, and the certificate |
//! | `files` | held export files |
//! | `disclosed` | who received a person |

mod access;
mod apply;
mod disclosed;
mod erase;
mod files;
mod job;
mod opendsr;
mod outside;
mod packed;
mod restrict;
mod suppress;

pub use access::{ACCESS_EVENTS_MAX, ACCESS_FORMAT};
pub(crate) use apply::{ERASED_REASON, Gone, gather};
pub use disclosed::{Disclosed, Said, disclosed_by};
pub use erase::{ERASED_PARTS_MAX, ERASURES_PENDING_MAX, Erasure, Preview, REASON_BYTES_MAX};
pub(crate) use files::tidy;
pub use files::{RowIndex, SHELVES, TO, rows_path};
pub use job::suppression_id;
pub(crate) use job::{resume, rewrite_later};
pub use opendsr::{
    Callback, IDENTITY_TYPES, OPENDSR_API_VERSION, OPENDSR_CALLBACK_BYTES_MAX, OPENDSR_CALLBACKS_MAX,
    OPENDSR_DOMAIN_HEADER, OPENDSR_EXPECTED_MS, OPENDSR_IDENTITIES_MAX, OPENDSR_REQUESTS_MAX,
    OPENDSR_SIGNATURE_HEADER, OpenDsr, SubjectAsked, SubjectRequest, SubjectRequestKind, SubjectStatus,
    Telling, parse_subject_request_id, subject_request_id,
};
pub(crate) use outside::{Outside, erase_again, reconcile};
pub(crate) use restrict::Restricted;
pub use restrict::{RESTRICTIONS_MAX, Restricting, Restriction, restriction_id};
pub use suppress::SuppressionView;
pub(crate) use suppress::{Suppressed, Suppression, suppressed_ahead};
