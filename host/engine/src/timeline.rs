//! Taking entries out of the timeline for good.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use cdp_store::keys::tag;
use cdp_store::kv::Order;
use cdp_store::runs::Frontier;

use crate::error::{Refused, Result};
use crate::feed::Message;
use crate::rows::Look;
use crate::tenant::Core;

/// Which entries go: key and value.
pub(crate) type Goes = dyn Fn(&[u8; 16], &[u8; 16]) -> bool + Send + Sync;

/// Bytes of an entry in the timeline's log.
const LOG_ENTRY: usize = 32;
/// How often it is tried, a tenth of a second apart: tables of the timeline wait until they may become files.
const PATIENCE: u32 = 300;

/// Takes those entries of these fragments out of its files, its table and its log of which `goes` says so; how many went
/// out of the first two. What the log then holds is durable with the next generation.
///
/// # Errors
/// [`Refused::Unavailable`] when the server stops; the store's.
pub(crate) fn forget(core: &Arc<Core>, fragments: &Arc<HashSet<[u8; 16]>>, goes: &Arc<Goes>) -> Result<u64> {
    let mut left = PATIENCE;
    loop {
        match try_forget(core, fragments, goes) {
            Err(Refused::Overloaded { .. }) if left > 0 => {
                left -= 1;
                std::thread::sleep(Duration::from_millis(100));
            }
            done => return done,
        }
    }
}

fn try_forget(core: &Arc<Core>, fragments: &Arc<HashSet<[u8; 16]>>, goes: &Arc<Goes>) -> Result<u64> {
    let (tell, told) = mpsc::sync_channel(1);
    let (shared, fragments, goes) = (core.clone(), fragments.clone(), goes.clone());
    let work = Box::new(move || {
        let forgotten = forget_logged(&shared, &fragments, &*goes).and_then(|()| {
            let durable = shared.journal.durable();
            let inserted = shared.rows.read().inner.summary.applied;
            Ok(shared.timeline.forget(&fragments, &*goes, Frontier { inserted, durable })?)
        });
        let _ = tell.send(forgotten);
    });
    // Between two batches, on the writer's thread: nothing is inserted meanwhile.
    core.ask(|done| Message::Run { work, done });
    let stopping = || Refused::Unavailable("the server is stopping; it goes on at the next start".to_owned());
    told.recv().map_err(|_| stopping())?
}

fn forget_logged(core: &Core, fragments: &HashSet<[u8; 16]>, goes: &Goes) -> Result<()> {
    let mut hand = core.rows.write();
    let mut range = hand.context().table(tag::TIMELINE_LOG);
    loop {
        let page = hand.scan(&range, Order::Forward, 256)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        range = range.after(last);
        for (key, bytes) in page {
            let stays = |entry: &&[u8]| {
                let parts = entry.split_first_chunk::<16>();
                parts.and_then(|(key, value)| Some((key, value.try_into().ok()?))).is_none_or(
                    |(key, value): (&[u8; 16], [u8; 16])| !(fragments.contains(key) && goes(key, &value)),
                )
            };
            let rest: Vec<u8> = bytes.chunks(LOG_ENTRY).filter(stays).flatten().copied().collect();
            if rest.len() < bytes.len() {
                // The row stays, empty or not: the writer knows its key and removes it in its time.
                hand.put(key, rest);
            }
        }
    }
}
