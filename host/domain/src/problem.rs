//! Refusals as values: what is wrong with an input, all of it at once, each with the place.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing that is wrong with an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// JSON pointer (RFC 6901) to the place, relative to the document that was checked; empty for the whole.
    pub pointer: String,
    /// Stable word for programs, such as `required` or `wrong_type`.
    pub code: Code,
    /// One sentence for people; never repeats the value that was sent.
    pub detail: String,
}

/// What kind of thing is wrong. The words are part of the HTTP contract and never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The field must be there.
    Required,
    /// The value has another JSON type than the field takes.
    WrongType,
    /// The value has the right type and is not acceptable.
    Invalid,
    /// The value is longer, deeper or larger than the limit.
    TooLong,
    /// No field of this name exists here.
    Unknown,
    /// It refers to something that does not exist.
    NotFound,
    /// The same name or value stands twice.
    Duplicate,
}

impl Problem {
    /// A problem at `pointer`.
    pub fn new(pointer: impl Into<String>, code: Code, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, detail: detail.into() }
    }

    /// The same problem as seen from a document in which the checked one stands at `prefix`.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        self.pointer.insert_str(0, prefix);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() { "the document" } else { &self.pointer };
        write!(f, "{place} {}", self.detail)
    }
}

/// Writes `name` as one step of a JSON pointer.
#[must_use]
pub fn step(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}
