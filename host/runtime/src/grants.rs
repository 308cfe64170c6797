//! A tenant's yes to what a plugin asked for.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::connector::origin;
use crate::descriptor::Request;

/// Reference tables that a guest may look into; the caller passes one snapshot for a whole call.
///
/// Must give the same answer to the same key as long as it lives.
pub trait Tables: Send + Sync {
    /// The value under `key`, if the table has one; None when there is no such table.
    fn get(&self, table: &str, key: &str) -> Option<Option<String>>;
}

/// What a tenant granted. A field that is not granted arrives as absent, a write that is not granted is left out,
/// a table that is not granted does not exist; the plugin is told none of it.
#[derive(Clone, Default)]
pub struct Grants {
    inner: Arc<Inner>,
    tables: Option<Arc<dyn Tables>>,
}

#[derive(Default)]
struct Inner {
    all: bool,
    reads: BTreeSet<String>,
    writes: BTreeSet<String>,
    tables: BTreeSet<String>,
    /// Origins, as [`origin`] writes them.
    hosts: BTreeSet<String>,
    secrets: BTreeSet<String>,
}

impl Grants {
    /// Yes to everything.
    #[must_use]
    pub fn all() -> Self {
        Self { inner: Arc::new(Inner { all: true, ..Inner::default() }), tables: None }
    }

    /// Yes to these and nothing else. A granted kind covers the pointer whatever the kind is later declared to be.
    pub fn of(requests: impl IntoIterator<Item = Request>) -> Self {
        let mut inner = Inner::default();
        for request in requests {
            match request {
                Request::Read(field) => _ = inner.reads.insert(field.pointer),
                Request::Write(field) => _ = inner.writes.insert(field.pointer),
                Request::Table { name } => _ = inner.tables.insert(name),
                Request::Secret { name } => _ = inner.secrets.insert(name),
                Request::Host { url } => inner.hosts.extend(origin(&url)),
            }
        }
        Self { inner: Arc::new(inner), tables: None }
    }

    /// The same grants, with tables to serve.
    #[must_use]
    pub fn with_tables(mut self, tables: Arc<dyn Tables>) -> Self {
        self.tables = Some(tables);
        self
    }

    pub(crate) fn reads(&self, pointer: &str) -> bool {
        self.inner.all || self.inner.reads.contains(pointer)
    }

    pub(crate) fn writes(&self, pointer: &str) -> bool {
        self.inner.all || self.inner.writes.contains(pointer)
    }

    /// Feeds a digest with what was granted, so that different grants have different digests.
    pub(crate) fn digest_into(&self, hasher: &mut blake3::Hasher) {
        hasher.update(&[u8::from(self.inner.all)]);
        let Inner { reads, writes, tables, hosts, secrets, .. } = &*self.inner;
        for set in [reads, writes, tables, hosts, secrets] {
            hasher.update(&(set.len() as u64).to_le_bytes());
            for name in set {
                hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
            }
        }
    }

    /// Whether requests may go to this origin.
    pub(crate) fn reaches(&self, origin: &str) -> bool {
        self.inner.all || self.inner.hosts.contains(origin)
    }

    /// Whether requests may name this secret.
    pub(crate) fn names(&self, secret: &str) -> bool {
        self.inner.all || self.inner.secrets.contains(secret)
    }

    /// The tables, cut down to what is both declared and granted.
    pub(crate) fn tables(&self, declared: &[String]) -> Option<Arc<dyn Tables>> {
        let tables = self.tables.clone()?;
        let names = declared.iter().filter(|name| self.inner.all || self.inner.tables.contains(*name));
        Some(Arc::new(Granted { names: names.cloned().collect(), tables }))
    }
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.inner.all {
            return f.write_str("Grants(all)");
        }
        f.debug_struct("Grants")
            .field("reads", &self.inner.reads)
            .field("writes", &self.inner.writes)
            .field("tables", &self.inner.tables)
            .field("hosts", &self.inner.hosts)
            .field("secrets", &self.inner.secrets)
            .finish()
    }
}

struct Granted {
    names: Vec<String>,
    tables: Arc<dyn Tables>,
}

impl Tables for Granted {
    fn get(&self, table: &str, key: &str) -> Option<Option<String>> {
        if self.names.iter().any(|name| name == table) { self.tables.get(table, key) } else { None }
    }
}
