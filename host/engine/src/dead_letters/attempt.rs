//! What came of trying events again, by the event's position.

use cdp_domain::ids::{JobId, Position};
use cdp_domain::problem::Problem;
use cdp_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::letter::Code;

/// Attempts of one event that are kept: the newest.
pub const ATTEMPTS_KEPT: usize = 16;

/// Everything about the replays of one event, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Attempts {
    /// Why the event was kept out before the first.
    pub(crate) first: Option<First>,
    /// How many there were.
    pub(crate) count: u32,
    /// The newest, oldest first.
    pub(crate) newest: Vec<Attempt>,
}

/// Why an event was kept out in the first place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct First {
    pub(crate) code: Code,
    pub(crate) plugin: String,
    pub(crate) reason: String,
    pub(crate) problems: Vec<Problem>,
}

/// One replay of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The record that asked for it.
    pub position: Position,
    /// When.
    pub at: Timestamp,
    /// The job that it belongs to.
    pub job: JobId,
    /// Why the event was kept out again; None when it was applied.
    pub code: Option<Code>,
    /// The plugin that said so, with its digest; else empty.
    pub plugin: String,
    /// Why, in one sentence.
    pub reason: String,
}

impl Attempts {
    pub(crate) fn push(&mut self, attempt: Attempt) {
        self.count += 1;
        if self.newest.len() == ATTEMPTS_KEPT {
            self.newest.remove(0);
        }
        self.newest.push(attempt);
    }

    /// The record that got the event applied. It is the last: an event that is applied is not tried again.
    pub(crate) fn applied_at(&self) -> Option<Position> {
        self.newest.last().filter(|attempt| attempt.code.is_none()).map(|attempt| attempt.position)
    }

    /// Whether a job has tried the event.
    pub(crate) fn tried_by(&self, job: JobId) -> bool {
        self.newest.iter().rev().any(|attempt| attempt.job == job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_attempts_are_kept_and_all_are_counted() {
        let attempt = |n: u64, code| Attempt {
            position: Position(n),
            at: Timestamp(0),
            job: JobId([n as u8; 16]),
            code,
            plugin: String::new(),
            reason: String::new(),
        };
        let mut attempts = Attempts::default();
        for n in 0..=ATTEMPTS_KEPT as u64 {
            attempts.push(attempt(n, Some(Code::PluginFuel)));
        }
        assert_eq!((attempts.count, attempts.newest.len()), (17, ATTEMPTS_KEPT));
        assert_eq!((attempts.newest[0].position, attempts.applied_at()), (Position(1), None));
        attempts.push(attempt(99, None));
        assert_eq!(attempts.applied_at(), Some(Position(99)));
        assert!(attempts.tried_by(JobId([99; 16])) && !attempts.tried_by(JobId([1; 16])));
    }
}
