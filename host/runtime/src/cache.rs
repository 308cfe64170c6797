//! Compiled components on disk. Compiled code is trusted with the whole process, so a file counts only if it carries
//! a keyed digest that this server made, over exactly these bytes for exactly this engine; anything else is compiled anew.
//!
//! A file is `CDPC2\n`, 32 bytes of keyed BLAKE3, what the engine wrote, what inspection found as JSON, and how long that
//! is. So a plugin is loaded without its component, which is larger to read and to look at. The file is written beside its
//! place and renamed, so a reader sees all of it or none.
//!
//! What is loaded is a copy in memory that is hashed while it is made and that nobody can change any more; a mapping of
//! the file itself would be what the file is at any later moment.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::digest::Digest;
use crate::inspect::Inspection;

const MAGIC: &[u8; 6] = b"CDPC2\n";
const HEADER: usize = MAGIC.len() + 32;

/// Raised when settings change that the engine's own compatibility hash leaves out.
const SETTINGS: &[u8] = b"cdp-runtime compiled components 2: canonical NaN, no address map";

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

    /// The compiled component and what inspection found, if there is a file that can be trusted and loaded.
    pub(crate) fn load(&self, engine: &Engine, digest: Digest) -> Option<(Component, Inspection)> {
        let mut file = fs::File::open(self.path(digest)).ok()?;
        let bytes = file.metadata().ok()?.len();
        let mut header = [0; HEADER];
        file.read_exact(&mut header).ok()?;
        let (magic, mac) = header.split_at(MAGIC.len());
        let mac: [u8; 32] = mac.try_into().ok()?;
        if magic != MAGIC || bytes < (HEADER + TAIL) as u64 {
            return None;
        }
        let copy = Copy::of(&mut file, bytes - HEADER as u64, self.hasher(digest)).ok()?;
        // Hashes of blake3 compare in constant time.
        if blake3::Hash::from_bytes(mac) != copy.mac {
            return None;
        }
        let inspection: Inspection = serde_json::from_slice(&copy.inspection).ok()?;
        let component = copy.code.component(engine).ok()?;
        Some((component, inspection))
    }

    /// Keeps a compiled component, and what inspection found of it, for the next start.
    pub(crate) fn store(&self, inspection: &Inspection, code: &[u8]) -> io::Result<()> {
        let found = serde_json::to_vec(inspection)?;
        let length = u32::try_from(found.len()).map_err(io::Error::other)?.to_le_bytes();
        let mut mac = self.hasher(inspection.digest);
        mac.update(code).update(&found).update(&length);
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        for part in [&MAGIC[..], mac.finalize().as_bytes(), code, &found, &length] {
            file.write_all(part)?;
        }
        file.persist(self.path(inspection.digest)).map_err(|error| error.error)?;
        Ok(())
    }

    fn path(&self, digest: Digest) -> PathBuf {
        let engine = blake3::Hash::from_bytes(self.engine).to_hex();
        self.dir.join(format!("{digest}-{}.compiled", &engine[..16]))
    }

    fn hasher(&self, digest: Digest) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&digest.0).update(&self.engine);
        hasher
    }
}

/// Bytes read, hashed and written at a time: they stay in the core's own cache.
const PIECE: usize = 256 << 10;
/// Bytes at the end that say how long the inspection is.
const TAIL: usize = 4;

/// What a file holds behind its header, read once.
struct Copy {
    code: Held,
    inspection: Vec<u8>,
    mac: blake3::Hash,
}

/// Machine code in memory.
enum Held {
    /// A file that lies in memory alone, has no name, and is sealed in the end.
    File(fs::File),
    /// Where a system makes no such files.
    Bytes(Vec<u8>),
}

impl Copy {
    /// Reads so many bytes, to the end, and hashes them on the way.
    fn of(from: &mut fs::File, bytes: u64, mut hasher: blake3::Hasher) -> io::Result<Self> {
        let end = from.stream_position()? + bytes;
        from.seek(SeekFrom::Start(end - TAIL as u64))?;
        let mut tail = [0; TAIL];
        from.read_exact(&mut tail)?;
        let length = u64::from(u32::from_le_bytes(tail));
        let mut left = bytes.checked_sub(TAIL as u64 + length).ok_or(io::ErrorKind::InvalidData)?;
        from.seek(SeekFrom::Start(end - bytes))?;
        let mut code = Held::new();
        let mut piece = vec![0; PIECE];
        while left > 0 {
            let some = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            from.read_exact(&mut piece[..some])?;
            hasher.update(&piece[..some]);
            match &mut code {
                Held::File(file) => file.write_all(&piece[..some])?,
                Held::Bytes(bytes) => bytes.extend_from_slice(&piece[..some]),
            }
            left -= some as u64;
        }
        code.seal()?;
        let mut inspection = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        from.read_exact(&mut inspection)?;
        hasher.update(&inspection).update(&tail);
        Ok(Self { code, inspection, mac: hasher.finalize() })
    }
}

impl Held {
    fn new() -> Self {
        match memfd_create("plugin", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING) {
            Ok(file) => Self::File(fs::File::from(file)),
            Err(_) => Self::Bytes(Vec::new()),
        }
    }

    /// From here on the pages that the engine maps are those that were written.
    fn seal(&self) -> io::Result<()> {
        let Self::File(file) = self else { return Ok(()) };
        fcntl_add_seals(file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok(())
    }

    fn component(self, engine: &Engine) -> wasmtime::Result<Component> {
        let mut file = match self {
            Self::File(file) => file,
            Self::Bytes(code) => return deserialize(engine, &code),
        };
        // The engine opens files by their names; this one has one as long as it is open here.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        if Path::new(&path).exists() {
            return mapped(engine, Path::new(&path));
        }
        let mut code = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut code)?;
        deserialize(engine, &code)
    }
}

/// Makes a component of machine code that this server compiled, and that nobody can change any more.
#[expect(
    unsafe_code,
    reason = "the engine cannot check machine code. The caller has verified a keyed digest that only this server can make, \
              over these very pages: they lie in memory, in a file that was sealed before its digest was compared"
)]
fn mapped(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file came out of `Engine::precompile_component` of a compatible engine; see the reason above.
    unsafe { Component::deserialize_file(engine, path) }
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
