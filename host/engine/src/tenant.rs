//! One tenant's door: a cheap handle on everything that is one brand's.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use cdp_domain::consent::signals::Mapping;
use cdp_domain::event::{Defaults, Event};
use cdp_domain::identifier::Identifier;
use cdp_domain::identity::{Origin, Resolver, Rules};
use cdp_domain::ids::{FragmentId, JobId, Position, TenantNo};
use cdp_domain::time::{Timestamp, Zone};
use cdp_domain::value::Value;
use cdp_jobs::Jobs;
use cdp_runtime::{Runtime, Transformer};
use cdp_store::chain::Chain;
use cdp_store::journal::{Appended, Header, Journal, RecordKind};
use cdp_store::keys::TenantContext;
use cdp_store::kv::{Backend, Session};
use cdp_store::runs::{self, RunSet};
use cdp_store::seal::{Digests, KeyRing, MasterKey, Signer, is_empty, open_in_place};
use cdp_store::state::State;
use compact_str::CompactString;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::acceptance::{self, Acceptance, Checked};
use crate::born::Brood;
use crate::catalogue::{Catalogue, Schemas};
use crate::clock::Clock;
use crate::config::{Change, Config};
use crate::consent::Guards;
use crate::dead_letters::Code;
use crate::error::{Refused, Result};
use crate::feed::{Feed, Item, Message, Names, Pending, Unreadable};
use crate::privacy::{self, Outside, Suppressed};
use crate::registry::TenantInfo;
use crate::retention::{Left, Stub, Sweeping};
use crate::rows::{RowCache, Rows};
use crate::writer::{self, Plan};

/// One brand's data and the use cases on it. Cheap to clone; made at authentication and passed down from there.
#[derive(Clone)]
pub struct Tenant {
    pub(crate) core: Arc<Core>,
}

/// What a tenant consists of.
pub(crate) struct Core {
    pub(crate) info: TenantInfo,
    pub(crate) dir: PathBuf,
    pub(crate) journal: Journal,
    pub(crate) rows: Rows,
    /// The opening of the state store that `rows` were read from.
    pub(crate) session: Arc<Session>,
    /// How often state was taken anew from a store that was opened again; work that began before counts for nothing after.
    pub(crate) renewals: AtomicU64,
    /// (source, id) → (position, body digest) of every event accepted.
    pub(crate) identities: RunSet,
    /// Fragment → (time, position) of every event applied.
    pub(crate) timeline: RunSet,
    pub(crate) keys: KeyRing,
    /// The chain of consent decisions; None in a shadow, which only compares.
    pub(crate) ledger: Option<Chain>,
    pub(crate) digests: TenantDigests,
    pub(crate) gate: Mutex<Gate>,
    pub(crate) feed: Feed,
    pub(crate) applied: watch::Sender<Position>,
    /// The last record that plugins' folds have seen.
    pub(crate) derived: watch::Sender<Position>,
    /// What decides who is one person, as applied. To be taken after the rows' lock.
    pub(crate) resolver: RwLock<Arc<Resolver>>,
    pub(crate) linked_fragments_max: Option<usize>,
    /// The rules that events are read by which are accepted now: held from reading to appending.
    pub(crate) accepting: RwLock<Arc<Rules>>,
    /// Rules that read identifiers otherwise than those before, each from a place of the journal on, as applied.
    pub(crate) readings: RwLock<Vec<(Position, Arc<Rules>)>>,
    /// Event types; locked after the rows where both are.
    pub(crate) catalogue: Mutex<Catalogue>,
    /// The schemas in force, compiled; those of the configuration as applied.
    pub(crate) schemas: RwLock<Arc<Schemas>>,
    /// In which calendar days are counted.
    pub(crate) zone: Zone,
    /// The plan of the configuration that was read last.
    plan: Mutex<Option<(Arc<Config>, Arc<Plan>)>>,
    /// Signs receipts.
    pub(crate) signer: Signer,
    /// Which purposes privacy signals are about, as applied.
    pub(crate) signals: RwLock<Arc<Mapping>>,
    /// What of events is stored only with consent; that of the journal's end.
    pub(crate) guards: RwLock<Arc<Guards>>,
    /// Of whom nothing is taken in: held from reading to appending.
    pub(crate) suppressed: RwLock<Suppressed>,
    /// Erasures as they are written down outside of the data directory; None in a shadow.
    pub(crate) outside: Option<Arc<Outside>>,
    /// Erasures that this journal does not know yet: it is an older copy of another's.
    pub(crate) returned: Mutex<Vec<privacy::Erasure>>,
    /// Held by exports while their files appear, and by erasures while they look through the files.
    pub(crate) handing: RwLock<()>,
    /// Up to which record erasures are in state's files as those were last written anew. Held while they are.
    pub(crate) rewriting: Mutex<Option<Position>>,
    /// Who did what; what waits to be written there; one writes at a time; somebody will.
    pub(crate) audit: Option<Chain>,
    pub(crate) acts: Mutex<Vec<cdp_store::chain::New>>,
    pub(crate) acts_writing: Mutex<()>,
    pub(crate) acts_due: AtomicBool,
    /// Pasts that were asked about.
    pub(crate) scenes: crate::replay::Scenes,
    /// Rankings are being measured.
    pub(crate) measuring: AtomicBool,
    /// Looking for events whose days are over.
    pub(crate) sweeping: Sweeping,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) jobs: Jobs,
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) plugin_limits: cdp_runtime::Limits,
    /// Components that were loaded, by digest.
    pub(crate) components: RwLock<HashMap<String, Arc<Transformer>>>,
    /// Lookup tables of plugins.
    pub(crate) tables: Arc<crate::tables::Shelf>,
    /// Those of them that derive.
    pub(crate) derivers: RwLock<HashMap<String, Arc<cdp_runtime::Deriver>>>,
    /// Those of them that plan what to send.
    pub(crate) connectors: RwLock<HashMap<String, crate::connectors::Kind>>,
    /// What calls of plugins cost and how they fail.
    pub(crate) plugin_health: crate::derivations::PluginHealth,
    /// Held while a change of configuration is checked, appended and applied.
    pub(crate) changing: tokio::sync::Mutex<()>,
    pub(crate) counters: Counters,
    /// Set while state cannot be brought forward, with the reason.
    pub(crate) stuck: Mutex<Option<String>>,
    pub(crate) replaying: AtomicBool,
    /// Set when the tenant is being closed: what fails then is not tried for ever.
    pub(crate) closing: AtomicBool,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What orders acceptance.
