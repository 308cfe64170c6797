//! What became of each key: the members as they are now and the line as it was sent, read side by side.

use std::iter::Peekable;

use cdp_domain::ids::Ordinal;
use cdp_engine::Result;
use serde::{Deserialize, Serialize};

use super::Entry;

/// A member's row as it would be sent now: key, profile, number and hash, in the order in which it is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fresh {
    pub(crate) key: [u8; 16],
    pub(crate) profile: [u8; 16],
    pub(crate) ordinal: Ordinal,
    pub(crate) hash: [u8; 16],
}

impl Fresh {
    /// Bytes of its record.
    pub(crate) const BYTES: usize = 52;

    pub(crate) fn to_record(self) -> [u8; Self::BYTES] {
        let mut record = [0; Self::BYTES];
        record[..16].copy_from_slice(&self.key);
        record[16..32].copy_from_slice(&self.profile);
        record[32..36].copy_from_slice(&self.ordinal.0.to_be_bytes());
        record[36..].copy_from_slice(&self.hash);
        record
    }

    pub(crate) fn of_record(record: &[u8; Self::BYTES]) -> Self {
        let part = |at: usize| record[at..at + 16].try_into().expect("16 bytes");
        let ordinal = u32::from_be_bytes(record[32..36].try_into().expect("four bytes"));
        Self { key: part(0), profile: part(16), ordinal: Ordinal(ordinal), hash: part(36) }
    }
}

/// What became of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    /// A row that is not there yet.
    New(Fresh),
    /// A row that is there with other values.
    Changed(Fresh, Entry),
    /// A row that is there as it is.
    Same(Fresh, Entry),
    /// A row that is there and nobody's any more.
    Gone(Entry),
    /// Another member's row has this key already: of several the smallest profile's counts.
    Twin(Fresh),
}

impl Step {
    /// The key that it is about.
    pub(crate) fn key(&self) -> [u8; 16] {
        match self {
            Self::New(fresh) | Self::Changed(fresh, _) | Self::Same(fresh, _) | Self::Twin(fresh) => {
                fresh.key
            }
            Self::Gone(entry) => entry.key,
        }
    }
}

/// Goes through both, ascending by key.
pub(crate) struct Diff<M: Iterator, L: Iterator> {
    members: Peekable<M>,
    line: Peekable<L>,
    last: Option<[u8; 16]>,
}

impl<M: Iterator<Item = Result<Fresh>>, L: Iterator<Item = Result<Entry>>> Diff<M, L> {
    pub(crate) fn new(members: M, line: L) -> Self {
        Self { members: members.peekable(), line: line.peekable(), last: None }
    }
}

impl<M: Iterator<Item = Result<Fresh>>, L: Iterator<Item = Result<Entry>>> Iterator for Diff<M, L> {
    type Item = Result<Step>;

