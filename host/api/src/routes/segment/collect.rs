//! Collecting messages: key, body, mapping, acceptance, answer.

use axum::Json;
use axum::extract::Request;
use cdp_domain::json;
use cdp_domain::limits::EVENT_BYTES_MAX;
use cdp_domain::problem::{Code as Wrong, Problem};
use cdp_domain::time::Timestamp;
use cdp_domain::value::{Object, Value};
use cdp_engine::accept::Accept;
use cdp_engine::registry::Scope;
use serde::Serialize;
use utoipa::ToSchema;

use super::message::{self, Kind, Sent};
use crate::app::App;
use crate::auth::{self, Member};
use crate::body::{self, BODY_BYTES_MAX, Bounds};
use crate::error::{Answer, Code, Failure};
use crate::params::Params;
use crate::rate::Wanted;
use crate::routes::events::intake::{Intake, Origin};
use crate::routes::events::items;
use crate::routes::events::report::{ItemResult, Report};
use crate::routes::events::{EVENTS_MAX, WAIT_APPLIED_MAX};
use crate::share::Class;
use crate::{INLINE_BYTES_MAX, plain, work};

/// What came of a request's messages.
#[derive(Serialize, ToSchema)]
pub struct Collected {
    /// Always true: what is wrong with single messages stands in `results`.
    success: bool,
    /// Taken in: durable.
    accepted: u32,
    /// There already.
    duplicates: u32,
    /// Refused.
    rejected: u32,
    /// Give it as `min_position`.
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    position: cdp_domain::ids::Position,
    /// What came of each message.
    results: Vec<ItemResult>,
}

/// Collects the message of a single call, or the messages of a batch where no kind is given.
pub(crate) async fn collect(app: App, request: Request, kind: Option<Kind>) -> Answer<Json<Collected>> {
    let (mut parts, body) = request.into_parts();
    let wait = Params::of(parts.uri.query()).word("wait", "applied")?;
    let by_header = parts.extensions.remove::<Member>();
    let gzip = body::is_gzip(&parts.headers)?;
    let class = by_header.as_ref().map_or(Class::UNKNOWN, |member| Class::of(&member.tenant));
    let _held = app.shares().hold(class, body::room_for(&parts.headers))?;
    let bytes = body::read(&parts.headers, body, Bounds::json(&app)).await?;
    let heavy = bytes.len() > if gzip { INLINE_BYTES_MAX / 8 } else { INLINE_BYTES_MAX };
    let class = if by_header.is_some() || gzip { class } else { class_of_body(&app, &bytes) };
    let turn = app.shares().turn(class, bytes.len()).await?;
    let received = app.engine().clock().now();
    let read = work(heavy, move || read(&bytes, gzip, kind, received)).await??;
    let mut wanted = Wanted { bytes: read.bytes as u64, ..Wanted::default() };
    let member = match (by_header, read.write_key) {
        (Some(member), _) => {
            wanted.bytes = wanted.bytes.saturating_sub(auth::charged(&parts.headers));
            member
        }
        (None, Some(key)) => {
            wanted.requests = 1;
            auth::member(&app, &key, Some(Scope::Ingest))?
        }
        (None, None) => {
            return Err(Failure::new(
                Code::MissingKey,
                "send the write key as the user name of HTTP Basic, or as `writeKey`",
            ));
        }
    };
    let intake = read.intake?;
    wanted.events = intake.len() as u64;
    app.limiter().take(member.key, wanted)?;
    let heavy = heavy || intake.len() > EVENTS_MAX / 2;
    let how = Accept {
        source: member.source,
        strict: false,
        client: member.public,
        gpc: body::says_gpc(&parts.headers),
    };
    let (accepted, refused) = intake.accept(&member.tenant, how, heavy, Some(turn)).await?;
    let Report { accepted, duplicates, rejected, position, results } = Report::new(accepted, refused, true);
    if kind.is_some()
        && let Some(one) = results.first().filter(|one| one.status == "over_limit")
    {
        let detail = one.problem.as_ref().map_or("the message is too large", |problem| &problem.detail);
        return Err(Failure::new(Code::EventTooLarge, detail));
    }
    if wait && accepted + duplicates > 0 {
        member.tenant.wait_applied(position, WAIT_APPLIED_MAX).await;
    }
    Ok(Json(Collected { success: true, accepted, duplicates, rejected, position, results }))
}

