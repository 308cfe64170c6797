//! Working a receipt out from what is there.

use std::sync::Arc;

use cdp_domain::event::{Event, accepted_id};
use cdp_domain::ids::Position;
use cdp_domain::segment::Needs;
use cdp_domain::time::Timestamp;
use cdp_domain::traits::writes;
use cdp_domain::value::{Number, Value};
use cdp_store::journal::Record;

use super::pipeline;
use super::stage::{NewEventRef, Receipt, SegmentRef, Stage, TraitRef, Transformed};
use crate::accept::position_of;
use crate::acceptance::Checked;
use crate::config::{Canary, Change};
use crate::dead_letters::{Attempts, Code, First, Letter};
use crate::error::{Refused, Result};
use crate::feed::{Item, Pending};
use crate::rows::{Look, View, decode};
use crate::tenant::{Core, Tenant};
use crate::writer::{Once, Person, run_once};

/// What state says of an event, read in one go.
struct Known {
    processed: bool,
    letter: Option<Letter>,
    attempts: Attempts,
}

impl Tenant {
    /// What became of an event; by the id of one that a transformer made, of the event that it was made of. Runs the
    /// transformers of its time again: blocks, for as long as they may take.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn receipt(&self, source: &str, id: &str) -> Result<Receipt> {
        let (core, id) = (&self.core, accepted_id(id));
        let identity = core.digests.identity.wide_of(&[source.as_bytes(), id.as_bytes()]);
        let value = core.identities.get(&identity)?.ok_or(Refused::NotFound("event"))?;
        let position = position_of(&value);
        let record = match core.journal.read_at(position) {
            Ok(record) if record.header.id == identity => record,
            Ok(_) | Err(cdp_store::Error::NotARecord { .. }) => return Err(Refused::NotFound("event")),
            Err(error) => return Err(error.into()),
        };
        let known = core.known_of(position)?;
        let expired = record.header.redacted || core.rows.read().inner.aging.contains(&position);
        let mut receipt = Receipt {
            id: id.into(),
            source: source.into(),
            kind: None,
            time: None,
            position,
            received_at: record.header.received_at,
            status: match &known.letter {
                _ if !known.processed => "accepted",
                _ if expired => "expired",
                Some(letter) => letter.code.kept().as_str(),
                None => "applied",
            },
            code: if expired { Some(Code::Expired) } else { known.letter.as_ref().map(|letter| letter.code) },
            reason: match &known.letter {
                _ if expired => Some("events of its type are not kept for longer".to_owned()),
                letter => letter.as_ref().map(|letter| letter.reason.clone()),
            },
            plugin: known
                .letter
                .as_ref()
                .map(|letter| letter.plugin.clone())
                .filter(|plugin| !plugin.is_empty()),
            profile_id: None,
            stages: vec![Stage::Accepted { position, at: record.header.received_at }],
        };
        if !expired {
            core.fill(&mut receipt, record, known)?;
        }
        Ok(receipt)
    }
}

/// What acceptance kept of the sender's clock, where it did: a client may send such fields itself.
fn clock_judged(event: &Event) -> Option<Stage> {
    let time = |name| Timestamp::parse(event.extra.get(name)?.as_text()?).ok();
    let (original_time, sent_at) = (time("original_time")?, time("sent_at")?);
    let Value::Number(Number::Int(skew_ms)) = *event.extra.get("clock_skew_ms")? else { return None };
    let adds_up = original_time.0.checked_add(skew_ms) == Some(event.time.0);
    adds_up.then_some(Stage::ClockJudged { original_time, sent_at, skew_ms })
}

impl Core {
    fn known_of(&self, position: Position) -> Result<Known> {
        let view = self.rows.read();
        let context = self.rows.context();
        let letter = view.row(&context.dead_letter(position))?;
        let attempts = view.row(&context.replay(position))?;
        Ok(Known {
            processed: view.inner.summary.last >= position,
            letter: letter.map(|bytes| decode(&bytes)).transpose()?,
            attempts: attempts.map(|bytes| decode(&bytes)).transpose()?.unwrap_or_default(),
        })
    }

