//! Changes that happen together.

use super::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::{Error, Result};

/// A key, and its value unless it is deleted.
pub(super) type Operation = (Vec<u8>, Option<Vec<u8>>);

/// Puts and deletes that are applied all or not at all.
#[derive(Clone, Default)]
pub struct Batch {
    operations: Vec<Operation>,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores `value` under `key`, whatever was there.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.operations.push((key.into(), Some(value.into())));
    }

    /// Removes `key`; it need not be there.
    pub fn delete(&mut self, key: impl Into<Vec<u8>>) {
        self.operations.push((key.into(), None));
    }

    /// How many operations were added.
    #[must_use]
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// The operations as a backend applies them: bounds checked, by key, one per key (the last one added).
    pub(super) fn into_sorted(mut self) -> Result<Vec<Operation>> {
        for (key, value) in &self.operations {
            let (what, bytes, bytes_max) = match value {
                Some(value) if value.len() > VALUE_BYTES_MAX => ("a value", value.len(), VALUE_BYTES_MAX),
                _ if key.len() > KEY_BYTES_MAX => ("a key", key.len(), KEY_BYTES_MAX),
                _ => continue,
            };
            return Err(Error::TooLarge { what, bytes: bytes as u64, bytes_max: bytes_max as u64 });
        }
        self.operations.sort_by(|a, b| a.0.cmp(&b.0));
        self.operations.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                kept.1 = later.1.take();
            }
            same
        });
        Ok(self.operations)
    }
}
