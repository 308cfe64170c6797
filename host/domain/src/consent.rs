//! Channels and consent: who may be reached where, for what, and until when.
//!
//! Consent binds to a contact point and a purpose, never to a person: merging people cannot change it.
//! The latest decision wins by its own time, a tie goes to the more restrictive one, absence means no.
//! A grant that a bulk import brings counts only where nobody said no, whatever time it carries:
//! a file that was written before somebody opted out, and imported after, must not bring the opt-in back.
//! Nobody decides in the future: a decision is taken to be no later than its receipt.
//!
//! What a purpose's legal basis makes of a status is in [`basis`], what is stored only with consent in [`guard`].

pub mod basis;
mod bits;
pub mod gpp;
pub mod guard;
pub mod signals;
pub mod tcf;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::stamp::Stamp;
use crate::time::Timestamp;

/// A channel and an address on it, shared by whoever shares it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContactPoint {
    /// `email`, `sms`, `push`, …
    pub channel: CompactString,
    /// The normalised address.
    pub address: CompactString,
}

impl ContactPoint {
    /// Bytes that no other contact point has.
    #[must_use]
    pub fn canonical_bytes(&self) -> Vec<u8> {
        [self.channel.as_bytes(), &[0], self.address.as_bytes()].concat()
    }
}

/// The method of decisions that come from a file rather than from the person: see [`Current::of`].
pub const IMPORT: &str = "import";

/// What was decided. The order is that of restriction: later cases win ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// A yes.
    Granted,
    /// A yes whose time has run out. Never decided, only read.
    Expired,
    /// A no to a question.
    Denied,
    /// A yes taken back.
    Withdrawn,
}

impl Status {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Expired => "expired",
            Self::Denied => "denied",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// A decision about one contact point and purpose, as it was reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Where the person may or may not be reached.
    pub contact: ContactPoint,
    /// For what.
    pub purpose: CompactString,
    /// Granted, denied or withdrawn.
    pub status: Status,
    /// When it was decided; the event's time when the decision does not say.
    pub at: Option<Timestamp>,
    /// When a grant ends by itself.
    pub expires_at: Option<Timestamp>,
    /// How it was obtained, such as `web-form`.
    pub method: Option<CompactString>,
    /// Which text was agreed to.
    pub policy_version: Option<CompactString>,
    /// Where the proof is: a form's id, the address of a recording, a document.
    pub proof: Option<CompactString>,
    /// Who entered it, where that was not the person.
    pub actor: Option<CompactString>,
}

/// What currently holds for one contact point and purpose: a fold over decisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Current {
    /// What was decided last.
    pub status: Status,
    /// When.
    pub at: Timestamp,
    /// When that was received.
    pub received_at: Timestamp,
    /// When a grant ends.
    pub expires_at: Option<Timestamp>,
    /// The event that carried the decision.
    pub evidence: Stamp,
    /// How it was obtained.
    pub method: Option<CompactString>,
    /// Which text was agreed to.
    pub policy_version: Option<CompactString>,
    /// Where the proof is.
    pub proof: Option<CompactString>,
    /// Who entered it.
    pub actor: Option<CompactString>,
}

impl Current {
    /// A decision as the state it would be alone. `evidence` is the event that carried it, `received_at` its receipt.
    ///
    /// A decision without a time was decided when its event happened, and none was decided after it was received.
    /// For a grant whose method is [`IMPORT`] and that carries no time nobody knows when that was; it shows
    /// [`Timestamp::MIN`]. A refusal without a time is taken at its event's time, import or not: doubt goes to the
    /// restrictive side.
    #[must_use]
    pub fn of(decision: &Decision, evidence: &Stamp, received_at: Timestamp) -> Self {
        let imported = decision.method.as_deref() == Some(IMPORT) && decision.status == Status::Granted;
        let undated = if imported { Timestamp::MIN } else { evidence.time() };
        Self {
            status: decision.status,
            at: decision.at.unwrap_or(undated).min(received_at),
            received_at,
            expires_at: decision.expires_at,
            evidence: evidence.clone(),
            method: decision.method.clone(),
            policy_version: decision.policy_version.clone(),
            proof: decision.proof.clone(),
            actor: decision.actor.clone(),
        }
    }

    /// Where it stands in the order of decisions: a grant of an import before everything else.
    fn ranked_at(&self) -> Timestamp {
        let imported = self.status == Status::Granted && self.method.as_deref() == Some(IMPORT);
        if imported { Timestamp::MIN } else { self.at }
    }

    /// The one of two that holds: later decision, then the more restrictive status, then the earlier expiry,
    /// then the later evidence. Commutative, associative and idempotent.
    #[must_use]
    pub fn combine(self, other: Self) -> Self {
        let rank =
            |c: &Self| (c.ranked_at(), c.status, std::cmp::Reverse(c.expires_at.unwrap_or(Timestamp::MAX)));
        match rank(&self).cmp(&rank(&other)).then_with(|| self.evidence.cmp(&other.evidence)) {
            std::cmp::Ordering::Less => other,
            _ => self,
        }
    }

