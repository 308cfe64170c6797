//! Acceptance: what is taken into the journal, and what is a duplicate, a conflict or invalid.
//!
//! Parsing, digests and sealing happen outside the lock; under it come the look-up of identities, the append and the
//! hand-over to the writer, so that all three agree on one order. The answer waits for the disk.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cdp_domain::consent::signals::{Mapping, hear};
use cdp_domain::event::{Defaults, Event};
use cdp_domain::identifier::Pinned;
use cdp_domain::identity::{Origin, Rules};
use cdp_domain::ids::{FragmentId, Position};
use cdp_domain::limits;
use cdp_domain::problem::{Code, Problem};
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_store::journal::{Appended, Draft, Header, RecordKind};
use cdp_store::runs::{Frontier, Rotation};
use cdp_store::seal::{SEAL_BYTES, seal_in_place};
use compact_str::CompactString;

use crate::acceptance::{Acceptance, Checked};
use crate::born::Brood;
use crate::catalogue::{Said, Schemas};
use crate::config::Change;
use crate::consent::{Guarded, Guards, Refusals};
use crate::error::{Refused, Result};
use crate::feed::{Batch, Item, Pending};
use crate::privacy::Suppressed;
use crate::tenant::{Core, Gate, Tenant};

/// One event as it came.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// The event in its native form.
    pub value: Value,
    /// Its bytes as sent, for the limit on its size; 0 when not known.
    pub bytes: usize,
    /// What identifies its body where `value` was made from something else; `value` itself when None.
    pub digest_of: Option<Value>,
}

/// How to accept.
#[derive(Debug, Clone, Default)]
pub struct Accept {
    /// The source of events that name none.
    pub source: CompactString,
    /// All or nothing.
    pub strict: bool,
    /// They came with a key that anybody can read, as in a web page: they may not join people who are known already.
    pub client: bool,
    /// The request said `Sec-GPC: 1`.
    pub gpc: bool,
}

/// What came of a request's events.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// Wait until this is applied to read your writes: the last record that these events are in.
    pub position: Position,
    /// How many were taken in.
    pub accepted: u32,
    /// How many were there already.
    pub duplicates: u32,
    /// How many were refused.
    pub rejected: u32,
    /// One per event, in order.
    pub items: Vec<Outcome>,
}

/// What came of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its id, where it has one.
    pub id: Option<CompactString>,
    /// What was done.
    pub verdict: Verdict,
}

/// What was done with an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is durable.
    Accepted,
    /// The same event was accepted before, or earlier in this request.
    Duplicate,
    /// Another event of this source has this id; the first stays.
    Conflict,
    /// It is not valid; pointers are relative to it.
    Invalid(Vec<Problem>),
    /// It is larger than an event may be.
    OverLimit(Problem),
    /// It names somebody who was erased.
    Suppressed,
    /// It would have been accepted, but others of a strict request were not.
    NotAttempted,
}

/// An event that passed validation, sealed and ready to be appended.
struct Ready {
    event: Event,
    acceptance: Option<Box<Acceptance>>,
    time_given: bool,
    fragment: FragmentId,
    origin: Origin,
    draft: Draft,
}

/// (position, body digest) as it stands in the index of identities.
pub(crate) fn identity_value(position: Position, body: [u8; 8]) -> [u8; 16] {
    let mut value = [0; 16];
    value[..8].copy_from_slice(&position.0.to_be_bytes());
    value[8..].copy_from_slice(&body);
    value
}

/// The position in an index value.
pub(crate) fn position_of(value: &[u8; 16]) -> Position {
    Position(u64::from_be_bytes(value[..8].try_into().expect("eight bytes")))
}

