//! What state there is of one tenant, and what of it is not on disk yet.
//!
//! The writer changes rows in memory under one lock, a micro-batch at a time, so that readers see a micro-batch whole
//! or not at all. What was changed is gathered in a generation; a generation is frozen and written to the store as
//! **one** atomic batch together with the position it stands at, while the next one grows. So the store is always the
//! state at one position, and a fragment that many events touch is written once a generation, not once an event.
//! Borrowed idea: memtables of log-structured stores (O'Neil et al., 1996); here the journal is the log.
//!
//! Look-ups go: current generation, frozen generation, cache of decoded clean rows, store. Only the writer puts rows
//! into the cache, so a slow reader cannot bring an old one back.

mod cache;
mod contact;
mod fragment;
mod known;
mod looked;
mod scan;
mod turns;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cdp_domain::ids::{FragmentId, Ordinal, Position, TenantNo};
use cdp_domain::time::Timestamp;
use cdp_store::chain;
use cdp_store::keys::{self, Key, TenantContext};
use cdp_store::kv::Order;
use cdp_store::state::State;
use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use roaring::RoaringBitmap;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub(crate) use cache::RowCache;
pub(crate) use contact::Contact;
pub(crate) use fragment::{Fragment, Head, NEVER};
use known::Known;
use looked::Looked;
use turns::Turns;
pub(crate) use turns::{Logged, Turn, read_row};

use crate::config::Config;
use crate::dead_letters::Kept;
use crate::derivations::Underway;
use crate::error::{Refused, Result};
use crate::privacy::Restricted;
use crate::retention::AgingRow;

/// Format version of every row of this release. State of another version is refused: the journal gives it anew.
pub(crate) const ROW_VERSION: u8 = 5;

/// Fragments that are weighed to tell what all of a generation weigh.
const SAMPLE: usize = 32;

/// Name of the meta row that holds the applied position.
const META_APPLIED: &str = "applied";
/// Name of the meta row that holds what plugins' folds have not seen yet.
const META_UNDERWAY: &str = "underway";

/// All rows of a tenant.
pub(crate) struct Rows {
    pub(crate) state: State,
    inner: RwLock<Generation>,
    /// Held while a generation is written, and while everything is taken anew.
    committing: Mutex<()>,
    tenant: TenantNo,
    cache: Arc<RowCache>,
    /// Fragments and identifiers that may be in the store.
    known: Known,
    looked: Looked,
    /// Milliseconds that the last generation took to be written.
    commit_ms: AtomicU64,
}

/// A table by digest. Digests are keyed, so nobody can choose collisions of a cheap hash.
type ByDigest<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// What changed since the last freeze, what is frozen, and what always stays in memory.
pub(crate) struct Generation {
    changed: Changed,
    frozen: Option<Arc<Frozen>>,
    /// Members of every segment number, resident: about 2 bytes a member or less.
    members: HashMap<u32, RoaringBitmap>,
    members_changed: HashSet<(u32, u16)>,
    /// Who entered and left since the last freeze.
    turns: Turns,
    pub(crate) config: Arc<Config>,
    config_changed: bool,
    pub(crate) summary: Summary,
    /// No timer stands before this one, if any fired since state was opened.
    pub(crate) timers_from: Option<Key>,
    /// What plugins' folds have not seen yet.
    pub(crate) underway: Underway,
    underway_stored: Underway,
    /// That is being brought forward at this moment.
    pub(crate) deriving: bool,
    /// Rows of the timeline's log that were put since the writer last asked.
    pub(crate) timeline_logged: Vec<(Position, u16)>,
    /// Consent decisions that are not in the chain yet.
    pub(crate) decided: Vec<chain::New>,
    /// Who is kept and not used.
    pub(crate) restricted: Arc<Restricted>,
    /// Events that left state by their age and that the journal still has.
    pub(crate) aging: Arc<HashSet<Position>>,
}

#[derive(Default)]
struct Changed {
    fragments: ByDigest<FragmentId, Arc<Fragment>>,
    contacts: ByDigest<[u8; 16], Arc<Contact>>,
    rows: BTreeMap<Key, Option<Vec<u8>>>,
    /// Bytes of these rows: states of plugins' folds are large.
    row_bytes: u64,
    /// Fragments and contact points that were removed and did not come again.
    gone: HashSet<FragmentId>,
    gone_contacts: HashSet<[u8; 16]>,
}

