//! Schedules: audiences that go by themselves.

use cdp_domain::ids::ExportId;
use cdp_domain::time::Timestamp;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::attributes::{Put, check_definition_name};
use crate::config::Change;
use crate::error::{Refused, Result};
use crate::tenant::Tenant;

/// Schedules of one tenant.
pub const SCHEDULES_MAX: usize = 200;

/// What becomes of an instant whose turn comes while the run before is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It is left out.
    #[default]
    Skip,
    /// Its run waits for the one before.
    Queue,
}

/// A schedule, as it stands in the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// When, in five fields; empty where a run follows the segment and the next begins when it ends.
    pub cron: String,
    /// In which zone that is read.
    pub time_zone: String,
    /// The export, as it is asked for.
    pub export: serde_json::Value,
    /// What becomes of an instant while the run before is under way.
    pub overlap: Overlap,
    /// Whether instants that passed while the server was away are made up for, by one run.
    pub catch_up: bool,
    /// 1, 2, … under its name.
    pub version: u32,
    /// From when on instants count.
    pub since: Timestamp,
    /// The last instant that was dealt with.
    pub last_due: Option<Timestamp>,
    /// Its run.
    pub last_export: Option<ExportId>,
    /// Why it has none.
    pub last_skipped: Option<String>,
}

impl Schedule {
    /// Whether there is always a run, which follows the segment.
    #[must_use]
    pub fn follows(&self) -> bool {
        self.cron.is_empty()
    }
}

impl Tenant {
    /// Sets a schedule up, or changes it; instants count from now on. The same again is the same version.
    ///
    /// # Errors
    /// [`Refused::Invalid`] for its name; [`Refused::Conflict`] at [`SCHEDULES_MAX`].
    pub async fn put_schedule(&self, name: &str, new: Schedule) -> Result<Put> {
        check_definition_name(name)?;
        let _changing = self.core.changing.lock().await;
        let config = self.config();
        let known = config.schedules.get(name);
        if known.is_none() && config.schedules.len() >= SCHEDULES_MAX {
            return Err(Refused::Conflict(format!("there are {SCHEDULES_MAX} schedules already")));
        }
        if let Some(known) = known
            && (&known.cron, &known.time_zone, &known.export) == (&new.cron, &new.time_zone, &new.export)
            && (known.overlap, known.catch_up) == (new.overlap, new.catch_up)
        {
            return Ok(Put { version: known.version, created: false, job: None });
        }
        let version = known.map_or(0, |known| known.version) + 1;
        let put = Put { version, created: known.is_none(), job: None };
        let since = self.core.clock.now();
        let schedule = Schedule { version, since, ..new };
        self.core.change(Change::SchedulePut { name: name.into(), schedule }).await?;
        Ok(put)
    }

    /// Removes a schedule; a run that began goes on.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub async fn delete_schedule(&self, name: &str) -> Result<()> {
        let _changing = self.core.changing.lock().await;
        if !self.config().schedules.contains_key(name) {
            return Err(Refused::NotFound("schedule"));
        }
        self.core.change(Change::ScheduleDeleted { name: name.into() }).await.map(|_| ())
    }

    /// One schedule.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn schedule(&self, name: &str) -> Result<Schedule> {
        self.config().schedules.get(name).cloned().ok_or(Refused::NotFound("schedule"))
    }

    /// All schedules, by name.
    #[must_use]
    pub fn schedules(&self) -> Vec<(CompactString, Schedule)> {
        self.config().schedules.iter().map(|(name, one)| (name.clone(), one.clone())).collect()
    }

    /// Writes down that an instant of a schedule is dealt with and has no run.
    ///
    /// # Errors
    /// The journal's.
    pub async fn skip_schedule(&self, name: &str, at: Timestamp, why: String) -> Result<()> {
        let change = Change::ScheduleFired { name: name.into(), at, export: None, skipped: Some(why) };
        self.core.change(change).await.map(|_| ())
    }
}
