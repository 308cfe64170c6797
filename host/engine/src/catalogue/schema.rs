//! What events of a type should carry: definitions, read strictly and within bounds.
//!
//! A definition is JSON Schema (draft 2020-12) for an event's `properties`, its `traits`, or both. It is checked when it
//! is made: it must compile, refer to nothing outside itself, and stay within what checking an event may cost. Patterns
//! are matched in linear time; references are counted as often as they are followed, and none may lead in a circle.

use std::collections::HashMap;

use cdp_domain::json;
use cdp_domain::problem::{Code, Problem, step};
use cdp_domain::value::Value;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::check::compile;
use crate::attributes::Put;
use crate::config::Change;
use crate::error::{Refused, Result};
use crate::tenant::Tenant;

/// Types of one tenant that may have a schema.
pub const SCHEMAS_MAX: usize = 200;
/// Bytes of one definition, as compact JSON.
pub const SCHEMA_BYTES_MAX: usize = 64 << 10;
/// Values of a schema, references counted as often as they are followed: what bounds the work that checking takes.
pub const SCHEMA_NODES_MAX: usize = 2000;
/// Bytes of one pattern.
pub const SCHEMA_PATTERN_BYTES_MAX: usize = 256;

/// What acceptance does with an event that violates the schema of its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It is refused.
    Block,
    /// The values at fault are left out; an event that they do not mend is quarantined.
    Omit,
    /// It is accepted and kept out of state.
    Quarantine,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Block, Self::Omit, Self::Quarantine];

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Omit => "omit",
            Self::Quarantine => "quarantine",
        }
    }
}

/// What events of a type should carry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// 1, 2, … under its type; set when it is applied.
    pub version: u32,
    /// What happens to an event that does not.
    pub mode: Mode,
    /// For `properties`.
    pub properties: Option<serde_json::Value>,
    /// For `traits`.
    pub traits: Option<serde_json::Value>,
}

impl Tenant {
    /// Gives a type a schema, in force for every event that is accepted after the answer. The same again changes nothing.
    ///
    /// # Errors
    /// [`Refused::Invalid`] with pointers into the definition; [`Refused::Conflict`] at [`SCHEMAS_MAX`].
    pub async fn put_schema(&self, kind: &str, definition: &Value) -> Result<Put> {
        check_kind(kind)?;
        let read = read(definition).map_err(Refused::Invalid)?;
        let _changing = self.core.changing.lock().await;
        let config = self.config();
        let known = config.schemas.get(kind);
        if let Some(same) = known.filter(|known| Schema { version: 0, ..(*known).clone() } == read) {
            return Ok(Put { version: same.version, created: false, job: None });
        }
        if known.is_none() && config.schemas.len() >= SCHEMAS_MAX {
            return Err(Refused::Conflict(format!("{SCHEMAS_MAX} event types have a schema already")));
        }
        self.core.change(Change::SchemaPut { kind: kind.into(), schema: read }).await?;
        let version = self.config().schemas.get(kind).map_or(0, |schema| schema.version);
        Ok(Put { version, created: known.is_none(), job: None })
    }

    /// Takes a type's schema away.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub async fn delete_schema(&self, kind: &str) -> Result<()> {
        let _changing = self.core.changing.lock().await;
        if !self.config().schemas.contains_key(kind) {
            return Err(Refused::NotFound("schema"));
        }
        self.core.change(Change::SchemaDeleted { kind: kind.into() }).await.map(|_| ())
    }

    /// A type's schema.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn schema(&self, kind: &str) -> Result<Schema> {
        self.config().schemas.get(kind).cloned().ok_or(Refused::NotFound("schema"))
    }
}

fn check_kind(kind: &str) -> Result<()> {
    let long = kind.len() > cdp_domain::limits::EVENT_TYPE_BYTES_MAX;
    if kind.is_empty() || long || kind.chars().any(char::is_control) {
        let detail = "has 1 to 200 bytes and no control characters, as in an event";
        return Err(Refused::invalid(Problem::new("/type", Code::Invalid, detail)));
    }
    Ok(())
}

