//! Applying records: one event becomes fragment, traits, folds, consents, memberships and a timeline entry.

use std::collections::HashMap;
use std::collections::VecDeque;

use cdp_domain::consent::Current;
use cdp_domain::event::Event;
use cdp_domain::fold::{self, Fold};
use cdp_domain::ids::{FragmentId, Position};
use cdp_domain::time::Timestamp;
use cdp_domain::traits::writes;
use cdp_store::keys::{self, tag};
use cdp_store::kv::Order;
use serde::{Deserialize, Serialize};

use super::Plan;
use super::evaluate::Cause;
use crate::config::Change;
use crate::error::Result;
use crate::feed::{Item, Pending};
use crate::rows::{Contact, Hand, Look, encode};
use crate::tenant::{Core, IndexEntry};

/// Entries in one row of the timeline's log: it stays within the store's bound on values.
const LOG_ENTRIES: usize = 120;

/// What became of an event on its way through the plugins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes on, changed or not.
    Keep,
    /// A transformer dropped it on purpose.
    Drop { plugin: String, reason: String },
    /// It could not be processed.
    Dead { plugin: String, reason: String },
}

/// An event that is kept out of state, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Letter {
    pub(crate) plugin: String,
    pub(crate) reason: String,
    pub(crate) at: Timestamp,
    /// Dropped on purpose rather than failed.
    pub(crate) dropped: bool,
}

/// Applies records under one lock; readers see all of it or nothing.
pub(crate) struct Applier<'a> {
    pub(super) core: &'a Core,
    pub(super) plan: &'a Plan,
    pub(super) hand: Hand<'a>,
    timeline: Vec<(Position, IndexEntry)>,
}

impl<'a> Applier<'a> {
    pub(crate) fn new(core: &'a Core, plan: &'a Plan) -> Self {
        Self { core, plan, hand: core.rows.write(), timeline: Vec::new() }
    }

    /// Applies one event, after the timers that were due when it was received.
    pub(crate) fn apply(&mut self, item: &Item, fate: Fate) -> Result<()> {
        match item {
            Item::Event(pending) => {
                self.begin(pending.position, pending.received_at)?;
                match fate {
                    Fate::Keep => self.event(pending),
                    Fate::Drop { plugin, reason } => {
                        self.letter(pending.position, pending.received_at, plugin, reason, true)
                    }
                    Fate::Dead { plugin, reason } => {
                        self.letter(pending.position, pending.received_at, plugin, reason, false)
                    }
                }
            }
            Item::Unreadable { position, received_at, reason } => {
                self.begin(*position, *received_at)?;
                self.letter(*position, *received_at, String::new(), reason.clone(), false)
            }
            Item::Change { .. } => unreachable!("changes are applied by `change`"),
        }
    }

    /// Makes the timeline entries visible and logs them, so that they survive until a run holds them.
    pub(crate) fn finish(mut self) {
        self.core.timeline.insert_many(self.timeline.iter().map(|(_, entry)| *entry));
        let context = *self.hand.context();
        for part in self.timeline.chunks(LOG_ENTRIES) {
            let last = part.last().expect("a chunk is not empty").0;
            let bytes = part.iter().flat_map(|(_, (key, value))| key.iter().chain(value).copied()).collect();
            self.hand.put(context.timeline_log(last, 0), bytes);
            self.hand.inner.timeline_logged.push((last, 0));
        }
    }

    fn begin(&mut self, position: Position, received_at: Timestamp) -> Result<()> {
        self.advance(received_at)?;
        let summary = &mut self.hand.inner.summary;
        summary.last = position;
        summary.changes_at_last = 0;
        Ok(())
    }

    fn letter(
        &mut self,
        position: Position,
        at: Timestamp,
        plugin: String,
        reason: String,
        dropped: bool,
    ) -> Result<()> {
        let summary = &mut self.hand.inner.summary;
        if dropped {
            summary.dropped += 1;
        } else {
            summary.dead_letters += 1;
        }
        let key = self.hand.context().dead_letter(position);
        self.hand.put(key, encode(&Letter { plugin, reason, at, dropped }));
        Ok(())
    }

    fn event(&mut self, pending: &Pending) -> Result<()> {
        let (id, event) = (pending.fragment, &pending.event);
        let stamp = event.stamp();
        if self.hand.fragment_mut(id)?.is_none() {
            self.place(id, event, &stamp)?;
        }
        let plan = self.plan;
        let fragment = self.hand.fragment_mut(id)?.expect("it was just placed");
        let earlier = stamp < fragment.first;
        if earlier {
            fragment.first = stamp.clone();
        }
        fragment.events += 1;
        fragment.last_seen = fragment.last_seen.max(event.time);
        for (name, write) in writes(&event.traits) {
            fragment.write_trait(name, &stamp, write);
        }
        for (no, aggregate) in plan.folds.get(&event.kind).into_iter().flatten() {
            if aggregate.wants(event) {
                aggregate.step(fragment.fold_mut(*no), event);
            }
        }
        let new_contacts: Vec<_> =
            event.channels.iter().filter(|point| fragment.add_contact(point)).cloned().collect();
        self.hand.inner.summary.events += 1;
        for point in new_contacts {
            let digest = self.core.digests.contact.wide(&point.canonical_bytes());
            self.hand.contact_mut(digest, || Contact::new(point))?.used_by(id);
        }
        if earlier {
            self.reroot(id)?;
        }
        self.timeline.push((pending.position, timeline_entry(id, event.time, pending.position)));
        let others = self.consents(event, &stamp)?;
        self.evaluate(id, pending.received_at, Cause::Event)?;
        for other in others.into_iter().filter(|other| *other != id) {
            self.evaluate(other, pending.received_at, Cause::Event)?;
        }
        Ok(())
    }

