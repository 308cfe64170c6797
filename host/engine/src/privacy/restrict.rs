//! Restriction: somebody is kept and not used. In no segment, no audience and no ranking, until it is lifted.
//!
//! A restriction names digests only: of the person's identifiers and of the fragments there were. Whoever has one of them
//! is restricted, whole: so it goes over to whom the person is joined with, stays with every part when they are separated
//! again, and holds for what comes later. Facts go on being computed, so that lifting it needs nothing made anew.
//! It is a record like any other change; a rebuild comes to the same, turn by turn.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use cdp_domain::ids::FragmentId;
use cdp_domain::time::Timestamp;
use cdp_store::keys::{self, tag};
use cdp_store::kv::Order;
use cdp_store::state::State;
use serde::{Deserialize, Serialize};

use super::erase::{ERASED_PARTS_MAX, check_reason};
use super::{files, packed};
use crate::config::Change;
use crate::error::{Refused, Result};
use crate::rows::{Fragment, Look, decode, encode};
use crate::tenant::{Page, Tenant, TenantDigests};
use crate::writer::{Applier, Cause};

/// Restrictions in force of one tenant.
pub const RESTRICTIONS_MAX: u32 = 10_000;

/// A restriction as it stands in the journal and in state: digests and ids, nothing that names anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restriction {
    /// Its number; never reused.
    pub id: u32,
    /// When it was made.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// With which key it was made.
    pub by: String,
    /// The profile, as it was called then.
    pub profile: FragmentId,
    /// Its fragments.
    #[serde(with = "packed")]
    pub fragments: Vec<[u8; 16]>,
    /// Keyed digests of its identifiers.
    #[serde(with = "packed")]
    pub identifiers: Vec<[u8; 16]>,
}

/// What making a restriction came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restricting {
    /// The restriction.
    pub restriction: Restriction,
    /// Held export files that contained the person.
    pub files: u64,
    /// Rows that were taken out of them.
    pub rows: u64,
}

/// The digests of whom is restricted, with the numbers of the restrictions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Restricted(HashMap<[u8; 16], BTreeMap<u32, Timestamp>>);

impl Restricted {
    /// What the store holds.
    pub(crate) fn load(state: &State) -> Result<Self> {
        let mut all = Self::default();
        let mut range = state.context().table(tag::RESTRICTION);
        loop {
            let page = state.scan(&range, Order::Forward, 256)?;
            let Some((last, _)) = page.last() else { return Ok(all) };
            range = range.after(last);
            for (_, row) in &page {
                all.add(&decode(row.bytes())?);
            }
        }
    }

    pub(crate) fn add(&mut self, restriction: &Restriction) {
        for digest in restriction.fragments.iter().chain(&restriction.identifiers) {
            self.0.entry(*digest).or_default().insert(restriction.id, restriction.at);
        }
    }

    pub(crate) fn remove(&mut self, restriction: &Restriction) {
        for digest in restriction.fragments.iter().chain(&restriction.identifiers) {
            if let Some(by) = self.0.get_mut(digest) {
                by.remove(&restriction.id);
                if by.is_empty() {
                    self.0.remove(digest);
                }
            }
        }
    }

    /// The restrictions that hold for a profile, with when each was made; empty for nearly everybody.
    pub(crate) fn of(
        &self,
        fragments: &[(FragmentId, Arc<Fragment>)],
        digests: &TenantDigests,
    ) -> BTreeMap<u32, Timestamp> {
        let mut found = BTreeMap::new();
        if self.0.is_empty() {
            return found;
        }
        let mut look = |digest: &[u8; 16]| found.extend(self.0.get(digest).into_iter().flatten());
        for (id, fragment) in fragments {
            look(&id.0);
            for identifier in fragment.owned() {
                look(&digests.identifier.wide(&identifier.canonical_bytes()));
            }
        }
        found
    }
}

impl Applier<'_> {
    /// Puts a restriction in force, or lifts it, and judges anew whom it concerns.
    pub(crate) fn restrict(&mut self, restriction: &Restriction, lift: bool) -> Result<()> {
        let key = self.hand.context().restriction(restriction.id);
        let restricted = Arc::make_mut(&mut self.hand.inner.restricted);
        if lift {
            restricted.remove(restriction);
            self.hand.delete(key);
        } else {
            restricted.add(restriction);
            self.hand.put(key, encode(restriction));
        }
        for root in self.concerned(restriction)? {
            self.judge_anew(root, Cause::Restriction)?;
        }
        Ok(())
    }

    /// The roots of the profiles that have one of its digests.
    fn concerned(&self, restriction: &Restriction) -> Result<BTreeSet<FragmentId>> {
        let mut fragments: BTreeSet<FragmentId> =
            restriction.fragments.iter().copied().map(FragmentId).collect();
        for digest in &restriction.identifiers {
            let mut range = self.hand.context().identifier_range(*digest);
            loop {
                let page = self.hand.scan(&range, Order::Forward, 256)?;
                let Some((last, _)) = page.last() else { break };
                range = range.after(last);
                fragments.extend(page.iter().filter_map(|(key, _)| keys::identifier(key)).map(|(_, id)| id));
            }
        }
        let mut roots = BTreeSet::new();
        for id in fragments {
            roots.extend(self.hand.fragment(id)?.map(|fragment| fragment.profile));
        }
        Ok(roots)
    }
}