#[derive(Default)]
pub(crate) struct Gate {
    /// No record is received before this.
    pub(crate) received_at: Timestamp,
    /// Rollbacks of the journal that were dealt with.
    pub(crate) generation: u64,
    /// Index entries of appends that are not known to be durable; bounded by what the journal lets wait.
    pub(crate) unsettled: VecDeque<(Appended, Vec<IndexEntry>)>,
}

/// Key and value of an index beside the journal.
pub(crate) type IndexEntry = ([u8; 16], [u8; 16]);

/// Numbers since the process started.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) accepted: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    pub(crate) conflicts: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) suppressed: AtomicU64,
    pub(crate) signals_malformed: AtomicU64,
    pub(crate) guarded: AtomicU64,
}

/// The keyed digests of a tenant.
pub(crate) struct TenantDigests {
    pub(crate) identity: Digests,
    pub(crate) body: Digests,
    pub(crate) identifier: Digests,
    pub(crate) fragment: Digests,
    pub(crate) contact: Digests,
    /// Of values that are stored without their consent.
    pub(crate) guarded: Digests,
}

impl TenantDigests {
    fn new(master: &MasterKey, tenant: TenantNo) -> Self {
        let of = |purpose| Digests::new(master, tenant, purpose);
        Self {
            identity: of("cdp 2026 event identity"),
            body: of("cdp 2026 event body"),
            identifier: of("cdp 2026 identifier"),
            fragment: of("cdp 2026 fragment"),
            contact: of("cdp 2026 contact point"),
            guarded: of("cdp 2026 guarded value"),
        }
    }

    /// The reference of the data key that seals a constraint's records.
    pub(crate) fn constraint(&self, id: u32) -> [u8; 16] {
        self.fragment.wide_of(&[b"constraint", &id.to_be_bytes()])
    }

    /// The fragment of these identifiers, which must be sorted and without repeats, from an origin.
    pub(crate) fn fragment_of(&self, identifiers: &[Identifier], origin: Origin) -> FragmentId {
        let mut bytes = Vec::with_capacity(64);
        if origin != Origin::default() {
            // No length of a type begins like this.
            bytes.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, origin.byte()]);
        }
        for identifier in identifiers {
            bytes.extend_from_slice(&(identifier.kind.len() as u32).to_le_bytes());
            bytes.extend_from_slice(identifier.kind.as_bytes());
            bytes.extend_from_slice(&(identifier.value.len() as u32).to_le_bytes());
            bytes.extend_from_slice(identifier.value.as_bytes());
        }
        FragmentId(self.fragment.wide(&bytes))
    }
}

