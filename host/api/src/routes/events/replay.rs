//! `POST /v1/dead-letters/replay`: tries events again that were kept out of state.

use axum::Json;
use axum::extract::{Request, State};
use cdp_domain::json;
use cdp_domain::problem::Code as Wrong;
use cdp_domain::value::{Object, Value};
use cdp_engine::dead_letters::{Code, Filter, Kept};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Member;
use crate::body::{self, Bounds};
use crate::error::Answer;
use crate::fields::Fields;

/// The job that tries them.
#[derive(Serialize, ToSchema)]
pub struct ReplayStarted {
    /// `job_…`; its result counts `replayed`, `applied` and `kept_out` events.
    job: String,
}

/// Which events; every field that is given must hold. An empty body means all that failed.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the description of a body that is read field by field")]
pub struct ReplayRequest {
    /// `dead_letter` (when absent) or `dropped`.
    status: Option<String>,
    /// The event type.
    #[schema(rename = "type")]
    kind: Option<String>,
    /// Why they were kept out, such as `plugin_rejected`.
    code: Option<String>,
    /// The plugin: its name, or name and digest.
    plugin: Option<String>,
    /// The source.
    source: Option<String>,
    /// The id.
    id: Option<String>,
    /// Received at this time or later.
    #[schema(format = DateTime)]
    from: Option<String>,
    /// Received before this time.
    #[schema(format = DateTime)]
    to: Option<String>,
}

/// Try events again
///
/// A job puts each through the transformers and schemas of today. What they keep is applied at its own canonical place,
/// as if it had never been kept out, and at most once; what fails again stays where it is, with the new reason.
#[utoipa::path(post, path = "/v1/dead-letters/replay", tag = "events", request_body = ReplayRequest,
    responses((status = 202, body = ReplayStarted)))]
pub(crate) async fn replay_dead_letters(
    State(app): State<App>,
    member: Member,
    request: Request,
) -> Answer<(StatusCode, Json<ReplayStarted>)> {
    let (parts, body) = request.into_parts();
    let bytes = body::read(&parts.headers, body, Bounds::json(&app)).await?;
    let body = if bytes.is_empty() {
        Value::Object(Object::default())
    } else {
        json::parse(&bytes, body::json_options()).map_err(|error| body::malformed(&error))?
    };
    let job = member.tenant.replay_dead_letters(filter(body)?).await?;
    Ok((StatusCode::ACCEPTED, Json(ReplayStarted { job: job.to_string() })))
}

fn filter(body: Value) -> Answer<Filter> {
    let mut fields = Fields::of(body);
    let kept = fields.optional_text("status");
    let kept = kept.and_then(|word| {
        let kept = Kept::find(&word);
        if kept.is_none() {
            fields.add("status", Wrong::Invalid, "must be `dead_letter` or `dropped`");
        }
        kept
    });
    let code = fields.optional_text("code");
    let code = code.and_then(|word| {
        let code = Code::find(&word);
        if code.is_none() {
            fields.add("code", Wrong::Invalid, "is not a reason that there is");
        }
        code
    });
    let mut text = |name: &str| fields.optional_text(name).map(Into::into);
    let (plugin, kind, source, id) = (text("plugin"), text("type"), text("source"), text("id"));
    let (from, to) = (fields.optional_time("from"), fields.optional_time("to"));
    fields.finish()?;
    Ok(Filter { kept, code, plugin, kind, source, id, from, to })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdp_domain::time::Timestamp;

    fn read(text: &str) -> Answer<Filter> {
        filter(json::parse(text.as_bytes(), json::Options::default()).unwrap())
    }

    #[test]
    fn a_body_is_a_filter_and_every_mistake_in_it_is_told() {
        assert_eq!(read("{}").unwrap(), Filter::default());
        let some = read(r#"{"status":"dropped","type":"buy","from":"1970-01-01T00:00:01Z"}"#).unwrap();
        assert_eq!((some.kept, some.kind.as_deref()), (Some(Kept::Dropped), Some("buy")));
        assert_eq!(some.from, Some(Timestamp(1000)));
        let refused = read(r#"{"status":"lost","code":7,"from":"soon","all":true}"#).unwrap_err();
        let places: Vec<_> = refused.errors.iter().map(|problem| problem.pointer.as_str()).collect();
        assert_eq!(places, ["/status", "/code", "/from", "/all"]);
    }
}
