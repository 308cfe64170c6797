//! Changing values: gathered, then applied as one atomic batch.

use super::State;
use super::value::cut;
use crate::keys::Key;
use crate::kv::Batch;
use crate::{Error, Result};

/// Changes of one tenant's state that happen together. Nothing is written before [`commit`](Self::commit).
#[derive(Debug)]
pub struct Write {
    state: State,
    operations: Vec<(Key, Option<Put>)>,
}

struct Put {
    version: u8,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for Put {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Put(version {}, {} bytes)", self.version, self.bytes.len())
    }
}

impl State {
    /// Begins a write.
    #[must_use]
    pub fn write(&self) -> Write {
        Write { state: self.clone(), operations: Vec::new() }
    }
}

impl Write {
    /// Stores `bytes`, in a format of version `version`, under `key`. Of several operations on one key the last one counts.
    ///
    /// # Panics
    /// At the commit, when the version is above [`super::VERSION_MAX`].
    pub fn put(&mut self, key: Key, version: u8, bytes: impl Into<Vec<u8>>) {
        self.operations.push((key, Some(Put { version, bytes: bytes.into() })));
    }

    /// Removes what is under `key`; nothing need be there.
    pub fn delete(&mut self, key: Key) {
        self.operations.push((key, None));
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

    /// Applies everything as one batch, all or nothing; visible when it returns, also after a crash all or not at all.
    ///
    /// # Errors
    /// Nothing was applied: [`Error::WrongTenant`] for a key of another tenant, [`Error::TooLarge`] for a value above
    /// [`super::ENVELOPE_BYTES_MAX`], [`Error::Backend`].
    pub fn commit(mut self) -> Result<()> {
        let context = self.state.context;
        if !self.operations.iter().all(|(key, _)| context.owns(key)) {
            return Err(Error::WrongTenant);
        }
        self.operations.sort_by_key(|(key, _)| *key);
        self.operations.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                kept.1 = later.1.take();
            }
            same
        });
        let mut large = self.state.large.lock();
        let mut batch = Batch::new();
        let mut changed = Vec::new();
        for (key, put) in &self.operations {
            let before = large.get(key).copied().unwrap_or(0);
            let mut now = 0;
            match put {
                None => batch.delete(key.as_bytes()),
                Some(Put { version, bytes }) => {
                    let (head, pieces) = cut(*version, bytes)?;
                    batch.put(key.as_bytes(), head);
                    for piece in pieces {
                        batch.put(context.continuation(key, now).as_bytes(), piece);
                        now += 1;
                    }
                }
            }
            for stale in now..before {
                batch.delete(context.continuation(key, stale).as_bytes());
            }
            if before != now {
                changed.push((*key, now));
            }
        }
        self.state.kv.write(batch)?;
        for (key, pieces) in changed {
            match pieces {
                0 => large.remove(&key),
                _ => large.insert(key, pieces),
            };
        }
        Ok(())
    }
}
