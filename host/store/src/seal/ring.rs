//! Data keys by reference: derived for what never has to be forgotten, from a table where they can be destroyed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cdp_domain::ids::TenantNo;
use parking_lot::{Mutex, RwLock};
use zeroize::Zeroize;

use super::lately::Lately;
use super::tree::Tree;
use super::{MasterKey, table};
use crate::{Error, Result, error};

/// A key that seals payloads; wiped from memory when dropped.
#[derive(Clone)]
pub struct DataKey(pub(super) [u8; 32]);

impl Drop for DataKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey")
    }
}

/// Where data keys come from.
pub trait DataKeys: Send + Sync {
    /// The key behind a reference, to seal with.
    ///
    /// # Errors
    /// [`Error::KeyDestroyed`]: what it sealed is erased.
    fn key(&self, key_ref: &[u8; 16]) -> Result<DataKey>;

    /// Whether an earlier key of this reference was destroyed: what does not open may have been sealed with that one.
    fn had_another(&self, _key_ref: &[u8; 16]) -> bool {
        false
    }
}

/// The data keys of one tenant. Cheap to clone; clones share what is destroyed.
#[derive(Clone)]
pub struct KeyRing {
    held: Arc<Held>,
}

struct Held {
    /// One generation of keys after the other: a reference has the key of the first that has one for it.
    trees: RwLock<Vec<Tree>>,
    /// Some of these keys. Changed only while `trees` is held, so that none is kept behind its destruction.
    lately: Lately,
    /// Where they are kept; None for keys that are derived and cannot be destroyed.
    kept: Option<Kept>,
}

struct Kept {
    path: PathBuf,
    tenant: TenantNo,
    /// Wraps the key of the table.
    wrapping: DataKey,
    /// One rewriting at a time.
    writing: Mutex<()>,
    /// Whether what is in memory is on disk.
    written: AtomicBool,
}

impl KeyRing {
    /// Keys that follow from the master key alone: nothing is stored, and none can be destroyed.
    #[must_use]
    pub fn derived(master: &MasterKey, tenant: TenantNo) -> Self {
        let root = master.derive("cdp 2026 tenant key for payloads", tenant);
        Self {
            held: Arc::new(Held {
                trees: RwLock::new(vec![Tree::new(root)]),
                lately: Lately::default(),
                kept: None,
            }),
        }
    }

    /// Opens the table of keys in the file `path`; draws a root and writes it there when `fresh` says that nothing was
    /// sealed yet. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::MasterKey`] when the table is missing although something was sealed, or does not open under this master
    /// key; [`Error::Io`]; [`Error::Randomness`].
    pub fn open(path: &Path, master: &MasterKey, tenant: TenantNo, fresh: bool) -> Result<Self> {
        let wrapping = DataKey(master.derive("cdp 2026 wrapping of key tables", tenant));
        let found = table::read(path, tenant, &wrapping)?;
        let trees = match found {
            Some(trees) => trees,
            None if !fresh => {
                let what = "it has no table of data keys to open, and without that nothing can be read";
                return Err(Error::MasterKey { path: path.to_owned(), what });
            }
            None => {
                let trees = vec![Tree::new(error::random()?)];
                table::write(path, tenant, &wrapping, &trees)?;
                trees
            }
        };
        let kept = Kept {
            path: path.to_owned(),
            tenant,
            wrapping,
            writing: Mutex::new(()),
            written: AtomicBool::new(true),
        };
        let (trees, lately) = (RwLock::new(trees), Lately::default());
        Ok(Self { held: Arc::new(Held { trees, lately, kept: Some(kept) }) })
    }

    /// How many generations of keys there are.
    #[must_use]
    pub fn generations(&self) -> usize {
        self.held.trees.read().len()
    }

    /// Destroys the keys that these references have in the first `generations` for good; how many references had one.
    /// Durable when it returns: what they sealed can be opened by nobody, with the master key or without. Keys that
    /// references were given later ([`renew`](Self::renew)) stay, so that destroying may be repeated.
    ///
    /// The table is rewritten whole under a fresh key of its own, and the bytes of the one before are overwritten.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Randomness`]: then they are destroyed in memory only; call it again.
    ///
    /// # Panics
    /// For keys that are derived.
    pub fn destroy(&self, key_refs: &[[u8; 16]], generations: usize) -> Result<usize> {
        let kept = self.held.kept.as_ref().expect("derived keys are never destroyed");
        let _one_at_a_time = kept.writing.lock();
        let (destroyed, trees) = {
            let mut trees = self.held.trees.write();
            let mut destroyed = 0;
            for key_ref in key_refs {
                let mut had = false;
                for tree in trees.iter_mut().take(generations) {
                    had |= tree.destroy(key_ref);
                }
                self.held.lately.forget(key_ref);
                destroyed += usize::from(had);
            }
            (destroyed, trees.clone())
        };
        if destroyed > 0 || !kept.written.load(Ordering::Acquire) {
            kept.written.store(false, Ordering::Release);
            table::write(&kept.path, kept.tenant, &kept.wrapping, &trees)?;
            kept.written.store(true, Ordering::Release);
        }
        Ok(destroyed)
    }

