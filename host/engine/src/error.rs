//! What can come of asking the engine for something, other than what was asked for.

use cdp_domain::problem::Problem;

/// Shorthand for results of use cases.
pub type Result<T, E = Refused> = std::result::Result<T, E>;

/// Why a use case did not do what it was asked to. The HTTP layer maps each case to a status and a stable code.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There is no such thing, or it belongs to another tenant: the two are not told apart.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The input is wrong: every problem, with its place in the input.
    #[error("the input is not valid")]
    Invalid(Vec<Problem>),
    /// It contradicts what is there already.
    #[error("{0}")]
    Conflict(String),
    /// A bounded queue is full: try again after this many seconds.
    #[error("the server has more work than it can queue")]
    Overloaded {
        /// Seconds to wait.
        retry_after: u32,
    },
    /// The server cannot take writes now: the disk is full, or state is being rebuilt.
    #[error("{0}")]
    Unavailable(String),
    /// The tenant's plugin failed; nothing was changed.
    #[error("{0}")]
    Plugin(String),
    /// Our bug or a broken disk; the chain goes to the log, never to the client.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Refused {
    /// One problem with the input.
    #[must_use]
    pub fn invalid(problem: Problem) -> Self {
        Self::Invalid(vec![problem])
    }

    /// A failure that no client can help.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(cause.into())
    }
}

impl From<cdp_store::Error> for Refused {
    fn from(error: cdp_store::Error) -> Self {
        use cdp_store::Error as E;
        match error {
            E::Full { .. } | E::Write { .. } => {
                Self::Unavailable("the disk is full or cannot be written: nothing was accepted".to_owned())
            }
            E::StateClosed => Self::Unavailable("the state is being opened again".to_owned()),
            E::Overloaded { .. } => Self::Overloaded { retry_after: 1 },
            other => Self::internal(other),
        }
    }
}