/// A page of a list.
#[derive(Debug, Clone)]
pub struct Page<T, C> {
    /// The items, in order.
    pub items: Vec<T>,
    /// Where the next page begins; None at the end.
    pub next: Option<C>,
}

/// Numbers for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Events taken in by this process.
    pub accepted: u64,
    /// Repeats recognised by this process.
    pub duplicates: u64,
    /// Refused by this process.
    pub rejected: u64,
    /// Events in state, ever.
    pub applied: u64,
    /// Events that a plugin or their content kept out of state, ever.
    pub dead_letters: u64,
    /// Events that a transformer dropped on purpose, ever.
    pub dropped: u64,
    /// Events whose person was erased before they were applied, ever.
    pub suppressed: u64,
    /// Events that are gone by their age, ever.
    pub expired: u64,
    /// Events accepted, ever, less all of the above: they wait for the writer.
    pub pending: u64,
    /// Events accepted, ever.
    pub accepted_ever: u64,
    /// Not taken in by this process because they name somebody who was erased; part of `rejected`.
    pub suppressed_attempts: u64,
    /// Privacy signals that this process could not read.
    pub signals_malformed: u64,
    /// Values that this process took out of events because a purpose's consent was missing.
    pub guarded: u64,
    /// Refused by this process because another event has their id; part of `rejected`.
    pub conflicts: u64,
    /// Bytes of journal that are not applied yet.
    pub lag_bytes: u64,
    /// Profiles there are.
    pub profiles: u64,
    /// Fragments there are.
    pub fragments: u64,
    /// Identifiers and crowds of fragments that stopped linking people.
    pub identity_alerts: u64,
    /// Rows of state asked for since this tenant was opened, wherever they were found: what its work costs.
    pub rows_read: u64,
    /// How often the store was asked for them, because no memory had the answer.
    pub store_reads: u64,
}

/// What is needed to open a tenant.
pub(crate) struct Parts<'a> {
    pub(crate) info: TenantInfo,
    pub(crate) data_dir: &'a Path,
    pub(crate) backend: Arc<Backend>,
    pub(crate) master: &'a MasterKey,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) jobs: Jobs,
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) cache: Arc<RowCache>,
    pub(crate) linked_fragments_max: Option<usize>,
    pub(crate) journal: cdp_store::journal::Options,
    /// Where erasures are written down outside of the data directory.
    pub(crate) outside: Option<Arc<Outside>>,
}

impl Tenant {
    /// Opens a tenant: recovers its journal and indexes, and starts its writer, which brings state forward.
    pub(crate) fn open(parts: Parts<'_>) -> Result<Self> {
        let no = parts.info.no;
        let dir = parts.data_dir.join("journal").join(format!("{:08x}", no.0));
        let journal = Journal::open(&dir, no, parts.journal.clone())?;
        let fresh = journal.end() == journal.begins() || journal.reader(Position(0)).next_header()?.is_none();
        let table = parts.data_dir.join("keys").join(format!("{:08x}.keys", no.0));
        let keys = KeyRing::open(&table, parts.master, no, fresh)?;
        let chain = Digests::new(parts.master, no, CONSENT_CHAIN);
        let ledger = Chain::open(&chain_dir(parts.data_dir, no, "consents"), no, chain)?;
        let chain = Digests::new(parts.master, no, AUDIT_CHAIN);
        let audit = Chain::open(&chain_dir(parts.data_dir, no, "audit"), no, chain)?;
        privacy::tidy(parts.data_dir, no)?;
        let plugins = parts.data_dir.to_path_buf();
        Self::start(parts, journal, plugins, keys, Some((ledger, audit)))
    }

    /// Opens a second state of a tenant over the same journal, to compare; nothing may be accepted through it.
    pub(crate) fn open_shadow(parts: Parts<'_>, of: &Core) -> Result<Self> {
        Self::start(parts, of.journal.clone(), of.dir.clone(), of.keys.clone(), None)
    }