    /// The status at `as_of`, and until when it holds if nothing else is decided.
    #[must_use]
    pub fn read(&self, as_of: Timestamp) -> (Status, Option<Timestamp>) {
        match (self.status, self.expires_at) {
            (Status::Granted, Some(end)) if end <= as_of => (Status::Expired, None),
            (Status::Granted, end) => (Status::Granted, end),
            (status, _) => (status, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn current(at: i64, status: u8, expires: Option<i64>, id: u8) -> Current {
        Current {
            status: [Status::Granted, Status::Denied, Status::Withdrawn][status as usize % 3],
            at: Timestamp(at),
            expires_at: expires.map(Timestamp),
            received_at: Timestamp(at),
            evidence: Stamp::new(Timestamp(at), "s".into(), id.to_string().into()),
            method: None,
            policy_version: None,
            proof: None,
            actor: None,
        }
    }

    #[test]
    fn a_tie_goes_to_the_restrictive_decision() {
        let tie = current(5, 0, None, 9).combine(current(5, 2, None, 1));
        assert_eq!(tie.read(Timestamp(6)).0, Status::Withdrawn);
    }

    #[test]
    fn a_grant_ends_at_its_expiry_to_the_millisecond() {
        let grant = current(0, 0, Some(10), 1);
        assert_eq!(grant.read(Timestamp(9)), (Status::Granted, Some(Timestamp(10))));
        assert_eq!(grant.read(Timestamp(10)), (Status::Expired, None));
    }

    const LATE: Timestamp = Timestamp(1000);

    #[test]
    fn nobody_decides_in_the_future() {
        let (grant, evidence) = brought(0, Some(5000), false, 5000, 1);
        let (withdrawal, after) = brought(2, Some(1500), false, 1500, 2);
        let grant = Current::of(&grant, &evidence, LATE);
        assert_eq!((grant.at, grant.received_at), (LATE, LATE));
        let both = grant.combine(Current::of(&withdrawal, &after, Timestamp(1600)));
        assert_eq!(
            both.status,
            Status::Withdrawn,
            "what a clock ahead of its time granted does not outlast a no"
        );
    }

    /// A decision as an event or an import brings it, and the event that carries it.
    fn brought(status: u8, at: Option<i64>, imported: bool, event_at: i64, id: usize) -> (Decision, Stamp) {
        let decision = Decision {
            contact: ContactPoint { channel: "email".into(), address: "a@b.eu".into() },
            purpose: "p".into(),
            status: [Status::Granted, Status::Denied, Status::Withdrawn][status as usize % 3],
            at: at.map(Timestamp),
            expires_at: None,
            method: imported.then(|| IMPORT.into()),
            policy_version: None,
            proof: None,
            actor: None,
        };
        (decision, Stamp::new(Timestamp(event_at), "s".into(), id.to_string().into()))
    }

    #[test]
    fn an_imported_grant_without_a_time_is_a_yes_where_nobody_said_no() {
        let (grant, evidence) = brought(0, None, true, 99, 1);
        assert_eq!(Current::of(&grant, &evidence, LATE).read(Timestamp(100)).0, Status::Granted);
        let (refusal, before) = brought(2, Some(-5), false, -5, 2);
        let both = Current::of(&grant, &evidence, LATE).combine(Current::of(&refusal, &before, LATE));
        assert_eq!(both.read(Timestamp(100)).0, Status::Withdrawn);
        let (dated, evidence) = brought(0, Some(-4), true, 99, 1);
        let both = Current::of(&dated, &evidence, LATE).combine(Current::of(&refusal, &before, LATE));
        assert_eq!(
            both.read(Timestamp(100)).0,
            Status::Withdrawn,
            "no import brings an opt-in back, dated or not"
        );
    }

    proptest! {
        /// Against a model that looks at the whole list: imported grants are struck out when anything else is there.
        #[test]
        fn an_imported_grant_never_beats_a_refusal_in_any_order(
            items in proptest::collection::vec(
                (0_u8..3, proptest::option::of(0_i64..4), any::<bool>(), 0_i64..4), 1..8),
            turn in 0_usize..8,
        ) {
            let all: Vec<_> = items.iter().enumerate()
                .map(|(n, &(status, at, imported, event_at))| brought(status, at, imported, event_at, n)).collect();
            let imported = |d: &Decision| d.method.is_some() && d.status == Status::Granted;
            let known: Vec<_> = all.iter().filter(|(d, _)| !imported(d))
                .map(|(d, e)| (d.at.unwrap_or(e.time()), d.status)).collect();
            let want = known.iter().max().map_or(Status::Granted, |(_, status)| *status);
            let mut order: Vec<_> = all.iter().map(|(d, e)| Current::of(d, e, LATE)).collect();
            let n = order.len();
            order.rotate_left(turn % n);
            let straight = order.iter().cloned().reduce(Current::combine).unwrap();
            let back = order.into_iter().rev().reduce(Current::combine).unwrap();
            prop_assert_eq!(&straight, &back);
            prop_assert_eq!(straight.status, want);
        }

        #[test]
        fn the_order_of_delivery_does_not_matter(
            items in proptest::collection::vec((0_i64..4, 0_u8..3, proptest::option::of(0_i64..4), 0_u8..9), 1..7),
            seed in any::<u64>(),
        ) {
            let all: Vec<_> = items.iter().map(|&(at, s, e, id)| current(at, s, e, id)).collect();
            let mut shuffled = all.clone();
            let n = shuffled.len();
            for i in 0..n { shuffled.swap(i, (seed as usize).wrapping_mul(i + 7) % n); }
            let fold = |v: Vec<Current>| v.into_iter().reduce(Current::combine).unwrap();
            let (a, b) = (fold(all), fold(shuffled));
            prop_assert_eq!((a.at, a.status, a.expires_at), (b.at, b.status, b.expires_at));
        }
    }
}