impl Changed {
    fn put_row(&mut self, key: Key, row: Option<Vec<u8>>) {
        let bytes = |row: &Option<Vec<u8>>| row.as_ref().map_or(0, Vec::len) as u64;
        self.row_bytes += bytes(&row);
        let before = self.rows.insert(key, row);
        self.row_bytes -= before.as_ref().map_or(0, bytes);
    }
}

/// A generation on its way to the store.
pub(crate) struct Frozen {
    changed: Changed,
    /// Goes into the chain before the rows go into the store.
    pub(crate) decided: Vec<chain::New>,
    summary: Summary,
}

/// The small facts that change with every micro-batch, stored in one row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// Everything before this place of the journal is applied.
    pub(crate) applied: Position,
    /// The position of the last record applied.
    pub(crate) last: Position,
    /// The time that state stands at: the last record's receipt or the last timer's instant.
    pub(crate) as_of: Timestamp,
    pub(crate) events: u64,
    pub(crate) dead_letters: u64,
    pub(crate) dropped: u64,
    pub(crate) suppressed: u64,
    /// Events that are gone by their age.
    pub(crate) expired: u64,
    pub(crate) fragments: u64,
    pub(crate) profiles: u64,
    pub(crate) next_ordinal: u32,
    /// Membership changes already written at `last`, so that their keys are unique.
    pub(crate) changes_at_last: u32,
    /// Alerts on identifiers and fragments that stopped linking.
    pub(crate) identity_alerts: u64,
    /// No timer is due before this.
    pub(crate) next_due: Option<Timestamp>,
    /// Events that were taken back.
    pub(crate) voids: u64,
    /// How often something of the past was changed behind a backfill: a void, or an event whose time came.
    pub(crate) retouched: u64,
}

impl Summary {
    /// Events that were taken from the journal, whatever became of them.
    pub(crate) fn processed(&self) -> u64 {
        self.events + self.dead_letters + self.dropped + self.suppressed + self.expired
    }

    /// The number of events that are kept out of state in this way.
    pub(crate) fn kept(&self, kept: Kept) -> u64 {
        match kept {
            Kept::DeadLetter => self.dead_letters,
            Kept::Dropped => self.dropped,
            Kept::Suppressed => self.suppressed,
        }
    }

    /// The same, to change.
    pub(crate) fn kept_mut(&mut self, kept: Kept) -> &mut u64 {
        match kept {
            Kept::DeadLetter => &mut self.dead_letters,
            Kept::Dropped => &mut self.dropped,
            Kept::Suppressed => &mut self.suppressed,
        }
    }
}

impl Rows {
    /// Opens the rows of a tenant.
    pub(crate) fn open(state: State, cache: Arc<RowCache>) -> Result<Self> {
        let tenant = state.context().tenant();
        Ok(Self {
            inner: RwLock::new(Generation::load(&state)?),
            state,
            committing: Mutex::new(()),
            tenant,
            cache,
            known: Known::new(),
            looked: Looked::default(),
            commit_ms: AtomicU64::new(0),
        })
    }

    /// Reads which fragments and identifiers the store holds, so that what it does not hold is not looked up in it.
    ///
    /// Blocks; about a second for a million fragments. Everything works meanwhile. Ends early when `stop` says so.
    pub(crate) fn learn_known(&self, stop: impl Fn() -> bool) -> Result<()> {
        self.known.fill(&self.state, stop)
    }

    /// Forgets everything in memory and reads anew, after the store was opened again; it may stand at an earlier position.
    /// `renew` has the state's handle go over to the new opening; nobody reads or writes meanwhile.
    pub(crate) fn reload(&self, renew: impl FnOnce() -> Result<()>) -> Result<()> {
        let _nothing_is_written = self.committing.lock();
        let mut inner = self.inner.write();
        renew()?;
        self.state.reload()?;
        *inner = Generation::load(&self.state)?;
        self.cache.forget(self.tenant);
        Ok(())
    }

    pub(crate) fn context(&self) -> &TenantContext {
        self.state.context()
    }

