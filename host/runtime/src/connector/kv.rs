//! The small store of a connector: cursors and tokens, per tenant and plugin, under a quota.

use std::collections::BTreeMap;

use cdp_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::words::KvError;

/// Bytes of a key, at most; at least one.
pub const KEY_BYTES_MAX: usize = 256;
/// Bytes of a value, at most.
pub const VALUE_BYTES_MAX: usize = 64 << 10;
/// Keys of one plugin, at most.
pub const KEYS_MAX: usize = 1_000;
/// Bytes of all keys and values of one plugin together, at most.
pub const TOTAL_BYTES_MAX: usize = 1 << 20;

/// What one plugin of one tenant keeps. Pure: whoever owns it says what time it is, and writes it down.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Shelf {
    values: BTreeMap<String, Value>,
    bytes: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Value {
    bytes: Vec<u8>,
    until: Option<Timestamp>,
}

impl Shelf {
    /// The value under a key, unless its time is over.
    ///
    /// # Errors
    /// [`KvError::TooLarge`] for a key that none can have.
    pub fn get(&self, key: &str, now: Timestamp) -> Result<Option<&[u8]>, KvError> {
        check_key(key)?;
        let alive = |value: &&Value| value.until.is_none_or(|until| now < until);
        Ok(self.values.get(key).filter(alive).map(|value| value.bytes.as_slice()))
    }

    /// Keeps a value, for so many seconds or until it is written over.
    ///
    /// # Errors
    /// [`KvError::TooLarge`] and [`KvError::Quota`]; then what was there is still there.
    pub fn put(
        &mut self,
        key: &str,
        bytes: Vec<u8>,
        ttl_seconds: Option<u32>,
        now: Timestamp,
    ) -> Result<(), KvError> {
        check_key(key)?;
        if bytes.len() > VALUE_BYTES_MAX {
            return Err(KvError::TooLarge);
        }
        self.forget(now);
        let old = self.values.get(key).map_or(0, |value| key.len() + value.bytes.len());
        let total = self.bytes - old + key.len() + bytes.len();
        if total > TOTAL_BYTES_MAX || (old == 0 && self.values.len() >= KEYS_MAX) {
            return Err(KvError::Quota);
        }
        self.bytes = total;
        let until = ttl_seconds.map(|seconds| Timestamp(now.0.saturating_add(i64::from(seconds) * 1000)));
        self.values.insert(key.to_owned(), Value { bytes, until });
        Ok(())
    }

    /// Drops what is over.
    fn forget(&mut self, now: Timestamp) {
        let bytes = &mut self.bytes;
        self.values.retain(|key, value| {
            let alive = value.until.is_none_or(|until| now < until);
            if !alive {
                *bytes -= key.len() + value.bytes.len();
            }
            alive
        });
    }
}

fn check_key(key: &str) -> Result<(), KvError> {
    if (1..=KEY_BYTES_MAX).contains(&key.len()) { Ok(()) } else { Err(KvError::TooLarge) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    #[test]
    fn values_are_kept_written_over_and_forgotten_in_time() {
        let mut shelf = Shelf::default();
        shelf.put("a", b"1".to_vec(), None, NOW).unwrap();
        shelf.put("a", b"2".to_vec(), Some(5), NOW).unwrap();
        assert_eq!(shelf.get("a", Timestamp(NOW.0 + 4_999)), Ok(Some(&b"2"[..])));
        assert_eq!(shelf.get("a", Timestamp(NOW.0 + 5_000)), Ok(None));
        assert_eq!(shelf.get("b", NOW), Ok(None));
        shelf.put("b", Vec::new(), None, Timestamp(NOW.0 + 5_000)).unwrap();
        assert_eq!((shelf.values.len(), shelf.bytes), (1, 1));
    }

    #[test]
    fn every_quota_holds_at_its_edge() {
        let mut shelf = Shelf::default();
        let put = |shelf: &mut Shelf, key: &str, bytes: usize| shelf.put(key, vec![0; bytes], None, NOW);
        assert_eq!(put(&mut shelf, "", 1), Err(KvError::TooLarge));
        assert_eq!(put(&mut shelf, &"k".repeat(KEY_BYTES_MAX + 1), 1), Err(KvError::TooLarge));
        assert_eq!(put(&mut shelf, &"k".repeat(KEY_BYTES_MAX), VALUE_BYTES_MAX + 1), Err(KvError::TooLarge));
        assert_eq!(put(&mut shelf, &"k".repeat(KEY_BYTES_MAX), VALUE_BYTES_MAX), Ok(()));
        for n in 1..KEYS_MAX {
            put(&mut shelf, &n.to_string(), 1).unwrap();
        }
        assert_eq!(put(&mut shelf, "more", 1), Err(KvError::Quota));
        assert_eq!(put(&mut shelf, "1", 2), Ok(()), "what is there may be written over");
        let mut full = Shelf::default();
        let each = VALUE_BYTES_MAX - 2;
        for n in 10..10 + TOTAL_BYTES_MAX / VALUE_BYTES_MAX {
            put(&mut full, &n.to_string(), each).unwrap();
        }
        assert_eq!(full.bytes, TOTAL_BYTES_MAX);
        assert_eq!(put(&mut full, "x", 0), Err(KvError::Quota));
        assert_eq!(put(&mut full, "10", each + 1), Err(KvError::Quota));
        assert_eq!(put(&mut full, "10", each - 1), Ok(()));
        assert_eq!(put(&mut full, "x", 0), Ok(()));
    }
}
