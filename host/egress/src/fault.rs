//! Why something was not delivered, in words that are safe to show to the tenant whose destination it is.
//!
//! A fault names hosts, addresses, rules and status codes. It never has a secret, a path, a query, or anything that the
//! other side wrote: a receiver may echo what it was sent.

use std::fmt;
use std::time::Duration;

use crate::policy::Rule;

/// Why there was no delivery.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nothing was sent: the policy forbids it. The same again is in vain until the destination's definition, the
    /// operator's list or the name's addresses are others.
    #[error("{detail}")]
    Refused {
        /// Which rule forbids it.
        rule: Rule,
        /// A sentence.
        detail: String,
    },
    /// It may work later. Whether the other side has it is not known.
    #[error("{detail}")]
    Retry {
        /// What happened.
        why: Why,
        /// A sentence.
        detail: String,
        /// How long the other side asked to be left alone, already within its bound
        /// ([`RETRY_AFTER_MAX`](crate::retry::RETRY_AFTER_MAX)).
        after: Option<Duration>,
    },
    /// The same again will get the same answer.
    #[error("{detail}")]
    Permanent {
        /// What happened.
        why: Why,
        /// A sentence.
        detail: String,
    },
}

/// What happened, as a stable word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// The name has no address, or the resolver did not answer.
    Dns,
    /// No connection.
    Connect,
    /// No trust in the other side: its certificate is expired, unknown or another's, or it speaks no TLS.
    Tls,
    /// No answer in time.
    Timeout,
    /// The other side closed the connection before it answered.
    Closed,
    /// What came is no answer of the protocol, or its head is too large.
    Protocol,
    /// The answer is larger than it may be.
    TooLarge,
    /// As many connections as there may be are open already.
    Busy,
    /// The answer sends elsewhere; nobody follows.
    Redirected,
    /// The other side wants fewer requests.
    RateLimited,
    /// The other side is at fault, by its own account.
    Unavailable,
    /// The other side does not know us, or does not let us.
    Unauthorised,
    /// The other side does not know the address.
    NotFound,
    /// The other side will not take this.
    Rejected,
    /// The other side wants nothing any more: the destination is to be disabled.
    Gone,
    /// Something else is there already under this name.
    Conflict,
    /// The definition is at fault: an address, a secret or a name that is none.
    Definition,
    /// A file of ours cannot be read or written.
    File,
    /// This machine cannot do it now.
    Internal,
}

impl Why {
    /// The word, as it stands in answers, metrics and papers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Protocol => "protocol",
            Self::TooLarge => "too_large",
            Self::Busy => "busy",
            Self::Redirected => "redirected",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::Unauthorised => "unauthorised",
            Self::NotFound => "not_found",
            Self::Rejected => "rejected",
            Self::Gone => "gone",
            Self::Conflict => "conflict",
            Self::Definition => "definition",
            Self::File => "file",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Fault {
    /// What happened as a stable word: a [`Why`], or `refused_` with the rule's name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused { rule, .. } => rule.as_str(),
            Self::Retry { why, .. } | Self::Permanent { why, .. } => why.as_str(),
        }
    }

    /// Whether it may work later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Retry { .. })
    }

    /// Whether the other side asked for an end: the destination is to be disabled.
    #[must_use]
    pub fn disables(&self) -> bool {
        matches!(self, Self::Permanent { why: Why::Gone, .. })
    }

    /// How long the other side asked to be left alone.
    #[must_use]
    pub fn after(&self) -> Option<Duration> {
        match self {
            Self::Retry { after, .. } => *after,
            Self::Refused { .. } | Self::Permanent { .. } => None,
        }
    }

    pub(crate) fn refused(rule: Rule, detail: impl Into<String>) -> Self {
        Self::Refused { rule, detail: detail.into() }
    }

    pub(crate) fn retry(why: Why, detail: impl Into<String>) -> Self {
        Self::Retry { why, detail: detail.into(), after: None }
    }

    pub(crate) fn permanent(why: Why, detail: impl Into<String>) -> Self {
        Self::Permanent { why, detail: detail.into() }
    }
}
