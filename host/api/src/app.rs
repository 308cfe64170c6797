//! What every handler has at hand: the engine, audiences, who the operator is, and the bounds.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use cdp_console::docs::Library;
use cdp_engine::Engine;
use cdp_export::Exports;
use metrics_exporter_prometheus::PrometheusHandle;
use subtle::ConstantTimeEq as _;

use crate::access::Table;
use crate::docs;
use crate::rate::Limiter;
use crate::routes::console::Console;
use crate::serve::HttpOptions;
use crate::share::Shares;

/// How the front door is set up.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The installation's own key; without one no call that needs it is possible.
    pub operator_key: Option<String>,
    /// The bounds on connections, headers and bodies.
    pub http: HttpOptions,
    /// Panics in the handler of every request that carries the header `panic-probe`, with its words: for tests of what is
    /// told then.
    pub panic_probe: bool,
    /// Parts of the documentation that only the program knows, such as its settings and commands.
    pub docs: Vec<docs::Part>,
    /// Every setting that holds, for the console of an installation's only tenant.
    pub settings: Vec<Setting>,
}

/// A setting that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name in the file of settings.
    pub name: String,
    /// Its value; a secret's is not told.
    pub value: String,
    /// Where it comes from: a flag, a variable, a file, or nowhere.
    pub origin: String,
}

/// The front door's state. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    engine: Engine,
    exports: Exports,
    operator: Option<[u8; 32]>,
    http: HttpOptions,
    access: Table,
    metrics: PrometheusHandle,
    openapi: Bytes,
    docs: Vec<docs::Part>,
    settings: Vec<Setting>,
    library: OnceLock<Library>,
    limiter: Limiter,
    shares: Shares,
    console: Console,
}

impl App {
    pub(crate) fn new(exports: Exports, options: Options, openapi: Bytes) -> Self {
        let http = &options.http;
        let limiter = Limiter::new(http.rates);
        let shares = Shares::new(http.ingest_bytes_in_flight_max, http.ingest_turns, http.ingest_waiting_max);
        let operator = options.operator_key.filter(|key| !key.is_empty());
        let app = Self(Arc::new(Inner {
            engine: exports.engine().clone(),
            exports,
            operator: operator.map(|key| *blake3::hash(key.as_bytes()).as_bytes()),
            http: options.http,
            access: Table::new(),
            metrics: crate::metrics::recorder(),
            openapi,
            docs: options.docs,
            settings: options.settings,
            library: OnceLock::new(),
            limiter,
            shares,
            console: Console::default(),
        }));
        let watched = Arc::downgrade(&app.0);
        Console::keep(move || watched.upgrade().map(Self));
        app
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// Audiences: runs, destinations, schedules.
    #[must_use]
    pub fn exports(&self) -> &Exports {
        &self.0.exports
    }

    /// The bounds.
    #[must_use]
    pub fn http(&self) -> &HttpOptions {
        &self.0.http
    }

    /// Every setting that holds, where it is known.
    pub(crate) fn settings(&self) -> &[Setting] {
        &self.0.settings
    }

    pub(crate) fn access(&self) -> &Table {
        &self.0.access
    }

    pub(crate) fn metrics(&self) -> &PrometheusHandle {
        &self.0.metrics
    }

    pub(crate) fn openapi(&self) -> Bytes {
        self.0.openapi.clone()
    }

    /// The documentation, put together when somebody first asks for it.
    pub(crate) fn library(&self) -> &Library {
        let Inner { http, openapi, docs, library, .. } = &*self.0;
        library.get_or_init(|| docs::library(http, openapi, docs))
    }

    /// Whether this is the operator's key. Takes the same time wherever it differs, and whatever its length.
    pub(crate) fn is_operator(&self, key: &str) -> bool {
        let given = blake3::hash(key.as_bytes());
        self.0.operator.as_ref().is_some_and(|own| bool::from(own.ct_eq(given.as_bytes())))
    }

    /// What keys may send.
    pub(crate) fn limiter(&self) -> &Limiter {
        &self.0.limiter
    }

    /// What the console keeps in memory.
    pub(crate) fn console(&self) -> &Console {
        &self.0.console
    }

    /// What tenants share.
    pub(crate) fn shares(&self) -> &Shares {
        &self.0.shares
    }
}
