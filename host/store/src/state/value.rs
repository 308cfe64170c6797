//! Values as they are handed out, and as they are stored.

use std::fmt;

use crate::kv::{VALUE_BYTES_MAX, Value};
use crate::{Error, Result};

/// The highest format version of a value; the one above marks heads of large values.
pub const VERSION_MAX: u8 = 0xfe;
/// The largest value, in bytes: 16 MiB, inclusive.
pub const ENVELOPE_BYTES_MAX: usize = 16 << 20;

pub(super) const LARGE: u8 = 0xff;
const HEAD_BYTES: usize = 12;
const FIRST_PIECE_BYTES: usize = VALUE_BYTES_MAX - HEAD_BYTES;

/// A value with the version of its format, which the reader must look at first.
#[derive(Clone)]
pub struct Envelope {
    version: u8,
    held: Held,
}

#[derive(Clone)]
enum Held {
    /// As stored, the version in front.
    Small(Value),
    Large(Value),
}

impl Envelope {
    /// The version of the format in which [`bytes`](Self::bytes) are.
    #[must_use]
    pub fn version(&self) -> u8 {
        self.version
    }

    /// The value's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.held {
            Held::Small(stored) => &stored[1..],
            Held::Large(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Envelope {
    /// Shows version and length only: values are customer data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Envelope(version {}, {} bytes)", self.version, self.bytes().len())
    }
}

/// What stands under a key: a value, or the head of a large one.
pub(super) enum Stored {
    Small(Envelope),
    Large(Head),
}

/// A large value's first piece, and what it takes to add the others.
pub(super) struct Head {
    version: u8,
    pub(super) pieces: u16,
    len: usize,
    crc: u32,
    stored: Value,
}

impl Stored {
    pub(super) fn read(stored: Value) -> Result<Self> {
        match stored.first() {
            None => Err(Error::Malformed { what: "it has no version" }),
            Some(&LARGE) => Head::read(stored).map(Self::Large),
            Some(&version) => Ok(Self::Small(Envelope { version, held: Held::Small(stored) })),
        }
    }
}

impl Head {
    fn read(stored: Value) -> Result<Self> {
        if stored.len() < HEAD_BYTES {
            return Err(Error::Malformed { what: "the head of a large value is too short" });
        }
        let number = |at: usize| u32::from_be_bytes(stored[at..at + 4].try_into().expect("four bytes"));
        let pieces = u16::from_be_bytes([stored[2], stored[3]]);
        Ok(Self { version: stored[1], pieces, len: number(4) as usize, crc: number(8), stored })
    }

    /// Puts a large value together; `None` when the pieces are not those of this head.
    pub(super) fn join(&self, pieces: &[Option<Value>]) -> Option<Envelope> {
        let mut bytes = Vec::with_capacity(self.len.min(ENVELOPE_BYTES_MAX));
        bytes.extend_from_slice(&self.stored[HEAD_BYTES..]);
        for piece in pieces {
            bytes.extend_from_slice(piece.as_ref()?);
        }
        let whole = bytes.len() == self.len && crc32fast::hash(&bytes) == self.crc;
        whole.then(|| Envelope { version: self.version, held: Held::Large(bytes.into()) })
    }
}

/// A value cut for storing: what goes under the key, and the further pieces.
pub(super) fn cut(version: u8, bytes: &[u8]) -> Result<(Vec<u8>, Vec<Vec<u8>>)> {
    assert!(version <= VERSION_MAX, "version 255 marks large values");
    if bytes.len() > ENVELOPE_BYTES_MAX {
        let (bytes, bytes_max) = (bytes.len() as u64, ENVELOPE_BYTES_MAX as u64);
        return Err(Error::TooLarge { what: "a value", bytes, bytes_max });
    }
    if bytes.len() < VALUE_BYTES_MAX {
        let mut stored = Vec::with_capacity(1 + bytes.len());
        stored.push(version);
        stored.extend_from_slice(bytes);
        return Ok((stored, Vec::new()));
    }
    let (first, rest) = bytes.split_at(FIRST_PIECE_BYTES);
    let pieces: Vec<Vec<u8>> = rest.chunks(VALUE_BYTES_MAX).map(<[u8]>::to_vec).collect();
    let count = u16::try_from(pieces.len()).expect("the largest value has fewer pieces");
    let mut head = Vec::with_capacity(VALUE_BYTES_MAX);
    head.extend_from_slice(&[LARGE, version]);
    head.extend_from_slice(&count.to_be_bytes());
    head.extend_from_slice(&u32::try_from(bytes.len()).expect("bounded above").to_be_bytes());
    head.extend_from_slice(&crc32fast::hash(bytes).to_be_bytes());
    head.extend_from_slice(first);
    Ok((head, pieces))
}
