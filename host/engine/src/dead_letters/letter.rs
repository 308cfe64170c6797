//! What is kept of an event that state does not have.

use cdp_domain::problem::Problem;
use cdp_domain::time::Timestamp;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident, $word:literal, $kept:ident;)*) => {
        /// Why an event was kept out of state. The words are part of the contract; the order is stored: append only.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// How an event is kept for this reason.
            #[must_use]
            pub fn kept(self) -> Kept {
                match self { $(Self::$name => Kept::$kept,)* }
            }
        }
    };
}

codes! {
    /// A transformer dropped it on purpose.
    Dropped, "dropped", Dropped;
    /// The event violates the schema of its type.
    SchemaViolation, "schema_violation", DeadLetter;
    /// The record does not read as an event under the rules of today.
    Unreadable, "unreadable", DeadLetter;
    /// A plugin said that this event will never work.
    PluginRejected, "plugin_rejected", DeadLetter;
    /// A plugin asked to try again later.
    PluginTransient, "plugin_transient", DeadLetter;
    /// A plugin said that its configuration is wrong.
    PluginMisconfigured, "plugin_misconfigured", DeadLetter;
    /// A plugin trapped: a panic, an exhausted stack, an access out of bounds.
    PluginTrapped, "plugin_trapped", DeadLetter;
    /// A plugin used up its fuel.
    PluginFuel, "plugin_fuel", DeadLetter;
    /// A plugin asked for more memory than it may have.
    PluginMemory, "plugin_memory", DeadLetter;
    /// A plugin handed over more bytes than it may.
    PluginOutput, "plugin_output", DeadLetter;
    /// A plugin's answer breaks a rule of the contract, or does not fit the event.
    PluginContract, "plugin_contract", DeadLetter;
    /// Too many events of the same batch failed before it was this one's turn: nothing is known about it.
    PluginAbandoned, "plugin_abandoned", DeadLetter;
    /// The server had no room to run the plugin.
    PluginHost, "plugin_host", DeadLetter;
    /// The person was erased before the event was applied.
    Erased, "erased", Suppressed;
    /// It was older, when it came, than events of its type are kept.
    Expired, "expired", Dropped;
}

impl Code {
    /// The code of a word.
    #[must_use]
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == word)
    }
}

/// How an event is kept that state does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kept {
    /// It failed.
    DeadLetter,
    /// It was dropped on purpose.
    Dropped,
    /// Its person was erased.
    Suppressed,
}

impl Kept {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::DeadLetter, Self::Dropped, Self::Suppressed];

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeadLetter => "dead_letter",
            Self::Dropped => "dropped",
            Self::Suppressed => "suppressed",
        }
    }

    /// What a word means.
    #[must_use]
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kept| kept.as_str() == word)
    }
}

/// Why one event goes no further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) code: Code,
    /// Name and digest, where a plugin is at fault; else empty.
    pub(crate) plugin: String,
    /// One sentence; from a guest at most 512 bytes.
    pub(crate) reason: String,
    /// Places in the event, where places are at fault.
    pub(crate) problems: Vec<Problem>,
}

impl Verdict {
    /// A verdict that names no places.
    pub(crate) fn new(code: Code, plugin: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { code, plugin: plugin.into(), reason: reason.into(), problems: Vec::new() }
    }
}

/// A letter as stored, under the position of its event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Letter {
    pub(crate) code: Code,
    pub(crate) plugin: String,
    pub(crate) reason: String,
    pub(crate) problems: Vec<Problem>,
    /// When the event was received.
    pub(crate) at: Timestamp,
    pub(crate) id: CompactString,
    pub(crate) source: CompactString,
    /// The event type; empty when it cannot be read.
    pub(crate) kind: CompactString,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique_and_found_again() {
        for code in Code::ALL {
            assert_eq!(Code::find(code.as_str()), Some(*code));
        }
        for kept in Kept::ALL {
            assert_eq!(Kept::find(kept.as_str()), Some(kept));
        }
    }

    #[test]
    fn the_stored_numbers_of_codes_stay_what_they_are() {
        let bytes: Vec<u8> = Code::ALL.iter().flat_map(crate::rows::encode).collect();
        assert_eq!(bytes, (0..Code::ALL.len() as u8).collect::<Vec<_>>());
        assert_eq!((Code::Dropped as u8, Code::Erased as u8, Code::Expired as u8), (0, 13, 14));
    }
}
