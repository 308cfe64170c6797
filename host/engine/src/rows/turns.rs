//! Who entered and left segments: in memory by the piece, at rest many to a row.
//!
//! An event may turn many segments, and a row of the store for each would cost more than everything else of the event.
//! So what a generation brings is cut into rows of about 150 when it is frozen. A row's key is that of the **last** in
//! it: the first row from a place on is the one that has it. Where rows are cut says nothing; a rebuild cuts elsewhere.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use cdp_domain::ids::{FragmentId, Position};
use cdp_domain::time::Timestamp;
use cdp_store::keys::{self, Key, TenantContext};
use cdp_store::kv::Order;
use serde::{Deserialize, Serialize};

use super::{Look as _, View};
use crate::error::{Refused, Result};
use crate::writer::Cause;

/// Bytes of one row; below the store's bound on values, however long the last one is.
const ROW_BYTES: usize = 3840;
/// Bytes that one takes at most: four numbers, an id, two bytes.
const ENCODED_MAX: usize = 10 + 5 + 16 + 10 + 2;
/// Bytes of memory of one that waits.
const MEMORY: u64 = size_of::<Logged>() as u64;
/// Rows of the store read at a time.
const PAGE: usize = 8;

/// A membership change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Turn {
    pub(crate) profile: FragmentId,
    pub(crate) entered: bool,
    pub(crate) at: Timestamp,
    pub(crate) cause: Cause,
}

/// A membership change and its place: the record that it came with, and its number among all that came with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Logged {
    pub(crate) position: Position,
    pub(crate) n: u32,
    pub(crate) turn: Turn,
}

impl Logged {
    /// Where it stands among the segment's.
    pub(crate) fn place(&self) -> (Position, u32) {
        (self.position, self.n)
    }
}

/// What a generation has brought so far, by segment number, each in order.
#[derive(Debug, Default)]
pub(super) struct Turns {
    waiting: BTreeMap<u32, Vec<Logged>>,
    count: usize,
}

impl Turns {
    pub(super) fn push(&mut self, segment: u32, logged: Logged) {
        self.waiting.entry(segment).or_default().push(logged);
        self.count += 1;
    }

    /// Rows that they will take, about.
    pub(super) fn rows(&self) -> usize {
        self.count.div_ceil(ROW_BYTES / ENCODED_MAX)
    }

    /// Bytes of memory that they take.
    pub(super) fn bytes(&self) -> u64 {
        self.count as u64 * MEMORY
    }

    fn of(&self, segment: u32) -> &[Logged] {
        self.waiting.get(&segment).map_or(&[], Vec::as_slice)
    }

    /// Cuts them into rows, and is empty then.
    pub(super) fn take_rows(&mut self, context: &TenantContext) -> Vec<(Key, Vec<u8>)> {
        let mut rows = Vec::new();
        for (segment, turns) in std::mem::take(self).waiting {
            let mut row = Row::default();
            for logged in turns {
                row.push(&logged);
                if row.bytes.len() + ENCODED_MAX > ROW_BYTES {
                    rows.extend(std::mem::take(&mut row).end(context, segment));
                }
            }
            rows.extend(row.end(context, segment));
        }
        rows
    }
}

/// A row that is being filled. Places and times are written as differences to the one before.
#[derive(Default)]
struct Row {
    bytes: Vec<u8>,
    last: Option<Logged>,
}

impl Row {
    fn push(&mut self, logged: &Logged) {
        let (position, at) = self.last.map_or((0, 0), |last| (last.position.0, last.turn.at.0));
        let Logged { position: Position(here), n, turn: Turn { profile, entered, at: then, cause } } =
            *logged;
        let parts = (here.wrapping_sub(position), n, profile, then.0.wrapping_sub(at), entered, cause);
        self.bytes =
            postcard::to_extend(&parts, std::mem::take(&mut self.bytes)).expect("it encodes into memory");
        self.last = Some(*logged);
    }

    fn end(self, context: &TenantContext, segment: u32) -> Option<(Key, Vec<u8>)> {
        let last = self.last?;
        Some((context.change(segment, last.position, last.n), self.bytes))
    }
}