    /// The reader's view: one micro-batch's end, for as long as it is held. Hold it for microseconds.
    pub(crate) fn read(&self) -> View<'_> {
        View { rows: self, inner: self.inner.read() }
    }

    /// The writer's hand. One thread per tenant takes it.
    pub(crate) fn write(&self) -> Hand<'_> {
        Hand { rows: self, inner: self.inner.write() }
    }

    /// Freezes what changed, unless a frozen generation is still on its way.
    pub(crate) fn freeze(&self) -> Option<Arc<Frozen>> {
        let mut inner = self.inner.write();
        let inner = &mut *inner;
        if inner.frozen.is_some() {
            return None;
        }
        let context = *self.state.context();
        for (segment, chunk) in std::mem::take(&mut inner.members_changed) {
            let bytes = inner.members.get(&segment).map(|members| chunk_bytes(members, chunk));
            inner.changed.put_row(context.member(segment, chunk), bytes.filter(|bytes| !bytes.is_empty()));
        }
        if std::mem::take(&mut inner.config_changed) {
            let bytes = serde_json::to_vec(&*inner.config).expect("a configuration is JSON");
            inner.changed.put_row(context.config(), Some(bytes));
        }
        for (key, bytes) in inner.turns.take_rows(&context) {
            inner.changed.put_row(key, Some(bytes));
        }
        let underway = inner.underway.stored();
        if underway != inner.underway_stored {
            inner.changed.put_row(context.meta(META_UNDERWAY), Some(encode(&underway)));
            inner.underway_stored = underway;
        }
        let changed = std::mem::take(&mut inner.changed);
        let decided = std::mem::take(&mut inner.decided);
        let frozen = Arc::new(Frozen { changed, decided, summary: inner.summary.clone() });
        inner.frozen = Some(frozen.clone());
        Some(frozen)
    }

    /// How long the last generation took to be written.
    pub(crate) fn last_commit(&self) -> Duration {
        Duration::from_millis(self.commit_ms.load(Ordering::Relaxed))
    }

    /// Writes a frozen generation as one atomic batch; afterwards the store stands at its position.
    pub(crate) fn commit(&self, frozen: &Arc<Frozen>) -> cdp_store::Result<()> {
        let _reload_waits = self.committing.lock();
        let began = Instant::now();
        if !self.inner.read().frozen.as_ref().is_some_and(|current| Arc::ptr_eq(current, frozen)) {
            // State was taken anew meanwhile: what this generation says will be said again.
            return Ok(());
        }
        let context = self.state.context();
        let mut write = self.state.write();
        for (id, fragment) in &frozen.changed.fragments {
            write.put(context.fragment(*id), ROW_VERSION, encode(&**fragment));
        }
        for (digest, contact) in &frozen.changed.contacts {
            write.put(context.contact(*digest), ROW_VERSION, encode(&**contact));
        }
        for id in &frozen.changed.gone {
            write.delete(context.fragment(*id));
        }
        for digest in &frozen.changed.gone_contacts {
            write.delete(context.contact(*digest));
        }
        for (key, bytes) in &frozen.changed.rows {
            match bytes {
                Some(bytes) => write.put(*key, ROW_VERSION, bytes.clone()),
                None => write.delete(*key),
            }
        }
        write.put(context.meta(META_APPLIED), ROW_VERSION, encode(&frozen.summary));
        write.commit()?;
        for (id, fragment) in &frozen.changed.fragments {
            self.cache.put_fragment(self.tenant, *id, fragment.clone());
        }
        for (digest, contact) in &frozen.changed.contacts {
            self.cache.put_contact(self.tenant, *digest, contact.clone());
        }
        self.commit_ms.store(began.elapsed().as_millis() as u64, Ordering::Relaxed);
        self.inner.write().frozen = None;
        Ok(())
    }

    /// Rows asked for since the tenant was opened, and how often the store was.
    pub(crate) fn looked(&self) -> (u64, u64) {
        self.looked.counts()
    }

    fn cached_fragment(&self, inner: &Generation, id: FragmentId) -> Option<Arc<Fragment>> {
        self.looked.asked(1);
        let changed = inner.changed.fragments.get(&id);
        let known = changed.or_else(|| inner.frozen.as_ref()?.changed.fragments.get(&id));
        known.cloned().or_else(|| self.cache.fragment(self.tenant, id))
    }

    fn stored_fragment(&self, id: FragmentId) -> Result<Option<Arc<Fragment>>> {
        if !self.known.may_hold(&id.0) {
            return Ok(None);
        }
        self.looked.stored();
        let row = self.state.get(&self.state.context().fragment(id))?;
        row.map(|row| decode(row.bytes()).map(Arc::new)).transpose()
    }

    fn contact(&self, inner: &Generation, digest: [u8; 16]) -> Result<Option<Arc<Contact>>> {
        self.looked.asked(1);
        let changed = inner.changed.contacts.get(&digest);
        if changed.is_none() && inner.changed.gone_contacts.contains(&digest) {
            return Ok(None);
        }
        let known = changed.or_else(|| inner.frozen.as_ref()?.changed.contacts.get(&digest));
        if known.is_none() && inner.is_gone_contact(digest) {
            return Ok(None);
        }
        if let Some(known) = known.cloned().or_else(|| self.cache.contact(self.tenant, digest)) {
            return Ok(Some(known));
        }
        self.looked.stored();
        let row = self.state.get(&self.state.context().contact(digest))?;
        row.map(|row| decode(row.bytes()).map(Arc::new)).transpose()
    }

    fn row(&self, inner: &Generation, key: &Key) -> Result<Option<Vec<u8>>> {
        self.looked.asked(1);
        let changed = inner.changed.rows.get(key);
        if let Some(known) = changed.or_else(|| inner.frozen.as_ref()?.changed.rows.get(key)) {
            return Ok(known.clone());
        }
        self.looked.stored();
        Ok(self.state.get(key)?.map(|row| row.bytes().to_vec()))
    }
}

