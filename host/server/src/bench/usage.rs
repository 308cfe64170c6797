//! What a process uses, as Linux tells it; elsewhere the figures are absent.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Ticks of `/proc/…/stat` in a second: fixed by the kernel's interface to user space.
const TICKS_PER_SECOND: f64 = 100.0;

/// Memory that a process holds now, in KiB.
pub(crate) fn resident_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Processor seconds that a process has used, in user and system mode together.
pub(crate) fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut after_name = stat.rsplit_once(')')?.1.split_whitespace();
    let user: f64 = after_name.nth(11)?.parse().ok()?;
    let system: f64 = after_name.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

/// Samples a process's memory ten times a second until dropped.
#[derive(Debug)]
pub(crate) struct Sampler {
    peak_kib: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    pub(crate) fn start(pid: u32) -> Self {
        let peak_kib = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (peak, ended) = (Arc::clone(&peak_kib), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                peak.fetch_max(resident_kib(pid).unwrap_or_default(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        Self { peak_kib, stop, thread: Some(thread) }
    }

    /// The most that was seen so far.
    pub(crate) fn peak_kib(&self) -> u64 {
        self.peak_kib.load(Ordering::Relaxed)
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Bytes below a path, as written and as the file system has set aside.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Size {
    pub(crate) bytes: u64,
    pub(crate) allocated_bytes: u64,
}

/// Sums the files below `path`; what vanishes meanwhile counts nothing.
pub(crate) fn disk(path: &Path) -> Size {
    let mut sum = Size::default();
    let Ok(meta) = std::fs::symlink_metadata(path) else { return sum };
    if meta.is_dir() {
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            let below = disk(&entry.path());
            sum.bytes += below.bytes;
            sum.allocated_bytes += below.allocated_bytes;
        }
    } else {
        sum.bytes = meta.len();
        sum.allocated_bytes = allocated(&meta);
    }
    sum
}

#[cfg(unix)]
fn allocated(meta: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(meta) * 512
}

#[cfg(not(unix))]
fn allocated(meta: &std::fs::Metadata) -> u64 {
    meta.len()
}