    fn next(&mut self) -> Option<Self::Item> {
        let fresh = match self.members.peek() {
            Some(Err(_)) => return Some(Err(self.members.next()?.err()?)),
            Some(Ok(fresh)) => Some(fresh.key),
            None => None,
        };
        let entry = match self.line.peek() {
            Some(Err(_)) => return Some(Err(self.line.next()?.err()?)),
            Some(Ok(entry)) => Some(entry.key),
            None => None,
        };
        if fresh.is_some() && fresh == self.last {
            return self.members.next().map(|fresh| fresh.map(Step::Twin));
        }
        let take_entry = entry.is_some_and(|entry| fresh.is_none_or(|fresh| entry <= fresh));
        let take_fresh = fresh.is_some_and(|fresh| entry.is_none_or(|entry| fresh <= entry));
        let entry = if take_entry { self.line.next()?.ok() } else { None };
        let fresh = if take_fresh { self.members.next()?.ok() } else { None };
        self.last = fresh.map(|fresh| fresh.key).or(self.last);
        Some(Ok(match (fresh, entry) {
            (Some(fresh), Some(entry)) if fresh.hash == entry.hash => Step::Same(fresh, entry),
            (Some(fresh), Some(entry)) => Step::Changed(fresh, entry),
            (Some(fresh), None) => Step::New(fresh),
            (None, Some(entry)) => Step::Gone(entry),
            (None, None) => return None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Of each profile: the key and the hash of its row; None when it may not be reached or is no member.
    type World = BTreeMap<u8, Option<(u8, u8)>>;

    /// What a receiver ought to have: of each key the row of the smallest profile.
    fn snapshot(world: &World) -> BTreeMap<[u8; 16], (u8, [u8; 16])> {
        let mut rows = BTreeMap::new();
        for (profile, row) in world {
            if let Some((key, hash)) = row {
                rows.entry([*key; 16]).or_insert((*profile, [*hash; 16]));
            }
        }
        rows
    }

    fn members(world: &World) -> Vec<Result<Fresh>> {
        let fresh = |(profile, row): (&u8, &Option<(u8, u8)>)| {
            row.map(|(key, hash)| Fresh {
                key: [key; 16],
                profile: [*profile; 16],
                ordinal: Ordinal(u32::from(*profile)),
                hash: [hash; 16],
            })
        };
        let mut records: Vec<_> = world.iter().filter_map(fresh).map(Fresh::to_record).collect();
        records.sort_unstable();
        records.iter().map(|record| Ok(Fresh::of_record(record))).collect()
    }

    /// How many histories are tried: `CDP_DELTA_HISTORIES`, or a thousand.
    fn histories() -> u32 {
        std::env::var("CDP_DELTA_HISTORIES").ok().and_then(|count| count.parse().ok()).unwrap_or(1000)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(histories()))]

        #[test]
        fn all_deltas_on_nothing_are_the_snapshot_at_every_run(
            history in prop::collection::vec(
                prop::collection::btree_map(0_u8..24, prop::option::weighted(0.7, (0_u8..16, 0_u8..3)), 0..24),
                1..12,
            ),
        ) {
            let (mut world, mut line) = (World::new(), Vec::<Entry>::new());
            let mut receiver: BTreeMap<[u8; 16], (u8, [u8; 16])> = BTreeMap::new();
            for moves in history {
                world.extend(moves);
                let before = receiver.clone();
                let (mut twins, mut same) = (0, 0);
                let mut next = Vec::new();
                let steps = Diff::new(members(&world).into_iter(), line.drain(..).map(Ok));
                for step in steps {
                    let step = step.unwrap();
                    let sent = |fresh: Fresh| {
                        let identity = String::new();
                        Entry { key: fresh.key, hash: fresh.hash, profile: fresh.profile, identity }
                    };
                    match step {
                        Step::New(fresh) => {
                            prop_assert!(receiver.insert(fresh.key, (fresh.profile[0], fresh.hash)).is_none());
                            next.push(sent(fresh));
                        }
                        Step::Changed(fresh, entry) => {
                            prop_assert_eq!(before[&entry.key].1, entry.hash);
                            receiver.insert(fresh.key, (fresh.profile[0], fresh.hash));
                            next.push(sent(fresh));
                        }
                        Step::Same(fresh, entry) => {
                            same += 1;
                            // Whose row it is may change without a change of the row.
                            receiver.insert(fresh.key, (fresh.profile[0], entry.hash));
                            next.push(sent(fresh));
                        }
                        Step::Gone(entry) => prop_assert!(receiver.remove(&entry.key).is_some()),
                        Step::Twin(_) => twins += 1,
                    }
                }
                let reachable = world.values().flatten().count();
                prop_assert_eq!(&receiver, &snapshot(&world));
                prop_assert_eq!(receiver.len() + twins, reachable);
                let kept = before.iter().filter(|(key, (_, hash))| receiver.get(*key).is_some_and(|row| row.1 == *hash));
                prop_assert_eq!(same, kept.count(), "what is there as it is is not sent again");
                prop_assert!(next.is_sorted_by(|a, b| a.key < b.key));
                line = next;
            }
        }
    }
}
