//! Guards in force: what of an event is taken out before it is written, because a purpose's consent is missing.
//!
//! It is decided once, at acceptance, and stands in the event's record: a rebuild finds the event as it was stored.
//! What was accepted before must be applied first, so that a withdrawal that was acknowledged is known.
//! Consent is that of the event's own contact points and devices, of what it decides itself, and of the contact points of
//! whoever its identifiers name. One no among them is a no; a yes takes one yes, or a legal basis that needs none.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cdp_domain::consent::guard::{Action, Guard};
use cdp_domain::consent::signals::{DEVICE, DEVICES};
use cdp_domain::consent::{ContactPoint, Current, Status};
use cdp_domain::event::Event;
use cdp_domain::time::Timestamp;
use cdp_domain::value::Object;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::config::{Config, Purpose};
use crate::error::{Refused, Result};
use crate::identity::ground::Ground;
use crate::rows::{Contact, Look, View};
use crate::tenant::Core;

/// How long events with guarded values wait until what was accepted before them is applied, in milliseconds.
pub const GUARD_WAIT_MS_MAX: u64 = 5000;

/// What was taken out of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guarded {
    /// The purpose whose consent was missing.
    pub purpose: CompactString,
    /// Where the value stood.
    pub pointer: String,
    /// Whether a digest stands there now; else nothing does.
    pub hashed: bool,
}

/// The guards of all purposes.
#[derive(Debug, Default)]
pub(crate) struct Guards(BTreeMap<CompactString, Purpose>);

/// Decisions against somebody in the events of one request: what stands earlier in a request is known later in it.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Vec<(ContactPoint, CompactString, Current)>);

impl Refusals {
    /// Notes what an event says no to. What it says yes to counts once it is applied: it may not be taken in.
    pub(crate) fn note(&mut self, event: &Event, now: Timestamp) {
        let stamp = event.stamp();
        let refusals = event.consents.iter().filter(|decision| decision.status != Status::Granted);
        self.0.extend(refusals.map(|decision| {
            let current = Current::of(decision, &stamp, now);
            (decision.contact.clone(), decision.purpose.clone(), current)
        }));
    }
}

impl Guards {
    pub(crate) fn of(config: &Config) -> Self {
        let guarding = config.purposes.iter().filter(|(_, purpose)| !purpose.guards.is_empty());
        Self(guarding.map(|(name, purpose)| (name.clone(), purpose.clone())).collect())
    }

    /// Whether nothing is guarded.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an event carries something that is guarded.
    pub(crate) fn concern(&self, event: &Object) -> bool {
        self.all().any(|(_, guard)| !guard.found(event).is_empty())
    }

    fn all(&self) -> impl Iterator<Item = (&CompactString, &Guard)> {
        self.0.iter().flat_map(|(name, purpose)| purpose.guards.iter().map(move |guard| (name, guard)))
    }
}

