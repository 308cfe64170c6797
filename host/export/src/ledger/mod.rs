//! What we sent to a destination: one entry for each row that stands there, found again by its key.
//!
//! Incremental runs compare with it, and with nothing else: rows that others put there are never touched. The entries of
//! one destination, segment, channel and purpose are a *line*; a line is one file, sorted by key, sealed, and replaced as a
//! whole when a run ends. It lies beside the journal and no event ever touches it.
//!
//! A run needs no more memory for a longer line: it reads the line and the sorted members side by side.
//!
//! | file | decides |
//! | --- | --- |
//! | `sort` | members in the order of their keys, with bounded memory |
//! | `diff` | what became of each key |
//! | `file` | how entries lie on disk |
//! | `line` | which file belongs to whom, and when a new one takes the place of the old |

mod diff;
mod file;
mod line;
mod sort;

use serde::{Deserialize, Serialize};

pub(crate) use diff::{Diff, Fresh, Step};
pub(crate) use file::{Frames, FramesWriter, Seal, append_at};
pub(crate) use line::{Line, Lines};
pub use sort::SORT_RECORDS;
pub(crate) use sort::{Sorted, Sorter};

/// What happened to a row since it was sent last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// It was not there.
    Add,
    /// It was there with other values.
    Update,
    /// It was there and is to go.
    Remove,
}

impl Change {
    /// Its name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Update => "update",
            Self::Remove => "remove",
        }
    }
}

/// A row that stands at the destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// What tells it from others.
    pub(crate) key: [u8; 16],
    /// The hash of all its values.
    pub(crate) hash: [u8; 16],
    /// Whose row it was when it was sent.
    pub(crate) profile: [u8; 16],
    /// The identifying values as they were sent, as JSON.
    pub(crate) identity: String,
}
