//! The only crate that tells the system whose threads go first.
//!
//! How nice a thread is decides how large its share is, not how soon others get theirs: whoever computes goes on until its
//! slice is over and the next tick comes, 4 ms with a usual kernel, whoever wakes meanwhile. Linux (6.12 and later)
//! lets a thread that wakes take the core at once from one with a longer slice, and gives every thread the slice that it
//! wishes; see `sched_setattr(2)`, `sched_runtime`. So there are three kinds:
//!
//! - what answers clients ([`go_first`]) has the shortest slice,
//! - what does a large piece of work for a client or an operator ([`give_way`]) the longest, and its full share,
//! - what nobody waits for ([`stand_back`]) the longest, and a smaller share.
//!
//! A thread begins as the one that began it. All three are wishes: where the system does not grant one, a thread stays
//! what it is.

use std::cell::Cell;
use std::time::Duration;

/// How far behind the threads that answer clients the others stand, as `nice` counts.
///
/// The share that remains under full load is about a quarter of a core, so that state still moves.
const NICENESS: i32 = 5;
/// The slice of a thread that others need not wait for: longer than any that the kernel gives by itself, up to 2.8 ms, and
/// not much longer. Whoever yields (`sched_yield(2)`, as locks do) gives up a whole slice.
const LONG: Duration = Duration::from_millis(10);
/// The slice of a thread that everybody waits for: the shortest that the kernel takes.
const SHORT: Duration = Duration::from_micros(100);

/// Lets the calling thread go before any other as soon as it wakes. For threads whose work takes less than a millisecond
/// at a time.
pub fn go_first() {
    wish(0, SHORT);
}

/// Lets any thread that wakes go before the calling one, whose share remains what it is.
pub fn give_way() {
    wish(0, LONG);
}

/// Lets threads that answer clients go before the calling one, which has a smaller share from here on, for good:
/// acknowledging an event is worth more than applying another one.
pub fn stand_back() {
    wish(NICENESS, LONG);
}

/// Asks for a slice, and to be at least so nice. Costs a microsecond the first time, and nothing again.
fn wish(niceness: i32, slice: Duration) {
    thread_local!(static WISHED: Cell<Option<(i32, Duration)>> = const { Cell::new(None) });
    if WISHED.replace(Some((niceness, slice))) == Some((niceness, slice)) {
        return;
    }
    #[cfg(target_os = "linux")]
    if let Err(error) = linux::set(linux::niceness().max(niceness), slice) {
        tracing::debug!(error = %error, "a thread keeps its usual priority and slice");
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::time::Duration;

    /// Of the calling thread: Linux keeps a priority per thread, and nobody in particular is the calling one.
    pub(super) fn niceness() -> i32 {
        rustix::process::getpriority_process(None).unwrap_or_default()
    }

    /// Gives the calling thread a priority and a slice.
    #[expect(
        unsafe_code,
        reason = "no library that we know sets the slice of a thread that is not a real-time one"
    )]
    pub(super) fn set(niceness: i32, slice: Duration) -> io::Result<()> {
        let wished = libc::sched_attr {
            size: size_of::<libc::sched_attr>() as u32,
            sched_policy: libc::SCHED_OTHER as u32,
            sched_flags: 0,
            sched_nice: niceness,
            sched_priority: 0,
            sched_runtime: slice.as_nanos() as u64,
            sched_deadline: 0,
            sched_period: 0,
        };
        // SAFETY: the call reads `size` bytes from the pointer, which is to a whole structure of that size, and keeps
        // nothing; thread 0 is the calling one; there are no flags.
        let done = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wished, 0) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// The calling thread's slice.
    #[cfg(test)]
    #[expect(unsafe_code, reason = "as above")]
    pub(super) fn slice() -> Duration {
        let mut found = libc::sched_attr {
            size: 0,
            sched_policy: 0,
            sched_flags: 0,
            sched_nice: 0,
            sched_priority: 0,
            sched_runtime: 0,
            sched_deadline: 0,
            sched_period: 0,
        };
        let size = size_of::<libc::sched_attr>();
        // SAFETY: the call writes at most `size` bytes to the pointer, which is to a whole structure of that size.
        let done = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut found, size, 0) };
        assert_eq!(done, 0, "{}", io::Error::last_os_error());
        Duration::from_nanos(found.sched_runtime)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Does something on a thread of its own, as others do.
    fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        std::thread::spawn(work).join().expect("it does not panic")
    }

    fn stands() -> (i32, Duration) {
        (linux::niceness(), linux::slice())
    }

    /// Whether the kernel knows slices, which it does from 6.12 on.
    fn knows_slices() -> bool {
        apart(|| linux::set(linux::niceness(), LONG).is_ok() && linux::slice() == LONG)
    }

    #[test]
    fn each_kind_has_its_share_and_slice_and_nobody_else_is_touched() {
        if !knows_slices() {
            tracing::warn!("this kernel knows no slices of single threads: only shares are looked at");
        }
        let usual = stands();
        let wished = |slice| if knows_slices() { slice } else { usual.1 };
        let back = usual.0.max(NICENESS);
        assert_eq!(apart(|| (go_first(), stands()).1), (usual.0, wished(SHORT)));
        assert_eq!(apart(|| (give_way(), stands()).1), (usual.0, wished(LONG)));
        assert_eq!(apart(|| (stand_back(), stands()).1), (back, wished(LONG)));
        assert_eq!(stands(), usual);
    }

    #[test]
    fn a_thread_begins_as_the_one_that_began_it_and_changes_its_mind() {
        let (first, then, again) = apart(|| {
            stand_back();
            let first = apart(stands);
            let then = apart(|| (go_first(), stands()).1);
            give_way();
            stand_back();
            (first, then, stands())
        });
        assert_eq!(first, again);
        assert_eq!(then.0, first.0, "nobody gets nearer to the front again than the system lets it");
        assert_eq!(then.1, if knows_slices() { SHORT } else { first.1 });
    }

    #[test]
    fn who_stands_further_back_stays_there() {
        let niceness = apart(|| {
            linux::set(NICENESS + 3, LONG).unwrap();
            stand_back();
            linux::niceness()
        });
        assert_eq!(niceness, NICENESS + 3);
    }
}
