//! Definitions of derived attributes, as clients write them.

use compact_str::CompactString;

use crate::condition::{read_list, unknown};
use crate::fold::{Aggregate, Kind};
use crate::problem::{Code, Problem};
use crate::value::Value;

const KINDS: [(&str, Kind); 6] = [
    ("count", Kind::Count),
    ("sum", Kind::Sum),
    ("min", Kind::Min),
    ("max", Kind::Max),
    ("first", Kind::First),
    ("last", Kind::Last),
];

/// Reads `{"kind", "event", "property", "where"}`.
///
/// # Errors
/// Every problem, with pointers into the definition.
pub fn read(definition: &Value) -> Result<Aggregate, Vec<Problem>> {
    let Some(object) = definition.as_object() else {
        return Err(vec![Problem::new("", Code::WrongType, "a definition is a JSON object")]);
    };
    let mut problems = Vec::new();
    unknown(object, &["kind", "event", "property", "where", "window"], "", &mut problems);
    let kind = match object.get("kind").and_then(Value::as_text) {
        Some(name) => KINDS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind),
        None => None,
    };
    if kind.is_none() {
        let known: Vec<_> = KINDS.iter().map(|(name, _)| *name).collect();
        problems.push(Problem::new("/kind", Code::Invalid, format!("must be one of {}", known.join(", "))));
    }
    let event = object.get("event").and_then(Value::as_text).filter(|name| !name.is_empty());
    if event.is_none() {
        problems.push(Problem::new("/event", Code::Required, "must name the event type that counts"));
    }
    if !matches!(object.get("window"), None | Some(Value::Null)) {
        problems.push(Problem::new(
            "/window",
            Code::Invalid,
            "must be null: this server computes lifetime values only",
        ));
    }
    let property = match object.get("property") {
        None | Some(Value::Null) => None,
        Some(Value::Text(pointer)) if pointer.starts_with('/') => Some(pointer.clone()),
        Some(_) => {
            let detail = "must be a JSON pointer into the properties, such as /total";
            problems.push(Problem::new("/property", Code::Invalid, detail));
            None
        }
    };
    if matches!(kind, Some(Kind::Sum | Kind::Min | Kind::Max)) && property.is_none() {
        problems.push(Problem::new("/property", Code::Required, "is required for sum, min and max"));
    }
    let filter = object.get("where").map_or_else(Vec::new, |list| read_list(list, "/where", &mut problems));
    match (kind, event) {
        (Some(kind), Some(event)) if problems.is_empty() => {
            Ok(Aggregate { kind, event: CompactString::from(event), property, filter })
        }
        _ => Err(problems),
    }
}

/// Writes a definition as clients do.
#[must_use]
pub fn write(aggregate: &Aggregate) -> Value {
    let kind = KINDS.iter().find(|(_, kind)| *kind == aggregate.kind).expect("every kind is in the table").0;
    let condition = |c: &crate::condition::Condition| {
        let op = crate::condition::OPS
            .iter()
            .find(|(_, op)| *op == c.op)
            .expect("every operator is in the table")
            .0;
        Value::Object(
            [
                ("property".into(), Value::Text(c.property.clone())),
                ("op".into(), op.into()),
                ("value".into(), c.value.clone()),
            ]
            .into_iter()
            .collect(),
        )
    };
    Value::Object(
        [
            ("kind".into(), kind.into()),
            ("event".into(), Value::Text(aggregate.event.clone())),
            ("property".into(), aggregate.property.clone().map_or(Value::Null, Value::Text)),
            ("where".into(), Value::List(aggregate.filter.iter().map(condition).collect())),
            ("window".into(), Value::Null),
        ]
        .into_iter()
        .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn value(text: &str) -> Value {
        json::parse(text.as_bytes(), json::Options::default()).unwrap()
    }

    #[test]
    fn a_definition_reads_back_as_it_was_written() {
        let text = r#"{"kind":"sum","event":"purchase","property":"/total","where":[{"property":"/currency","op":"eq","value":"EUR"}]}"#;
        let aggregate = read(&value(text)).unwrap();
        assert_eq!(read(&write(&aggregate)), Ok(aggregate));
    }

    #[test]
    fn every_problem_is_named_with_its_place() {
        let problems = read(&value(r#"{"kind":"sum","where":[{"property":"total","op":"is"}],"colour":1}"#))
            .unwrap_err();
        let places: Vec<_> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
        assert_eq!(places, ["/colour", "/event", "/property", "/where/0/property", "/where/0/op"]);
    }
}
