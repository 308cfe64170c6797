//! What an erasure comprises, and asking for one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cdp_domain::identifier::Identifier;
use cdp_domain::identity::Subject;
use cdp_domain::ids::{FragmentId, JobId, Position};
use cdp_domain::problem::{Code, Problem};
use cdp_domain::time::Timestamp;
use cdp_store::kv::Order;
use serde::{Deserialize, Serialize};

use super::packed;
use crate::config::Change;
use crate::error::{Refused, Result};
use crate::identity::ground::Ground;
use crate::rows::{Fragment, Look, View};
use crate::tenant::{Core, Tenant, new_job};

/// Fragments, identifiers and contact points of one erasure together.
pub const ERASED_PARTS_MAX: usize = 24_000;
/// Bytes of the reason for an erasure, or for lifting a suppression.
pub const REASON_BYTES_MAX: usize = 1000;
/// Pending erasures of one tenant.
pub const ERASURES_PENDING_MAX: usize = 1000;
/// How long a request waits until what was accepted before it is applied.
const PATIENCE: Duration = Duration::from_secs(30);

/// An erasure as it stands in the journal: digests and ids, nothing that names anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// The job that carries it out; the erasure's id.
    pub job: JobId,
    /// When it was asked for.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// With which key it was asked for.
    pub by: String,
    /// The fragments of the profile.
    #[serde(with = "packed")]
    pub fragments: Vec<[u8; 16]>,
    /// Keyed digests of its identifiers.
    #[serde(with = "packed")]
    pub identifiers: Vec<[u8; 16]>,
    /// Keyed digests of the contact points that nobody else uses.
    #[serde(with = "packed")]
    pub contacts: Vec<[u8; 16]>,
    /// Constraints that name one of the identifiers or fragments.
    pub constraints: Vec<u32>,
    /// How many generations of data keys there were.
    pub generations: u32,
    /// Where its record stands; known once it is applied.
    #[serde(default)]
    pub position: Position,
}

/// What an erasure would comprise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preview {
    /// The profile.
    pub profile: FragmentId,
    /// Its fragments.
    pub fragments: u64,
    /// Its identifiers.
    pub identifiers: u64,
    /// Its contact points; those that others use too lose only the connection.
    pub contact_points: u64,
    /// Of them, those that others use too.
    pub contact_points_shared: u64,
    /// Consent decisions about contact points that nobody else uses.
    pub consents: u64,
    /// Its events.
    pub events: u64,
    /// Held export files that contain it.
    pub exports: u64,
}

/// What belongs to a person.
pub(super) struct Whole {
    pub(super) profile: FragmentId,
    pub(super) fragments: Vec<(FragmentId, Arc<Fragment>)>,
    pub(super) identifiers: BTreeSet<[u8; 16]>,
    /// Contact points that nobody else uses.
    pub(super) own: BTreeSet<[u8; 16]>,
    pub(super) shared: BTreeSet<[u8; 16]>,
    constraints: Vec<u32>,
}

impl Whole {
    fn digests(&self) -> impl Iterator<Item = [u8; 16]> {
        self.identifiers.iter().chain(&self.own).copied()
    }
}

pub(super) fn check_reason(reason: &str) -> Result<()> {
    if !reason.trim().is_empty() && reason.len() <= REASON_BYTES_MAX {
        return Ok(());
    }
    let detail = format!("must be a string of 1 to {REASON_BYTES_MAX} bytes");
    Err(Refused::invalid(Problem::new("/reason", Code::Required, detail)))
}

