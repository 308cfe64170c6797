//! What acceptance does with an event whose type has a schema.

use std::collections::HashMap;

use cdp_domain::ids::Position;
use cdp_domain::problem::{Code, Problem, step};
use cdp_domain::value::{Number, Object, Value};
use compact_str::CompactString;
use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{PatternOptions, Validator};

use super::schema::{Mode, Schema};
use crate::acceptance::Checked;
use crate::config::Config;

/// Bytes that a compiled pattern may take.
const PATTERN_COMPILED_BYTES_MAX: usize = 64 << 10;
/// Problems of one event that are told.
const PROBLEMS_MAX: usize = 20;
/// How often leaving values out is tried: what is left out may make something else a violation.
const ROUNDS_MAX: usize = 4;

/// The schemas in force, compiled.
#[derive(Default)]
pub(crate) struct Schemas {
    /// The last change that is in them: what is brought forward again does not take them back.
    pub(crate) at: Position,
    by_type: HashMap<CompactString, Compiled>,
}

struct Compiled {
    version: u32,
    mode: Mode,
    /// The field that it is for, and the schema.
    parts: Vec<(&'static str, Validator)>,
}

/// What a schema says about an event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Nothing: it conforms, or its type has no schema.
    Nothing,
    /// It is not to be accepted: this is what quarantine would have written.
    Block(Checked),
    /// It is accepted; this is written behind it. What was left out is left out.
    Note(Checked),
}

impl Schemas {
    /// Compiles what a configuration holds. A schema that does not compile any more blocks nothing and is reported.
    pub(crate) fn new(config: &Config, at: Position) -> Self {
        let compiled = |(kind, schema): (&CompactString, &Schema)| {
            let mut parts = Vec::new();
            for (field, part) in [("properties", &schema.properties), ("traits", &schema.traits)] {
                match part.as_ref().map(compile) {
                    Some(Ok(validator)) => parts.push((field, validator)),
                    Some(Err(detail)) => {
                        tracing::error!(
                            error = detail,
                            "a schema does not compile any more; it is not in force"
                        );
                    }
                    None => {}
                }
            }
            (kind.clone(), Compiled { version: schema.version, mode: schema.mode, parts })
        };
        Self { at, by_type: config.schemas.iter().map(compiled).collect() }
    }

    /// Whether no type has one.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_type.is_empty()
    }

    /// Judges an event in its native form; in the mode `omit` values at fault are taken out of it.
    pub(crate) fn judge(&self, event: &mut Object) -> Said {
        let kind = event.get("type").and_then(Value::as_text);
        let Some(schema) = kind.and_then(|kind| self.by_type.get(kind)) else { return Said::Nothing };
        let found = schema.problems(event);
        if found.is_empty() {
            return Said::Nothing;
        }
        let note = |omitted, quarantined| Checked { version: schema.version, omitted, quarantined };
        let told =
            |found: Vec<Found>| found.into_iter().map(|found| found.problem).take(PROBLEMS_MAX).collect();
        match schema.mode {
            Mode::Block => Said::Block(note(Vec::new(), told(found))),
            Mode::Quarantine => Said::Note(note(Vec::new(), told(found))),
            Mode::Omit => match schema.mend(event, found) {
                Ok(omitted) => Said::Note(note(omitted, Vec::new())),
                Err(left) => Said::Note(note(Vec::new(), told(left))),
            },
        }
    }
}

/// A violation.
struct Found {
    problem: Problem,
    /// What to leave out so that it is none; None when leaving out does not help.
    leave_out: Option<String>,
}

impl Compiled {
    fn problems(&self, event: &Object) -> Vec<Found> {
        let mut found = Vec::new();
        for (field, validator) in &self.parts {
            let value = match event.get(field) {
                None | Some(Value::Null) => plain(&Value::Object(Object::default())),
                Some(value) => plain(value),
            };
            if !validator.is_valid(&value) {
                for error in validator.iter_errors(&value).take(PROBLEMS_MAX) {
                    tell(field, error.instance_path().as_str(), error.kind(), &mut found);
                }
            }
        }
        found
    }

