//! Freezing what changed, and writing what is frozen to the store.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use cdp_store::runs::Frontier;
use cdp_threads::stand_back;

use super::run::{Writer, error_chain};
use super::{GENERATION_BYTES, GENERATION_MEMORY, GENERATION_MS, GENERATION_ROWS, GENERATION_ROWS_MAX};
use crate::error::{Refused, Result};
use crate::rows::Frozen;
use crate::tenant::Core;

/// Between two tries to write to, or open, a store that failed: the first pause, doubled up to the last.
pub(super) const RETRY_PAUSE_MIN: Duration = Duration::from_millis(50);
pub(super) const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Why a tenant whose state store fails is not ready.
pub(super) const CANNOT_BE_WRITTEN: &str = "state cannot be written: the disk is full or failing";

impl Writer {
    /// At which age a generation is written: where writing takes long, later, so that it is at most half of the work and a
    /// row that many events touch is written less often.
    pub(super) fn age_due(&self) -> Duration {
        let least = Duration::from_millis(GENERATION_MS);
        (self.core.rows.last_commit() * 2).clamp(least, least * 4)
    }

    /// Freezes what changed when it is much or old, or in any case; with `wait` returns when it is in the store.
    pub(super) fn freeze_if_due(&mut self, wait: bool) -> Result<()> {
        loop {
            let (changed, bytes, freezing) = {
                let view = self.core.rows.read();
                (view.inner.changed(), view.inner.changed_bytes(), view.inner.is_freezing())
            };
            let old = self.frozen_at.elapsed() >= self.age_due();
            let many = changed >= GENERATION_ROWS
                || bytes >= GENERATION_MEMORY
                || self.next.0 - self.frozen_to.0 >= GENERATION_BYTES;
            let full = changed >= GENERATION_ROWS_MAX || bytes >= GENERATION_MEMORY / 3 * 4;
            let due = wait || (many || old) && changed > 0;
            if self.core.session.is_stale() {
                // Nothing of this can be written; the loop begins anew.
                return Ok(());
            }
            if freezing && (wait || full) {
                if self.core.stuck.lock().is_some() {
                    // Applying goes on, whoever waits is told by the reason, and the journal has it all.
                    return Ok(());
                }
                // The store is behind: wait for it rather than grow.
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            if !due || freezing || (wait && changed == 0) {
                return Ok(());
            }
            self.rotate_timeline();
            self.core.catalogue.lock().flush(&mut self.core.rows.write());
            if let Some(frozen) = self.core.rows.freeze() {
                self.frozen_at = Instant::now();
                self.frozen_to = self.next;
                if self.freeze.send(frozen).is_err() {
                    return Err(Refused::internal("the thread that writes state ended"));
                }
            }
            if !wait {
                return Ok(());
            }
        }
    }

    /// Lets the timeline's table become a run when it is full, and drops the log of what runs cover.
    fn rotate_timeline(&mut self) {
        let frontier = Frontier { inserted: self.next, durable: self.core.journal.durable() };
        self.core.timeline.rotate_if_full(frontier);
        let covered = self.core.timeline.covered();
        let mut hand = self.core.rows.write();
        self.timeline_logged.extend(std::mem::take(&mut hand.inner.timeline_logged));
        while let Some((position, n)) = self.timeline_logged.front().copied() {
            if position >= covered {
                break;
            }
            self.timeline_logged.pop_front();
            let key = self.core.rows.context().timeline_log(position, n);
            hand.delete(key);
        }
    }
}

/// Writes frozen generations to the store, one after the other. A store that fails is opened again and the writer begins
/// anew from where it then stands; meanwhile the tenant is not ready, and nothing is lost: the journal has it.
pub(crate) fn commit_loop(core: &Arc<Core>, frozen: &Receiver<Arc<Frozen>>) {
    stand_back();
    'generations: while let Ok(generation) = frozen.recv() {
        let mut pause = RETRY_PAUSE_MIN;
        loop {
            let error = match write(core, &generation) {
                Ok(Written::InTheStore) => break,
                Ok(Written::Superseded) => continue 'generations,
                Err(error) => error,
            };
            tracing::error!(
                tenant = core.info.no.0,
                error = error_chain(&error),
                "state could not be written; trying again"
            );
            *core.stuck.lock() = Some(CANNOT_BE_WRITTEN.to_owned());
            if core.closing.load(Ordering::Acquire) {
                // The next start applies it again. Later generations are refused likewise until the writer ends.
                continue 'generations;
            }
            if let Err(error) = core.session.reopen() {
                tracing::error!(error = error_chain(&error), "the state store cannot be opened again yet");
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(RETRY_PAUSE_MAX);
        }
        let mut stuck = core.stuck.lock();
        if stuck.as_deref() == Some(CANNOT_BE_WRITTEN) && !core.session.is_stale() {
            *stuck = None;
        }
    }
}

/// What became of a generation.
enum Written {
    InTheStore,
    /// The opening that it was for is closed. The writer begins anew from where the present one stands, and what this
    /// generation says is said again.
    Superseded,
}

fn write(core: &Core, generation: &Arc<Frozen>) -> Result<Written> {
    // Before the rows: what state says was decided, the chain has too.
    if let Some(ledger) = &core.ledger {
        ledger.append(&core.keys, &generation.decided)?;
    }
    match core.rows.commit(generation) {
        Ok(()) => Ok(Written::InTheStore),
        Err(cdp_store::Error::StateClosed) => Ok(Written::Superseded),
        Err(error) => Err(error.into()),
    }
}