    fn start(
        parts: Parts<'_>,
        journal: Journal,
        plugins_in: PathBuf,
        keys: KeyRing,
        chains: Option<(Chain, Chain)>,
    ) -> Result<Self> {
        let outside = parts.outside.clone().filter(|_| chains.is_some());
        let (ledger, audit) = chains.unzip();
        let no = parts.info.no;
        let of = |what: &str| parts.data_dir.join(what).join(format!("{:08x}", no.0));
        let identities = RunSet::open(&of("index/identities"), runs::Options::default())?;
        let timeline = RunSet::open(&of("index/timeline"), runs::Options::default())?;
        let received_at = recover_identities(&journal, &identities)?;
        let session = parts.backend.session()?;
        let rows = Rows::open(State::open(session.clone(), TenantContext::new(no))?, parts.cache)?;
        let (summary, catalogue, config, mut suppressed) = {
            let view = rows.read();
            let config = view.inner.config.clone();
            (view.inner.summary.clone(), Catalogue::load(&view)?, config, Suppressed::load(&view)?)
        };
        if summary.applied > journal.durable() {
            return Err(Refused::internal(
                "state is ahead of the journal: remove the state directory to rebuild it",
            ));
        }
        let identity = rows.read().inner.config.identity.clone();
        privacy::suppressed_ahead(&mut suppressed, &journal, &keys, no, summary.applied)?;
        let digests = TenantDigests::new(parts.master, no);
        let returned = match &outside {
            Some(outside) => privacy::reconcile(outside, &rows.read(), &journal, &keys, (no, &digests))?,
            None => Vec::new(),
        };
        for erasure in &returned {
            suppressed.add(erasure.identifiers.iter().chain(&erasure.contacts).copied());
        }
        let accepting = rules_ahead(&journal, &keys, no, summary.applied)?;
        let accepting = accepting.unwrap_or_else(|| identity.rules.clone());
        let readings =
            identity.readings.iter().map(|(from, rules)| (*from, Arc::new(rules.clone()))).collect();
        let zone = Zone::named(&parts.info.time_zone).unwrap_or(Zone::Utc);
        let tables = Arc::new(crate::tables::Shelf::new(&plugins_in, no, keys.clone()));
        let core = Arc::new(Core {
            info: parts.info,
            dir: plugins_in,
            journal,
            rows,
            session,
            renewals: AtomicU64::new(0),
            identities,
            timeline,
            keys,
            ledger,
            digests,
            gate: Mutex::new(Gate { received_at: received_at.max(summary.as_of), ..Gate::default() }),
            feed: Feed::default(),
            applied: watch::Sender::new(summary.applied),
            derived: watch::Sender::new(summary.last),
            resolver: RwLock::new(Arc::new(identity.resolver(parts.linked_fragments_max))),
            linked_fragments_max: parts.linked_fragments_max,
            accepting: RwLock::new(Arc::new(accepting)),
            readings: RwLock::new(readings),
            catalogue: Mutex::new(catalogue),
            schemas: RwLock::default(),
            zone,
            plan: Mutex::new(None),
            signer: crate::consent::signer(parts.master, no),
            signals: RwLock::new(Arc::new(config.signals.clone())),
            guards: RwLock::default(),
            suppressed: RwLock::new(suppressed),
            outside,
            returned: Mutex::new(returned),
            handing: RwLock::default(),
            rewriting: Mutex::default(),
            audit,
            acts: Mutex::default(),
            acts_writing: Mutex::default(),
            acts_due: AtomicBool::new(false),
            scenes: crate::replay::Scenes::default(),
            measuring: AtomicBool::new(false),
            sweeping: Sweeping::default(),
            clock: parts.clock,
            jobs: parts.jobs,
            runtime: parts.runtime,
            plugin_limits: cdp_runtime::Limits::default(),
            components: RwLock::default(),
            tables,
            derivers: RwLock::default(),
            connectors: RwLock::default(),
            plugin_health: crate::derivations::PluginHealth::default(),
            changing: tokio::sync::Mutex::new(()),
            counters: Counters::default(),
            stuck: Mutex::new(None),
            replaying: AtomicBool::new(true),
            closing: AtomicBool::new(false),
            threads: Mutex::default(),
        });
        let (schemas, guards) = core.rules_of_acceptance_ahead((*config).clone(), summary.applied)?;
        *core.schemas.write() = Arc::new(schemas);
        *core.guards.write() = Arc::new(guards);
        core.feed.begin_with_gap();
        let waked = Arc::downgrade(&core);
        parts.backend.watch(move || waked.upgrade().is_some_and(|core| core.feed.wake()));
        let threads = writer::spawn(&core).map_err(Refused::internal)?;
        *core.threads.lock() = threads;
        Ok(Self { core })
    }

