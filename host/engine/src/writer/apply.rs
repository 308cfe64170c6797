//! Applying records: one event becomes fragment, traits, folds, consents, memberships and a timeline entry.

use std::collections::VecDeque;
use std::sync::Arc;

use cdp_domain::event::{EXPIRED, Event};
use cdp_domain::fold::{Fold, Spec};
use cdp_domain::identity::Resolver;
use cdp_domain::ids::{FragmentId, JobId, Position};
use cdp_domain::time::Timestamp;
use cdp_store::keys::{self, tag};
use cdp_store::kv::Order;

use super::Plan;
use super::evaluate::Cause;
use super::plan::Touched;
use crate::born::Place;
use crate::build::PastStates;
use crate::config::Change;
use crate::dead_letters::{Attempt, Attempts, First, Letter, Verdict};
use crate::error::{Refused, Result};
use crate::feed::{Item, Names, Pending};
use crate::receipts::pipeline;
use crate::rows::{Contact, Hand, Look, decode, encode};
use crate::tenant::{Core, IndexEntry};

/// Entries in one row of the timeline's log: it stays within the store's bound on values.
const LOG_ENTRIES: usize = 120;

/// What became of an event on its way through the plugins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes on, changed or not.
    Keep,
    /// It goes no further: a transformer dropped it, or it could not be processed.
    Out(Verdict),
}

/// The record that asks for a replay.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) at: Position,
    pub(crate) received_at: Timestamp,
    pub(crate) job: JobId,
}

/// Applies records under one lock; readers see all of it or nothing.
pub(crate) struct Applier<'a> {
    pub(crate) core: &'a Core,
    pub(crate) plan: &'a Plan,
    pub(crate) hand: Hand<'a>,
    pub(super) resolver: Arc<Resolver>,
    /// Of rules and constraints.
    pub(super) revision: u32,
    pub(super) timeline: Vec<(Position, IndexEntry)>,
    /// The soonest timer that was set since somebody began to look.
    pub(super) soonest: Option<Timestamp>,
}

impl<'a> Applier<'a> {
    pub(crate) fn new(core: &'a Core, plan: &'a Plan) -> Self {
        let hand = core.rows.write();
        let revision = hand.inner.config.identity.revision;
        let resolver = core.resolver.read().clone();
        Self { core, plan, hand, resolver, revision, timeline: Vec::new(), soonest: None }
    }

    /// Applies one event, after the timers that were due when it was received.
    pub(crate) fn apply(&mut self, item: &Item, fate: Fate) -> Result<()> {
        match item {
            Item::Event(pending) => {
                self.begin(pending.position, pending.received_at)?;
                match fate {
                    Fate::Keep => self.event(pending, pending.position, pending.received_at),
                    Fate::Out(verdict) => {
                        let event = &pending.event;
                        let (id, source, kind) = (event.id.clone(), event.source.clone(), event.kind.clone());
                        self.letter(
                            pending.position,
                            letter(verdict, pending.received_at, (id, source, kind)),
                        );
                        Ok(())
                    }
                }
            }
            Item::Unreadable(unreadable) => {
                self.begin(unreadable.position, unreadable.received_at)?;
                let verdict = Verdict::new(unreadable.code, "", unreadable.reason.as_str());
                self.letter(
                    unreadable.position,
                    letter(verdict, unreadable.received_at, unreadable.names.clone()),
                );
                Ok(())
            }
            Item::Removed { position, received_at } => {
                self.begin(*position, *received_at)?;
                self.hand.inner.summary.expired += 1;
                Ok(())
            }
            Item::Change { .. } => unreachable!("changes are applied by `change`"),
        }
    }

