//! The seam in memory: for tests, and as the model of the others.

use std::collections::BTreeMap;
use std::ops::Bound;

use parking_lot::RwLock;

use super::{Batch, Kv, Order, Pairs, Value};
use crate::Result;

/// A store that is gone with its process.
#[derive(Debug, Default)]
pub struct MemoryKv {
    pairs: RwLock<BTreeMap<Vec<u8>, Value>>,
}

impl MemoryKv {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Kv for MemoryKv {
    fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Value>>> {
        let pairs = self.pairs.read();
        Ok(keys.iter().map(|key| pairs.get(*key).cloned()).collect())
    }

    fn scan(&self, from: &[u8], to: &[u8], order: Order, limit: usize) -> Result<Pairs> {
        if from >= to {
            return Ok(Vec::new());
        }
        let pairs = self.pairs.read();
        let range = pairs.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        let copy = |(key, value): (&Vec<u8>, &Value)| (key.clone(), value.clone());
        Ok(match order {
            Order::Forward => range.take(limit).map(copy).collect(),
            Order::Backward => range.rev().take(limit).map(copy).collect(),
        })
    }

    fn write(&self, batch: Batch) -> Result<()> {
        let operations = batch.into_sorted()?;
        let mut pairs = self.pairs.write();
        for (key, value) in operations {
            match value {
                Some(value) => pairs.insert(key, value.into()),
                None => pairs.remove(&key),
            };
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn size_on_disk(&self) -> Result<u64> {
        Ok(0)
    }

    /// Memory does not fail, so nobody opens it again: it stays as it is.
    fn close(&self) {}
}

#[cfg(test)]
mod tests {
    use super::super::conformance;
    use super::*;

    #[test]
    fn memory_conforms() {
        conformance::check(|| ((), MemoryKv::new()));
    }
}
