//! What every handler has at hand: the engine, who the operator is, and the bounds.

use std::sync::Arc;

use bytes::Bytes;
use cdp_engine::Engine;
use metrics_exporter_prometheus::PrometheusHandle;
use subtle::ConstantTimeEq as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::access::Table;
use crate::error::{Answer, Code, Failure};
use crate::serve::HttpOptions;

/// How the front door is set up.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The installation's own key; without one no call that needs it is possible.
    pub operator_key: Option<String>,
    /// The bounds on connections, headers and bodies.
    pub http: HttpOptions,
}

/// The front door's state. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    engine: Engine,
    operator: Option<[u8; 32]>,
    http: HttpOptions,
    access: Table,
    metrics: PrometheusHandle,
    openapi: Bytes,
    /// One permit per KiB of ingest bodies in memory.
    budget: Arc<Semaphore>,
}

impl App {
    pub(crate) fn new(engine: Engine, options: Options, openapi: Bytes) -> Self {
        let budget = Arc::new(Semaphore::new(options.http.ingest_bytes_in_flight_max / 1024));
        let operator = options.operator_key.filter(|key| !key.is_empty());
        Self(Arc::new(Inner {
            engine,
            operator: operator.map(|key| *blake3::hash(key.as_bytes()).as_bytes()),
            http: options.http,
            access: Table::new(),
            metrics: crate::metrics::recorder(),
            openapi,
            budget,
        }))
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// The bounds.
    #[must_use]
    pub fn http(&self) -> &HttpOptions {
        &self.0.http
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

    /// Whether this is the operator's key. Takes the same time wherever it differs, and whatever its length.
    pub(crate) fn is_operator(&self, key: &str) -> bool {
        let given = blake3::hash(key.as_bytes());
        self.0.operator.as_ref().is_some_and(|own| bool::from(own.ct_eq(given.as_bytes())))
    }

    /// Sets memory aside for a body of at most `bytes`.
    ///
    /// # Errors
    /// 503 when all that bodies may take is taken.
    pub(crate) fn reserve(&self, bytes: usize) -> Answer<OwnedSemaphorePermit> {
        let permits = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX);
        let reserved = self.0.budget.clone().try_acquire_many_owned(permits);
        reserved.map_err(|_| {
            Failure::new(Code::Overloaded, "too many bodies are being worked on; nothing was accepted")
        })
    }
}
