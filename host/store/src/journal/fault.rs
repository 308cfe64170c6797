//! Failures on demand, for tests of this crate and of those above it.

use std::fmt;
use std::io;

/// A place where a journal can be made to fail, in the order of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    /// Before a new segment is allocated.
    Allocate,
    /// Before bytes are written.
    Write,
    /// After bytes were written, before they are synced.
    Written,
    /// After a commit was synced, before its waiters learn of it.
    Synced,
    /// Before the file is cut back after a rollback.
    Repair,
}

/// Decides at each [`Point`] whether the operation fails.
///
/// It runs on the committing thread; blocking in it holds the commit there, and copying the directory in it gives what a crash would leave.
pub trait Faults: Send + Sync {
    /// Fails the operation with the error returned; `Ok` lets it happen. Ignored at [`Point::Synced`].
    ///
    /// # Errors
    /// Whatever the test wants the operating system to say.
    fn at(&self, point: Point) -> io::Result<()>;
}

impl<F: Fn(Point) -> io::Result<()> + Send + Sync> Faults for F {
    fn at(&self, point: Point) -> io::Result<()> {
        self(point)
    }
}

impl fmt::Debug for dyn Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faults")
    }
}