impl Tenant {
    /// Restricts whom an identifier names. When it returns, the person is in no segment, in no audience that is written
    /// from then on, and in no export file that is held.
    ///
    /// # Errors
    /// [`Refused::Invalid`]; [`Refused::NotFound`]; [`Refused::Conflict`] at [`RESTRICTIONS_MAX`] or above
    /// [`ERASED_PARTS_MAX`] fragments and identifiers.
    pub async fn restrict(&self, kind: &str, value: &str, reason: &str, by: &str) -> Result<Restricting> {
        check_reason(reason)?;
        let identifier = self.identifier(kind, value, "/identifier/value")?;
        let core = &self.core;
        let _changing = core.changing.lock().await;
        let config = self.config();
        room_for_another(config.restrictions)?;
        let this = self.clone();
        let look = move || this.whole(&this.core.rows.read(), &identifier);
        let whole = tokio::task::spawn_blocking(look).await.map_err(Refused::internal)??;
        let parts = whole.fragments.len() + whole.identifiers.len();
        if parts > ERASED_PARTS_MAX {
            let detail =
                format!("the profile has {parts} parts, at most {ERASED_PARTS_MAX} can be restricted");
            return Err(Refused::Conflict(detail));
        }
        let restriction = Restriction {
            id: config.next_restriction,
            at: core.clock.now(),
            reason: reason.to_owned(),
            by: by.to_owned(),
            profile: whole.profile,
            fragments: whole.fragments.iter().map(|(id, _)| id.0).collect(),
            identifiers: whole.identifiers.iter().copied().collect(),
        };
        drop(whole);
        core.change(Change::Restricted { restriction: restriction.clone() }).await?;
        let (this, named) = (self.clone(), restriction.fragments.iter().copied().collect());
        // Files that are ending now see that somebody was restricted meanwhile, and are written anew.
        let redact = move || files::redact(&this, &named, "restricted");
        let redacted = tokio::task::spawn_blocking(redact).await.map_err(Refused::internal)??;
        Ok(Restricting { restriction, files: redacted.files, rows: redacted.rows })
    }

    /// Lifts a restriction. When it returns, the person is where the rules say, unless another restriction holds.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; [`Refused::Invalid`] without a reason.
    pub async fn lift_restriction(&self, id: u32, reason: &str, by: &str) -> Result<Restriction> {
        check_reason(reason)?;
        let _changing = self.core.changing.lock().await;
        let restriction = self.restriction(id)?;
        let (reason, by) = (reason.to_owned(), by.to_owned());
        self.core.change(Change::RestrictionLifted { restriction: restriction.clone(), reason, by }).await?;
        Ok(restriction)
    }

    /// A restriction in force.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn restriction(&self, id: u32) -> Result<Restriction> {
        let view = self.core.rows.read();
        let row = view.row(&view.context().restriction(id))?.ok_or(Refused::NotFound("restriction"))?;
        decode(&row)
    }

    /// Restrictions in force, oldest first. `after` continues a page.
    ///
    /// # Errors
    /// The store's.
    pub fn restrictions(&self, limit: usize, after: Option<u32>) -> Result<Page<Restriction, u32>> {
        let view = self.core.rows.read();
        let mut range = view.context().table(tag::RESTRICTION);
        if let Some(after) = after {
            range = range.after(&view.context().restriction(after));
        }
        let found = view.scan(&range, Order::Forward, limit)?;
        let next = found.last().filter(|_| found.len() == limit).and_then(|(key, _)| keys::restriction(key));
        let items = found.iter().map(|(_, bytes)| decode(bytes)).collect::<Result<_>>()?;
        Ok(Page { items, next })
    }
}

/// The id of a restriction as clients see it.
#[must_use]
pub fn restriction_id(id: u32) -> String {
    format!("res_{id}")
}

fn room_for_another(there: u32) -> Result<()> {
    if there < RESTRICTIONS_MAX {
        return Ok(());
    }
    Err(Refused::Conflict(format!("there are {RESTRICTIONS_MAX} restrictions already")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_up_to_the_limit() {
        assert!(room_for_another(RESTRICTIONS_MAX - 1).is_ok());
        assert!(matches!(room_for_another(RESTRICTIONS_MAX), Err(Refused::Conflict(_))));
    }

    #[test]
    fn what_two_restrictions_name_stays_restricted_when_one_is_lifted() {
        let of = |id, fragments: &[u8], identifiers: &[u8]| Restriction {
            id,
            at: Timestamp(i64::from(id)),
            reason: "r".into(),
            by: "key".into(),
            profile: FragmentId([1; 16]),
            fragments: fragments.iter().map(|n| [*n; 16]).collect(),
            identifiers: identifiers.iter().map(|n| [*n; 16]).collect(),
        };
        let (a, b) = (of(0, &[1, 2], &[9]), of(1, &[2], &[9]));
        let mut all = Restricted::default();
        all.add(&a);
        all.add(&b);
        all.remove(&a);
        let mut left: Vec<_> = all.0.keys().copied().collect();
        left.sort_unstable();
        assert_eq!(left, [[2; 16], [9; 16]]);
        let row: Restriction = decode(&encode(&a)).unwrap();
        assert_eq!(row, a, "a row is read back");
        all.remove(&b);
        assert!(all.0.is_empty());
    }
}
