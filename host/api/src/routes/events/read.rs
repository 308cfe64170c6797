//! The body of an ingest request: from bytes to events, in each of the forms that are taken.

use cdp_domain::json;
use cdp_domain::limits::EVENT_BYTES_MAX;
use cdp_domain::problem::{Code as Wrong, Problem};
use cdp_domain::value::{Object, Value};
use http::HeaderMap;

use super::cloud;
use super::intake::{Intake, Origin};
use super::items;
use crate::body::{BODY_BYTES_MAX, inflate, json_options, malformed, media_type};
use crate::error::{Answer, Code, Failure};

/// How the events are written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// One event, an array, or `{"events": [...]}`.
    Json,
    /// One event a line.
    Lines,
    /// One CloudEvent, attributes and data together.
    CloudEvent,
    /// An array of CloudEvents.
    CloudEvents,
    /// The data of the CloudEvent with these attributes, which stand in the headers.
    CloudData(Object),
}

impl Form {
    /// What the headers say.
    ///
    /// # Errors
    /// 415 for a type that is not taken, 422 for an attribute of a CloudEvent that cannot be read.
    pub fn of(headers: &HeaderMap) -> Answer<Self> {
        let media = media_type(headers);
        match media.as_str() {
            "application/cloudevents+json" => return Ok(Self::CloudEvent),
            "application/cloudevents-batch+json" => return Ok(Self::CloudEvents),
            _ => {}
        }
        if let Some(attributes) = cloud::attributes(headers)? {
            return match media.as_str() {
                "" | "application/json" | "text/json" => Ok(Self::CloudData(attributes)),
                json if json.ends_with("+json") => Ok(Self::CloudData(attributes)),
                _ => {
                    Err(Failure::new(Code::UnsupportedMediaType, "the data of a CloudEvent is sent as JSON"))
                }
            };
        }
        match media.as_str() {
            "" | "application/json" | "text/json" => Ok(Self::Json),
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonlines" => Ok(Self::Lines),
            _ => Err(Failure::new(
                Code::UnsupportedMediaType,
                "events are sent as application/json, application/x-ndjson, application/cloudevents+json or \
                 application/cloudevents-batch+json",
            )),
        }
    }
}

/// The events of a body, and whether it is one event by itself.
#[derive(Debug)]
pub struct Read {
    /// Its events.
    pub intake: Intake,
    /// The body is an event, not a list of events.
    pub lone: bool,
    /// Bytes of the body after decompression.
    pub bytes: usize,
}

/// Reads a body. Blocks for about 3 µs an event.
///
/// # Errors
/// 400 when it is not JSON, 413 when it has more than a request may, 422 when it is neither an event nor a list.
pub fn read(bytes: &[u8], gzip: bool, form: Form) -> Answer<Read> {
    let inflated = if gzip { Some(inflate(bytes, BODY_BYTES_MAX)?) } else { None };
    let text = inflated.as_deref().unwrap_or(bytes);
    let (intake, lone) = match form {
        Form::Json => read_json(text),
        Form::Lines => read_lines(text).map(|intake| (intake, false)),
        Form::CloudEvent => {
            let sent = json::parse(text, json_options()).map_err(|error| malformed(&error))?;
            read_cloud_event(sent, text.len())
        }
        Form::CloudEvents => read_cloud_events(text).map(|intake| (intake, false)),
        Form::CloudData(attributes) => read_cloud_data(attributes, text),
    }?;
    Ok(Read { intake, lone, bytes: text.len() })
}

fn read_json(text: &[u8]) -> Answer<(Intake, bool)> {
    match json::parse(text, json_options()).map_err(|error| malformed(&error))? {
        Value::List(events) => Ok((read_list(events, text)?, false)),
        Value::Object(mut object) if is_wrapper(&object) => match object.remove("events") {
            Some(Value::List(events)) => Ok((read_list(events, text)?, false)),
            _ => Err(Failure::invalid(vec![Problem::new(
                "/events",
                Wrong::WrongType,
                "must be an array of events",
            )])),
        },
        event @ Value::Object(_) => {
            let mut intake = Intake::for_items(1)?;
            intake.push(event, text.len());
            Ok((intake, true))
        }
        other => {
            let detail = format!(
                "must be an event, an array of events or {{\"events\": [...]}}, not {}",
                other.type_name()
            );
            Err(Failure::invalid(vec![Problem::new("", Wrong::WrongType, detail)]))
        }
    }
}

/// An event has a type; what has `events` and no type wraps events.
fn is_wrapper(object: &Object) -> bool {
    object.get("events").is_some() && object.get("type").is_none()
}

fn read_list(events: Vec<Value>, text: &[u8]) -> Answer<Intake> {
    let mut intake = Intake::for_items(events.len())?;
    for (event, bytes) in measured(events, text) {
        intake.push(event, bytes);
    }
    Ok(intake)
}

/// The events with their bytes as sent; 0 for all where none can be too large.
fn measured(events: Vec<Value>, text: &[u8]) -> impl Iterator<Item = (Value, usize)> {
    // A text that is no longer than an event may be has no event that is.
    let large = text.len() > EVENT_BYTES_MAX;
    let sizes = if large { items::ranges(text, "events").unwrap_or_default() } else { Vec::new() };
    let found = sizes.len() == events.len();
    events.into_iter().enumerate().map(move |(n, event)| {
        let bytes = match sizes.get(n) {
            Some(range) if found => range.len(),
            _ if large => json::to_string(&event).len(),
            _ => 0,
        };
        (event, bytes)
    })
}

