//! What can go wrong with bytes on disk, one variant per thing a caller would do differently.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused an operation that is not an append. Nothing was lost.
    #[error("could not {doing} {}", path.display())]
    Io {
        /// What was being done, as a verb.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// No space is left for the journal. The append was rolled back; try again later.
    #[error("no space is left for the journal in {}", path.display())]
    Full {
        /// The journal's directory.
        path: PathBuf,
    },
    /// The journal could not be written for another reason than space. The append was rolled back; try again later.
    #[error("could not write the journal in {}", path.display())]
    Write {
        /// The journal's directory.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// Too much is waiting to become durable. Nothing was appended; try again when the disk caught up.
    #[error("{pending_bytes} bytes wait to become durable, the bound is {bytes_max}")]
    Overloaded {
        /// What waits already, in bytes.
        pending_bytes: u64,
        /// The bound, in bytes.
        bytes_max: u64,
    },
    /// One value or record exceeds its documented bound. It never fits; do not try again.
    #[error("{what} of {bytes} bytes, at most {bytes_max} fit")]
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// How large it was.
        bytes: u64,
        /// How large it may be.
        bytes_max: u64,
    },
    /// Stored bytes are not what was written. Someone must act: restore, or rebuild what is derived.
    #[error("{} is damaged at offset {offset}: {what}", file.display())]
    Damaged {
        /// The damaged file.
        file: PathBuf,
        /// Where in the file, in bytes from its beginning.
        offset: u64,
        /// What does not hold there.
        what: &'static str,
    },
    /// No durable record begins at this position.
    #[error("no durable record begins at position {position}")]
    NotARecord {
        /// The position that was asked for.
        position: u64,
    },
    /// The journal was closed, or its committing thread is gone.
    #[error("the journal is closed")]
    Closed,
    /// The key-value backend failed.
    #[error("the state backend could not {doing}")]
    Backend {
        /// What was being done, as a verb.
        doing: &'static str,
        /// What the backend said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The state was closed to be opened again, and who asks still holds what was read before.
    /// Nothing was read or written; take the state anew, or try again in a moment.
    #[error("the state is being opened again")]
    StateClosed,
    /// A stored value does not have the form it must have. The state is derived: rebuild it.
    #[error("a stored value is malformed: {what}")]
    Malformed {
        /// What does not hold.
        what: &'static str,
    },
    /// A key of another tenant was used with this tenant's state. A bug of the caller.
    #[error("a key belongs to another tenant than the state")]
    WrongTenant,
    /// The data key was destroyed: what it sealed is erased for good.
    #[error("the data key was destroyed")]
    KeyDestroyed,
    /// A sealed payload does not open: wrong key, or not the bytes that were sealed.
    #[error("a sealed payload does not open")]
    Sealed,
    /// The master key's file does not hold a key, or cannot be trusted.
    #[error("{} is not a usable master key: {what}", path.display())]
    MasterKey {
        /// The key's file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Something is there already where something new is to be put. Nothing was changed.
    #[error("{} is not empty", path.display())]
    Occupied {
        /// The directory.
        path: PathBuf,
    },
    /// There is no data where some is to be read.
    #[error("there is no data in {}", path.display())]
    NoData {
        /// The directory.
        path: PathBuf,
    },
    /// A backup, or what belongs to it, is not what it must be. Nothing was changed.
    #[error("{}: {what}", path.display())]
    Backup {
        /// The backup or the directory.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Another process uses the data directory.
    #[error("the data directory {} is in use by {}", dir.display(), holder(.pid))]
    Locked {
        /// The data directory.
        dir: PathBuf,
        /// The process that holds it, where it said so.
        pid: Option<u32>,
    },
    /// The system's source of randomness failed.
    #[error("the system gives no randomness")]
    Randomness,
}

impl Error {
    /// Says what was done to which file when the operating system refused.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}

fn holder(pid: &Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// Fills a buffer with random bytes of the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| Error::Randomness)?;
    Ok(bytes)
}
