//! What a run has come to so far.

use std::collections::BTreeMap;

use cdp_domain::ids::Position;
use cdp_engine::Withheld;
use cdp_engine::exports::Place;
use serde::{Deserialize, Serialize};

use crate::ledger::Change;

/// Why a member has no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Reason {
    /// No contact point on the channel.
    NoContactPoint,
    /// Nothing was ever decided.
    Unknown,
    /// A grant ran out.
    Expired,
    /// The answer was no.
    Denied,
    /// A grant was taken back.
    Withdrawn,
    /// The purpose is not registered, or not for this channel.
    Purpose,
    /// The person was joined with another, or erased, since the members were taken.
    Merged,
    /// Another member's row has the same key.
    SameIdentifier,
    /// The row has no key.
    NoIdentifier,
    /// The row's key changed while the run was under way; the next run has it.
    Changed,
    /// The destination would not take the row.
    RefusedByDestination,
    /// The run ended before.
    NotReached,
    /// The person is restricted.
    Restricted,
}

impl Reason {
    /// All of them; their places are what is stored.
    const ALL: [Self; 13] = [
        Self::NoContactPoint,
        Self::Unknown,
        Self::Expired,
        Self::Denied,
        Self::Withdrawn,
        Self::Purpose,
        Self::Merged,
        Self::SameIdentifier,
        Self::NoIdentifier,
        Self::Changed,
        Self::RefusedByDestination,
        Self::NotReached,
        Self::Restricted,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NoContactPoint => Withheld::NoContactPoint.as_str(),
            Self::Unknown => Withheld::Unknown.as_str(),
            Self::Expired => Withheld::Expired.as_str(),
            Self::Denied => Withheld::Denied.as_str(),
            Self::Withdrawn => Withheld::Withdrawn.as_str(),
            Self::Purpose => Withheld::Purpose.as_str(),
            Self::Merged => "merged_meanwhile",
            Self::SameIdentifier => "same_identifier",
            Self::NoIdentifier => "no_identifier",
            Self::Changed => "changed_meanwhile",
            Self::RefusedByDestination => "refused_by_destination",
            Self::NotReached => "not_reached",
            Self::Restricted => Withheld::Restricted.as_str(),
        }
    }

    pub(crate) fn byte(self) -> u8 {
        Self::ALL.iter().position(|reason| *reason == self).and_then(|at| u8::try_from(at).ok()).unwrap_or(0)
    }

    pub(crate) fn of(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }
}

impl From<Withheld> for Reason {
    fn from(withheld: Withheld) -> Self {
        match withheld {
            Withheld::NoContactPoint => Self::NoContactPoint,
            Withheld::Unknown => Self::Unknown,
            Withheld::Expired => Self::Expired,
            Withheld::Denied => Self::Denied,
            Withheld::Withdrawn => Self::Withdrawn,
            Withheld::Purpose => Self::Purpose,
            Withheld::Restricted => Self::Restricted,
        }
    }
}

/// The counts of a run. Members are rows that say something of one, unchanged ones, and withheld ones, together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) members: u64,
    pub(crate) position: u64,
    /// How many changes of memberships stood at that position.
    pub(crate) changes: u32,
    pub(crate) segment_version: u32,
    pub(crate) added: u64,
    pub(crate) updated: u64,
    pub(crate) removed: u64,
    pub(crate) unchanged: u64,
    pub(crate) withheld: BTreeMap<Reason, u64>,
}

impl Tally {
    /// From where on changes of memberships came after the members were taken.
    pub(crate) fn place(&self) -> Place {
        (Position(self.position), self.changes)
    }

    /// Rows that were written or sent.
    pub(crate) fn rows(&self) -> u64 {
        self.added + self.updated + self.removed
    }

    /// Members that were dealt with.
    pub(crate) fn dealt_with(&self) -> u64 {
        self.added + self.updated + self.unchanged + self.withheld.values().sum::<u64>()
    }

    pub(crate) fn count(&mut self, change: Change) {
        match change {
            Change::Add => self.added += 1,
            Change::Update => self.updated += 1,
            Change::Remove => self.removed += 1,
        }
    }

    pub(crate) fn withhold(&mut self, reason: Reason) {
        *self.withheld.entry(reason).or_default() += 1;
    }

    /// Members that nothing was said of count under a reason.
    pub(crate) fn close(&mut self, reason: Reason) {
        let missing = self.members.saturating_sub(self.dealt_with());
        if missing > 0 {
            *self.withheld.entry(reason).or_default() += missing;
        }
    }

    /// The withheld by reason, as clients see them.
    pub(crate) fn withheld_json(&self) -> serde_json::Value {
        self.withheld
            .iter()
            .map(|(reason, count)| (reason.as_str().to_owned(), (*count).into()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_of_a_reason_is_read_back() {
        for (n, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!((usize::from(reason.byte()), Reason::of(reason.byte())), (n, Some(reason)));
        }
        assert_eq!(Reason::of(Reason::ALL.len() as u8), None);
    }

    #[test]
    fn members_are_rows_and_withheld_together() {
        let mut tally = Tally { members: 10, ..Tally::default() };
        for change in [Change::Add, Change::Add, Change::Update, Change::Remove] {
            tally.count(change);
        }
        tally.unchanged = 3;
        tally.withhold(Reason::Denied);
        tally.close(Reason::Merged);
        assert_eq!((tally.rows(), tally.dealt_with(), tally.withheld[&Reason::Merged]), (4, 10, 3));
    }
}
