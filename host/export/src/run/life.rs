//! The life of a run: which states there are, and what leads from one to the next.

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It reads, writes or sends.
    Running,
    /// It waits: for its turn, for a destination that is paused, or to try again what failed.
    Waiting,
    /// Somebody stopped it for now.
    Paused,
    /// It came to its end.
    Done,
    /// It ended before, and why stands in its record.
    Failed,
    /// Somebody ended it before.
    Cancelled,
}

/// What happens to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It goes on.
    Go,
    /// It must wait.
    Wait,
    /// Somebody wants it to stop for now.
    Pause,
    /// Everything was sent.
    Finish,
    /// It cannot go on.
    Fail,
    /// Somebody wants it to end.
    Cancel,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Running, Self::Waiting, Self::Paused, Self::Done, Self::Failed, Self::Cancelled];

    /// Its name in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// By its name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether nothing more will happen.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }

    /// What comes of an event; None when it cannot happen here.
    #[must_use]
    pub fn after(self, event: Event) -> Option<Self> {
        match (self, event) {
            (Self::Done | Self::Failed | Self::Cancelled, _) => None,
            (Self::Running, Event::Go) => None,
            (Self::Waiting | Self::Paused, Event::Go) => Some(Self::Running),
            (Self::Running | Self::Waiting, Event::Wait) => Some(Self::Waiting),
            (Self::Paused, Event::Wait) => None,
            (Self::Running | Self::Waiting, Event::Pause) => Some(Self::Paused),
            (Self::Paused, Event::Pause) => None,
            (Self::Running, Event::Finish) => Some(Self::Done),
            (Self::Waiting | Self::Paused, Event::Finish) => None,
            (Self::Running | Self::Waiting, Event::Fail) => Some(Self::Failed),
            (Self::Paused, Event::Fail) => None,
            (Self::Running | Self::Waiting | Self::Paused, Event::Cancel) => Some(Self::Cancelled),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table() {
        let events = [Event::Go, Event::Wait, Event::Pause, Event::Finish, Event::Fail, Event::Cancel];
        let row = |state: State| {
            let to = |event| state.after(event).map_or("-", State::as_str);
            format!("{}: {}", state.as_str(), events.map(to).join(" "))
        };
        assert_eq!(
            State::ALL.map(row),
            [
                "running: - waiting paused done failed cancelled",
                "waiting: running waiting paused - failed cancelled",
                "paused: running - - - - cancelled",
                "done: - - - - - -",
                "failed: - - - - - -",
                "cancelled: - - - - - -",
            ]
        );
        assert!(State::ALL.iter().all(|state| State::of(state.as_str()) == Some(*state)));
    }
}
