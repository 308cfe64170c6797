//! What a schedule says.

use cdp_domain::condition::unknown;
use cdp_domain::json;
use cdp_domain::problem::{Code, Problem};
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_engine::exports::{Overlap, Schedule};
use cdp_engine::{Refused, Result, Tenant};
use serde_json::{Value as Json, json as to_json};

use super::Pattern;
use crate::plan::Plan;

/// Reads a schedule; the export that it asks for is checked like one that is asked for now.
///
/// # Errors
/// [`Refused::Invalid`] with every problem.
pub(crate) fn read(tenant: &Tenant, definition: &Value) -> Result<Schedule> {
    let Some(object) = definition.as_object() else {
        return Err(Refused::invalid(Problem::new("", Code::WrongType, "a schedule is a JSON object")));
    };
    let mut problems = Vec::new();
    unknown(object, &["cron", "time_zone", "export", "overlap", "catch_up"], "", &mut problems);
    let zone = match object.get("time_zone") {
        None | Some(Value::Null) => tenant.info().time_zone.as_str(),
        Some(zone) => zone.as_text().unwrap_or_default(),
    };
    let export = object.get("export").cloned().unwrap_or_default();
    let follows = export.as_object().and_then(|export| export.get("follow")) == Some(&Value::Bool(true));
    let cron = match object.get("cron") {
        None | Some(Value::Null) if follows => "",
        cron => {
            let cron = cron.and_then(Value::as_text).unwrap_or_default();
            if follows {
                let detail = "must be absent: a run that follows is begun again when it ends";
                problems.push(Problem::new("/cron", Code::Invalid, detail));
            } else if let Err((field, detail)) = Pattern::read(cron, zone) {
                problems.push(Problem::new(format!("/{field}"), Code::Invalid, detail));
            }
            cron
        }
    };
    let overlap = match object.get("overlap").map(Value::as_text) {
        None | Some(Some("skip")) => Overlap::Skip,
        Some(Some("queue")) => Overlap::Queue,
        Some(_) => {
            problems.push(Problem::new("/overlap", Code::Invalid, "must be skip or queue"));
            Overlap::Skip
        }
    };
    let catch_up = match object.get("catch_up") {
        None | Some(Value::Bool(true)) => true,
        Some(Value::Bool(false)) => false,
        Some(_) => {
            problems.push(Problem::new("/catch_up", Code::WrongType, "must be true or false"));
            true
        }
    };
    match Plan::read(tenant, &export) {
        Ok(_) => {}
        Err(Refused::Invalid(found)) => {
            problems.extend(found.into_iter().map(|problem| problem.under("/export")));
        }
        Err(other) => return Err(other),
    }
    if !problems.is_empty() {
        return Err(Refused::Invalid(problems));
    }
    Ok(Schedule {
        cron: cron.to_owned(),
        time_zone: zone.to_owned(),
        export: serde_json::from_str(&json::to_string(&export)).map_err(Refused::internal)?,
        overlap,
        catch_up,
        version: 0,
        since: Timestamp(0),
        last_due: None,
        last_export: None,
        last_skipped: None,
    })
}

/// A schedule as clients see it.
pub(crate) fn view(name: &str, schedule: &Schedule) -> Json {
    let after = schedule.last_due.unwrap_or(schedule.since).max(schedule.since);
    let pattern = Pattern::read(&schedule.cron, &schedule.time_zone);
    let next = pattern.ok().and_then(|pattern| pattern.next(after));
    to_json!({
        "name": name,
        "cron": Some(&schedule.cron).filter(|_| !schedule.follows()),
        "time_zone": schedule.time_zone,
        "export": schedule.export,
        "overlap": schedule.overlap,
        "catch_up": schedule.catch_up,
        "version": schedule.version,
        "since": schedule.since.to_string(),
        "next_at": next.map(|at| at.to_string()),
        "last": {
            "at": schedule.last_due.map(|at| at.to_string()),
            "export": schedule.last_export.map(|id| id.to_string()),
            "skipped": schedule.last_skipped,
        },
    })
}