/// A reader's view of the rows.
pub(crate) struct View<'a> {
    rows: &'a Rows,
    pub(crate) inner: RwLockReadGuard<'a, Generation>,
}

/// The writer's hand on the rows.
pub(crate) struct Hand<'a> {
    rows: &'a Rows,
    pub(crate) inner: RwLockWriteGuard<'a, Generation>,
}

/// What both readers and the writer can ask.
pub(crate) trait Look {
    /// A fragment.
    fn fragment(&self, id: FragmentId) -> Result<Option<Arc<Fragment>>>;
    /// A contact point.
    fn contact(&self, digest: [u8; 16]) -> Result<Option<Arc<Contact>>>;
    /// Any other row.
    fn row(&self, key: &Key) -> Result<Option<Vec<u8>>>;
    /// The members of a segment number.
    fn members(&self, segment: u32) -> Option<&RoaringBitmap>;
    /// Keys of fixed width, to ask with.
    fn context(&self) -> &TenantContext;
    /// Who is kept and not used.
    fn restricted(&self) -> &Restricted;

    /// The fragments of the profile that `id` belongs to, its root first; empty when there is no such fragment.
    fn profile(&self, id: FragmentId) -> Result<Vec<(FragmentId, Arc<Fragment>)>> {
        let Some(fragment) = self.fragment(id)? else { return Ok(Vec::new()) };
        let root_id = fragment.profile;
        let root = if root_id == id { Some(fragment) } else { self.fragment(root_id)? };
        let root = root.ok_or_else(|| Refused::internal("a fragment's profile is missing"))?;
        let others = root.head.as_ref().map(|head| head.others.clone()).unwrap_or_default();
        let mut out = vec![(root_id, root)];
        for other in others {
            let fragment = self.fragment(other)?;
            out.push((other, fragment.ok_or_else(|| Refused::internal("a profile's fragment is missing"))?));
        }
        Ok(out)
    }

    /// The root fragment behind an ordinal.
    fn root(&self, ordinal: Ordinal) -> Result<Option<FragmentId>> {
        let row = self.row(&self.context().ordinal(ordinal))?;
        Ok(row.and_then(|bytes| bytes.try_into().ok()).map(FragmentId))
    }
}

