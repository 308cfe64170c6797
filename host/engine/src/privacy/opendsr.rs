//! Requests in OpenDSR form: what is held about a person is asked for, or that they are forgotten, by whoever the person
//! turned to. What is done is what `access` and `erase` do; here stands which request that was, and how far it is.
//!
//! Kept of a request are its id, its times, the profiles that it named, as ids, and the jobs that carry it out. Neither
//! the request nor an identity in it is kept. Two erasures of one request are under one record: a server that stops in
//! between goes on when the same request comes again.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cdp_domain::ids::{FragmentId, JobId};
use cdp_domain::time::Timestamp;
use cdp_jobs::Status as JobStatus;
use cdp_store::keys::tag;
use cdp_store::kv::Order;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::config::Change;
use crate::error::{Refused, Result};
use crate::rows::{Look, decode, encode};
use crate::tenant::Tenant;
use crate::writer::Applier;

/// Requests in OpenDSR form that are kept; with one more the oldest is forgotten.
pub const OPENDSR_REQUESTS_MAX: usize = 10_000;
/// Identities of one request.
pub const OPENDSR_IDENTITIES_MAX: usize = 32;
/// Addresses of one request that are told of its status.
pub const OPENDSR_CALLBACKS_MAX: usize = 4;
/// Bytes of such an address.
pub const OPENDSR_CALLBACK_BYTES_MAX: usize = 1024;
/// The domain that a request came to, in answers and callbacks.
pub const OPENDSR_DOMAIN_HEADER: &str = "x-opendsr-processor-domain";
/// The signature of an answer or a callback.
pub const OPENDSR_SIGNATURE_HEADER: &str = "x-opendsr-signature";
/// The version of the specification that is answered by.
pub const OPENDSR_API_VERSION: &str = "2.0";
/// Milliseconds until a request is expected to be fulfilled.
pub const OPENDSR_EXPECTED_MS: i64 = 24 * 3_600_000;

/// The identity types of the specification.
pub const IDENTITY_TYPES: [&str; 11] = [
    "controller_customer_id",
    "android_advertising_id",
    "android_id",
    "email",
    "fire_advertising_id",
    "ios_advertising_id",
    "ios_vendor_id",
    "microsoft_advertising_id",
    "microsoft_publisher_id",
    "roku_publisher_id",
    "roku_advertising_id",
];

/// How a tenant answers requests in OpenDSR form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenDsr {
    /// What the tenant is called; its slug when nothing is said.
    pub controller_id: Option<String>,
    /// The domain that requests come to; that of the request when nothing is said.
    pub domain: Option<String>,
    /// Where the certificate is whose key signs; the specification asks for one that an authority issued.
    pub processor_certificate: Option<String>,
    /// The identifier type of an identity type; its own name when nothing is said.
    pub identities: BTreeMap<CompactString, CompactString>,
}

impl OpenDsr {
    /// The identifier type that an identity type means; None for one that the specification does not know.
    #[must_use]
    pub fn identifier_type(&self, identity: &str) -> Option<CompactString> {
        let known = IDENTITY_TYPES.iter().find(|known| **known == identity)?;
        Some(self.identities.get(identity).cloned().unwrap_or_else(|| CompactString::from(*known)))
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectRequestKind {
    /// To be told what is held.
    Access,
    /// To be given it.
    Portability,
    /// To be forgotten.
    Erasure,
}

impl SubjectRequestKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Access, Self::Portability, Self::Erasure];

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Portability => "portability",
            Self::Erasure => "erasure",
        }
    }
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct SubjectAsked {
    /// Its id: a UUID of version 4.
    pub id: [u8; 16],
    /// What is asked for.
    pub kind: SubjectRequestKind,
    /// Types and values of identifiers.
    pub identifiers: Vec<(CompactString, String)>,
    /// The whole body, to tell a repeat from another request of the same id.
    pub body: Vec<u8>,
    /// With which key.
    pub by: String,
    /// Addresses to tell of its status.
    pub callbacks: Vec<String>,
    /// The domain that it came to.
    pub domain: String,
}

