//! Calls that may take long, out of everybody's way.
//!
//! How nice a thread is decides how large its share of the machine is, not how soon others get theirs: a scheduler lets a
//! thread that computes run on, for some milliseconds and whoever wakes meanwhile. On a machine of few cores a guest that
//! loops would so delay every acknowledgement. Linux has threads that give way at once to any other (`SCHED_IDLE`), but
//! none may leave that state again. So calls that may take long get a thread of their own that is in it, and those of
//! guests that proved quick stay where they are: a thread costs some 50 µs.
//!
//! The price: while others keep every core busy, such a call hardly moves. It holds up its own tenant's events only, as
//! it would by itself, and has places of its own, so that nobody's quick call waits behind it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::places::locked;

/// Processor time of a call that took long: so long a scheduler may let it run on while others wait. Fuel would not say
/// it: how much of it a millisecond is differs tenfold between guests.
pub(crate) const LONG: Duration = Duration::from_millis(4);
/// Calls in a row that did not take long before a guest is trusted to be quick: more than the trials of its laws make,
/// so that what is only tried stays out of the way to the end.
pub(crate) const QUICK_BEFORE_TRUST: u32 = 1000;

/// Whether a guest is quick, as far as is known. It decides where a call runs, never what comes of it.
#[derive(Debug, Default)]
pub(crate) struct Habit(AtomicU32);

impl Habit {
    /// Whether the next call may take long: one did lately, or the guest is new.
    pub(crate) fn may_take_long(&self) -> bool {
        self.0.load(Ordering::Relaxed) < QUICK_BEFORE_TRUST
    }

    /// Learns from a call that used so much processor time.
    pub(crate) fn learn(&self, used: Duration) {
        let next = |quick: u32| Some(if used > LONG { 0 } else { quick.saturating_add(1) });
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }
}

/// Does something, and tells how much processor time of this thread that used.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let now = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::try_from(now).unwrap_or_default()
    };
    let before = now();
    let done = work();
    (done, now().saturating_sub(before))
}

/// Does something on a thread that gives way to every other, and waits for it. Panics as it does.
pub(crate) fn aside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    // Taken back where no thread can be had.
    let work = Mutex::new(Some(work));
    let taken = || locked(&work).take().expect("it is taken once");
    let done = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("plugin-aside".to_owned());
        let run = || {
            give_way();
            taken()()
        };
        thread.spawn_scoped(scope, run).ok().map(|thread| thread.join())
    });
    match done {
        Some(Ok(done)) => done,
        Some(Err(panic)) => std::panic::resume_unwind(panic),
        None => taken()(),
    }
}

/// Puts the calling thread behind all others, for good.
#[cfg(target_os = "linux")]
fn give_way() {
    use thread_priority::unix::{
        NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
    };
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    // Where a system forbids it the call is as quick, and others are less so.
    let _ = set_thread_priority_and_policy(thread_native_id(), thread_priority::ThreadPriority::Min, idle);
}

#[cfg(not(target_os = "linux"))]
fn give_way() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_trusted_after_so_many_quick_calls_and_until_a_long_one() {
        let habit = Habit::default();
        for _ in 0..QUICK_BEFORE_TRUST {
            assert!(habit.may_take_long());
            habit.learn(LONG);
        }
        assert!(!habit.may_take_long());
        habit.learn(LONG + Duration::from_nanos(1));
        assert!(habit.may_take_long());
        habit.0.store(u32::MAX, Ordering::Relaxed);
        habit.learn(Duration::ZERO);
        assert!(!habit.may_take_long(), "it is counted no further than it can be");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn work_aside_gives_way_and_whoever_asked_does_not() {
        use thread_priority::unix::{
            NormalThreadSchedulePolicy as Normal, ThreadSchedulePolicy, thread_native_id,
            thread_schedule_policy_param,
        };
        let policy = || thread_schedule_policy_param(thread_native_id()).unwrap().0;
        let borrowed = [1, 2, 3];
        let (sum, there) = aside(|| (borrowed.iter().sum::<i32>(), policy()));
        assert_eq!(sum, 6);
        assert_eq!(there, ThreadSchedulePolicy::Normal(Normal::Idle));
        assert_eq!(policy(), ThreadSchedulePolicy::Normal(Normal::Other));
    }

    #[test]
    #[should_panic(expected = "on purpose")]
    fn a_panic_comes_through() {
        aside(|| panic!("on purpose"));
    }
}
