//! The loop: take records, have them transformed, apply them, fire timers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use cdp_domain::fold::Spec;
use cdp_domain::ids::{Ordinal, Position};
use cdp_domain::segment::{Needs, earlier};
use cdp_domain::time::Timestamp;
use cdp_jobs::Progress;
use cdp_store::journal::{Reader, RecordKind};
use cdp_threads::stand_back;

use super::apply::{Applier, Asked, Fate};
use super::derive::{self, Derivers};
use super::evaluate::Cause;
use super::freeze::{CANNOT_BE_WRITTEN, RETRY_PAUSE_MAX, RETRY_PAUSE_MIN};
use super::plan::Touched;
use super::transform::Chain;
use super::{MICRO_BATCH, Plan, TAKEN_MAX};
use crate::acceptance::Checked;
use crate::catalogue::{Catalogue, Schemas};
use crate::config::{Change, Config};
use crate::consent::Guards;
use crate::dead_letters::Letter;
use crate::derivations::Underway;
use crate::error::{Refused, Result};
use crate::feed::{Batch, Item, Message, Work};
use crate::privacy::{Erasure, Gone};
use crate::retention;
use crate::rows::{Frozen, Generation, Look, decode};
use crate::tenant::Core;

/// How close the writer must be to the journal's end to take from memory again, in bytes.
const CAUGHT_UP_BYTES: u64 = 4 << 20;

pub(crate) struct Writer {
    pub(super) core: Arc<Core>,
    pub(super) freeze: SyncSender<Arc<Frozen>>,
    pub(super) plan: Arc<Plan>,
    chain: Chain,
    pub(super) derivers: Derivers,
    ahead: Vec<(u32, Spec)>,
    /// Everything before this is applied.
    pub(super) next: Position,
    pub(super) frozen_at: Instant,
    /// Everything before this is in a generation that was frozen.
    pub(super) frozen_to: Position,
    pub(super) timeline_logged: std::collections::VecDeque<(Position, u16)>,
    /// State held somebody whose erasure was applied again: it was older than that.
    erased_again: bool,
}

/// Why the loop ended.
enum End {
    /// The tenant is being closed.
    Closed,
    /// The state store was closed to be opened again.
    Stale,
}

/// Where reading the journal ends.
struct CatchUp {
    reader: Reader,
    until: Option<Position>,
}

impl Writer {
    pub(crate) fn new(core: Arc<Core>, freeze: SyncSender<Arc<Frozen>>) -> Self {
        let (config, next) = {
            let view = core.rows.read();
            (view.inner.config.clone(), view.inner.summary.applied)
        };
        let plan = Arc::new(Plan::new(&config, &[], &core.zone));
        let mut derivers = Derivers::default();
        derivers.update(&core, &plan);
        Self {
            plan,
            derivers,
            chain: Chain::new(&core, &config),
            core,
            freeze,
            ahead: Vec::new(),
            next,
            frozen_at: Instant::now(),
            frozen_to: next,
            timeline_logged: std::collections::VecDeque::new(),
            erased_again: false,
        }
    }

    /// Runs until the tenant is closed, or state cannot be brought forward; then reads go on and the tenant is not ready.
    ///
    /// A state store that fails is opened again, and state brought forward from where it then stands.
    pub(crate) fn run(mut self) {
        stand_back();
        loop {
            match self.try_run() {
                Ok(End::Closed) => break,
                Ok(End::Stale) => {}
                Err(error) => {
                    let (tenant, chain) = (self.core.info.no.0, error_chain(&error));
                    tracing::error!(tenant, error = chain, "state cannot be brought forward");
                    if !self.core.session.is_stale() && !is_of_the_state_store(&error) {
                        let reason = "state cannot be brought forward; see the server's log";
                        *self.core.stuck.lock() = Some(reason.to_owned());
                        break;
                    }
                }
            }
            if !self.renew() {
                break;
            }
        }
        self.core.feed.end();
    }

