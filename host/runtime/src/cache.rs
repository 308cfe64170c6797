//! Compiled components on disk. Compiled code is trusted with the whole process, so a file counts only if it carries
//! a keyed digest that this server made, over exactly these bytes for exactly this engine; anything else is compiled anew.
//!
//! A file is what the engine wrote, what inspection found as JSON, how long that is, 16 random bytes, 32 bytes of keyed BLAKE3
//! and `CDPC4\n`. So a plugin is loaded without its component, which is larger to read and to look at. The file is written
//! beside its place and renamed, so a reader sees all of it or none, and nobody writes into it afterwards.
//!
//! Compiled code is long, an interpreter's some 30 MB. Its parts of 1 MiB go through the MAC of AEGIS-128L
//! (draft-irtf-cfrg-aegis-aead), which takes a quarter of BLAKE3's time; the key is the file's own, and the nonce is where the
//! part stands. BLAKE3 is over the answers, and decides.
//!
//! It is read for that and not mapped: a sector that cannot be read is then an error, and the component is compiled anew.
//!
//! What was checked is mapped, not copied: a copy costs more than everything else about loading, and memory that the system
//! cannot take back. From then on the file is trusted as the server's own program file is: who could write into either can
//! read the key as well.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use aegis::aegis128l::Aegis128LMac;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::digest::Digest;
use crate::inspect::Inspection;
use crate::places::locked;
use crate::told::Told;

/// Raised when settings change that the engine's own compatibility hash leaves out.
const SETTINGS: &[u8] = b"cdp-runtime compiled components 2: canonical NaN, no address map";

/// What a file holds. It says so, and is authenticated as that and nothing else.
#[derive(Clone, Copy)]
struct Kind {
    magic: &'static [u8; 6],
    ending: &'static str,
}

const CODE: Kind = Kind { magic: b"CDPC4\n", ending: "compiled" };
const TOLD: Kind = Kind { magic: b"CDPT2\n", ending: "told" };

/// How long the inspection is, behind it.
const LENGTH: usize = 4;
/// Behind what is signed: what makes the key the file's own, the digest, and the magic.
const TAIL: usize = SALT + MAC + CODE.magic.len();
const SALT: usize = 16;
const MAC: usize = 32;

/// Bytes that go through one MAC. The digest is over the answers for these parts.
const PART: usize = 1 << 20;
/// Bytes read at a time: they stay in the core's own cache.
const PIECE: usize = 64 << 10;
/// Files of more parts are hashed by two threads.
const ALONE: usize = 4;

/// A directory of compiled components for one engine.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
    key: [u8; 32],
    parts_key: [u8; 32],
    engine: [u8; 32],
}