/// An address that is told of a request's status, and how far that is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    /// The address.
    pub url: String,
    /// The status that it was told last.
    pub told: Option<String>,
    /// How often in a row it could not be told.
    pub tries: u32,
    /// When it is tried again.
    pub next: Option<Timestamp>,
    /// Whether it is not tried any more.
    pub given_up: bool,
}

impl Callback {
    fn new(url: String) -> Self {
        Self { url, told: None, tries: 0, next: None, given_up: false }
    }
}

/// How far telling an address is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telling {
    /// The status that it was told last.
    pub told: Option<String>,
    /// How often in a row it could not be told.
    pub tries: u32,
    /// When it is tried again.
    pub next: Option<Timestamp>,
    /// Whether it is not tried any more.
    pub given_up: bool,
}

impl From<Callback> for Telling {
    fn from(Callback { told, tries, next, given_up, .. }: Callback) -> Self {
        Self { told, tries, next, given_up }
    }
}

/// A request as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectRequest {
    /// Its id.
    pub id: [u8; 16],
    /// What is asked for.
    pub kind: SubjectRequestKind,
    /// When it was received.
    pub received_at: Timestamp,
    /// With which key.
    pub by: String,
    /// A keyed digest of its body.
    pub body: [u8; 16],
    /// The profiles that it named.
    pub profiles: Vec<FragmentId>,
    /// What carries it out, one job for each profile, as far as it began.
    pub jobs: Vec<JobId>,
    /// When it was cancelled.
    pub cancelled_at: Option<Timestamp>,
    /// Who is told of its status.
    #[serde(default)]
    pub callbacks: Vec<Callback>,
    /// The domain that it came to.
    #[serde(default)]
    pub domain: String,
}

/// How far a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectStatus {
    /// It waits.
    Pending,
    /// It is being carried out.
    InProgress,
    /// It is fulfilled.
    Completed,
    /// It was cancelled.
    Cancelled,
}

impl SubjectStatus {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Applier<'_> {
    /// Keeps a request as it stands now; the oldest goes when there are too many.
    pub(crate) fn keep_subject_request(&mut self, request: &SubjectRequest) -> Result<()> {
        let key = self.hand.context().subject_request(request.id);
        let mut request = request.clone();
        if let Some(known) = self.hand.row(&key)? {
            // How far telling is has records of its own.
            let known: SubjectRequest = decode(&known)?;
            request.callbacks = known.callbacks;
        } else {
            let all = self.hand.context().table(tag::SUBJECT_REQUEST);
            let kept = self.hand.scan(&all, Order::Forward, OPENDSR_REQUESTS_MAX)?;
            if kept.len() == OPENDSR_REQUESTS_MAX {
                let mut oldest = None;
                for (key, bytes) in kept {
                    let known: SubjectRequest = decode(&bytes)?;
                    let age = (known.received_at, known.id);
                    if oldest.as_ref().is_none_or(|(before, _)| age < *before) {
                        oldest = Some((age, key));
                    }
                }
                oldest.into_iter().for_each(|(_, key)| self.hand.delete(key));
            }
        }
        self.hand.put(key, encode(&request));
        Ok(())
    }

    /// Keeps how far telling the n-th address of a request is.
    pub(crate) fn keep_telling(&mut self, id: [u8; 16], n: usize, telling: &Telling) -> Result<()> {
        let key = self.hand.context().subject_request(id);
        let Some(row) = self.hand.row(&key)? else { return Ok(()) };
        let mut request: SubjectRequest = decode(&row)?;
        if let Some(callback) = request.callbacks.get_mut(n) {
            let Telling { told, tries, next, given_up } = telling.clone();
            *callback = Callback { url: std::mem::take(&mut callback.url), told, tries, next, given_up };
        }
        self.hand.put(key, encode(&request));
        Ok(())
    }
}