    fn fill(self: &Arc<Self>, receipt: &mut Receipt, record: Record, known: Known) -> Result<()> {
        let (position, applied_at) = (record.position, known.attempts.applied_at());
        let mut item = self.item(position, &record.header, record.payload)?;
        if let Item::Event(pending) = &item {
            (receipt.kind, receipt.time) = (Some(pending.event.kind.clone()), Some(pending.event.time));
            receipt.stages.extend(clock_judged(&pending.event));
            receipt.stages.extend(checked(pending).map(Stage::Checked));
            let guarded = pending.acceptance.as_ref().map(|acceptance| acceptance.guarded.clone());
            receipt.stages.extend(guarded.filter(|guarded| !guarded.is_empty()).map(Stage::Guarded));
        }
        if !known.processed {
            return Ok(());
        }
        if let Some(First { code, plugin, reason, problems }) = known.attempts.first {
            receipt.stages.push(Stage::KeptOut { code, plugin, reason, problems });
        }
        // As it went its last way: at its own place, or where it was tried last.
        let last = known.attempts.newest.last().map(|attempt| attempt.position);
        receipt.stages.extend(known.attempts.newest.into_iter().map(Stage::Replayed));
        if let Some(asked) = last {
            item = self.item_again(position, self.checked_by(asked)?.as_ref())?;
            if let Item::Event(pending) = &item {
                receipt.stages.extend(checked(pending).map(Stage::Checked));
            }
        }
        self.transforms(receipt, &mut item, last.unwrap_or(position))?;
        if let Some(letter) = known.letter {
            let Letter { code, plugin, reason, problems, .. } = letter;
            receipt.stages.push(Stage::KeptOut { code, plugin, reason, problems });
        } else if let Item::Event(pending) = &item {
            self.identified(receipt, pending)?;
            self.applied(receipt, pending, applied_at.unwrap_or(position))?;
        }
        Ok(())
    }

    /// What the schema said when the replay at a position was asked for.
    fn checked_by(&self, asked: Position) -> Result<Option<Checked>> {
        let record = self.journal.read_at(asked)?;
        match self.item(asked, &record.header, record.payload)? {
            Item::Change { change, .. } => match *change {
                Change::EventReplayed { checked, .. } => Ok(checked),
                _ => Err(Refused::internal("a replay's record asks for something else")),
            },
            _ => Err(Refused::internal("a replay's record is an event")),
        }
    }

    /// Runs the chain of that place again, up to the link that kept the event out.
    fn transforms(self: &Arc<Self>, receipt: &mut Receipt, item: &mut Item, at: Position) -> Result<()> {
        let Item::Event(pending) = &*item else { return Ok(()) };
        if checked(pending).is_some_and(|checked| !checked.quarantined.is_empty()) {
            return Ok(());
        }
        let fragment = pending.fragment;
        let chain = pipeline::at(&self.rows.read(), at)?;
        for link in chain {
            if link.lot.as_ref().is_some_and(|lot| !lot.has(fragment)) {
                continue;
            }
            let Once { outcome, changes, born } = if link.suspended {
                Once { outcome: Transformed::Suspended, changes: Vec::new(), born: Vec::new() }
            } else {
                let record = self.journal.read_at(link.activated)?;
                let Item::Change { change, .. } =
                    self.item(link.activated, &record.header, record.payload)?
                else {
                    return Err(Refused::internal("an activation's record is an event"));
                };
                let (Change::PluginActivated { activation, .. }
                | Change::PluginTried { canary: Some(Canary { activation, .. }), .. }) = *change
                else {
                    return Err(Refused::internal("an activation's record asks for something else"));
                };
                run_once(self, (&link.name, &link.digest), &activation, (item, at))?
            };
            let ended = outcome == Transformed::KeptOut
                || receipt
                    .plugin
                    .as_deref()
                    .and_then(|plugin| plugin.split_once('@'))
                    .is_some_and(|(name, digest)| link.name == name && link.digest.starts_with(digest));
            let outcome = if ended { Transformed::KeptOut } else { outcome };
            receipt.stages.push(Stage::Transformed {
                plugin: link.name,
                version: link.version,
                digest: link.digest,
                outcome,
                changes: if ended { Vec::new() } else { changes },
                new_events: if ended { Vec::new() } else { new_events(item, &born) },
            });
            if ended {
                break;
            }
        }
        let Item::Event(pending) = &*item else { return Ok(()) };
        for stage in &mut receipt.stages {
            if let Stage::Transformed { new_events, .. } = stage {
                for one in new_events {
                    let still = pending.brood.events.iter().any(|born| born.event.id == one.id);
                    one.kept = still && receipt.status == "applied";
                }
            }
        }
        Ok(())
    }