impl Look for View<'_> {
    fn fragment(&self, id: FragmentId) -> Result<Option<Arc<Fragment>>> {
        if self.inner.is_gone(id) {
            return Ok(None);
        }
        match self.rows.cached_fragment(&self.inner, id) {
            Some(known) => Ok(Some(known)),
            None => self.rows.stored_fragment(id),
        }
    }

    fn contact(&self, digest: [u8; 16]) -> Result<Option<Arc<Contact>>> {
        self.rows.contact(&self.inner, digest)
    }

    fn row(&self, key: &Key) -> Result<Option<Vec<u8>>> {
        self.rows.row(&self.inner, key)
    }

    fn members(&self, segment: u32) -> Option<&RoaringBitmap> {
        self.inner.members.get(&segment)
    }

    fn context(&self) -> &TenantContext {
        self.rows.context()
    }

    fn restricted(&self) -> &Restricted {
        &self.inner.restricted
    }
}

impl Look for Hand<'_> {
    fn fragment(&self, id: FragmentId) -> Result<Option<Arc<Fragment>>> {
        if self.inner.is_gone(id) {
            return Ok(None);
        }
        if let Some(known) = self.rows.cached_fragment(&self.inner, id) {
            return Ok(Some(known));
        }
        let stored = self.rows.stored_fragment(id)?;
        if let Some(fragment) = &stored {
            self.rows.cache.put_fragment(self.rows.tenant, id, fragment.clone());
        }
        Ok(stored)
    }

    fn contact(&self, digest: [u8; 16]) -> Result<Option<Arc<Contact>>> {
        self.rows.contact(&self.inner, digest)
    }

    fn row(&self, key: &Key) -> Result<Option<Vec<u8>>> {
        self.rows.row(&self.inner, key)
    }

    fn members(&self, segment: u32) -> Option<&RoaringBitmap> {
        self.inner.members.get(&segment)
    }

    fn context(&self) -> &TenantContext {
        self.rows.context()
    }

    fn restricted(&self) -> &Restricted {
        &self.inner.restricted
    }
}

