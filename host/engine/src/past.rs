//! Reading events of the past as they were applied: through the transformers of their time.
//!
//! What a transformer dropped or failed on is not given: it never became state. What transformers made of an event is given
//! behind it, each as an item of its own.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cdp_domain::event::EXPIRED;
use cdp_domain::ids::Position;
use cdp_domain::time::Timestamp;
use cdp_store::journal::{Reader, RecordKind};
use cdp_store::keys::tag;
use cdp_store::kv::Order;

use crate::born::{Born, Brood, Place};
use crate::config::{Change, Config};
use crate::dead_letters;
use crate::error::Result;
use crate::feed::{Item, Pending};
use crate::rows::Look;
use crate::tenant::Core;
use crate::writer::{Chain, Fate};

/// Events read at a time.
pub(crate) const PAGE: usize = 256;

/// The place in an entry of the timeline.
pub(crate) fn place_of(entry: &[u8; 16]) -> Place {
    Place::from(Position(u64::from_be_bytes(entry[8..].try_into().expect("eight bytes"))))
}

/// The time in an entry of the timeline.
pub(crate) fn time_of(entry: &[u8; 16]) -> Timestamp {
    Timestamp((u64::from_be_bytes(entry[..8].try_into().expect("eight bytes")) ^ 1 << 63).cast_signed())
}

/// Events of the past, by their places. An event that was replayed stands, in what is given, where it was applied.
pub(crate) struct Past<'a> {
    core: &'a Arc<Core>,
    config: Arc<Config>,
    /// By how many changes of plugins came before.
    chains: HashMap<usize, Chain>,
    /// Events that were not applied where they stand; looked up when it is first asked.
    elsewhere: Option<HashSet<Position>>,
    /// Whether any event was ever tried again.
    replays: Option<bool>,
    /// Whether events are given too that left state by their age and that the journal still has.
    with_aging: bool,
}

impl<'a> Past<'a> {
    pub(crate) fn new(core: &'a Arc<Core>, config: Arc<Config>) -> Self {
        Self { core, config, chains: HashMap::new(), elsewhere: None, replays: None, with_aging: false }
    }

    /// The same, with events that left state by their age as long as the journal has them.
    pub(crate) fn with_aging(core: &'a Arc<Core>, config: Arc<Config>) -> Self {
        Self { with_aging: true, ..Self::new(core, config) }
    }

    /// Events that are not to be given though the journal has them.
    fn aging(&self) -> Arc<HashSet<Position>> {
        if self.with_aging { Arc::default() } else { self.core.rows.read().inner.aging.clone() }
    }

    /// The events at these places that were applied, in the order of the places.
    pub(crate) fn events(&mut self, places: &[Place]) -> Result<Vec<Item>> {
        Ok(self.events_at(places)?.into_iter().flatten().collect())
    }

