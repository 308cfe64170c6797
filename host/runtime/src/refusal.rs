//! Why a component is not accepted.

use serde::{Deserialize, Serialize};

/// One reason against a component; `Display` is a sentence for its author, without the full stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refusal {
    /// Larger than any plugin may be.
    #[error("the component has {bytes} bytes, {bytes_max} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound, inclusive.
        bytes_max: usize,
    },
    /// Not WebAssembly, but the text form of it, or something else altogether.
    #[error("this is not a WebAssembly component: {found}")]
    NotAComponent {
        /// What it looks like instead.
        found: String,
    },
    /// Compiled machine code, which is never loaded from outside.
    #[error("this is compiled machine code; upload the component itself")]
    Native,
    /// Cut off, damaged or ill-typed.
    #[error("the component is not valid: {detail} (at byte {offset})")]
    Invalid {
        /// What is wrong.
        detail: String,
        /// Where, in bytes from the start.
        offset: usize,
    },
    /// Uses a part of WebAssembly that plugins may not use.
    #[error("the component uses a feature that plugins may not use: {detail} (at byte {offset})")]
    Feature {
        /// Which one.
        detail: String,
        /// Where, in bytes from the start.
        offset: usize,
    },
    /// Imports something that its world does not offer.
    #[error("the component imports {name}, which its world does not offer")]
    Import {
        /// The import as the component spells it.
        name: String,
    },
    /// Exports no world that we know, or several.
    #[error(
        "the component exports none of the worlds of cdp:plugin@1, or more than one (a transformer exports metadata and \
         transform, a deriver metadata and derivation)"
    )]
    NoWorld,
    /// Built for a newer contract than this host's.
    #[error("the component exports {name}; this host knows {known}")]
    Version {
        /// The export as the component spells it.
        name: String,
        /// The version this host knows.
        known: String,
    },
    /// Has more of something than is compiled.
    #[error("the component has {count} {what}, {count_max} are allowed")]
    TooMany {
        /// What there is too much of.
        what: String,
        /// How many there are.
        count: usize,
        /// The bound, inclusive.
        count_max: usize,
    },
}

impl Refusal {
    /// A stable word for clients.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::NotAComponent { .. } => "not_a_component",
            Self::Native => "native",
            Self::Invalid { .. } => "invalid",
            Self::Feature { .. } => "feature",
            Self::Import { .. } => "import",
            Self::NoWorld => "no_world",
            Self::Version { .. } => "version",
            Self::TooMany { .. } => "too_many",
        }
    }
}