/// Reads a definition.
fn read(definition: &Value) -> Result<Schema, Vec<Problem>> {
    let Some(object) = definition.as_object() else {
        let detail = format!("must be an object, not {}", definition.type_name());
        return Err(vec![Problem::new("", Code::WrongType, detail)]);
    };
    let mut problems = Vec::new();
    for (name, _) in object.iter() {
        if !matches!(name.as_str(), "mode" | "properties" | "traits") {
            problems.push(Problem::new(step(name), Code::Unknown, "is not a field here"));
        }
    }
    let mode = object.get("mode").and_then(Value::as_text);
    let mode = Mode::ALL.into_iter().find(|known| Some(known.as_str()) == mode);
    if mode.is_none() {
        problems.push(Problem::new("/mode", Code::Invalid, "must be block, omit or quarantine"));
    }
    let bytes = json::to_string(definition).len();
    if bytes > SCHEMA_BYTES_MAX {
        let detail = format!("is longer than {SCHEMA_BYTES_MAX} bytes");
        return Err(vec![Problem::new("", Code::TooLong, detail)]);
    }
    let mut part = |name: &str| {
        let value = object.get(name).filter(|value| **value != Value::Null)?;
        read_part(value)
            .map_err(|found| {
                problems.extend(found.into_iter().map(|problem| problem.under(&step(name))));
            })
            .ok()
    };
    let (properties, traits) = (part("properties"), part("traits"));
    if problems.is_empty() && properties.is_none() && traits.is_none() {
        problems.push(Problem::new("", Code::Required, "needs a schema for properties, traits or both"));
    }
    match mode {
        Some(mode) if problems.is_empty() => Ok(Schema { version: 0, mode, properties, traits }),
        _ => Err(problems),
    }
}

fn read_part(value: &Value) -> Result<serde_json::Value, Vec<Problem>> {
    let Value::Object(_) = value else {
        let detail = format!("must be an object, not {}", value.type_name());
        return Err(vec![Problem::new("", Code::WrongType, detail)]);
    };
    let mut walk = Walk { root: value, problems: Vec::new(), sizes: HashMap::new(), open: Vec::new() };
    let size = walk.size(value, &mut String::new());
    if size > SCHEMA_NODES_MAX {
        let detail = format!(
            "has more than {SCHEMA_NODES_MAX} values, references counted as often as they are followed"
        );
        walk.problems.push(Problem::new("", Code::TooLong, detail));
    }
    if !walk.problems.is_empty() {
        return Err(walk.problems);
    }
    let schema = super::check::plain(value);
    match compile(&schema) {
        Ok(_) => Ok(schema),
        Err(detail) => Err(vec![Problem::new("", Code::Invalid, format!("is no JSON Schema: {detail}"))]),
    }
}

/// Counts what checking may take, and refuses what leads outside or in circles.
struct Walk<'a> {
    root: &'a Value,
    problems: Vec<Problem>,
    /// By the pointer that is referred to.
    sizes: HashMap<CompactString, usize>,
    /// References that are being followed.
    open: Vec<CompactString>,
}

