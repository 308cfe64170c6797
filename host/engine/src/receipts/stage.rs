//! What a receipt says.

use cdp_domain::ids::{FragmentId, Position};
use cdp_domain::problem::Problem;
use cdp_domain::time::Timestamp;
use compact_str::CompactString;

use crate::acceptance::Checked;
use crate::consent::Guarded;
use crate::dead_letters::{Attempt, Code};

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Its id.
    pub id: CompactString,
    /// Its source.
    pub source: CompactString,
    /// Its type; None when the record cannot be read any more.
    pub kind: Option<CompactString>,
    /// When it happened; None when the record cannot be read any more.
    pub time: Option<Timestamp>,
    /// Where it stands in the journal.
    pub position: Position,
    /// When it was received.
    pub received_at: Timestamp,
    /// `accepted`, `applied`, `dropped`, `dead_letter`, `suppressed` or `expired`.
    pub status: &'static str,
    /// Why it is kept out of state, as a stable word.
    pub code: Option<Code>,
    /// The same in one sentence.
    pub reason: Option<String>,
    /// The plugin that said so, with its digest.
    pub plugin: Option<String>,
    /// Whose it is, once it is applied.
    pub profile_id: Option<FragmentId>,
    /// What it passed, in order.
    pub stages: Vec<Stage>,
}

/// One stage that an event passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// It is durable.
    Accepted {
        /// Where.
        position: Position,
        /// When.
        at: Timestamp,
    },
    /// Its time was judged by what the sender's clock showed, once, when it was accepted.
    ClockJudged {
        /// When it happened, by the sender's clock.
        original_time: Timestamp,
        /// When it was sent, by the sender's clock.
        sent_at: Timestamp,
        /// By how much the time was moved; 0 when the clock was taken to be right.
        skew_ms: i64,
    },
    /// The schema of its type found it wanting.
    Checked(Checked),
    /// Values were taken out before it was stored, because a purpose's consent was missing.
    Guarded(Vec<Guarded>),
    /// It was kept out of state when it was first applied.
    KeptOut {
        /// Why.
        code: Code,
        /// The plugin that said so; empty when it was the event's own content.
        plugin: String,
        /// In one sentence.
        reason: String,
        /// The places at fault, where places are.
        problems: Vec<Problem>,
    },
    /// It was tried again.
    Replayed(Attempt),
    /// A transformer of the chain saw it, or would have.
    Transformed {
        /// The plugin.
        plugin: CompactString,
        /// Its version.
        version: u32,
        /// BLAKE3 of the component, in hex.
        digest: String,
        /// What came of it.
        outcome: Transformed,
        /// What it changed.
        changes: Vec<Changed>,
        /// What it made of the event, or of what others had made of it.
        new_events: Vec<NewEventRef>,
    },
    /// It was found whose it is.
    Identified {
        /// The fragment of its set of identifiers.
        fragment: FragmentId,
        /// The profile that the fragment belongs to now.
        profile: FragmentId,
        /// The types of its identifiers, sorted.
        identifiers: Vec<CompactString>,
        /// It is the earliest event of its set of identifiers.
        first: bool,
        /// How many sets of identifiers the profile has now.
        fragments: usize,
    },
    /// It is in state.
    Applied {
        /// With this record: its own, or that of the replay.
        position: Position,
        /// The traits that it writes, and what was made of it.
        traits: Vec<TraitRef>,
        /// How many contact points it names.
        channels: usize,
        /// How many consent decisions it carries.
        consents: usize,
        /// The attributes that take it in now, by name, with their version.
        attributes: Vec<(CompactString, u32)>,
        /// The segments that somebody entered with it.
        entered: Vec<SegmentRef>,
        /// The segments that somebody left with it.
        left: Vec<SegmentRef>,
    },
}

/// What came of an event at a transformer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transformed {
    /// It changed it.
    Changed,
    /// It looked at it and left it as it was.
    Unchanged,
    /// It does not ask for events of this type.
    NotConcerned,
    /// It was suspended: the event passed untouched.
    Suspended,
    /// It dropped it, or failed on it; the letter says how.
    KeptOut,
}

impl Transformed {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::NotConcerned => "not_concerned",
            Self::Suspended => "suspended",
            Self::KeptOut => "kept_out",
        }
    }
}

/// A value that a transformer wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Where.
    pub pointer: String,
    /// It was removed rather than set.
    pub removed: bool,
}

/// An event that a transformer made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEventRef {
    /// Its id.
    pub id: CompactString,
    /// Its type.
    pub kind: CompactString,
    /// When it happened.
    pub time: Timestamp,
    /// Whether it came to the end: neither was it dropped by a later transformer, nor the event kept out of which it was
    /// made.
    pub kept: bool,
}

/// A trait that an event writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraitRef {
    /// Its name.
    pub name: CompactString,
    /// Whether the profile's value is due to this event now.
    pub stands: bool,
}

/// A version of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentRef {
    /// Its name.
    pub name: CompactString,
    /// The version.
    pub version: u32,
    /// Who entered or left.
    pub profile: FragmentId,
}
