//! Opening: checks the segments, tells a torn tail from damage, cuts the former and refuses the latter.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use cdp_domain::ids::TenantNo;

use super::append::Failure;
use super::frame::{FIRST_OF_COMMIT, NoFrame, Place, SEGMENT_HEADER, parse};
use super::handle::Options;
use super::segment::{self, Segment};
use crate::{Error, Result, error, files};

/// A journal as recovery leaves it.
pub(super) struct Found {
    pub(super) bases: Vec<u64>,
    /// The last segment, open for writing.
    pub(super) tail: Segment,
    pub(super) end: u64,
    /// Set when the tail could not be allocated again.
    pub(super) failure: Option<Failure>,
}

/// Recovers the journal in `dir`.
pub(super) fn recover(dir: &Path, tenant: TenantNo, options: &Options) -> Result<Found> {
    let mut bases = segment::list(dir).map_err(Error::io("list", dir))?;
    drop_unborn(dir, tenant, &mut bases)?;
    let Some(&last) = bases.last() else {
        let salt = u32::from_le_bytes(error::random()?);
        let tail = segment::create(dir, tenant, (0, salt), options.segment_bytes)
            .map_err(|error| first_failed(dir, error))?;
        return Ok(Found { bases: vec![0], end: SEGMENT_HEADER, tail, failure: None });
    };
    for pair in bases.windows(2) {
        check_finished(dir, tenant, pair[0], pair[1])?;
    }
    let salt = segment::open(dir, tenant, last)?.salt;
    let tail = segment::open_to_write(dir, last, salt).map_err(Error::io("open", dir))?;
    let (used, failure) = recover_tail(dir, tenant, &tail, options)?;
    Ok(Found { bases, end: last + used, tail, failure })
}

fn first_failed(dir: &Path, error: io::Error) -> Error {
    match Failure::new(error) {
        Failure::Full => Error::Full { path: dir.to_owned() },
        Failure::Other(source) => Error::Write { path: dir.to_owned(), source },
    }
}

/// Removes a last segment whose creation a crash interrupted: no header and nothing but zeros.
///
/// Its header is synced before any record is written, so it never held one.
fn drop_unborn(dir: &Path, tenant: TenantNo, bases: &mut Vec<u64>) -> Result<()> {
    let Some(&last) = bases.last() else { return Ok(()) };
    let path = segment::path(dir, last);
    if !matches!(segment::open(dir, tenant, last), Err(Error::Damaged { .. })) {
        return Ok(());
    }
    let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
    if bytes.iter().skip(SEGMENT_HEADER as usize).all(|byte| *byte == 0) {
        tracing::warn!(file = %path.display(), "removing a journal segment whose creation was interrupted");
        fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        files::sync_dir(dir)?;
        bases.pop();
    }
    Ok(())
}

/// A finished segment has a header and leads exactly to the next one.
fn check_finished(dir: &Path, tenant: TenantNo, base: u64, next: u64) -> Result<()> {
    let segment = segment::open(dir, tenant, base)?;
    let file = segment::path(dir, base);
    let len = segment.file.metadata().map_err(Error::io("read", &file))?.len();
    if base + len == next {
        return Ok(());
    }
    Err(Error::Damaged {
        file,
        offset: len.min(next - base),
        what: "a finished segment does not reach the next one",
    })
}

/// Finds where the last segment's records end, cutting what is torn; gives the used bytes.
fn recover_tail(
    dir: &Path,
    tenant: TenantNo,
    tail: &Segment,
    options: &Options,
) -> Result<(u64, Option<Failure>)> {
    let path = segment::path(dir, tail.base);
    let len = tail.file.metadata().map_err(Error::io("read", &path))?.len();
    let mut bytes = vec![0; usize::try_from(len).expect("a segment fits into memory")];
    tail.file.read_exact_at(&mut bytes, 0).map_err(Error::io("read", &path))?;
    let place = |offset: usize| Place { tenant, salt: tail.salt, position: tail.base + offset as u64 };

    let mut used = SEGMENT_HEADER as usize;
    let what = loop {
        match parse(&bytes[used..], place(used)) {
            Ok(frame) => used += frame.len(),
            Err(NoFrame::Invalid(what)) => break what,
            Err(NoFrame::Needs(_)) => break "a record is cut off",
        }
    };
    let clean = bytes[used..].iter().all(|byte| *byte == 0);
    if !clean {
        let later = (used + 8..bytes.len()).step_by(8);
        let committed =
            later.filter_map(|offset| Some((offset, parse(&bytes[offset..], place(offset)).ok()?)));
        if let Some((offset, _)) = committed.into_iter().find(|(_, frame)| frame.flags & FIRST_OF_COMMIT != 0)
        {
            tracing::error!(
                file = %path.display(),
                offset = used,
                next_commit_offset = offset,
                "the journal is damaged: a later commit says that everything before it was durable; restore the file"
            );
            return Err(Error::Damaged { file: path, offset: used as u64, what });
        }
        tracing::warn!(file = %path.display(), offset = used, what, "cutting the journal's torn tail, which was never acknowledged");
    }
    let failure = if clean && len >= options.segment_bytes {
        None
    } else {
        segment::cut(&tail.file, dir, used as u64, options.segment_bytes).err().map(Failure::new)
    };
    Ok((used as u64, failure))
}
