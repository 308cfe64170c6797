//! A run that sends rows: to a webhook, a table, a plugin's receiver. In chunks, each with an id that stays.
//!
//! A chunk is written down before it is first sent, with whom it is about, and again when the destination has it. What a
//! crash or a failure interrupts is sent again under the same id: at least once towards the outside, exactly once in our
//! ledger. Members are read and consent is asked anew for every attempt; where that changes what a chunk says, it is
//! another message with an id of its own, and a row that an earlier attempt may have left behind is taken back.

use cdp_domain::hex;
use std::collections::{BTreeMap, BTreeSet};

use cdp_domain::ids::FragmentId;
use cdp_engine::Result;
use cdp_engine::exports::Place;

use super::follow::take_since;
use super::log::{Appender, DeadRow, Done, Frame, Intent, Log, Standing};
use super::resolve::{Item, Outcome, Sends, removal, resolve};
use super::survey::{Kept, survey};
use super::tally::{Reason, Tally};
use super::{Ended, Run, State, Watch};
use crate::destination::{Batch, Fault, is_about_rows};
use crate::format::json_object;
use crate::ledger::{Change, Diff, Entry, Line, Step};
use crate::manifest::{Salts, consent_json, leaf};

/// Keys that are dealt with in one chunk, however few of them need sending.
const STEPS_MAX: usize = 5000;

/// Steps that are sent together.
pub(super) struct Chunk {
    pub(super) steps: Vec<Step>,
    /// That they were about to be sent before.
    pub(super) intent: Option<Intent>,
    pub(super) sends: Sends,
    /// Where the changes end that they are about, in a run that follows.
    pub(super) place: Option<Place>,
}

/// What came of sending rows.
#[derive(Default)]
struct Sent {
    items: Vec<Item>,
    dead: Vec<(Item, String)>,
}

impl Run {
    /// Goes on from where the log stands.
    pub(crate) fn send_rows(&self, watch: &Watch<'_>) -> Result<Ended> {
        let line = Line::of(&self.tenant, &self.plan, &self.dir());
        let log = Log::of(&self.tenant, &self.dir(), self.id);
        let kept = Kept::at(self.dir().join(format!("{}.survey", self.id)));
        let mut standing = log.standing()?;
        if !standing.begun || !kept.exists() {
            self.begin(&log, &kept, &mut standing, watch)?;
        }
        watch.set_total(standing.tally.members);
        let chunks = standing.chunks;
        if standing.follows.is_some() {
            return Ok(Ended::Follows);
        }
        match self.send_on(&log, &kept, &line, standing, watch)? {
            Some((fault, stood)) => Ok(Ended::Fault(fault, stood > chunks)),
            None if self.plan.follow => Ok(Ended::Follows),
            None => self.end(State::Done, None),
        }
    }

    /// Surveys the members; who has no row is written down with the survey.
    fn begin(&self, log: &Log, kept: &Kept, standing: &mut Standing, watch: &Watch<'_>) -> Result<()> {
        let members = self.tenant.take_members(&self.plan.segment)?;
        let mut tally = Tally {
            members: members.len(),
            position: members.place.0.0,
            changes: members.place.1,
            segment_version: members.version,
            ..Tally::default()
        };
        watch.set_total(members.len());
        let base = self.dir().join(format!("{}.sort", self.id));
        let mut withheld = Vec::new();
        let mut appender = log.append(&Standing::default())?;
        let sorted = survey(&self.tenant, &self.plan, &members, &base, watch, |profile, reason| {
            tally.withhold(reason);
            withheld.push((profile.0, reason));
            if withheld.len() < STEPS_MAX {
                return Ok(());
            }
            appender.put(&Frame::Withheld(std::mem::take(&mut withheld)))
        })?;
        kept.keep(sorted)?;
        appender.put(&Frame::Withheld(withheld))?;
        appender.push(&Frame::Begun(tally))?;
        *standing = log.standing()?;
        Ok(())
    }