impl Hand<'_> {
    /// The fragment to change in place; None when there is no such.
    pub(crate) fn fragment_mut(&mut self, id: FragmentId) -> Result<Option<&mut Fragment>> {
        if self.inner.is_gone(id) {
            return Ok(None);
        }
        let inner = &mut *self.inner;
        let slot = match inner.changed.fragments.entry(id) {
            Entry::Occupied(slot) => return Ok(Some(Arc::make_mut(slot.into_mut()))),
            Entry::Vacant(slot) => slot,
        };
        self.rows.looked.asked(1);
        let frozen = inner.frozen.as_ref().and_then(|frozen| frozen.changed.fragments.get(&id)).cloned();
        // Out of the cache rather than copied: the only other holder would be the cache.
        let cached = || self.rows.cache.take_fragment(self.rows.tenant, id);
        let known = match frozen.or_else(cached) {
            Some(known) => Some(known),
            None => self.rows.stored_fragment(id)?,
        };
        Ok(known.map(|known| Arc::make_mut(slot.insert(known))))
    }

    /// Puts a fragment that did not exist, or replaces one.
    pub(crate) fn put_fragment(&mut self, id: FragmentId, fragment: Fragment) {
        self.rows.known.insert(&id.0);
        self.inner.changed.gone.remove(&id);
        self.inner.changed.fragments.insert(id, Arc::new(fragment));
    }

    /// Removes a fragment.
    pub(crate) fn remove_fragment(&mut self, id: FragmentId) {
        self.inner.changed.fragments.remove(&id);
        self.inner.changed.gone.insert(id);
        drop(self.rows.cache.take_fragment(self.rows.tenant, id));
    }

    /// Removes a contact point.
    pub(crate) fn remove_contact(&mut self, digest: [u8; 16]) {
        self.inner.changed.contacts.remove(&digest);
        self.inner.changed.gone_contacts.insert(digest);
        self.rows.cache.drop_contact(self.rows.tenant, digest);
    }

    /// One of the fragments that carry an identifier, if there is any.
    pub(crate) fn carrier(&self, identifier: [u8; 16]) -> Result<Option<FragmentId>> {
        if !self.rows.known.may_hold(&identifier) {
            return Ok(None);
        }
        let found = self.scan(&self.rows.context().identifier_range(identifier), Order::Forward, 1)?;
        Ok(found.first().and_then(|(key, _)| keys::identifier(key)).map(|(_, fragment)| fragment))
    }

    /// Notes that a fragment carries an identifier.
    pub(crate) fn put_carrier(&mut self, identifier: [u8; 16], fragment: FragmentId) {
        self.rows.known.insert(&identifier);
        let key = self.rows.context().identifier(identifier, fragment);
        self.put(key, Vec::new());
    }

    /// The contact point to change in place; made by `new` when there is no such.
    pub(crate) fn contact_mut(
        &mut self,
        digest: [u8; 16],
        new: impl FnOnce() -> Contact,
    ) -> Result<&mut Contact> {
        if !self.inner.changed.contacts.contains_key(&digest) {
            let known = self.rows.contact(&self.inner, digest)?;
            self.rows.cache.drop_contact(self.rows.tenant, digest);
            self.inner.changed.gone_contacts.remove(&digest);
            self.inner.changed.contacts.insert(digest, known.unwrap_or_else(|| Arc::new(new())));
        }
        let contact = self.inner.changed.contacts.get_mut(&digest).expect("it was just put there");
        Ok(Arc::make_mut(contact))
    }

    /// Puts any other row.
    pub(crate) fn put(&mut self, key: Key, bytes: Vec<u8>) {
        self.inner.changed.put_row(key, Some(bytes));
    }

    /// Removes any other row.
    pub(crate) fn delete(&mut self, key: Key) {
        self.inner.changed.put_row(key, None);
    }

    /// Notes that a profile entered or left a segment number. Places only grow.
    pub(crate) fn log_turn(&mut self, segment: u32, logged: Logged) {
        self.inner.turns.push(segment, logged);
    }

    /// Makes an ordinal a member of a segment number, or not; whether that changed anything.
    pub(crate) fn set_member(&mut self, segment: u32, ordinal: Ordinal, member: bool) -> bool {
        let inner = &mut *self.inner;
        let members = inner.members.entry(segment).or_default();
        let changed = if member { members.insert(ordinal.0) } else { members.remove(ordinal.0) };
        if changed {
            inner.members_changed.insert((segment, (ordinal.0 >> 16) as u16));
        }
        changed
    }

    /// Forgets the members of a segment number.
    pub(crate) fn drop_members(&mut self, segment: u32) {
        let context = *self.rows.context();
        let inner = &mut *self.inner;
        if let Some(members) = inner.members.remove(&segment) {
            let chunks: HashSet<u16> = members.iter().map(|ordinal| (ordinal >> 16) as u16).collect();
            for chunk in chunks {
                inner.changed.put_row(context.member(segment, chunk), None);
            }
            inner.members_changed.retain(|(changed, _)| *changed != segment);
        }
    }

    /// Changes the configuration.
    pub(crate) fn config_mut(&mut self) -> &mut Config {
        self.inner.config_changed = true;
        Arc::make_mut(&mut self.inner.config)
    }
}

impl Generation {
    /// What the store holds, nothing changed.
    fn load(state: &State) -> Result<Self> {
        let context = *state.context();
        let summary: Summary = match state.get(&context.meta(META_APPLIED))? {
            Some(row) if row.version() != ROW_VERSION => {
                return Err(Refused::internal(format!(
                    "state has the format {} and this release reads {ROW_VERSION}: `cdp store rebuild` makes it anew",
                    row.version()
                )));
            }
            Some(row) => decode(row.bytes())?,
            None => Summary::default(),
        };
        let config: Config = match state.get(&context.config())? {
            Some(row) => serde_json::from_slice(row.bytes()).map_err(Refused::internal)?,
            None => Config::default(),
        };
        let underway: Underway = match state.get(&context.meta(META_UNDERWAY))? {
            Some(row) => decode(row.bytes())?,
            None => Underway::default(),
        };
        let mut members = HashMap::new();
        for (_, _, version) in config.segment_versions() {
            members.insert(version.no, load_members(state, version.no)?);
        }
        Ok(Self {
            changed: Changed::default(),
            frozen: None,
            members,
            members_changed: HashSet::new(),
            turns: Turns::default(),
            config: Arc::new(config),
            config_changed: false,
            summary,
            timers_from: None,
            underway_stored: underway.clone(),
            underway,
            deriving: false,
            timeline_logged: Vec::new(),
            decided: Vec::new(),
            restricted: Arc::new(Restricted::load(state)?),
            aging: Arc::new(load_aging(state)?),
        })
    }

