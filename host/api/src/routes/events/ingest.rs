//! `POST /v1/events`: takes events in.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use cdp_domain::problem::{Code as Wrong, Problem};
use cdp_engine::accept::Accept;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::read::{Form, read};
use super::report::{ItemResult, Report};
use super::{EVENTS_MAX, WAIT_APPLIED_MAX};
use crate::app::App;
use crate::auth::{self, Member};
use crate::body::{self, Bounds};
use crate::error::{Answer, Code, Failure};
use crate::params::Params;
use crate::rate::Wanted;
use crate::share::Class;
use crate::{INLINE_BYTES_MAX, plain, work};

/// What came of a request's events.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ingested {
    /// Taken in: durable.
    accepted: u32,
    /// There already, with the same body.
    duplicates: u32,
    /// Refused; `results` says why.
    rejected: u32,
    /// Give it as `min_position` to read what these events did.
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    position: cdp_domain::ids::Position,
    /// Of the events that were not accepted; of all with `?results=all`.
    results: Vec<ItemResult>,
    /// With `?wait=applied`: whether state, attributes and segments have seen them.
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<bool>,
}

/// Send events
///
/// One event, an array, `{"events": [...]}`, NDJSON, or CloudEvents in binary (`ce-` headers), structured or batched
/// mode; gzip is taken. A body that is one event by itself is answered with the
/// plain error when it is not acceptable; a list takes the good ones and says what is wrong with the others.
#[utoipa::path(post, path = "/v1/events", tag = "events",
    params(
        ("wait" = Option<String>, Query, description = "`applied`: answer after state, attributes and segments have seen the events"),
        ("strict" = Option<bool>, Query, description = "All events or none"),
        ("results" = Option<String>, Query, description = "`all`: results of the accepted ones too"),
    ),
    request_body(content((Object = "application/json"), (String = "application/x-ndjson"),
        (Object = "application/cloudevents+json"), (Vec<Object> = "application/cloudevents-batch+json"))),
    responses((status = 202, body = Ingested, description = "Durable")))]
pub(crate) async fn send_events(
    State(app): State<App>,
    member: Member,
    params: Params,
    request: Request,
) -> Answer<Response> {
    let (parts, body) = request.into_parts();
    let (strict, wait) = (params.flag("strict")?, params.word("wait", "applied")?);
    let all = params.word("results", "all")?;
    let (form, gzip) = (Form::of(&parts.headers)?, body::is_gzip(&parts.headers)?);
    let class = Class::of(&member.tenant);
    let _held = app.shares().hold(class, body::room_for(&parts.headers))?;
    let bytes = body::read(&parts.headers, body, Bounds::json(&app)).await?;
    let heavy = bytes.len() > if gzip { INLINE_BYTES_MAX / 8 } else { INLINE_BYTES_MAX };
    let turn = app.shares().turn(class, bytes.len()).await?;
    let read = work(heavy, move || read(&bytes, gzip, form)).await??;
    // What the headers announced was taken when the request was let in.
    let bytes = (read.bytes as u64).saturating_sub(auth::charged(&parts.headers));
    app.limiter()
        .take(member.key, Wanted { events: read.intake.len() as u64, bytes, ..Wanted::default() })?;
    if strict && !read.lone && !read.intake.refused.is_empty() {
        return Err(
            nothing_accepted().with("results", Vec::<ItemResult>::from_iter(refusals(read.intake.refused)))
        );
    }
    let heavy = heavy || read.intake.len() > EVENTS_MAX / 2;
    let how =
        Accept { source: member.source, strict, client: member.public, gpc: body::says_gpc(&parts.headers) };
    let (accepted, refused) = read.intake.accept(&member.tenant, how, heavy, Some(turn)).await?;
    let mut report = Report::new(accepted, refused, all);
    if read.lone
        && let Some(failure) = report.lone_failure()
    {
        return Err(failure);
    }
    if strict && report.rejected > 0 {
        return Err(nothing_accepted().with("results", report.results));
    }
    let applied = if wait && report.accepted + report.duplicates > 0 {
        Some(member.tenant.wait_applied(report.position, WAIT_APPLIED_MAX).await)
    } else {
        wait.then_some(true)
    };
    let Report { accepted, duplicates, rejected, position, results } = report;
    let body = Ingested { accepted, duplicates, rejected, position, results, applied };
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

fn nothing_accepted() -> Failure {
    Failure::new(Code::NothingAccepted, "some events are not acceptable, and all or none were asked for")
}

/// Of a strict request that was refused before the engine saw it: only what is wrong.
fn refusals(refused: Vec<super::intake::Refused>) -> impl Iterator<Item = ItemResult> {
    refused.into_iter().map(|one| {
        let errors = if one.problems.is_empty() {
            vec![Problem::new("", Wrong::Invalid, "is not acceptable")]
        } else {
            one.problems
        };
        let detail = Failure::invalid(errors.clone()).detail;
        let problem = super::report::ItemProblem { code: Code::Invalid.as_str(), detail, errors };
        ItemResult { index: one.index, id: one.id, status: "invalid", problem: Some(problem) }
    })
}