    fn identified(&self, receipt: &mut Receipt, pending: &Pending) -> Result<()> {
        let fragments = self.rows.read().profile(pending.fragment)?;
        let of_event = fragments.iter().find(|(id, _)| *id == pending.fragment);
        let (Some((profile, _)), Some((_, fragment))) = (fragments.first(), of_event) else { return Ok(()) };
        receipt.profile_id = Some(*profile);
        let mut identifiers: Vec<_> =
            pending.event.identifiers.iter().map(|identifier| identifier.kind.clone()).collect();
        identifiers.dedup();
        receipt.stages.push(Stage::Identified {
            fragment: pending.fragment,
            profile: *profile,
            identifiers,
            first: fragment.first == pending.event.stamp(),
            fragments: fragments.len(),
        });
        Ok(())
    }

    fn applied(&self, receipt: &mut Receipt, pending: &Pending, at: Position) -> Result<()> {
        let view = self.rows.read();
        let config = view.inner.config.clone();
        let plan = self.plan(&config);
        let event = &pending.event;
        let wants = |no: &u32| {
            plan.folds.get(no).is_some_and(|fold| pending.events().any(|(_, event)| fold.wants(event)))
        };
        let takes_in = |(name, attribute): (&compact_str::CompactString, &crate::config::Attribute)| {
            let active = attribute.active.as_ref()?;
            Needs::of_expr(&active.expr).folds.iter().find(|no| wants(no))?;
            Some((name.clone(), active.version))
        };
        let fragments = view.profile(pending.fragment)?;
        let person =
            Person { fragments: &fragments, plan: &plan, digests: &self.digests, look: &view, overlay: None };
        let standing = person.traits();
        let stamps: Vec<_> = pending.events().map(|(_, event)| event.stamp()).collect();
        let mut traits: Vec<_> =
            pending.events().flat_map(|(_, event)| writes(&event.traits)).map(|(name, _)| name).collect();
        traits.sort_unstable();
        traits.dedup();
        let traits = traits.into_iter().map(|name| {
            let stands = standing.iter().any(|(known, _, by)| *known == name && stamps.contains(by));
            TraitRef { name, stands }
        });
        let (entered, left) = moved(&view, at, config.next_no)?;
        receipt.stages.push(Stage::Applied {
            position: at,
            traits: traits.collect(),
            channels: event.channels.len(),
            consents: event.consents.len(),
            attributes: config.attributes.iter().filter_map(takes_in).collect(),
            entered,
            left,
        });
        Ok(())
    }
}

/// What the schema said when the event was accepted, or asked for again.
fn checked(pending: &Pending) -> Option<Checked> {
    pending.acceptance.as_ref()?.checked.clone()
}

/// Those of what was made of an event that have these numbers.
fn new_events(item: &Item, numbers: &[u8]) -> Vec<NewEventRef> {
    let Item::Event(pending) = item else { return Vec::new() };
    let made = numbers.iter().filter_map(|nth| pending.brood.find(*nth));
    let named = made.map(|born| {
        let Event { id, kind, time, .. } = &born.event;
        NewEventRef { id: id.clone(), kind: kind.clone(), time: *time, kept: false }
    });
    named.collect()
}

/// Who entered and left segments with the record at a position: because of it, not because of the time.
fn moved(view: &View<'_>, at: Position, numbers: u32) -> Result<(Vec<SegmentRef>, Vec<SegmentRef>)> {
    let (mut entered, mut left) = (Vec::new(), Vec::new());
    for no in 0..numbers {
        let mut turns = view.turns_from(no, (at, 0));
        while let Some(logged) = turns.next()?.filter(|logged| logged.position == at) {
            if logged.turn.cause.is_time() {
                continue;
            }
            let Some((name, version)) = definition(view, no)? else { continue };
            let list = if logged.turn.entered { &mut entered } else { &mut left };
            list.push(SegmentRef { name, version, profile: logged.turn.profile });
        }
    }
    Ok((entered, left))
}

fn definition(view: &View<'_>, no: u32) -> Result<Option<(compact_str::CompactString, u32)>> {
    view.row(&view.context().definition(no))?.map(|bytes| decode(&bytes)).transpose()
}