    /// Sends chunk after chunk; a fault ends it for now, and at which chunk it did comes with it.
    fn send_on(
        &self,
        log: &Log,
        kept: &Kept,
        line: &Line,
        mut standing: Standing,
        watch: &Watch<'_>,
    ) -> Result<Option<(Fault, u64)>> {
        let mut appender = log.append(&standing)?;
        let sends = if self.plan.is_incremental() { Sends::Differences } else { Sends::Everybody };
        let upto =
            standing.intent.as_ref().and_then(|intent| intent.steps.last().map(Step::key)).or(standing.upto);
        // What a chunk that was begun is about comes from what was written down of it.
        let mut diff = Diff::new(kept.read()?, line.entries()?)
            .skip_while(|step| step.as_ref().is_ok_and(|step| upto.is_some_and(|upto| step.key() <= upto)));
        loop {
            watch.done(standing.tally.dealt_with())?;
            let intent = standing.intent.take();
            let steps = match &intent {
                Some(intent) => intent.steps.clone(),
                None => self.gather(&mut diff, sends)?,
            };
            let Some(last) = steps.last().map(Step::key) else { return Ok(None) };
            standing.upto = Some(last);
            let chunk = Chunk { steps, intent, sends, place: None };
            let done = match self.send_chunk(&mut appender, chunk, &standing)? {
                Ok(done) => done,
                Err(fault) => return Ok(Some((fault, standing.chunks))),
            };
            standing.tally = done.tally.clone();
            standing.chunks += 1;
            appender.push(&Frame::Done(done))?;
        }
    }

    /// Sends one chunk, after writing down that it is; what came of it is left to be written down.
    pub(super) fn send_chunk(
        &self,
        appender: &mut Appender<'_>,
        chunk: Chunk,
        standing: &Standing,
    ) -> Result<std::result::Result<Done, Fault>> {
        let Chunk { steps, mut intent, sends, place } = chunk;
        let chunk = standing.chunks;
        let perhaps = intent.as_ref().map(|intent| intent.perhaps.as_slice()).unwrap_or_default();
        let outcomes = resolve(&self.tenant, &self.plan, sends, steps.clone(), perhaps)?;
        let outcomes = self.take_back(outcomes, intent.as_ref(), sends);
        let items: Vec<Item> = outcomes.iter().filter_map(sent).cloned().collect();
        let mut result = Sent::default();
        if !items.is_empty() {
            let content = self.content(&items);
            let changed = intent.as_ref().is_none_or(|intent| intent.content != content);
            if changed {
                let next = self.intend(chunk, steps, &items, content, intent);
                let next = Intent { place, ..next };
                appender.push(&Frame::Intent(next.clone()))?;
                intent = Some(next);
            }
            let revision = intent.as_ref().map_or(0, |intent| intent.revision);
            let id = match revision {
                0 => format!("{}-{chunk}", self.id),
                revision => format!("{}-{chunk}-r{revision}", self.id),
            };
            if let Err(fault) = self.send(&id, items, &mut result) {
                return Ok(Err(fault));
            }
        }
        let upto = standing.upto.unwrap_or_default();
        Ok(Ok(self.settle(chunk, upto, outcomes, result, intent.as_ref(), &standing.tally)))
    }

    /// The next steps: as many as make a chunk.
    fn gather(&self, diff: &mut impl Iterator<Item = Result<Step>>, sends: Sends) -> Result<Vec<Step>> {
        let (mut steps, mut rows) = (Vec::new(), 0);
        while rows < self.plan.batch && steps.len() < STEPS_MAX {
            let Some(step) = diff.next() else { break };
            let step = step?;
            let sent = match &step {
                Step::New(_) | Step::Changed(..) => true,
                Step::Same(..) => sends != Sends::Differences,
                Step::Gone(_) => sends == Sends::Differences,
                Step::Twin(_) => false,
            };
            rows += usize::from(sent);
            steps.push(step);
        }
        Ok(steps)
    }

    /// Who is withheld now and may have been sent by an earlier attempt is taken back.
    fn take_back(&self, outcomes: Vec<Outcome>, intent: Option<&Intent>, sends: Sends) -> Vec<Outcome> {
        let Some(intent) = intent else { return outcomes };
        let said: BTreeSet<_> = outcomes.iter().filter_map(sent).map(key_of).collect();
        let mut all = outcomes;
        for entry in intent.perhaps.iter().filter(|entry| !said.contains(&entry.key)) {
            match sends {
                Sends::Differences => {
                    let mut item = removal(&self.plan, entry.clone());
                    item.before = Some(entry.clone());
                    all.push(Outcome::Send(Box::new(item)));
                }
                Sends::Everybody | Sends::Replaces => all.push(Outcome::Keep(entry.clone())),
            }
        }
        all.sort_by_key(outcome_key);
        all.dedup_by(|a, b| match (&a, &b) {
            // The same entry may be kept twice: once by what stands there, once by what may.
            (Outcome::Keep(one), Outcome::Keep(other)) => one.key == other.key,
            _ => false,
        });
        all
    }

