//! Events that do not count at once: those whose time has not come, and those that were taken back.
//!
//! At an instant only what happened by then counts, so an event of the future waits in state, and is folded in at its
//! time, before the timers of that instant. A void takes effect at its time, or when it is received if that is earlier;
//! it may come before what it takes back. It is undone by folding the fragment anew without it: exact for every fold,
//! and nothing is kept for it in the ordinary case.

use std::sync::Arc;

use cdp_domain::event::{Event, VOID, accepted_id};
use cdp_domain::fold::State;
use cdp_domain::ids::{FragmentId, Position};
use cdp_domain::segment::earlier;
use cdp_domain::stamp::Stamp;
use cdp_domain::time::Timestamp;
use cdp_domain::traits::Cell;
use cdp_domain::value::Object;
use cdp_store::journal::RecordKind;
use cdp_store::keys::tag;
use cdp_store::kv::Order;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::apply::{Applier, timeline_entry};
use super::evaluate::Cause;
use super::plan::{Plan, Touched};
use crate::born::Place;
use crate::error::Result;
use crate::feed::{Item, Pending};
use crate::past::Past;
use crate::retention::Base;
use crate::rows::{Fragment, Look, NEVER, decode, encode};
use crate::tenant::Core;

/// Waiting events read at a time.
const WAITING_PAGE: usize = 64;

/// An event that waits for its time, as stored: what folds and traits need of it, as it left the transformers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Waiting {
    fragment: FragmentId,
    stamp: Stamp,
    kind: CompactString,
    properties: Object,
    traits: Object,
}

/// Whose fragment a waiting event is of.
pub(crate) fn waiting_fragment(bytes: &[u8]) -> Result<FragmentId> {
    decode::<Waiting>(bytes).map(|waiting| waiting.fragment)
}

/// What a void comes to, worked out before anything is locked.
pub(crate) struct Undone {
    identity: [u8; 16],
    at: Timestamp,
    /// The fragment of what is taken back, and what is left of its facts.
    left: Option<(FragmentId, Facts)>,
}

/// Events that do not count any more, with when they were received.
type Taken = Vec<(Timestamp, Event)>;

/// The facts of a fragment that are folded from its events.
pub(crate) struct Facts {
    folds: Vec<(u32, State)>,
    traits: Vec<(CompactString, Cell)>,
    taken: Taken,
}

/// The identity of an event, under which it is found in the index and among the voids.
pub(crate) fn identity(core: &Core, source: &str, id: &str) -> [u8; 16] {
    core.digests.identity.wide_of(&[source.as_bytes(), id.as_bytes()])
}

/// The identity under which an event is taken back: that of the one which was accepted.
fn voided_with(core: &Core, event: &Event) -> [u8; 16] {
    identity(core, &event.source, accepted_id(&event.id))
}

/// Since when an event does not count; None when it was never taken back.
pub(crate) fn void_since(core: &Core, look: &dyn Look, event: &Event) -> Result<Option<Timestamp>> {
    void_row(look, voided_with(core, event))
}

/// The same by its identity.
pub(crate) fn void_row(look: &dyn Look, identity: [u8; 16]) -> Result<Option<Timestamp>> {
    look.row(&look.context().void(identity))?.map(|bytes| decode(&bytes)).transpose()
}

impl Applier<'_> {
    /// Whether an event was taken back before it came.
    pub(super) fn is_void(&self, event: &Event) -> Result<bool> {
        if self.hand.inner.summary.voids == 0 {
            return Ok(false);
        }
        Ok(void_since(self.core, &self.hand, event)?.is_some())
    }

    /// Keeps an event until its time comes, which was applied at a place.
    pub(super) fn wait(&mut self, fragment: FragmentId, event: &Event, applied_at: Place) {
        let waiting = Waiting {
            fragment,
            stamp: event.stamp(),
            kind: event.kind.clone(),
            properties: event.properties.clone(),
            traits: event.traits.clone(),
        };
        let key = self.hand.context().waiting(event.time, applied_at.into());
        self.hand.put(key, encode(&waiting));
        let due = &mut self.hand.inner.summary.next_due;
        *due = earlier(*due, Some(event.time));
    }

    /// Folds in what waited for this instant.
    pub(super) fn arrive(&mut self, at: Timestamp) -> Result<()> {
        let context = *self.hand.context();
        let page = self.hand.scan(&context.table(tag::WAITING), Order::Forward, WAITING_PAGE)?;
        for (key, bytes) in page {
            let Some((time, position)) = cdp_store::keys::waiting(&key).filter(|(time, _)| *time == at)
            else {
                break;
            };
            self.hand.delete(key);
            self.hand.inner.summary.retouched += 1;
            let Waiting { fragment: id, stamp, kind, properties, traits } = decode(&bytes)?;
            let event = Event {
                id: stamp.id().into(),
                source: stamp.source().into(),
                kind,
                time,
                identifiers: Default::default(),
                properties,
                traits,
                channels: Vec::new(),
                verified: Vec::new(),
                consents: Vec::new(),
                extra: Object::default(),
            };
            if self.is_void(&event)? {
                continue;
            }
            self.derive_anew(id, &event.kind);
            let folds = self.folds_for(&event.kind, Place::from(position).position);
            let Some(fragment) = self.hand.fragment_mut(id)? else { continue };
            let touched = Touched {
                folds: fragment.fold_event(&event, folds.into_iter()),
                traits: event.traits.iter().map(|(name, _)| name.clone()).collect(),
                ..Touched::default()
            };
            self.evaluate(id, at, Cause::Event, &touched)?;
        }
        Ok(())
    }

    /// Applies a void.
    pub(crate) fn void(&mut self, pending: &Pending, undone: Undone) -> Result<()> {
        self.begin(pending.position, pending.received_at)?;
        let context = *self.hand.context();
        let summary = &mut self.hand.inner.summary;
        summary.events += 1;
        summary.voids += 1;
        summary.retouched += 1;
        self.hand.put(context.void(undone.identity), encode(&undone.at));
        let Some((id, facts)) = undone.left else { return Ok(()) };
        self.timeline.push((pending.position, timeline_entry(id, pending.event.time, pending.position)));
        let Some(fragment) = self.hand.fragment_mut(id)? else { return Ok(()) };
        fragment.folds = facts.folds;
        fragment.traits = facts.traits;
        self.derive_taken(id, facts.taken);
        self.evaluate(id, pending.received_at, Cause::Event, &Touched::everything())
    }
}

