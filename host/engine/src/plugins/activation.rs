//! Reading how a version is to run: its share, its grants, its configuration.

use cdp_domain::condition::unknown;
use cdp_domain::json;
use cdp_domain::problem::{Code, Problem};
use cdp_domain::value::{Number, Value};
use cdp_runtime::{Request, World};

use crate::config::{Activation, CANARY_SHARES, Plugin, PluginVersion};
use crate::error::{Refused, Result};

/// What a plugin says against a configuration, as problems below a place.
pub(crate) fn complaints(complaints: Vec<String>, place: &str) -> Vec<Problem> {
    let problem = |complaint: String| match complaint.split_once(": ") {
        Some((pointer, detail)) if pointer.starts_with('/') => {
            Problem::new(format!("{place}{pointer}"), Code::Invalid, detail)
        }
        _ => Problem::new(place, Code::Invalid, complaint),
    };
    complaints.into_iter().map(problem).collect()
}

/// Takes the share out of an activation; None is all of the events.
pub(super) fn read_share(
    plugin: &Plugin,
    version: &PluginVersion,
    body: &Value,
) -> Result<(Value, Option<u8>)> {
    let mut body = body.clone();
    let share = match &mut body {
        Value::Object(object) => object.remove("share").filter(|share| *share != Value::Null),
        _ => None,
    };
    let refuse = |detail: String| Err(Refused::invalid(Problem::new("/share", Code::Invalid, detail)));
    let share = match share {
        None => return Ok((body, None)),
        Some(Value::Number(Number::Int(share))) => u8::try_from(share).ok(),
        Some(_) => None,
    };
    match share {
        Some(100) => Ok((body, None)),
        Some(share) if CANARY_SHARES.contains(&share) => {
            if !version.is_of(World::Transformer) {
                return refuse(
                    "is for transformers: what derives is built beside what serves, and compared".to_owned(),
                );
            }
            if plugin.active.as_ref().is_none_or(|active| active.version == version.version) {
                return refuse("needs another version that runs: it is tried beside that".to_owned());
            }
            Ok((body, Some(share)))
        }
        _ => refuse("must be a whole number of percent from 1 to 100".to_owned()),
    }
}

pub(crate) fn read_activation(version: u32, of: &PluginVersion, body: &Value) -> Result<Activation> {
    let Some(object) = body.as_object() else {
        return Err(Refused::invalid(Problem::new(
            "",
            Code::WrongType,
            "must be an object with grants and config",
        )));
    };
    let mut problems = Vec::new();
    unknown(object, &["grants", "config"], "", &mut problems);
    let requests: Vec<Request> = serde_json::from_value(of.requests.clone()).map_err(Refused::internal)?;
    let mut granted = Vec::new();
    match object.get("grants") {
        None | Some(Value::Null) => {}
        Some(Value::List(items)) => {
            for (n, item) in items.iter().enumerate() {
                match serde_json::from_str::<Request>(&json::to_string(item)) {
                    Ok(request) if requests.contains(&request) => granted.push(request),
                    Ok(_) => problems.push(Problem::new(
                        format!("/grants/{n}"),
                        Code::NotFound,
                        "is not among what it asks for",
                    )),
                    Err(_) => problems.push(Problem::new(
                        format!("/grants/{n}"),
                        Code::Invalid,
                        "does not have the form of a request",
                    )),
                }
            }
        }
        Some(_) => problems.push(Problem::new(
            "/grants",
            Code::WrongType,
            "must be an array in the form of requests",
        )),
    }
    let config = match object.get("config") {
        None | Some(Value::Null) => "{}".to_owned(),
        Some(config @ Value::Object(_)) => json::to_string(config),
        Some(_) => {
            problems.push(Problem::new("/config", Code::WrongType, "must be an object"));
            String::new()
        }
    };
    if !problems.is_empty() {
        return Err(Refused::Invalid(problems));
    }
    let grants = serde_json::to_value(granted).map_err(Refused::internal)?;
    Ok(Activation { version, grants, config })
}