    /// Makes the timeline entries visible and logs them, so that they survive until a run holds them.
    pub(crate) fn finish(mut self) {
        self.core.timeline.insert_many(self.timeline.iter().map(|(_, entry)| *entry));
        let context = *self.hand.context();
        let mut row = None;
        for part in self.timeline.chunks(LOG_ENTRIES) {
            let last = part.last().expect("a chunk is not empty").0;
            // One record may have more entries than a row.
            let n = row.filter(|(position, _)| *position == last).map_or(0, |(_, n)| n + 1);
            row = Some((last, n));
            let bytes = part.iter().flat_map(|(_, (key, value))| key.iter().chain(value).copied()).collect();
            self.hand.put(context.timeline_log(last, n), bytes);
            self.hand.inner.timeline_logged.push((last, n));
        }
    }

    pub(crate) fn begin(&mut self, position: Position, received_at: Timestamp) -> Result<()> {
        self.advance(received_at)?;
        let summary = &mut self.hand.inner.summary;
        summary.last = position;
        summary.changes_at_last = 0;
        Ok(())
    }

    fn letter(&mut self, position: Position, letter: Letter) {
        *self.hand.inner.summary.kept_mut(letter.code.kept()) += 1;
        let key = self.hand.context().dead_letter(position);
        self.hand.put(key, encode(&letter));
    }

    /// Applies an event that stood before in the journal, or keeps it out again; in one go with its letter.
    pub(crate) fn replay(&mut self, asked: Asked, tried: Option<((Item, Fate), Letter)>) -> Result<()> {
        self.begin(asked.at, asked.received_at)?;
        let Some(((item, fate), letter)) = tried else { return Ok(()) };
        let (event, verdict) = match (&item, fate) {
            (Item::Event(pending), Fate::Keep) => (pending.position, None),
            (Item::Event(pending), Fate::Out(verdict)) => (pending.position, Some(verdict)),
            (Item::Unreadable(unreadable), _) => {
                let verdict = Verdict::new(unreadable.code, "", unreadable.reason.as_str());
                (unreadable.position, Some(verdict))
            }
            (Item::Removed { .. }, _) => return Ok(()),
            (Item::Change { .. }, _) => return Err(Refused::internal("a change has no letter")),
        };
        let key = self.hand.context().replay(event);
        let mut attempts: Attempts = match self.hand.row(&key)? {
            Some(bytes) => decode(&bytes)?,
            None => Attempts::default(),
        };
        attempts.first.get_or_insert_with(|| First {
            code: letter.code,
            plugin: letter.plugin.clone(),
            reason: letter.reason.clone(),
            problems: letter.problems.clone(),
        });
        attempts.push(Attempt {
            position: asked.at,
            at: asked.received_at,
            job: asked.job,
            code: verdict.as_ref().map(|verdict| verdict.code),
            plugin: verdict.as_ref().map(|verdict| verdict.plugin.clone()).unwrap_or_default(),
            reason: verdict.as_ref().map(|verdict| verdict.reason.clone()).unwrap_or_default(),
        });
        self.hand.put(key, encode(&attempts));
        *self.hand.inner.summary.kept_mut(letter.code.kept()) -= 1;
        match (verdict, &item) {
            (None, Item::Event(pending)) => {
                let key = self.hand.context().dead_letter(event);
                self.hand.delete(key);
                self.event(pending, asked.at, asked.received_at)
            }
            (verdict, _) => {
                let verdict = verdict.ok_or_else(|| Refused::internal("only an event is applied"))?;
                let names = (letter.id, letter.source, letter.kind);
                self.letter(event, self::letter(verdict, letter.at, names));
                Ok(())
            }
        }
    }

