//! `POST /v1/segments/preview`: a rule tried out, by the evaluator and the state that live segments use.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use cdp_domain::problem::Code as Wrong;
use cdp_domain::value::{Number, Value};
use cdp_engine::segments::{PREVIEW_SAMPLE_MAX, Trial};
use http::StatusCode;
use serde_json::json;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Member;
use crate::body::Document;
use crate::error::Answer;
use crate::fields::Fields;
use crate::params::Params;
use crate::work;

/// Profiles shown where the request does not say how many.
const SAMPLE_DEFAULT: usize = 10;

/// What is tried out.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the request")]
pub struct PreviewRequest {
    /// As in a segment.
    #[schema(value_type = Object)]
    rule: (),
    /// How many profiles are shown, 0 to 100; 10 by default.
    sample: Option<u32>,
    /// A segment: how many would enter and leave it by this rule.
    compare_with: Option<String>,
    /// Look at every profile, however many there are.
    exact: Option<bool>,
    /// Also work out the size at the same hour of each of the last 30 days, in a job.
    history: Option<bool>,
}

/// What a rule came to.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the answer")]
pub struct PreviewAnswer {
    /// How many profiles satisfy it; an estimate unless `exact`.
    size: u64,
    /// Whether every profile was looked at.
    exact: bool,
    /// How many were.
    looked_at: u64,
    /// How many there are.
    profiles: u64,
    /// Some who satisfy it.
    sample: Vec<PreviewProfile>,
    /// In the order of the rule's places.
    conditions: Vec<PreviewCondition>,
    /// How many would enter the segment that it is compared with.
    enters: Option<u64>,
    /// How many would leave it.
    leaves: Option<u64>,
    /// The last record that is in it.
    position: String,
    /// The time it stands at.
    #[schema(format = DateTime)]
    as_of: String,
    /// The job that works out the size over time; its result has `items` of `at` and `size`.
    history_job: Option<String>,
}

/// Somebody who satisfies the rule.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the answer")]
pub struct PreviewProfile {
    profile_id: String,
}

/// For how many a condition holds by itself.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the answer")]
pub struct PreviewCondition {
    /// JSON pointer into the rule.
    pointer: String,
    /// For how many it holds.
    size: u64,
    /// For how many there is no value to compare.
    missing: u64,
}

/// Try a rule out
///
/// Its size, the size of each condition, and a sample. Above 20,000 profiles an even sample of so many is looked at and the
/// sizes are estimates, unless `exact` is asked for. Where a condition needs events that nothing was folded for yet and the
/// journal is long, the answer is 202 with the job.
#[utoipa::path(post, path = "/v1/segments/preview", tag = "segments", request_body = PreviewRequest,
    params(("min_position" = Option<String>, Query, description = "Wait until this is applied")),
    responses((status = 200, body = PreviewAnswer), (status = 202, description = "The job that tries it out")))]
pub(crate) async fn preview_segment(
    State(_): State<App>,
    member: Member,
    params: Params,
    Document(body): Document,
) -> Answer<Response> {
    let mut fields = Fields::of(body);
    let rule = fields.take("rule").unwrap_or_default();
    if rule == Value::Null {
        fields.add("rule", Wrong::Required, "is required");
    }
    let sample = match fields.take("sample") {
        None => SAMPLE_DEFAULT,
        Some(Value::Number(Number::Int(n))) if (0..=PREVIEW_SAMPLE_MAX as i64).contains(&n) => n as usize,
        Some(_) => {
            fields.add("sample", Wrong::Invalid, &format!("must be a number from 0 to {PREVIEW_SAMPLE_MAX}"));
            0
        }
    };
    let compare_with = fields.optional_text("compare_with");
    let mut flag = |name: &str| match fields.take(name) {
        None | Some(Value::Bool(false)) => false,
        Some(Value::Bool(true)) => true,
        Some(_) => {
            fields.add(name, Wrong::WrongType, "must be true or false");
            false
        }
    };
    let (exact, history) = (flag("exact"), flag("history"));
    fields.finish()?;
    params.wait(&member.tenant).await?;
    let tenant = member.tenant.clone();
    let trial = Trial { rule: rule.clone(), compare_with, sample, exact, ..Trial::default() };
    let came_to = work(true, move || tenant.preview(&trial)).await??;
    let history_job = if history { Some(member.tenant.preview_history(&rule)?) } else { None };
    Ok(match came_to {
        Ok(preview) => {
            let mut answer = preview.to_json();
            answer["history_job"] = json!(history_job.map(|job| job.to_string()));
            Json(answer).into_response()
        }
        Err(job) => (StatusCode::ACCEPTED, Json(json!({"job": job.to_string()}))).into_response(),
    })
}