impl Tenant {
    /// How requests in OpenDSR form are answered.
    #[must_use]
    pub fn opendsr(&self) -> OpenDsr {
        self.config().opendsr.clone()
    }

    /// Changes how requests in OpenDSR form are answered. What it holds was checked.
    ///
    /// # Errors
    /// The journal's.
    pub async fn put_opendsr(&self, settings: OpenDsr) -> Result<()> {
        let _changing = self.core.changing.lock().await;
        if self.opendsr() != settings {
            self.core.change(Change::OpenDsrPut { settings }).await?;
        }
        Ok(())
    }

    /// Takes a request. An erasure is in force when this returns; its jobs do the rest. The same request again changes
    /// nothing, and goes on with what a stop of the server left.
    ///
    /// # Errors
    /// [`Refused::Conflict`] when another request has this id, [`Refused::Invalid`] for a value that cannot be
    /// normalised; what `erase` and `request_access` fail with.
    pub async fn request_subject(&self, asked: SubjectAsked) -> Result<SubjectRequest> {
        let body = self.core.digests.body.wide(&asked.body);
        let mut request = match self.subject_request(asked.id) {
            Ok(known) if known.body == body => known,
            Ok(_) => return Err(Refused::Conflict("another request has this subject_request_id".to_owned())),
            Err(Refused::NotFound(_)) => {
                let request = SubjectRequest {
                    id: asked.id,
                    kind: asked.kind,
                    received_at: self.core.clock.now(),
                    by: asked.by.clone(),
                    body,
                    profiles: self.named(&asked.identifiers)?.into_keys().collect(),
                    jobs: Vec::new(),
                    cancelled_at: None,
                    callbacks: asked.callbacks.iter().cloned().map(Callback::new).collect(),
                    domain: asked.domain.clone(),
                };
                self.record_subject(&request).await?;
                request
            }
            Err(error) => return Err(error),
        };
        if request.jobs.len() >= request.profiles.len() || request.cancelled_at.is_some() {
            return Ok(request);
        }
        let reason = "a request in OpenDSR form";
        for (_, (kind, value)) in self.named(&asked.identifiers)? {
            let job = match asked.kind {
                SubjectRequestKind::Erasure => self.erase(&kind, &value, reason, &asked.by).await?,
                _ => {
                    let (this, by) = (self.clone(), asked.by.clone());
                    let ask = move || this.request_access(&kind, &value, &by);
                    tokio::task::spawn_blocking(ask).await.map_err(Refused::internal)??
                }
            };
            request.jobs.push(job);
        }
        self.record_subject(&request).await?;
        Ok(request)
    }

    async fn record_subject(&self, request: &SubjectRequest) -> Result<()> {
        self.core.change(Change::SubjectRequested { request: request.clone() }).await.map(|_| ())
    }

    /// The profiles that identifiers name, each once, with an identifier of each.
    fn named(
        &self,
        identifiers: &[(CompactString, String)],
    ) -> Result<BTreeMap<FragmentId, (CompactString, String)>> {
        let mut named = BTreeMap::new();
        let view = self.core.rows.read();
        for (n, (kind, value)) in identifiers.iter().enumerate() {
            let place = format!("/subject_identities/{n}/identity_value");
            let identifier = self.identifier(kind, value, &place)?;
            let Some(owner) = self.owner(&view, &identifier)? else { continue };
            if let Some(fragment) = view.fragment(owner)? {
                named.entry(fragment.profile).or_insert_with(|| (kind.clone(), value.clone()));
            }
        }
        Ok(named)
    }

