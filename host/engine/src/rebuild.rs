//! Making state anew from the journal, and comparing what is there with what it should be.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cdp_domain::ids::{FragmentId, Ordinal, TenantNo};
use cdp_store::files;
use cdp_store::keys::{self, Key, KeyRange, tag};
use cdp_store::kv::{Backend, MemoryKv, Order};
use compact_str::CompactString;

use crate::config::Config;
use crate::derivations::Known;
use crate::engine::Engine;
use crate::error::{Refused, Result};
use crate::rows::{Fragment, Logged, Look as _, RowCache, decode, encode, read_row};
use crate::tenant::{Parts, Tenant};

/// The tables that a rebuild must give back byte for byte.
const TABLES: [(u8, &str); 25] = [
    (tag::FRAGMENT, "fragments"),
    (tag::IDENTIFIER, "identifiers"),
    (tag::ORDINAL, "ordinals"),
    (tag::CONTACT, "contact points"),
    (tag::LEDGER, "consent decisions"),
    (tag::SUPPRESSION, "suppressions"),
    (tag::RESTRICTION, "restrictions"),
    (tag::AGED, "what events that are gone amounted to"),
    (tag::AGING, "events to be redacted"),
    (tag::SUBJECT_REQUEST, "subject requests"),
    (tag::MEMBER, "segment members"),
    (tag::CHANGE, "segment changes"),
    (tag::DEAD_LETTER, "dead letters"),
    (tag::EXPORT, "exports"),
    (tag::REPLAY, "replays"),
    (tag::PIPELINE, "pipelines"),
    (tag::DEFINITION, "definitions"),
    (tag::COMPANY, "company of identifiers"),
    (tag::IDENTITY_LOG, "identity log"),
    (tag::IDENTITY_ALERT, "identity alerts"),
    (tag::CATALOGUE, "event types"),
    (tag::VOID, "voids"),
    (tag::WAITING, "waiting events"),
    (tag::DERIVED_STATE, "derived states"),
    (tag::DERIVED_READING, "derived readings"),
];

/// The tables that may differ once somebody was erased, or events are gone by their age: a rebuild does not know what they
/// took part in. Members are then
/// compared by whom they are.
const AFTER_ERASURES: [u8; 8] = [
    tag::ORDINAL,
    tag::MEMBER,
    tag::CHANGE,
    tag::REPLAY,
    tag::COMPANY,
    tag::IDENTITY_LOG,
    tag::IDENTITY_ALERT,
    tag::CATALOGUE,
];

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The tenant.
    pub tenant: TenantNo,
    /// Rows compared.
    pub rows: u64,
    /// Events in state.
    pub events: u64,
    /// What differs; empty when state is what the journal says. At most 20 are told.
    pub differences: Vec<String>,
}

/// Moves the state of a data directory aside, so that the next opening makes it anew. The server must not run.
///
/// # Errors
/// The operating system's.
pub fn set_state_aside(data_dir: &Path) -> Result<()> {
    let state = data_dir.join("state");
    if !state.exists() {
        return Ok(());
    }
    let mut n = 0;
    let aside = loop {
        let path = data_dir.join(format!("state.before-rebuild-{n}"));
        if !path.exists() {
            break path;
        }
        n += 1;
    };
    std::fs::rename(&state, &aside).map_err(Refused::internal)?;
    files::sync_dir(data_dir)?;
    std::fs::remove_dir_all(&aside).map_err(Refused::internal)
}

impl Engine {
    /// Waits until every tenant's state is brought forward to its journal's end.
    ///
    /// # Errors
    /// [`Refused::Unavailable`] when one cannot be.
    pub fn wait_until_applied(&self) -> Result<()> {
        for tenant in self.open_tenants() {
            tenant.wait_until_applied()?;
        }
        Ok(())
    }

    /// Rebuilds every tenant's state in memory and compares it with what is stored.
    ///
    /// # Errors
    /// [`Refused::Unavailable`] when state cannot be brought forward; the store's.
    pub fn verify(&self) -> Result<Vec<Verified>> {
        self.wait_until_applied()?;
        self.open_tenants().iter().map(|tenant| self.verify_tenant(tenant)).collect()
    }

