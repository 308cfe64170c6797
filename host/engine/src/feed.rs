//! The way from acceptance to the writer: bounded, in the journal's order, and never the only copy.
//!
//! What was accepted is handed over in memory while that keeps up; beyond [`FEED_BYTES_MAX`] it is left to the journal,
//! and the writer reads on from there until it has caught up. Messages about building definitions come the same way.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use cdp_domain::event::Event;
use cdp_domain::identity::Origin;
use cdp_domain::ids::{FragmentId, Ordinal, Position};
use cdp_domain::time::Timestamp;
use cdp_store::journal::Appended;
use compact_str::CompactString;
use parking_lot::{Condvar, Mutex};

use crate::acceptance::Acceptance;
use crate::born::Brood;
use crate::config::Change;
use crate::dead_letters::Code;

/// Bytes of accepted events that wait in memory for the writer, about; what is more is read from the journal.
pub const FEED_BYTES_MAX: usize = 48 << 20;

/// One record on its way to state.
pub(crate) enum Item {
    /// An event of a fragment.
    Event(Box<Pending>),
    /// A change of configuration.
    Change { position: Position, received_at: Timestamp, change: Box<Change> },
    /// A record that cannot be read as an event: to the dead letters.
    Unreadable(Box<Unreadable>),
    /// An event that is gone by its age.
    Removed { position: Position, received_at: Timestamp },
}

/// Id, source and type of an event, as far as they are known.
pub(crate) type Names = (CompactString, CompactString, CompactString);

/// What is known of a record that cannot be read as an event.
pub(crate) struct Unreadable {
    pub(crate) position: Position,
    pub(crate) received_at: Timestamp,
    pub(crate) code: Code,
    pub(crate) reason: String,
    pub(crate) names: Names,
}

/// An accepted event.
pub(crate) struct Pending {
    pub(crate) position: Position,
    pub(crate) received_at: Timestamp,
    pub(crate) fragment: FragmentId,
    pub(crate) origin: Origin,
    pub(crate) event: Event,
    pub(crate) acceptance: Option<Box<Acceptance>>,
    /// What transformers made of it.
    pub(crate) brood: Brood,
    /// Its number among what was made of the event that was accepted at this position; 0 for that event itself. Others
    /// stand by themselves where the past is read only.
    pub(crate) nth: u8,
}

impl Pending {
    /// The event, and those that were made of it, each with its number.
    pub(crate) fn events(&self) -> impl Iterator<Item = (u8, &Event)> {
        let born = self.brood.events.iter().map(|born| (born.nth, &born.event));
        std::iter::once((self.nth, &self.event)).chain(born)
    }
}

impl Item {
    /// Where its record stands in the journal.
    pub(crate) fn position(&self) -> Position {
        match self {
            Self::Event(pending) => pending.position,
            Self::Unreadable(unreadable) => unreadable.position,
            Self::Change { position, .. } | Self::Removed { position, .. } => *position,
        }
    }

    /// When an event was received; None for a change.
    pub(crate) fn received_at(&self) -> Option<Timestamp> {
        match self {
            Self::Event(pending) => Some(pending.received_at),
            Self::Unreadable(unreadable) => Some(unreadable.received_at),
            Self::Removed { received_at, .. } => Some(*received_at),
            Self::Change { .. } => None,
        }
    }

    /// Whether records behind it may have to be read otherwise than those before.
    pub(crate) fn changes_reading(&self) -> bool {
        matches!(self, Self::Change { change, .. } if matches!(**change, Change::RulesPut { .. }))
    }
}

/// What one append brought.
pub(crate) struct Batch {
    pub(crate) appended: Appended,
    pub(crate) items: Vec<Item>,
    pub(crate) bytes: usize,
}

/// What the writer is asked to do beside the records.
pub(crate) enum Message {
    /// Add the past of folds that are built to `from`: states of the events between there and `upto`. Told whether they
    /// were added: not when something of the past changed since the slice was begun, at this many retouches.
    /// Counts for nothing when state was taken anew since the work began, at this many renewals; then `done` is dropped.
    Slice { past: Box<crate::build::PastStates>, renewals: u64, done: std::sync::mpsc::SyncSender<bool> },
    /// Evaluate one segment version for the profiles of these ordinals, without reporting; counts for nothing like a slice.
    Evaluate { segment: u32, from: Ordinal, count: u32, renewals: u64, done: Done },
    /// Do something between two batches, while nothing changes.
    Run { work: Box<dyn FnOnce() + Send>, done: Done },
    /// Write everything applied to the store now.
    Commit { done: Done },
}

