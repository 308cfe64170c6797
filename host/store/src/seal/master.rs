//! The installation's master key, and the file it lives in.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use cdp_domain::ids::TenantNo;
use zeroize::{Zeroize, Zeroizing};

use super::{DataKey, table};
use crate::{Error, Result, error, files};

/// The purpose of the key that wraps the installation's secret.
const WRAPPING: &str = "cdp 2026 wrapping of the installation secret";
const INSTALLATION: TenantNo = TenantNo(0);
const SECRET_MAGIC: [u8; 8] = *b"CDPscrt1";

/// The key from which all others are derived; wiped from memory when dropped. Whoever loses it loses every payload.
pub struct MasterKey([u8; 32]);

impl MasterKey {
    /// Takes a key from elsewhere: a secret store, a test.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads the key from `path`, or draws one and writes it there, readable by its owner only, durable when it returns.
    ///
    /// The file holds 64 hexadecimal digits. It must not lie within `data_dir`, where a backup would take it along with what it seals.
    /// Where two processes create it at once, both get the same key.
    ///
    /// # Errors
    /// [`Error::MasterKey`] when the path lies within the data directory or the file holds no key; [`Error::Io`]; [`Error::Randomness`].
    pub fn load_or_create(path: &Path, data_dir: &Path) -> Result<Self> {
        if resolved(path)?.starts_with(resolved(data_dir)?) {
            return Err(bad(path, "it lies within the data directory, next to what it seals"));
        }
        if let Some(key) = Self::load(path)? {
            return Ok(key);
        }
        let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(error::random()?);
        create(path, &bytes)?;
        Self::load(path)?.ok_or_else(|| bad(path, "it vanished while it was created"))
    }

    /// Reads a key from 64 hexadecimal digits, as the file holds them; None when they are none.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.trim().as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut key = Self([0; 32]);
        for (byte, pair) in key.0.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(key)
    }

    /// The installation's secret, from which everything else follows: unwrapped from the file `path`, or drawn and written
    /// there when `fresh` says that there is nothing yet. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::MasterKey`] when the file is missing although there is data, or was wrapped by another master key;
    /// [`Error::Io`]; [`Error::Randomness`].
    pub fn unlock(&self, path: &Path, fresh: bool) -> Result<Self> {
        if !path.exists() {
            if !fresh {
                return Err(bad(path, "the wrapped secret of this installation is missing"));
            }
            let secret = Self(error::random()?);
            secret.wrap(self, path)?;
        }
        let bytes = fs::read(path).map_err(Error::io("read", path))?;
        let wrapping = DataKey(self.derive(WRAPPING, INSTALLATION));
        let sealed = bytes.strip_prefix(&SECRET_MAGIC).and_then(|rest| rest.split_at_checked(12));
        let secret = sealed.and_then(|(nonce, sealed)| table::open(&wrapping, INSTALLATION, nonce, sealed));
        let secret = secret.and_then(|mut secret| std::mem::take(&mut *secret).try_into().ok());
        secret
            .map(Self)
            .ok_or_else(|| bad(path, "the secret of this installation was wrapped by another master key"))
    }

    /// Lays a secret of one's own down, before there is any: for tests, which compare installations.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Randomness`].
    pub fn lay_down(&self, path: &Path, secret: [u8; 32]) -> Result<()> {
        Self(secret).wrap(self, path)
    }

    /// Wraps the installation's secret anew, with another master key than before. Durable when it returns; the server
    /// must not run.
    ///
    /// # Errors
    /// As [`unlock`](Self::unlock).
    pub fn rotate(&self, path: &Path, to: &Self) -> Result<()> {
        self.unlock(path, false)?.wrap(to, path)
    }

    fn wrap(&self, master: &Self, path: &Path) -> Result<()> {
        files::create_dir(parent(path))?;
        let mut bytes = SECRET_MAGIC.to_vec();
        let wrapping = DataKey(master.derive(WRAPPING, INSTALLATION));
        table::seal(&wrapping, INSTALLATION, self.0.to_vec(), &mut bytes)?;
        files::write(path, &bytes)
    }

    fn load(path: &Path) -> Result<Option<Self>> {
        let text = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => Zeroizing::new(text.map_err(Error::io("read", path))?),
        };
        let mode = fs::metadata(path).map_err(Error::io("read", path))?.permissions().mode();
        if mode & 0o077 != 0 {
            tracing::warn!(path = %path.display(), mode = format!("{:o}", mode & 0o777), "others than its owner can read the master key");
        }
        let key = std::str::from_utf8(&text).ok().and_then(Self::from_hex);
        key.map(Some).ok_or_else(|| bad(path, "it does not hold 64 hexadecimal digits"))
    }

    /// A key of its own for one purpose and tenant.
    pub(super) fn derive(&self, purpose: &'static str, tenant: TenantNo) -> [u8; 32] {
        let mut deriving = blake3::Hasher::new_derive_key(purpose);
        deriving.update(&self.0);
        deriving.update(&tenant.0.to_le_bytes());
        *deriving.finalize().as_bytes()
    }
}

