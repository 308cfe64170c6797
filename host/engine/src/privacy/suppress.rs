//! Suppression: what names somebody who was erased is not taken in, whichever way it comes.
//!
//! Only keyed digests are kept, of identifiers and of contact points. The set is asked for every event before anything
//! else, so a repeat of an event from before the erasure is suppressed too, and not a duplicate. What was accepted before
//! is out of the question: its data key is destroyed.

use std::collections::HashSet;

use cdp_domain::event::Event;
use cdp_domain::identifier::Identifier;
use cdp_domain::ids::{JobId, Position};
use cdp_domain::time::Timestamp;
use cdp_store::journal::{Journal, RecordKind};
use cdp_store::keys::{self, tag};
use cdp_store::kv::Order;
use cdp_store::seal::{KeyRing, open_in_place};
use serde::{Deserialize, Serialize};

use crate::config::Change;
use crate::error::{Refused, Result};
use crate::rows::{Look, View, decode};
use crate::tenant::{Page, Tenant, TenantDigests};

/// A suppression as stored, under its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Suppression {
    /// The erasure that it belongs to.
    pub(crate) erasure: JobId,
    pub(crate) at: Timestamp,
    /// Whether it is of a contact point; else of an identifier.
    pub(crate) contact: bool,
    /// How many generations of data keys there were: the keys of its fragments are gone in all of them.
    pub(crate) generations: u32,
}

/// A suppression as clients see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuppressionView {
    /// The keyed digest.
    pub digest: [u8; 16],
    /// The erasure that it belongs to.
    pub erasure: JobId,
    /// Since when.
    pub at: Timestamp,
    /// `identifier` or `contact_point`.
    pub of: &'static str,
}

impl SuppressionView {
    fn of(digest: [u8; 16], stored: &Suppression) -> Self {
        let of = if stored.contact { "contact_point" } else { "identifier" };
        Self { digest, erasure: stored.erasure, at: stored.at, of }
    }
}

/// The digests of whom nothing is taken in.
#[derive(Debug, Default)]
pub(crate) struct Suppressed(HashSet<[u8; 16]>);

impl Suppressed {
    /// What state holds.
    pub(crate) fn load(view: &View<'_>) -> Result<Self> {
        let mut all = HashSet::new();
        let mut range = view.context().table(tag::SUPPRESSION);
        loop {
            let page = view.scan(&range, Order::Forward, 1024)?;
            let Some((last, _)) = page.last() else { return Ok(Self(all)) };
            range = range.after(last);
            all.extend(page.iter().filter_map(|(key, _)| keys::suppression(key)));
        }
    }

    /// Whether an event names somebody who was erased.
    pub(crate) fn names(&self, event: &Event, digests: &TenantDigests) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let identifier = |one: &Identifier| self.0.contains(&digests.identifier.wide(&one.canonical_bytes()));
        event.identifiers.iter().any(identifier)
            || event
                .channels
                .iter()
                .any(|point| self.0.contains(&digests.contact.wide(&point.canonical_bytes())))
    }

    /// Adds digests; those come back that were not there.
    pub(crate) fn add(&mut self, digests: impl IntoIterator<Item = [u8; 16]>) -> Vec<[u8; 16]> {
        digests.into_iter().filter(|digest| self.0.insert(*digest)).collect()
    }

    /// Takes digests out.
    pub(crate) fn remove(&mut self, digests: &[[u8; 16]]) {
        digests.iter().for_each(|digest| {
            self.0.remove(digest);
        });
    }
}

/// Takes in what records say that are not applied yet: events are accepted before state is brought forward to there.
pub(crate) fn suppressed_ahead(
    suppressed: &mut Suppressed,
    journal: &Journal,
    keys: &KeyRing,
    tenant: cdp_domain::ids::TenantNo,
    applied: Position,
) -> Result<()> {
    let mut reader = journal.reader(applied);
    while let Some((position, header, _)) = reader.next_header()? {
        if header.kind != RecordKind::Config {
            continue;
        }
        let mut record = journal.read_at(position)?;
        match open_in_place(keys, tenant, &record.header, &mut record.payload) {
            Err(cdp_store::Error::KeyDestroyed) => continue,
            opened => opened?,
        }
        match serde_json::from_slice(&record.payload).map_err(Refused::internal)? {
            Change::Erased { erasure } => {
                suppressed.add(erasure.identifiers.iter().chain(&erasure.contacts).copied());
            }
            Change::SuppressionLifted { digest, .. } => suppressed.remove(&[digest]),
            _ => {}
        }
    }
    Ok(())
}

impl Tenant {
    /// Suppressions in force, in the order of their digests. `after` continues a page.
    ///
    /// # Errors
    /// The store's.
    pub fn suppressions(
        &self,
        limit: usize,
        after: Option<[u8; 16]>,
    ) -> Result<Page<SuppressionView, [u8; 16]>> {
        let view = self.core.rows.read();
        let mut range = view.context().table(tag::SUPPRESSION);
        if let Some(after) = after {
            range = range.after(&view.context().suppression(after));
        }
        let found = view.scan(&range, Order::Forward, limit)?;
        let next = found.last().filter(|_| found.len() == limit).and_then(|(key, _)| keys::suppression(key));
        let mut items = Vec::with_capacity(found.len());
        for (key, bytes) in &found {
            let Some(digest) = keys::suppression(key) else { continue };
            items.push(SuppressionView::of(digest, &decode(bytes)?));
        }
        Ok(Page { items, next })
    }

    /// A suppression in force.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; the store's.
    pub fn suppression(&self, digest: [u8; 16]) -> Result<SuppressionView> {
        let view = self.core.rows.read();
        let row = view.row(&view.context().suppression(digest))?.ok_or(Refused::NotFound("suppression"))?;
        Ok(SuppressionView::of(digest, &decode(&row)?))
    }

    /// Lets events in again that name this identifier or contact point. What was erased stays erased: new events are
    /// sealed with other keys than those that were destroyed. Returns when it is in force.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; [`Refused::Invalid`] without a reason.
    pub async fn lift_suppression(&self, digest: [u8; 16], reason: &str, by: &str) -> Result<()> {
        super::erase::check_reason(reason)?;
        let core = &self.core;
        let _changing = core.changing.lock().await;
        let row = {
            let view = core.rows.read();
            view.row(&view.context().suppression(digest))?
        };
        let row = row.ok_or(Refused::NotFound("suppression"))?;
        let Suppression { generations, .. } = decode(&row)?;
        let shared = core.clone();
        let renew = move || shared.keys.renew(generations as usize);
        tokio::task::spawn_blocking(renew).await.map_err(Refused::internal)??;
        let change = Change::SuppressionLifted { digest, reason: reason.to_owned(), by: by.to_owned() };
        core.change(change).await?;
        core.suppressed.write().remove(&[digest]);
        core.audit(by, "suppression_lifted", serde_json::json!({ "reason": reason }))?;
        Ok(())
    }
}
