//! `POST /v1/plugins/{name}/versions/{version}/replay`: runs a version beside the active one.

use axum::Json;
use axum::extract::{Path, State};
use cdp_domain::problem::{Code as Wrong, Problem};
use cdp_domain::value::Value;
use cdp_engine::Refused;
use cdp_engine::derivations::SHADOW_EVENTS_MAX;
use http::StatusCode;

use crate::app::App;
use crate::auth::Member;
use crate::body::Document;
use crate::error::{Answer, Failure};

/// Events that are looked at when nothing is said.
const LAST_USUAL: usize = 1_000;

/// Run a version over past events beside the active one
///
/// `{last}`: over how many events, 1,000 when nothing is said. Nothing of it is kept. The job's result is the difference to
/// the active version: how many events or profiles come out otherwise with examples, failures, fuel and time of both.
#[utoipa::path(post, path = "/v1/plugins/{name}/versions/{version}/replay", tag = "plugins",
    params(("name" = String, Path, description = "Its name"), ("version" = u32, Path, description = "The version")),
    request_body = Object, responses((status = 202, body = Object)))]
pub(crate) async fn replay_plugin(
    State(_): State<App>,
    member: Member,
    Path((name, version)): Path<(String, String)>,
    Document(body): Document,
) -> Answer<(StatusCode, Json<serde_json::Value>)> {
    let version: u32 = version.parse().map_err(|_| Failure::not_found("version"))?;
    let job = member.tenant.shadow_plugin(&name, version, last(&body)?)?;
    Ok((StatusCode::ACCEPTED, Json(serde_json::json!({ "job": job.to_string() }))))
}

fn last(body: &Value) -> Result<usize, Refused> {
    let wrong =
        |pointer: &str, detail: String| Refused::Invalid(vec![Problem::new(pointer, Wrong::Invalid, detail)]);
    let object = body.as_object().ok_or_else(|| wrong("", "must be an object".to_owned()))?;
    let mut problems = Vec::new();
    cdp_domain::condition::unknown(object, &["last"], "", &mut problems);
    if !problems.is_empty() {
        return Err(Refused::Invalid(problems));
    }
    let Some(last) = object.get("last") else { return Ok(LAST_USUAL) };
    let number =
        last.as_decimal().filter(|last| last.is_integer()).and_then(|last| usize::try_from(last).ok());
    number
        .filter(|last| (1..=SHADOW_EVENTS_MAX).contains(last))
        .ok_or_else(|| wrong("/last", format!("must be a whole number from 1 to {SHADOW_EVENTS_MAX}")))
}

#[cfg(test)]
mod tests {
    use cdp_domain::json;

    use super::*;

    #[test]
    fn how_many_events_are_looked_at_is_bounded() {
        let read = |text: &str| last(&json::parse(text.as_bytes(), json::Options::default()).unwrap());
        assert_eq!(read("{}").unwrap(), LAST_USUAL);
        assert_eq!(read("{\"last\":1}").unwrap(), 1);
        let of = |count: usize| format!("{{\"last\":{count}}}");
        assert_eq!(read(&of(SHADOW_EVENTS_MAX)).unwrap(), SHADOW_EVENTS_MAX);
        let above = of(SHADOW_EVENTS_MAX + 1);
        for bad in
            [above.as_str(), "{\"last\":0}", "{\"last\":1.5}", "{\"last\":\"x\"}", "{\"first\":1}", "[]"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