impl Tenant {
    /// Takes events in. Returns when the accepted ones are durable, and so are those that the duplicates repeat.
    ///
    /// Dropping the future leaves events accepted that may be on disk already; they are never half accepted.
    ///
    /// # Errors
    /// [`Refused::Overloaded`] and [`Refused::Unavailable`]: nothing was accepted, all may be sent again.
    pub async fn accept(&self, events: Vec<Incoming>, how: &Accept) -> Result<Accepted> {
        let core = &*self.core;
        let schemas = core.schemas.read().clone();
        let signals = core.signals.read().clone();
        let guards = core.guards.read().clone();
        if !guards.is_empty() {
            let carries = |one: &Incoming| one.value.as_object().is_some_and(|event| guards.concern(event));
            if events.iter().any(carries) {
                core.wait_for_what_is_accepted().await?;
            }
        }
        let (mut accepted, appended, waits_for) = {
            // What was read by some rules stands before whatever changes them.
            let rules = core.accepting.read();
            // So does what was not suppressed yet stand before an erasure.
            let suppressed = core.suppressed.read();
            let by = By {
                rules: &rules,
                schemas: &schemas,
                suppressed: &suppressed,
                signals: &signals,
                guards: &guards,
            };
            let mut said = Refusals::default();
            let prepared: Vec<_> =
                events.into_iter().map(|incoming| core.prepare(incoming, how, by, &mut said)).collect();
            core.append(prepared, how.strict)?
        };
        if let Some(appended) = &appended {
            core.journal.wait_durable(appended).await?;
        }
        if let Some((position, generation)) = waits_for {
            core.wait_for_original(position, generation).await?;
        }
        if accepted.position == Position(0) {
            accepted.position = core.rows.read().inner.summary.last;
        }
        core.counters.accepted.fetch_add(u64::from(accepted.accepted), Ordering::Relaxed);
        core.counters.duplicates.fetch_add(u64::from(accepted.duplicates), Ordering::Relaxed);
        let conflicts = accepted.items.iter().filter(|item| item.verdict == Verdict::Conflict).count();
        let suppressed = accepted.items.iter().filter(|item| item.verdict == Verdict::Suppressed).count();
        core.counters.suppressed.fetch_add(suppressed as u64, Ordering::Relaxed);
        core.counters.conflicts.fetch_add(conflicts as u64, Ordering::Relaxed);
        core.counters.rejected.fetch_add(u64::from(accepted.rejected), Ordering::Relaxed);
        Ok(accepted)
    }
}

/// Asks the schema of an event's type. What it leaves out is left out of the payload too; what it says is to be written
/// behind it.
fn judge(
    value: Value,
    payload: &mut Vec<u8>,
    schemas: &Schemas,
) -> Result<(Value, Option<Checked>), Vec<Problem>> {
    let mut event = match value {
        Value::Object(event) if !schemas.is_empty() => event,
        other => return Ok((other, None)),
    };
    let checked = match schemas.judge(&mut event) {
        Said::Nothing => return Ok((Value::Object(event), None)),
        Said::Block(checked) => return Err(checked.quarantined),
        Said::Note(checked) => checked,
    };
    let value = Value::Object(event);
    *payload = crate::rows::encode(&value);
    Ok((value, Some(checked)))
}

/// What events are read by.
#[derive(Clone, Copy)]
struct By<'a> {
    rules: &'a Rules,
    schemas: &'a Schemas,
    suppressed: &'a Suppressed,
    signals: &'a Mapping,
    guards: &'a Guards,
}

type Prepared = (Option<CompactString>, Result<Ready, Verdict>);

impl Core {
    /// Adds what privacy signals come to; encoded again where there was any.
    fn listen(&self, value: Value, signals: &Mapping, gpc: bool) -> (Value, Option<Vec<u8>>) {
        if signals.is_empty() {
            return (value, None);
        }
        let Value::Object(mut event) = value else { return (value, None) };
        let heard = hear(&mut event, signals, gpc);
        if heard.malformed > 0 {
            self.counters.signals_malformed.fetch_add(heard.malformed.into(), Ordering::Relaxed);
        }
        let value = Value::Object(event);
        let payload = (heard.decisions > 0).then(|| crate::rows::encode(&value));
        (value, payload)
    }

    /// Takes out of an event what is guarded by purposes whose consent is missing; encoded again where there was any.
    fn keep_what_may_be_kept(
        &self,
        value: Value,
        defaults: Defaults<'_>,
        guards: &Guards,
        said: &mut Refusals,
    ) -> (Value, Option<Vec<u8>>, Vec<Guarded>) {
        if guards.is_empty() {
            return (value, None, Vec::new());
        }
        // What is decided without a time is decided now.
        let defaults = Defaults { time: self.clock.now(), ..defaults };
        // What is not an event is refused by who reads it next.
        let Ok(event) = Event::from_value(value.clone(), defaults) else { return (value, None, Vec::new()) };
        let Value::Object(mut object) = value else { return (value, None, Vec::new()) };
        let taken = match self.guard(&mut object, &event, guards, said) {
            Ok(taken) => taken,
            Err(error) => {
                // What cannot be asked for is not there.
                tracing::error!(error = %error, "consent could not be read; what it guards is left out");
                self.guard_all(&mut object, guards)
            }
        };
        said.note(&event, self.clock.now());
        self.counters.guarded.fetch_add(taken.len() as u64, Ordering::Relaxed);
        let value = Value::Object(object);
        let payload = (!taken.is_empty()).then(|| crate::rows::encode(&value));
        (value, payload, taken)
    }

