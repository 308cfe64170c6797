//! Reading events of the past as they were applied: through the transformers of their time.
//!
//! What a transformer dropped or failed on is not given: it never became state.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cdp_domain::ids::Position;
use cdp_store::journal::{Reader, RecordKind};
use cdp_store::keys::tag;
use cdp_store::kv::Order;

use crate::config::{Change, Config};
use crate::dead_letters;
use crate::error::Result;
use crate::feed::Item;
use crate::rows::Look;
use crate::tenant::Core;
use crate::writer::{Chain, Fate};

/// Events read at a time.
pub(crate) const PAGE: usize = 256;

/// The position in an entry of the timeline.
pub(crate) fn position_of(entry: &[u8; 16]) -> Position {
    Position(u64::from_be_bytes(entry[8..].try_into().expect("eight bytes")))
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
}

impl<'a> Past<'a> {
    pub(crate) fn new(core: &'a Arc<Core>, config: Arc<Config>) -> Self {
        Self { core, config, chains: HashMap::new(), elsewhere: None, replays: None }
    }

    /// The events at these places that were applied.
    pub(crate) fn events(&mut self, positions: &[Position]) -> Result<Vec<Item>> {
        let replays = match self.replays {
            Some(known) => known,
            None => {
                let view = self.core.rows.read();
                let range = view.context().table(tag::REPLAY);
                *self.replays.insert(!view.scan(&range, Order::Forward, 1)?.is_empty())
            }
        };
        let mut out = Vec::with_capacity(positions.len());
        for position in positions {
            let asked = match replays {
                true => dead_letters::attempts(self.core, *position)?.applied_at(),
                false => None,
            };
            if let Some(asked) = asked {
                out.extend(self.replayed(*position, asked)?);
                continue;
            }
            let record = self.core.journal.read_at(*position)?;
            let item = self.core.item(*position, &record.header, record.payload)?;
            out.extend(self.transform(*position, vec![item]));
        }
        Ok(out)
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
        items
    }

    /// All events before `until` that were applied, in the journal's order, from where the reader stands; some at a time.
    /// None at the end.
    pub(crate) fn next_page(&mut self, reader: &mut Reader, until: Position) -> Result<Option<Vec<Item>>> {
        if self.elsewhere.is_none() {
            self.elsewhere = Some(dead_letters::not_applied_in_place(self.core)?);
        }
        let mut batch = Vec::with_capacity(PAGE);
        let mut last = None;
        while batch.len() < PAGE && reader.position() < until {
            let Some(record) = reader.next()? else { break };
            if record.position >= until {
                break;
            }
            last = Some(record.position);
            if record.header.kind == RecordKind::Event {
                if self.elsewhere.as_ref().is_some_and(|elsewhere| !elsewhere.contains(&record.position)) {
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

fn item_position(item: &Item) -> Position {
    match item {
        Item::Event(pending) => pending.position,
        Item::Change { position, .. } => *position,
        Item::Unreadable(unreadable) => unreadable.position,
    }
}
