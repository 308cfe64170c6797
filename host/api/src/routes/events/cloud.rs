//! From a CloudEvent (1.0) to an event of ours: a pure function of its attributes and its data.
//!
//! | of the CloudEvent | becomes |
//! | --- | --- |
//! | `id`, `source`, `type`, `time` | the same |
//! | `identifiers`, `traits`, `channels`, `consents`, `properties` in `data` | the same |
//! | the other members of `data` | properties, or fields beside when `data` has `properties` |
//! | `data` that is no object; `data_base64` | the property `data`; the property `data_base64` |
//! | `subject` | an identifier of the type `subject`, when `data` names none |
//! | `subject`, `dataschema`, extensions | kept together in the field `cloudevent`, for plugins |
//!
//! In binary mode the attributes are the `ce-` headers and the body is `data`. Both modes make the same event, so an
//! event that is delivered in both is a duplicate.

use cdp_domain::problem::{Code as Wrong, Problem};
use cdp_domain::value::{Object, Value};
use compact_str::CompactString;
use http::HeaderMap;

use crate::error::{Answer, Failure};

/// What begins the name of a header that carries an attribute.
const HEADER: &str = "ce-";
/// Members of `data` that have a meaning of their own.
const MEANT: [&str; 5] = ["identifiers", "traits", "channels", "consents", "properties"];

/// Where the identifiers came from: told when they are at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// `data`, or nowhere.
    Data,
    /// `subject`.
    Subject,
}

impl Who {
    /// A place in the event as a place in the CloudEvent.
    #[must_use]
    pub fn place(self, pointer: &str) -> String {
        match pointer.split('/').nth(1) {
            Some("identifiers") if self == Self::Subject => "/subject".to_owned(),
            Some(head) if MEANT.contains(&head) => format!("/data{pointer}"),
            _ => pointer.to_owned(),
        }
    }
}

/// The attributes in the headers; None when they carry none, which is not binary mode.
///
/// # Errors
/// 422 when a value is not percent-encoded UTF-8.
pub fn attributes(headers: &HeaderMap) -> Answer<Option<Object>> {
    let mut found = Object::default();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix(HEADER) else { continue };
        let text = std::str::from_utf8(value.as_bytes()).ok().and_then(unpercent);
        let text = text.ok_or_else(|| {
            let problem = Problem::new(format!("/{name}"), Wrong::Invalid, "is not percent-encoded UTF-8");
            Failure::invalid(vec![problem])
        })?;
        found.insert(name, Value::Text(text));
    }
    Ok(Some(found).filter(|found| !found.is_empty()))
}