    /// Who this tenant is.
    #[must_use]
    pub fn info(&self) -> &TenantInfo {
        &self.core.info
    }

    /// Its number: the prefix of its keys.
    #[must_use]
    pub fn no(&self) -> TenantNo {
        self.core.info.no
    }

    /// Everything before this place of the journal is in state.
    #[must_use]
    pub fn applied(&self) -> Position {
        *self.core.applied.borrow()
    }

    /// Waits until the record at `position` is in state; false when that takes longer than `patience`.
    pub async fn wait_applied(&self, position: Position, patience: Duration) -> bool {
        let mut applied = self.core.applied.subscribe();
        let mut derived = self.core.derived.subscribe();
        let reached = async {
            if applied.wait_for(|applied| *applied > position).await.is_err() {
                return false;
            }
            // Plugins' folds follow a little later, where there are any.
            let waits = {
                let view = self.core.rows.read();
                view.inner.underway.at.is_some() || view.inner.deriving
            };
            !waits || derived.wait_for(|derived| *derived >= position).await.is_ok()
        };
        tokio::time::timeout(patience, reached).await.unwrap_or(false)
    }

    /// Numbers for metrics.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let summary = self.core.rows.read().inner.summary.clone();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // Asked after the summary: what is applied meanwhile was accepted before.
        let accepted_ever = self.core.identities.len();
        let (rows_read, store_reads) = self.core.rows.looked();
        Stats {
            rows_read,
            store_reads,
            suppressed: summary.suppressed,
            expired: summary.expired,
            pending: accepted_ever.saturating_sub(summary.processed()),
            accepted_ever,
            signals_malformed: count(&self.core.counters.signals_malformed),
            guarded: count(&self.core.counters.guarded),
            suppressed_attempts: count(&self.core.counters.suppressed),
            conflicts: count(&self.core.counters.conflicts),
            accepted: count(&self.core.counters.accepted),
            duplicates: count(&self.core.counters.duplicates),
            rejected: count(&self.core.counters.rejected),
            applied: summary.events,
            dead_letters: summary.dead_letters,
            dropped: summary.dropped,
            lag_bytes: self.core.journal.durable().0.saturating_sub(summary.applied.0),
            profiles: summary.profiles,
            fragments: summary.fragments,
            identity_alerts: summary.identity_alerts,
        }
    }

    /// Why this tenant cannot take or apply writes now, if it cannot.
    #[must_use]
    pub fn unready(&self) -> Option<String> {
        if !self.core.journal.writable() {
            return Some("the journal cannot be written: the disk is full or failing".to_owned());
        }
        if let Some(reason) = &*self.core.stuck.lock() {
            return Some(reason.clone());
        }
        let replaying = self.core.replaying.load(Ordering::Acquire);
        replaying.then(|| "state is being brought forward from the journal".to_owned())
    }

    /// The configuration as applied.
    pub(crate) fn config(&self) -> Arc<Config> {
        self.core.rows.read().inner.config.clone()
    }

    /// Writes what is applied to the store and returns when it is there.
    pub(crate) fn commit(&self) {
        self.core.ask(|done| Message::Commit { done });
    }

    /// From now on what fails is not tried for ever.
    pub(crate) fn begin_to_close(&self) {
        self.core.closing.store(true, Ordering::Release);
    }

    /// Stops the writer when it has applied what is queued, and writes state.
    pub(crate) fn close(&self) {
        self.close_shadow();
        self.end_acts();
        self.core.journal.close();
    }

    /// The same, leaving the journal open.
    pub(crate) fn close_shadow(&self) {
        self.begin_to_close();
        self.core.feed.close();
        for thread in std::mem::take(&mut *self.core.threads.lock()) {
            if thread.join().is_err() {
                tracing::error!(tenant = self.no().0, "a tenant's thread panicked");
            }
        }
    }
}

impl Core {
    /// Sends the writer a message and waits until it was handled; false when the tenant is closing.
    pub(crate) fn ask(&self, message: impl FnOnce(std::sync::mpsc::SyncSender<()>) -> Message) -> bool {
        let (done, wait) = std::sync::mpsc::sync_channel(1);
        self.feed.send(message(done)) && wait.recv().is_ok()
    }