impl Tenant {
    /// Everything that belongs to whom an identifier names.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub(super) fn whole(&self, view: &View<'_>, identifier: &Identifier) -> Result<Whole> {
        let core = &*self.core;
        let owner = self.owner(view, identifier)?.ok_or(Refused::NotFound("profile"))?;
        let fragments = view.profile(owner)?;
        let profile = fragments.first().map(|(id, _)| *id).ok_or(Refused::NotFound("profile"))?;
        let ids: BTreeSet<FragmentId> = fragments.iter().map(|(id, _)| *id).collect();
        let resolver = core.resolver.read().clone();
        let revision = view.inner.config.identity.revision;
        let ground = Ground::new(view, &core.digests, &resolver, Some(revision));
        let mut named: BTreeSet<Identifier> = BTreeSet::from([identifier.clone()]);
        for (_, fragment) in &fragments {
            for one in fragment.owned() {
                // What is shared by many names nobody: it goes with the fragments, and stays open to the others.
                if !named.contains(one) && ground.may_link(one)? {
                    named.insert(one.clone());
                }
            }
        }
        let (mut own, mut shared) = (BTreeSet::new(), BTreeSet::new());
        for point in fragments.iter().flat_map(|(_, fragment)| &fragment.contacts) {
            let digest = core.digests.contact.wide(&point.canonical_bytes());
            let contact = view.contact(digest)?;
            let alone = contact.is_none_or(|contact| contact.fragments.iter().all(|id| ids.contains(id)));
            if alone {
                own.insert(digest)
            } else {
                shared.insert(digest)
            };
        }
        let concerns = |subject: &Subject| match subject {
            Subject::Identifier(identifier) => named.contains(identifier),
            Subject::Fragment(id) => ids.contains(id),
        };
        let constraints = view.inner.config.identity.constraints.values();
        let constraints = constraints.filter(|one| concerns(&one.a) || concerns(&one.b)).map(|one| one.id);
        Ok(Whole {
            profile,
            constraints: constraints.collect(),
            identifiers: named
                .iter()
                .map(|one| core.digests.identifier.wide(&one.canonical_bytes()))
                .collect(),
            own,
            shared,
            fragments,
        })
    }

    /// What an erasure would comprise. Blocks.
    ///
    /// # Errors
    /// [`Refused::Invalid`] for a value that cannot be normalised, [`Refused::NotFound`].
    pub fn preview_erasure(&self, kind: &str, value: &str) -> Result<Preview> {
        let identifier = self.identifier(kind, value, "/identifier/value")?;
        let view = self.core.rows.read();
        let whole = self.whole(&view, &identifier)?;
        let mut consents = 0;
        for digest in &whole.own {
            let range = view.context().ledger_range(*digest);
            consents += view.scan(&range, Order::Forward, usize::MAX)?.len() as u64;
        }
        drop(view);
        let fragments = whole.fragments.iter().map(|(id, _)| id.0).collect();
        Ok(Preview {
            profile: whole.profile,
            fragments: whole.fragments.len() as u64,
            identifiers: whole.identifiers.len() as u64,
            contact_points: (whole.own.len() + whole.shared.len()) as u64,
            contact_points_shared: whole.shared.len() as u64,
            consents,
            events: whole.fragments.iter().map(|(_, fragment)| fragment.events).sum(),
            exports: super::files::holding(&self.core, &fragments)?.len() as u64,
        })
    }

    /// Erases whom an identifier names. When it returns, the person is out of reads, segments and exports, the data keys
    /// are destroyed, and nothing that names them is taken in; the job does the rest and gives the certificate.
    ///
    /// # Errors
    /// [`Refused::Invalid`]; [`Refused::NotFound`]; [`Refused::Conflict`] above [`ERASED_PARTS_MAX`] or
    /// [`ERASURES_PENDING_MAX`]; [`Refused::Unavailable`] when what was accepted before cannot be applied in time. Then
    /// nothing was erased.
    pub async fn erase(&self, kind: &str, value: &str, reason: &str, by: &str) -> Result<JobId> {
        check_reason(reason)?;
        let identifier = self.identifier(kind, value, "/identifier/value")?;
        let core = &self.core;
        let _changing = core.changing.lock().await;
        if self.config().erasures.len() >= ERASURES_PENDING_MAX {
            return Err(Refused::Conflict(format!("{ERASURES_PENDING_MAX} erasures are under way already")));
        }
        let mut closing = Closing { core, added: Vec::new() };
        let whole = loop {
            let whole = self.whole_in_time(&identifier).await?;
            let fresh = core.suppressed.write().add(whole.digests());
            if fresh.is_empty() {
                break whole;
            }
            // From here on nothing comes in that names them; what did until now may have brought more.
            closing.added.extend(fresh);
            self.settled().await?;
        };
        let parts = whole.fragments.len() + whole.identifiers.len() + whole.own.len();
        if parts > ERASED_PARTS_MAX {
            let detail =
                format!("the profile has {parts} parts, at most {ERASED_PARTS_MAX} can be erased at once");
            return Err(Refused::Conflict(detail));
        }
        let job = new_job()?;
        let erasure = Erasure {
            job,
            at: core.clock.now(),
            reason: reason.to_owned(),
            by: by.to_owned(),
            fragments: whole.fragments.iter().map(|(id, _)| id.0).collect(),
            identifiers: whole.identifiers.iter().copied().collect(),
            contacts: whole.own.iter().copied().collect(),
            constraints: whole.constraints.clone(),
            generations: u32::try_from(core.keys.generations()).unwrap_or(u32::MAX),
            position: Position(0),
        };
        drop(whole);
        let listed = erasure.clone();
        let events = core.change(Change::Erased { erasure }).await;
        // It may be durable even where an error came back: what it suppresses stays.
        closing.added.clear();
        events?;
        let shared = core.clone();
        // A crash before it is made good by the next start.
        let write = move || match &shared.outside {
            Some(outside) => outside.add(shared.info.no, &listed),
            None => Ok(()),
        };
        tokio::task::spawn_blocking(write).await.map_err(Refused::internal)??;
        super::job::submit(core, job)?;
        Ok(job)
    }

    /// Looks until the state is open: another erasure may be having it written anew.
    async fn whole_in_time(&self, identifier: &Identifier) -> Result<Whole> {
        let until = Instant::now() + PATIENCE;
        loop {
            let (this, asked) = (self.clone(), identifier.clone());
            let look = move || this.whole(&this.core.rows.read(), &asked);
            match tokio::task::spawn_blocking(look).await.map_err(Refused::internal)? {
                Err(Refused::Unavailable(_)) if Instant::now() < until => {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                done => return done,
            }
        }
    }

    /// Waits until everything that was accepted so far is applied.
    async fn settled(&self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        // An append that is lost takes the end back; so the end is asked for again and again.
        while self.applied() < self.core.journal.end() {
            if Instant::now() > until {
                let reason = "what was accepted before is not applied yet; nothing was erased".to_owned();
                return Err(Refused::Unavailable(reason));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }
}

/// Opens again what was closed for an erasure that did not come about.
struct Closing<'a> {
    core: &'a Core,
    added: Vec<[u8; 16]>,
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        if !self.added.is_empty() {
            self.core.suppressed.write().remove(&self.added);
        }
    }
}