    fn verify_tenant(&self, tenant: &Tenant) -> Result<Verified> {
        // What is redacted meanwhile would be met in part as it was and in part as it is.
        let _paused = tenant.core.sweeping.pause();
        tenant.commit();
        let scratch = self.data_dir().join(format!("verify-{:08x}", tenant.no().0));
        let _ = std::fs::remove_dir_all(&scratch);
        let shadow = Tenant::open_shadow(
            Parts {
                info: tenant.info().clone(),
                data_dir: &scratch,
                backend: Backend::fixed(Arc::new(MemoryKv::new())),
                master: self.master(),
                clock: tenant.core.clock.clone(),
                jobs: tenant.core.jobs.clone(),
                runtime: tenant.core.runtime.clone(),
                // Of its own: the same rows in another state.
                cache: Arc::new(RowCache::new(16 << 20)),
                linked_fragments_max: tenant.core.linked_fragments_max,
                journal: cdp_store::journal::Options::default(),
                outside: None,
            },
            &tenant.core,
        )?;
        let applied = shadow.wait_until_applied();
        shadow.commit();
        let verified = applied.and_then(|()| compare(tenant, &shadow));
        shadow.close_shadow();
        let _ = std::fs::remove_dir_all(&scratch);
        verified
    }
}

impl Tenant {
    /// Waits until state is at the journal's durable end, and written.
    ///
    /// # Errors
    /// [`Refused::Unavailable`] when it cannot be brought there, or cannot be written now.
    pub fn wait_until_applied(&self) -> Result<()> {
        loop {
            if let Some(reason) = self.core.stuck.lock().clone() {
                return Err(Refused::Unavailable(reason));
            }
            let replaying = self.core.replaying.load(std::sync::atomic::Ordering::Acquire);
            if !replaying && self.core.ask(|done| crate::feed::Message::Commit { done }) {
                // Messages are taken when nothing else is queued.
                let stuck = self.core.stuck.lock().clone();
                return stuck.map_or(Ok(()), |reason| Err(Refused::Unavailable(reason)));
            }
            if self.core.feed.is_closing() && self.core.stuck.lock().is_none() {
                return Err(Refused::Unavailable("the tenant is being closed".to_owned()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Whether a rebuild may meet less than what state was brought forward with.
fn is_part_gone(config: &Config) -> bool {
    config.erased > 0 || config.retention.set_at.is_some()
}

fn compare(stored: &Tenant, rebuilt: &Tenant) -> Result<Verified> {
    let mut verified = Verified { tenant: stored.no(), rows: 0, events: 0, differences: Vec::new() };
    let (a, b) =
        (stored.core.rows.read().inner.summary.clone(), rebuilt.core.rows.read().inner.summary.clone());
    verified.events = a.events;
    let mut differ = |what: String| {
        if verified.differences.len() < 20 {
            verified.differences.push(what);
        }
    };
    for (what, a, b) in [
        ("events", a.events, b.events),
        ("dead letters", a.dead_letters, b.dead_letters),
        ("dropped events", a.dropped, b.dropped),
        ("suppressed events", a.suppressed, b.suppressed),
        ("expired events", a.expired, b.expired),
        ("fragments", a.fragments, b.fragments),
        ("profiles", a.profiles, b.profiles),
        ("last position", a.last.0, b.last.0),
    ] {
        if a != b {
            differ(format!("{what}: {a} stored, {b} rebuilt"));
        }
    }
    let context = *stored.core.rows.context();
    let erased = is_part_gone(&stored.config());
    if erased {
        let (a, b) = (members(stored)?, members(rebuilt)?);
        for name in a.keys().chain(b.keys()).filter(|name| a.get(*name) != b.get(*name)) {
            differ(format!("the members of segment {name} differ"));
        }
        verified.rows += a.values().map(|members| members.len() as u64).sum::<u64>();
    }
    for (tag, what) in TABLES {
        if erased && AFTER_ERASURES.contains(&tag) {
            continue;
        }
        let mut left = Rows {
            tenant: stored,
            range: context.table(tag),
            page: Vec::new().into_iter(),
            parts: VecDeque::new(),
        };
        let mut right = Rows {
            tenant: rebuilt,
            range: context.table(tag),
            page: Vec::new().into_iter(),
            parts: VecDeque::new(),
        };
        loop {
            let (a, b) = (left.next(tag)?, right.next(tag)?);
            match (a, b) {
                (None, None) => break,
                (Some(a), Some(b)) if a == b => verified.rows += 1,
                (Some(a), Some(b)) if a.0 == b.0 => differ(format!("{what}: the row {:?} differs", a.0)),
                (a, b) => {
                    let side = |row: Option<(Key, Vec<u8>)>| {
                        row.map_or_else(|| "the end".to_owned(), |(key, _)| format!("{key:?}"))
                    };
                    differ(format!("{what}: {} stored, {} rebuilt", side(a), side(b)));
                    break;
                }
            }
        }
    }
    Ok(verified)
}

/// The members of each segment that serves, by the ids of profiles.
fn members(tenant: &Tenant) -> Result<BTreeMap<CompactString, BTreeSet<FragmentId>>> {
    let view = tenant.core.rows.read();
    let mut all = BTreeMap::new();
    for (name, segment) in &view.inner.config.segments {
        let Some(active) = &segment.active else { continue };
        let mut members = BTreeSet::new();
        for ordinal in view.members(active.no).cloned().unwrap_or_default() {
            members.extend(view.root(Ordinal(ordinal))?);
        }
        all.insert(name.clone(), members);
    }
    Ok(all)
}

struct Rows<'a> {
    tenant: &'a Tenant,
    range: KeyRange,
    page: std::vec::IntoIter<(Key, Vec<u8>)>,
    /// Of a row that holds many.
    parts: VecDeque<(Key, Vec<u8>)>,
}

impl Rows<'_> {
    fn next(&mut self, table: u8) -> Result<Option<(Key, Vec<u8>)>> {
        loop {
            if let Some(one) = self.parts.pop_front() {
                return Ok(Some(one));
            }
            if let Some((key, bytes)) = self.page.next() {
                let bytes = match table {
                    tag::FRAGMENT => self.normal(&bytes)?,
                    tag::DERIVED_READING => self.normal_reading(bytes)?,
                    tag::CHANGE => {
                        self.cut(&key, &bytes)?;
                        continue;
                    }
                    _ => bytes,
                };
                return Ok(Some((key, bytes)));
            }
            let page = self.tenant.core.rows.state.scan(&self.range, Order::Forward, 512)?;
            let Some((last, _)) = page.last() else { return Ok(None) };
            self.range = self.range.after(last);
            self.page = page
                .into_iter()
                .map(|(key, row)| (key, row.bytes().to_vec()))
                .collect::<Vec<_>>()
                .into_iter();
        }
    }

    /// Membership changes one by one: where rows are cut says nothing.
    fn cut(&mut self, key: &Key, bytes: &[u8]) -> Result<()> {
        let (segment, ..) = keys::change(key).ok_or_else(|| Refused::internal("a key of another table"))?;
        let context = *self.tenant.core.rows.context();
        for Logged { position, n, turn } in read_row(bytes)? {
            self.parts.push_back((context.change(segment, position, n), encode(&turn)));
        }
        Ok(())
    }

    /// Without what may differ rightly: states of attributes that are gone, and when to look again, which may be early.
    fn normal(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let mut fragment: Fragment = decode(bytes)?;
        let config = self.tenant.config();
        fragment.folds.retain(|(no, state)| {
            *state != cdp_domain::fold::State::Nothing && config.folds.contains_key(no)
        });
        if let Some(head) = &mut fragment.head {
            head.next_turn = None;
            if is_part_gone(&config) {
                head.ordinal = Ordinal(0);
            }
        }
        Ok(encode(&fragment))
    }

    /// Once somebody was erased or events are gone by their age, without until when a reading holds: who had been joined with them was read again then.
    fn normal_reading(&self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        if !is_part_gone(&self.tenant.config()) {
            return Ok(bytes);
        }
        let known: Known = decode(&bytes)?;
        Ok(encode(&Known { values: known.values, ..Known::default() }))
    }
}
