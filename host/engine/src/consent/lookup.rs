//! A contact point as clients see it: what holds, what was ever decided, and whose it is.

use cdp_domain::consent::ContactPoint;
use cdp_domain::identifier::Normaliser;
use cdp_domain::ids::{FragmentId, Position};
use cdp_domain::problem::{Code, Problem};
use cdp_domain::time::Timestamp;
use cdp_store::kv::Order;
use compact_str::CompactString;
use serde_json::{Value, json};

use super::{Kept, content};
use crate::error::{Refused, Result};
use crate::rows::{Look, View, decode};
use crate::tenant::Tenant;

/// Decisions of a history that are shown: the newest.
pub const HISTORY_MAX: usize = 1000;

/// What is known of a contact point.
#[derive(Debug, Clone)]
pub struct ContactView {
    /// The channel and the address, in comparable form.
    pub point: ContactPoint,
    /// Whether it was verified; None when nobody said.
    pub verified: Option<bool>,
    /// By purpose: what holds now.
    pub consents: Vec<Holding>,
    /// What was decided, newest receipt first, at most [`HISTORY_MAX`]; JSON objects with the names of the contract.
    pub history: Vec<Value>,
    /// The profiles that use it, sorted.
    pub profiles: Vec<FragmentId>,
    /// The last record that is in this view.
    pub position: Position,
}

/// What holds for one purpose.
#[derive(Debug, Clone)]
pub struct Holding {
    /// The purpose.
    pub purpose: CompactString,
    /// `granted`, `denied`, `withdrawn` or `expired`.
    pub status: &'static str,
    /// When it was decided.
    pub at: Timestamp,
    /// When a grant ends by itself.
    pub expires_at: Option<Timestamp>,
}

impl Tenant {
    /// What is known of a contact point, in any spelling of its address.
    ///
    /// # Errors
    /// [`Refused::Invalid`] for a channel or an address that cannot be one; [`Refused::NotFound`].
    pub fn contact_point(&self, channel: &str, address: &str) -> Result<ContactView> {
        let point = read_point(channel, address)?;
        let digest = self.core.digests.contact.wide(&point.canonical_bytes());
        let view = self.core.rows.read();
        let contact = view.contact(digest)?.ok_or(Refused::NotFound("contact point"))?;
        let as_of = self.core.clock.now().max(view.inner.summary.as_of);
        let consents = contact.consents.iter().map(|(purpose, current)| Holding {
            purpose: purpose.clone(),
            status: current.read(as_of).0.as_str(),
            at: current.at,
            expires_at: current.expires_at,
        });
        let mut profiles = Vec::new();
        for fragment in &contact.fragments {
            profiles.extend(view.fragment(*fragment)?.map(|fragment| fragment.profile));
        }
        profiles.sort_unstable();
        profiles.dedup();
        Ok(ContactView {
            consents: consents.collect(),
            verified: contact.verified.as_ref().map(|(_, verified)| *verified),
            history: history(&view, digest)?,
            profiles,
            position: view.inner.summary.last,
            point,
        })
    }
}

/// What was decided about a contact point, newest receipt first.
pub(crate) fn history(view: &View<'_>, digest: [u8; 16]) -> Result<Vec<Value>> {
    let rows = view.scan(&view.context().ledger_range(digest), Order::Backward, HISTORY_MAX)?;
    let mut history = Vec::with_capacity(rows.len());
    for (key, bytes) in rows {
        let kept: Kept = decode(&bytes)?;
        let mut shown = content(&kept);
        if let Some((_, position, _)) = cdp_store::keys::ledger(&key) {
            shown.insert("position", position.to_string().into());
        }
        history.push(json!(shown));
    }
    Ok(history)
}

/// A contact point in comparable form.
pub(crate) fn read_point(channel: &str, address: &str) -> Result<ContactPoint> {
    let mut problems = Vec::new();
    let bytes_max = cdp_domain::limits::IDENTIFIER_TYPE_BYTES_MAX;
    if channel.is_empty() || channel.len() > bytes_max || channel.chars().any(char::is_control) {
        let detail = format!("must have 1 to {bytes_max} bytes and no control characters");
        problems.push(Problem::new("/channel", Code::Invalid, detail));
    }
    let normal = Normaliser::usual_for(channel).normalise(address);
    match normal {
        Ok(address) if problems.is_empty() => Ok(ContactPoint { channel: channel.into(), address }),
        Ok(_) => Err(Refused::Invalid(problems)),
        Err(detail) => {
            problems.push(Problem::new("/address", Code::Invalid, detail));
            Err(Refused::Invalid(problems))
        }
    }
}
