//! The body of an ingest request: from bytes to events, in each of the forms that are taken.

use cdp_domain::json;
use cdp_domain::limits::EVENT_BYTES_MAX;
use cdp_domain::problem::{Code as Wrong, Problem};
use cdp_domain::value::{Object, Value};
use http::HeaderMap;

use super::intake::Intake;
use super::items;
use crate::body::{BODY_BYTES_MAX, BODY_DEPTH_MAX, inflate, malformed, media_type};
use crate::error::{Answer, Code, Failure};

/// How the events are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One event, an array, or `{"events": [...]}`.
    Json,
    /// One event a line.
    Lines,
}

impl Form {
    /// What the headers say.
    ///
    /// # Errors
    /// 415 for a type that is not taken.
    pub fn of(headers: &HeaderMap) -> Answer<Self> {
        match media_type(headers).as_str() {
            "" | "application/json" | "text/json" => Ok(Self::Json),
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonlines" => Ok(Self::Lines),
            _ => Err(Failure::new(
                Code::UnsupportedMediaType,
                "events are sent as application/json or application/x-ndjson",
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
}

/// Reads a body. Blocks for about 3 µs an event.
///
/// # Errors
/// 400 when it is not JSON, 413 when it has more than a request may, 422 when it is neither an event nor a list.
pub fn read(bytes: &[u8], gzip: bool, form: Form) -> Answer<Read> {
    let inflated = if gzip { Some(inflate(bytes, BODY_BYTES_MAX)?) } else { None };
    let text = inflated.as_deref().unwrap_or(bytes);
    match form {
        Form::Json => read_json(text),
        Form::Lines => read_lines(text),
    }
}

fn options() -> json::Options {
    json::Options { depth_max: BODY_DEPTH_MAX, nan_as_null: false }
}

fn read_json(text: &[u8]) -> Answer<Read> {
    match json::parse(text, options()).map_err(|error| malformed(&error))? {
        Value::List(events) => read_list(events, text),
        Value::Object(mut object) if is_wrapper(&object) => match object.remove("events") {
            Some(Value::List(events)) => read_list(events, text),
            _ => Err(Failure::invalid(vec![Problem::new(
                "/events",
                Wrong::WrongType,
                "must be an array of events",
            )])),
        },
        event @ Value::Object(_) => {
            let mut intake = Intake::for_items(1)?;
            intake.push(event, text.len());
            Ok(Read { intake, lone: true })
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

fn read_list(events: Vec<Value>, text: &[u8]) -> Answer<Read> {
    let mut intake = Intake::for_items(events.len())?;
    // A text that is no longer than an event may be has no event that is.
    let sizes = if text.len() > EVENT_BYTES_MAX {
        items::ranges(text, "events").unwrap_or_default()
    } else {
        Vec::new()
    };
    let measured = sizes.len() == events.len();
    for (n, event) in events.into_iter().enumerate() {
        let bytes = match sizes.get(n) {
            Some(range) if measured => range.len(),
            _ if text.len() > EVENT_BYTES_MAX => json::to_string(&event).len(),
            _ => 0,
        };
        intake.push(event, bytes);
    }
    Ok(Read { intake, lone: false })
}

fn read_lines(text: &[u8]) -> Answer<Read> {
    let lines: Vec<_> =
        text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).collect();
    let mut intake = Intake::for_items(lines.len())?;
    for line in lines {
        match json::parse(line, options()) {
            Ok(event) => intake.push(event, line.len()),
            Err(error) => {
                let detail = format!("is not valid JSON: {} at column {}", error.detail, error.column);
                intake.refuse(None, vec![Problem::new("", Wrong::Invalid, detail)]);
            }
        }
    }
    Ok(Read { intake, lone: false })
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