    /// Leaves values out until nothing is at fault; the pointers come back, or what leaving out does not mend. Then the
    /// event is as it was.
    fn mend(&self, event: &mut Object, found: Vec<Found>) -> Result<Vec<String>, Vec<Found>> {
        let (mut left, mut found, mut omitted) = (event.clone(), found, Vec::new());
        for _ in 0..ROUNDS_MAX {
            if found.iter().any(|found| found.leave_out.is_none()) {
                return Err(found);
            }
            for pointer in found.iter().filter_map(|found| found.leave_out.as_ref()) {
                if remove(&mut left, pointer) {
                    omitted.push(pointer.clone());
                }
            }
            found = self.problems(&left);
            if found.is_empty() {
                omitted.sort_unstable();
                omitted.dedup();
                *event = left;
                return Ok(omitted);
            }
        }
        Err(found)
    }
}

/// Writes a violation down, without the value that was sent.
fn tell(field: &str, path: &str, kind: &Kind, found: &mut Vec<Found>) {
    let at = format!("/{field}{path}");
    let mut add = |pointer: String, code, detail: String, leave_out| {
        found.push(Found { problem: Problem::new(pointer, code, detail), leave_out });
    };
    match kind {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            for name in unexpected {
                let pointer = format!("{at}{}", step(name));
                let leave_out = omittable(&pointer);
                add(pointer, Code::Unknown, "is not a field that the schema knows".to_owned(), leave_out);
            }
        }
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            add(format!("{at}{}", step(name)), Code::Required, "is required by the schema".to_owned(), None);
        }
        Kind::Type { .. } => {
            let leave_out = omittable(&at);
            add(at, Code::WrongType, "has another JSON type than the schema asks for".to_owned(), leave_out);
        }
        other => {
            let leave_out = omittable(&at);
            add(at, Code::Invalid, format!("violates `{}` of the schema", other.keyword()), leave_out);
        }
    }
}

/// The value to leave out for a violation at a pointer: what stands there, or the list that it stands in. None for the
/// field as a whole.
fn omittable(pointer: &str) -> Option<String> {
    let mut kept = String::new();
    for (n, token) in pointer.split('/').skip(1).enumerate() {
        if n > 1 && !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit()) {
            break;
        }
        kept.push('/');
        kept.push_str(token);
    }
    (kept.matches('/').count() > 1).then_some(kept)
}

/// Takes the member at a pointer out; whether it was there.
fn remove(object: &mut Object, pointer: &str) -> bool {
    fn within(object: &mut Object, path: &str) -> bool {
        let (head, tail) = path.split_once('/').map_or((path, None), |(head, tail)| (head, Some(tail)));
        let head = head.replace("~1", "/").replace("~0", "~");
        let Some(tail) = tail else { return object.remove(&head).is_some() };
        match object.remove(&head) {
            Some(Value::Object(mut inner)) => {
                let removed = within(&mut inner, tail);
                object.insert(&head, Value::Object(inner));
                removed
            }
            Some(other) => {
                object.insert(&head, other);
                false
            }
            None => false,
        }
    }
    pointer.strip_prefix('/').is_some_and(|path| within(object, path))
}

/// Compiles a schema: offline, with patterns that take linear time.
pub(super) fn compile(schema: &serde_json::Value) -> Result<Validator, String> {
    let patterns = PatternOptions::regex()
        .size_limit(PATTERN_COMPILED_BYTES_MAX)
        .dfa_size_limit(PATTERN_COMPILED_BYTES_MAX);
    let options =
        jsonschema::options().with_draft(jsonschema::Draft::Draft202012).with_pattern_options(patterns);
    let options = options.should_validate_formats(true).offline();
    options.build(schema).map_err(|error| error.masked().to_string().chars().take(200).collect())
}

