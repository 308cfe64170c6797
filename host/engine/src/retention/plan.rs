//! Whose days are over, and what to write about them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use cdp_domain::event::VOID;
use cdp_domain::ids::{FragmentId, Position};
use cdp_domain::time::Timestamp;
use cdp_store::journal::{PAYLOAD_BYTES_MAX, RecordKind};
use cdp_store::seal::{DataKeys as _, SEAL_BYTES};

use super::{Aged, Base, Derived, Retention, Stub};
use crate::born::Place;
use crate::config::{Change, Config};
use crate::error::{Refused, Result};
use crate::feed::{Item, Pending};
use crate::past::Past;
use crate::rows::{Fragment, Look, NEVER};
use crate::tenant::Core;
use crate::writer::{Plan, void_since};

/// Events that one record names; fewer, where what they amounted to would not fit into it.
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

/// The records about a fragment's events, each with the bytes that it takes in the journal; how many events have to wait
/// for the next time, because a plugin of their time could not be asked what they amounted to, or that is more than a
/// record holds.
pub(super) fn records(
    core: &Arc<Core>,
    plan: &Plan,
    id: FragmentId,
    over: &Over,
    now: Timestamp,
) -> Result<(Vec<(Aged, usize)>, u64)> {
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
    let fragment = Counted { core, plan, config, known, here, id, upto, now };
    let make = |part: &[(Position, Derived)]| {
        let made = fragment.record(part)?;
        let bytes = payload_bytes(id, &made.0)?;
        Ok((made, bytes))
    };
    let (made, too_large) = pieces(over, EVENTS_MAX, PAYLOAD_BYTES_MAX, make)?;
    if too_large > 0 {
        tracing::warn!(
            tenant = core.info.no.0,
            events = too_large,
            "what an event amounts to is more than a record holds; it stays until it does"
        );
    }
    let (mut records, mut waiting) = (Vec::new(), too_large);
    for ((aged, later), bytes) in made {
        waiting += later;
        if !aged.gone.is_empty() || !aged.stubs.is_empty() {
            records.push((aged, bytes));
        }
    }
    Ok((records, waiting))
}

/// What is made of pieces of a list, with its bytes: as few pieces as halving comes to, of `most` items and `bytes_max`
/// bytes each. Of how many items one alone is too large; those are left out.
fn pieces<T, M>(
    items: &[T],
    most: usize,
    bytes_max: usize,
    make: impl Fn(&[T]) -> Result<(M, usize)>,
) -> Result<(Vec<(M, usize)>, u64)> {
    let (mut made, mut too_large) = (Vec::new(), 0);
    let mut parts: Vec<&[T]> = items.chunks(most).rev().collect();
    while let Some(part) = parts.pop() {
        let (one, bytes) = make(part)?;
        if bytes <= bytes_max {
            made.push((one, bytes));
        } else if part.len() == 1 {
            too_large += 1;
        } else {
            let (first, second) = part.split_at(part.len() / 2);
            parts.extend([second, first]);
        }
    }
    Ok((made, too_large))
}

/// Bytes that a record takes in the journal, sealed.
fn payload_bytes(fragment: FragmentId, aged: &Aged) -> Result<usize> {
    let change = Change::Aged { fragment, aged: Box::new(aged.clone()) };
    Ok(serde_json::to_vec(&change).map_err(Refused::internal)?.len() + SEAL_BYTES)
}

/// A fragment whose events amount to something.
struct Counted<'a> {
    core: &'a Arc<Core>,
    plan: &'a Plan,
    config: Arc<Config>,
    /// As state has it; None when nobody has it any more.
    known: Option<Arc<Fragment>>,
    /// Its entries in the timeline, by what was accepted.
    here: HashMap<Position, Vec<Place>>,
    id: FragmentId,
    upto: Position,
    now: Timestamp,
}

impl Counted<'_> {
    /// One record about these events; how many of them have to wait.
    fn record(&self, part: &[(Position, Derived)]) -> Result<(Aged, u64)> {
        let mut past = Past::new(self.core, self.config.clone());
        let mut waiting = 0;
        let mut aged =
            Aged { gone: Vec::new(), stubs: Vec::new(), base: None, counted: Vec::new(), upto: self.upto };
        for (position, derived) in part {
            // It has a letter, or nothing: nothing was made of it.
            let Some((known, family)) = self.known.as_ref().zip(self.here.get(position)) else {
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
            let (more, counts) = self.amount(known, &events)?;
            if counts {
                aged.counted.push(*position);
            }
            match &mut aged.base {
                Some(base) => base.join(more, self.plan),
                None => aged.base = Some(more),
            }
        }
        Ok((aged, waiting))
    }

    /// What events amount to that one accepted event became; whether any of them counts.
    fn amount(&self, known: &Fragment, events: &[Box<Pending>]) -> Result<(Base, bool)> {
        let fresh = Fragment::new(known.identifiers.clone(), known.origin, known.first.clone(), self.id);
        let mut fresh = Fragment { last_event: NEVER, ..fresh };
        let mut counts = false;
        for pending in events {
            let event = &pending.event;
            fresh.last_event = fresh.last_event.max(event.time);
            let void = void_since(self.core, &self.core.rows.read(), event)?.is_some();
            if event.kind == VOID || void || event.time > self.now {
                continue;
            }
            fresh.fold_event(event, self.plan.fed_by(&event.kind));
            counts = true;
        }
        let (events, last_event) = (events.len() as u64, fresh.last_event);
        Ok((Base { events, last_event, folds: fresh.folds, traits: fresh.traits }, counts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces of a list of sizes, of 4 items and 10 bytes at most.
    fn cut(sizes: &[usize]) -> (Vec<Vec<usize>>, u64) {
        let make = |part: &[usize]| Ok((part.to_vec(), part.iter().sum()));
        let (made, too_large) = pieces(sizes, 4, 10, make).unwrap();
        assert!(made.iter().all(|(part, bytes)| *bytes == part.iter().sum::<usize>() && *bytes <= 10));
        (made.into_iter().map(|(part, _)| part).collect(), too_large)
    }

    #[test]
    fn a_record_holds_as_many_events_as_fit_into_it() {
        assert_eq!(cut(&[]), (vec![], 0));
        assert_eq!(cut(&[1, 2, 3, 4]), (vec![vec![1, 2, 3, 4]], 0), "exactly as many bytes as may be");
        assert_eq!(cut(&[1, 2, 3, 5]), (vec![vec![1, 2], vec![3, 5]], 0), "one byte more");
        assert_eq!(cut(&[1, 1, 1, 1, 1]), (vec![vec![1, 1, 1, 1], vec![1]], 0), "one item more");
        assert_eq!(cut(&[9, 9, 9]), (vec![vec![9], vec![9], vec![9]], 0));
        assert_eq!(cut(&[10, 11, 1]), (vec![vec![10], vec![1]], 1), "one alone is too large");
    }

    #[test]
    fn the_bytes_of_a_record_are_those_that_the_journal_is_given() {
        let (fragment, position) = (FragmentId([7; 16]), Position(1 << 40));
        let aged = Aged {
            gone: vec![position; 9],
            stubs: vec![position],
            base: None,
            counted: Vec::new(),
            upto: position,
        };
        let change = Change::Aged { fragment, aged: Box::new(aged.clone()) };
        let plain = serde_json::to_string(&change).unwrap();
        assert_eq!(payload_bytes(fragment, &aged).unwrap(), plain.len() + SEAL_BYTES);
        let Ok(Change::Aged { aged: read, .. }) = serde_json::from_str(&plain) else { panic!("{plain}") };
        assert_eq!(*read, aged);
    }
}
