//! A run that goes on when the audience stands at the destination: who enters the segment and who leaves it is sent as it
//! happens, until the run has followed for long enough; then it ends like any other, and the next one begins with a look at
//! everybody.
//!
//! What stands at the destination is found by key and by profile: for what the run dealt with before, a small index says
//! which frame of its log has the entry (32 bytes a row in memory); what changed since stands in memory whole, and is
//! bounded by [`FOLLOW_CHANGES_MAX`]. A key that several members share is left to the next run, which sees them all.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use cdp_domain::ids::{FragmentId, Ordinal};
use cdp_domain::time::Timestamp;
use cdp_engine::exports::Place;
use cdp_engine::{JobProgress, Result};
use cdp_jobs::Step as JobStep;

use super::log::{Done, Frame, Log, Standing};
use super::resolve::Sends;
use super::survey::Kept;
use super::{Ended, Run, State, Watch};
use crate::destination::{Fault, Target};
use crate::ledger::{Entry, Fresh, Step};
use crate::project;

/// How long a run follows, in milliseconds: so old is what is known of a destination at most before everybody is looked at
/// again.
pub const FOLLOW_MS_MAX: i64 = 600_000;
/// Keys that one run deals with while it follows; then it ends sooner.
pub const FOLLOW_CHANGES_MAX: usize = 10_000;
/// How often a run that follows looks whether somebody entered or left.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A run that follows, between two steps.
pub(crate) struct Following {
    until: Timestamp,
    from: Place,
    segment_version: u32,
    standing: Standing,
    known: Known,
}

/// What stands at the destination.
struct Known {
    /// Digests of keys, and the frames of the log that have their entries; sorted.
    by_key: Vec<(u64, u64)>,
    /// The same by profile.
    by_profile: Vec<(u64, u64)>,
    /// What came of keys since: an entry, or none.
    since: BTreeMap<[u8; 16], Option<Entry>>,
    /// Keys that several members had when everybody was looked at.
    shared: HashSet<[u8; 16]>,
}

/// Somebody who entered or left, as they are now.
struct Subject {
    /// Ids under which something of them may have been sent.
    ids: BTreeSet<[u8; 16]>,
    /// Their row, when they are to have one.
    fresh: Option<Fresh>,
}

impl Run {
    /// Takes another look, and sends what came of it.
    pub(super) fn follow(&mut self, mut following: Following, progress: &JobProgress) -> Result<JobStep> {
        let now = self.inner.engine.clock().now();
        let over = now >= following.until || following.known.since.len() >= FOLLOW_CHANGES_MAX;
        if !over {
            let limit = self.plan.batch;
            let moved = self.tenant.moved_since(&self.plan.segment, following.from, limit)?;
            if moved.version == following.segment_version {
                if moved.profiles.is_empty() && following.standing.intent.is_none() {
                    self.following = Some(following);
                    return Ok(JobStep::Again(LOOK_EVERY));
                }
                // It may have been set up anew since.
                self.target = Target::of(&self.inner, &self.tenant, self.plan.destination.as_deref())?;
                let watch = Watch { progress, run: self, total: std::cell::Cell::new(0) };
                watch.look()?;
                let before = following.standing.chunks;
                let fault = self.send_moved(&mut following, &moved.profiles, moved.next)?;
                let progressed = following.standing.chunks > before;
                return match fault {
                    Some(fault) => self.after_ended(Ended::Fault(fault, progressed)),
                    None => {
                        self.attempts = super::Attempts::default();
                        self.following = Some(following);
                        Ok(JobStep::Again(Duration::ZERO))
                    }
                };
            }
        }
        let ended = self.end(State::Done, None)?;
        self.after_ended(ended)
    }

    /// Begins to follow, or goes on where the log stands.
    pub(super) fn begin_following(&self) -> Result<Following> {
        let log = Log::of(&self.tenant, &self.dir(), self.id);
        let mut standing = log.standing()?;
        if standing.follows.is_none() {
            let until = Timestamp(self.inner.engine.clock().now().0.saturating_add(FOLLOW_MS_MAX));
            let from = standing.tally.place();
            log.append(&standing)?.push(&Frame::Follows { until: until.0, from })?;
            standing = log.standing()?;
        }
        let (until, from) = standing.follows.expect("it was just written down");
        let shared = shared(Kept::at(self.dir().join(format!("{}.survey", self.id))).read()?)?;
        let known = Known::read(&log, shared)?;
        let segment_version = standing.tally.segment_version;
        Ok(Following { until: Timestamp(until), from, segment_version, standing, known })
    }