/// Whose turn a body is that names its key itself, as browsers send it. Only for that: who sends it is decided when it
/// is read.
fn class_of_body(app: &App, text: &[u8]) -> Class {
    const NAME: &[u8] = b"\"writeKey\"";
    let key = memchr::memmem::rfind(text, NAME).and_then(|at| {
        let value = text[at + NAME.len()..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let value = value.strip_prefix(b"\"")?;
        std::str::from_utf8(&value[..memchr::memchr(b'"', value)?]).ok()
    });
    let member = key.and_then(|key| auth::member(app, key, Some(Scope::Ingest)).ok());
    member.map_or(Class::UNKNOWN, |member| Class::of(&member.tenant))
}

struct Read {
    /// What is wrong with it is told only to those who may send.
    intake: Answer<Intake>,
    write_key: Option<String>,
    /// Bytes of the body after decompression.
    bytes: usize,
}

fn options() -> json::Options {
    json::Options { nan_as_null: true, ..body::json_options() }
}

fn read(bytes: &[u8], gzip: bool, kind: Option<Kind>, received: Timestamp) -> Answer<Read> {
    let inflated = if gzip { Some(body::inflate(bytes, BODY_BYTES_MAX)?) } else { None };
    let text = inflated.as_deref().unwrap_or(bytes);
    match (kind, json::parse(text, options())) {
        (Some(kind), Ok(Value::Object(message))) => read_one(message, kind, received, text.len()),
        (None, Ok(Value::Object(batch))) => read_batch(batch, received, text),
        (None, Ok(Value::List(messages))) => {
            let intake = read_messages(messages, None, None, received, text);
            Ok(Read { intake, write_key: None, bytes: text.len() })
        }
        (_, Ok(other)) => {
            let detail = format!("must be an object, not {}", other.type_name());
            Err(Failure::invalid(vec![Problem::new("", Wrong::WrongType, detail)]))
        }
        (None, Err(error)) => salvage(text, received).unwrap_or_else(|| Err(body::malformed(&error))),
        (Some(_), Err(error)) => Err(body::malformed(&error)),
    }
}

fn read_one(mut message: Object, kind: Kind, received: Timestamp, bytes: usize) -> Answer<Read> {
    let write_key = write_key(&mut message);
    let mut intake = Intake::default();
    message.insert("type", kind.name().into());
    add(&mut intake, Value::Object(message), Sent { received, batch_sent_at: None, bytes, batch: None });
    Ok(Read { intake: Ok(intake), write_key, bytes })
}

fn read_batch(mut batch: Object, received: Timestamp, text: &[u8]) -> Answer<Read> {
    let write_key = write_key(&mut batch);
    let sent_at = message::time(batch.get("sentAt"));
    match batch.remove("batch") {
        Some(Value::List(messages)) => {
            let intake = read_messages(messages, sent_at, Some(&batch), received, text);
            Ok(Read { intake, write_key, bytes: text.len() })
        }
        _ => {
            let problem = Problem::new("/batch", Wrong::Required, "must be an array of messages");
            Ok(Read { intake: Err(Failure::invalid(vec![problem])), write_key, bytes: text.len() })
        }
    }
}

fn read_messages(
    messages: Vec<Value>,
    batch_sent_at: Option<Timestamp>,
    batch: Option<&Object>,
    received: Timestamp,
    text: &[u8],
) -> Answer<Intake> {
    let mut intake = Intake::for_items(messages.len())?;
    let large = text.len() > EVENT_BYTES_MAX;
    let sizes = if large { items::ranges(text, "batch").unwrap_or_default() } else { Vec::new() };
    for (n, message) in messages.into_iter().enumerate() {
        let bytes = sizes.get(n).map_or(0, std::ops::Range::len);
        add(&mut intake, message, Sent { received, batch_sent_at, bytes, batch });
    }
    Ok(intake)
}

/// Saves the good messages of a batch that is no JSON as a whole: each is read by itself.
fn salvage(text: &[u8], received: Timestamp) -> Option<Answer<Read>> {
    let found = items::ranges(text, "batch")?;
    let (first, last) = (found.first()?, found.last()?);
    // Without its messages the batch must read: then what is wrong lies within messages.
    let frame = [&text[..first.start], &text[last.end..]].concat();
    let Ok(Value::Object(mut frame)) = json::parse(&frame, options()) else { return None };
    let write_key = write_key(&mut frame);
    let batch_sent_at = message::time(frame.get("sentAt"));
    let mut intake = match Intake::for_items(found.len()) {
        Ok(intake) => intake,
        failure => return Some(Ok(Read { intake: failure, write_key, bytes: text.len() })),
    };
    for range in found {
        let bytes = range.len();
        match json::parse(&text[range], options()) {
            Ok(message) => {
                let batch = Some(&frame);
                add(&mut intake, message, Sent { received, batch_sent_at, bytes, batch });
            }
            Err(error) => {
                let detail = format!("is not valid JSON: {}", error.detail);
                intake.refuse(None, vec![Problem::new("", Wrong::Invalid, detail)]);
            }
        }
    }
    Some(Ok(Read { intake: Ok(intake), write_key, bytes: text.len() }))
}

fn add(intake: &mut Intake, message: Value, sent: Sent<'_>) {
    match message::to_event(message, sent) {
        Ok((event, places)) => intake.push_made(event, Origin::Message(places)),
        Err((id, problems)) => intake.refuse(id, problems),
    }
}

fn write_key(object: &mut Object) -> Option<String> {
    let key = object.remove("writeKey")?;
    key.as_text().filter(|key| !key.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(text: &str) -> Answer<Read> {
        read(text.as_bytes(), false, None, Timestamp(0))
    }

    #[test]
    fn a_bare_nan_costs_only_its_own_value() {
        let read = batch(r#"{"batch":[{"type":"track","event":"e","userId":"u","messageId":"1","properties":{"a":NaN,"b":-Infinity}}],"writeKey":"k"}"#).unwrap();
        assert_eq!(read.write_key.as_deref(), Some("k"));
        assert_eq!(read.intake.unwrap().events[0].value.pointer("/properties/a"), Some(&Value::Null));
    }

    #[test]
    fn one_message_that_is_no_json_does_not_sink_its_batch() {
        let good = r#"{"type":"track","event":"e","userId":"u","messageId":"1"}"#;
        let read = batch(&format!(
            r#"{{"writeKey":"k","batch":[{good},{{"a":1,"a":2}},{{"x" 1}},{good}],"sentAt":null}}"#
        ))
        .unwrap();
        let intake = read.intake.unwrap();
        assert_eq!((intake.events.len(), intake.refused.len()), (2, 2));
        assert_eq!(intake.refused.iter().map(|one| one.index).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(read.write_key.as_deref(), Some("k"));
        assert_eq!(batch(r#"{"batch":[{"a":1}"#).err().unwrap().code, Code::MalformedJson);
        assert_eq!(batch(r#"{"batch":[{"a":1}],,}"#).err().unwrap().code, Code::MalformedJson);
    }

    #[test]
    fn what_is_no_batch_is_refused() {
        assert_eq!(batch("7").err().unwrap().code, Code::Invalid);
        assert_eq!(batch("{}").unwrap().intake.err().unwrap().errors[0].pointer, "/batch");
    }
}
