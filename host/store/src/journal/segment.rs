//! Segment files: naming, creating, preallocating, cutting.
//!
//! A segment is preallocated to its full size, because syncing a file that does not grow is more than twice as fast.
//! When it is full it is cut to what is used; so a finished segment's length must lead exactly to the next one's base.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use cdp_domain::ids::TenantNo;
use rustix::fs::FallocateFlags;

use super::frame::{SEGMENT_HEADER, encode_segment, parse_segment};
use crate::{Error, Result};

/// A segment file, open.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) file: File,
    pub(super) base: u64,
    pub(super) salt: u32,
}

/// The path of the segment with this base.
pub(super) fn path(dir: &Path, base: u64) -> PathBuf {
    dir.join(format!("{base:020}.seg"))
}

/// The bases of all segments in a directory, ascending. Files of other names are left alone.
pub(super) fn list(dir: &Path) -> io::Result<Vec<u64>> {
    let mut bases = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(".seg"));
        bases.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
    }
    bases.sort_unstable();
    Ok(bases)
}

/// Opens an existing segment for reading and checks its header.
pub(super) fn open(dir: &Path, tenant: TenantNo, base: u64) -> Result<Segment> {
    let path = path(dir, base);
    let file = File::open(&path).map_err(Error::io("open", &path))?;
    let mut header = [0; SEGMENT_HEADER as usize];
    match file.read_exact_at(&mut header, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(Error::Damaged {
                file: path,
                offset: 0,
                what: "the segment is shorter than its header",
            });
        }
        read => read.map_err(Error::io("read", &path))?,
    }
    match parse_segment(&header, tenant, base) {
        Ok(salt) => Ok(Segment { file, base, salt }),
        Err(what) => Err(Error::Damaged { file: path, offset: 0, what }),
    }
}

/// Opens an existing segment for writing; its header was checked before.
pub(super) fn open_to_write(dir: &Path, base: u64, salt: u32) -> io::Result<Segment> {
    let file = OpenOptions::new().read(true).write(true).open(path(dir, base))?;
    Ok(Segment { file, base, salt })
}

/// Creates a segment: allocated, its header and its name durable. A failure leaves a file that recovery and repair remove.
///
/// # Errors
/// Only from before the sync; a failed sync ends the process.
pub(super) fn create(
    dir: &Path,
    tenant: TenantNo,
    new: (u64, u32),
    segment_bytes: u64,
) -> io::Result<Segment> {
    let (base, salt) = new;
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(true).open(path(dir, base))?;
    preallocate(&file, segment_bytes)?;
    file.write_all_at(&encode_segment(tenant, base, salt), 0)?;
    sync_or_abort(&file, dir);
    sync_or_abort(&File::open(dir)?, dir);
    Ok(Segment { file, base, salt })
}

/// Allocates up to `segment_bytes`. Where the file system cannot, the file grows as it is written.
pub(super) fn preallocate(file: &File, segment_bytes: u64) -> io::Result<()> {
    match rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, FallocateFlags::empty(), 0, segment_bytes))
    {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) | Ok(()) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Cuts a segment to `len` bytes and allocates it again, so that nothing stale stands behind.
pub(super) fn cut(file: &File, dir: &Path, len: u64, segment_bytes: u64) -> io::Result<()> {
    file.set_len(len)?;
    sync_or_abort(file, dir);
    preallocate(file, segment_bytes.max(len))?;
    sync_or_abort(file, dir);
    Ok(())
}

/// Syncs everything of a file, or ends the process: see the module docs of the journal.
pub(super) fn sync_or_abort(file: &File, dir: &Path) {
    if let Err(error) = file.sync_all() {
        abort(&error, dir);
    }
}

/// Syncs the data of a file, or ends the process.
pub(super) fn sync_data_or_abort(file: &File, dir: &Path) {
    if let Err(error) = file.sync_data() {
        abort(&error, dir);
    }
}

fn abort(error: &io::Error, dir: &Path) -> ! {
    tracing::error!(
        error = %error,
        dir = %dir.display(),
        "the journal could not be synced; the process ends, because nobody knows what is on disk; check the disk and start again"
    );
    std::process::abort()
}