    fn send_moved(
        &self,
        following: &mut Following,
        moved: &[FragmentId],
        next: Place,
    ) -> Result<Option<Fault>> {
        let log = Log::of(&self.tenant, &self.dir(), self.id);
        let intent = following.standing.intent.take();
        let (steps, next) = match &intent {
            // What was begun before is about the same, and ends where it ended.
            Some(intent) => (intent.steps.clone(), intent.place.unwrap_or(next)),
            None => (self.steps_of(&log, &following.known, moved)?, next),
        };
        if !steps.is_empty() {
            let keys: Vec<_> = steps.iter().map(Step::key).collect();
            let mut appender = log.append(&following.standing)?;
            let chunk = super::rows::Chunk { steps, intent, sends: Sends::Differences, place: Some(next) };
            let done = match self.send_chunk(&mut appender, chunk, &following.standing)? {
                Ok(done) => done,
                Err(fault) => return Ok(Some(fault)),
            };
            // A row that an earlier attempt may have left there has a key too.
            let keys: BTreeSet<_> =
                keys.into_iter().chain(done.entries.iter().map(|entry| entry.key)).collect();
            let keys: Vec<_> = keys.into_iter().collect();
            appender.push(&Frame::Followed { done: done.clone(), keys: keys.clone(), next })?;
            drop(appender);
            following.known.take(&keys, &done);
            following.standing = log.standing_after(&following.standing, &done, next)?;
        }
        following.from = next;
        Ok(None)
    }

    /// What is to be done about those who entered or left, by what they are now.
    fn steps_of(&self, log: &Log, known: &Known, moved: &[FragmentId]) -> Result<Vec<Step>> {
        let mut subjects: BTreeMap<Option<Ordinal>, Subject> = BTreeMap::new();
        for profile in moved {
            let ordinal = self.tenant.member(&self.plan.segment, *profile)?;
            let ids = [profile.0].into();
            match subjects.entry(ordinal) {
                // Those who are no members any more have nothing in common; their ids are enough.
                std::collections::btree_map::Entry::Occupied(mut one) => {
                    _ = one.get_mut().ids.insert(profile.0)
                }
                std::collections::btree_map::Entry::Vacant(new) => {
                    _ = new.insert(Subject { ids, fresh: None })
                }
            }
        }
        let ordinals: Vec<Ordinal> = subjects.keys().copied().flatten().collect();
        let rows = match ordinals.is_empty() {
            true => Vec::new(),
            false => self.tenant.audience_of(&ordinals, &self.plan.sources(), &self.plan.consent)?,
        };
        for row in rows {
            let Some(subject) = subjects.get_mut(&Some(row.ordinal)) else { continue };
            subject.ids.insert(row.profile_id.0);
            let Ok((values, _)) = row.values else { continue };
            let values = project::project(&self.plan, values);
            if project::identity(&self.plan, &values).is_some() {
                let (key, hash) = (project::key(&self.plan, &values), project::row_hash(&self.plan, &values));
                subject.fresh = Some(Fresh { key, profile: row.profile_id.0, ordinal: row.ordinal, hash });
            }
        }
        let mut entries: BTreeMap<[u8; 16], Entry> = BTreeMap::new();
        for id in subjects.values().flat_map(|subject| &subject.ids) {
            entries.extend(known.of_profile(log, *id)?.into_iter().map(|entry| (entry.key, entry)));
        }
        let mut steps: BTreeMap<[u8; 16], Step> = BTreeMap::new();
        for fresh in subjects.values().filter_map(|subject| subject.fresh) {
            if known.shared.contains(&fresh.key) || steps.contains_key(&fresh.key) {
                continue;
            }
            let step = match entries.get(&fresh.key).cloned() {
                Some(entry) if entry.hash == fresh.hash => Step::Same(fresh, entry),
                Some(entry) => Step::Changed(fresh, entry),
                // Somebody else's, whom nothing happened to: the next run tells whose it is.
                None if known.of_key(log, fresh.key)?.is_some() => continue,
                None => Step::New(fresh),
            };
            steps.insert(fresh.key, step);
        }
        for (key, entry) in entries {
            if !known.shared.contains(&key) {
                steps.entry(key).or_insert(Step::Gone(entry));
            }
        }
        Ok(steps.into_values().filter(|step| !matches!(step, Step::Same(..))).collect())
    }
}

