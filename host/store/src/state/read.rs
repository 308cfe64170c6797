//! Reading values: many by key, or a range.

use std::collections::HashMap;

use super::State;
use super::value::{Envelope, Head, Stored};
use crate::keys::{Key, KeyRange, TenantContext};
use crate::kv::{Kv, Order, Value};
use crate::{Error, Result};

/// How often a large value is read again when a write went on meanwhile.
const READS_MAX: u32 = 16;
const PAGE: usize = 1024;

impl State {
    /// Reads one value.
    ///
    /// # Errors
    /// [`Error::Backend`], [`Error::Malformed`], [`Error::WrongTenant`].
    pub fn get(&self, key: &Key) -> Result<Option<Envelope>> {
        Ok(self.get_many(std::slice::from_ref(key))?.pop().flatten())
    }

    /// Reads many values; the answers stand in the order of the keys.
    ///
    /// Not a snapshot, except on the writing thread.
    ///
    /// # Errors
    /// [`Error::Backend`], [`Error::Malformed`], [`Error::WrongTenant`].
    pub fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Envelope>>> {
        if !keys.iter().all(|key| self.context.owns(key)) {
            return Err(Error::WrongTenant);
        }
        let asked: Vec<&[u8]> = keys.iter().map(Key::as_bytes).collect();
        let found = self.kv.get_many(&asked)?;
        let open = |(key, value): (&Key, Option<Value>)| match value {
            Some(value) => self.open_value(key, value),
            None => Ok(None),
        };
        keys.iter().zip(found).map(open).collect()
    }

    /// Reads at most `limit` values of a range, with their keys. Large values are put together.
    ///
    /// Not a snapshot, except on the writing thread: a value deleted meanwhile may be missing.
    ///
    /// # Errors
    /// [`Error::Backend`], [`Error::Malformed`], [`Error::WrongTenant`].
    pub fn scan(&self, range: &KeyRange, order: Order, limit: usize) -> Result<Vec<(Key, Envelope)>> {
        let all = self.context.all();
        if range.from < all.from || range.to > all.to {
            return Err(Error::WrongTenant);
        }
        let mut out = Vec::new();
        for (key, value) in self.kv.scan(range.from.as_bytes(), range.to.as_bytes(), order, limit)? {
            let key =
                Key::from_stored(&key).ok_or(Error::Malformed { what: "its key has no length of ours" })?;
            out.extend(self.open_value(&key, value)?.map(|envelope| (key, envelope)));
        }
        Ok(out)
    }

    fn open_value(&self, key: &Key, stored: Value) -> Result<Option<Envelope>> {
        let mut head = match Stored::read(stored)? {
            Stored::Small(envelope) => return Ok(Some(envelope)),
            Stored::Large(head) => head,
        };
        for _ in 0..READS_MAX {
            if let Some(envelope) = head.join(&self.pieces(key, &head)?) {
                return Ok(Some(envelope));
            }
            // A write went on between the two reads: begin again with the present head.
            let Some(stored) = self.kv.get_many(&[key.as_bytes()])?.pop().flatten() else { return Ok(None) };
            head = match Stored::read(stored)? {
                Stored::Small(envelope) => return Ok(Some(envelope)),
                Stored::Large(head) => head,
            };
        }
        Err(Error::Malformed { what: "the pieces of a large value are not those of its head" })
    }

    fn pieces(&self, key: &Key, head: &Head) -> Result<Vec<Option<Value>>> {
        let keys: Vec<Key> = (0..head.pieces).map(|piece| self.context.continuation(key, piece)).collect();
        let asked: Vec<&[u8]> = keys.iter().map(Key::as_bytes).collect();
        self.kv.get_many(&asked)
    }
}

/// Lists the keys of all large values, with the number of pieces behind each head.
pub(super) fn list_large(kv: &dyn Kv, context: &TenantContext) -> Result<HashMap<Key, u16>> {
    let mut large = HashMap::new();
    let mut range = context.continuations();
    loop {
        let page = kv.scan(range.from.as_bytes(), range.to.as_bytes(), Order::Forward, PAGE)?;
        for (key, _) in &page {
            // tenant (4), tag (1), the head's key without its tenant, piece (2)
            let (Some(rest), Some(tenant)) = (key.get(5..), key.get(..4)) else { continue };
            let Some((head, piece)) = rest.split_last_chunk::<2>() else { continue };
            if !head.is_empty() {
                let pieces = large.entry(Key::new(&[tenant, head])).or_insert(0);
                *pieces = (*pieces).max(u16::from_be_bytes(*piece) + 1);
            }
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE => {
                let last =
                    Key::from_stored(last).ok_or(Error::Malformed { what: "a piece's key is too long" })?;
                range = range.after(&last);
            }
            _ => return Ok(large),
        }
    }
}