    fn prepare(&self, incoming: Incoming, how: &Accept, by: By<'_>, said: &mut Refusals) -> Prepared {
        let By { rules, schemas, suppressed, signals, guards } = by;
        let source = how.source.as_str();
        let id = incoming
            .value
            .as_object()
            .and_then(|event| event.get("id"))
            .and_then(Value::as_text)
            .map(Into::into);
        if incoming.bytes > limits::EVENT_BYTES_MAX {
            let detail = format!("is longer than {} bytes", limits::EVENT_BYTES_MAX);
            return (id, Err(Verdict::OverLimit(Problem::new("", Code::TooLong, detail))));
        }
        let Value::Object(mut object) = incoming.value else {
            let problem = Problem::new("", Code::WrongType, "an event is a JSON object");
            return (id, Err(Verdict::Invalid(vec![problem])));
        };
        if matches!(object.get("source"), None | Some(Value::Null)) {
            object.insert("source", source.into());
        }
        let time_given = !matches!(object.get("time"), None | Some(Value::Null));
        let value = Value::Object(object);
        let encoded = Vec::with_capacity(512 + SEAL_BYTES);
        let mut payload = postcard::to_extend(&value, encoded).expect("values encode into memory");
        let body = match &incoming.digest_of {
            Some(original) => self.digests.body.narrow(&crate::rows::encode(original)),
            None => self.digests.body.narrow(&payload),
        };
        let pinned = value.as_object().and_then(|event| Pinned::of(event, rules));
        // Judged after the digest was taken: the identity of an event is that of its body as sent.
        let (value, checked) = match judge(value, &mut payload, schemas) {
            Ok(judged) => judged,
            Err(problems) => return (id, Err(Verdict::Invalid(problems))),
        };
        // So are the decisions that privacy signals come to.
        let (value, payload_again) = self.listen(value, signals, how.gpc);
        payload = payload_again.unwrap_or(payload);
        let defaults = Defaults { source, time: Timestamp(0), rules };
        let (value, payload_again, guarded) = self.keep_what_may_be_kept(value, defaults, guards, said);
        payload = payload_again.unwrap_or(payload);
        let acceptance = Acceptance { checked, pinned, guarded };
        payload = acceptance.append_to(payload);
        let is_told = acceptance.checked.is_some() || !acceptance.guarded.is_empty();
        let acceptance = is_told.then(|| Box::new(acceptance));
        let event = match Event::from_value(value, defaults) {
            Ok(event) => event,
            Err(problems) => return (id, Err(Verdict::Invalid(problems))),
        };
        if suppressed.names(&event, &self.digests) {
            return (id, Err(Verdict::Suppressed));
        }
        let origin = Origin::of(&event.kind, &event.identifiers, how.client);
        let fragment = self.digests.fragment_of(&event.identifiers, origin);
        let mut header = Header {
            kind: RecordKind::Event,
            received_at: Timestamp(0),
            id: self.digests.identity.wide_of(&[event.source.as_bytes(), event.id.as_bytes()]),
            body,
            key_ref: fragment.0,
            nonce: [0; 12],
            redacted: false,
        };
        match seal_in_place(&self.keys, self.info.no, &mut header, &mut payload) {
            Ok(()) => {
                let draft = Draft { header, payload };
                (id, Ok(Ready { event, acceptance, time_given, fragment, origin, draft }))
            }
            Err(cdp_store::Error::KeyDestroyed) => (id, Err(Verdict::Suppressed)),
            Err(error) => {
                tracing::error!(error = %error, "an event could not be sealed");
                let problem = Problem::new("", Code::Invalid, "could not be sealed");
                (id, Err(Verdict::Invalid(vec![problem])))
            }
        }
    }

