//! Compression of text.

use std::io::Write;

use cdp_engine::{Refused, Result};
use flate2::write::GzEncoder;
use zstd::stream::write::Encoder as Zstd;

use super::Hashed;
use crate::plan::Compression;

/// The level of zstd: its own default.
const ZSTD_LEVEL: i32 = 3;

pub(super) enum Packer {
    Plain(Box<Hashed>),
    Gzip(Box<GzEncoder<Hashed>>),
    Zstd(Box<Zstd<'static, Hashed>>),
}

impl Packer {
    pub(super) fn new(out: Hashed, compression: Compression) -> Result<Self> {
        Ok(match compression {
            Compression::None => Self::Plain(Box::new(out)),
            // Its header carries no time: the same rows are the same bytes.
            Compression::Gzip => Self::Gzip(Box::new(GzEncoder::new(out, flate2::Compression::default()))),
            Compression::Zstd => {
                let mut packer = Zstd::new(out, ZSTD_LEVEL).map_err(Refused::internal)?;
                packer.include_checksum(true).map_err(Refused::internal)?;
                Self::Zstd(Box::new(packer))
            }
        })
    }

    pub(super) fn write_all(&mut self, part: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Plain(out) => out.write_all(part),
            Self::Gzip(packer) => packer.write_all(part),
            Self::Zstd(packer) => packer.write_all(part),
        }
    }

    pub(super) fn finish(self) -> Result<Hashed> {
        match self {
            Self::Plain(out) => Ok(*out),
            Self::Gzip(packer) => packer.finish().map_err(Refused::internal),
            Self::Zstd(packer) => packer.finish().map_err(Refused::internal),
        }
    }
}