impl Core {
    /// Waits until everything that was accepted until now is applied.
    ///
    /// # Errors
    /// [`Refused::Unavailable`] after [`GUARD_WAIT_MS_MAX`].
    pub(crate) async fn wait_for_what_is_accepted(&self) -> Result<()> {
        let until = self.journal.end();
        let mut applied = self.applied.subscribe();
        let patience = Duration::from_millis(GUARD_WAIT_MS_MAX);
        // What is lost in a failed append is never applied, and takes the end back.
        let reached = applied.wait_for(|applied| *applied >= until.min(self.journal.end()));
        match tokio::time::timeout(patience, reached).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Refused::Unavailable(
                "the events carry what a purpose guards, and what was accepted before them is not applied yet; nothing was accepted"
                    .to_owned(),
            )),
        }
    }

    /// Takes out of an event what is guarded by purposes whose consent is missing.
    pub(crate) fn guard(
        &self,
        object: &mut Object,
        event: &Event,
        guards: &Guards,
        said: &Refusals,
    ) -> Result<Vec<Guarded>> {
        let view = self.rows.read();
        let now = self.clock.now().max(view.inner.summary.as_of);
        let points = self.points_of(&view, event)?;
        let mut taken = Vec::new();
        for (name, purpose) in &guards.0 {
            if purpose.guards.iter().all(|guard| guard.found(object).is_empty()) {
                continue;
            }
            let mut statuses = Vec::new();
            for point in points.iter().filter(|point| purpose.covers(&point.channel)) {
                let known = view.contact(self.digests.contact.wide(&point.canonical_bytes()))?;
                statuses.extend(status(known.as_deref(), point, name, (event, said), now));
            }
            if permits(purpose, &statuses) {
                continue;
            }
            self.take_out(object, name, purpose, &mut taken);
        }
        Ok(taken)
    }

    /// Takes everything out that is guarded by anything.
    pub(crate) fn guard_all(&self, object: &mut Object, guards: &Guards) -> Vec<Guarded> {
        let mut taken = Vec::new();
        for (name, purpose) in &guards.0 {
            self.take_out(object, name, purpose, &mut taken);
        }
        taken
    }

    fn take_out(
        &self,
        object: &mut Object,
        name: &CompactString,
        purpose: &Purpose,
        taken: &mut Vec<Guarded>,
    ) {
        let digest = |bytes: &[u8]| -> CompactString {
            let digest = self.digests.guarded.wide(bytes);
            digest.iter().map(|byte| compact_str::format_compact!("{byte:02x}")).collect()
        };
        for guard in &purpose.guards {
            let hashed = guard.action == Action::Hash;
            let pointers = guard.take_out(object, &digest);
            taken.extend(pointers.into_iter().map(|pointer| Guarded {
                purpose: name.clone(),
                pointer,
                hashed,
            }));
        }
    }

    /// The contact points whose consent counts for an event.
    fn points_of(&self, view: &View<'_>, event: &Event) -> Result<BTreeSet<ContactPoint>> {
        let mut points: BTreeSet<ContactPoint> = event.channels.iter().cloned().collect();
        points.extend(event.consents.iter().map(|decision| decision.contact.clone()));
        let devices = event.identifiers.iter().filter(|one| DEVICES.contains(&one.kind.as_str()));
        points.extend(devices.map(|one| ContactPoint { channel: DEVICE.into(), address: one.value.clone() }));
        let resolver = self.resolver.read().clone();
        let revision = view.inner.config.identity.revision;
        let ground = Ground::new(view, &self.digests, &resolver, Some(revision));
        for identifier in &event.identifiers {
            let Some(owner) = ground.owner(identifier)? else { continue };
            for (_, fragment) in view.profile(owner)? {
                points.extend(fragment.contacts.iter().cloned());
            }
        }
        Ok(points)
    }
}

/// What holds at a contact point for a purpose, with what the request says about it.
fn status(
    known: Option<&Contact>,
    point: &ContactPoint,
    purpose: &CompactString,
    (event, said): (&Event, &Refusals),
    now: Timestamp,
) -> Option<Status> {
    let stamp = event.stamp();
    let own = event.consents.iter().filter(|one| one.contact == *point && one.purpose == *purpose);
    let own = own.map(|decision| Current::of(decision, &stamp, now));
    let earlier = said.0.iter().filter(|(at, of, _)| at == point && of == purpose);
    let earlier = earlier.map(|(_, _, current)| current.clone());
    let known = known.and_then(|contact| contact.consent(purpose)).cloned();
    let current = known.into_iter().chain(earlier).chain(own).reduce(Current::combine)?;
    Some(current.read(now).0)
}

/// One no is a no; else one yes, or a legal basis that needs none.
fn permits(purpose: &Purpose, statuses: &[Status]) -> bool {
    let basis = purpose.basis();
    let refuses = |status: &Status| basis.permits(Some(*status)).is_err() && *status != Status::Expired;
    if statuses.iter().any(refuses) {
        return false;
    }
    statuses.contains(&Status::Granted) || basis.permits(None).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_no_is_a_no_and_nothing_is_a_no_where_consent_is_the_basis() {
        use Status::{Denied, Expired, Granted, Withdrawn};
        let purpose = |basis: &str| Purpose {
            title: "t".into(),
            legal_basis: basis.into(),
            channels: Vec::new(),
            policy: None,
            guards: Vec::new(),
            version: 1,
        };
        for (basis, statuses, wanted) in [
            ("consent", &[][..], false),
            ("consent", &[Granted], true),
            ("consent", &[Expired], false),
            ("consent", &[Expired, Granted], true),
            ("consent", &[Granted, Withdrawn], false),
            ("consent", &[Denied], false),
            ("contract", &[], true),
            ("contract", &[Expired], true),
            ("legitimate_interest", &[Withdrawn], false),
            ("legal_obligation", &[Denied], true),
        ] {
            assert_eq!(permits(&purpose(basis), statuses), wanted, "{basis} {statuses:?}");
        }
    }
}