    /// Applies an event where the record at `at` stands, which was received at `as_of`: its own, or that of a replay.
    fn event(&mut self, pending: &Pending, at: Position, as_of: Timestamp) -> Result<()> {
        let (id, event) = (pending.fragment, &pending.event);
        let first = pending.events().map(|(_, event)| event.stamp()).min().expect("the event itself");
        let new = self.hand.fragment_mut(id)?.is_none();
        if new {
            self.place(id, pending, &first)?;
        }
        let fragment = self.hand.fragment_mut(id)?.expect("it was just placed");
        let earlier = first < fragment.first;
        if earlier {
            fragment.first = first;
        }
        // Whom it belongs to may have changed with it.
        let mut touched = Touched { everything: new || earlier, ..Touched::default() };
        for (nth, event) in pending.events() {
            self.fact(pending, (nth, event), (at, as_of), &mut touched)?;
        }
        let fragment = self.hand.fragment_mut(id)?.expect("it was just placed");
        let new_contacts: Vec<_> =
            event.channels.iter().filter(|point| fragment.add_contact(point)).cloned().collect();
        touched.contacts = !new_contacts.is_empty();
        self.hand.inner.summary.events += 1;
        for point in new_contacts {
            let digest = self.core.digests.contact.wide(&point.canonical_bytes());
            self.hand.contact_mut(digest, || Contact::new(point))?.used_by(id);
        }
        if earlier {
            self.grown_older(id)?;
        }
        let others = self.consents(pending, at, &event.stamp())?;
        touched.contacts |= others.contains(&id);
        self.evaluate(id, as_of, Cause::Event, &touched)?;
        let touched = Touched { contacts: true, ..Touched::default() };
        for other in others.into_iter().filter(|other| *other != id) {
            self.evaluate(other, as_of, Cause::Event, &touched)?;
        }
        Ok(())
    }

    /// Takes one event into the facts of its fragment, or lets it wait: the accepted one, or one that was made of it.
    fn fact(
        &mut self,
        pending: &Pending,
        (nth, event): (u8, &Event),
        (at, as_of): (Position, Timestamp),
        touched: &mut Touched,
    ) -> Result<()> {
        let id = pending.fragment;
        // What was taken back before it came, and what is yet to come, counts for people but not for facts.
        let expired = event.kind == EXPIRED;
        let counts = !expired && !self.is_void(event)?;
        let waits = counts && event.time > as_of;
        let plan = self.plan;
        let fragment = self.hand.fragment_mut(id)?.expect("it was just placed");
        if !expired {
            fragment.events += 1;
            fragment.last_event = fragment.last_event.max(event.time);
        }
        if waits {
            self.wait(id, event, Place { position: at, nth });
        } else if counts {
            touched.folds.extend(fragment.fold_event(event, plan.fed_by(&event.kind)));
            touched.traits.extend(event.traits.iter().map(|(name, _)| name.clone()));
            self.derive_event(id, pending.received_at, event);
        }
        let place = Place { position: pending.position, nth };
        self.timeline.push((at, timeline_entry(id, event.time, place)));
        Ok(())
    }