    /// Rows that wait for a freeze.
    pub(crate) fn changed(&self) -> usize {
        self.changed.fragments.len()
            + self.changed.contacts.len()
            + self.changed.rows.len()
            + self.turns.rows()
    }

    /// Whether a fragment was removed, and did not come again since.
    fn is_gone(&self, id: FragmentId) -> bool {
        self.changed.gone.contains(&id)
            || self.frozen.as_ref().is_some_and(|frozen| {
                frozen.changed.gone.contains(&id) && !self.changed.fragments.contains_key(&id)
            })
    }

    /// Whether a contact point was removed; asked when it is not among what changed.
    fn is_gone_contact(&self, digest: [u8; 16]) -> bool {
        self.changed.gone_contacts.contains(&digest)
            || self.frozen.as_ref().is_some_and(|frozen| frozen.changed.gone_contacts.contains(&digest))
    }

    /// Bytes of memory that they take, about: fragments are weighed by a sample.
    pub(crate) fn changed_bytes(&self) -> u64 {
        let Changed { fragments, contacts, rows, row_bytes, .. } = &self.changed;
        let sample: Vec<u64> = fragments.values().take(SAMPLE).map(|fragment| fragment.weight()).collect();
        let each = sample.iter().sum::<u64>() / (sample.len() as u64).max(1);
        let rows = 160 * rows.len() as u64 + row_bytes + self.turns.bytes();
        each * fragments.len() as u64 + 512 * contacts.len() as u64 + rows
    }

    /// Whether a frozen generation is on its way to the store.
    pub(crate) fn is_freezing(&self) -> bool {
        self.frozen.is_some()
    }
}

/// Encodes a row.
pub(crate) fn encode<T: Serialize>(row: &T) -> Vec<u8> {
    postcard::to_stdvec(row).expect("rows encode into memory")
}

/// Decodes a row.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    postcard::from_bytes(bytes).map_err(Refused::internal)
}

fn chunk_bytes(members: &RoaringBitmap, chunk: u16) -> Vec<u8> {
    let base = u32::from(chunk) << 16;
    let mut part: RoaringBitmap = members.range(base..=base | 0xffff).collect();
    if part.is_empty() {
        return Vec::new();
    }
    part.optimize();
    let mut bytes = Vec::with_capacity(part.serialized_size());
    part.serialize_into(&mut bytes).expect("writing into memory");
    bytes
}

fn load_aging(state: &State) -> Result<HashSet<Position>> {
    let mut all = HashSet::new();
    let mut range = state.context().table(keys::tag::AGING);
    loop {
        let page = state.scan(&range, Order::Forward, 256)?;
        let Some((last, _)) = page.last() else { return Ok(all) };
        range = range.after(last);
        for (_, row) in &page {
            let row: AgingRow = decode(row.bytes())?;
            all.extend(row.gone.into_iter().chain(row.stubs));
        }
    }
}

fn load_members(state: &State, segment: u32) -> Result<RoaringBitmap> {
    let mut all = RoaringBitmap::new();
    let mut range = state.context().member_range(segment);
    loop {
        let page = state.scan(&range, Order::Forward, 64)?;
        for (_, row) in &page {
            all |= RoaringBitmap::deserialize_from(row.bytes()).map_err(Refused::internal)?;
        }
        match page.last() {
            Some((key, _)) => range = range.after(key),
            None => return Ok(all),
        }
    }
}

#[cfg(test)]
mod tests {
    use cdp_store::kv::MemoryKv;

    use super::*;

    #[test]
    fn state_of_another_format_is_refused_with_what_to_do() {
        let kv = Arc::new(MemoryKv::new());
        let state = || State::open(kv.clone(), TenantContext::new(TenantNo(1))).unwrap();
        let cache = Arc::new(RowCache::new(1 << 20));
        let written = |version: u8| {
            let mut write = state().write();
            write.put(state().context().meta(META_APPLIED), version, encode(&Summary::default()));
            write.commit().unwrap();
            Rows::open(state(), cache.clone())
        };
        assert!(written(ROW_VERSION).is_ok());
        let refused = written(ROW_VERSION - 1).err().map(|error| format!("{error:?}"));
        assert!(refused.is_some_and(|sentence| sentence.contains("`cdp store rebuild`")));
    }
}