impl Walk<'_> {
    /// Values in a schema; saturates far above the bound.
    fn size(&mut self, value: &Value, at: &mut String) -> usize {
        let mut size = 1_usize;
        let length = at.len();
        match value {
            Value::Object(object) => {
                for (name, member) in object.iter() {
                    at.push_str(&step(name));
                    size = size
                        .saturating_add(self.size(member, at))
                        .saturating_add(self.keyword(name, member, at));
                    at.truncate(length);
                }
            }
            Value::List(items) => {
                for (n, item) in items.iter().enumerate() {
                    at.push_str(&format!("/{n}"));
                    size = size.saturating_add(self.size(item, at));
                    at.truncate(length);
                }
            }
            _ => {}
        }
        size
    }

    /// What a keyword adds; a name that only looks like one, such as a property's, adds the same.
    fn keyword(&mut self, name: &str, value: &Value, at: &str) -> usize {
        let text = value.as_text();
        match (name, text) {
            ("$ref", Some(target)) => self.follow(target, at),
            (
                "$dynamicRef" | "$recursiveRef" | "$id" | "id" | "$anchor" | "$dynamicAnchor" | "$vocabulary",
                Some(_),
            ) => {
                let detail = "cannot be used here: only `$ref` to a place in the same schema can";
                self.problems.push(Problem::new(at, Code::Invalid, detail));
                0
            }
            ("$schema", Some(dialect)) => {
                if dialect.trim_end_matches('#') != "https://json-schema.org/draft/2020-12/schema" {
                    let detail = "must be https://json-schema.org/draft/2020-12/schema";
                    self.problems.push(Problem::new(at, Code::Invalid, detail));
                }
                0
            }
            ("pattern", Some(pattern)) => self.pattern(pattern, at),
            ("patternProperties", None) => {
                let patterns: Vec<_> = value
                    .as_object()
                    .into_iter()
                    .flat_map(|all| all.iter().map(|(name, _)| name.clone()))
                    .collect();
                patterns.iter().map(|pattern| self.pattern(pattern, at)).sum()
            }
            _ => 0,
        }
    }

    fn pattern(&mut self, pattern: &str, at: &str) -> usize {
        if pattern.len() > SCHEMA_PATTERN_BYTES_MAX {
            let detail = format!("has a pattern that is longer than {SCHEMA_PATTERN_BYTES_MAX} bytes");
            self.problems.push(Problem::new(at, Code::TooLong, detail));
        }
        0
    }

    fn follow(&mut self, target: &str, at: &str) -> usize {
        let place = target.strip_prefix('#').filter(|place| place.is_empty() || place.starts_with('/'));
        let found = place.filter(|place| !place.contains('%')).and_then(|place| self.root.pointer(place));
        let Some((place, found)) = place.zip(found) else {
            let detail = "must lead to a place in the same schema, such as #/$defs/money";
            self.problems.push(Problem::new(at, Code::NotFound, detail));
            return 0;
        };
        if self.open.iter().any(|open| open == place) || at == place || at.starts_with(&format!("{place}/")) {
            self.problems.push(Problem::new(at, Code::Invalid, "leads in a circle"));
            return 0;
        }
        if let Some(size) = self.sizes.get(place) {
            return *size;
        }
        self.open.push(place.into());
        let size = self.size(found, &mut place.to_owned());
        self.open.pop();
        self.sizes.insert(place.into(), size);
        size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        json::parse(text.as_bytes(), json::Options { depth_max: 200, ..json::Options::default() }).unwrap()
    }

    fn places(text: &str) -> Vec<(String, Code)> {
        let problems = read(&value(text)).expect_err(text);
        problems.into_iter().map(|problem| (problem.pointer, problem.code)).collect()
    }

    fn of_properties(schema: &str) -> String {
        format!(r#"{{"mode":"block","properties":{schema}}}"#)
    }

    #[test]
    fn a_definition_has_a_mode_and_at_least_one_schema() {
        let read = read(&value(r#"{"mode":"omit","traits":{"type":"object"}}"#)).unwrap();
        assert_eq!((read.mode, read.properties.is_none(), read.traits.is_some()), (Mode::Omit, true, true));
        assert_eq!(places("7"), [(String::new(), Code::WrongType)]);
        assert_eq!(places(r#"{"mode":"block"}"#), [(String::new(), Code::Required)]);
        assert_eq!(
            places(r#"{"mode":"warn","properties":7,"x":1}"#),
            [
                ("/x".to_owned(), Code::Unknown),
                ("/mode".to_owned(), Code::Invalid),
                ("/properties".to_owned(), Code::WrongType)
            ]
        );
    }

    #[test]
    fn what_leads_outside_is_refused_with_its_place() {
        for (schema, place) in [
            (r#"{"$ref":"https://example.com/x.json"}"#, "/properties/$ref"),
            (r#"{"allOf":[{"$ref":"file:///etc/passwd"}]}"#, "/properties/allOf/0/$ref"),
            (r##"{"$ref":"#/$defs/none"}"##, "/properties/$ref"),
            (r##"{"$ref":"#anchor"}"##, "/properties/$ref"),
            (r#"{"$id":"https://example.com/"}"#, "/properties/$id"),
            (r##"{"$dynamicRef":"#x"}"##, "/properties/$dynamicRef"),
            (r#"{"$schema":"http://json-schema.org/draft-04/schema#"}"#, "/properties/$schema"),
        ] {
            assert_eq!(places(&of_properties(schema))[0].0, place, "{schema}");
        }
        for schema in [
            r##"{"properties":{"total":{"$ref":"#/$defs/money"}},"$defs":{"money":{"type":"string"}}}"##,
            r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object"}"#,
        ] {
            assert!(read(&value(&of_properties(schema))).is_ok(), "{schema}");
        }
    }

    #[test]
    fn what_would_take_long_is_refused() {
        let circle = r##"{"$defs":{"a":{"anyOf":[{"$ref":"#/$defs/b"}]},"b":{"$ref":"#/$defs/a"}}}"##;
        assert!(places(&of_properties(circle)).iter().all(|(_, code)| *code == Code::Invalid));
        assert_eq!(places(&of_properties(r##"{"items":{"$ref":"#"}}"##))[0].1, Code::Invalid);
        // Each definition uses the one before twice: two to the thirtieth, written down in a kilobyte.
        let doubling: Vec<_> = (1..=30)
            .map(|n| {
                format!(
                    r##""d{n}":{{"anyOf":[{{"$ref":"#/$defs/d{m}"}},{{"$ref":"#/$defs/d{m}"}}]}}"##,
                    m = n - 1
                )
            })
            .collect();
        let doubling = format!(r##"{{"$ref":"#/$defs/d30","$defs":{{"d0":{{}},{}}}}}"##, doubling.join(","));
        assert_eq!(places(&of_properties(&doubling)), [("/properties".to_owned(), Code::TooLong)]);
        let wide = |n: usize| of_properties(&format!(r#"{{"enum":[{}]}}"#, vec!["1"; n].join(",")));
        let fits = SCHEMA_NODES_MAX - 2;
        let distinct = |n: usize| {
            let all: Vec<_> = (0..n).map(|n| n.to_string()).collect();
            of_properties(&format!(r#"{{"enum":[{}]}}"#, all.join(",")))
        };
        assert!(read(&value(&distinct(fits))).is_ok());
        assert_eq!(places(&wide(fits + 1)), [("/properties".to_owned(), Code::TooLong)]);
        let pattern = |n: usize| of_properties(&format!(r#"{{"pattern":"{}"}}"#, "a".repeat(n)));
        assert!(read(&value(&pattern(SCHEMA_PATTERN_BYTES_MAX))).is_ok());
        assert_eq!(
            places(&pattern(SCHEMA_PATTERN_BYTES_MAX + 1)),
            [("/properties/pattern".to_owned(), Code::TooLong)]
        );
        for bad in [r"(?=a)b", r"(a)\\1", r"((a{100}){100}){100}"] {
            assert_eq!(
                places(&of_properties(&format!(r#"{{"pattern":"{bad}"}}"#)))[0].1,
                Code::Invalid,
                "{bad}"
            );
        }
        let long = of_properties(&format!(r#"{{"title":"{}"}}"#, "a".repeat(SCHEMA_BYTES_MAX)));
        assert_eq!(places(&long), [(String::new(), Code::TooLong)]);
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        for bad in [r#"{"type":"text"}"#, r#"{"required":"total"}"#, r#"{"minimum":"1"}"#] {
            assert_eq!(places(&of_properties(bad)), [("/properties".to_owned(), Code::Invalid)], "{bad}");
        }
    }
}