/// Works out what a void comes to. Reads the journal, so it is done before the rows are locked for writing; only the
/// writer changes what it rests on, and the writer is who asks.
pub(super) fn undo(core: &Arc<Core>, plan: &Plan, pending: &Pending) -> Result<Option<Undone>> {
    let Some((source, id)) = pending.event.voids() else { return Ok(None) };
    let identity = identity(core, source, id);
    let at = pending.event.time.min(pending.received_at);
    let known: Option<Timestamp> = {
        let view = core.rows.read();
        view.row(&view.context().void(identity))?.map(|bytes| decode(&bytes)).transpose()?
    };
    if let Some(since) = known {
        // It counts as taken back already; only the past may see it earlier.
        return Ok(Some(Undone { identity, at: at.min(since), left: None }));
    }
    let fragment = match target(core, identity, pending.position)? {
        Some(fragment) => fragment,
        None => return Ok(Some(Undone { identity, at, left: None })),
    };
    let known = {
        let view = core.rows.read();
        view.fragment(fragment)?
    };
    let Some(known) = known else { return Ok(Some(Undone { identity, at, left: None })) };
    let nothing = |_| false;
    let (mut fresh, taken) =
        refold(core, plan, (fragment, &known), &nothing, Some(identity), pending.received_at)?;
    let view = core.rows.read();
    let base = view.row(&view.context().aged(fragment))?;
    if let Some(base) = base.map(|bytes| decode::<Base>(&bytes)).transpose()? {
        base.add_to(&mut fresh, plan);
    }
    let facts = Facts { folds: fresh.folds, traits: fresh.traits, taken };
    Ok(Some(Undone { identity, at, left: Some((fragment, facts)) }))
}

/// The fragment of the event of this identity, if it stands in the journal before `before`.
fn target(core: &Core, identity: [u8; 16], before: Position) -> Result<Option<FragmentId>> {
    let Some(value) = core.identities.get(&identity)? else { return Ok(None) };
    let position = crate::accept::position_of(&value);
    if position >= before {
        return Ok(None);
    }
    match core.journal.read_at(position) {
        Ok(record) if record.header.id == identity && record.header.kind == RecordKind::Event => {
            Ok(Some(FragmentId(record.header.key_ref)))
        }
        Ok(_) | Err(cdp_store::Error::NotARecord { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A fragment as its events make it, without those at places that `skip` names and the one of an identity; what amounts to
/// anything of those that are gone by their age is not in it. Its traits, folds and the time of the last event are those of
/// what is left; everything else is as it was. Beside it come the events of that identity.
pub(crate) fn refold(
    core: &Arc<Core>,
    plan: &Plan,
    (id, known): (FragmentId, &Fragment),
    skip: &dyn Fn(Position) -> bool,
    without: Option<[u8; 16]>,
    as_of: Timestamp,
) -> Result<(Fragment, Taken)> {
    let config = core.rows.read().inner.config.clone();
    let fresh = Fragment::new(known.identifiers.clone(), known.origin, known.first.clone(), id);
    let mut fresh = Fragment { last_event: NEVER, ..fresh };
    let mut past = Past::new(core, config.clone());
    let (mut before, mut taken) = (None, Vec::new());
    loop {
        let page = core.timeline.scan_back(&id.0, before, crate::past::PAGE)?;
        before = page.last().copied();
        let places: Vec<_> = page.iter().map(crate::past::place_of).filter(|at| !skip(at.position)).collect();
        for item in past.events(&places)? {
            let Item::Event(pending) = item else { continue };
            let event = &pending.event;
            if event.kind == VOID {
                continue;
            }
            fresh.last_event = fresh.last_event.max(event.time);
            if event.time > as_of {
                continue;
            }
            if without.is_some_and(|without| voided_with(core, event) == without) {
                taken.push((pending.received_at, event.clone()));
                continue;
            }
            if void_since(core, &core.rows.read(), event)?.is_some() {
                continue;
            }
            let has = |no: u32| config.folds.get(&no).is_none_or(|fold| fold.has(pending.position));
            fresh.fold_event(event, plan.fed_by(&event.kind).filter(|(no, _)| has(*no)));
        }
        if page.len() < crate::past::PAGE {
            return Ok((fresh, taken));
        }
    }
}
