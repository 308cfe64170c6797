//! The ledger: every decision as it was reported, in the order of receipt.

use std::collections::BTreeMap;

use cdp_domain::consent::{Current, Decision, Status};
use cdp_domain::ids::{FragmentId, Position};
use cdp_domain::stamp::Stamp;
use cdp_domain::time::Timestamp;
use cdp_store::chain;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::Result;
use crate::feed::Pending;
use crate::rows::{Contact, Look as _, encode};
use crate::writer::Applier;

/// A decision as stored, under the contact point and the place of the record that reported it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) purpose: CompactString,
    pub(crate) status: Status,
    pub(crate) at: Timestamp,
    pub(crate) received_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) method: Option<CompactString>,
    pub(crate) policy_version: Option<CompactString>,
    pub(crate) proof: Option<CompactString>,
    pub(crate) actor: Option<CompactString>,
    pub(crate) source: CompactString,
    pub(crate) event_id: CompactString,
}

impl Kept {
    fn of(decision: &Decision, current: &Current) -> Self {
        Self {
            purpose: decision.purpose.clone(),
            status: current.status,
            at: current.at,
            received_at: current.received_at,
            expires_at: current.expires_at,
            method: current.method.clone(),
            policy_version: current.policy_version.clone(),
            proof: current.proof.clone(),
            actor: current.actor.clone(),
            source: current.evidence.source().into(),
            event_id: current.evidence.id().into(),
        }
    }
}

/// What an entry of the chain says of a decision, and what a history shows. Names are sorted.
pub(crate) fn content(kept: &Kept) -> BTreeMap<&'static str, Value> {
    let time = |time: Timestamp| Value::from(time.to_string());
    let text = |text: &Option<CompactString>| text.as_ref().map_or(Value::Null, |text| text.as_str().into());
    BTreeMap::from([
        ("purpose", kept.purpose.as_str().into()),
        ("status", kept.status.as_str().into()),
        ("time", time(kept.at)),
        ("received_at", time(kept.received_at)),
        ("expires_at", kept.expires_at.map_or(Value::Null, time)),
        ("method", text(&kept.method)),
        ("policy_version", text(&kept.policy_version)),
        ("evidence", text(&kept.proof)),
        ("actor", text(&kept.actor)),
        ("source", kept.source.as_str().into()),
        ("event_id", kept.event_id.as_str().into()),
    ])
}

impl Applier<'_> {
    /// Takes what an event says of contact points in: whether they are verified, and what was decided. The fragments
    /// whose reachability may have changed come back, each once.
    ///
    /// Decisions count whatever else becomes of the event: whether its time has come, or it was taken back.
    pub(crate) fn consents(
        &mut self,
        pending: &Pending,
        at: Position,
        stamp: &Stamp,
    ) -> Result<Vec<FragmentId>> {
        let event = &pending.event;
        for (point, verified) in &event.verified {
            let digest = self.core.digests.contact.wide(&point.canonical_bytes());
            self.hand.contact_mut(digest, || Contact::new(point.clone()))?.verify(stamp, *verified);
        }
        let mut affected = Vec::new();
        for (n, decision) in event.consents.iter().enumerate() {
            let digest = self.core.digests.contact.wide(&decision.contact.canonical_bytes());
            let current = Current::of(decision, stamp, pending.received_at);
            let kept = Kept::of(decision, &current);
            let contact = self.hand.contact_mut(digest, || Contact::new(decision.contact.clone()))?;
            if contact.decide(&decision.purpose, current) {
                affected.extend_from_slice(&contact.fragments);
            }
            let n = n as u32;
            let mut content = content(&kept);
            content.insert("channel", decision.contact.channel.as_str().into());
            content.insert("address", decision.contact.address.as_str().into());
            let key = self.hand.context().ledger(digest, at, n);
            self.hand.put(key, encode(&kept));
            let as_of = self.hand.inner.summary.as_of;
            self.hand.inner.decided.push(chain::New {
                at: as_of,
                place: Some((at.0, n)),
                key_ref: digest,
                content: json!(content).to_string().into_bytes(),
            });
        }
        affected.sort_unstable();
        affected.dedup();
        Ok(affected)
    }
}