    /// Applies a change of configuration. `ahead`: folds that were folded from the start of the journal.
    pub(crate) fn change(
        &mut self,
        position: Position,
        received_at: Timestamp,
        change: &Change,
        ahead: &[(u32, Spec)],
    ) -> Result<()> {
        self.begin(position, received_at)?;
        let before = self.hand.inner.config.clone();
        match change {
            Change::SegmentPut { name, .. } => {
                let replaced = before.segments.get(name).and_then(|segment| segment.building.as_ref());
                replaced.into_iter().for_each(|version| self.hand.drop_members(version.no));
            }
            Change::SegmentPublished { name, no, announce, .. } => {
                if *announce {
                    self.announce(name, *no)?;
                }
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
            Change::ErasureEnded { job, certificate } => {
                let key = self.hand.context().erasure(*job);
                self.hand.put(key, certificate.to_string().into_bytes());
            }
            Change::SuppressionLifted { digest, .. } => {
                let key = self.hand.context().suppression(*digest);
                self.hand.delete(key);
            }
            Change::SubjectRequested { request } => self.keep_subject_request(request)?,
            Change::SubjectTold { id, n, telling, .. } => self.keep_telling(*id, *n, telling)?,
            Change::ExportRecorded { id, info } => {
                let key = self.hand.context().export(*id);
                self.hand.put(key, serde_json::to_vec(info).expect("JSON encodes"));
            }
            _ => {}
        }
        let chain = self.chain_before(change)?;
        self.hand.config_mut().apply(change.clone(), position);
        self.decide_otherwise(change)?;
        self.remember(change, position, chain);
        // Only what was known at the journal's start has been folded from there; a replay from the middle has not.
        if !ahead.is_empty() {
            for (no, fold) in &mut self.hand.config_mut().folds {
                if fold.at == position && ahead.iter().any(|(known, _)| known == no) {
                    fold.built_to = position;
                }
            }
        }
        Ok(())
    }

    /// The chain of transformers until now, where a change concerns it.
    fn chain_before(&self, change: &Change) -> Result<Vec<pipeline::Link>> {
        let concerned = matches!(
            change,
            Change::PluginActivated { .. }
                | Change::PluginTried { .. }
                | Change::PluginsOrdered { .. }
                | Change::PluginSuspended { .. }
                | Change::PluginResumed { .. }
        );
        if !concerned {
            return Ok(Vec::new());
        }
        let all = self.hand.context().table(tag::PIPELINE);
        let newest = self.hand.scan(&all, Order::Backward, 1)?;
        newest.first().map_or_else(|| Ok(Vec::new()), |(_, bytes)| decode(bytes))
    }

    /// Keeps what receipts of later events need to know of a change.
    fn remember(&mut self, change: &Change, position: Position, chain: Vec<pipeline::Link>) {
        let context = *self.hand.context();
        let config = self.hand.inner.config.clone();
        if let Some(chain) = pipeline::behind(&chain, &config, change, position) {
            self.hand.put(context.pipeline(position), encode(&chain));
        }
        if let Change::SegmentPut { name, no, .. } = change
            && let Some(segment) = config.segments.get(name)
        {
            self.hand.put(context.definition(*no), encode(&(name, segment.versions)));
        }
    }

    /// Adds what events before `upto` amount to in folds that are built to `from`; whether that was still so. Nothing is
    /// added when something of the past changed since, `retouched` times until the slice began.
    pub(crate) fn add_past(&mut self, past: PastStates) -> Result<bool> {
        let PastStates { folds, from, upto, retouched, states } = past;
        if self.hand.inner.summary.retouched != retouched {
            return Ok(false);
        }
        let config = self.hand.inner.config.clone();
        let is_next = |no: u32| {
            let fold = config.folds.get(&no).filter(|_| folds.contains(&no));
            fold.is_some_and(|fold| fold.built_to == from && !fold.is_built())
        };
        for ((no, id), state) in states {
            let Some(spec) = self.plan.folds.get(&no).filter(|_| is_next(no)).cloned() else { continue };
            if let Some(fragment) = self.hand.fragment_mut(id)? {
                let known = fragment.fold_mut(no);
                *known = spec.combine(std::mem::take(known), state);
            }
        }
        for (no, fold) in &mut self.hand.config_mut().folds {
            if is_next(*no) {
                fold.built_to = upto.min(fold.at);
            }
        }
        Ok(true)
    }

    /// The folds that take the event at a place of the journal, which was not folded when it came.
    pub(super) fn folds_for(&self, kind: &str, position: Position) -> Vec<(u32, &'a Spec)> {
        let config = &self.hand.inner.config;
        let has = |no: u32| config.folds.get(&no).is_none_or(|fold| fold.has(position));
        self.plan.fed_by(kind).filter(|(no, _)| has(*no)).collect()
    }
}

fn letter(verdict: Verdict, at: Timestamp, names: Names) -> Letter {
    let Verdict { code, plugin, reason, problems } = verdict;
    let (id, source, kind) = names;
    Letter { code, plugin, reason, problems, at, id, source, kind }
}

/// An entry of the timeline: sorts by time, then by place.
pub(crate) fn timeline_entry(id: FragmentId, time: Timestamp, place: impl Into<Position>) -> IndexEntry {
    let mut value = [0; 16];
    value[..8].copy_from_slice(&(time.0 as u64 ^ 1 << 63).to_be_bytes());
    value[8..].copy_from_slice(&place.into().0.to_be_bytes());
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
