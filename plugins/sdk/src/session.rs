//! Connectors that send by themselves, for receivers that need several steps: a token, then a batch, then its end.
//!
//! Prefer [`Connector`](crate::connector::Connector) where one request does: what plans opens nothing, and the host can
//! show what it would send. A session waits on a thread of the host's while it sends, and has a deadline.

use std::collections::{BTreeMap, VecDeque};
use std::marker::PhantomData;

use crate::Descriptor;
use crate::bindings::cdp::plugin::types::Failure;
use crate::bindings::exports::cdp::plugin::metadata;
use crate::bindings_session::cdp::plugin::{http, kv};
use crate::bindings_session::exports::cdp::plugin::session_connector as raw;
use crate::config::Problem;
use crate::connector::{Delivery, HttpError, Request, Response, Verdict};

pub use kv::KvError;

/// What the host lends a delivery.
pub trait Outside {
    /// Sends a request and waits for the reply. The host inserts secrets, and only towards hosts that were granted.
    ///
    /// # Errors
    /// Why there is no reply.
    fn send(&mut self, request: Request) -> Result<Response, HttpError>;

    /// What was kept under a key; forgotten whenever somebody is erased, so nothing may rest on it.
    ///
    /// # Errors
    /// [`KvError`].
    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>, KvError>;

    /// Keeps a value under a key, for so many seconds or until it is written over.
    ///
    /// # Errors
    /// [`KvError`].
    fn put(&mut self, key: &str, value: &[u8], ttl_seconds: Option<u32>) -> Result<(), KvError>;
}

/// Hands an audience over, step by step.
pub trait SessionConnector {
    /// The configuration, read once for each delivery.
    type Config;

    /// What the plugin is and needs: `hosts` that it sends to and `secrets` that it names; it sees no events.
    const DESCRIPTOR: Descriptor;

    /// Reads the destination's configuration text.
    ///
    /// # Errors
    /// Every problem.
    fn configure(text: &str) -> Result<Self::Config, Vec<Problem>>;

    /// Delivers rows and says what became of each, in their order. `now` is the instant of the delivery in milliseconds
    /// since 1970, the same when it is tried again; a delivery may be repeated that came to no end.
    ///
    /// # Errors
    /// A sentence, when rows like these can never be sent.
    fn deliver(
        items: &[Delivery],
        now: i64,
        config: &Self::Config,
        outside: &mut impl Outside,
    ) -> Result<Vec<Verdict>, String>;
}

/// The exports of a connector that sends.
#[doc(hidden)]
pub struct SessionAdapter<T>(PhantomData<T>);

impl<T: SessionConnector> metadata::Guest for SessionAdapter<T> {
    fn describe() -> metadata::Descriptor {
        T::DESCRIPTOR.into()
    }

    fn check_config(config: String) -> Result<(), Vec<String>> {
        T::configure(&config)
            .map(|_| ())
            .map_err(|problems| problems.iter().map(Problem::to_string).collect())
    }
}

impl<T: SessionConnector> raw::Guest for SessionAdapter<T> {
    fn deliver(config: String, now: i64, items: Vec<Delivery>) -> Result<Vec<Verdict>, Failure> {
        let config = T::configure(&config).map_err(|problems| {
            let all: Vec<String> = problems.iter().map(Problem::to_string).collect();
            Failure::Misconfigured(all.join("; "))
        })?;
        T::deliver(&items, now, &config, &mut Host).map_err(Failure::Rejected)
    }
}

/// The host behind the contract.
struct Host;

impl Outside for Host {
    fn send(&mut self, request: Request) -> Result<Response, HttpError> {
        http::send(&request)
    }

    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        kv::get(key)
    }

    fn put(&mut self, key: &str, value: &[u8], ttl_seconds: Option<u32>) -> Result<(), KvError> {
        kv::put(key, value, ttl_seconds)
    }
}

/// A host for tests: gives the replies that it was made with, one after the other, and remembers what was asked.
#[derive(Debug, Default)]
pub struct Played {
    /// What is given next; none left is a connection that is not there.
    pub replies: VecDeque<Result<Response, HttpError>>,
    /// What was sent.
    pub sent: Vec<Request>,
    /// What is kept.
    pub kept: BTreeMap<String, Vec<u8>>,
}

impl Played {
    /// A host that gives these replies.
    #[must_use]
    pub fn with(replies: impl IntoIterator<Item = Result<Response, HttpError>>) -> Self {
        Self { replies: replies.into_iter().collect(), ..Self::default() }
    }
}

impl Outside for Played {
    fn send(&mut self, request: Request) -> Result<Response, HttpError> {
        self.sent.push(request);
        self.replies.pop_front().unwrap_or(Err(HttpError::Connect))
    }

    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        Ok(self.kept.get(key).cloned())
    }

    fn put(&mut self, key: &str, value: &[u8], _: Option<u32>) -> Result<(), KvError> {
        self.kept.insert(key.to_owned(), value.to_owned());
        Ok(())
    }
}

/// Makes a [`SessionConnector`] the component's exports. Once in a crate; does nothing on targets other than WebAssembly.
#[macro_export]
macro_rules! export_session_connector {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type CdpExports = $crate::session::SessionAdapter<$plugin>;
    $crate::bindings::export!(CdpExports with_types_in $crate::bindings);
    $crate::bindings_session::export!(CdpExports with_types_in $crate::bindings_session);
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::Change;

    /// Asks for a token once, and sends each row with it.
    struct Steps;

    impl SessionConnector for Steps {
        type Config = ();

        const DESCRIPTOR: Descriptor = Descriptor { name: "steps", version: "1.0.0", ..Descriptor::EMPTY };

        fn configure(_: &str) -> Result<(), Vec<Problem>> {
            Ok(())
        }

        fn deliver(
            items: &[Delivery],
            _: i64,
            (): &(),
            outside: &mut impl Outside,
        ) -> Result<Vec<Verdict>, String> {
            let ask = |url: &str| Request {
                method: "POST".into(),
                url: url.into(),
                headers: Vec::new(),
                body: Vec::new(),
                timeout_ms: 1_000,
                idempotency_key: None,
            };
            if outside.get("token").ok().flatten().is_none() {
                let Ok(reply) = outside.send(ask("https://a.example/token")) else {
                    return Ok(vec![Verdict::Retry(None); items.len()]);
                };
                _ = outside.put("token", &reply.body, Some(60));
            }
            Ok(items
                .iter()
                .map(|_| {
                    outside
                        .send(ask("https://a.example/rows"))
                        .map_or(Verdict::Retry(None), |_| Verdict::Delivered)
                })
                .collect())
        }
    }

    #[test]
    fn steps_are_played_without_a_host() {
        let good =
            || Ok(Response { status: 200, headers: Vec::new(), body: b"t".to_vec(), truncated: false });
        let row = Delivery { id: "a".into(), change: Change::Added, document: "{}".into(), attempt: 0 };
        let mut host = Played::with([good(), good(), good()]);
        let twice = [row.clone(), row.clone()];
        let said = Steps::deliver(&twice, 0, &(), &mut host).unwrap();
        assert!(said.iter().all(|verdict| matches!(verdict, Verdict::Delivered)));
        assert_eq!((host.sent.len(), host.kept["token"].as_slice()), (3, &b"t"[..]));
        let said = Steps::deliver(&[row], 0, &(), &mut host).unwrap();
        assert!(matches!(said[..], [Verdict::Retry(None)]), "no reply is left");
        assert_eq!(host.sent.len(), 4, "the token was kept");
    }
}
