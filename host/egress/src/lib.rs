//! The only crate that opens outbound connections.
//!
//! Whatever leaves the machine goes through one [`Egress`]: one policy for whom it may talk to ([`policy`]), one way to
//! dial ([`Target`]), one number of places. On it stand the kinds of destination, each a small value that is made from a
//! definition whose secrets were opened for this purpose: [`Webhook`], [`ObjectStore`], [`Postgres`] and, for whoever plans requests by himself,
//! [`Request`].
//!
//! What holds for all of them:
//!
//! - A name is resolved once, every address of it is judged, and one of those is dialled. TLS is for the name.
//! - No redirect is followed, no proxy is taken from the environment, no cookie is kept, nothing is decompressed.
//! - Everything has an end: waiting for a place, resolving, connecting, the answer's head, the time between two parts of
//!   its body, its size, and the whole.
//! - Secrets are put in last. No fault, no log line and no `Debug` has one.
//!
//! The functions are async and belong to no runtime: the work is done on threads of this crate's own, so that a caller
//! may wait with whatever he has. A future that is dropped ends what it began; whether the other side has it is then not
//! known.
//!
//! To add a kind: a file with a value, its `check` and its verb, its faults by the table in `host/docs/api-reference/deliveries.md`,
//! and a test for every row of it.

mod dial;
mod exchange;
mod fault;
mod network;
pub mod object_store;
mod places;
pub mod policy;
pub mod postgres;
pub mod retry;
mod webhook;

#[cfg(test)]
mod testkit;

use std::sync::{Arc, OnceLock};

pub use dial::{ADDRESSES_TRIED_MAX, CONNECT_MAX, RESOLVE_MAX};
pub use exchange::{Caps, REPLY_HEAD_BYTES_MAX, REPLY_HEADERS_MAX, Reply, Request};
pub use fault::{Fault, Why};
pub use object_store::ObjectStore;
pub use places::{IN_ALL_MAX, PER_DESTINATION_MAX, PER_HOST_MAX, PLACE_WAIT_MAX};
pub use policy::{AllowError, Policy, Rule, Target};
pub use postgres::Postgres;
pub use webhook::{BODY_BYTES_MAX, Delivered, SECRETS_MAX, Secret, SecretError, Webhook, judge};

use crate::dial::{Connector, Dialler};
use crate::exchange::HttpClient;
use crate::network::{Machine, Network};
use crate::places::Places;

/// Threads that names are resolved on: the system's resolver waits.
const RESOLVING_MAX: usize = 32;

/// The way out. Cheap to clone; one for the whole installation.
#[derive(Debug, Clone)]
pub struct Egress(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dialler: Arc<Dialler>,
    client: HttpClient,
    places: Places,
    /// None only while it is dropped.
    runtime: Option<tokio::runtime::Runtime>,
}

impl Drop for Inner {
    /// May be dropped anywhere, also on a thread of another runtime.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Egress {
    /// The way out under a policy.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn new(policy: Policy) -> std::io::Result<Self> {
        Self::over(policy, Arc::new(Machine), Vec::new())
    }

    fn over(
        policy: Policy,
        network: Arc<dyn Network>,
        more_roots: Vec<rustls::pki_types::CertificateDer<'static>>,
    ) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(RESOLVING_MAX)
            .thread_name("egress")
            .enable_all()
            .build()?;
        let dialler = Arc::new(Dialler { policy, network, more_roots, tls: OnceLock::new() });
        let client = exchange::client(Connector(Arc::clone(&dialler)));
        Ok(Self(Arc::new(Inner {
            dialler,
            client,
            places: Places::new(PLACE_WAIT_MAX),
            runtime: Some(runtime),
        })))
    }

    /// Whom it may talk to.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.0.dialler.policy
    }

    /// Sends one request and reads the answer, whatever its status.
    ///
    /// # Errors
    /// [`Fault`], where there is no answer.
    pub async fn send(&self, request: Request) -> Result<Reply, Fault> {
        let (target, url) = self.policy().http(&request.url)?;
        let inner = Arc::clone(&self.0);
        self.on_own_threads(async move {
            exchange::send(&inner.client, &inner.places, &target, &url, request).await
        })
        .await
    }

    /// Does something on this crate's threads; dropped, it ends there.
    async fn on_own_threads<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Fault>> + Send + 'static,
    ) -> Result<T, Fault> {
        struct Ends<T>(tokio::task::JoinHandle<T>);
        impl<T> Drop for Ends<T> {
            fn drop(&mut self) {
                self.0.abort();
            }
        }
        let runtime = self.0.runtime.as_ref().expect("it is there until it is dropped");
        let mut task = Ends(runtime.spawn(work));
        match (&mut task.0).await {
            Ok(result) => result,
            Err(error) => {
                tracing::error!(%error, "an outbound request ended without a result");
                Err(Fault::retry(Why::Internal, "this machine could not send it"))
            }
        }
    }
}