/// What is in a row, in order.
pub(crate) fn read_row(mut bytes: &[u8]) -> Result<Vec<Logged>> {
    let mut out: Vec<Logged> = Vec::new();
    while !bytes.is_empty() {
        let ((position, n, profile, at, entered, cause), rest): ((u64, u32, _, i64, _, _), _) =
            postcard::take_from_bytes(bytes).map_err(Refused::internal)?;
        let before = out.last().map_or((0, 0), |last| (last.position.0, last.turn.at.0));
        let at = Timestamp(before.1.wrapping_add(at));
        let position = Position(before.0.wrapping_add(position));
        out.push(Logged { position, n, turn: Turn { profile, entered, at, cause } });
        bytes = rest;
    }
    Ok(out)
}

impl View<'_> {
    /// The changes of a segment number from a place on, oldest first.
    pub(crate) fn turns_from(&self, segment: u32, from: (Position, u32)) -> Newer<'_> {
        let rest = Some(self.context().change_range(segment, from.0, from.1));
        Newer { view: self, segment, from, rest, read: VecDeque::new() }
    }

    /// All changes of a segment number, newest first.
    pub(crate) fn turns_back(&self, segment: u32) -> Older<'_> {
        let rest = Some(self.context().change_range(segment, Position(0), 0));
        Older { view: self, rest, read: self.inner.turns.of(segment).to_vec() }
    }
}

/// Changes, oldest first.
pub(crate) struct Newer<'a> {
    view: &'a View<'a>,
    segment: u32,
    from: (Position, u32),
    rest: Option<keys::KeyRange>,
    read: VecDeque<Logged>,
}

impl Newer<'_> {
    /// The next one.
    pub(crate) fn next(&mut self) -> Result<Option<Logged>> {
        while self.read.is_empty() {
            let Some(range) = self.rest.take() else { return Ok(None) };
            let page = self.view.scan(&range, Order::Forward, PAGE)?;
            for (_, bytes) in &page {
                self.read.extend(read_row(bytes)?);
            }
            match page.last().filter(|_| page.len() == PAGE) {
                Some((last, _)) => self.rest = Some(range.after(last)),
                None => self.read.extend(self.view.inner.turns.of(self.segment)),
            }
            let from = self.from;
            while self.read.front().is_some_and(|logged| logged.place() < from) {
                self.read.pop_front();
            }
        }
        Ok(self.read.pop_front())
    }
}

/// Changes, newest first.
pub(crate) struct Older<'a> {
    view: &'a View<'a>,
    rest: Option<keys::KeyRange>,
    read: Vec<Logged>,
}

impl Older<'_> {
    /// The next one.
    pub(crate) fn next(&mut self) -> Result<Option<Logged>> {
        while self.read.is_empty() {
            let Some(range) = self.rest.take() else { return Ok(None) };
            let page = self.view.scan(&range, Order::Backward, PAGE)?;
            self.rest = page.last().filter(|_| page.len() == PAGE).map(|(last, _)| range.before(last));
            for (_, bytes) in page.iter().rev() {
                self.read.extend(read_row(bytes)?);
            }
        }
        Ok(self.read.pop())
    }
}

#[cfg(test)]
mod tests {
    use cdp_domain::ids::TenantNo;
    use proptest::prelude::*;

    use super::*;

    fn logged() -> impl Strategy<Value = Logged> {
        let at = prop_oneof![0_i64..2000, any::<i64>()];
        let position = prop_oneof![0_u64..2000, any::<u64>()];
        (position, any::<u32>(), any::<[u8; 16]>(), at, any::<bool>()).prop_map(
            |(position, n, id, at, entered)| {
                let turn =
                    Turn { profile: FragmentId(id), entered, at: Timestamp(at), cause: Cause::Erasure };
                Logged { position: Position(position), n, turn }
            },
        )
    }

    proptest! {
        /// The model: the list itself.
        #[test]
        fn rows_hold_everything_in_order_under_the_key_of_their_last(
            mut some in proptest::collection::vec((0_u32..3, logged()), 0..700),
        ) {
            some.sort_by_key(|(segment, logged)| (*segment, logged.place()));
            let mut turns = Turns::default();
            some.iter().for_each(|(segment, logged)| turns.push(*segment, *logged));
            let context = TenantContext::new(TenantNo(1));
            let rows = turns.take_rows(&context);
            prop_assert_eq!(turns.rows(), 0);
            let mut again = Vec::new();
            for (key, bytes) in rows {
                prop_assert!(bytes.len() <= ROW_BYTES);
                let row = read_row(&bytes).unwrap();
                let last = row.last().unwrap();
                let (segment, position, n) = keys::change(&key).unwrap();
                prop_assert_eq!(last.place(), (position, n));
                again.extend(row.into_iter().map(|logged| (segment, logged)));
            }
            prop_assert_eq!(again, some);
        }
    }
}
