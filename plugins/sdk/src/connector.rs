//! Connectors that plan: what to send for the rows of an audience, and what the answers mean.
//!
//! The host sends, puts secrets in and keeps the schedule of attempts; a connector opens nothing and waits for nothing.

use std::marker::PhantomData;

use crate::bindings::exports::cdp::plugin::metadata;
use crate::bindings_connector::cdp::plugin::{delivery_types, http_types};
use crate::bindings_connector::exports::cdp::plugin::connector as raw;
use crate::config::Problem;
use crate::{Descriptor, bindings::cdp::plugin::types::Failure};

pub use delivery_types::{Change, Delivery, Verdict};
pub use http_types::{HeaderValue, HttpError, Request, Response};
pub use raw::Planned;

/// Says what to send for an audience.
pub trait Connector {
    /// The configuration, read once for each call.
    type Config;

    /// What the plugin is and needs: `hosts` that it sends to and `secrets` that it names; it sees no events.
    const DESCRIPTOR: Descriptor;

    /// Reads the destination's configuration text.
    ///
    /// # Errors
    /// Every problem.
    fn configure(text: &str) -> Result<Self::Config, Vec<Problem>>;

    /// The requests for these rows, each row in exactly one of them. The same rows give the same requests again.
    ///
    /// # Errors
    /// A sentence, when rows like these can never be sent.
    fn plan(items: &[Delivery], config: &Self::Config) -> Result<Vec<Planned>, String>;

    /// What an answer means for the rows of its request: one verdict each, in their order.
    fn settle(items: &[Delivery], reply: &Result<Response, HttpError>, config: &Self::Config)
    -> Vec<Verdict>;
}

/// The exports of a connector.
#[doc(hidden)]
pub struct ConnectorAdapter<T>(PhantomData<T>);

impl<T: Connector> metadata::Guest for ConnectorAdapter<T> {
    fn describe() -> metadata::Descriptor {
        T::DESCRIPTOR.into()
    }

    fn check_config(config: String) -> Result<(), Vec<String>> {
        T::configure(&config)
            .map(|_| ())
            .map_err(|problems| problems.iter().map(Problem::to_string).collect())
    }
}

impl<T: Connector> raw::Guest for ConnectorAdapter<T> {
    fn plan(config: String, _: i64, items: Vec<Delivery>) -> Result<Vec<Planned>, Failure> {
        let config = T::configure(&config).map_err(|problems| {
            let all: Vec<String> = problems.iter().map(Problem::to_string).collect();
            Failure::Misconfigured(all.join("; "))
        })?;
        T::plan(&items, &config).map_err(Failure::Rejected)
    }

    fn settle(config: String, items: Vec<Delivery>, reply: Result<Response, HttpError>) -> Vec<Verdict> {
        match T::configure(&config) {
            Ok(config) => T::settle(&items, &reply, &config),
            // It was planned with this configuration: nothing is known about the rows.
            Err(_) => vec![Verdict::Retry(None); items.len()],
        }
    }
}

/// Makes a [`Connector`] the component's exports. Once in a crate; does nothing on targets other than WebAssembly.
#[macro_export]
macro_rules! export_connector {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type CdpExports = $crate::connector::ConnectorAdapter<$plugin>;
    $crate::bindings::export!(CdpExports with_types_in $crate::bindings);
    $crate::bindings_connector::export!(CdpExports with_types_in $crate::bindings_connector);
        };
    };
}
