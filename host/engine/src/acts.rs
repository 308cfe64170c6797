//! The audit log: who did what, and who read what is held about people; chained by hashes like the ledger of consents.
//!
//! What somebody did is durable before it is answered. What somebody read is written down a moment later, together with
//! what others read meanwhile: a crash may lose the last of these. Entries name keys, routes and ids, never a person.

use std::sync::atomic::Ordering;

use cdp_store::chain::{Entry, New};
use serde_json::{Value, json};

use crate::error::{Refused, Result};
use crate::tenant::{Core, Page, Tenant};

/// Reads that may wait to be written down; beyond, a read waits for it.
pub const ACTS_WAITING_MAX: usize = 4096;

/// An act to be written down.
#[derive(Debug, Clone)]
pub struct Act {
    /// With which key.
    pub by: String,
    /// What: a method and a route.
    pub what: String,
    /// About what: ids and names of definitions.
    pub about: Value,
    /// Whether something was changed; else it was read.
    pub changed: bool,
}

impl Core {
    /// Writes down who did what; durable when it returns. Blocks. The number and the hash of the last entry come back.
    pub(crate) fn audit(&self, by: &str, act: &str, details: Value) -> Result<(u64, [u8; 32])> {
        let entry = self.entry(by, act, details);
        self.acts.lock().push(entry);
        self.write_acts()
    }

    fn entry(&self, by: &str, act: &str, details: Value) -> New {
        let at = self.clock.now();
        let content = json!({ "time": at.to_string(), "by": by, "act": act, "details": details });
        New { at, place: None, key_ref: [0; 16], content: content.to_string().into_bytes() }
    }

    /// Writes what waits; whoever comes meanwhile finds theirs written too.
    fn write_acts(&self) -> Result<(u64, [u8; 32])> {
        let Some(audit) = &self.audit else { return Ok((0, [0; 32])) };
        let _one_at_a_time = self.acts_writing.lock();
        let waiting = std::mem::take(&mut *self.acts.lock());
        if let Err(error) = audit.append(&self.keys, &waiting) {
            let mut acts = self.acts.lock();
            let later = std::mem::replace(&mut *acts, waiting);
            acts.extend(later);
            return Err(error.into());
        }
        Ok(audit.head())
    }
}

impl Tenant {
    /// Writes an act down. Blocks, for one that changed something until it is durable.
    ///
    /// # Errors
    /// The operating system's; then it is written with the next one.
    pub fn record_act(&self, act: &Act) -> Result<()> {
        let core = &self.core;
        let entry = core.entry(&act.by, &act.what, act.about.clone());
        let waiting = {
            let mut acts = core.acts.lock();
            acts.push(entry);
            acts.len()
        };
        if act.changed || waiting > ACTS_WAITING_MAX {
            return core.write_acts().map(|_| ());
        }
        if !core.acts_due.swap(true, Ordering::AcqRel) {
            let shared = core.clone();
            let written = std::thread::Builder::new().name("audit".to_owned()).spawn(move || {
                // What is read in the next moment is written with it.
                std::thread::sleep(std::time::Duration::from_millis(100));
                shared.acts_due.store(false, Ordering::Release);
                if let Err(error) = shared.write_acts() {
                    tracing::error!(error = %error, "what was read could not be written into the audit log");
                }
            });
            written.map_err(Refused::internal)?;
        }
        Ok(())
    }

    /// Entries of the audit log, oldest first, from an offset of bytes on; the offset of the next page.
    ///
    /// # Errors
    /// The file's.
    pub fn acts(&self, limit: usize, from: u64) -> Result<Page<Value, u64>> {
        let Some(audit) = &self.core.audit else { return Ok(Page { items: Vec::new(), next: None }) };
        self.core.write_acts()?;
        let (entries, next) = audit.read(from, limit)?;
        let items: Vec<_> = entries.iter().map(|entry| self.act(entry)).collect::<Result<_>>()?;
        let next = (items.len() == limit).then_some(next);
        Ok(Page { items, next })
    }

    /// The newest entries of the audit log, newest first, at most so many.
    ///
    /// # Errors
    /// The file's.
    pub fn newest_acts(&self, limit: usize) -> Result<Vec<Value>> {
        let Some(audit) = &self.core.audit else { return Ok(Vec::new()) };
        self.core.write_acts()?;
        audit.newest(limit)?.iter().rev().map(|entry| self.act(entry)).collect()
    }

    /// An entry as clients see it.
    fn act(&self, entry: &Entry) -> Result<Value> {
        let opened = entry.open(&self.core.keys, self.no())?;
        let mut item: Value = serde_json::from_slice(&opened.content).map_err(Refused::internal)?;
        item["entry"] = entry.n.into();
        item["hash"] = cdp_domain::hex::encode(&entry.hash).into();
        Ok(item)
    }

    /// Writes down what was read until now: at the end.
    pub(crate) fn end_acts(&self) {
        if let Err(error) = self.core.write_acts() {
            tracing::error!(error = %error, "what was read could not be written into the audit log");
        }
    }
}
