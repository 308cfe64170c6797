//! Applying that events of a fragment are gone: in one step they leave state.
//!
//! In a state that was brought forward as things happened, the events are in the timeline, or have letters; in one that
//! is rebuilt they were met redacted and are in neither. Both come to the same: each place is looked at for itself.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cdp_domain::ids::{FragmentId, Position};
use cdp_domain::time::Timestamp;
use cdp_store::keys::{self, tag};
use cdp_store::kv::Order;
use serde::{Deserialize, Serialize};

use super::Base;
use crate::config::Change;
use crate::dead_letters::Letter;
use crate::error::Result;
use crate::rows::{Fragment, Look, decode, encode};
use crate::tenant::Core;
use crate::writer::{Applier, Cause, Plan, Touched, refold, void_row};

/// Rows read at a time.
const PAGE: usize = 256;

/// The record: these events of a fragment are gone from here on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Aged {
    /// Where those stand of which nothing is left; ascending.
    pub(crate) gone: Vec<Position>,
    /// Where those stand that leave a stub; ascending.
    pub(crate) stubs: Vec<Position>,
    /// What those amounted to whose rule says that it stays.
    pub(crate) base: Option<Base>,
    /// Where the events stand that amount to something in it; ascending.
    pub(crate) counted: Vec<Position>,
    /// How far state had come when that was worked out.
    pub(crate) upto: Position,
}

/// What of the journal is to be redacted: a row by the place of the record that says so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AgingRow {
    pub(crate) fragment: FragmentId,
    pub(crate) gone: Vec<Position>,
    pub(crate) stubs: Vec<Position>,
}

/// What is left of a fragment; worked out before anything is locked.
pub(crate) struct Remains {
    /// Those of the events that state has, by the time of their entry in the timeline.
    here: HashSet<Position>,
    /// The fragment, folded from what is left, with what stays of those before; None when there is none.
    fragment: Option<Fragment>,
    /// What stays of all events that are gone.
    base: Option<Base>,
}

/// Works out what is left of a fragment; None when the record counts for nothing, because what it carries was overtaken:
/// an event of it was taken back, or a fold came that it knows nothing of.
pub(crate) fn left(
    core: &Arc<Core>,
    plan: &Plan,
    id: FragmentId,
    aged: &Aged,
    as_of: Timestamp,
) -> Result<Option<Remains>> {
    let (config, known, kept, voids) = {
        let view = core.rows.read();
        let kept = view.row(&view.context().aged(id))?;
        let kept: Option<Base> = kept.map(|bytes| decode(&bytes)).transpose()?;
        (view.inner.config.clone(), view.fragment(id)?, kept, view.inner.summary.voids)
    };
    if aged.base.is_some() {
        if config.folds.values().any(|fold| fold.at >= aged.upto) {
            return Ok(None);
        }
        if voids > 0 && any_void(core, aged)? {
            return Ok(None);
        }
    }
    let places: HashSet<Position> = aged.gone.iter().chain(&aged.stubs).copied().collect();
    let mut entries: HashMap<Position, u64> = HashMap::new();
    let mut before = None;
    loop {
        let page = core.timeline.scan_back(&id.0, before, crate::past::PAGE)?;
        before = page.last().copied();
        for place in page.iter().map(crate::past::place_of).filter(|place| places.contains(&place.position)) {
            *entries.entry(place.position).or_default() += 1;
        }
        if page.len() < crate::past::PAGE {
            break;
        }
    }
    for stub in &aged.stubs {
        // A stub stands in the timeline too; what was met as one is not to be taken out.
        if entries.contains_key(stub) && core.journal.read_at(*stub)?.header.redacted {
            entries.remove(stub);
        }
    }
    let events: u64 = entries.values().sum();
    let here: HashSet<Position> = entries.into_keys().collect();
    let base = match (kept, aged.base.clone()) {
        (Some(mut kept), Some(more)) => {
            kept.join(more, plan);
            Some(kept)
        }
        (kept, more) => kept.or(more),
    };
    let fragment = match known {
        // Met redacted: what state has is what is left already.
        Some(known) if here.is_empty() => {
            let mut known = Fragment::clone(&known);
            if let Some(more) = &aged.base {
                more.add_to(&mut known, plan);
                known.events += more.events;
            }
            Some(known)
        }
        Some(known) => {
            let skip = |position: Position| places.contains(&position);
            let (mut fresh, _) = refold(core, plan, (id, &known), &skip, None, as_of)?;
            if let Some(base) = &base {
                base.add_to(&mut fresh, plan);
            }
            let more = aged.base.as_ref().map_or(0, |base| base.events);
            Some(Fragment {
                folds: fresh.folds,
                traits: fresh.traits,
                last_event: fresh.last_event,
                events: known.events + more - events,
                ..Fragment::clone(&known)
            })
        }
        None => None,
    };
    Ok(Some(Remains { here, fragment, base }))
}

