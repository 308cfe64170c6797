//! Access and portability: everything that is held about a person, in one document.
//!
//! What is given are the person's own fragments. An event that names somebody else too, by an identifier that was set
//! aside, is told by its number only: what it says may be about the other.

use std::collections::HashSet;

use cdp_domain::ids::{FragmentId, JobId};
use cdp_domain::json;
use cdp_domain::value::Value;
use cdp_jobs::{Outcome, Progress};
use serde_json::{Map, Value as Json, json};

use crate::error::{Refused, Result};
use crate::rows::Look;
use crate::tenant::{Tenant, new_job};

/// Events that one document holds: the newest.
pub const ACCESS_EVENTS_MAX: usize = 100_000;
/// The form of the document.
pub const ACCESS_FORMAT: &str = "cdp-access/1";
/// Events read at a time.
const PAGE: usize = 200;

impl Tenant {
    /// Has everything put together that is held about whom an identifier names, by a job whose result is the document.
    /// Blocks: the request is written into the audit log before it is answered.
    ///
    /// # Errors
    /// [`Refused::Invalid`], [`Refused::NotFound`].
    pub fn request_access(&self, kind: &str, value: &str, by: &str) -> Result<JobId> {
        let profile = self.lookup(kind, value)?.id;
        let job = new_job()?;
        self.core.audit(
            by,
            "access_request",
            json!({ "job": job.to_string(), "profile": profile.to_string() }),
        )?;
        let (this, kind, value) = (self.clone(), kind.to_owned(), value.to_owned());
        let work = Box::new(move |progress: &Progress| -> Outcome {
            this.everything(&kind, &value, progress).map_err(|error| crate::writer::error_chain(&error))
        });
        let submitted = self.core.jobs.submit(self.no(), job, "access_request", work);
        submitted.map_err(|_| Refused::Overloaded { retry_after: 5 })?;
        Ok(job)
    }

    /// The same, of a profile by the id of any of its fragments.
    pub(super) fn everything_about(&self, profile: FragmentId, progress: &Progress) -> Result<Json> {
        let named = self.profile(profile)?.identifiers.into_iter().next();
        let named = named.ok_or(Refused::NotFound("profile"))?;
        self.everything(&named.kind, &named.value, progress)
    }

    fn everything(&self, kind: &str, value: &str, progress: &Progress) -> Result<Json> {
        let identifier = self.identifier(kind, value, "/identifier/value")?;
        let view = self.lookup(kind, value)?;
        let (ids, foreign) = {
            let rows = self.core.rows.read();
            let whole = self.whole(&rows, &identifier)?;
            let resolver = self.core.resolver.read().clone();
            // Set aside, and not because it names nobody: it is somebody else's.
            let foreign = whole.fragments.iter().filter(|(_, fragment)| {
                let mut all = fragment.identifiers.iter();
                all.any(|one| !fragment.owns(one) && !resolver.blocked(one))
            });
            let foreign: HashSet<_> = foreign.map(|(id, _)| *id).collect();
            (whole.fragments.iter().map(|(id, _)| *id).collect::<Vec<_>>(), foreign)
        };
        let mut events = Vec::new();
        let (mut left_out, mut total) = (0_u64, 0_u64);
        for id in &ids {
            let mut before = None;
            loop {
                let page = self.core.timeline.scan_back(&id.0, before, PAGE)?;
                before = page.last().copied();
                total += page.len() as u64;
                if foreign.contains(id) {
                    left_out += page.len() as u64;
                } else {
                    let room = ACCESS_EVENTS_MAX.saturating_sub(events.len());
                    let places: Vec<_> = page.iter().take(room).map(crate::past::place_of).collect();
                    for (event, received_at) in self.held(&places)? {
                        events
                            .push(json!({ "event": plain(&event)?, "received_at": received_at.to_string() }));
                    }
                }
                progress.set(events.len() as u64, total);
                if progress.cancelled() {
                    return Err(Refused::Conflict("the request was cancelled".to_owned()));
                }
                if page.len() < PAGE {
                    break;
                }
            }
        }
        let truncated = total - left_out > events.len() as u64;
        let traits = view.traits.iter().map(|(name, read)| {
            let shown = json!({ "value": plain(&read.value)?, "time": read.time.to_string(),
                "source": read.source.as_str(), "event_id": read.event_id.as_str() });
            Ok((name.to_string(), shown))
        });
        let attributes = view.attributes.iter().map(|(name, read)| {
            let value = read.value.as_ref().map_or(Ok(Json::Null), plain)?;
            let until = read.valid_until.map(|at| at.to_string());
            Ok((
                name.to_string(),
                json!({ "value": value, "valid_until": until, "computed_by": read.computed_by.as_str() }),
            ))
        });
        let mut channels = Vec::new();
        for channel in &view.channels {
            let digest = self.core.digests.contact.wide(&channel.contact.canonical_bytes());
            let rows = self.core.rows.read();
            let alone =
                rows.contact(digest)?.is_none_or(|one| one.fragments.iter().all(|id| ids.contains(id)));
            let consents = channel.consents.iter().map(|(purpose, consent)| {
                (purpose.to_string(), json!({ "status": consent.status, "time": consent.time.to_string() }))
            });
            channels.push(json!({
                "channel": channel.contact.channel.as_str(),
                "address": channel.contact.address.as_str(),
                "shared": !alone,
                "consents": consents.collect::<Map<_, _>>(),
                "history": crate::consent::history(&rows, digest)?,
            }));
        }
        let profiles: HashSet<[u8; 16]> = ids.iter().map(|id| id.0).collect();
        let exports = super::files::holding(&self.core, &profiles)?;
        let identifiers = view.identifiers.iter();
        let identifiers =
            identifiers.map(|one| json!({ "type": one.kind.as_str(), "value": one.value.as_str() }));
        Ok(json!({
            "format": ACCESS_FORMAT,
            "made_at": self.core.clock.now().to_string(),
            "tenant": self.info().name,
            "profile_id": view.id.to_string(),
            "position": view.position.to_string(),
            "first_seen": view.first_seen.to_string(),
            "last_seen": view.last_seen.to_string(),
            "fragments": ids.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "identifiers": identifiers.collect::<Vec<_>>(),
            "traits": traits.collect::<Result<Map<_, _>>>()?,
            "attributes": attributes.collect::<Result<Map<_, _>>>()?,
            "restrictions": view.restrictions.iter().map(|(id, at)| json!({
                "id": super::restriction_id(*id), "since": at.to_string() })).collect::<Vec<_>>(),
            "segments": view.segments.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
            "channels": channels,
            "events": events,
            "events_left_out": left_out,
            "events_truncated": truncated,
            "exports": exports.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }))
    }
}

/// A value as JSON.
fn plain(value: &Value) -> Result<Json> {
    serde_json::from_str(&json::to_string(value)).map_err(Refused::internal)
}