    /// Lets rules and constraints as applied decide from here on. To be called under the rows' lock, or before anybody
    /// reads.
    pub(crate) fn decide_by(&self, identity: &crate::config::Identity) -> Arc<Resolver> {
        let resolver = Arc::new(identity.resolver(self.linked_fragments_max));
        let readings = identity.readings.iter().map(|(from, rules)| (*from, Arc::new(rules.clone())));
        *self.readings.write() = readings.collect();
        *self.resolver.write() = resolver.clone();
        resolver
    }

    /// The rules that an event at a position is read by, as far as rules were applied.
    pub(crate) fn rules_at(&self, position: Position) -> Arc<Rules> {
        let readings = self.readings.read();
        let rules = readings.iter().rev().find(|(from, _)| *from < position).map(|(_, rules)| rules.clone());
        rules.unwrap_or_default()
    }

    /// Where an event comes from: a record tells it by the fragment that it names.
    fn origin_of(&self, event: &Event, fragment: FragmentId) -> Origin {
        let server = Origin::of(&event.kind, &event.identifiers, false);
        let client = self.digests.fragment_of(&event.identifiers, server) != fragment;
        Origin { client, ..server }
    }

    /// A configuration, compiled; kept until another one is asked for.
    pub(crate) fn plan(&self, config: &Arc<Config>) -> Arc<Plan> {
        let mut kept = self.plan.lock();
        if let Some((of, plan)) = &*kept
            && Arc::ptr_eq(of, config)
        {
            return plan.clone();
        }
        let plan = Arc::new(Plan::new(config, &[], &self.zone));
        *kept = Some((config.clone(), plan.clone()));
        plan
    }

    /// Reads a journal record back into what the writer takes.
    pub(crate) fn item(&self, position: Position, header: &Header, payload: Vec<u8>) -> Result<Item> {
        let received_at = header.received_at;
        let mut payload = payload;
        let unreadable = |code, reason: String, names| {
            Item::Unreadable(Box::new(Unreadable { position, received_at, code, reason, names }))
        };
        if is_empty(header, &payload) {
            return Ok(Item::Removed { position, received_at });
        }
        match open_in_place(&self.keys, self.info.no, header, &mut payload) {
            Err(cdp_store::Error::KeyDestroyed) if header.kind == RecordKind::Event => {
                let reason = privacy::ERASED_REASON.to_owned();
                return Ok(unreadable(Code::Erased, reason, Names::default()));
            }
            Err(cdp_store::Error::KeyDestroyed) => {
                let change = Box::new(Change::Redacted);
                return Ok(Item::Change { position, received_at, change });
            }
            opened => opened?,
        }
        match header.kind {
            RecordKind::Event if header.redacted => {
                let Left { event, origin, brood } = Stub::read(&payload)?;
                let fragment = FragmentId(header.key_ref);
                let (acceptance, nth) = (None, 0);
                Ok(Item::Event(Box::new(Pending {
                    position,
                    received_at,
                    fragment,
                    origin,
                    event,
                    acceptance,
                    brood,
                    nth,
                })))
            }
            RecordKind::Event => {
                let (value, acceptance) = acceptance::read(&payload)?;
                let pinned = acceptance.as_ref().and_then(|acceptance| acceptance.pinned.as_ref());
                let rules = self.rules_at(position);
                let defaults = Defaults { source: "", time: received_at, rules: &rules };
                Ok(match Event::from_stored(value, defaults, pinned) {
                    Ok(event) => {
                        let fragment = FragmentId(header.key_ref);
                        let origin = self.origin_of(&event, fragment);
                        Item::Event(Box::new(Pending {
                            position,
                            received_at,
                            fragment,
                            origin,
                            event,
                            acceptance,
                            brood: Brood::default(),
                            nth: 0,
                        }))
                    }
                    Err(problems) => {
                        let reason = problems.first().map_or_else(String::new, ToString::to_string);
                        let value: Value = crate::rows::decode(&payload)?;
                        let text = |name| value.as_object().and_then(|event| event.get(name)?.as_text());
                        let name = |name| CompactString::from(text(name).unwrap_or_default());
                        unreadable(Code::Unreadable, reason, (name("id"), name("source"), name("type")))
                    }
                })
            }
            RecordKind::Config => {
                let change: Change = serde_json::from_slice(&payload).map_err(Refused::internal)?;
                Ok(Item::Change { position, received_at, change: Box::new(change) })
            }
        }
    }
}

