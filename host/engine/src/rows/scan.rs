//! Scanning over what is in memory and what is in the store, as if it were one.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use cdp_store::keys::{Key, KeyRange};
use cdp_store::kv::Order;

use super::{Generation, Hand, Rows, View};
use crate::error::Result;

/// Rows read from the store at a time.
const PAGE: usize = 128;

impl View<'_> {
    /// At most `limit` rows of a range, in its order.
    pub(crate) fn scan(&self, range: &KeyRange, order: Order, limit: usize) -> Result<Vec<(Key, Vec<u8>)>> {
        scan(self.rows, &self.inner, range, order, limit)
    }
}

impl Hand<'_> {
    /// At most `limit` rows of a range, in its order.
    pub(crate) fn scan(&self, range: &KeyRange, order: Order, limit: usize) -> Result<Vec<(Key, Vec<u8>)>> {
        scan(self.rows, &self.inner, range, order, limit)
    }
}

type Table = BTreeMap<Key, Option<Vec<u8>>>;
type Entry<'a> = (&'a Key, &'a Option<Vec<u8>>);

fn scan(
    rows: &Rows,
    inner: &Generation,
    range: &KeyRange,
    order: Order,
    limit: usize,
) -> Result<Vec<(Key, Vec<u8>)>> {
    let empty = Table::new();
    let frozen = inner.frozen.as_ref().map_or(&empty, |frozen| &frozen.changed.rows);
    let mut newest = over(&inner.changed.rows, range, order).peekable();
    let mut newer = over(frozen, range, order).peekable();
    let mut stored = Stored { rows, rest: Some(*range), order, page: VecDeque::new() };
    let first = |a: Key, b: Key| if matches!(order, Order::Forward) { a.min(b) } else { a.max(b) };
    let mut out = Vec::new();
    while out.len() < limit {
        let heads = [newest.peek().map(|e| *e.0), newer.peek().map(|e| *e.0), stored.peek()?];
        let Some(key) = heads.into_iter().flatten().reduce(first) else { break };
        let from_store = stored.take(&key);
        let from_newer = newer.next_if(|(at, _)| **at == key).map(|(_, value)| value.clone());
        let from_newest = newest.next_if(|(at, _)| **at == key).map(|(_, value)| value.clone());
        if let Some(value) = from_newest.or(from_newer).unwrap_or(from_store) {
            out.push((key, value));
        }
    }
    rows.looked.asked(1 + out.len());
    Ok(out)
}

fn over<'a>(table: &'a Table, range: &KeyRange, order: Order) -> Box<dyn Iterator<Item = Entry<'a>> + 'a> {
    let part = table.range(range.from..range.to);
    if matches!(order, Order::Forward) { Box::new(part) } else { Box::new(part.rev()) }
}

struct Stored<'a> {
    rows: &'a Rows,
    rest: Option<KeyRange>,
    order: Order,
    page: VecDeque<(Key, Vec<u8>)>,
}

impl Stored<'_> {
    fn peek(&mut self) -> Result<Option<Key>> {
        if self.page.is_empty()
            && let Some(range) = self.rest.take()
        {
            self.rows.looked.stored();
            let page = self.rows.state.scan(&range, self.order, PAGE)?;
            if let Some((last, _)) = page.last().filter(|_| page.len() == PAGE) {
                let forward = matches!(self.order, Order::Forward);
                self.rest = Some(if forward { range.after(last) } else { range.before(last) });
            }
            self.page = page.into_iter().map(|(key, row)| (key, row.bytes().to_vec())).collect();
        }
        Ok(self.page.front().map(|(key, _)| *key))
    }

    fn take(&mut self, key: &Key) -> Option<Vec<u8>> {
        if self.page.front().is_some_and(|(at, _)| at == key) {
            return self.page.pop_front().map(|(_, value)| value);
        }
        None
    }
}