    fn intend(
        &self,
        chunk: u64,
        steps: Vec<Step>,
        items: &[Item],
        content: [u8; 16],
        before: Option<Intent>,
    ) -> Intent {
        let revision = before.as_ref().map_or(0, |before| before.revision + 1);
        let mut perhaps = before.map(|before| before.perhaps).unwrap_or_default();
        for entry in items.iter().filter_map(|item| item.after.as_ref()) {
            perhaps.retain(|known| known.key != entry.key);
            perhaps.push(entry.clone());
        }
        Intent { chunk, revision, content, steps, perhaps, place: None }
    }

    fn content(&self, items: &[Item]) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new();
        let mut text = String::new();
        for item in items {
            text.clear();
            self.write_row(item, &mut text);
            hasher.update(text.as_bytes());
            hasher.update(b"\n");
        }
        hasher.finalize().as_bytes()[..16].try_into().expect("a digest is longer")
    }

    /// A row as JSON; in incremental runs with what happened to it.
    fn write_row(&self, item: &Item, text: &mut String) {
        let change = self.plan.is_incremental().then_some(item.change);
        json_object(change, self.plan.fields.iter().map(|field| field.name.as_str()), &item.values, text);
    }

    /// Sends rows under an id; when the destination refuses them for what they are, halves of them, until those that it
    /// will not take stand alone.
    fn send(&self, id: &str, items: Vec<Item>, result: &mut Sent) -> Result<(), Fault> {
        let mut rows = Vec::with_capacity(items.len());
        for item in &items {
            let mut text = String::new();
            self.write_row(item, &mut text);
            rows.push(text);
        }
        let batch = Batch {
            run: self.id,
            at: self.created_at,
            segment: &self.plan.segment,
            plan: &self.plan,
            rows: &rows,
            items: &items,
        };
        match self.target.send(id, &batch) {
            Ok(refused) => {
                let mut refused: BTreeMap<usize, String> = refused.into_iter().collect();
                for (n, item) in items.into_iter().enumerate() {
                    match refused.remove(&n) {
                        None => result.items.push(item),
                        Some(why) => result.dead.push((item, why)),
                    }
                }
            }
            Err(fault) if !is_about_rows(&fault) => return Err(fault),
            Err(fault) if items.len() == 1 => {
                result.dead.extend(items.into_iter().map(|item| (item, fault.to_string())));
            }
            Err(_) => {
                let mut left = items;
                let right = left.split_off(left.len() / 2);
                self.send(&format!("{id}-a"), left, result)?;
                self.send(&format!("{id}-b"), right, result)?;
            }
        }
        Ok(())
    }

    /// What came of a chunk, with the counts after it.
    fn settle(
        &self,
        chunk: u64,
        upto: [u8; 16],
        outcomes: Vec<Outcome>,
        result: Sent,
        intent: Option<&Intent>,
        before: &Tally,
    ) -> Done {
        let mut tally = before.clone();
        let mut done = Done { chunk, upto, ..Done::default() };
        let salts = Salts::new(&self.tenant, self.id);
        let mut text = String::new();
        for item in result.items {
            text.clear();
            self.write_row(&item, &mut text);
            let consent = item.granted.as_ref();
            let consent = consent.map(|granted| consent_json(&self.plan.consent.purpose, granted));
            let salt = salts.of(tally.rows());
            done.told.push((item.change, item.profile.0, leaf(&salt, &text, &consent.unwrap_or_default())));
            tally.count(item.change);
            done.entries.extend(item.after);
        }
        for (item, why) in result.dead {
            if item.change != Change::Remove {
                tally.withhold(Reason::RefusedByDestination);
                done.withheld.push((item.profile.0, Reason::RefusedByDestination));
            }
            done.dead.push(DeadRow { change: item.change, profile: item.profile.0, why });
            done.entries.extend(item.before);
        }
        for outcome in outcomes {
            match outcome {
                Outcome::Send(_) => {}
                Outcome::Keep(entry) => done.entries.push(entry),
                Outcome::Unchanged(entry) => {
                    tally.unchanged += 1;
                    done.entries.push(entry);
                }
                Outcome::Withhold(profile, reason) => {
                    tally.withhold(reason);
                    done.withheld.push((profile.0, reason));
                }
            }
        }
        let revised = intent.filter(|intent| intent.revision > 0);
        done.perhaps =
            revised.iter().flat_map(|intent| intent.perhaps.iter().map(|entry| entry.profile)).collect();
        done.entries.sort_by_key(|entry| entry.key);
        done.entries.dedup_by_key(|entry| entry.key);
        done.tally = tally;
        done
    }

    /// Ends a run that sends rows: what it said becomes the line, and its lists and its end are written down.
    pub(crate) fn end(&self, state: State, why: Option<String>) -> Result<Ended> {
        use cdp_engine::privacy::Said;
        let line = Line::of(&self.tenant, &self.plan, &self.dir());
        let log = Log::of(&self.tenant, &self.dir(), self.id);
        let standing = log.standing()?;
        let mut tally = standing.tally.clone();
        let mut beside = super::beside::Beside::create(&self.dir(), self.id)?;
        let mut next = line.next(self.id)?;
        let (mut dead, mut letters) = (0_u64, Vec::new());
        // What changed while it followed stands in the place of what was there before, in the order of the keys; and so
        // does what an unfinished chunk may have left there. With which values, if at all, nobody knows of that: the next
        // run sends it again.
        let mut since = BTreeMap::new();
        for frame in log.frames()? {
            if let Frame::Followed { done, keys, .. } = frame? {
                take_since(&mut since, &keys, &done);
            }
        }
        for entry in standing.intent.into_iter().flat_map(|intent| intent.perhaps) {
            beside.told(FragmentId(entry.profile), Said::Perhaps)?;
            since.insert(entry.key, Some(Entry { hash: [0; 16], ..entry }));
        }
        let changed: BTreeSet<_> = since.keys().copied().collect();
        let mut since = since.into_values().flatten().peekable();
        for frame in log.frames()? {
            let done = match frame? {
                Frame::Done(done) => done,
                Frame::Followed { done, .. } => Done { entries: Vec::new(), ..done },
                Frame::Withheld(withheld) => Done { withheld, ..Done::default() },
                Frame::Begun(_) | Frame::Intent(_) | Frame::Follows { .. } => continue,
            };
            for entry in done.entries.into_iter().filter(|entry| !changed.contains(&entry.key)) {
                while let Some(earlier) = since.next_if(|other| other.key < entry.key) {
                    next.push(earlier)?;
                }
                next.push(entry)?;
            }
            for (change, profile, leaf) in done.told {
                beside.told(FragmentId(profile), super::document::said(change))?;
                beside.leaf(leaf, FragmentId(profile))?;
            }
            for profile in done.perhaps {
                beside.told(FragmentId(profile), Said::Perhaps)?;
            }
            for (profile, reason) in done.withheld {
                beside.withheld(FragmentId(profile), reason)?;
            }
            dead += done.dead.len() as u64;
            letters.extend(done.dead);
            letters.truncate(super::LETTERS_MAX);
        }
        // What the run did not come to stays as it was.
        let upto = standing.upto;
        for entry in line.entries()? {
            let entry = entry?;
            if upto.is_some_and(|upto| entry.key <= upto) || changed.contains(&entry.key) {
                continue;
            }
            while let Some(earlier) = since.next_if(|other| other.key < entry.key) {
                next.push(earlier)?;
            }
            next.push(entry)?;
        }
        since.try_for_each(|entry| next.push(entry))?;
        let entries = next.commit()?;
        tally.close(if state == State::Done { Reason::Merged } else { Reason::NotReached });
        let (root, leaves) = beside.commit()?;
        let mut info = self.ending(state, &tally);
        info["chunks"] = standing.chunks.into();
        info["dead_letters"] = dead.into();
        info["letters"] = letters.iter().map(letter).collect::<Vec<_>>().into();
        info["held_by_destination"] = entries.into();
        info["commitments"] = serde_json::json!({ "rows": leaves, "root": hex::encode(&root) });
        info["error"] = why.into();
        self.write_down(&info)?;
        line.replace(self.id)?;
        log.remove();
        Kept::at(self.dir().join(format!("{}.survey", self.id))).remove();
        Ok(Ended::Over(info))
    }
}

fn letter(dead: &DeadRow) -> serde_json::Value {
    serde_json::json!({
        "profile_id": FragmentId(dead.profile).to_string(),
        "change": dead.change.as_str(),
        "reason": dead.why,
    })
}

fn sent(outcome: &Outcome) -> Option<&Item> {
    if let Outcome::Send(item) = outcome { Some(item) } else { None }
}

fn key_of(item: &Item) -> [u8; 16] {
    item.after.as_ref().or(item.before.as_ref()).map_or([0; 16], |entry| entry.key)
}

/// Orders outcomes by the keys that they write; those that write none come first.
fn outcome_key(outcome: &Outcome) -> [u8; 16] {
    match outcome {
        Outcome::Send(item) => key_of(item),
        Outcome::Keep(entry) | Outcome::Unchanged(entry) => entry.key,
        Outcome::Withhold(..) => [0; 16],
    }
}
