//! Applying an erasure: at the place of its record, in one step, everything of the person leaves state.
//!
//! A rebuild finds the events before that place unreadable and counts each as suppressed; so applying the record turns
//! what was applied of them into the same. What identity decided about others because of the person is decided anew.
//!
//! What stays: keyed digests of event ids (a repeat is recognised), of whom is suppressed, and in the log of segment
//! changes and of merges the id of a profile that leads nowhere.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use cdp_domain::identifier::Identifier;
use cdp_domain::ids::{FragmentId, Position};
use cdp_domain::time::Timestamp;
use cdp_store::keys::{self, KeyRange, tag};
use cdp_store::kv::Order;
use serde_json::json;

use super::Suppression;
use super::erase::Erasure;
use crate::dead_letters::{Code, Kept, Letter};
use crate::error::{Refused, Result};
use crate::identity::log::{About, Because};
use crate::identity::settle::Seed;
use crate::rows::{Look, Turn, decode, encode};
use crate::tenant::Core;
use crate::writer::{Applier, Cause, waiting_fragment};

/// Why an erased event is not in state; the same words as where a rebuild finds it unreadable.
pub(crate) const ERASED_REASON: &str = "the person was erased before the event was applied";

/// Rows scanned at a time.
const PAGE: usize = 256;

/// The events of who is erased, by place: when each was received, and how it is kept that is not in state.
pub(crate) struct Gone(BTreeMap<Position, (Timestamp, Option<Kept>)>);