    #[expect(clippy::type_complexity, reason = "three answers for one caller")]
    fn append(
        &self,
        prepared: Vec<Prepared>,
        strict: bool,
    ) -> Result<(Accepted, Option<Appended>, Option<(Position, u64)>)> {
        let mut items = Vec::with_capacity(prepared.len());
        let mut ready = Vec::with_capacity(prepared.len());
        let mut in_request: HashMap<[u8; 16], [u8; 8]> = HashMap::with_capacity(prepared.len());
        let mut original: Option<Position> = None;

        let mut gate = self.gate.lock();
        self.forget_lost(&mut gate);
        for (id, prepared) in prepared {
            let verdict = match prepared {
                Err(verdict) => verdict,
                Ok(event) => {
                    let header = &event.draft.header;
                    let known = match in_request.get(&header.id) {
                        Some(body) => Some(*body),
                        None => self.known(header.id)?.map(|(position, body)| {
                            original = original.max(Some(position));
                            body
                        }),
                    };
                    match known {
                        Some(body) if body == header.body => Verdict::Duplicate,
                        Some(_) => Verdict::Conflict,
                        None => {
                            in_request.insert(header.id, header.body);
                            ready.push(event);
                            Verdict::Accepted
                        }
                    }
                }
            };
            items.push(Outcome { id, verdict });
        }
        let good = |item: &Outcome| matches!(item.verdict, Verdict::Accepted | Verdict::Duplicate);
        if strict && !items.iter().all(good) {
            items.iter_mut().filter(|item| good(item)).for_each(|item| item.verdict = Verdict::NotAttempted);
            ready.clear();
        }
        let appended = if ready.is_empty() { None } else { Some(self.append_ready(&mut gate, ready)?) };
        let generation = gate.generation;
        drop(gate);

        let count =
            |wanted: fn(&Verdict) -> bool| items.iter().filter(|item| wanted(&item.verdict)).count() as u32;
        let accepted = count(|verdict| matches!(verdict, Verdict::Accepted));
        let duplicates = count(|verdict| matches!(verdict, Verdict::Duplicate));
        let rejected = items.len() as u32 - accepted - duplicates;
        let last = appended.as_ref().and_then(|appended| appended.positions.last().copied());
        let position = last.max(original).unwrap_or_default();
        let waits_for = original.map(|position| (position, generation));
        Ok((Accepted { position, accepted, duplicates, rejected, items }, appended, waits_for))
    }

    fn append_ready(&self, gate: &mut Gate, ready: Vec<Ready>) -> Result<Appended> {
        let received_at = self.clock.now().max(gate.received_at);
        gate.received_at = received_at;
        let mut drafts = Vec::with_capacity(ready.len());
        let mut events = Vec::with_capacity(ready.len());
        let mut bytes = 0;
        for mut one in ready {
            one.draft.header.received_at = received_at;
            if !one.time_given {
                one.event.time = received_at;
            }
            bytes += one.draft.payload.len() * 3 + 512;
            drafts.push(one.draft);
            events.push((one.fragment, one.origin, one.event, one.acceptance));
        }
        let appended = self.journal.append(&drafts)?;
        let identities: Vec<_> = drafts
            .iter()
            .zip(&appended.positions)
            .map(|(draft, position)| (draft.header.id, identity_value(*position, draft.header.body)))
            .collect();
        self.identities.insert_many(identities.iter().copied());
        gate.unsettled.push_back((appended.clone(), identities));
        let items = events.into_iter().zip(&appended.positions).map(
            |((fragment, origin, event, acceptance), position)| {
                Item::Event(Box::new(Pending {
                    position: *position,
                    received_at,
                    fragment,
                    origin,
                    event,
                    acceptance,
                    brood: Brood::default(),
                    nth: 0,
                }))
            },
        );
        self.feed.push(Batch { appended: appended.clone(), items: items.collect(), bytes });
        let frontier = Frontier { inserted: appended.end, durable: self.journal.durable() };
        if self.identities.rotate_if_full(frontier) == Rotation::Declined
            && self.identities.recent_len() > 1 << 21
        {
            // Far behind: better slow than unbounded.
            self.identities.wait_idle();
        }
        Ok(appended)
    }

