//! Whose days are over, and what to write about them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use cdp_domain::event::VOID;
use cdp_domain::ids::{FragmentId, Position};
use cdp_domain::time::Timestamp;
use cdp_store::journal::RecordKind;
use cdp_store::seal::DataKeys as _;

use super::{Aged, Base, Derived, Retention, Stub};
use crate::born::Place;
use crate::error::Result;
use crate::feed::Item;
use crate::past::Past;
use crate::rows::{Fragment, Look, NEVER};
use crate::tenant::Core;
use crate::writer::{Plan, void_since};

/// Events that one record names.
const EVENTS_MAX: usize = 2_048;

/// Events of one fragment whose days are over, with what becomes of what they amounted to.
type Over = Vec<(Position, Derived)>;

/// What was found in the journal.
#[derive(Default)]
pub(super) struct Found {
    pub(super) fragments: BTreeMap<FragmentId, Over>,
    pub(super) events: usize,
    /// Whether there may be more.
    pub(super) more: bool,
}

/// When the next event of each segment of the journal is over, as far as they were looked at under a policy. A segment
/// none of whose events is over is not read again before one is.
#[derive(Default)]
pub(crate) struct Dues {
    rules: Option<Retention>,
    /// By where the segment begins; None when none of its events ever is.
    next: BTreeMap<Position, Option<Timestamp>>,
}

/// Looks for events whose days are over at `now`, up to `most`, and sees to it that all of them come to lie in finished
/// segments with the next record.
pub(super) fn find(core: &Core, dues: &mut Dues, now: Timestamp, most: usize) -> Result<Found> {
    let (retention, applied, aging) = {
        let view = core.rows.read();
        let inner = &view.inner;
        (inner.config.retention.clone(), inner.summary.applied, inner.aging.clone())
    };
    if dues.rules.as_ref().is_none_or(|known| known.rules != retention.rules) {
        *dues = Dues { rules: Some(retention.clone()), next: BTreeMap::new() };
    }
    let mut found = Found::default();
    let finished = core.journal.finished();
    let tail = finished.last().map_or(Position(0), |(_, end)| *end);
    let mut in_tail = false;
    for (base, end) in finished.into_iter().chain([(tail, applied)]) {
        if dues.next.get(&base).is_some_and(|next| next.is_none_or(|next| next > now)) {
            continue;
        }
        let mut reader = core.journal.reader(base);
        let mut next: Option<Timestamp> = None;
        while reader.position() < end {
            let Some(record) = reader.next_ref()? else { break };
            let (position, header) = (record.position, record.header);
            if position >= end.min(applied) {
                break;
            }
            if header.kind != RecordKind::Event || header.redacted || aging.contains(&position) {
                continue;
            }
            // Nobody can read it, and nobody could redact it.
            if core.keys.key(&header.key_ref).is_err() {
                continue;
            }
            let (kind, time) = match core.item(position, &header, record.payload.to_vec())? {
                Item::Event(pending) => (pending.event.kind, pending.event.time),
                Item::Unreadable(unreadable) => (unreadable.names.2, unreadable.received_at),
                _ => continue,
            };
            let Some((over, derived)) = retention.ends(&kind, time) else { continue };
            if over > now {
                next = Some(next.map_or(over, |next| next.min(over)));
                continue;
            }
            found.fragments.entry(FragmentId(header.key_ref)).or_default().push((position, derived));
            found.events += 1;
            in_tail |= base == tail;
            if found.events == most {
                found.more = true;
                break;
            }
        }
        if found.more {
            // It is looked at again.
            break;
        }
        // More comes into the last one.
        if base != tail {
            dues.next.insert(base, next);
        }
    }
    if in_tail {
        core.journal.finish_segment();
    }
    Ok(found)
}

/// The records about a fragment's events; how many of them have to wait for the next time, because a plugin of their time
/// could not be asked what they amounted to.
pub(super) fn records(
    core: &Arc<Core>,
    plan: &Plan,
    id: FragmentId,
    over: &Over,
    now: Timestamp,
) -> Result<(Vec<Aged>, u64)> {
    let (config, known, upto) = {
        let view = core.rows.read();
        (view.inner.config.clone(), view.fragment(id)?, view.inner.summary.applied)
    };
    let places: HashSet<Position> = over.iter().map(|(position, _)| *position).collect();
    let mut here: HashMap<Position, Vec<Place>> = HashMap::new();
    let mut before = None;
    while known.is_some() {
        let page = core.timeline.scan_back(&id.0, before, crate::past::PAGE)?;
        before = page.last().copied();
        for place in page.iter().map(crate::past::place_of).filter(|place| places.contains(&place.position)) {
            here.entry(place.position).or_default().push(place);
        }
        if page.len() < crate::past::PAGE {
            break;
        }
    }
    let (mut records, mut waiting) = (Vec::new(), 0);
    for part in over.chunks(EVENTS_MAX) {
        let mut past = Past::new(core, config.clone());
        let mut aged = Aged { gone: Vec::new(), stubs: Vec::new(), base: None, counted: Vec::new(), upto };
        for (position, derived) in part {
            // It has a letter, or nothing: nothing was made of it.
            let Some((known, family)) = known.as_ref().zip(here.get(position)) else {
                aged.gone.push(*position);
                continue;
            };
            let items = past.events(family)?;
            let events: Vec<_> = items
                .into_iter()
                .filter_map(|item| match item {
                    Item::Event(pending) => Some(pending),
                    _ => None,
                })
                .collect();
            if events.len() < family.len() {
                waiting += 1;
                continue;
            }
            let stays = |event| Stub::says_where(event) || event.stamp() == known.first;
            let stays = events.iter().any(|pending| stays(&pending.event));
            if stays {
                aged.stubs.push(*position)
            } else {
                aged.gone.push(*position)
            }
            if *derived == Derived::Decayed {
                continue;
            }
            let fresh = Fragment::new(known.identifiers.clone(), known.origin, known.first.clone(), id);
            let mut fresh = Fragment { last_event: NEVER, ..fresh };
            let mut counts = false;
            for pending in &events {
                let event = &pending.event;
                fresh.last_event = fresh.last_event.max(event.time);
                let void = void_since(core, &core.rows.read(), event)?.is_some();
                if event.kind == VOID || void || event.time > now {
                    continue;
                }
                fresh.fold_event(event, plan.fed_by(&event.kind));
                counts = true;
            }
            if counts {
                aged.counted.push(*position);
            }
            let more = Base {
                events: events.len() as u64,
                last_event: fresh.last_event,
                folds: fresh.folds,
                traits: fresh.traits,
            };
            match &mut aged.base {
                Some(base) => base.join(more, plan),
                None => aged.base = Some(more),
            }
        }
        if !aged.gone.is_empty() || !aged.stubs.is_empty() {
            records.push(aged);
        }
    }
    Ok((records, waiting))
}