/// Undoes percent-encoding, which the HTTP binding uses for what headers cannot carry.
fn unpercent(text: &str) -> Option<CompactString> {
    if !text.contains('%') {
        return Some(text.into());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let hex = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(hex, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok().map(Into::into)
}

/// The event that a CloudEvent stands for.
///
/// # Errors
/// Its id where it has one, and what is wrong with it.
pub fn to_event(sent: Value) -> Result<(Value, Who), (Option<CompactString>, Vec<Problem>)> {
    let Value::Object(mut sent) = sent else {
        return Err((None, vec![Problem::new("", Wrong::WrongType, "a CloudEvent is an object")]));
    };
    let mut problems = Vec::new();
    let mut event = Object::default();
    match sent.remove("specversion") {
        Some(Value::Text(version)) if version == "1.0" => {}
        None => problems.push(Problem::new("/specversion", Wrong::Required, "is required")),
        Some(_) => problems.push(Problem::new("/specversion", Wrong::Invalid, "must be \"1.0\"")),
    }
    for name in ["id", "source", "type"] {
        match sent.remove(name).filter(|value| *value != Value::Null) {
            Some(value) => drop(event.insert(name, value)),
            None => problems.push(Problem::new(format!("/{name}"), Wrong::Required, "is required")),
        }
    }
    if let Some(time) = sent.remove("time") {
        event.insert("time", time);
    }
    data(sent.remove("data"), sent.remove("data_base64"), &mut event, &mut problems);
    let who = match sent.get("subject") {
        Some(subject @ Value::Text(_)) if event.get("identifiers").is_none() => {
            let pair = [("type".into(), "subject".into()), ("value".into(), subject.clone())];
            event.insert("identifiers", Value::List(vec![Value::Object(Object::from_iter(pair))]));
            Who::Subject
        }
        _ => Who::Data,
    };
    if event.get("identifiers").is_none() {
        let detail = "data has no identifiers, and there is no subject: nobody could be meant";
        problems.push(Problem::new("/data/identifiers", Wrong::Required, detail));
    }
    // JSON is the only content that is read: saying so or not is no difference between two events.
    sent.remove("datacontenttype");
    if !sent.is_empty() {
        event.insert("cloudevent", Value::Object(sent));
    }
    if problems.is_empty() {
        return Ok((Value::Object(event), who));
    }
    let id = event.get("id").and_then(Value::as_text).map(Into::into);
    Err((id, problems))
}

fn data(data: Option<Value>, data_base64: Option<Value>, event: &mut Object, problems: &mut Vec<Problem>) {
    let mut properties = Object::default();
    match data.filter(|data| *data != Value::Null) {
        Some(Value::Object(mut data)) => {
            for name in MEANT {
                if let Some(value) = data.remove(name) {
                    event.insert(name, value);
                }
            }
            if event.get("properties").is_none() {
                properties = data;
            } else {
                beside(data, event);
            }
        }
        Some(other) => drop(properties.insert("data", other)),
        None => {}
    }
    match data_base64 {
        None | Some(Value::Null) => {}
        Some(text @ Value::Text(_)) => drop(properties.insert("data_base64", text)),
        Some(other) => {
            let detail = format!("must be a string, not {}", other.type_name());
            problems.push(Problem::new("/data_base64", Wrong::WrongType, detail));
        }
    }
    if !properties.is_empty() {
        event.insert("properties", Value::Object(properties));
    }
}

/// Keeps what has no meaning, unless it would get one that it does not have.
fn beside(rest: Object, event: &mut Object) {
    for (name, value) in rest {
        if event.get(&name).is_none() && !matches!(name.as_str(), "time" | "cloudevent") {
            event.insert(&name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdp_domain::json;

    fn read(text: &str) -> Value {
        json::parse(text.as_bytes(), json::Options::default()).unwrap()
    }

    fn event(text: &str) -> String {
        json::to_string(&to_event(read(text)).unwrap().0)
    }

    #[test]
    fn the_parts_of_data_that_have_a_meaning_keep_it() {
        let made = event(
            r#"{"specversion":"1.0","id":"1","source":"/pos/3","type":"purchase","time":"2026-03-01T12:00:00Z",
                "datacontenttype":"application/json","partitionkey":"k",
                "data":{"identifiers":[{"type":"email","value":"a@b.cd"}],"traits":{"city":"Riga"},"total":"4.20"}}"#,
        );
        assert_eq!(
            made,
            r#"{"cloudevent":{"partitionkey":"k"},"id":"1","identifiers":[{"type":"email","value":"a@b.cd"}],"properties":{"total":"4.20"},"source":"/pos/3","time":"2026-03-01T12:00:00Z","traits":{"city":"Riga"},"type":"purchase"}"#
        );
    }

    #[test]
    fn data_with_properties_keeps_its_other_members_beside() {
        let made = event(
            r#"{"specversion":"1.0","id":"1","source":"s","type":"t","data":{"identifiers":[],"properties":{"a":1},"b":2,"id":"x"}}"#,
        );
        assert_eq!(made, r#"{"b":2,"id":"1","identifiers":[],"properties":{"a":1},"source":"s","type":"t"}"#);
    }

    #[test]
    fn a_subject_is_meant_where_data_names_nobody() {
        let text = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","subject":"ann","data":[1]}"#;
        let (made, who) = to_event(read(text)).unwrap();
        assert_eq!(made.pointer("/identifiers/0/type"), Some(&Value::from("subject")));
        assert_eq!(made.pointer("/properties/data/0"), Some(&Value::from(1)));
        assert_eq!((who, who.place("/identifiers/0/value")), (Who::Subject, "/subject".to_owned()));
        assert_eq!(Who::Data.place("/traits/a"), "/data/traits/a");
        assert_eq!(Who::Data.place("/id"), "/id");
    }

    #[test]
    fn what_is_missing_or_of_another_version_is_told_with_its_place() {
        let (id, problems) = to_event(read(r#"{"id":"1","data_base64":7}"#)).unwrap_err();
        let places: Vec<_> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
        assert_eq!(id.as_deref(), Some("1"));
        assert_eq!(places, ["/specversion", "/source", "/type", "/data_base64", "/data/identifiers"]);
        let old = r#"{"specversion":"0.3","id":"1","source":"s","type":"t","subject":"a"}"#;
        assert_eq!(to_event(read(old)).unwrap_err().1[0].pointer, "/specversion");
        assert_eq!(to_event(Value::Null).unwrap_err().1[0].code, Wrong::WrongType);
    }

    #[test]
    fn attributes_come_from_headers_and_are_percent_decoded() {
        let mut headers = HeaderMap::new();
        assert_eq!(attributes(&headers).unwrap(), None);
        headers.insert("ce-id", "a%20b%E2%82%AC".parse().unwrap());
        headers.insert("ce-specversion", "1.0".parse().unwrap());
        let found = attributes(&headers).unwrap().unwrap();
        assert_eq!(found.get("id"), Some(&Value::from("a b€")));
        for bad in ["%", "%4", "%zz", "%ff"] {
            headers.insert("ce-id", bad.parse().unwrap());
            assert_eq!(attributes(&headers).unwrap_err().errors[0].pointer, "/id", "{bad}");
        }
    }
}