    /// Opens the state store again unless that is done already, and begins anew from where it stands;
    /// tries until it succeeds, false when the tenant is being closed first.
    fn renew(&mut self) -> bool {
        let core = self.core.clone();
        core.replaying.store(true, Ordering::Release);
        let mut pause = RETRY_PAUSE_MIN;
        let renew = || -> Result<()> {
            if !core.session.is_stale() {
                core.session.reopen()?;
            }
            core.rows.reload(|| {
                core.session.reopen()?;
                Ok(core.session.renew()?)
            })?;
            let catalogue = Catalogue::load(&core.rows.read())?;
            *core.catalogue.lock() = catalogue;
            Ok(())
        };
        while let Err(error) = renew() {
            let chain = error_chain(&error);
            tracing::error!(
                tenant = core.info.no.0,
                error = chain,
                "state cannot be opened again; trying again"
            );
            *core.stuck.lock() = Some(CANNOT_BE_WRITTEN.to_owned());
            if core.closing.load(Ordering::Acquire) {
                return false;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(RETRY_PAUSE_MAX);
        }
        // What began before counts for nothing: slices of a past that state may stand before again.
        core.renewals.fetch_add(1, Ordering::AcqRel);
        core.feed.begin_again();
        let (config, next) = {
            let view = core.rows.read();
            // Rules and constraints that come later are applied again.
            core.decide_by(&view.inner.config.identity);
            (view.inner.config.clone(), view.inner.summary.applied)
        };
        core.applied.send_replace(next);
        self.ahead.clear();
        self.plan = Arc::new(Plan::new(&config, &[], &self.core.zone));
        self.chain = Chain::new(&core, &config);
        self.derivers.update(&core, &self.plan);
        (self.next, self.frozen_at, self.frozen_to) = (next, Instant::now(), next);
        *core.stuck.lock() = None;
        tracing::warn!(tenant = core.info.no.0, from = next.0, "state goes on from where the store stands");
        true
    }

    fn try_run(&mut self) -> Result<End> {
        self.timeline_logged = super::apply::load_timeline(&self.core)?;
        if self.next == Position(0) {
            self.ahead = self.definitions_ahead()?;
            self.plan = Arc::new(Plan::new(
                &self.core.rows.read().inner.config.clone(),
                &self.ahead,
                &self.core.zone,
            ));
        }
        loop {
            let deadline = Instant::now() + self.patience();
            if self.core.session.is_stale() {
                return Ok(End::Stale);
            }
            match self.core.feed.take(deadline, TAKEN_MAX) {
                Work::Batches(batches) => self.take_batches(batches)?,
                Work::Gap => self.catch_up()?,
                Work::Message(message) => self.handle(message)?,
                Work::Nothing => {}
                Work::Closing => break,
            }
            self.fire_by_clock()?;
            self.measure_if_due();
            crate::retention::sweep_if_due(&self.core);
            self.freeze_if_due(false)?;
        }
        self.freeze_if_due(true)?;
        Ok(End::Closed)
    }

    /// How long to wait for work: until a timer or a freeze is due.
    fn patience(&self) -> Duration {
        let (changed, due) = {
            let view = self.core.rows.read();
            let due = earlier(view.inner.summary.next_due, view.inner.underway.next());
            (view.inner.changed() > 0, due)
        };
        let mut patience = Duration::from_secs(60);
        if let Some(due) = due {
            let ms = u64::try_from(due.0.saturating_sub(self.core.clock.now().0)).unwrap_or(0);
            // A clock that is set by hand, in tests, does not wake anybody: look again soon.
            patience = patience.min(Duration::from_millis(ms.clamp(1, 200)));
        }
        if changed {
            let age = self.frozen_at.elapsed();
            patience = patience.min(self.age_due().saturating_sub(age).max(Duration::from_millis(1)));
        }
        patience
    }

    fn take_batches(&mut self, batches: Vec<Batch>) -> Result<()> {
        let mut items = Vec::new();
        let mut end = self.next;
        for batch in batches {
            match self.core.journal.wait_durable_blocking(&batch.appended) {
                Ok(()) => {
                    end = batch.appended.end;
                    items.extend(batch.items);
                }
                // It was never acknowledged; whoever sent it was told.
                Err(_) if self.core.journal.is_lost(&batch.appended) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.process(items, end)
    }

    /// Reads from the journal what the feed does not have, until it may take from the feed again.
    fn catch_up(&mut self) -> Result<()> {
        let mut from = CatchUp { reader: self.core.journal.reader(self.next), until: None };
        loop {
            let mut items = Vec::with_capacity(TAKEN_MAX);
            while items.len() < TAKEN_MAX && from.until.is_none_or(|until| from.reader.position() < until) {
                let Some(record) = from.reader.next()? else { break };
                let item = self.core.item(record.position, &record.header, record.payload)?;
                let last = item.changes_reading();
                items.push(item);
                if last {
                    break;
                }
            }
            let idle = items.is_empty();
            let end = from.reader.position();
            self.process(items, end)?;
            self.freeze_if_due(false)?;
            match from.until {
                Some(until) if end >= until || self.core.journal.end() < until => break,
                Some(_) if idle => std::thread::yield_now(),
                Some(_) => {}
                None => {
                    let gate = self.core.gate.lock();
                    let journal_end = self.core.journal.end();
                    if journal_end.0.saturating_sub(end.0) <= CAUGHT_UP_BYTES {
                        self.core.feed.close_gap();
                        from.until = Some(journal_end);
                    }
                    drop(gate);
                }
            }
        }
        if self.core.replaying.swap(false, Ordering::AcqRel) {
            self.ahead.clear();
            self.replan()?;
            crate::build::resume_builds(&self.core);
            crate::dead_letters::resume(&self.core);
            crate::privacy::resume(&self.core);
            crate::privacy::erase_again(&self.core);
            if std::mem::take(&mut self.erased_again) {
                crate::privacy::rewrite_later(&self.core);
            }
        }
        Ok(())
    }

    /// Transforms and applies items, and makes them visible micro-batch by micro-batch.
    fn process(&mut self, mut items: Vec<Item>, end: Position) -> Result<()> {
        let mut rest = items.as_mut_slice();
        while !rest.is_empty() {
            let events = rest.iter().take_while(|item| !matches!(item, Item::Change { .. })).count();
            if events == 0 {
                self.apply_change(&rest[0])?;
                rest = &mut rest[1..];
                continue;
            }
            let some = self.reach_next(&rest[..events])?;
            let (part, later) = rest.split_at_mut(some);
            let sent = self.core.catalogue.lock().look(part);
            if !self.plan.retention.rules.is_empty() {
                for item in part.iter_mut() {
                    if let Some(late) = retention::late(&self.plan.retention, item) {
                        *item = late;
                    }
                }
            }
            let transformed = self.chain.transform(&self.core, part);
            self.core.catalogue.lock().observe(part, sent, &transformed);
            self.apply_part(part, transformed)?;
            rest = later;
        }
        if end > self.next {
            self.next = end;
            self.core.rows.write().inner.summary.applied = end;
            self.core.applied.send_replace(end);
        }
        Ok(())
    }

    /// Applies transformed events under one lock, or under one for each stretch between voids: what those take back is
    /// worked out from the journal, without a lock.
    fn apply_part(&mut self, part: &[Item], fates: Vec<Fate>) -> Result<()> {
        let (core, plan) = (&self.core, &self.plan);
        let mut applier: Option<Applier<'_>> = None;
        let mut held = 0;
        for (item, fate) in part.iter().zip(fates) {
            // What was made of events counts too: nobody waits longer for it.
            if held >= MICRO_BATCH {
                applier.take().into_iter().for_each(Applier::finish);
                held = 0;
            }
            held += match item {
                Item::Event(pending) => pending.events().count(),
                _ => 1,
            };
            if !plan.derivations.is_empty()
                && let Some(received_at) = item.received_at()
            {
                let due = |generation: &Generation| {
                    let next = earlier(generation.summary.next_due, generation.underway.next());
                    next.is_some_and(|next| next <= received_at)
                };
                let stop = match &applier {
                    Some(applier) => due(&applier.hand.inner),
                    None => due(&core.rows.read().inner),
                };
                if stop {
                    applier.take().into_iter().for_each(Applier::finish);
                    derive::reach(core, plan, &self.derivers, received_at)?;
                }
            }
            if let (Item::Event(pending), Fate::Keep) = (item, &fate)
                && pending.event.voids().is_some()
            {
                applier.take().into_iter().for_each(Applier::finish);
                if let Some(undone) = super::later::undo(core, plan, pending)? {
                    let mut applier = Applier::new(core, plan);
                    applier.void(pending, undone)?;
                    applier.finish();
                    continue;
                }
            }
            applier.get_or_insert_with(|| Applier::new(core, plan)).apply(item, fate)?;
        }
        applier.into_iter().for_each(Applier::finish);
        Ok(())
    }

    /// Has rankings measured when they are old.
    fn measure_if_due(&self) {
        let oldest = {
            let view = self.core.rows.read();
            view.inner.config.rankings.values().filter_map(|ranking| ranking.measured_at).min()
        };
        let now = self.core.clock.now();
        let due = oldest.is_some_and(|at| now.0.saturating_sub(at.0) >= crate::build::RANKING_EVERY_MS);
        let replaying = self.core.replaying.load(Ordering::Acquire);
        if !due || replaying || self.core.measuring.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Err(error) = crate::build::submit_measuring(&self.core) {
            tracing::warn!(error = %error, "rankings could not be measured; it is tried again");
        }
    }

    fn apply_change(&mut self, item: &Item) -> Result<()> {
        let Item::Change { position, received_at, change } = item else { return Ok(()) };
        if let Change::EventReplayed { event, job, checked } = &**change {
            let asked = Asked { at: *position, received_at: *received_at, job: *job };
            return self.replay(*event, asked, checked.as_ref());
        }
        if change.is_about_age() {
            return self.age(*position, *received_at, change);
        }
        let replaying = self.core.replaying.load(Ordering::Acquire);
        self.reach(*received_at, *position)?;
        self.complete_past(change)?;
        let plan = self.plan.clone();
        self.derive_before(*received_at, change, replaying)?;
        let before = self.core.rows.read().inner.config.clone();
        let mut applier = Applier::new(&self.core, &plan);
        applier.advance(*received_at)?;
        applier.finish();
        if let Change::SegmentPublished { no, .. } = &**change
            && replaying
        {
            // A rebuild has no job that found the first members: find them here, silently, at the same place.
            self.evaluate_all(Some(*no), &Touched::everything(), None)?;
        }
        let erased = match &**change {
            Change::Erased { erasure } => Some((erasure, self.destroy(erasure, *position)?)),
            _ => None,
        };
        let mut applier = Applier::new(&self.core, &plan);
        applier.change(*position, *received_at, change, &self.ahead)?;
        if let Some((erasure, gone)) = &erased {
            self.erased_again |= applier.erase(erasure, *position, gone)? && replaying;
        }
        match &**change {
            Change::Restricted { restriction } => applier.restrict(restriction, false)?,
            Change::RestrictionLifted { restriction, .. } => applier.restrict(restriction, true)?,
            _ => {}
        }
        let after = applier.hand.inner.config.clone();
        let gone = derive::gone(&before, &after);
        if !gone.is_empty() {
            applier.forget_derived(&gone)?;
        }
        applier.finish();
        self.replan()?;
        if self.plan.derivations.is_empty() && !plan.derivations.is_empty() {
            // Nothing is left that waits for it; what is resumed is built anew.
            self.core.rows.write().inner.underway = Underway::default();
        }
        let derivations = derive::switched(&before, &after);
        if !derivations.is_empty() {
            let touched = Touched { derivations, ..Touched::default() };
            self.evaluate_all(None, &touched, Some(Cause::Definition))?;
        }
        if let Change::RulesPut { .. } = &**change {
            self.identify_anew()?;
        }
        if matches!(**change, Change::SchemaPut { .. } | Change::SchemaDeleted { .. }) {
            let config = self.core.rows.read().inner.config.clone();
            let mut schemas = self.core.schemas.write();
            if *position > schemas.at {
                *schemas = Arc::new(Schemas::new(&config, *position));
            }
        }
        if let Change::SignalsPut { mapping } = &**change {
            *self.core.signals.write() = Arc::new(mapping.clone());
        }
        if let Change::PurposePut { .. } = &**change {
            if !replaying {
                let config = self.core.rows.read().inner.config.clone();
                *self.core.guards.write() = Arc::new(Guards::of(&config));
            }
            let touched = Touched { contacts: true, ..Touched::default() };
            self.evaluate_all(None, &touched, Some(Cause::Definition))?;
        }
        if let Change::RankingsMeasured { tables, .. } = &**change {
            let rankings = tables.iter().map(|(no, _)| *no).collect();
            let touched = Touched { rankings, ..Touched::default() };
            self.evaluate_all(None, &touched, Some(Cause::Ranking))?;
        }
        Ok(())
    }

    /// Destroys the data keys of an erasure, once the store and the chain have everything from before its record.
    /// Applying it needs none of them, so a crash behind this finds it to be done.
    fn destroy(&mut self, erasure: &Erasure, position: Position) -> Result<Gone> {
        // Everything before this record is applied: so may the store say.
        self.next = self.next.max(position);
        self.core.rows.write().inner.summary.applied = self.next;
        self.freeze_if_due(true)?;
        let gone = crate::privacy::gather(&self.core, erasure)?;
        let key_refs = erasure.key_refs(&self.core.digests);
        self.core.keys.destroy(&key_refs, erasure.generations as usize)?;
        Ok(gone)
    }

    /// Brings what plugins derive forward to a change, entirely where the change is about them; in a rebuild the past of
    /// what is published is built here, for there is no job that did it.
    fn derive_before(&self, received_at: Timestamp, change: &Change, replaying: bool) -> Result<()> {
        if self.plan.derivations.is_empty() {
            return Ok(());
        }
        derive::reach(&self.core, &self.plan, &self.derivers, received_at)?;
        let is_about_plugins = matches!(
            change,
            Change::PluginActivated { .. }
                | Change::PluginTried { .. }
                | Change::PluginSuspended { .. }
                | Change::PluginResumed { .. }
                | Change::DerivationBegun { .. }
                | Change::DerivationPublished { .. }
        );
        if !is_about_plugins {
            return Ok(());
        }
        let mut applier = Applier::new(&self.core, &self.plan);
        applier.advance(received_at)?;
        applier.finish();
        let (waits, as_of) = {
            let view = self.core.rows.read();
            (view.inner.underway.at.is_some(), view.inner.summary.as_of)
        };
        if waits {
            derive::tick(&self.core, &self.plan, &self.derivers, as_of)?;
        }
        match change {
            Change::DerivationPublished { slot, .. } if replaying => {
                crate::derivations::build_here(&self.core, *slot)
            }
            _ => Ok(()),
        }
    }

    /// Tries an event again that was kept out of state. Nothing, when it was not.
    fn replay(&mut self, event: Position, asked: Asked, checked: Option<&Checked>) -> Result<()> {
        let key = self.core.rows.context().dead_letter(event);
        let letter = self.core.rows.read().row(&key)?;
        let letter: Option<Letter> = letter.map(|bytes| decode(&bytes)).transpose()?;
        let mut item = match &letter {
            Some(_) => Some(self.core.item_again(event, checked)?),
            None => None,
        };
        if let Some(late) = item.as_ref().and_then(|item| retention::late(&self.plan.retention, item)) {
            item = Some(late);
        }
        let fate = match &mut item {
            Some(item) => self.chain.transform(&self.core, std::slice::from_mut(item)).pop(),
            None => None,
        };
        if let (Some(Item::Event(pending)), Some(Fate::Keep)) = (&item, &fate) {
            self.core.catalogue.lock().observe_born(pending);
        }
        if !self.plan.derivations.is_empty() {
            derive::reach(&self.core, &self.plan, &self.derivers, asked.received_at)?;
        }
        let mut applier = Applier::new(&self.core, &self.plan);
        applier.replay(asked, item.zip(fate).zip(letter))?;
        applier.finish();
        Ok(())
    }

    /// Lets events leave state whose days are over, or forgets that they were to be redacted.
    fn age(&mut self, position: Position, received_at: Timestamp, change: &Change) -> Result<()> {
        self.reach(received_at, position)?;
        if !self.plan.derivations.is_empty() {
            derive::reach(&self.core, &self.plan, &self.derivers, received_at)?;
        }
        let (core, plan) = (&self.core, &self.plan);
        match change {
            Change::Aged { fragment, aged } => {
                let left = retention::left(core, plan, *fragment, aged, received_at)?;
                let mut applier = Applier::new(core, plan);
                applier.age((position, received_at), *fragment, aged, left)?;
                applier.finish();
            }
            Change::AgedRedacted { upto, kept } => {
                let mut applier = Applier::new(core, plan);
                applier.redacted((position, received_at), *upto, kept)?;
                applier.finish();
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds what is missing of the past of what is published, usually nothing: the slices that were applied before that
    /// record may have been lost with a generation that never reached the store.
    fn complete_past(&mut self, change: &Change) -> Result<()> {
        let config = self.core.rows.read().inner.config.clone();
        let needs = match change {
            Change::AttributePublished { name, .. } => {
                let building = config.attributes.get(name).and_then(|attribute| attribute.building.as_ref());
                building.map(|version| Needs::of_expr(&version.expr))
            }
            Change::SegmentPublished { name, .. } => {
                let building = config.segments.get(name).and_then(|segment| segment.building.as_ref());
                building.map(|version| version.formula.needs())
            }
            _ => None,
        };
        let Some(needs) = needs else { return Ok(()) };
        let (core, plan) = (self.core.clone(), self.plan.clone());
        crate::build::fold_missing(&core, &needs.folds, &Progress::default(), |past| {
            let mut applier = Applier::new(&core, &plan);
            let added = applier.add_past(past)?;
            applier.finish();
            Ok(Some(added))
        })
        .map(drop)
    }

    fn evaluate_all(&mut self, only: Option<u32>, touched: &Touched, cause: Option<Cause>) -> Result<()> {
        let last = self.core.rows.read().inner.summary.next_ordinal;
        let mut from = 0;
        while from < last {
            let mut applier = Applier::new(&self.core, &self.plan);
            applier.evaluate_many(Ordinal(from), 1000, only, touched, cause)?;
            applier.finish();
            from += 1000;
        }
        Ok(())
    }

    fn replan(&mut self) -> Result<()> {
        let config = self.core.rows.read().inner.config.clone();
        self.plan = Arc::new(Plan::new(&config, &self.ahead, &self.core.zone));
        self.chain.update(&self.core, &config);
        self.derivers.update(&self.core, &self.plan);
        Ok(())
    }

    fn handle(&mut self, message: Message) -> Result<()> {
        match message {
            Message::Slice { renewals, .. } | Message::Evaluate { renewals, .. }
                if renewals != self.core.renewals.load(Ordering::Acquire) => {}
            Message::Slice { past, done, .. } => {
                let mut applier = Applier::new(&self.core, &self.plan);
                let added = applier.add_past(*past)?;
                applier.finish();
                let _ = done.send(added);
            }
            Message::Evaluate { segment, from, count, done, .. } => {
                let mut applier = Applier::new(&self.core, &self.plan);
                applier.evaluate_many(from, count, Some(segment), &Touched::everything(), None)?;
                applier.finish();
                let _ = done.send(());
            }
            Message::Run { work, done } => {
                work();
                let _ = done.send(());
            }
            Message::Commit { done } => {
                self.freeze_if_due(true)?;
                // Who asked is told nothing while the store fails or is opened again: it was not written.
                if self.core.stuck.lock().is_none() && !self.core.session.is_stale() {
                    let _ = done.send(());
                }
            }
        }
        Ok(())
    }

    /// Every fold that the journal ever needs: a rebuild folds them from the start.
    fn definitions_ahead(&self) -> Result<Vec<(u32, Spec)>> {
        let mut found = std::collections::BTreeMap::new();
        let mut config = Config::default();
        let mut reader = self.core.journal.reader(Position(0));
        while let Some(record) = reader.next_ref()? {
            if record.header.kind != RecordKind::Config {
                continue;
            }
            let (position, header, payload) = (record.position, record.header, record.payload.to_vec());
            if let Item::Change { change, .. } = self.core.item(position, &header, payload)? {
                config.apply(*change, position);
                found.extend(config.folds.iter().map(|(no, fold)| (*no, fold.spec.clone())));
            }
        }
        Ok(found.into_iter().collect())
    }
}

/// Whether opening the state store again may help.
fn is_of_the_state_store(error: &Refused) -> bool {
    let Refused::Internal(cause) = error else { return false };
    matches!(cause.downcast_ref(), Some(cdp_store::Error::Backend { .. } | cdp_store::Error::StateClosed))
}

/// An error with its causes, on one line.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        out.push_str(": ");
        out.push_str(&error.to_string());
        cause = error.source();
    }
    out
}
