//! The installation: opens everything, owns everything, closes everything.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cdp_domain::ids::{KeyId, Position, TenantId, TenantNo};
use cdp_jobs::Jobs;
use cdp_runtime::Runtime;
use cdp_store::journal::{Draft, Header, Journal, RecordKind};
use cdp_store::kv::{Backend, MemoryKv, Opened, Opener, SledOpener, SledOptions};
use cdp_store::lock::DataLock;
use cdp_store::seal::{Digests, KeyRing, MasterKey, open_in_place, seal_in_place};
use parking_lot::RwLock;

use crate::answers::Answers;
use crate::clock::{Clock, SystemClock};
use crate::error::{Refused, Result};
use crate::privacy::Outside;
use crate::registry::{
    self, Change, KEYS_MAX, KeyInfo, NewKey, NewTenant, Principal, Registry, Scope, TENANTS_MAX, TenantInfo,
};
use crate::rows::RowCache;
use crate::tenant::{Parts, Tenant};
use crate::users::Doors;

/// The installation's own tenant number: its journal holds tenants and keys.
const SYSTEM: TenantNo = TenantNo(0);

/// Where state is kept.
#[derive(Debug, Clone)]
pub enum Storage {
    /// In the data directory, by sled.
    Sled {
        /// Bytes that sled may keep in memory.
        cache_bytes: u64,
    },
    /// In memory: made anew from the journal at every start.
    Memory,
    /// In what the caller opens: for tests with a store that fails on demand.
    By(Arc<dyn Opener>),
}

/// Bytes that the caches of state take together, unless told otherwise.
const CACHE_BYTES: u64 = 256 << 20;

/// How to open an installation.
pub struct Options {
    /// Journal, state, indexes, plugins and export files.
    pub data_dir: PathBuf,
    /// Where state is kept.
    pub storage: Storage,
    /// Seals payloads and keys digests; without it the data cannot be read.
    pub master_key: MasterKey,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Bytes of decoded rows that all tenants together may keep in memory.
    pub row_cache_bytes: u64,
    /// Fragments that may be linked together; the usual bound when None. For tests, which need small worlds.
    pub linked_fragments_max: Option<usize>,
    /// How journals are kept.
    pub journal: cdp_store::journal::Options,
    /// Who compiles plugins; None compiles them in this process, without bounds on time and memory.
    pub plugin_compiler: Option<cdp_runtime::Compiler>,
    /// The secret of a new installation, from which digests and so the ids of profiles follow; drawn when None. For tests,
    /// which compare installations.
    pub secret: Option<[u8; 32]>,
    /// Where erasures are written down outside of the data directory, so that an older copy of it brings nobody back.
    pub erasures_file: Option<PathBuf>,
}

/// After this long without an event for it, a plugin takes no memory any more.
const PLUGIN_IDLE: Duration = Duration::from_secs(60);

impl Options {
    /// The usual settings.
    #[must_use]
    pub fn new(data_dir: PathBuf, master_key: MasterKey) -> Self {
        Self {
            data_dir,
            master_key,
            storage: Storage::Sled { cache_bytes: 0 },
            clock: Arc::new(SystemClock),
            row_cache_bytes: 0,
            linked_fragments_max: None,
            journal: cdp_store::journal::Options::default(),
            plugin_compiler: None,
            secret: None,
            erasures_file: None,
        }
        .caching(CACHE_BYTES)
    }

    /// Shares memory out to the caches: half to decoded rows, half to the store's pages.
    #[must_use]
    pub fn caching(mut self, bytes: u64) -> Self {
        self.row_cache_bytes = bytes / 2;
        if let Storage::Sled { cache_bytes } = &mut self.storage {
            *cache_bytes = bytes / 2;
        }
        self
    }
}

/// The installation. Cheap to clone; [`Engine::close`] ends it.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    data_dir: PathBuf,
    journal: Journal,
    keys: KeyRing,
    key_digests: Digests,
    master: MasterKey,
    backend: Arc<Backend>,
    clock: Arc<dyn Clock>,
    jobs: Jobs,
    answers: Answers,
    runtime: Arc<Runtime>,
    row_cache: Arc<RowCache>,
    outside: Option<Arc<Outside>>,
    linked_fragments_max: Option<usize>,
    journal_options: cdp_store::journal::Options,
    registry: RwLock<Registry>,
    /// What is known of console users and not written down.
    doors: Doors,
    tenants: RwLock<HashMap<TenantNo, Tenant>>,
    changing: tokio::sync::Mutex<()>,
    _lock: DataLock,
}