    /// Takes consent decisions in; the fragments whose reachability may have changed come back.
    fn consents(&mut self, event: &Event, stamp: &cdp_domain::stamp::Stamp) -> Result<Vec<FragmentId>> {
        let mut affected = Vec::new();
        for decision in &event.consents {
            let digest = self.core.digests.contact.wide(&decision.contact.canonical_bytes());
            let contact = self.hand.contact_mut(digest, || Contact::new(decision.contact.clone()))?;
            if contact.decide(&decision.purpose, Current::of(decision, stamp)) {
                affected.extend_from_slice(&contact.fragments);
            }
        }
        affected.sort_unstable();
        affected.dedup();
        Ok(affected)
    }

    /// Applies a change of configuration. `rebuilding`: attributes were folded from the start of the journal.
    pub(crate) fn change(
        &mut self,
        position: Position,
        received_at: Timestamp,
        change: &Change,
        rebuilding: bool,
    ) -> Result<()> {
        self.begin(position, received_at)?;
        let before = self.hand.inner.config.clone();
        match change {
            Change::SegmentPut { name, .. } => {
                let replaced = before.segments.get(name).and_then(|segment| segment.building.as_ref());
                replaced.into_iter().for_each(|version| self.hand.drop_members(version.no));
            }
            Change::SegmentPublished { name, no } => {
                let replaced = before.segments.get(name).and_then(|segment| segment.active.as_ref());
                replaced
                    .filter(|version| version.no != *no)
                    .into_iter()
                    .for_each(|version| self.hand.drop_members(version.no));
            }
            Change::SegmentDeleted { name } => {
                let segment = before.segments.get(name);
                for version in
                    segment.into_iter().flat_map(|segment| segment.active.iter().chain(&segment.building))
                {
                    self.hand.drop_members(version.no);
                }
            }
            Change::ExportRecorded { id, info } => {
                let key = self.hand.context().export(*id);
                self.hand.put(key, serde_json::to_vec(info).expect("JSON encodes"));
            }
            _ => {}
        }
        let config = self.hand.config_mut();
        config.apply(change.clone(), position);
        if let Change::AttributePut { name, .. } = change
            && rebuilding
            && let Some(building) =
                config.attributes.get_mut(name).and_then(|attribute| attribute.building.as_mut())
        {
            building.built_to = position;
        }
        Ok(())
    }

    /// Adds what events before the definition of an attribute amount to. A slice that was added already changes nothing.
    pub(crate) fn add_past(
        &mut self,
        no: u32,
        from: Position,
        upto: Position,
        states: HashMap<FragmentId, fold::State>,
    ) -> Result<()> {
        let config = self.hand.inner.config.clone();
        let building =
            config.attribute_versions().find(|(_, version)| version.no == no && version.built_to == from);
        let Some((name, _)) = building else { return Ok(()) };
        let Some(aggregate) = self.plan.aggregates.get(&no).cloned() else { return Ok(()) };
        for (id, state) in states {
            if let Some(fragment) = self.hand.fragment_mut(id)? {
                let known = fragment.fold_mut(no);
                *known = aggregate.combine(std::mem::take(known), state);
            }
        }
        let attribute = self.hand.config_mut().attributes.get_mut(name);
        if let Some(building) = attribute.and_then(|attribute| attribute.building.as_mut()) {
            building.built_to = upto;
        }
        Ok(())
    }
}

/// An entry of the timeline: sorts by time, then by position.
pub(crate) fn timeline_entry(id: FragmentId, time: Timestamp, position: Position) -> IndexEntry {
    let mut value = [0; 16];
    value[..8].copy_from_slice(&(time.0 as u64 ^ 1 << 63).to_be_bytes());
    value[8..].copy_from_slice(&position.0.to_be_bytes());
    (id.0, value)
}

/// Puts the entries of the timeline's log back into memory; the keys of the log come back, oldest first.
pub(super) fn load_timeline(core: &Core) -> Result<VecDeque<(Position, u16)>> {
    let mut logged = VecDeque::new();
    let mut range = core.rows.context().table(tag::TIMELINE_LOG);
    loop {
        let page = core.rows.read().scan(&range, Order::Forward, 256)?;
        let Some((last, _)) = page.last() else { return Ok(logged) };
        range = range.after(last);
        for (key, bytes) in &page {
            let entries = bytes.chunks_exact(32).map(|entry| {
                let (key, value) = entry.split_at(16);
                (key.try_into().expect("16 bytes"), value.try_into().expect("16 bytes"))
            });
            core.timeline.insert_many(entries);
            logged.extend(keys::timeline_log(key));
        }
    }
}
