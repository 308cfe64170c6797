//! The past of a version that is to serve: every fragment folded anew from the journal, every profile read.
//!
//! The work is done beside the writer, some profiles at a time, and handed over. What the writer has, or is about to fold,
//! is not: it brings that forward by itself, folds it anew the first time and goes on from there. So what is kept of a fragment has
//! every event in it but those that the writer is about to fold, and a customer with many events who goes on sending costs
//! one reading of the past, not one an instant.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cdp_domain::ids::{FragmentId, Ordinal};
use cdp_jobs::Progress;
use cdp_runtime::Derivation;

use crate::build::Throttle;
use crate::config::Change;
use crate::error::Result;
use crate::feed::Message;
use crate::rows::Look;
use crate::tenant::Core;
use crate::writer::{Deriving, compute, put_brought};

/// Profiles that are built at a time.
const PROFILES_AT_A_TIME: u32 = 128;
/// How often profiles that changed meanwhile are tried, before the writer is asked to hold still for them.
const TRIES: usize = 4;

/// Builds what is being built of a slot and has it serve. Whether it went through; false when it was cancelled, or state
/// was taken anew since, at so many renewals, the work began.
pub(crate) fn build_slot(core: &Arc<Core>, slot: u32, renewals: u64, progress: &Progress) -> Result<bool> {
    let Some((deriving, guest)) = ready(core, slot)? else { return Ok(true) };
    let renewed = || core.renewals.load(Ordering::Acquire) != renewals;
    let mut throttle = Throttle::new(core);
    let mut from: u32 = 0;
    loop {
        let last = core.rows.read().inner.summary.next_ordinal;
        if from >= last {
            break;
        }
        let to = from.saturating_add(PROFILES_AT_A_TIME).min(last);
        if !some(core, &deriving, &guest, from..to)? {
            return Ok(false);
        }
        from = to;
        progress.set(u64::from(from), u64::from(last));
        if progress.cancelled() || renewed() {
            return Ok(false);
        }
        throttle.rest(core);
    }
    let publish = async {
        let _changing = core.changing.lock().await;
        let building = core.rows.read().inner.config.slots.get(&slot).and_then(|slot| slot.building);
        if building == Some(deriving.no) {
            core.change_since(Change::DerivationPublished { slot, no: deriving.no }, renewals).await?;
        }
        Result::<()>::Ok(())
    };
    pollster::block_on(publish)?;
    Ok(true)
}

/// Builds everything of what is being built of a slot, in the writer's own turn: at its record, in a rebuild.
pub(crate) fn build_here(core: &Arc<Core>, slot: u32) -> Result<()> {
    let Some((deriving, guest)) = ready(core, slot)? else { return Ok(()) };
    let last = core.rows.read().inner.summary.next_ordinal;
    let mut from = 0;
    while from < last {
        let to = from.saturating_add(PROFILES_AT_A_TIME).min(last);
        let fragments = fragments(core, from..to)?;
        let at = core.rows.read().inner.summary.as_of;
        let brought = compute(core, &deriving, &guest, &fragments, at)?;
        put_brought(core, brought, at)?;
        from = to;
    }
    Ok(())
}

/// What is being built of a slot, and the plugin behind it.
fn ready(core: &Core, slot: u32) -> Result<Option<(Deriving, Derivation)>> {
    let config = core.rows.read().inner.config.clone();
    let Some(known) = config.slots.get(&slot) else { return Ok(None) };
    let Some(no) = known.building else { return Ok(None) };
    let Some(version) = config.derivations.get(&no).cloned() else { return Ok(None) };
    let guest = super::bind(core, &version).map_err(crate::error::Refused::Plugin)?;
    let plugin = known.plugin.clone();
    Ok(Some((Deriving { no, slot, plugin, version, built: false, serves: false }, guest)))
}