fn read_cloud_events(text: &[u8]) -> Answer<Intake> {
    let events = match json::parse(text, json_options()).map_err(|error| malformed(&error))? {
        Value::List(events) => events,
        other => {
            let detail = format!("must be an array of CloudEvents, not {}", other.type_name());
            return Err(Failure::invalid(vec![Problem::new("", Wrong::WrongType, detail)]));
        }
    };
    let mut intake = Intake::for_items(events.len())?;
    for (event, bytes) in measured(events, text) {
        add_cloud_event(&mut intake, event, bytes);
    }
    Ok(intake)
}

fn read_cloud_data(mut attributes: Object, text: &[u8]) -> Answer<(Intake, bool)> {
    let of_headers: usize =
        attributes.iter().map(|(name, value)| name.len() + json::to_string(value).len()).sum();
    if !text.trim_ascii().is_empty() {
        let data = json::parse(text, json_options()).map_err(|error| malformed(&error))?;
        attributes.insert("data", data);
    }
    read_cloud_event(Value::Object(attributes), text.len() + of_headers)
}

fn read_cloud_event(sent: Value, bytes: usize) -> Answer<(Intake, bool)> {
    let mut intake = Intake::for_items(1)?;
    add_cloud_event(&mut intake, sent, bytes);
    Ok((intake, true))
}

fn add_cloud_event(intake: &mut Intake, sent: Value, bytes: usize) {
    match cloud::to_event(sent) {
        Ok((event, who)) => intake.push_from(event, bytes, Origin::CloudEvent(who)),
        Err((id, problems)) => intake.refuse(id, problems),
    }
}

fn read_lines(text: &[u8]) -> Answer<Intake> {
    let lines: Vec<_> =
        text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).collect();
    let mut intake = Intake::for_items(lines.len())?;
    for line in lines {
        match json::parse(line, json_options()) {
            Ok(event) => intake.push(event, line.len()),
            Err(error) => {
                let detail = format!("is not valid JSON: {} at column {}", error.detail, error.column);
                intake.refuse(None, vec![Problem::new("", Wrong::Invalid, detail)]);
            }
        }
    }
    Ok(intake)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Answer<Read> {
        read(text.as_bytes(), false, Form::Json)
    }

    #[test]
    fn one_event_an_array_a_wrapper_and_lines_are_taken() {
        for (text, count, lone) in [
            (r#"{"id": "1", "type": "x"}"#, 1, true),
            (r#"{"id": "1", "type": "x", "events": []}"#, 1, true),
            (r#"[{"id": "1"}, 7]"#, 2, false),
            (r#"{"events": [{"id": "1"}]}"#, 1, false),
            ("[]", 0, false),
        ] {
            let read = of(text).unwrap();
            assert_eq!((read.intake.len(), read.lone), (count, lone), "{text}");
        }
        let lines = read(b"{\"id\":\"1\"}\n\r\n{bad}\n{\"id\":\"2\"}", false, Form::Lines).unwrap();
        assert_eq!((lines.intake.events.len(), lines.intake.refused[0].index), (2, 1));
    }

    #[test]
    fn the_three_modes_of_cloud_events_make_the_same_event() {
        let text = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","subject":"a","data":{"x":1.0}}"#;
        let structured = read(text.as_bytes(), false, Form::CloudEvent).unwrap();
        let batched = read(format!("[{text},7]").as_bytes(), false, Form::CloudEvents).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-source", "s"),
            ("ce-type", "t"),
            ("ce-subject", "a"),
            ("content-type", "application/json"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        let binary = read(br#"{"x":1}"#, false, Form::of(&headers).unwrap()).unwrap();
        assert!(structured.lone && binary.lone && !batched.lone);
        let event = |read: &Read| read.intake.events[0].value.clone();
        assert_eq!(event(&structured), event(&binary));
        assert_eq!(event(&structured), event(&batched));
        assert_eq!(batched.intake.refused[0].index, 1);
        headers.insert("content-type", "image/png".parse().unwrap());
        assert_eq!(Form::of(&headers).unwrap_err().code, Code::UnsupportedMediaType);
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        let failure = of("[{\"id\": \"1\"},\n {\"id\" \"2\"}]").unwrap_err();
        assert_eq!(failure.code, Code::MalformedJson);
        assert!(failure.detail.contains("line 2, column"), "{}", failure.detail);
        assert_eq!(of("7").unwrap_err().code, Code::Invalid);
        assert_eq!(of(r#"{"events": {}}"#).unwrap_err().errors[0].pointer, "/events");
    }

    #[test]
    fn sizes_are_measured_as_sent_once_the_body_is_large_enough_to_matter() {
        let filler = "x".repeat(EVENT_BYTES_MAX);
        let text = format!("{{\"events\": [ {{\"id\":\"1\"}}, {{\"p\":\"{filler}\"}} ]}}");
        let read = of(&text).unwrap();
        let sizes: Vec<_> = read.intake.events.iter().map(|event| event.bytes).collect();
        assert_eq!(sizes, [10, EVENT_BYTES_MAX + 8]);
        assert_eq!(of(r#"[{"id":"1"}]"#).unwrap().intake.events[0].bytes, 0);
    }
}