    /// Whether every one of these references was destroyed at least once.
    #[must_use]
    pub fn destroyed(&self, key_refs: &[[u8; 16]]) -> bool {
        let trees = self.held.trees.read();
        key_refs.iter().all(|key_ref| trees.first().is_none_or(|tree| tree.key(key_ref).is_none()))
    }

    /// Sees to it that there is a generation of keys behind the first `generations`: what was destroyed in those has
    /// another key from here on. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Randomness`].
    ///
    /// # Panics
    /// For keys that are derived.
    pub fn renew(&self, generations: usize) -> Result<()> {
        let kept = self.held.kept.as_ref().expect("derived keys are never destroyed");
        let _one_at_a_time = kept.writing.lock();
        let mut trees = self.held.trees.read().clone();
        if trees.len() > generations {
            return Ok(());
        }
        trees.push(Tree::new(error::random()?));
        table::write(&kept.path, kept.tenant, &kept.wrapping, &trees)?;
        *self.held.trees.write() = trees;
        Ok(())
    }

    /// Wraps the table with a fresh key of its own.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Randomness`].
    pub fn rotate(&self) -> Result<()> {
        let Some(kept) = &self.held.kept else { return Ok(()) };
        let _one_at_a_time = kept.writing.lock();
        let trees = self.held.trees.read().clone();
        table::write(&kept.path, kept.tenant, &kept.wrapping, &trees)
    }
}

impl DataKeys for KeyRing {
    fn key(&self, key_ref: &[u8; 16]) -> Result<DataKey> {
        let trees = self.held.trees.read();
        if let Some(key) = self.held.lately.get(key_ref) {
            return Ok(key);
        }
        let key = trees.iter().find_map(|tree| tree.key(key_ref)).ok_or(Error::KeyDestroyed)?;
        self.held.lately.put(key_ref, &key);
        Ok(key)
    }

    fn had_another(&self, key_ref: &[u8; 16]) -> bool {
        let trees = self.held.trees.read();
        trees.len() > 1 && trees[0].key(key_ref).is_none()
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRing")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: TenantNo = TenantNo(7);

    fn master(byte: u8) -> MasterKey {
        MasterKey::from_bytes([byte; 32])
    }

    #[test]
    fn a_destroyed_key_stays_destroyed_over_a_reopening_and_others_stay_what_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00000007.keys");
        let ring = KeyRing::open(&path, &master(1), TENANT, true).unwrap();
        let (one, two) = (ring.key(&[1; 16]).unwrap(), ring.key(&[2; 16]).unwrap());
        assert_ne!(one.0, two.0);
        assert_eq!(ring.destroy(&[[1; 16], [1; 16]], 1).unwrap(), 1);
        for ring in [ring.clone(), KeyRing::open(&path, &master(1), TENANT, false).unwrap()] {
            assert!(matches!(ring.key(&[1; 16]), Err(Error::KeyDestroyed)));
            assert!(ring.destroyed(&[[1; 16]]) && !ring.destroyed(&[[1; 16], [2; 16]]));
            assert_eq!(ring.key(&[2; 16]).unwrap().0, two.0);
        }
        ring.renew(1).unwrap();
        ring.renew(1).unwrap();
        assert_eq!(ring.generations(), 2);
        let again = KeyRing::open(&path, &master(1), TENANT, false).unwrap();
        assert_ne!(again.key(&[1; 16]).unwrap().0, one.0);
        assert!(again.had_another(&[1; 16]) && !again.had_another(&[2; 16]));
        assert_eq!(
            again.destroy(&[[1; 16]], 1).unwrap(),
            0,
            "the earlier erasure does not concern the later key"
        );
        assert!(again.key(&[1; 16]).is_ok());
        assert_eq!(again.destroy(&[[1; 16]], again.generations()).unwrap(), 1);
        assert!(matches!(again.key(&[1; 16]), Err(Error::KeyDestroyed)));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_table_or_another_master_key_is_refused_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00000007.keys");
        assert!(matches!(KeyRing::open(&path, &master(1), TENANT, false), Err(Error::MasterKey { .. })));
        drop(KeyRing::open(&path, &master(1), TENANT, true).unwrap());
        let bytes = std::fs::read(&path).unwrap();
        for fresh in [true, false] {
            let other = KeyRing::open(&path, &master(2), TENANT, fresh);
            assert!(matches!(other, Err(Error::MasterKey { .. })));
            let moved = KeyRing::open(&path, &master(1), TenantNo(8), fresh);
            assert!(matches!(moved, Err(Error::MasterKey { .. })));
        }
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            std::fs::write(&path, other).unwrap();
            assert!(KeyRing::open(&path, &master(1), TENANT, true).is_err(), "byte {at}");
        }
    }
}