/// A value as the validator takes it. Numbers beyond 64 bits become the nearest double there.
pub(super) fn plain(value: &Value) -> serde_json::Value {
    use serde_json::Value as Json;
    match value {
        Value::Null => Json::Null,
        Value::Bool(truth) => Json::Bool(*truth),
        Value::Number(Number::Int(whole)) => Json::from(*whole),
        Value::Number(number) => {
            let double = number.to_f64().clamp(f64::MIN, f64::MAX);
            serde_json::Number::from_f64(double).map_or(Json::Null, Json::Number)
        }
        Value::Text(text) => Json::String(text.to_string()),
        Value::List(items) => Json::Array(items.iter().map(plain).collect()),
        Value::Object(object) => {
            Json::Object(object.iter().map(|(name, member)| (name.to_string(), plain(member))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdp_domain::json;

    const SCHEMA: &str = r#"{"type":"object","required":["total"],"additionalProperties":false,"properties":{
        "total":{"type":"string","pattern":"^[0-9]+(\\.[0-9]+)?$"},"items":{"type":"array","items":{"type":"integer"}},
        "ship":{"type":"object","properties":{"country":{"maxLength":2}}}}}"#;

    fn schemas(mode: Mode) -> Schemas {
        let mut config = Config::default();
        let schema = Schema { version: 3, mode, properties: serde_json::from_str(SCHEMA).ok(), traits: None };
        config.schemas.insert("buy".into(), schema);
        Schemas::new(&config, Position(8))
    }

    fn event(properties: &str) -> Object {
        let text = format!(r#"{{"id":"1","type":"buy","properties":{properties}}}"#);
        match json::parse(text.as_bytes(), json::Options::default()).unwrap() {
            Value::Object(object) => object,
            _ => unreachable!("it is written as one"),
        }
    }

    #[test]
    fn an_event_that_conforms_or_has_no_schema_passes_without_a_word() {
        for mode in Mode::ALL {
            let mut good = event(r#"{"total":"64.20","items":[1,2],"ship":{"country":"LV"}}"#);
            assert_eq!(schemas(mode).judge(&mut good), Said::Nothing);
            let mut other = event(r#"{"x":1}"#);
            other.insert("type", "sell".into());
            assert_eq!(schemas(mode).judge(&mut other), Said::Nothing);
        }
    }

    #[test]
    fn every_violation_is_told_with_its_place_and_without_the_value() {
        let secret = r#"{"secret":"s3cret","items":["s3cret"],"ship":{"country":"s3cret"}}"#;
        let Said::Block(Checked { quarantined: problems, .. }) =
            schemas(Mode::Block).judge(&mut event(secret))
        else {
            panic!("it is blocked")
        };
        let mut places: Vec<_> =
            problems.iter().map(|problem| (problem.pointer.as_str(), problem.code)).collect();
        places.sort_by_key(|(place, _)| place.to_owned());
        assert_eq!(
            places,
            [
                ("/properties/items/0", Code::WrongType),
                ("/properties/secret", Code::Unknown),
                ("/properties/ship/country", Code::Invalid),
                ("/properties/total", Code::Required),
            ]
        );
        assert!(problems.iter().all(|problem| !problem.detail.contains("s3cret")));
        let Said::Block(missing) = schemas(Mode::Block).judge(&mut event("null")) else {
            panic!("it is blocked")
        };
        assert_eq!(
            missing.quarantined[0].pointer, "/properties/total",
            "an event without properties has none"
        );
    }

    #[test]
    fn values_at_fault_are_left_out_and_nothing_else() {
        let mut mended =
            event(r#"{"total":"1","x":{"y":1},"items":[1,"two"],"ship":{"country":"Latvia","city":"Riga"}}"#);
        let said = schemas(Mode::Omit).judge(&mut mended);
        let omitted = ["/properties/items", "/properties/ship/country", "/properties/x"];
        let omitted = omitted.map(str::to_owned).to_vec();
        assert_eq!(said, Said::Note(Checked { version: 3, omitted, quarantined: Vec::new() }));
        assert_eq!(mended, event(r#"{"total":"1","ship":{"city":"Riga"}}"#));
    }

    #[test]
    fn what_leaving_out_does_not_mend_is_quarantined_as_it_came() {
        for (bad, place) in [
            (r#"{"x":1}"#, "/properties/total"),
            // Leaving it out would leave out what is required.
            (r#"{"total":"much","x":1}"#, "/properties/total"),
            ("7", "/properties"),
        ] {
            let mut broken = event(bad);
            let Said::Note(checked) = schemas(Mode::Omit).judge(&mut broken) else { panic!("it is noted") };
            assert!(checked.omitted.is_empty());
            assert!(checked.quarantined.iter().any(|problem| problem.pointer == place), "{checked:?}");
            assert_eq!(broken, event(bad));
        }
        let Said::Note(checked) = schemas(Mode::Quarantine).judge(&mut event(r#"{"x":1}"#)) else {
            panic!("it is noted")
        };
        assert_eq!((checked.version, checked.quarantined.len()), (3, 2));
    }

    #[test]
    fn huge_numbers_are_compared_as_the_nearest_double() {
        let number = |text: &str| plain(&json::parse(text.as_bytes(), json::Options::default()).unwrap());
        assert_eq!(number("9007199254740993"), serde_json::json!(9_007_199_254_740_993_i64));
        assert_eq!(number("1e400"), serde_json::json!(f64::MAX));
        assert_eq!(number("0.5"), serde_json::json!(0.5));
    }
}
