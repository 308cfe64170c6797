//! What clients ask about schedules, and keeping them.
//!
//! An instant's run and that the instant is dealt with are written down in one step: a crash loses no instant and repeats
//! none. Instants that passed while the server was away are made up for by one run, or by none, as the schedule says.

use cdp_domain::json;
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_engine::attributes::Put;
use cdp_engine::exports::{Due, Overlap, Schedule};
use cdp_engine::{Refused, Result, Tenant};
use serde_json::Value as Json;

use crate::Exports;
use crate::run::is_over;
use crate::schedule::{self, Pattern};

/// How late an instant may be dealt with and still be on time: beyond, it is made up for.
const LATE_MS_MAX: i64 = 60_000;
/// How long after a run that follows began, and failed, the next one begins.
const FOLLOW_AGAIN_MS: i64 = 60_000;
/// Instants that are stepped over at a time to find the newest that has passed.
const STEPS_MAX: usize = 100_000;

impl Exports {
    /// Sets a schedule up, or changes it; instants count from now on.
    ///
    /// # Errors
    /// [`Refused::Invalid`] with pointers; [`Refused::Conflict`] when there are too many.
    pub async fn put_schedule(&self, tenant: &Tenant, name: &str, definition: &Value) -> Result<Put> {
        tenant.put_schedule(name, schedule::read(tenant, definition)?).await
    }

    /// A schedule as clients see it.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn schedule(&self, tenant: &Tenant, name: &str) -> Result<Json> {
        tenant.schedule(name).map(|known| schedule::view(name, &known))
    }

    /// All schedules, by name.
    #[must_use]
    pub fn schedules(&self, tenant: &Tenant) -> Vec<Json> {
        tenant.schedules().iter().map(|(name, known)| schedule::view(name, known)).collect()
    }

    /// Removes a schedule; a run that began goes on.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub async fn delete_schedule(&self, tenant: &Tenant, name: &str) -> Result<()> {
        tenant.delete_schedule(name).await
    }

    /// Begins the runs whose instants have come.
    pub(crate) fn fire_due(&self) {
        let now = self.0.engine.clock().now();
        for tenant in self.0.engine.open_tenants() {
            if tenant.unready().is_some() {
                continue;
            }
            for (name, known) in tenant.schedules() {
                if let Err(error) = self.fire(&tenant, &name, &known, now) {
                    tracing::error!(schedule = %name, %error, "an instant of a schedule could not be dealt with");
                }
            }
        }
    }

    fn fire(&self, tenant: &Tenant, name: &str, known: &Schedule, now: Timestamp) -> Result<()> {
        if known.follows() {
            return self.fire_following(tenant, name, known, now);
        }
        let Some((due, earlier)) = due(known, now) else { return Ok(()) };
        if now.0 - due.0 > LATE_MS_MAX && !known.catch_up {
            let why = "the server was away at the time, and the schedule asks for no making up".to_owned();
            return pollster::block_on(tenant.skip_schedule(name, due, why));
        }
        if known.overlap == Overlap::Skip
            && let Some(last) = known.last_export
            && tenant.export(last).is_ok_and(|info| !is_over(&info))
        {
            let why = format!("the run before, {last}, is under way");
            return pollster::block_on(tenant.skip_schedule(name, due, why));
        }
        if earlier > 0 {
            tracing::info!(
                schedule = name,
                missed = earlier,
                "one run makes up for instants that were missed"
            );
        }
        self.fire_at(tenant, name, known, due)
    }

    /// Begins the next run of a segment that is followed, when the one before is over.
    fn fire_following(&self, tenant: &Tenant, name: &str, known: &Schedule, now: Timestamp) -> Result<()> {
        let last = known.last_export.and_then(|last| tenant.export(last).ok());
        if last.as_ref().is_some_and(|info| !is_over(info)) {
            return Ok(());
        }
        let well = known.last_skipped.is_none() && last.is_none_or(|info| info["status"] == "done");
        let pause = if well { 0 } else { FOLLOW_AGAIN_MS };
        // A change of the schedule begins at once.
        if known.last_due.is_some_and(|at| at >= known.since && now.0 < at.0.saturating_add(pause)) {
            return Ok(());
        }
        self.fire_at(tenant, name, known, now)
    }

    fn fire_at(&self, tenant: &Tenant, name: &str, known: &Schedule, due: Timestamp) -> Result<()> {
        let request = json::parse(known.export.to_string().as_bytes(), json::Options::default());
        let request = request.map_err(Refused::internal)?;
        let asked = Due { schedule: name.into(), at: due };
        match pollster::block_on(self.begin(tenant, &request, Some(asked))) {
            Ok(_) => Ok(()),
            // It may be possible in a moment, and the instant is not dealt with yet.
            Err(Refused::Unavailable(_) | Refused::Overloaded { .. }) => Ok(()),
            Err(refused) => {
                let why = match &refused {
                    Refused::Invalid(problems) => {
                        problems.first().map_or_else(|| refused.to_string(), ToString::to_string)
                    }
                    other => other.to_string(),
                };
                tracing::warn!(schedule = name, why, "an instant of a schedule has no run");
                pollster::block_on(tenant.skip_schedule(name, due, why))
            }
        }
    }
}

/// The newest instant that has come and is not dealt with, and how many came before it.
fn due(known: &Schedule, now: Timestamp) -> Option<(Timestamp, usize)> {
    let pattern = Pattern::read(&known.cron, &known.time_zone).ok()?;
    let after = known.last_due.unwrap_or(known.since).max(known.since);
    let mut newest = pattern.next(after).filter(|at| *at <= now)?;
    let mut earlier = 0;
    while let Some(next) = pattern.next(newest).filter(|at| *at <= now && earlier < STEPS_MAX) {
        newest = next;
        earlier += 1;
    }
    Some((newest, earlier))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(last_due: Option<&str>) -> Schedule {
        Schedule {
            cron: "0 * * * *".to_owned(),
            time_zone: "UTC".to_owned(),
            export: Json::Null,
            overlap: Overlap::Skip,
            catch_up: true,
            version: 1,
            since: Timestamp::parse("2026-11-26T00:30:00Z").unwrap(),
            last_due: last_due.map(|at| Timestamp::parse(at).unwrap()),
            last_export: None,
            last_skipped: None,
        }
    }

    fn at(known: &Schedule, now: &str) -> Option<(String, usize)> {
        due(known, Timestamp::parse(now).unwrap()).map(|(at, earlier)| (at.to_string(), earlier))
    }

    #[test]
    fn instants_come_due_once_and_many_that_were_missed_come_as_one() {
        let new = schedule(None);
        assert_eq!(at(&new, "2026-11-26T00:59:59Z"), None);
        let want = |at: &str, earlier| Some((Timestamp::parse(at).unwrap().to_string(), earlier));
        assert_eq!(at(&new, "2026-11-26T01:00:00Z"), want("2026-11-26T01:00:00Z", 0));
        assert_eq!(at(&new, "2026-11-26T05:10:00Z"), want("2026-11-26T05:00:00Z", 4));
        let dealt = schedule(Some("2026-11-26T05:00:00Z"));
        assert_eq!(at(&dealt, "2026-11-26T05:59:59Z"), None);
        assert_eq!(at(&dealt, "2026-11-26T06:00:00Z"), want("2026-11-26T06:00:00Z", 0));
        // A change of the schedule begins anew: what was dealt with before it is not looked at.
        let changed = schedule(Some("2026-11-25T00:00:00Z"));
        assert_eq!(at(&changed, "2026-11-26T00:59:59Z"), None);
    }
}