/// Builds some profiles and hands them over; false when the tenant is being closed.
fn some(
    core: &Arc<Core>,
    deriving: &Deriving,
    guest: &Derivation,
    ordinals: std::ops::Range<u32>,
) -> Result<bool> {
    for attempt in 0..=TRIES {
        let (before, at) = signature(core, ordinals.clone())?;
        let fragments: BTreeSet<FragmentId> = before.1.iter().map(|(id, ..)| *id).collect();
        let last = attempt == TRIES;
        let brought = if last { None } else { Some(compute(core, deriving, guest, &fragments, at)?) };
        let (shared, deriving, guest, ordinals) =
            (core.clone(), deriving.clone(), guest.clone(), ordinals.clone());
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let work = Box::new(move || {
            let handed = hand_over(&shared, &deriving, &guest, (brought, &before, ordinals));
            let _ = tell.send(handed);
        });
        if !core.ask(|done| Message::Run { work, done }) {
            return Ok(false);
        }
        match told.recv() {
            Ok(handed) => {
                if handed? {
                    return Ok(true);
                }
            }
            Err(_) => return Ok(false),
        }
    }
    Ok(true)
}

/// What shows that profiles are as they were: retouches, and each fragment with its root and number of events.
type Signature = (u64, Vec<(FragmentId, FragmentId, u64)>);

fn signature(
    core: &Core,
    ordinals: std::ops::Range<u32>,
) -> Result<(Signature, cdp_domain::time::Timestamp)> {
    let view = core.rows.read();
    let mut all = Vec::new();
    for ordinal in ordinals {
        let Some(root) = view.root(Ordinal(ordinal))? else { continue };
        let of = |(id, fragment): &(FragmentId, Arc<crate::rows::Fragment>)| (*id, root, fragment.events);
        all.extend(view.profile(root)?.iter().map(of));
    }
    let summary = &view.inner.summary;
    Ok(((summary.retouched, all), summary.as_of))
}

fn fragments(core: &Core, ordinals: std::ops::Range<u32>) -> Result<BTreeSet<FragmentId>> {
    Ok(signature(core, ordinals)?.0.1.into_iter().map(|(id, ..)| id).collect())
}

/// In the writer's turn: takes what was built, but for what the writer has already; without anything built, builds it now.
/// False when something changed that it has not, and all is to be built again.
fn hand_over(
    core: &Arc<Core>,
    deriving: &Deriving,
    guest: &Derivation,
    (brought, before, ordinals): (Option<crate::writer::Brought>, &Signature, std::ops::Range<u32>),
) -> Result<bool> {
    // Another version may be being built by now.
    if !core.rows.read().inner.config.derivations.contains_key(&deriving.no) {
        return Ok(true);
    }
    let (now, at) = signature(core, ordinals.clone())?;
    let mut changed: BTreeSet<(FragmentId, FragmentId, u64)> = BTreeSet::new();
    let mut brought = match brought {
        // What was taken back or told apart leaves no trace in a fragment.
        Some(_) if now.0 != before.0 => return Ok(false),
        Some(brought) => {
            let (was, is): (BTreeSet<_>, BTreeSet<_>) = (before.1.iter().collect(), now.1.iter().collect());
            changed.extend(was.symmetric_difference(&is).map(|one| **one));
            brought
        }
        None => {
            let fragments = now.1.iter().map(|(id, ..)| *id).collect();
            compute(core, deriving, guest, &fragments, at)?
        }
    };
    let mut left = BTreeSet::new();
    {
        let view = core.rows.read();
        let events = view.inner.underway.events.iter().filter(|fresh| deriving.takes(&fresh.event));
        let coming: BTreeSet<FragmentId> = events.map(|fresh| fresh.fragment).collect();
        for one in now.1.iter().chain(&changed) {
            let (id, root, _) = one;
            if coming.contains(id) || view.row(&view.context().derived_state(*id, deriving.no))?.is_some() {
                left.extend([*id, *root]);
            } else if changed.contains(one) {
                // By something else than events that the plugin folds: the writer has nothing of it.
                return Ok(false);
            }
        }
    }
    brought.leave_out(&left);
    put_brought(core, brought, at)?;
    Ok(true)
}
