//! Telling who passed a person's request on how far it is: callbacks of OpenDSR.
//!
//! Of each request that names addresses the newest status is told to each of them, at least once; what came between two
//! tellings is not. What could not be told is told again, a little later each time, for as long as [`TELL_MS_MAX`].
//! That something was told is a record of the engine's, so a restart goes on where it was.

use std::time::Duration;

use bytes::Bytes;
use cdp_egress::{Caps, Fault, Request, judge};
use cdp_engine::privacy::{OPENDSR_DOMAIN_HEADER, OPENDSR_SIGNATURE_HEADER, SubjectStatus, Telling};
use cdp_engine::{Refused, Tenant};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::Exports;

/// For how long after a request came its callbacks are tried.
pub const TELL_MS_MAX: i64 = 3 * 24 * 3_600_000;
/// Until the first that failed is tried again; twice as long each time, up to the second.
const AGAIN_MS_MIN: i64 = 5_000;
const AGAIN_MS_MAX: i64 = 3_600_000;
/// How often it is looked whether there is something to tell.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Of an answer's body nothing is used.
const ANSWER_BYTES_READ: usize = 4 << 10;

impl Exports {
    /// Whether an address may be called back.
    ///
    /// # Errors
    /// A sentence.
    pub fn check_callback(&self, url: &str) -> std::result::Result<(), String> {
        self.0.egress.policy().http(url).map(drop).map_err(|fault| fault.to_string())
    }

    /// Tells what there is to tell, until it is closed.
    pub(crate) fn keep_telling(&self) {
        loop {
            for tenant in self.0.engine.open_tenants() {
                if tenant.unready().is_none() {
                    self.tell_due(&tenant);
                }
            }
            let mut closing = self.0.closing.lock();
            if !*closing {
                self.0.closed.wait_for(&mut closing, LOOK_EVERY);
            }
            if *closing {
                return;
            }
        }
    }

    fn tell_due(&self, tenant: &Tenant) {
        for id in tenant.subjects_to_tell() {
            if self.is_closing() {
                return;
            }
            if let Err(error) = self.tell(tenant, id) {
                tracing::warn!(tenant = tenant.no().0, %error, "a callback could not be seen to; it is tried again");
            }
        }
    }

    fn tell(&self, tenant: &Tenant, id: [u8; 16]) -> cdp_engine::Result<()> {
        let none = Telling { told: None, tries: 0, next: None, given_up: true };
        let request = match tenant.subject_request(id) {
            // It was forgotten, as the oldest of too many.
            Err(Refused::NotFound(_)) => return pollster::block_on(tenant.record_telling(id, 0, none, true)),
            found => found?,
        };
        let status = tenant.subject_status(&request)?;
        let is_last = matches!(status, SubjectStatus::Completed | SubjectStatus::Cancelled);
        let now = tenant.now();
        let mut open = 0;
        for (n, callback) in request.callbacks.iter().enumerate() {
            let told = callback.told.as_deref() == Some(status.as_str());
            open += usize::from(!told && !callback.given_up);
            if told || callback.given_up || callback.next.is_some_and(|next| next > now) {
                continue;
            }
            let mut answer = tenant.subject_answer(&request, Some(status), &request.domain);
            answer["status_callback_url"] = callback.url.as_str().into();
            let body = answer.to_string();
            let signature = tenant.sign_subject_answer(body.as_bytes());
            let sent = pollster::block_on(self.call(&callback.url, &request.domain, &signature, body));
            let mut telling = Telling::from(callback.clone());
            match sent {
                Ok(()) => {
                    telling.told = Some(status.as_str().to_owned());
                    (telling.tries, telling.next) = (0, None);
                }
                Err(fault) => {
                    telling.tries += 1;
                    let pause = AGAIN_MS_MIN.saturating_mul(1 << telling.tries.min(20)).min(AGAIN_MS_MAX);
                    telling.next = Some(cdp_domain::time::Timestamp(now.0 + pause));
                    let over = now.0 - request.received_at.0 > TELL_MS_MAX;
                    telling.given_up = over || matches!(fault, Fault::Permanent { .. });
                    tracing::warn!(
                        tenant = tenant.no().0,
                        why = %fault,
                        given_up = telling.given_up,
                        "a status could not be told"
                    );
                }
            }
            pollster::block_on(tenant.record_telling(id, n, telling, is_last))?;
        }
        if open == 0 && is_last {
            let first = request.callbacks.first().cloned().map_or(none, Telling::from);
            pollster::block_on(tenant.record_telling(id, 0, first, true))?;
        }
        Ok(())
    }

    async fn call(&self, url: &str, domain: &str, signature: &str, body: String) -> Result<(), Fault> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in [(OPENDSR_DOMAIN_HEADER, domain), (OPENDSR_SIGNATURE_HEADER, signature)] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        let request = Request {
            method: Method::POST,
            url: url.to_owned(),
            headers,
            body: Bytes::from(body),
            caps: Caps { body_bytes: ANSWER_BYTES_READ, ..Caps::STANDARD },
            destination: url.to_owned(),
        };
        let reply = self.0.egress.send(request).await?;
        judge(&reply, std::time::SystemTime::now())
    }
}
