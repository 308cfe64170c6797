//! One line: written, read back, opened.

use cdp_domain::hex;
use std::fmt::Write as _;

use cdp_domain::ids::TenantNo;
use cdp_domain::time::Timestamp;

use crate::journal::{Header, RecordKind};
use crate::seal::{DataKeys, open_in_place, seal_in_place};
use crate::{Error, Result, error};

/// Format of a line.
const VERSION: &str = "1";
/// Fields of a line.
const FIELDS: usize = 11;
/// The hash before the first entry.
pub(super) const NOTHING: [u8; 32] = [0; 32];
const SALT: usize = 16;

/// Where an entry comes from: a position of the journal, and a number among the entries of that position.
pub type Place = (u64, u32);

/// An entry as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// 1, 2, …
    pub n: u64,
    /// When it was written down, as state's time goes.
    pub at: Timestamp,
    /// Where it comes from.
    pub place: Place,
    /// Which data key sealed it.
    pub key_ref: [u8; 16],
    /// The nonce it was sealed with.
    pub nonce: [u8; 12],
    /// The commitment to salt and content.
    pub commitment: [u8; 32],
    /// Salt and content, sealed.
    pub sealed: Vec<u8>,
    /// The hash of the entry before.
    pub before: [u8; 32],
    /// The hash of this one.
    pub hash: [u8; 32],
}

/// What an entry says.
#[derive(Clone, PartialEq, Eq)]
pub struct Opened {
    /// Drawn for this entry.
    pub salt: [u8; SALT],
    /// What it says.
    pub content: Vec<u8>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opened({} bytes)", self.content.len())
    }
}

/// A commitment to a content.
pub(super) fn commit(salt: &[u8], content: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("cdp 2026 chain commitment");
    hasher.update(salt).update(content);
    *hasher.finalize().as_bytes()
}

fn hash(line: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("cdp 2026 chain entry");
    hasher.update(line.as_bytes());
    *hasher.finalize().as_bytes()
}

impl Entry {
    /// Seals a content as the entry behind `before`.
    pub(super) fn seal(
        keys: &dyn DataKeys,
        tenant: TenantNo,
        (n, at, place): (u64, Timestamp, Place),
        key_ref: [u8; 16],
        content: &[u8],
        before: [u8; 32],
    ) -> Result<Self> {
        let salt: [u8; SALT] = error::random()?;
        let commitment = commit(&salt, content);
        let mut sealed = Vec::with_capacity(SALT + content.len() + 16);
        sealed.extend_from_slice(&salt);
        sealed.extend_from_slice(content);
        let mut header = header(&commitment, key_ref, [0; 12]);
        seal_in_place(keys, tenant, &mut header, &mut sealed)?;
        let mut entry =
            Self { n, at, place, key_ref, nonce: header.nonce, commitment, sealed, before, hash: NOTHING };
        entry.hash = hash(&entry.hashed());
        Ok(entry)
    }

    /// Opens it.
    ///
    /// # Errors
    /// [`Error::KeyDestroyed`] when what it says is erased; [`Error::Sealed`] when it is not what was sealed, or not what
    /// the commitment stands for.
    pub fn open(&self, keys: &dyn DataKeys, tenant: TenantNo) -> Result<Opened> {
        let mut bytes = self.sealed.clone();
        open_in_place(keys, tenant, &header(&self.commitment, self.key_ref, self.nonce), &mut bytes)?;
        let (salt, content) = bytes.split_first_chunk::<SALT>().ok_or(Error::Sealed)?;
        if commit(salt, content) != self.commitment {
            return Err(Error::Sealed);
        }
        Ok(Opened { salt: *salt, content: content.to_vec() })
    }

    /// The line without its hash.
    fn hashed(&self) -> String {
        let mut line = String::with_capacity(320 + 2 * self.sealed.len());
        let (position, k) = self.place;
        let _ = write!(line, "{VERSION} {} {} {position} {k} ", self.n, self.at.0);
        for part in [&self.key_ref[..], &self.nonce, &self.commitment, &self.sealed, &self.before] {
            hex::push(part, &mut line);
            line.push(' ');
        }
        line
    }

    /// The line with its end.
    pub(super) fn line(&self) -> String {
        let mut line = self.hashed();
        hex::push(&self.hash, &mut line);
        line.push('\n');
        line
    }

    /// Reads a line without its end, which must be exactly as [`line`](Self::line) writes it; says what is wrong.
    pub(super) fn read(line: &str) -> std::result::Result<Self, &'static str> {
        let form = "it does not have the form of an entry";
        let fields: Vec<&str> = line.split(' ').collect();
        let fields: [&str; FIELDS] = fields.try_into().map_err(|_| form)?;
        if fields[0] != VERSION {
            return Err("it has an unknown format version");
        }
        let hashed = line.len() - fields[10].len();
        let entry = Self {
            n: fields[1].parse().map_err(|_| form)?,
            at: Timestamp(fields[2].parse().map_err(|_| form)?),
            place: (fields[3].parse().map_err(|_| form)?, fields[4].parse().map_err(|_| form)?),
            key_ref: hex::decode(fields[5]).ok_or(form)?,
            nonce: hex::decode(fields[6]).ok_or(form)?,
            commitment: hex::decode(fields[7]).ok_or(form)?,
            sealed: hex::decode_all(fields[8]).ok_or(form)?,
            before: hex::decode(fields[9]).ok_or(form)?,
            hash: hex::decode(fields[10]).ok_or(form)?,
        };
        if hash(&line[..hashed]) != entry.hash {
            return Err("its hash is not that of what it says");
        }
        Ok(entry)
    }
}

fn header(commitment: &[u8; 32], key_ref: [u8; 16], nonce: [u8; 12]) -> Header {
    Header {
        kind: RecordKind::Config,
        received_at: Timestamp(0),
        id: commitment[..16].try_into().expect("16 bytes"),
        body: commitment[16..24].try_into().expect("eight bytes"),
        key_ref,
        nonce,
        redacted: false,
    }
}