    /// What stands at each of these places; None where nothing was applied.
    pub(crate) fn events_at(&mut self, places: &[Place]) -> Result<Vec<Option<Item>>> {
        let mut out = Vec::with_capacity(places.len());
        // What was made of an event stands at times of its own, so its places need not be neighbours.
        let mut families: HashMap<Position, Vec<Item>> = HashMap::new();
        for place in places {
            let family = match families.entry(place.position) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(self.family(place.position)?),
            };
            let at = family.iter().position(|item| matches!(item, Item::Event(one) if one.nth == place.nth));
            out.push(at.map(|at| family.swap_remove(at)));
        }
        Ok(out)
    }

    /// An event that was applied, and what was made of it.
    pub(crate) fn family(&mut self, position: Position) -> Result<Vec<Item>> {
        let replays = match self.replays {
            Some(known) => known,
            None => {
                let view = self.core.rows.read();
                let range = view.context().table(tag::REPLAY);
                *self.replays.insert(!view.scan(&range, Order::Forward, 1)?.is_empty())
            }
        };
        if self.aging().contains(&position) {
            return Ok(Vec::new());
        }
        let asked = match replays {
            true => dead_letters::attempts(self.core, position)?.applied_at(),
            false => None,
        };
        if let Some(asked) = asked {
            return self.replayed(position, asked);
        }
        let record = self.core.journal.read_at(position)?;
        let item = self.core.item(position, &record.header, record.payload)?;
        Ok(self.transform(position, vec![item]))
    }

    /// An event as the record at `asked` got it applied.
    fn replayed(&mut self, event: Position, asked: Position) -> Result<Vec<Item>> {
        let record = self.core.journal.read_at(asked)?;
        let item = self.core.item(asked, &record.header, record.payload)?;
        let Item::Change { change, .. } = item else { return Ok(Vec::new()) };
        let Change::EventReplayed { checked, .. } = *change else { return Ok(Vec::new()) };
        let item = self.core.item_again(event, checked.as_ref())?;
        let mut items = self.transform(asked, vec![item]);
        for item in &mut items {
            if let Item::Event(pending) = item {
                pending.position = asked;
            }
        }
        Ok(items)
    }

    /// Passes events that no change of plugins lies between through the transformers of their time.
    fn transform(&mut self, position: Position, mut items: Vec<Item>) -> Vec<Item> {
        // What is left of an event that is gone says nothing of what happened.
        items.retain(|item| !matches!(item, Item::Event(pending) if pending.event.kind == EXPIRED));
        let known = self.config.plugin_history.partition_point(|(from, _)| *from <= position);
        if known > 0 {
            let (core, config) = (self.core, &self.config);
            let chain = self
                .chains
                .entry(known)
                .or_insert_with(|| Chain::new(core, &config.transformers_at(position)));
            let fates = chain.transform(core, &mut items);
            let mut fates = fates.into_iter();
            items.retain(|_| fates.next() == Some(Fate::Keep));
        }
        items.retain(|item| matches!(item, Item::Event(_)));
        apart(items)
    }

    /// All events before `until` that were applied, in the journal's order, from where the reader stands; some at a time.
    /// None at the end.
    pub(crate) fn next_page(&mut self, reader: &mut Reader, until: Position) -> Result<Option<Vec<Item>>> {
        if self.elsewhere.is_none() {
            self.elsewhere = Some(dead_letters::not_applied_in_place(self.core)?);
        }
        let aging = self.aging();
        let mut batch = Vec::with_capacity(PAGE);
        let mut last = None;
        while batch.len() < PAGE && reader.position() < until {
            let Some(record) = reader.next()? else { break };
            if record.position >= until {
                break;
            }
            last = Some(record.position);
            if record.header.kind == RecordKind::Event {
                let here = self.elsewhere.as_ref().is_some_and(|all| !all.contains(&record.position));
                if here && !aging.contains(&record.position) {
                    batch.push(self.core.item(record.position, &record.header, record.payload)?);
                }
                continue;
            }
            // The transformers may be others behind it.
            let before = batch.first().map_or(record.position, item_position);
            let mut out = self.transform(before, batch);
            let item = self.core.item(record.position, &record.header, record.payload)?;
            if let Item::Change { change, .. } = &item
                && let Change::EventReplayed { event, .. } = &**change
                && !aging.contains(event)
                && dead_letters::attempts(self.core, *event)?.applied_at() == Some(record.position)
            {
                out.extend(self.replayed(*event, record.position)?);
            }
            return Ok(Some(out));
        }
        let Some(position) = batch.first().map(item_position).or(last) else { return Ok(None) };
        Ok(Some(self.transform(position, batch)))
    }
}

/// Puts what was made of events behind them, as items.
fn apart(items: Vec<Item>) -> Vec<Item> {
    let has_born = |item: &Item| matches!(item, Item::Event(pending) if !pending.brood.events.is_empty());
    if !items.iter().any(has_born) {
        return items;
    }
    let mut out = Vec::with_capacity(items.len());
    for mut item in items {
        let Item::Event(pending) = &mut item else { continue };
        let Pending { position, received_at, fragment, origin, .. } = **pending;
        let born = std::mem::take(&mut pending.brood).events;
        out.push(item);
        out.extend(born.into_iter().map(|Born { nth, event }| {
            let (acceptance, brood) = (None, Brood::default());
            Item::Event(Box::new(Pending {
                position,
                received_at,
                fragment,
                origin,
                event,
                acceptance,
                brood,
                nth,
            }))
        }));
    }
    out
}

fn item_position(item: &Item) -> Position {
    match item {
        Item::Event(pending) => pending.position,
        Item::Change { position, .. } | Item::Removed { position, .. } => *position,
        Item::Unreadable(unreadable) => unreadable.position,
    }
}