/// Whether writes can be taken now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Whether they can.
    pub ready: bool,
    /// Why not.
    pub reasons: Vec<String>,
}

impl Engine {
    /// Opens an installation, making it when the directory is empty. Recovers journals, and begins to bring state
    /// forward; state that is missing or cannot be opened is rebuilt while reads already work.
    ///
    /// Blocks for the time that recovery takes.
    ///
    /// # Errors
    /// [`cdp_store::Error::Locked`] inside [`Refused::Internal`] when another process uses the directory; damage; the operating system.
    pub fn open(options: Options) -> Result<Self> {
        let dir = options.data_dir;
        cdp_store::files::create_dir(&dir)?;
        let lock = DataLock::take(&dir).map_err(Refused::internal)?;
        let backend = match options.storage {
            Storage::Memory => Backend::fixed(Arc::new(MemoryKv::new())),
            Storage::By(opener) => Backend::open(opener)?.0,
            Storage::Sled { cache_bytes } => {
                let sled = SledOptions { cache_bytes, ..SledOptions::default() };
                let (backend, opened) = Backend::open(SledOpener { dir: dir.join("state"), options: sled })?;
                if let Opened::SetAside(_) = &opened {
                    tracing::warn!(
                        "state could not be opened and was set aside; it is being rebuilt from the journal"
                    );
                }
                backend
            }
        };
        let system = dir.join("journal").join(format!("{:08x}", SYSTEM.0));
        let fresh = !system.exists();
        if let Some(secret) = options.secret.filter(|_| fresh) {
            options.master_key.lay_down(&dir.join("keys").join("installation"), secret)?;
        }
        let master = options.master_key.unlock(&dir.join("keys").join("installation"), fresh)?;
        let runtime = Runtime::new(cdp_runtime::Options {
            cache_dir: Some(dir.join("plugins/compiled")),
            cache_key: cache_key(&master),
            compiler: options.plugin_compiler,
            idle: Some(PLUGIN_IDLE),
            ..cdp_runtime::Options::default()
        })
        .map_err(Refused::internal)?;
        let journal = Journal::open(&system, SYSTEM, options.journal.clone())?;
        let keys = KeyRing::derived(&master, SYSTEM);
        let registry = replay(&journal, &keys)?;
        let outside = options.erasures_file.as_deref().map(|file| Outside::open(file, &master));
        let outside = outside.transpose()?.map(Arc::new);
        let answers = Answers::open(&dir, &master, options.clock.clone())?;
        let engine = Self {
            inner: Arc::new(Inner {
                key_digests: Digests::new(&master, SYSTEM, "cdp 2026 api keys"),
                doors: Doors::new(Digests::new(&master, SYSTEM, "cdp 2026 console"), options.clock.now()),
                data_dir: dir,
                journal,
                keys,
                master,
                backend,
                clock: options.clock,
                jobs: Jobs::new(),
                answers,
                runtime: Arc::new(runtime),
                row_cache: Arc::new(RowCache::new(options.row_cache_bytes)),
                outside,
                linked_fragments_max: options.linked_fragments_max,
                journal_options: options.journal,
                registry: RwLock::new(registry),
                tenants: RwLock::default(),
                changing: tokio::sync::Mutex::new(()),
                _lock: lock,
            }),
        };
        let tenants: Vec<TenantInfo> = engine.inner.registry.read().tenants.values().cloned().collect();
        for info in tenants {
            engine.open_tenant(info)?;
        }
        Ok(engine)
    }

    fn open_tenant(&self, info: TenantInfo) -> Result<Tenant> {
        let inner = &*self.inner;
        let no = info.no;
        let tenant = Tenant::open(Parts {
            info,
            data_dir: &inner.data_dir,
            backend: inner.backend.clone(),
            master: &inner.master,
            clock: inner.clock.clone(),
            jobs: inner.jobs.clone(),
            runtime: inner.runtime.clone(),
            cache: inner.row_cache.clone(),
            linked_fragments_max: inner.linked_fragments_max,
            journal: inner.journal_options.clone(),
            outside: inner.outside.clone(),
        })?;
        inner.tenants.write().insert(no, tenant.clone());
        Ok(tenant)
    }