/// Whether one of the events that amount to something was taken back. The index of identities tells it by the header, which stays.
fn any_void(core: &Core, aged: &Aged) -> Result<bool> {
    for position in &aged.counted {
        let record = core.journal.read_at(*position)?;
        if void_row(&core.rows.read(), record.header.id)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Applier<'_> {
    /// Takes events out of state whose days are over. Nothing, when the record was overtaken.
    pub(crate) fn age(
        &mut self,
        (position, received_at): (Position, Timestamp),
        id: FragmentId,
        aged: &Aged,
        left: Option<Remains>,
    ) -> Result<()> {
        self.begin(position, received_at)?;
        let Some(Remains { here, fragment, base }) = left else { return Ok(()) };
        let context = *self.hand.context();
        for place in &aged.gone {
            let letter = self.hand.row(&context.dead_letter(*place))?;
            let letter: Option<Letter> = letter.map(|bytes| decode(&bytes)).transpose()?;
            let summary = &mut self.hand.inner.summary;
            if here.contains(place) {
                summary.events -= 1;
            } else if let Some(letter) = letter {
                *summary.kept_mut(letter.code.kept()) -= 1;
                self.hand.delete(context.dead_letter(*place));
            } else {
                // It was counted where it stands.
                continue;
            }
            self.hand.inner.summary.expired += 1;
            self.hand.delete(context.replay(*place));
        }
        let row = AgingRow { fragment: id, gone: aged.gone.clone(), stubs: aged.stubs.clone() };
        self.hand.put(context.aging(position), encode(&row));
        Arc::make_mut(&mut self.hand.inner.aging).extend(aged.gone.iter().chain(&aged.stubs));
        if let Some(base) = base.filter(|_| aged.base.is_some()) {
            self.hand.put(context.aged(id), encode(&base));
        }
        let (Some(left), Some(known)) = (fragment, self.hand.fragment_mut(id)?) else { return Ok(()) };
        *known = left;
        self.hand.inner.summary.retouched += 1;
        if !here.is_empty() {
            self.derive_anew(id, "");
        }
        self.evaluate(id, received_at, Cause::Retention, &Touched::everything())
    }

    /// Forgets what was to be redacted by records up to a place: it is, but for `kept`. Those stay out of state like the
    /// others, and are tried again with the next job.
    pub(crate) fn redacted(
        &mut self,
        (position, received_at): (Position, Timestamp),
        upto: Position,
        kept: &[Position],
    ) -> Result<()> {
        self.begin(position, received_at)?;
        let mut range = self.hand.context().table(tag::AGING);
        loop {
            let page = self.hand.scan(&range, Order::Forward, PAGE)?;
            let Some((last, _)) = page.last() else { break };
            range = range.after(last);
            for (key, bytes) in page {
                let Some(_) = keys::aging(&key).filter(|record| *record <= upto) else { return Ok(()) };
                let mut row: AgingRow = decode(&bytes)?;
                let (left, done): (Vec<_>, Vec<_>) =
                    row.stubs.into_iter().partition(|place| kept.contains(place));
                let aging = Arc::make_mut(&mut self.hand.inner.aging);
                for place in row.gone.iter().chain(&done) {
                    aging.remove(place);
                }
                if left.is_empty() {
                    self.hand.delete(key);
                } else {
                    (row.gone, row.stubs) = (Vec::new(), left);
                    self.hand.put(key, encode(&row));
                }
            }
        }
        Ok(())
    }
}

impl Change {
    /// Whether it is about events that age: such a record changes no configuration.
    pub(crate) fn is_about_age(&self) -> bool {
        matches!(self, Self::Aged { .. } | Self::AgedRedacted { .. })
    }
}

/// By fragment, where those stand of which nothing is left, and those that leave a stub.
pub(super) fn by_fragment(rows: &[AgingRow]) -> HashMap<FragmentId, HashMap<Position, bool>> {
    let mut all: HashMap<FragmentId, HashMap<Position, bool>> = HashMap::new();
    for row in rows {
        let places = all.entry(row.fragment).or_default();
        places.extend(row.gone.iter().map(|place| (*place, false)));
        places.extend(row.stubs.iter().map(|place| (*place, true)));
    }
    all
}