/// Told when a message was handled.
pub(crate) type Done = std::sync::mpsc::SyncSender<()>;

/// The queue itself.
#[derive(Default)]
pub(crate) struct Feed {
    state: Mutex<State>,
    ring: Condvar,
}

#[derive(Default)]
struct State {
    batches: VecDeque<Batch>,
    bytes: usize,
    /// Records were not queued: the writer must read the journal.
    gap: bool,
    messages: VecDeque<Message>,
    closing: bool,
    waiting: bool,
    woken: bool,
}

/// What the writer finds.
pub(crate) enum Work {
    /// These batches, in order.
    Batches(Vec<Batch>),
    /// Records that only the journal has.
    Gap,
    /// A message; all batches queued before it were taken.
    Message(Message),
    /// Nothing until the deadline, or until woken.
    Nothing,
    /// The tenant is being closed and nothing is queued.
    Closing,
}

impl Feed {
    /// Queues a batch. To be called in the order of appends, under the lock that orders them.
    pub(crate) fn push(&self, batch: Batch) {
        let mut state = self.state.lock();
        if state.gap || (state.bytes + batch.bytes > FEED_BYTES_MAX && !state.batches.is_empty()) {
            state.gap = true;
        } else {
            state.bytes += batch.bytes;
            state.batches.push_back(batch);
        }
        if state.waiting {
            self.ring.notify_one();
        }
    }

    /// Queues a message; false when the tenant is closing.
    pub(crate) fn send(&self, message: Message) -> bool {
        let mut state = self.state.lock();
        if state.closing {
            return false;
        }
        state.messages.push_back(message);
        self.ring.notify_one();
        true
    }

    /// Waits for work until the deadline; takes at most `items_max` items' worth of batches, at least one batch.
    pub(crate) fn take(&self, deadline: Instant, items_max: usize) -> Work {
        let mut state = self.state.lock();
        loop {
            if std::mem::take(&mut state.woken) {
                return Work::Nothing;
            }
            if !state.batches.is_empty() {
                let mut taken = Vec::new();
                let mut items = 0;
                while let Some(batch) = state.batches.front() {
                    items += batch.items.len();
                    if items > items_max && !taken.is_empty() {
                        break;
                    }
                    let batch = state.batches.pop_front().expect("it was just seen");
                    state.bytes -= batch.bytes;
                    taken.push(batch);
                }
                return Work::Batches(taken);
            }
            if state.gap {
                return Work::Gap;
            }
            if let Some(message) = state.messages.pop_front() {
                return Work::Message(message);
            }
            if state.closing {
                return Work::Closing;
            }
            let now = Instant::now();
            if now >= deadline {
                return Work::Nothing;
            }
            state.waiting = true;
            self.ring.wait_for(&mut state, (deadline - now).min(Duration::from_secs(3600)));
            state.waiting = false;
        }
    }

    /// Begins with records that only the journal has: after a start.
    pub(crate) fn begin_with_gap(&self) {
        self.state.lock().gap = true;
    }

    /// Has the writer look around at once, whatever is queued; false when the tenant is closing.
    pub(crate) fn wake(&self) -> bool {
        let mut state = self.state.lock();
        state.woken = true;
        self.ring.notify_all();
        !state.closing
    }

    /// Forgets what is queued: the journal has it, and messages' senders are told that nothing came of them.
    pub(crate) fn begin_again(&self) {
        let mut state = self.state.lock();
        state.batches.clear();
        state.bytes = 0;
        state.messages.clear();
        state.gap = true;
    }

    /// Takes no more messages, and tells the senders of those queued that nothing came of them: the writer ended.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock();
        state.closing = true;
        state.messages.clear();
    }

    /// Whether no message is taken any more: the writer ends, or ended.
    pub(crate) fn is_closing(&self) -> bool {
        self.state.lock().closing
    }

    /// From here on batches are queued again. To be called under the lock that orders appends.
    pub(crate) fn close_gap(&self) {
        self.state.lock().gap = false;
    }

    /// Lets the writer end when it has done what is queued.
    pub(crate) fn close(&self) {
        self.state.lock().closing = true;
        self.ring.notify_all();
    }
}
