//! The head: the number and hash of the last entry, with a keyed code, so that a chain whose end was cut off is noticed.
//!
//! A file of two slots of [`SLOT`] bytes, both in one sector. A head goes into the slot that does not hold the newest one,
//! and is not synced: entries are, before it. So each append costs one sync and not three; a machine that loses power
//! goes on from an earlier head, as after a crash between an entry and its head.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use cdp_domain::hex;

use crate::seal::Digests;
use crate::{Error, Result, files};

pub(super) const HEAD: &str = "head";

/// A slot: `2`, number, hash and code, apart by spaces and filled up with them, and a line feed.
const SLOT: usize = 128;

/// The end of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) n: u64,
    pub(super) hash: [u8; 32],
}

/// The file, open for writing.
#[derive(Debug)]
pub(super) struct HeadFile {
    file: File,
    /// Where the next head goes.
    slot: u64,
}

impl HeadFile {
    /// Opens the file so that it says `head`. What is there may be nothing, or an earlier head, or damaged in part.
    pub(super) fn open(dir: &Path, digests: &Digests, head: Head) -> Result<Self> {
        let path = dir.join(HEAD);
        if !matches!(read(dir, digests), Ok(Some(found)) if found == [head; 2]) {
            files::write(&path, &[slot(digests, head); 2].concat())?;
        }
        let file = OpenOptions::new().write(true).open(&path).map_err(Error::io("open", &path))?;
        Ok(Self { file, slot: 0 })
    }

    /// Says that the chain ends here. The operating system has it when this returns, the disk some time later.
    pub(super) fn put(&mut self, dir: &Path, digests: &Digests, head: Head) -> Result<()> {
        let at = self.slot * SLOT as u64;
        let put = self.file.write_all_at(&slot(digests, head), at);
        put.map_err(Error::io("write", &dir.join(HEAD)))?;
        self.slot = 1 - self.slot;
        Ok(())
    }
}

fn code(digests: &Digests, head: Head) -> [u8; 16] {
    digests.wide_of(&[&head.n.to_le_bytes(), &head.hash])
}

fn slot(digests: &Digests, head: Head) -> [u8; SLOT] {
    let mut text = format!("2 {} ", head.n);
    hex::push(&head.hash, &mut text);
    text.push(' ');
    hex::push(&code(digests, head), &mut text);
    let mut slot = [b' '; SLOT];
    slot[..text.len()].copy_from_slice(text.as_bytes());
    slot[SLOT - 1] = b'\n';
    slot
}

/// What the slots say; None when there is no such file.
///
/// # Errors
/// [`Error::Damaged`] unless both slots hold heads of this chain; [`Error::Io`].
pub(super) fn read(dir: &Path, digests: &Digests) -> Result<Option<[Head; 2]>> {
    let Some(slots) = slots(dir, digests)? else { return Ok(None) };
    let [Some(a), Some(b)] = slots else { return Err(damaged(dir)) };
    Ok(Some([a, b]))
}

/// The newest head that can be read; None when there is no such file.
///
/// # Errors
/// [`Error::Damaged`] when neither slot holds a head of this chain; [`Error::Io`].
pub(super) fn newest(dir: &Path, digests: &Digests) -> Result<Option<Head>> {
    let Some(slots) = slots(dir, digests)? else { return Ok(None) };
    let newest = slots.into_iter().flatten().max_by_key(|head| head.n);
    newest.map(Some).ok_or_else(|| damaged(dir))
}

fn damaged(dir: &Path) -> Error {
    let what = "it is not the head of a chain of this installation";
    Error::Damaged { file: dir.join(HEAD), offset: 0, what }
}

fn slots(dir: &Path, digests: &Digests) -> Result<Option<[Option<Head>; 2]>> {
    let path = dir.join(HEAD);
    let bytes = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(Error::io("read", &path))?,
    };
    if bytes.starts_with(b"1 ") {
        let what =
            "the head has the format 1, which this version does not read; without the file it is made anew";
        return Err(Error::Damaged { file: path, offset: 0, what });
    }
    if bytes.len() != SLOT * 2 {
        return Err(damaged(dir));
    }
    let one = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).ok()?;
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let [_, n, hash, _] = fields[..] else { return None };
        let head = Head { n: n.parse().ok()?, hash: hex::decode(hash)? };
        // There is one way to write it.
        (slot(digests, head) == bytes).then_some(head)
    };
    let (a, b) = bytes.split_at(SLOT);
    Ok(Some([one(a), one(b)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::MasterKey;
    use cdp_domain::ids::TenantNo;

    fn of(installation: u8) -> Digests {
        Digests::new(&MasterKey::from_bytes([installation; 32]), TenantNo(1), "cdp test head")
    }

    fn head(n: u64) -> Head {
        Head { n, hash: [n as u8; 32] }
    }

    fn put(dir: &Path, slots: [&[u8]; 2]) {
        std::fs::write(dir.join(HEAD), slots.concat()).unwrap();
    }

    #[test]
    fn the_newest_counts_and_one_damaged_slot_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let digests = of(7);
        assert_eq!(newest(dir.path(), &digests).unwrap(), None);
        let mut file = HeadFile::open(dir.path(), &digests, head(0)).unwrap();
        assert_eq!(read(dir.path(), &digests).unwrap(), Some([head(0), head(0)]));
        for n in [1, 2, 5, u64::MAX] {
            let before = newest(dir.path(), &digests).unwrap().unwrap();
            file.put(dir.path(), &digests, head(n)).unwrap();
            assert_eq!(newest(dir.path(), &digests).unwrap(), Some(head(n)));
            let both = read(dir.path(), &digests).unwrap().unwrap();
            assert!(both.contains(&before), "the one before is kept");
        }
        let (a, b) = (slot(&digests, head(3)), slot(&digests, head(4)));
        let mut torn = b;
        torn[70] ^= 1;
        put(dir.path(), [&a, &torn]);
        assert_eq!(newest(dir.path(), &digests).unwrap(), Some(head(3)));
        assert!(matches!(read(dir.path(), &digests), Err(Error::Damaged { .. })));
        put(dir.path(), [&torn, &torn]);
        assert!(matches!(newest(dir.path(), &digests), Err(Error::Damaged { .. })));
        put(dir.path(), [&a, &[]]);
        assert!(matches!(newest(dir.path(), &digests), Err(Error::Damaged { .. })));
        std::fs::write(dir.path().join(HEAD), "1 4 what versions before wrote\n").unwrap();
        let told = newest(dir.path(), &digests).unwrap_err().to_string();
        assert!(told.contains("has the format 1"), "{told}");
        // Another installation's.
        let other = of(8);
        put(dir.path(), [&a, &b]);
        assert!(matches!(newest(dir.path(), &other), Err(Error::Damaged { .. })));
        // Opened again, both slots say the same.
        HeadFile::open(dir.path(), &digests, head(4)).unwrap();
        assert_eq!(read(dir.path(), &digests).unwrap(), Some([head(4), head(4)]));
    }
}
