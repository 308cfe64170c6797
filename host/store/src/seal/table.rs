//! The file in which a tenant's data keys are kept: small, sealed, rewritten whole.
//!
//! | bytes | what |
//! | ---: | --- |
//! | 8 | magic |
//! | 4 | format version, 1 |
//! | 12 + 48 | nonce and wrapped key of the table, under a key that follows from the master key |
//! | 12 + … | nonce and sealed trees, under the key of the table |
//!
//! Every rewriting draws a fresh key of the table. After the new file stands under its name, the bytes of the old one are
//! overwritten with zeros, as far as the file system overwrites in place.

use std::fs::OpenOptions;
use std::io::{self, Seek as _, Write as _};
use std::path::Path;

use cdp_domain::ids::TenantNo;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::DataKey;
use super::tree::Tree;
use crate::{Error, Result, error, files};

const MAGIC: [u8; 8] = *b"CDPkeys\n";
const VERSION: u32 = 1;
const WRAPPED: usize = 32 + 16;
const HEAD: usize = 8 + 4 + 12 + WRAPPED + 12;

/// Reads the trees; None when there is no file.
pub(super) fn read(path: &Path, tenant: TenantNo, wrapping: &DataKey) -> Result<Option<Vec<Tree>>> {
    let bytes = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(Error::io("read", path))?,
    };
    let bad = |what| Error::MasterKey { path: path.to_owned(), what };
    if bytes.len() < HEAD || bytes[..8] != MAGIC {
        return Err(bad("the file is no table of keys"));
    }
    if bytes[8..12] != VERSION.to_le_bytes() {
        return Err(bad("the table of keys has an unknown format version"));
    }
    let other = "the table of keys does not open under this master key";
    let (head, sealed) = bytes.split_at(HEAD);
    let mut key = open(wrapping, tenant, &head[12..24], &head[24..24 + WRAPPED]).ok_or_else(|| bad(other))?;
    let key = DataKey(std::mem::take(&mut *key).try_into().map_err(|_| bad(other))?);
    let plain = open(&key, tenant, &head[24 + WRAPPED..], sealed)
        .ok_or_else(|| bad("the table of keys was changed"))?;
    let mut rest = plain.as_slice();
    let mut trees = Vec::new();
    while !rest.is_empty() {
        trees.push(Tree::read(&mut rest).ok_or_else(|| bad("the table of keys is cut short"))?);
    }
    Ok(Some(trees))
}

/// Writes the trees under a fresh key of the table. Durable when it returns.
pub(super) fn write(path: &Path, tenant: TenantNo, wrapping: &DataKey, trees: &[Tree]) -> Result<()> {
    if let Some(parent) = path.parent() {
        files::create_dir(parent)?;
    }
    let before = OpenOptions::new().write(true).open(path).ok();
    let key = DataKey(error::random()?);
    let mut plain = Zeroizing::new(Vec::new());
    trees.iter().for_each(|tree| tree.write(&mut plain));
    let mut bytes = Vec::with_capacity(HEAD + plain.len() + 16);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    seal(wrapping, tenant, key.0.to_vec(), &mut bytes)?;
    seal(&key, tenant, std::mem::take(&mut *plain), &mut bytes)?;
    files::write(path, &bytes)?;
    if let Some(mut before) = before {
        let overwrite = |file: &mut std::fs::File| {
            let mut left = file.metadata()?.len();
            file.rewind()?;
            while left > 0 {
                let part = left.min(1 << 16);
                file.write_all(&vec![0; part as usize])?;
                left -= part;
            }
            file.sync_data()
        };
        overwrite(&mut before).map_err(Error::io("overwrite the old form of", path))?;
    }
    Ok(())
}

fn cipher(key: &DataKey) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key.0).expect("a key has the algorithm's length"))
}

fn aad(tenant: TenantNo) -> Aad<[u8; 4]> {
    Aad::from(tenant.0.to_le_bytes())
}

/// Appends a fresh nonce and what it sealed.
pub(super) fn seal(key: &DataKey, tenant: TenantNo, mut plain: Vec<u8>, out: &mut Vec<u8>) -> Result<()> {
    let nonce: [u8; 12] = error::random()?;
    let sealed =
        cipher(key).seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad(tenant), &mut plain);
    sealed.map_err(|_| Error::Sealed)?;
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&plain);
    Ok(())
}

pub(super) fn open(
    key: &DataKey,
    tenant: TenantNo,
    nonce: &[u8],
    sealed: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut bytes = sealed.to_vec();
    let length = cipher(key).open_in_place(nonce, aad(tenant), &mut bytes).ok()?.len();
    bytes.truncate(length);
    Some(Zeroizing::new(bytes))
}