impl Cache {
    /// Opens, and if need be makes, the directory.
    pub(crate) fn open(dir: &Path, key: [u8; 32], engine: &Engine) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let mut hasher = Blake3(blake3::Hasher::new());
        hasher.write(SETTINGS);
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let engine = *hasher.0.finalize().as_bytes();
        let parts_key = *blake3::keyed_hash(&key, b"parts of compiled code").as_bytes();
        Ok(Self { dir: dir.to_owned(), key, parts_key, engine })
    }

    /// The compiled component and what inspection found, if there is a file that can be trusted and loaded.
    pub(crate) fn load(&self, engine: &Engine, digest: Digest) -> Option<(Component, Inspection)> {
        let named = self.path(digest, CODE);
        let file = fs::File::open(&named).ok()?;
        let signed = usize::try_from(file.metadata().ok()?.len()).ok()?.checked_sub(TAIL)?;
        let mut tail = [0; TAIL];
        file.read_exact_at(&mut tail, signed as u64).ok()?;
        let (salt, tail) = tail.split_first_chunk::<SALT>()?;
        let (mac, magic) = tail.split_first_chunk::<MAC>()?;
        // Hashes of blake3 compare in constant time.
        if magic != CODE.magic
            || self.mac(digest, *salt, &file, signed).ok()? != blake3::Hash::from_bytes(*mac)
        {
            return None;
        }
        let mut length = [0; LENGTH];
        let found_to = signed.checked_sub(LENGTH)?;
        file.read_exact_at(&mut length, found_to as u64).ok()?;
        let mut found = vec![0; usize::try_from(u32::from_le_bytes(length)).ok()?];
        let found_at = found_to.checked_sub(found.len())?;
        file.read_exact_at(&mut found, found_at as u64).ok()?;
        let inspection: Inspection = serde_json::from_slice(&found).ok()?;
        // The engine opens files by their names. This one has one as long as it is open here, which is that of the very file
        // that was checked.
        let open = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let component = mapped(engine, if open.exists() { &open } else { &named }).ok()?;
        Some((component, inspection))
    }

    /// Keeps a compiled component, and what inspection found of it, for the next start.
    pub(crate) fn store(&self, inspection: &Inspection, code: &[u8]) -> io::Result<()> {
        let found = serde_json::to_vec(inspection)?;
        let length = u32::try_from(found.len()).map_err(io::Error::other)?.to_le_bytes();
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        let parts = [code, &found, &length];
        parts.iter().try_for_each(|part| file.write_all(part))?;
        let signed = parts.iter().map(|part| part.len()).sum();
        let mut salt = [0; SALT];
        getrandom::fill(&mut salt)?;
        let mac = self.mac(inspection.digest, salt, file.as_file(), signed)?;
        [&salt, &mac.as_bytes()[..], CODE.magic].iter().try_for_each(|part| file.write_all(part))?;
        self.place(file, inspection.digest, CODE)
    }

    /// The keyed digest over the first so many bytes of a file.
    fn mac(
        &self,
        digest: Digest,
        salt: [u8; SALT],
        file: &fs::File,
        bytes: usize,
    ) -> io::Result<blake3::Hash> {
        let mut mac = self.hasher(digest, CODE);
        mac.update(&salt).update(&(bytes as u64).to_le_bytes());
        let key = self.parts_key(digest, salt);
        let parts = bytes.div_ceil(PART);
        let tags = Mutex::new(vec![None; parts]);
        let next = AtomicUsize::new(0);
        let work = || {
            let mut piece = vec![0; PIECE];
            loop {
                let part = next.fetch_add(1, Ordering::Relaxed);
                if part >= parts {
                    return Ok(());
                }
                let mut tag = Aegis128LMac::<MAC>::new_with_nonce(&key, &(part as u128).to_le_bytes());
                let (mut at, end) = (part * PART, bytes.min((part + 1) * PART));
                while at < end {
                    let some = &mut piece[..PIECE.min(end - at)];
                    file.read_exact_at(some, at as u64)?;
                    tag.update(some);
                    at += some.len();
                }
                locked(&tags)[part] = Some(tag.finalize());
            }
        };
        std::thread::scope(|scope| {
            // Without another thread it takes longer.
            let other = (parts > ALONE).then(|| std::thread::Builder::new().spawn_scoped(scope, work).ok());
            let own: io::Result<()> = work();
            let other = other.flatten().map_or(Ok(Ok(())), std::thread::ScopedJoinHandle::join);
            own.and(other.map_err(|_| io::Error::other("a thread that reads panicked"))?)
        })?;
        for tag in locked(&tags).iter() {
            mac.update(tag.as_ref().ok_or_else(|| io::Error::other("a part was not read"))?);
        }
        Ok(mac.finalize())
    }

    /// The key for the parts of one file.
    fn parts_key(&self, digest: Digest, salt: [u8; SALT]) -> [u8; 16] {
        let mut key = [0; 16];
        let mut hasher = blake3::Hasher::new_keyed(&self.parts_key);
        hasher.update(&digest.0).update(&self.engine).update(&salt).finalize_xof().fill(&mut key);
        key
    }

    /// What a component said of itself, if there is a file that can be trusted.
    pub(crate) fn told(&self, digest: Digest) -> Option<Told> {
        let file = fs::read(self.path(digest, TOLD)).ok()?;
        let (mac, told) = file.strip_prefix(TOLD.magic)?.split_first_chunk::<MAC>()?;
        let genuine = self.hasher(digest, TOLD).update(told).finalize();
        (genuine == blake3::Hash::from_bytes(*mac)).then(|| serde_json::from_slice(told).ok()).flatten()
    }

    /// Keeps what a component said of itself.
    pub(crate) fn keep(&self, digest: Digest, told: &Told) -> io::Result<()> {
        let told = serde_json::to_vec(told)?;
        let mac = self.hasher(digest, TOLD).update(&told).finalize();
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        [TOLD.magic, &mac.as_bytes()[..], &told].iter().try_for_each(|part| file.write_all(part))?;
        self.place(file, digest, TOLD)
    }

    /// Puts a whole file where it is looked for. From here on it is only read or replaced.
    fn place(&self, file: tempfile::NamedTempFile, digest: Digest, kind: Kind) -> io::Result<()> {
        file.as_file().set_permissions(fs::Permissions::from_mode(0o400))?;
        file.persist(self.path(digest, kind)).map_err(|error| error.error)?;
        Ok(())
    }

    fn path(&self, digest: Digest, kind: Kind) -> PathBuf {
        let engine = blake3::Hash::from_bytes(self.engine).to_hex();
        self.dir.join(format!("{digest}-{}.{}", &engine[..16], kind.ending))
    }

    fn hasher(&self, digest: Digest, kind: Kind) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(kind.magic).update(&digest.0).update(&self.engine);
        hasher
    }
}