    /// A request, as it is kept.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn subject_request(&self, id: [u8; 16]) -> Result<SubjectRequest> {
        let view = self.core.rows.read();
        let row = view.row(&view.context().subject_request(id))?.ok_or(Refused::NotFound("request"))?;
        decode(&row)
    }

    /// How far a request is. Documents are kept in memory: what a restart lost is put together again. Blocks.
    ///
    /// # Errors
    /// The store's; [`Refused::Overloaded`].
    pub fn subject_status(&self, request: &SubjectRequest) -> Result<SubjectStatus> {
        if request.cancelled_at.is_some() {
            return Ok(SubjectStatus::Cancelled);
        }
        if request.jobs.len() < request.profiles.len() {
            return Ok(SubjectStatus::Pending);
        }
        let mut status = SubjectStatus::Completed;
        for (profile, job) in request.profiles.iter().zip(&request.jobs) {
            let of = match request.kind {
                SubjectRequestKind::Erasure => match self.erasure(*job)?["status"].as_str() {
                    Some("done") => SubjectStatus::Completed,
                    _ => SubjectStatus::InProgress,
                },
                _ => self.document_status(*profile, *job)?,
            };
            status = match (status, of) {
                (_, SubjectStatus::InProgress) | (SubjectStatus::InProgress, _) => SubjectStatus::InProgress,
                (_, SubjectStatus::Pending) | (SubjectStatus::Pending, _) => SubjectStatus::Pending,
                _ => SubjectStatus::Completed,
            };
        }
        Ok(status)
    }

    fn document_status(&self, profile: FragmentId, job: JobId) -> Result<SubjectStatus> {
        match self.core.jobs.get(self.no(), job).map(|view| view.status) {
            Some(JobStatus::Queued) => Ok(SubjectStatus::Pending),
            Some(JobStatus::Running) => Ok(SubjectStatus::InProgress),
            Some(JobStatus::Done) => Ok(SubjectStatus::Completed),
            Some(JobStatus::Failed | JobStatus::Cancelled) | None => match self.profile(profile) {
                // Who was erased since is held no longer.
                Err(Refused::NotFound(_)) => Ok(SubjectStatus::Completed),
                Err(error) => Err(error),
                Ok(_) => {
                    self.submit_document(job, profile)?;
                    Ok(SubjectStatus::Pending)
                }
            },
        }
    }

    /// Cancels a request that waits.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; [`Refused::Conflict`] when it is under way or has ended.
    pub async fn cancel_subject(&self, id: [u8; 16]) -> Result<SubjectRequest> {
        let mut request = self.subject_request(id)?;
        let waits = |job: &JobId| {
            let view = self.core.jobs.get(self.no(), *job);
            view.is_some_and(|view| view.status == JobStatus::Queued)
                && self.core.jobs.cancel(self.no(), *job)
        };
        let waiting = request.cancelled_at.is_none()
            && request.kind != SubjectRequestKind::Erasure
            && !request.jobs.is_empty()
            && request.jobs.iter().all(waits);
        if !waiting {
            let detail = "only a request that is pending can be cancelled";
            return Err(Refused::Conflict(detail.to_owned()));
        }
        request.cancelled_at = Some(self.core.clock.now());
        self.record_subject(&request).await?;
        Ok(request)
    }

    /// Requests of which somebody is to be told something, now or later.
    #[must_use]
    pub fn subjects_to_tell(&self) -> Vec<[u8; 16]> {
        self.core.rows.read().inner.config.telling.iter().copied().collect()
    }

    /// Writes down how far telling the n-th address of a request is; `is_last` when no other status comes.
    ///
    /// # Errors
    /// The journal's.
    pub async fn record_telling(
        &self,
        id: [u8; 16],
        n: usize,
        telling: Telling,
        is_last: bool,
    ) -> Result<()> {
        let callbacks = match self.subject_request(id) {
            Ok(request) => request.callbacks,
            // It was forgotten: there are too many.
            Err(Refused::NotFound(_)) => Vec::new(),
            Err(error) => return Err(error),
        };
        let over = |(at, known): (usize, &Callback)| {
            let (told, given_up, tries) = match at == n {
                true => (&telling.told, telling.given_up, telling.tries),
                false => (&known.told, known.given_up, known.tries),
            };
            given_up || is_last && tries == 0 && told.is_some() && *told == telling.told
        };
        let open = !callbacks.iter().enumerate().all(over);
        self.core.change(Change::SubjectTold { id, n, telling, open }).await.map(|_| ())
    }

    /// What is answered about a request, and told of it. With a status, how far it is.
    #[must_use]
    pub fn subject_answer(
        &self,
        request: &SubjectRequest,
        status: Option<SubjectStatus>,
        domain: &str,
    ) -> serde_json::Value {
        let controller = self.opendsr().controller_id.unwrap_or_else(|| self.info().slug.to_string());
        let expected = Timestamp(request.received_at.0 + OPENDSR_EXPECTED_MS);
        let mut answer = serde_json::json!({
            "api_version": OPENDSR_API_VERSION,
            "controller_id": controller,
            "subject_request_id": subject_request_id(&request.id),
            "expected_completion_time": expected.to_string(),
        });
        let Some(status) = status else { return answer };
        answer["request_status"] = status.as_str().into();
        if status == SubjectStatus::Completed {
            answer["results_count"] = request.profiles.len().into();
            if let Some(job) = request.jobs.first() {
                let of = if request.kind == SubjectRequestKind::Erasure { "erasures" } else { "jobs" };
                answer["results_url"] = format!("https://{domain}/v1/{of}/{job}").into();
            }
        }
        answer
    }

    /// The signature of an answer or a callback: Ed25519 over the SHA-256 digest of its body, as Base64.
    #[must_use]
    pub fn sign_subject_answer(&self, body: &[u8]) -> String {
        STANDARD.encode(self.core.signer.sign(&Sha256::digest(body)))
    }

    /// What signatures are checked with.
    #[must_use]
    pub fn signing_key(&self) -> [u8; 32] {
        self.core.signer.public()
    }
}

