//! Webhooks: one signed POST a message.
//!
//! A message keeps its id over all attempts, so that a receiver can tell a repeat; its timestamp is the attempt's own, so
//! that a receiver can refuse what is old. What an answer means is one table, [`judge`], and stands in
//! `host/docs/api-reference/deliveries.md`.

mod sign;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

pub use sign::{Secret, SecretError};

use crate::exchange::{Caps, Reply, Request};
use crate::fault::{Fault, Why};
use crate::{Egress, retry};

/// Bytes of a message's body, at most.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Secrets of a webhook that are live at once, at most.
pub const SECRETS_MAX: usize = 4;
/// Bytes of a message's id, at most.
const ID_BYTES_MAX: usize = 255;
/// Of the answer's body nothing is used; a little is read, so that the connection can be used again.
const ANSWER_BYTES_READ: usize = 16 << 10;

/// A receiver of messages.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Where to.
    pub url: String,
    /// All secrets that are live, the newest first: 1 to [`SECRETS_MAX`].
    pub secrets: Vec<Secret>,
}

/// What a receiver took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    /// The status that it answered, of 2xx.
    pub status: u16,
    /// How long it took, from asking for a place to the answer.
    pub took: Duration,
}

impl Webhook {
    /// Whether it can be used at all: the address by the policy, and the number of secrets. Nothing is resolved or sent.
    ///
    /// # Errors
    /// What is wrong.
    pub fn read(&self, egress: &Egress) -> Result<(), Fault> {
        egress.policy().http(&self.url)?;
        if !(1..=SECRETS_MAX).contains(&self.secrets.len()) {
            return Err(Fault::permanent(
                Why::Definition,
                format!("a webhook has 1 to {SECRETS_MAX} secrets, and not {}", self.secrets.len()),
            ));
        }
        Ok(())
    }

    /// Sends one message, once. `message_id` is the same each time the same message is sent.
    ///
    /// # Errors
    /// [`Fault`]; after one that may be retried the receiver may have the message.
    pub async fn send(&self, egress: &Egress, message_id: &str, body: Bytes) -> Result<Delivered, Fault> {
        self.read(egress)?;
        let definition = |sentence: String| Fault::permanent(Why::Definition, sentence);
        let is_id = (1..=ID_BYTES_MAX).contains(&message_id.len())
            && message_id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.');
        if !is_id {
            return Err(definition(format!(
                "a message's id has 1 to {ID_BYTES_MAX} visible characters of ASCII and no dot"
            )));
        }
        if body.len() > BODY_BYTES_MAX {
            return Err(definition(format!(
                "the message has {} bytes, {BODY_BYTES_MAX} are allowed",
                body.len()
            )));
        }
        let begun = Instant::now();
        let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut put = |name: &'static str, value: &str| {
            let value = HeaderValue::from_str(value).expect("it is visible ASCII");
            headers.insert(HeaderName::from_static(name), value);
        };
        put("webhook-id", message_id);
        put("webhook-timestamp", &timestamp.to_string());
        put("webhook-signature", &sign::signatures(&self.secrets, message_id, timestamp, &body));
        let request = Request {
            method: Method::POST,
            url: self.url.clone(),
            headers,
            body,
            caps: Caps { body_bytes: ANSWER_BYTES_READ, ..Caps::STANDARD },
            destination: self.url.clone(),
        };
        let reply = egress.send(request).await?;
        judge(&reply, SystemTime::now())?;
        Ok(Delivered { status: reply.status.as_u16(), took: begun.elapsed() })
    }

    /// Sends a message that says it is a test: `{"type":"cdp.test"}`, signed like any other.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn check(&self, egress: &Egress) -> Result<Delivered, Fault> {
        let mut random = [0_u8; 12];
        getrandom::fill(&mut random)
            .map_err(|_| Fault::retry(Why::Internal, "this machine has no randomness"))?;
        let id = cdp_domain::hex::encode(&random);
        self.send(egress, &format!("msg_test_{id}"), Bytes::from_static(br#"{"type":"cdp.test"}"#)).await
    }
}

/// What an answer means for its message.
///
/// A message that the receiver took is delivered, whatever else it says, and however much. One that it will never take as
/// it is goes no further. Everything else may be another tomorrow: servers are redeployed, keys put right, redirects taken
/// back.
///
/// # Errors
/// The fault, for everything but 2xx.
pub fn judge(reply: &Reply, now: SystemTime) -> Result<(), Fault> {
    let status = reply.status;
    let said = format!("the receiver answered {}", status.as_u16());
    let why = match status.as_u16() {
        200..=299 => return Ok(()),
        410 => {
            return Err(Fault::permanent(Why::Gone, format!("{said}: it wants no messages any more")));
        }
        400 | 405 | 406 | 411 | 413..=415 | 422 | 431 => return Err(Fault::permanent(Why::Rejected, said)),
        300..=399 => Why::Redirected,
        429 => Why::RateLimited,
        401 | 403 | 407 => Why::Unauthorised,
        404 => Why::NotFound,
        _ => Why::Unavailable,
    };
    let after = match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => reply
            .headers
            .get(header::RETRY_AFTER)
            .and_then(|value| retry::retry_after(value.to_str().ok()?, now)),
        _ => None,
    };
    let detail = match why {
        Why::Redirected => format!("{said}: redirects are not followed"),
        _ => said,
    };
    Err(Fault::Retry { why, detail, after })
}