impl Core {
    /// The schemas and guards that the journal's end has in force: events are accepted before state is brought forward to
    /// there.
    fn rules_of_acceptance_ahead(&self, mut config: Config, applied: Position) -> Result<(Schemas, Guards)> {
        let mut at = Position(0);
        let mut reader = self.journal.reader(applied);
        while let Some(record) = reader.next_ref()? {
            if record.header.kind != RecordKind::Config {
                continue;
            }
            let (position, header, payload) = (record.position, record.header, record.payload.to_vec());
            let Item::Change { change, .. } = self.item(position, &header, payload)? else { continue };
            match *change {
                Change::SchemaPut { .. } | Change::SchemaDeleted { .. } => {
                    config.apply(*change, position);
                    at = position;
                }
                Change::PurposePut { .. } => config.apply(*change, position),
                _ => {}
            }
        }
        Ok((Schemas::new(&config, at), Guards::of(&config)))
    }

    /// The event at a position once more, for a replay: what the schema says now takes the place of what it said then.
    pub(crate) fn item_again(&self, event: Position, checked: Option<&Checked>) -> Result<Item> {
        let record = match self.journal.read_at(event) {
            Ok(record) => record,
            Err(cdp_store::Error::NotARecord { .. }) => {
                return Ok(Item::Unreadable(Box::new(Unreadable {
                    position: event,
                    received_at: Timestamp(0),
                    code: Code::Unreadable,
                    reason: "its part of the journal was removed".to_owned(),
                    names: Names::default(),
                })));
            }
            Err(error) => return Err(error.into()),
        };
        let mut item = self.item(event, &record.header, record.payload)?;
        if let Item::Event(pending) = &mut item {
            for pointer in checked.into_iter().flat_map(|checked| &checked.omitted) {
                pending.event.assign(pointer, None).map_err(Refused::internal)?;
            }
            let again = |checked: &Checked| {
                Box::new(Acceptance { checked: Some(checked.clone()), ..Acceptance::default() })
            };
            pending.acceptance = checked.map(again);
        }
        Ok(item)
    }
}

/// What the codes of a tenant's chain of consents are for.
pub(crate) const CONSENT_CHAIN: &str = "cdp 2026 chain of consents";

/// What the codes of a tenant's audit chain are for.
pub(crate) const AUDIT_CHAIN: &str = "cdp 2026 chain of audit";

/// Where a chain of a tenant lies.
pub(crate) fn chain_dir(data_dir: &Path, tenant: TenantNo, chain: &str) -> PathBuf {
    data_dir.join("ledger").join(format!("{:08x}", tenant.0)).join(chain)
}

/// A fresh id for a job.
pub(crate) fn new_job() -> Result<JobId> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(Refused::internal)?;
    Ok(JobId(bytes))
}

/// The newest rules among the records that are not applied yet: events are read by them already.
fn rules_ahead(journal: &Journal, keys: &KeyRing, no: TenantNo, applied: Position) -> Result<Option<Rules>> {
    let mut newest = None;
    let mut reader = journal.reader(applied);
    while let Some((position, header, _)) = reader.next_header()? {
        if header.kind != RecordKind::Config {
            continue;
        }
        let mut record = journal.read_at(position)?;
        match open_in_place(keys, no, &record.header, &mut record.payload) {
            Err(cdp_store::Error::KeyDestroyed) => continue,
            opened => opened?,
        }
        let change: Change = serde_json::from_slice(&record.payload).map_err(Refused::internal)?;
        if let Change::RulesPut { rules } = change {
            newest = Some(rules);
        }
    }
    Ok(newest)
}

/// Puts the identities of records that no run covers back into memory; the newest time of receipt comes back.
fn recover_identities(journal: &Journal, identities: &RunSet) -> Result<Timestamp> {
    let mut newest = Timestamp(0);
    let mut reader = journal.reader(identities.covered());
    while let Some((position, header, _)) = reader.next_header()? {
        newest = newest.max(header.received_at);
        if header.kind == RecordKind::Event {
            identities.insert(header.id, crate::accept::identity_value(position, header.body));
        }
        if identities.recent_len() >= 1 << 18 {
            let durable = journal.durable();
            let frontier = runs::Frontier { inserted: reader.position(), durable };
            while identities.rotate_if_full(frontier) == runs::Rotation::Declined {
                identities.wait_idle();
            }
        }
    }
    Ok(newest)
}