    /// Where an event of this identity was accepted, with its body's digest.
    ///
    /// An index entry that outlived its record (the record was lost in a crash before it was durable, and never
    /// acknowledged) is told by the record at its position and does not count. Where the journal's oldest part was
    /// removed, the entry alone counts: it is never removed, so a repeat is recognised for as long as there is an index.
    /// Whoever removes a part of the journal writes the index down first ([`cdp_store::runs::RunSet::persist`]).
    fn known(&self, id: [u8; 16]) -> Result<Option<(Position, [u8; 8])>> {
        let Some(value) = self.identities.get(&id)? else { return Ok(None) };
        let position = position_of(&value);
        let body = value[8..].try_into().expect("eight bytes");
        if position >= self.journal.durable() || position < self.journal.begins() {
            return Ok(Some((position, body)));
        }
        match self.journal.read_at(position) {
            Ok(record) if record.header.id == id => Ok(Some((position, body))),
            Ok(_) | Err(cdp_store::Error::NotARecord { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// After the journal rolled back: what it lost must not be taken for a duplicate.
    pub(crate) fn forget_lost(&self, gate: &mut Gate) {
        let generation = self.journal.generation();
        if generation != gate.generation {
            gate.generation = generation;
            self.identities.roll_back_to(self.journal.durable());
            gate.unsettled.retain(|(appended, identities)| {
                let lost = self.journal.is_lost(appended);
                identities.iter().filter(|_| lost).for_each(|(id, value)| {
                    self.identities.remove_recent(id, value);
                });
                !lost
            });
        }
        let durable = self.journal.durable();
        while gate.unsettled.front().is_some_and(|(appended, _)| appended.end <= durable) {
            gate.unsettled.pop_front();
        }
    }

    async fn wait_for_original(&self, position: Position, generation: u64) -> Result<()> {
        let lost = || Refused::Unavailable("the disk could not be written; nothing was accepted".to_owned());
        if self.journal.generation() != generation {
            return Err(lost());
        }
        if position < self.journal.durable() {
            return Ok(());
        }
        // An append of nothing ends where the journal ends now, behind the original.
        let behind = self.journal.append(&[])?;
        self.journal.wait_durable(&behind).await?;
        if self.journal.generation() == generation { Ok(()) } else { Err(lost()) }
    }

    /// Appends a change of configuration, in order with the events, and waits until it is durable and applied.
    pub(crate) async fn change(&self, change: Change) -> Result<Position> {
        self.changes(vec![change]).await
    }

    /// The same for work that rests on state: refused when state was taken anew since, at so many renewals, the work began.
    pub(crate) async fn change_since(&self, change: Change, renewals: u64) -> Result<Position> {
        self.append_changes(vec![change], Some(renewals)).await
    }

    /// Appends several changes at once, and waits until all are durable and applied. The last one's position comes back;
    /// that of the journal's end when there are none.
    pub(crate) async fn changes(&self, changes: Vec<Change>) -> Result<Position> {
        self.append_changes(changes, None).await
    }

    async fn append_changes(&self, changes: Vec<Change>, renewals: Option<u64>) -> Result<Position> {
        if changes.is_empty() {
            return Ok(self.journal.end());
        }
        let mut drafts = Vec::with_capacity(changes.len());
        for change in &changes {
            let mut payload = serde_json::to_vec(change).map_err(Refused::internal)?;
            // What names people is sealed so that it can be forgotten.
            let key_ref = match change {
                Change::ConstraintPut { constraint } | Change::ConstraintDeleted { constraint } => {
                    self.digests.constraint(constraint.id)
                }
                Change::Aged { fragment, .. } => fragment.0,
                _ => [0; 16],
            };
            let mut header = Header { kind: RecordKind::Config, key_ref, ..Header::default() };
            seal_in_place(&self.keys, self.info.no, &mut header, &mut payload)?;
            drafts.push(Draft { header, payload });
        }
        let (appended, position) =
            {
                // What is read from here on is read by the new rules, and stands behind them.
                let rules = changes.iter().rev().find_map(|change| match change {
                    Change::RulesPut { rules } => Some(rules.clone()),
                    _ => None,
                });
                let accepting = rules.map(|rules| (self.accepting.write(), rules));
                let mut gate = self.gate.lock();
                // Under the gate: either this is seen, or bringing state forward anew meets the record.
                if renewals.is_some_and(|renewals| renewals != self.renewals.load(Ordering::Acquire)) {
                    return Err(Refused::Unavailable("state was taken anew meanwhile".to_owned()));
                }
                self.forget_lost(&mut gate);
                let received_at = self.clock.now().max(gate.received_at);
                gate.received_at = received_at;
                drafts.iter_mut().for_each(|draft| draft.header.received_at = received_at);
                let bytes = drafts.iter().map(|draft| draft.payload.len() + 512).sum();
                let appended = self.journal.append(&drafts)?;
                if let Some((mut accepting, rules)) = accepting {
                    *accepting = Arc::new(rules);
                }
                let items = changes.into_iter().zip(&appended.positions).map(|(change, position)| {
                    Item::Change { position: *position, received_at, change: Box::new(change) }
                });
                self.feed.push(Batch { appended: appended.clone(), items: items.collect(), bytes });
                let last = appended.positions.last().copied().unwrap_or_default();
                (appended, last)
            };
        self.journal.wait_durable(&appended).await?;
        let mut applied = self.applied.subscribe();
        applied.wait_for(|applied| *applied > position).await.map_err(Refused::internal)?;
        Ok(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, Options, Storage};
    use crate::registry::NewTenant;
    use cdp_store::seal::MasterKey;

    fn open(dir: &std::path::Path) -> Engine {
        let mut options = Options::new(dir.join("data"), MasterKey::from_bytes([7; 32]));
        options.storage = Storage::Sled { cache_bytes: 1 << 20 };
        options.journal.segment_bytes = 64 << 10;
        Engine::open(options).unwrap()
    }

    async fn send(tenant: &Tenant, id: usize, note: &str) -> Verdict {
        let text = format!(
            r#"{{"id":"{id}","type":"t","identifiers":[{{"type":"u","value":"1"}}],"properties":{{"note":"{note}"}}}}"#
        );
        let value = cdp_domain::json::parse(text.as_bytes(), cdp_domain::json::Options::default()).unwrap();
        let how = Accept { source: "s".into(), ..Accept::default() };
        let events = vec![Incoming { value, bytes: text.len(), digest_of: None }];
        let accepted = tenant.accept(events, &how).await.unwrap();
        assert!(tenant.wait_applied(accepted.position, std::time::Duration::from_secs(20)).await);
        accepted.items[0].verdict.clone()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_repeat_is_recognised_after_its_part_of_the_journal_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path());
        let new = NewTenant { slug: "shop".into(), name: "Shop".into(), time_zone: None };
        let no = engine.create_tenant(new).await.unwrap().0.no;
        let tenant = engine.open_tenants().into_iter().find(|tenant| tenant.no() == no).unwrap();
        let note = "x".repeat(4000);
        for id in 0..40 {
            assert_eq!(send(&tenant, id, &note).await, Verdict::Accepted);
        }
        let durable = tenant.core.journal.durable();
        assert_eq!(tenant.core.identities.persist(Frontier { inserted: durable, durable }), durable);
        drop(tenant);
        tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
        let journal = dir.path().join("data/journal").join(format!("{:08x}", no.0));
        let mut segments: Vec<_> =
            std::fs::read_dir(&journal).unwrap().map(|file| file.unwrap().path()).collect();
        segments.sort();
        assert!(segments.len() > 2, "{segments:?}");
        std::fs::remove_file(&segments[0]).unwrap();

        let engine = open(dir.path());
        let tenant = engine.open_tenants().into_iter().find(|tenant| tenant.no() == no).unwrap();
        assert!(tenant.core.journal.begins() > Position(0));
        assert_eq!(send(&tenant, 0, &note).await, Verdict::Duplicate);
        assert_eq!(send(&tenant, 0, "another").await, Verdict::Conflict);
        assert_eq!(send(&tenant, 39, &note).await, Verdict::Duplicate);
        assert_eq!(send(&tenant, 40, &note).await, Verdict::Accepted);
        assert!(matches!(tenant.receipt("s", "0"), Err(Refused::NotFound("event"))), "its body is gone");
        assert_eq!(tenant.receipt("s", "39").unwrap().status, "applied");
        let counted = tenant.clone();
        let counted = tokio::task::spawn_blocking(move || counted.accounting().unwrap()).await.unwrap();
        assert_eq!((counted.accepted, counted.applied, counted.difference), (41, 41, Some(0)));
        drop(tenant);
        tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    }
}