/// Makes a component of machine code that this server compiled.
#[expect(
    unsafe_code,
    reason = "the engine cannot check machine code. The caller has just verified a keyed digest that only this server can \
              make, over this file, which is written before it has its name and never after"
)]
fn mapped(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file came out of `Engine::precompile_component` of a compatible engine; see the reason above.
    unsafe { Component::deserialize_file(engine, path) }
}

/// Makes a component of machine code that this server compiled.
#[expect(
    unsafe_code,
    reason = "the engine cannot check machine code. The caller has just got it from its own compiler, in this \
              process or in a child that is this very program"
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

#[cfg(test)]
mod tests {
    use std::io::Seek as _;

    use super::*;

    const SALTED: [u8; SALT] = [3; SALT];

    fn cache(dir: &Path, key: u8) -> Cache {
        Cache::open(dir, [key; 32], &Engine::default()).unwrap()
    }

    /// Every byte counts, and where it stands, also in files that two threads share.
    #[test]
    fn the_digest_is_of_every_byte_of_every_part() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, digest) = (cache(dir.path(), 1), Digest([7; 32]));
        for bytes in [0, 1, PART - 1, PART, PART + 1, ALONE * PART, ALONE * PART + 1, 6 * PART + 3] {
            let mut file = tempfile::tempfile().unwrap();
            let content: Vec<u8> = (0..bytes).map(|at| (at / PART * 7 + at % 251) as u8).collect();
            file.write_all(&content).unwrap();
            let mac = cache.mac(digest, SALTED, &file, bytes).unwrap();
            assert_eq!(cache.mac(digest, SALTED, &file, bytes).unwrap(), mac, "{bytes}: the same again");
            assert_ne!(
                cache.mac(Digest([8; 32]), SALTED, &file, bytes).unwrap(),
                mac,
                "{bytes}: of another component"
            );
            assert_ne!(cache.mac(digest, [4; SALT], &file, bytes).unwrap(), mac, "{bytes}: of another file");
            let mut changed = |at: usize, new: &[u8], what: &str| {
                file.seek(io::SeekFrom::Start(at as u64)).unwrap();
                file.write_all(new).unwrap();
                assert_ne!(cache.mac(digest, SALTED, &file, bytes).unwrap(), mac, "{bytes}: {what} at {at}");
                file.seek(io::SeekFrom::Start(at as u64)).unwrap();
                file.write_all(&content[at..at + new.len()]).unwrap();
            };
            for at in [0, PIECE, PART - 1, PART, 3 * PART + PIECE + 5, bytes.saturating_sub(1)] {
                if at < bytes {
                    changed(at, &[content[at] ^ 0x10], "a flipped bit");
                }
            }
            if bytes >= 2 * PART {
                changed(0, &[&content[PART..2 * PART], &content[..PART]].concat(), "two parts in turn");
            }
            if bytes > 0 {
                assert_ne!(
                    cache.mac(digest, SALTED, &file, bytes - 1).unwrap(),
                    mac,
                    "{bytes}: without the last"
                );
            }
            assert_eq!(cache.mac(digest, SALTED, &file, bytes).unwrap(), mac, "{bytes}: as it was");
            assert!(cache.mac(digest, SALTED, &file, bytes + 1).is_err(), "{bytes}: more than there is");
        }
    }

    #[test]
    fn a_file_of_one_kind_is_none_of_another() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, digest) = (cache(dir.path(), 1), Digest([7; 32]));
        let hashes = [cache.hasher(digest, CODE).finalize(), cache.hasher(digest, TOLD).finalize()];
        assert_ne!(hashes[0], hashes[1]);
        assert_ne!(blake3::keyed_hash(&cache.key, b""), blake3::keyed_hash(&cache.parts_key, b""));
        let keys = [
            cache.parts_key(digest, SALTED),
            cache.parts_key(digest, [4; SALT]),
            cache.parts_key(Digest([8; 32]), SALTED),
            self::cache(dir.path(), 2).parts_key(digest, SALTED),
        ];
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(key), "the parts of every file have a key of their own");
        }
    }
}