impl Tenant {
    /// Has the document about a profile put together by a job of this id.
    fn submit_document(&self, job: JobId, profile: FragmentId) -> Result<()> {
        let this = self.clone();
        let work = Box::new(move |progress: &cdp_jobs::Progress| -> cdp_jobs::Outcome {
            this.everything_about(profile, progress).map_err(|error| crate::writer::error_chain(&error))
        });
        let submitted = self.core.jobs.submit(self.no(), job, "access_request", work);
        submitted.map_err(|_| Refused::Overloaded { retry_after: 5 })
    }
}

/// The id of a request as clients see it: a UUID in lower case.
#[must_use]
pub fn subject_request_id(id: &[u8; 16]) -> String {
    let hex = cdp_domain::hex::encode(id);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// Reads a UUID of version 4 in lower case.
#[must_use]
pub fn parse_subject_request_id(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let id: [u8; 16] = cdp_domain::hex::decode(&digits)?;
    let is_v4 = id[6] >> 4 == 4 && id[8] >> 6 == 2;
    (is_v4 && subject_request_id(&id) == text).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_uuid_of_version_4_in_lower_case() {
        let text = "a7551968-d5d6-44b2-9831-815ac9017798";
        assert_eq!(parse_subject_request_id(text).map(|id| subject_request_id(&id)).as_deref(), Some(text));
        for bad in [
            "A7551968-d5d6-44b2-9831-815ac9017798",
            "a7551968-d5d6-14b2-9831-815ac9017798",
            "a7551968-d5d6-44b2-c831-815ac9017798",
            "a7551968d5d644b29831815ac9017798",
            "a7551968-d5d6-44b2-9831-815ac901779",
            "",
        ] {
            assert_eq!(parse_subject_request_id(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_identity_type_means_the_identifier_type_that_the_tenant_says() {
        let settings = OpenDsr {
            identities: BTreeMap::from([("controller_customer_id".into(), "customer_id".into())]),
            ..OpenDsr::default()
        };
        assert_eq!(settings.identifier_type("controller_customer_id").as_deref(), Some("customer_id"));
        assert_eq!(settings.identifier_type("email").as_deref(), Some("email"));
        assert_eq!(settings.identifier_type("customer_id"), None);
    }
}