/// Reads which events belong to an erasure. Reads the journal, so it is done before the rows are locked for writing.
pub(crate) fn gather(core: &Core, erasure: &Erasure) -> Result<Gone> {
    let mut gone = BTreeMap::new();
    let erased: HashSet<[u8; 16]> = erasure.fragments.iter().copied().collect();
    let mut note = |position: Position, kept: Option<Kept>| -> Result<()> {
        match core.journal.read_at(position) {
            Ok(record) if erased.contains(&record.header.key_ref) => {
                gone.insert(position, (record.header.received_at, kept));
                Ok(())
            }
            // Another record stands there, or its part of the journal was removed.
            Ok(_) | Err(cdp_store::Error::NotARecord { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    };
    for fragment in &erasure.fragments {
        let mut before = None;
        loop {
            let page = core.timeline.scan_back(fragment, before, PAGE)?;
            before = page.last().copied();
            for entry in &page {
                note(crate::past::place_of(entry).position, None)?;
            }
            if page.len() < PAGE {
                break;
            }
        }
    }
    let mut range = core.rows.context().table(tag::DEAD_LETTER);
    loop {
        let page = core.rows.read().scan(&range, Order::Forward, PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(Gone(gone)) };
        range = range.after(last);
        for (key, bytes) in &page {
            let letter: Letter = decode(bytes)?;
            if let Some(position) = keys::dead_letter(key).filter(|_| letter.code != Code::Erased) {
                note(position, Some(letter.code.kept()))?;
            }
        }
    }
}

/// What left state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    profiles: u64,
    fragments: u64,
    identifiers: u64,
    contact_points: u64,
    consents: u64,
    events: u64,
    dead_letters: u64,
    waiting: u64,
    derived: u64,
}

impl Applier<'_> {
    /// Takes whom an erasure is of out of state, after its record was taken into the configuration; whether state had
    /// anything of them.
    pub(crate) fn erase(&mut self, erasure: &Erasure, position: Position, gone: &Gone) -> Result<bool> {
        let mut counts = Counts::default();
        let fragments = self.leave_profiles(erasure, &mut counts)?;
        let identifiers = self.leave_identifiers(&fragments, &mut counts)?;
        self.leave_contacts(&fragments, &mut counts)?;
        self.leave_waiting(&fragments, &mut counts)?;
        counts.derived = self.leave_derived(&fragments)?;
        for id in &fragments {
            self.hand.remove_fragment(*id);
            let aged = self.hand.context().aged(*id);
            self.hand.delete(aged);
            let alert = self.hand.context().identity_alert(id.0);
            self.drop_alert(alert)?;
            self.hand.inner.summary.fragments -= 1;
            counts.fragments += 1;
        }
        self.leave_letters(gone, &mut counts)?;
        self.hand.inner.summary.retouched += 1;
        self.place_others(&identifiers)?;
        for (digests, contact) in [(&erasure.identifiers, false), (&erasure.contacts, true)] {
            for digest in digests {
                let (erasure, at, generations) = (erasure.job, erasure.at, erasure.generations);
                let row = Suppression { erasure, at, contact, generations };
                let key = self.hand.context().suppression(*digest);
                self.hand.put(key, encode(&row));
            }
        }
        let row = json!({
            "id": erasure.job.to_string(),
            "status": "running",
            "requested_at": erasure.at.to_string(),
            "requested_by": erasure.by,
            "reason": erasure.reason,
            "position": position.to_string(),
            "counts": {
                "profiles": counts.profiles,
                "fragments": counts.fragments,
                "identifiers": counts.identifiers,
                "contact_points": counts.contact_points,
                "consents": counts.consents,
                "events": counts.events,
                "dead_letters": counts.dead_letters,
                "waiting_events": counts.waiting,
                "derived": counts.derived,
            },
        });
        let key = self.hand.context().erasure(erasure.job);
        self.hand.put(key, row.to_string().into_bytes());
        Ok(counts.fragments > 0)
    }

    /// Ends the profiles, with everything that hangs on them; all of their fragments come back.
    fn leave_profiles(&mut self, erasure: &Erasure, counts: &mut Counts) -> Result<BTreeSet<FragmentId>> {
        let mut roots = BTreeSet::new();
        for id in &erasure.fragments {
            roots.extend(self.hand.fragment(FragmentId(*id))?.map(|fragment| fragment.profile));
        }
        let mut fragments = BTreeSet::new();
        let at = self.hand.inner.summary.as_of;
        for root in roots {
            let members = self.hand.profile(root)?;
            let head = members.first().and_then(|(_, first)| first.head.clone());
            let head = head.ok_or_else(|| Refused::internal("a profile's root has no head"))?;
            fragments.extend(members.iter().map(|(id, _)| *id));
            drop(members);
            let plan = self.plan;
            for segment in &plan.segments {
                if self.hand.set_member(segment.no, head.ordinal, false) && segment.serves {
                    let turn = Turn { profile: root, entered: false, at, cause: Cause::Erasure };
                    self.report(segment.no, turn);
                }
            }
            let context = *self.hand.context();
            if let Some(next) = head.next_turn {
                self.hand.delete(context.timer(next, head.ordinal));
            }
            self.hand.delete(context.ordinal(head.ordinal));
            self.hand.inner.summary.profiles -= 1;
            counts.profiles += 1;
        }
        Ok(fragments)
    }

    /// Takes the fragments out of the index of identifiers; the identifiers that they carried come back.
    fn leave_identifiers(
        &mut self,
        fragments: &BTreeSet<FragmentId>,
        counts: &mut Counts,
    ) -> Result<BTreeSet<Identifier>> {
        let mut identifiers = BTreeSet::new();
        let context = *self.hand.context();
        for id in fragments {
            let Some(fragment) = self.hand.fragment(*id)? else { continue };
            for identifier in &fragment.identifiers {
                let digest = self.core.digests.identifier.wide(&identifier.canonical_bytes());
                self.hand.delete(context.identifier(digest, *id));
                identifiers.insert(identifier.clone());
            }
        }
        for identifier in &identifiers {
            let digest = self.core.digests.identifier.wide(&identifier.canonical_bytes());
            // Who its company is is counted anew.
            self.hand.delete(context.company(digest));
            self.drop_alert(context.identity_alert(digest))?;
            counts.identifiers += 1;
        }
        Ok(identifiers)
    }

    fn drop_alert(&mut self, key: keys::Key) -> Result<()> {
        if self.hand.row(&key)?.is_some() {
            self.hand.delete(key);
            self.hand.inner.summary.identity_alerts -= 1;
        }
        Ok(())
    }

    /// Takes the fragments out of their contact points; those that nobody uses any more go, with their ledgers.
    fn leave_contacts(&mut self, fragments: &BTreeSet<FragmentId>, counts: &mut Counts) -> Result<()> {
        let mut points = BTreeSet::new();
        for id in fragments {
            points.extend(
                self.hand.fragment(*id)?.iter().flat_map(|fragment| fragment.contacts.iter().cloned()),
            );
        }
        for point in points {
            let digest = self.core.digests.contact.wide(&point.canonical_bytes());
            if self.hand.contact(digest)?.is_none() {
                continue;
            }
            let contact = self.hand.contact_mut(digest, || crate::rows::Contact::new(point.clone()))?;
            contact.fragments.retain(|id| !fragments.contains(id));
            if contact.fragments.is_empty() {
                self.hand.remove_contact(digest);
                let ledger = self.hand.context().ledger_range(digest);
                counts.consents += self.clear(ledger)?;
                counts.contact_points += 1;
            }
        }
        Ok(())
    }

    /// Removes all rows of a range; how many.
    fn clear(&mut self, mut range: KeyRange) -> Result<u64> {
        let mut cleared = 0;
        loop {
            let page = self.hand.scan(&range, Order::Forward, PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(cleared) };
            range = range.after(last);
            cleared += page.len() as u64;
            page.into_iter().for_each(|(key, _)| self.hand.delete(key));
        }
    }

    /// Removes events that wait for their time.
    fn leave_waiting(&mut self, fragments: &BTreeSet<FragmentId>, counts: &mut Counts) -> Result<()> {
        let mut range = self.hand.context().table(tag::WAITING);
        loop {
            let page = self.hand.scan(&range, Order::Forward, PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            range = range.after(last);
            for (key, bytes) in page {
                if fragments.contains(&waiting_fragment(&bytes)?) {
                    self.hand.delete(key);
                    counts.waiting += 1;
                }
            }
        }
    }

    /// Every event of theirs is one that was suppressed, with a letter that says nothing of it.
    fn leave_letters(&mut self, gone: &Gone, counts: &mut Counts) -> Result<()> {
        let context = *self.hand.context();
        for (position, (received_at, kept)) in &gone.0 {
            let summary = &mut self.hand.inner.summary;
            match kept {
                None => {
                    summary.events -= 1;
                    counts.events += 1;
                }
                Some(kept) => {
                    *summary.kept_mut(*kept) -= 1;
                    counts.dead_letters += 1;
                }
            }
            *summary.kept_mut(Kept::Suppressed) += 1;
            let letter = Letter {
                code: Code::Erased,
                plugin: String::new(),
                reason: ERASED_REASON.to_owned(),
                problems: Vec::new(),
                at: *received_at,
                id: Default::default(),
                source: Default::default(),
                kind: Default::default(),
            };
            self.hand.put(context.dead_letter(*position), encode(&letter));
            self.hand.delete(context.replay(*position));
        }
        Ok(())
    }

    /// Places whoever shared an identifier with them: it may link others now, or be nobody's.
    fn place_others(&mut self, identifiers: &BTreeSet<Identifier>) -> Result<()> {
        let ground = self.ground();
        let mut seeds = Vec::new();
        for identifier in identifiers {
            ground.carriers(identifier, |id| {
                seeds.push(Seed::afresh(id));
                Ok(false)
            })?;
        }
        if seeds.is_empty() {
            return Ok(());
        }
        let (settled, overgrown) = ground.settle(seeds)?;
        drop(ground);
        for fragment in overgrown {
            self.alert(fragment.0, About::Overgrown(fragment))?;
        }
        self.rearrange(&settled, Because::Erasure, None)
    }
}
