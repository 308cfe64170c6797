//! `POST /v1/consents`: records decisions. Each is one event of its own, of type `consent`, about one contact point.

use axum::Json;
use axum::extract::State;
use cdp_domain::identifier::check_kind;
use cdp_domain::problem::{Code as Wrong, Problem};
use cdp_domain::value::{Object, Value};
use cdp_domain::{json, limits};
use cdp_engine::accept::{Accept, Verdict};
use serde::Serialize;
use utoipa::ToSchema;

use super::events::WAIT_APPLIED_MAX;
use super::events::intake::Intake;
use crate::app::App;
use crate::auth::Member;
use crate::body::Document;
use crate::error::{Answer, Code, Failure};
use crate::plain;

/// Recorded decisions.
#[derive(Serialize, ToSchema)]
pub struct Recorded {
    /// Taken in.
    accepted: u32,
    /// There already.
    duplicates: u32,
    /// Give it as `min_position`.
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    position: cdp_domain::ids::Position,
    /// Whether they are in force: false only when the server is far behind.
    applied: bool,
}

/// Record consents
///
/// One consent `{channel, address, purpose, status, time, expires_at?, method?, policy_version?, evidence?, actor?}` or `{"consents": [...]}`:
/// all or none. They are in force when this is answered. A decision that was sent before is recognised.
#[utoipa::path(post, path = "/v1/consents", tag = "consent", request_body = Object, responses((status = 200, body = Recorded)))]
pub(crate) async fn record_consents(
    State(_): State<App>,
    member: Member,
    Document(body): Document,
) -> Answer<Json<Recorded>> {
    let (consents, many) = list(body)?;
    let place = |n: usize| if many { format!("/consents/{n}") } else { String::new() };
    let mut intake = Intake::for_items(consents.len())?;
    let mut problems = Vec::new();
    for (n, consent) in consents.into_iter().enumerate() {
        match event(consent) {
            Ok(value) => intake.push(value, 0),
            Err(problem) => problems.push(problem.under(&place(n))),
        }
    }
    if !problems.is_empty() {
        return Err(Failure::invalid(problems));
    }
    let how = Accept { source: member.source, strict: true, client: member.public, gpc: false };
    let (accepted, _) = intake.accept(&member.tenant, how, false, None).await?;
    for (n, item) in accepted.items.iter().enumerate() {
        match &item.verdict {
            Verdict::Invalid(found) => {
                problems.extend(found.iter().filter_map(|problem| told(problem, &place(n))))
            }
            Verdict::OverLimit(problem) => problems.push(problem.clone().under(&place(n))),
            Verdict::Conflict => {
                problems.push(Problem::new(place(n), Wrong::Duplicate, "contradicts one sent before"))
            }
            Verdict::Suppressed if !many => {
                let detail = "names somebody who was erased; nothing about them is taken in";
                return Err(Failure::new(Code::Suppressed, detail));
            }
            Verdict::Suppressed => {
                let detail = "belongs to somebody who was erased";
                problems.push(Problem::new(format!("{}/address", place(n)), Wrong::Invalid, detail));
            }
            Verdict::Accepted | Verdict::Duplicate | Verdict::NotAttempted => {}
        }
    }
    if !problems.is_empty() {
        return Err(Failure::invalid(problems));
    }
    let applied = member.tenant.wait_applied(accepted.position, WAIT_APPLIED_MAX).await;
    let (position, duplicates) = (accepted.position, accepted.duplicates);
    Ok(Json(Recorded { accepted: accepted.accepted, duplicates, position, applied }))
}

fn list(body: Value) -> Answer<(Vec<Value>, bool)> {
    let Value::Object(mut object) = body else {
        return Err(Failure::invalid(vec![Problem::new("", Wrong::WrongType, "must be an object")]));
    };
    match object.remove("consents") {
        None => Ok((vec![Value::Object(object)], false)),
        Some(Value::List(consents)) if object.is_empty() => Ok((consents, true)),
        Some(Value::List(_)) => {
            let unknown = |name: &str| {
                Problem::new(cdp_domain::problem::step(name), Wrong::Unknown, "is not a field here")
            };
            Err(Failure::invalid(object.iter().map(|(name, _)| unknown(name)).collect()))
        }
        Some(_) => {
            Err(Failure::invalid(vec![Problem::new("/consents", Wrong::WrongType, "must be an array")]))
        }
    }
}

/// The event that carries a decision. The same decision makes the same event, so that a repeat is recognised.
fn event(consent: Value) -> Result<Value, Problem> {
    let Value::Object(fields) = &consent else {
        return Err(Problem::new("", Wrong::WrongType, "must be an object"));
    };
    let text = |name: &str| fields.get(name).and_then(Value::as_text);
    let time = text("time").map(str::to_owned);
    let kind = match text("channel") {
        Some("sms" | "whatsapp" | "phone") => "phone",
        Some(channel)
            if check_kind(channel).is_ok() && channel.len() <= limits::IDENTIFIER_TYPE_BYTES_MAX =>
        {
            channel
        }
        _ => "contact",
    };
    let identifier = Object::from_iter([
        ("type".into(), kind.into()),
        ("value".into(), fields.get("address").cloned().unwrap_or_default()),
    ]);
    let id = match &time {
        Some(_) => format!("consent-{}", &blake3::hash(json::to_string(&consent).as_bytes()).to_hex()[..32]),
        None => format!("consent-{}", uuid::Uuid::now_v7().simple()),
    };
    let mut event = Object::from_iter([
        ("id".into(), id.as_str().into()),
        ("type".into(), "consent".into()),
        ("identifiers".into(), Value::List(vec![Value::Object(identifier)])),
    ]);
    if let Some(time) = &time {
        event.insert("time", time.as_str().into());
    }
    event.insert("consents", Value::List(vec![consent]));
    Ok(Value::Object(event))
}

/// A problem with the event as one with the consent that it was made from. The identifier repeats the address.
fn told(problem: &Problem, place: &str) -> Option<Problem> {
    let rest = problem.pointer.strip_prefix("/consents/0");
    let pointer = match rest {
        Some(rest) => rest.to_owned(),
        None if problem.pointer.starts_with("/identifiers") || problem.pointer == "/time" => return None,
        None => problem.pointer.clone(),
    };
    Some(Problem { pointer: format!("{place}{pointer}"), ..problem.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Value {
        json::parse(text.as_bytes(), json::Options::default()).unwrap()
    }

    #[test]
    fn a_decision_becomes_the_same_event_each_time() {
        let consent = r#"{"channel":"sms","address":"+37120000000","purpose":"marketing","status":"granted","time":"2026-01-01T00:00:00Z"}"#;
        let (one, two) = (event(read(consent)).unwrap(), event(read(consent)).unwrap());
        assert_eq!(one, two);
        assert_eq!(one.pointer("/identifiers/0/type").and_then(Value::as_text), Some("phone"));
        assert_eq!(one.pointer("/time").and_then(Value::as_text), Some("2026-01-01T00:00:00Z"));
    }

    #[test]
    fn problems_point_into_the_consent() {
        let problem =
            Problem::new("/consents/0/status", Wrong::Invalid, "must be granted, denied or withdrawn");
        assert_eq!(told(&problem, "/consents/3").unwrap().pointer, "/consents/3/status");
        assert!(told(&Problem::new("/identifiers/0/value", Wrong::Invalid, "x"), "").is_none());
    }
}
