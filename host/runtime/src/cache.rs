//! Compiled components on disk. Compiled code is trusted with the whole process, so a file counts only if it carries
//! a keyed digest that this server made, over exactly these bytes for exactly this engine; anything else is compiled anew.
//!
//! A file is `CDPC1\n`, 32 bytes of keyed BLAKE3, then what the engine wrote. It is written beside its place and
//! renamed, so a reader sees all of it or none.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::digest::Digest;

const MAGIC: &[u8; 6] = b"CDPC1\n";
const HEADER: usize = MAGIC.len() + 32;

/// Raised when settings change that the engine's own compatibility hash leaves out.
const SETTINGS: &[u8] = b"cdp-runtime compiled components 1: canonical NaN";

/// A directory of compiled components for one engine.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
    key: [u8; 32],
    engine: [u8; 32],
}

impl Cache {
    /// Opens, and if need be makes, the directory.
    pub(crate) fn open(dir: &Path, key: [u8; 32], engine: &Engine) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let mut hasher = Blake3(blake3::Hasher::new());
        hasher.write(SETTINGS);
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { dir: dir.to_owned(), key, engine: *hasher.0.finalize().as_bytes() })
    }

    /// Whether there is a file for this component; it may still turn out not to be genuine.
    pub(crate) fn has(&self, digest: Digest) -> bool {
        self.path(digest).is_file()
    }

    /// The compiled component, if there is one that can be trusted and loaded.
    pub(crate) fn load(&self, engine: &Engine, digest: Digest) -> Option<Component> {
        let bytes = fs::read(self.path(digest)).ok()?;
        let (header, code) = bytes.split_at_checked(HEADER)?;
        let (magic, mac) = header.split_at(MAGIC.len());
        let mac: [u8; 32] = mac.try_into().ok()?;
        // Hashes of blake3 compare in constant time.
        if magic != MAGIC || blake3::Hash::from_bytes(mac) != self.mac(digest, code) {
            return None;
        }
        deserialize(engine, code).ok()
    }

    /// Keeps a compiled component for the next start.
    pub(crate) fn store(&self, digest: Digest, code: &[u8]) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        file.write_all(MAGIC)?;
        file.write_all(self.mac(digest, code).as_bytes())?;
        file.write_all(code)?;
        file.persist(self.path(digest)).map_err(|error| error.error)?;
        Ok(())
    }

    fn path(&self, digest: Digest) -> PathBuf {
        let engine = blake3::Hash::from_bytes(self.engine).to_hex();
        self.dir.join(format!("{digest}-{}.compiled", &engine[..16]))
    }

    fn mac(&self, digest: Digest, code: &[u8]) -> blake3::Hash {
        blake3::Hasher::new_keyed(&self.key).update(&digest.0).update(&self.engine).update(code).finalize()
    }
}

/// Makes a component of machine code that this server compiled.
#[expect(
    unsafe_code,
    reason = "the engine cannot check machine code. There are two callers. One has just verified, over these very bytes \
              in memory, a keyed digest that only this server can make. The other has just got them from its own \
              compiler, in this process or in a child that is this very program"
)]
pub(crate) fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` came out of `Engine::precompile_component` of a compatible engine; see the reason above.
    unsafe { Component::deserialize(engine, code) }
}

/// Lets the standard library's `Hash` feed BLAKE3, whose result is the same in every process.
struct Blake3(blake3::Hasher);

impl Hasher for Blake3 {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0.finalize().as_bytes()[..8]);
        u64::from_le_bytes(first)
    }
}
