//! The log of a run that sends rows: what is about to be sent, then what came of it, chunk by chunk. The cursor stands in
//! the same frame as the rows that it covers, so the two cannot part; a frame is durable before anything follows from it.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use cdp_engine::exports::Place;
use cdp_engine::{Refused, Result, Tenant};
use serde::{Deserialize, Serialize};

use super::tally::{Reason, Tally};
use crate::ledger::{Change, Entry, Frames, FramesWriter, Seal, Step, append_at};

/// A frame of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Frame {
    /// Members that have no row, as the survey finds them.
    Withheld(Vec<([u8; 16], Reason)>),
    /// The members are surveyed.
    Begun(Tally),
    /// A chunk is about to be sent.
    Intent(Intent),
    /// What came of a chunk.
    Done(Done),
    /// Everybody was dealt with; until an instant, in milliseconds, it goes on with who enters and leaves from a place on.
    Follows { until: i64, from: Place },
    /// What came of a chunk of those, which dealt with these keys; the next is about what comes from `next` on.
    Followed { done: Done, keys: Vec<[u8; 16]>, next: Place },
}

/// A chunk that is about to be sent: its number, and what it is about. Sent again, it is about the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Intent {
    pub(crate) chunk: u64,
    /// How often its content changed since it was first sent: a part of its id.
    pub(crate) revision: u32,
    /// The digest of what is sent.
    pub(crate) content: [u8; 16],
    pub(crate) steps: Vec<Step>,
    /// What was said of whom, in this and earlier revisions, as entries: their rows may stand at the destination.
    pub(crate) perhaps: Vec<Entry>,
    /// Where the changes end that it is about, in a run that follows.
    pub(crate) place: Option<Place>,
}

/// What came of a chunk.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) chunk: u64,
    /// Everything up to this key is dealt with.
    pub(crate) upto: [u8; 16],
    /// What stands at the destination of the keys that were dealt with.
    pub(crate) entries: Vec<Entry>,
    /// Who was told what, with the commitment to it: in the order of the rows.
    pub(crate) told: Vec<(Change, [u8; 16], [u8; 32])>,
    /// Who may have been told something that does not hold any more.
    pub(crate) perhaps: Vec<[u8; 16]>,
    pub(crate) withheld: Vec<([u8; 16], Reason)>,
    /// Rows that the destination would not take, with why.
    pub(crate) dead: Vec<DeadRow>,
    /// The counts after it.
    pub(crate) tally: Tally,
}

/// A row that the destination would not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeadRow {
    pub(crate) change: Change,
    pub(crate) profile: [u8; 16],
    pub(crate) why: String,
}

/// Where a run stands by its log.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    pub(crate) begun: bool,
    pub(crate) tally: Tally,
    /// Chunks that are dealt with.
    pub(crate) chunks: u64,
    pub(crate) upto: Option<[u8; 16]>,
    /// A chunk that was about to be sent when the log ends.
    pub(crate) intent: Option<Intent>,
    /// Until when it follows, and from which place on.
    pub(crate) follows: Option<(i64, Place)>,
    end: u64,
}

impl Standing {
    fn followed(&mut self, done: &Done, next: Place) {
        self.intent = None;
        self.tally = done.tally.clone();
        self.chunks = done.chunk + 1;
        if let Some((_, from)) = &mut self.follows {
            *from = next;
        }
    }
}

/// The log of a run.
pub(crate) struct Log {
    path: PathBuf,
    tenant: Tenant,
    label: Vec<u8>,
}

impl Seal for Log {
    fn seal(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        self.tenant.seal(&self.label, bytes)
    }

    fn open(&self, sealed: &[u8]) -> Result<Vec<u8>> {
        self.tenant.unseal(&self.label, sealed)
    }
}

impl Log {
    pub(crate) fn of(tenant: &Tenant, dir: &Path, run: cdp_domain::ids::ExportId) -> Self {
        let label = [b"run ".as_slice(), &run.0].concat();
        Self { path: dir.join(format!("{run}.log")), tenant: tenant.clone(), label }
    }

    pub(crate) fn frames(&self) -> Result<Frames<'_, Frame>> {
        Frames::open(&self.path, self)
    }

    /// Where the run stands. Reads the whole log, a frame at a time.
    pub(crate) fn standing(&self) -> Result<Standing> {
        let mut standing = Standing::default();
        let mut frames = self.frames()?;
        for frame in frames.by_ref() {
            match frame? {
                Frame::Withheld(_) => {}
                Frame::Begun(tally) => {
                    standing.begun = true;
                    standing.tally = tally;
                }
                Frame::Intent(intent) => standing.intent = Some(intent),
                Frame::Done(done) => {
                    standing.intent = None;
                    standing.tally = done.tally;
                    standing.chunks = done.chunk + 1;
                    standing.upto = Some(done.upto);
                }
                Frame::Follows { until, from } => standing.follows = Some((until, from)),
                Frame::Followed { done, next, .. } => standing.followed(&done, next),
            }
        }
        // A survey that did not come to its end is made again.
        standing.end = if standing.begun { frames.end } else { 0 };
        Ok(standing)
    }

    /// Where the run stands after another chunk of those who entered and left, which was just appended.
    pub(crate) fn standing_after(&self, before: &Standing, done: &Done, next: Place) -> Result<Standing> {
        let end = std::fs::metadata(&self.path).map_err(Refused::internal)?.len();
        let mut standing = Standing { upto: before.upto, follows: before.follows, ..Standing::default() };
        standing.begun = true;
        standing.followed(done, next);
        standing.end = end;
        Ok(standing)
    }

    /// The frame that begins at a place.
    pub(crate) fn frame_at(&self, at: u64) -> Result<Option<Frame>> {
        Frames::at(&self.path, self, at)?.next().transpose()
    }

    /// Opens it to be continued, behind where it stands.
    pub(crate) fn append(&self, standing: &Standing) -> Result<Appender<'_>> {
        let file = append_at(&self.path, standing.end)?;
        let again = file.try_clone().map_err(Refused::internal)?;
        Ok(Appender { writer: FramesWriter::new(file, self), file: again })
    }

    pub(crate) fn remove(&self) {
        drop(std::fs::remove_file(&self.path));
    }
}

/// A log that is continued.
pub(crate) struct Appender<'a> {
    writer: FramesWriter<'a, File>,
    file: File,
}

impl Appender<'_> {
    /// Appends a frame that need not be durable yet.
    pub(crate) fn put(&mut self, frame: &Frame) -> Result<()> {
        self.writer.push(frame)
    }

    /// Appends a frame. It and all before are durable when it returns.
    pub(crate) fn push(&mut self, frame: &Frame) -> Result<()> {
        self.writer.push(frame)?;
        self.file.flush().and_then(|()| self.file.sync_data()).map_err(Refused::internal)
    }
}