/// Keys that more than one member has.
fn shared(survey: impl Iterator<Item = Result<Fresh>>) -> Result<HashSet<[u8; 16]>> {
    let (mut shared, mut last) = (HashSet::new(), None);
    for fresh in survey {
        let key = fresh?.key;
        if last == Some(key) {
            shared.insert(key);
        }
        last = Some(key);
    }
    Ok(shared)
}

/// The first bytes of a digest or of an id, which is one too.
fn short(bytes: [u8; 16]) -> u64 {
    u64::from_be_bytes(bytes[..8].try_into().expect("eight bytes"))
}

impl Known {
    fn read(log: &Log, shared: HashSet<[u8; 16]>) -> Result<Self> {
        let mut known = Self { by_key: Vec::new(), by_profile: Vec::new(), since: BTreeMap::new(), shared };
        let mut frames = log.frames()?;
        loop {
            let at = frames.end;
            let Some(frame) = frames.next() else { break };
            match frame? {
                Frame::Done(done) => {
                    for entry in &done.entries {
                        known.by_key.push((short(entry.key), at));
                        known.by_profile.push((short(entry.profile), at));
                    }
                }
                Frame::Followed { done, keys, .. } => known.take(&keys, &done),
                Frame::Withheld(_) | Frame::Begun(_) | Frame::Intent(_) | Frame::Follows { .. } => {}
            }
        }
        known.by_key.sort_unstable();
        known.by_profile.sort_unstable();
        Ok(known)
    }

    /// Takes in what came of keys.
    fn take(&mut self, keys: &[[u8; 16]], done: &Done) {
        take_since(&mut self.since, keys, done);
    }

    /// The entry of a key.
    fn of_key(&self, log: &Log, key: [u8; 16]) -> Result<Option<Entry>> {
        if let Some(since) = self.since.get(&key) {
            return Ok(since.clone());
        }
        let found = entries(log, &self.by_key, short(key), |entry| entry.key == key)?;
        Ok(found.into_iter().next())
    }

    /// The entries of a profile.
    fn of_profile(&self, log: &Log, profile: [u8; 16]) -> Result<Vec<Entry>> {
        let mut found = entries(log, &self.by_profile, short(profile), |entry| entry.profile == profile)?;
        found.retain(|entry| !self.since.contains_key(&entry.key));
        let since = self.since.values().flatten().filter(|entry| entry.profile == profile);
        found.extend(since.cloned());
        Ok(found)
    }
}

/// Takes in what came of keys while a run followed.
pub(super) fn take_since(since: &mut BTreeMap<[u8; 16], Option<Entry>>, keys: &[[u8; 16]], done: &Done) {
    let standing: HashMap<_, _> = done.entries.iter().map(|entry| (entry.key, entry)).collect();
    for key in keys {
        since.insert(*key, standing.get(key).map(|entry| (*entry).clone()));
    }
}

fn entries(
    log: &Log,
    index: &[(u64, u64)],
    short: u64,
    is_wanted: impl Fn(&Entry) -> bool,
) -> Result<Vec<Entry>> {
    let from = index.partition_point(|(known, _)| *known < short);
    let mut found = Vec::new();
    for (_, at) in index[from..].iter().take_while(|(known, _)| *known == short) {
        if let Some(Frame::Done(done)) = log.frame_at(*at)? {
            found.extend(done.entries.into_iter().filter(|entry| is_wanted(entry)));
        }
    }
    found.dedup_by(|a, b| a.key == b.key);
    Ok(found)
}
