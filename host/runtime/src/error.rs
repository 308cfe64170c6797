//! What can go wrong: on our side ([`Error`]), with an upload ([`Refusal`]), and inside a guest ([`Fault`]).

use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

/// Why a component could not be prepared, or the runtime not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The machine does not offer what the engine needs (address space, signals). Ours.
    #[error("building the WebAssembly engine")]
    Engine(#[source] Cause),
    /// The directory of compiled components cannot be used. Ours.
    #[error("opening the directory of compiled components")]
    CacheDir(#[source] std::io::Error),
    /// Inspection refuses the component. The uploader's.
    #[error("the component is refused: {}", sentences(.0))]
    Refused(Vec<Refusal>),
    /// The component passed inspection and still did not compile. The uploader's, unless it says otherwise.
    #[error("compiling the component")]
    Compile(#[source] Cause),
    /// The compiler could not be run, or what it made cannot be used. Ours.
    #[error("running the compiler: {0}")]
    Compiler(String),
    /// A stored component cannot be read, or is another one. Ours.
    #[error("reading a stored component")]
    Source(#[source] std::io::Error),
    /// An import or export has another type than the contract gives it. The uploader's.
    #[error("linking the component")]
    Link(#[source] Cause),
    /// The component is good and serves as something else than was asked for. The uploader's.
    #[error("the component is a {found}, not a {wanted}")]
    World {
        /// What it is.
        found: &'static str,
        /// What was asked for.
        wanted: &'static str,
    },
    /// `describe` did not come to an end. The uploader's, unless the fault says otherwise.
    #[error("asking the plugin what it is")]
    Describe(#[source] Fault),
    /// `describe` answers with something the contract does not allow; each string is one problem.
    #[error("the plugin describes itself wrongly: {}", .0.join("; "))]
    Descriptor(Vec<String>),
}

fn sentences(refusals: &[Refusal]) -> String {
    refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// An engine's error, flattened to text so that no engine type leaves this crate.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Cause(String);

impl Cause {
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl From<wasmtime::Error> for Cause {
    fn from(error: wasmtime::Error) -> Self {
        Self(format!("{error:#}"))
    }
}

/// Why a guest's run has no answer.
///
/// All but [`Host`](Self::Host) and [`Abandoned`](Self::Abandoned) are the plugin's fault and will happen again with the
/// same row, configuration and limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fault {
    /// The guest trapped: a panic, an exhausted stack, an access out of bounds, a call to something that is not offered.
    #[error("trapped: {0}")]
    Trapped(String),
    /// It used up its fuel.
    #[error("used more than its fuel")]
    Fuel,
    /// It ran into its deadline on the clock; only of guests that may wait for others.
    #[error("took longer than it may")]
    Deadline,
    /// It asked for more memory or table space than it may have.
    #[error("asked for more memory than it may have")]
    Memory,
    /// Its answer, or what it handed to the host, was too large.
    #[error("handed over more bytes than it may")]
    Output,
    /// Its answer breaks a rule of the contract; the sentence says which.
    #[error("broke the contract: {0}")]
    Contract(String),
    /// Too many rows of this batch failed before it was this one's turn: nothing is known about it.
    #[error("gave up on the batch: too much of it fails")]
    Abandoned,
    /// Nothing to do with the guest: we had no room. Try again.
    #[error("the host could not run it: {0}")]
    Host(String),
}

impl Fault {
    /// Whether the plugin is to blame, as its breaker counts it. True for rows given up on: their company is to blame.
    #[must_use]
    pub fn is_the_plugins(&self) -> bool {
        !matches!(self, Self::Host(_))
    }

    /// Whether the row itself was seen to fail, alone; otherwise it deserves another try.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Host(_) | Self::Abandoned)
    }

    /// Whether it went over a bound that all rows of a run share.
    pub(crate) fn is_of_a_bound(&self) -> bool {
        matches!(self, Self::Fuel | Self::Memory | Self::Output)
    }

    /// A stable word for metrics and dead letters.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Trapped(_) => "trapped",
            Self::Fuel => "fuel",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Output => "output",
            Self::Contract(_) => "contract",
            Self::Abandoned => "abandoned",
            Self::Host(_) => "host",
        }
    }
}
