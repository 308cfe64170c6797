//! The body of an ingest request.

use std::io::Write as _;

use cdp_api::body::json_options;
use cdp_api::routes::events::read::{Form, read};
use cdp_domain::event::{Defaults, Event};
use cdp_domain::identity::Rules;
use cdp_domain::json;
use cdp_domain::problem::Problem;
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;

/// Any bytes as a body, in every form:
///
/// - nothing panics;
/// - what is read can be written and read again, and is then the same (`parse(print(x)) = x`), written the same way;
/// - an event is judged alike alone, in an array, wrapped, on a line, and compressed.
///
/// # Panics
/// When one of these does not hold.
pub fn ingest_body(data: &[u8]) {
    for form in [Form::Lines, Form::CloudEvent, Form::CloudEvents] {
        let _ = read(data, false, form);
    }
    let _ = read(data, true, Form::Json);
    let Ok(found) = read(data, false, Form::Json) else { return };
    for incoming in &found.intake.events {
        let text = json::to_string(&incoming.value);
        let again = json::parse(text.as_bytes(), json_options()).expect("what was written can be read");
        assert_eq!(again, incoming.value, "parse(print(x)) = x");
        assert_eq!(json::to_string(&again), text, "the canonical form is its own canonical form");
        let verdict = judge(&again);
        for (body, form) in [
            (format!("[{text}]"), Form::Json),
            (format!("{{\"events\":[{text}]}}"), Form::Json),
            (format!("{text}\n"), Form::Lines),
        ] {
            let other = read(body.as_bytes(), false, form).expect("a body of one event is read");
            let other = other.intake.events.first().expect("it has one event");
            assert_eq!(judge(&other.value), verdict, "the same verdict whatever the form");
        }
        let body = format!("[{text}]");
        let other = read(&gzip(body.as_bytes()), true, Form::Json).expect("compressed like plain");
        assert_eq!(judge(&other.intake.events[0].value), verdict, "the same verdict when compressed");
    }
}

fn judge(value: &Value) -> Result<Event, Vec<Problem>> {
    let rules = Rules::default();
    Event::from_value(value.clone(), Defaults { source: "fuzz", time: Timestamp(0), rules: &rules })
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).expect("writing into memory");
    packed.finish().expect("writing into memory")
}
