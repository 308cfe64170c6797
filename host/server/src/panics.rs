//! What is said when a thread panics: where, and nothing of what was being worked on.

use std::any::Any;
use std::panic::PanicHookInfo;

/// From here on a panic is one line of the log, with its place. Words that were put together at that moment are left out:
/// they may hold what somebody is called.
pub(crate) fn install() {
    std::panic::set_hook(Box::new(|info| {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        tracing::error!(thread, place = place(info), words = words(info.payload()), "a thread panicked");
    }));
}

fn place(info: &PanicHookInfo<'_>) -> String {
    info.location().map_or_else(|| "unknown".to_owned(), ToString::to_string)
}

/// What stands in the program is told; what was put together is not.
fn words(payload: &(dyn Any + Send)) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("left out")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_program_are_told_and_those_of_the_moment_are_not() {
        let of = |panics: fn()| words(&*std::panic::catch_unwind(panics).unwrap_err());
        assert_eq!(of(|| panic!("the queue is never empty here")), "the queue is never empty here");
        assert_eq!(of(|| panic!("{} is not an address", "ann@example.com".to_owned())), "left out");
        assert_eq!(of(|| assert_eq!("ann@example.com".parse::<u32>().expect("a number"), 0)), "left out");
    }
}
