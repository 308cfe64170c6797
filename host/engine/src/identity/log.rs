//! What identity did, as it did it: merges and splits with their cause, and alerts on what stopped linking.

use cdp_domain::identifier::Identifier;
use cdp_domain::ids::{FragmentId, Position};
use cdp_domain::time::Timestamp;
use cdp_store::keys::{self, tag};
use cdp_store::kv::Order;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::rows::decode;
use crate::tenant::{Page, Tenant};

/// Why profiles changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Because {
    /// A fragment was new, or turned out to be older.
    Fragment(FragmentId),
    /// The rules changed to this version.
    Rules(u32),
    /// A constraint was made.
    Constraint(u32),
    /// A constraint was removed.
    ConstraintRemoved(u32),
    /// Somebody was erased who had an identifier in common.
    Erasure,
}

/// What happened to profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Happened {
    /// `profile` took `other` in.
    Merged,
    /// `profile` came out of `other`.
    Split,
    /// `profile` was called `other` before: an earlier fragment of it became known.
    Renamed,
}

impl Happened {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Merged => "merged",
            Self::Split => "split",
            Self::Renamed => "renamed",
        }
    }
}

/// An entry as stored, under (position, n).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) happened: Happened,
    pub(crate) profile: FragmentId,
    pub(crate) other: FragmentId,
    pub(crate) because: Because,
    pub(crate) at: Timestamp,
}

/// An alert as stored, under the digest of the identifier or the id of the fragment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Alert {
    pub(crate) about: About,
    pub(crate) position: Position,
    pub(crate) at: Timestamp,
}

/// What an alert is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum About {
    /// An identifier was seen with too many different people, and links nobody from here on.
    Shared(Identifier),
    /// With this fragment more hung together than may; identifiers of types that are not unique link nobody there.
    Overgrown(FragmentId),
}

/// A merge, a split or a change of id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogView {
    /// What happened.
    pub happened: Happened,
    /// The profile that is there now.
    pub profile: FragmentId,
    /// The profile it took in, came out of or was called.
    pub other: FragmentId,
    /// Why.
    pub because: Because,
    /// When, by the clock of receipt.
    pub at: Timestamp,
    /// The record that caused it.
    pub position: Position,
}

/// An alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertView {
    /// What it is about.
    pub about: About,
    /// The record that caused it.
    pub position: Position,
    /// When.
    pub at: Timestamp,
}

impl Tenant {
    /// Merges and splits, newest first. `before` continues a page.
    ///
    /// # Errors
    /// The store's.
    pub fn identity_log(
        &self,
        limit: usize,
        before: Option<(Position, u32)>,
    ) -> Result<Page<LogView, (Position, u32)>> {
        let context = self.core.rows.context();
        let mut range = context.table(tag::IDENTITY_LOG);
        if let Some((position, n)) = before {
            range = range.before(&context.identity_log(position, n));
        }
        let found = self.core.rows.read().scan(&range, Order::Backward, limit)?;
        let next = found.last().filter(|_| found.len() == limit).and_then(|(key, _)| keys::identity_log(key));
        let mut items = Vec::with_capacity(found.len());
        for (key, bytes) in &found {
            let Some((position, _)) = keys::identity_log(key) else { continue };
            let Entry { happened, profile, other, because, at } = decode(bytes)?;
            items.push(LogView { happened, profile, other, because, at, position });
        }
        Ok(Page { items, next })
    }

    /// Alerts, in no order that means anything; one per identifier or fragment. `after` continues a page.
    ///
    /// # Errors
    /// The store's.
    pub fn identity_alerts(
        &self,
        limit: usize,
        after: Option<[u8; 16]>,
    ) -> Result<Page<AlertView, [u8; 16]>> {
        let context = self.core.rows.context();
        let mut range = context.table(tag::IDENTITY_ALERT);
        if let Some(after) = after {
            range = range.after(&context.identity_alert(after));
        }
        let found = self.core.rows.read().scan(&range, Order::Forward, limit)?;
        let next =
            found.last().filter(|_| found.len() == limit).and_then(|(key, _)| keys::identity_alert(key));
        let mut items = Vec::with_capacity(found.len());
        for (_, bytes) in &found {
            let Alert { about, position, at } = decode(bytes)?;
            items.push(AlertView { about, position, at });
        }
        Ok(Page { items, next })
    }

    /// How many alerts there are.
    #[must_use]
    pub fn identity_alert_count(&self) -> u64 {
        self.core.rows.read().inner.summary.identity_alerts
    }
}
