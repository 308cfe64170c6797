//! Checking a chain that nobody is writing to.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use cdp_domain::ids::TenantNo;

use super::entry::{Entry, NOTHING};
use super::file::ENTRIES;
use super::head::{self, HEAD};
use crate::seal::{DataKeys, Digests};
use crate::{Error, Result};

/// What a chain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Entries.
    pub entries: u64,
    /// Entries whose content is erased.
    pub erased: u64,
    /// The hash of the last.
    pub hash: [u8; 32],
}

/// Where a chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The line, from 1; the number of the entry that should stand there. One past the last line when the end is missing.
    pub line: u64,
    /// What does not hold there.
    pub what: String,
}

/// Reads a whole chain and checks every entry, the links between them, the head, and, with `keys`, that what is sealed is
/// what the commitments stand for.
///
/// # Errors
/// [`Error::Io`]. A chain that does not hold is no error but an answer.
pub fn verify(
    dir: &Path,
    tenant: TenantNo,
    digests: &Digests,
    keys: Option<&dyn DataKeys>,
) -> Result<std::result::Result<Verified, Broken>> {
    let path = dir.join(ENTRIES);
    let file = File::open(&path).map_err(Error::io("open", &path))?;
    let mut reader = BufReader::new(file);
    let mut verified = Verified { entries: 0, erased: 0, hash: NOTHING };
    let (mut place, mut bytes) = (None, Vec::new());
    loop {
        bytes.clear();
        let read = reader.read_until(b'\n', &mut bytes).map_err(Error::io("read", &path))?;
        if read == 0 {
            break;
        }
        let line = verified.entries + 1;
        let broken = |what: &str| Ok(Err(Broken { line, what: what.to_owned() }));
        let Some(text) = bytes.strip_suffix(b"\n").and_then(|text| std::str::from_utf8(text).ok()) else {
            return broken("it is cut off, or no text");
        };
        let entry = match Entry::read(text) {
            Ok(entry) => entry,
            Err(what) => return broken(what),
        };
        if entry.n != line {
            return broken("another entry should stand here");
        }
        if entry.before != verified.hash {
            return broken("it does not follow the entry before");
        }
        if place.is_some_and(|place| entry.place <= place) {
            return broken("it comes from an earlier place than the entry before");
        }
        match keys.map(|keys| entry.open(keys, tenant)) {
            None | Some(Ok(_)) => {}
            Some(Err(Error::KeyDestroyed)) => verified.erased += 1,
            Some(Err(_)) => return broken("what is sealed is not what it stands for"),
        }
        place = Some(entry.place);
        verified = Verified { entries: line, hash: entry.hash, ..verified };
    }
    let broken = |line, what: &str| Ok(Err(Broken { line, what: what.to_owned() }));
    let head = match head::read(dir, digests) {
        Ok(Some([a, b])) => {
            if a.n > b.n {
                a
            } else {
                b
            }
        }
        Ok(None) => return broken(verified.entries + 1, &format!("the file `{HEAD}` is missing")),
        Err(Error::Damaged { what, .. }) => {
            return broken(verified.entries + 1, &format!("the file `{HEAD}` was changed: {what}"));
        }
        Err(error) => return Err(error),
    };
    if head.n > verified.entries {
        let what = format!("the end is missing: there were {} entries", head.n);
        return broken(verified.entries + 1, &what);
    }
    if head.n < verified.entries || head.hash != verified.hash {
        return broken(head.n + 1, "the chain goes on behind its head");
    }
    Ok(Ok(verified))
}