impl Drop for MasterKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey")
    }
}

/// Writes the file beside its place and links it there, which fails where another process was first; that is fine.
fn create(path: &Path, bytes: &[u8; 32]) -> Result<()> {
    let parent = parent(path);
    files::create_dir(parent)?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}{}", std::process::id(), files::UNFINISHED));
    let temporary = PathBuf::from(name);
    let _ = fs::remove_file(&temporary);
    let write = || {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&temporary)?;
        let text: Zeroizing<String> = Zeroizing::new(cdp_domain::hex::encode(bytes));
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        match fs::hard_link(&temporary, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    };
    let written = write();
    let _ = fs::remove_file(&temporary);
    written.map_err(Error::io("create", path))?;
    files::sync_dir(parent)
}

/// Where a path leads, with links followed as far as it exists.
fn resolved(path: &Path) -> Result<PathBuf> {
    if let Ok(found) = path.canonicalize() {
        return Ok(found);
    }
    let absolute = std::path::absolute(path).map_err(Error::io("resolve", path))?;
    match (absolute.parent(), absolute.file_name()) {
        (Some(parent), Some(name)) => Ok(resolved(parent)?.join(name)),
        _ => Ok(absolute),
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn bad(path: &Path, what: &'static str) -> Error {
    Error::MasterKey { path: path.to_owned(), what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_created_once_for_its_owner_only_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let (path, data) = (dir.path().join("secrets/master.key"), dir.path().join("data"));
        let first = MasterKey::load_or_create(&path, &data).unwrap();
        let second = MasterKey::load_or_create(&path, &data).unwrap();
        assert_eq!(first.0, second.0);
        assert_ne!(first.0, [0; 32]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path().join("secrets")).unwrap().count(), 1);
    }

    #[test]
    fn a_key_within_the_data_directory_is_refused_also_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        std::os::unix::fs::symlink(&data, dir.path().join("link")).unwrap();
        for path in ["data/master.key", "data/deep/master.key", "link/master.key", "data/../data/k"] {
            let refused = MasterKey::load_or_create(&dir.path().join(path), &data);
            assert!(matches!(refused, Err(Error::MasterKey { .. })), "{path}");
        }
        assert_eq!(fs::read_dir(&data).unwrap().count(), 0);
    }

    #[test]
    fn the_installations_secret_stays_when_the_master_key_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/installation");
        let (old, new) = (MasterKey::from_bytes([1; 32]), MasterKey::from_bytes([2; 32]));
        assert!(matches!(old.unlock(&path, false), Err(Error::MasterKey { .. })));
        let secret = old.unlock(&path, true).unwrap();
        assert_ne!(secret.0, old.0);
        assert!(matches!(new.unlock(&path, true), Err(Error::MasterKey { .. })));
        old.rotate(&path, &new).unwrap();
        assert_eq!(new.unlock(&path, false).unwrap().0, secret.0);
        assert!(matches!(old.unlock(&path, false), Err(Error::MasterKey { .. })));
    }

    #[test]
    fn what_is_no_key_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        for text in ["", "00", &"0g".repeat(32), &"00".repeat(33)] {
            fs::write(&path, text).unwrap();
            let refused = MasterKey::load_or_create(&path, &dir.path().join("data"));
            assert!(matches!(refused, Err(Error::MasterKey { .. })), "{text:?}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
