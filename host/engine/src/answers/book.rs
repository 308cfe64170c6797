//! What is known of each key. Pure: no disk, no clock.

use std::collections::{HashMap, VecDeque};

use cdp_domain::ids::TenantNo;
use cdp_domain::time::Timestamp;

use super::shelf::{Place, Record};
use super::{ANSWERS_BYTES_MAX, ANSWERS_MAX, ends};

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) tenant: TenantNo,
    pub(super) fingerprint: [u8; 32],
    /// When it came.
    pub(super) at: Timestamp,
    pub(super) state: State,
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Running,
    Answered(Place),
    Unknown,
}

/// What one tenant has remembered.
#[derive(Debug, Default)]
struct Held {
    entries: usize,
    bytes: usize,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: HashMap<[u8; 16], Entry>,
    /// By when they came; an entry that was forgotten stays here until it would have ended.
    in_order: VecDeque<(Timestamp, [u8; 16])>,
    held: HashMap<TenantNo, Held>,
}

impl Book {
    pub(super) fn find(&self, id: &[u8; 16]) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// Seconds until a tenant may have another one remembered; None when it may.
    pub(super) fn full(&self, tenant: TenantNo, now: Timestamp) -> Option<u32> {
        let held = self.held.get(&tenant)?;
        if held.entries < ANSWERS_MAX && held.bytes < ANSWERS_BYTES_MAX {
            return None;
        }
        let oldest = self.in_order.iter().find(|(at, id)| {
            self.entries.get(id).is_some_and(|entry| entry.tenant == tenant && entry.at == *at)
        });
        let left_ms = oldest.map_or(1000, |(at, _)| ends(*at).0 - now.0);
        Some(u32::try_from(left_ms.div_euclid(1000) + 1).unwrap_or(1))
    }

    pub(super) fn begin(&mut self, id: [u8; 16], entry: Entry) {
        self.forget(&id);
        self.held.entry(entry.tenant).or_default().entries += 1;
        self.in_order.push_back((entry.at, id));
        self.entries.insert(id, entry);
    }

    pub(super) fn answered(&mut self, id: &[u8; 16], place: Place) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.state = State::Answered(place);
            self.held.entry(entry.tenant).or_default().bytes += place.bytes;
        }
    }

    pub(super) fn unknown(&mut self, id: &[u8; 16]) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.state = State::Unknown;
        }
    }

    pub(super) fn forget(&mut self, id: &[u8; 16]) {
        let Some(entry) = self.entries.remove(id) else { return };
        let Some(held) = self.held.get_mut(&entry.tenant) else { return };
        held.entries -= 1;
        if let State::Answered(place) = entry.state {
            held.bytes -= place.bytes;
        }
        if held.entries == 0 {
            self.held.remove(&entry.tenant);
        }
    }

    /// Forgets what ended by now.
    pub(super) fn forget_before(&mut self, now: Timestamp) {
        while let Some((at, id)) = self.in_order.front().copied().filter(|(at, _)| ends(*at) <= now) {
            self.in_order.pop_front();
            // A key that was forgotten and used again has a later entry.
            if self.entries.get(&id).is_some_and(|entry| entry.at == at) {
                self.forget(&id);
            }
        }
    }

    /// Takes in what was written before the process started: what has no answer will never have one.
    pub(super) fn replay(&mut self, id: [u8; 16], at: Timestamp, place: Place, record: &Record) {
        match record {
            Record::Begun { tenant, fingerprint } => {
                let (tenant, fingerprint) = (*tenant, *fingerprint);
                self.begin(id, Entry { tenant, fingerprint, at, state: State::Unknown });
            }
            Record::Answered(_) => self.answered(&id, place),
            Record::Forgotten => self.forget(&id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdp_domain::ids::Position;

    fn entry(at: i64) -> Entry {
        Entry { tenant: TenantNo(1), fingerprint: [0; 32], at: Timestamp(at), state: State::Running }
    }

    fn place(bytes: usize) -> Place {
        Place { day: 0, position: Position(64), bytes }
    }

    fn id(n: usize) -> [u8; 16] {
        (n as u128).to_be_bytes()
    }

    #[test]
    fn a_tenant_has_so_many_remembered_and_one_more_must_wait_for_the_oldest() {
        let mut book = Book::default();
        for n in 0..ANSWERS_MAX {
            assert_eq!(book.full(TenantNo(1), Timestamp(0)), None, "{n}");
            book.begin(id(n), entry(1000));
        }
        assert_eq!(book.full(TenantNo(1), Timestamp(1000)), Some(24 * 3600 + 1));
        assert_eq!(book.full(TenantNo(2), Timestamp(1000)), None, "others are not concerned");
        book.forget(&id(7));
        assert_eq!(book.full(TenantNo(1), Timestamp(1000)), None);
        book.forget_before(ends(Timestamp(1000)));
        assert!(book.entries.is_empty() && book.held.is_empty() && book.in_order.is_empty());
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut book = Book::default();
        book.begin(id(1), entry(0));
        book.answered(&id(1), place(ANSWERS_BYTES_MAX - 1));
        assert_eq!(book.full(TenantNo(1), Timestamp(0)), None);
        book.begin(id(2), entry(0));
        book.answered(&id(2), place(1));
        assert!(book.full(TenantNo(1), Timestamp(0)).is_some());
        book.forget(&id(2));
        assert_eq!(book.full(TenantNo(1), Timestamp(0)), None);
    }

    #[test]
    fn a_key_that_is_used_again_after_it_was_forgotten_lives_its_own_time() {
        let mut book = Book::default();
        book.begin(id(1), entry(0));
        book.forget(&id(1));
        book.begin(id(1), entry(500));
        book.forget_before(ends(Timestamp(0)));
        assert_eq!(book.find(&id(1)).map(|entry| entry.at), Some(Timestamp(500)));
        book.forget_before(Timestamp(ends(Timestamp(500)).0 - 1));
        assert!(book.find(&id(1)).is_some());
        book.forget_before(ends(Timestamp(500)));
        assert!(book.find(&id(1)).is_none());
    }
}
