//! How far whole records reach in a journal's files, for whoever copies them while they are written.

use std::path::Path;

use cdp_domain::ids::TenantNo;

use super::frame::{Place, SEGMENT_HEADER, parse};
use super::segment;
use crate::{Error, Result};

/// The names of a journal's segment files, in order, each with how many of its bytes hold whole records. These bytes do
/// not change any more. What is appended meanwhile may be missing; nothing that was durable before is.
///
/// # Errors
/// [`Error::Damaged`] when a file is no segment of this journal; [`Error::Io`].
pub fn extents(dir: &Path, tenant: TenantNo) -> Result<Vec<(String, u64)>> {
    let bases = segment::list(dir).map_err(Error::io("list", dir))?;
    let mut extents = Vec::with_capacity(bases.len());
    for (n, base) in bases.iter().enumerate() {
        let path = segment::path(dir, *base);
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        match bases.get(n + 1) {
            // A segment that was followed by another is full, and is being cut to what is used.
            Some(next) => extents.push((name, next - base)),
            None => match segment::open(dir, tenant, *base) {
                Ok(segment) => extents.push((name, used(&path, tenant, *base, segment.salt)?)),
                // It is being made: it holds nothing yet.
                Err(Error::Damaged { offset: 0, .. }) if n > 0 => {}
                Err(error) => return Err(error),
            },
        }
    }
    Ok(extents)
}

fn used(path: &Path, tenant: TenantNo, base: u64, salt: u32) -> Result<u64> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let mut used = SEGMENT_HEADER as usize;
    while let Some(rest) = bytes.get(used..) {
        let place = Place { tenant, salt, position: base + used as u64 };
        match parse(rest, place) {
            Ok(frame) => used += frame.len(),
            Err(_) => break,
        }
    }
    Ok(used as u64)
}