    /// Ends everything: jobs stop, writers apply what is queued, state is written. Blocks until then.
    pub fn close(&self) {
        let tenants: Vec<Tenant> = self.inner.tenants.read().values().cloned().collect();
        tenants.iter().for_each(Tenant::begin_to_close);
        self.inner.jobs.close();
        tenants.iter().for_each(Tenant::close);
        self.inner.journal.close();
        self.inner.answers.close();
        if let Err(error) = self.inner.backend.flush() {
            tracing::warn!(error = %error, "state could not be flushed; the next start replays more of the journal");
        }
    }

    /// Whether writes can be taken now.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let mut reasons = Vec::new();
        if !self.inner.journal.writable() {
            reasons.push("the installation's journal cannot be written".to_owned());
        }
        for tenant in self.inner.tenants.read().values() {
            reasons.extend(tenant.unready().map(|reason| format!("tenant {}: {reason}", tenant.no().0)));
        }
        Readiness { ready: reasons.is_empty(), reasons }
    }

    /// Where the data lies.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.inner.data_dir
    }

    /// What time it is.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.inner.clock
    }

    /// Background work.
    #[must_use]
    pub fn jobs(&self) -> &Jobs {
        &self.inner.jobs
    }

    /// Answers to requests that may come again.
    #[must_use]
    pub fn answers(&self) -> &Answers {
        &self.inner.answers
    }

    /// What the plugin runtime allows.
    #[must_use]
    pub fn plugin_limits(&self) -> cdp_runtime::Limits {
        cdp_runtime::Limits::default()
    }

    pub(crate) fn master(&self) -> &MasterKey {
        &self.inner.master
    }

    /// Everybody, by slug.
    #[must_use]
    pub fn tenants(&self) -> Vec<TenantInfo> {
        let mut all: Vec<_> = self.inner.registry.read().tenants.values().cloned().collect();
        all.sort_by(|a, b| a.slug.cmp(&b.slug));
        all
    }

    /// The handles of all tenants: for metrics and maintenance.
    #[must_use]
    pub fn open_tenants(&self) -> Vec<Tenant> {
        let mut all: Vec<_> = self.inner.tenants.read().values().cloned().collect();
        all.sort_by_key(Tenant::no);
        all
    }

    /// Makes a tenant and its first key, which may do everything of the tenant's.
    ///
    /// # Errors
    /// [`Refused::Invalid`], [`Refused::Conflict`] when the slug is taken or [`TENANTS_MAX`] are there.
    pub async fn create_tenant(&self, new: NewTenant) -> Result<(TenantInfo, String)> {
        registry::check_tenant(&new)?;
        let _changing = self.inner.changing.lock().await;
        let no = {
            let registry = self.inner.registry.read();
            if registry.tenants.values().any(|tenant| tenant.slug == new.slug) {
                return Err(Refused::Conflict("a tenant with this slug exists already".to_owned()));
            }
            if registry.tenants.len() >= TENANTS_MAX {
                return Err(Refused::Conflict(format!("there are {TENANTS_MAX} tenants already")));
            }
            registry.next_no()
        };
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(Refused::internal)?;
        let info = TenantInfo {
            no,
            id: TenantId(id),
            slug: new.slug.into(),
            name: new.name,
            time_zone: new.time_zone.unwrap_or_else(|| "UTC".to_owned()),
            created_at: self.inner.clock.now(),
        };
        let admin =
            NewKey { name: "admin".to_owned(), scopes: vec![Scope::Admin], public: false, expires_at: None };
        let (key, _, text) = registry::mint(no, &admin, info.created_at, &self.inner.key_digests)?;
        self.append(&[Change::TenantCreated { tenant: info.clone() }, key]).await?;
        let this = self.clone();
        let opened = info.clone();
        let open = move || this.open_tenant(opened)?.wait_until_applied();
        tokio::task::spawn_blocking(open).await.map_err(Refused::internal)??;
        Ok((info, text))
    }

    /// Who presents this key; None when it opens nothing.
    #[must_use]
    pub fn authenticate(&self, presented: &str) -> Option<Principal> {
        let (no, scopes, key, public, source) = {
            let registry = self.inner.registry.read();
            let record = registry.find(presented, &self.inner.key_digests, self.inner.clock.now())?;
            let info = &record.info;
            (record.tenant, info.scopes, info.id, info.public, info.name.clone())
        };
        let tenant = self.inner.tenants.read().get(&no)?.clone();
        Some(Principal { tenant, scopes, key, public, source })
    }

    /// Makes a key; its text is shown this once.
    ///
    /// # Errors
    /// [`Refused::Invalid`], [`Refused::Conflict`] when the tenant has [`KEYS_MAX`] keys.
    pub async fn create_key(&self, tenant: &Tenant, new: NewKey) -> Result<(KeyInfo, String)> {
        let now = self.inner.clock.now();
        registry::check_key(&new, now)?;
        let _changing = self.inner.changing.lock().await;
        if self.keys(tenant).iter().filter(|key| key.revoked_at.is_none()).count() >= KEYS_MAX {
            return Err(Refused::Conflict(format!("the tenant has {KEYS_MAX} keys already")));
        }
        let (change, info, text) = registry::mint(tenant.no(), &new, now, &self.inner.key_digests)?;
        self.append(&[change]).await?;
        Ok((info, text))
    }

    /// A tenant's keys, oldest first.
    #[must_use]
    pub fn keys(&self, tenant: &Tenant) -> Vec<KeyInfo> {
        let registry = self.inner.registry.read();
        let mut keys: Vec<_> = registry
            .keys
            .values()
            .filter(|record| record.tenant == tenant.no())
            .map(|record| record.info.clone())
            .collect();
        keys.sort_by_key(|key| (key.created_at, key.id));
        keys
    }

    /// Revokes a key; it opens nothing any more when this returns.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub async fn revoke_key(&self, tenant: &Tenant, id: KeyId) -> Result<()> {
        let _changing = self.inner.changing.lock().await;
        if !self.keys(tenant).iter().any(|key| key.id == id && key.revoked_at.is_none()) {
            return Err(Refused::NotFound("key"));
        }
        self.append(&[Change::KeyRevoked { tenant: tenant.no(), id, at: self.inner.clock.now() }]).await
    }

    /// A tenant by its number.
    pub(crate) fn tenant(&self, no: TenantNo) -> Option<Tenant> {
        self.inner.tenants.read().get(&no).cloned()
    }

    pub(crate) fn registry(&self) -> parking_lot::RwLockReadGuard<'_, Registry> {
        self.inner.registry.read()
    }

    pub(crate) fn doors(&self) -> &crate::users::Doors {
        &self.inner.doors
    }

    /// Held while the registry is looked at and changed.
    pub(crate) async fn changing(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.inner.changing.lock().await
    }

    pub(crate) async fn append(&self, changes: &[Change]) -> Result<()> {
        let mut drafts = Vec::with_capacity(changes.len());
        for change in changes {
            let mut payload = serde_json::to_vec(change).map_err(Refused::internal)?;
            let received_at = self.inner.clock.now();
            let mut header = Header { kind: RecordKind::Config, received_at, ..Header::default() };
            seal_in_place(&self.inner.keys, SYSTEM, &mut header, &mut payload)?;
            drafts.push(Draft { header, payload });
        }
        let appended = self.inner.journal.append(&drafts)?;
        self.inner.journal.wait_durable(&appended).await?;
        let mut registry = self.inner.registry.write();
        changes.iter().cloned().for_each(|change| registry.apply(change));
        Ok(())
    }
}

/// Authenticates compiled plugins: nobody without the master key can put one into the cache.
fn cache_key(master: &MasterKey) -> [u8; 32] {
    let digests = Digests::new(master, SYSTEM, "cdp 2026 compiled plugins");
    let mut key = [0; 32];
    key[..16].copy_from_slice(&digests.wide(b"first half"));
    key[16..].copy_from_slice(&digests.wide(b"second half"));
    key
}

fn replay(journal: &Journal, keys: &KeyRing) -> Result<Registry> {
    let mut registry = Registry::default();
    let mut reader = journal.reader(Position(0));
    while let Some(mut record) = reader.next()? {
        open_in_place(keys, SYSTEM, &record.header, &mut record.payload)?;
        registry.apply(serde_json::from_slice(&record.payload).map_err(Refused::internal)?);
    }
    Ok(registry)
}
