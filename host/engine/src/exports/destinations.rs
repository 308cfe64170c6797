//! Destinations: where audiences go. Their secrets are sealed before a record names them, and are never given back.

use std::fmt;

use cdp_domain::time::Timestamp;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::attributes::{Put, check_definition_name};
use crate::config::Change;
use crate::error::{Refused, Result};
use crate::tenant::Tenant;

/// Destinations of one tenant.
pub const DESTINATIONS_MAX: usize = 200;

/// A destination, as it stands in the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Destination {
    /// `file`, `webhook`, …
    pub kind: CompactString,
    /// What was set, without what is secret.
    pub settings: serde_json::Value,
    /// What is secret.
    pub secrets: Vec<SealedSecret>,
    /// 1, 2, … under its name.
    pub version: u32,
    /// When it was first set up.
    pub created_at: Timestamp,
    /// When this version was.
    pub updated_at: Timestamp,
    /// Whether it takes anything.
    pub state: DestinationState,
}

/// Whether a destination takes anything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DestinationState {
    /// Yes.
    #[default]
    Active,
    /// Not until it is resumed: what would go there waits.
    Paused,
    /// Not until somebody looks after it: it failed too long.
    Disabled {
        /// What the last failure was.
        reason: String,
        /// Since when.
        at: Timestamp,
    },
}

/// A secret, sealed with a key of the tenant's.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedSecret {
    /// What it is for.
    pub name: CompactString,
    sealed: Vec<u8>,
}

impl fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedSecret({})", self.name)
    }
}

/// A destination as somebody sets it up.
pub struct NewDestination {
    /// `file`, `webhook`, …
    pub kind: &'static str,
    /// What may be shown.
    pub settings: serde_json::Value,
    /// What may not, each with what it is for.
    pub secrets: Vec<(CompactString, String)>,
}

impl Tenant {
    /// Sets a destination up, or changes it; it is active afterwards. The same again is the same version.
    ///
    /// # Errors
    /// [`Refused::Invalid`] for its name; [`Refused::Conflict`] at [`DESTINATIONS_MAX`], and when its kind would change.
    pub async fn put_destination(&self, name: &str, new: NewDestination) -> Result<Put> {
        check_definition_name(name)?;
        let _changing = self.core.changing.lock().await;
        let config = self.config();
        let known = config.destinations.get(name);
        if known.is_none() && config.destinations.len() >= DESTINATIONS_MAX {
            return Err(Refused::Conflict(format!("there are {DESTINATIONS_MAX} destinations already")));
        }
        if let Some(known) = known {
            if known.kind != new.kind {
                let detail =
                    "a destination of this name and another kind exists: what was sent there is known of it";
                return Err(Refused::Conflict(detail.to_owned()));
            }
            let same = known.settings == new.settings && known.state == DestinationState::Active;
            if same && self.secrets_of(name, known)? == new.secrets {
                return Ok(Put { version: known.version, created: false, job: None });
            }
        }
        let label = label(name);
        let seal = |(name, secret): &(CompactString, String)| {
            let sealed = self.core.seal_for(&label, secret.as_bytes())?;
            Ok(SealedSecret { name: name.clone(), sealed })
        };
        let now = self.core.clock.now();
        let destination = Destination {
            kind: new.kind.into(),
            settings: new.settings,
            secrets: new.secrets.iter().map(seal).collect::<Result<_>>()?,
            version: known.map_or(0, |known| known.version) + 1,
            created_at: known.map_or(now, |known| known.created_at),
            updated_at: now,
            state: DestinationState::Active,
        };
        let put = Put { version: destination.version, created: known.is_none(), job: None };
        self.core.change(Change::DestinationPut { name: name.into(), destination }).await?;
        Ok(put)
    }

    /// Removes a destination. What was sent there stays known.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; [`Refused::Conflict`] while a schedule names it.
    pub async fn delete_destination(&self, name: &str) -> Result<()> {
        let _changing = self.core.changing.lock().await;
        let config = self.config();
        if !config.destinations.contains_key(name) {
            return Err(Refused::NotFound("destination"));
        }
        let names_it = |schedule: &super::Schedule| schedule.export["destination"] == name;
        if let Some((schedule, _)) = config.schedules.iter().find(|(_, schedule)| names_it(schedule)) {
            return Err(Refused::Conflict(format!("the schedule {schedule} sends there")));
        }
        self.core.change(Change::DestinationDeleted { name: name.into() }).await.map(|_| ())
    }

    /// Says whether a destination takes anything from here on.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub async fn mark_destination(&self, name: &str, state: DestinationState) -> Result<()> {
        let _changing = self.core.changing.lock().await;
        let known = self.destination(name)?;
        if known.state == state {
            return Ok(());
        }
        self.core.change(Change::DestinationMarked { name: name.into(), state }).await.map(|_| ())
    }

    /// One destination.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn destination(&self, name: &str) -> Result<Destination> {
        self.config().destinations.get(name).cloned().ok_or(Refused::NotFound("destination"))
    }

    /// All destinations, by name.
    #[must_use]
    pub fn destinations(&self) -> Vec<(CompactString, Destination)> {
        self.config().destinations.iter().map(|(name, one)| (name.clone(), one.clone())).collect()
    }

    /// The secrets of a destination, opened: for whoever dials it, and nobody else.
    ///
    /// # Errors
    /// [`Refused::Internal`] when they cannot be opened.
    pub fn secrets_of(&self, name: &str, destination: &Destination) -> Result<Vec<(CompactString, String)>> {
        let label = label(name);
        let open = |secret: &SealedSecret| {
            let opened = self.core.open_for(&label, &secret.sealed)?;
            Ok((secret.name.clone(), String::from_utf8(opened).map_err(Refused::internal)?))
        };
        destination.secrets.iter().map(open).collect()
    }
}

fn label(name: &str) -> Vec<u8> {
    [b"destination ", name.as_bytes()].concat()
}
