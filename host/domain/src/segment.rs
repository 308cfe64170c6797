//! Segment rules: boolean formulas over what is known of a profile at an instant.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::condition::{Answer, Op, holds, unknown};
use crate::event::check_name;
use crate::fold::Reading;
use crate::limits::{RULE_CONDITIONS_MAX, RULE_DEPTH_MAX};
use crate::problem::{Code, Problem};
use crate::time::Timestamp;
use crate::value::{Object, Value};

/// A rule. Serialised in its own compact form; clients see [`Rule::write`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rule {
    /// Every one holds; true of none.
    All(Vec<Rule>),
    /// At least one holds; false of none.
    Any(Vec<Rule>),
    /// It does not hold.
    Not(Box<Rule>),
    /// A trait compares so.
    Trait(CompactString, Op, Value),
    /// A derived attribute compares so.
    Attribute(CompactString, Op, Value),
    /// The profile has an identifier of this type, or one that compares so.
    Identifier(CompactString, Op, Value),
    /// A contact point of the channel carries a grant for the purpose.
    Reachable {
        /// The channel.
        channel: CompactString,
        /// The purpose.
        purpose: CompactString,
    },
}

/// What a rule may ask of a profile.
pub trait View {
    /// The trait's value.
    fn trait_value(&self, name: &str) -> Option<Value>;
    /// The attribute's reading at `as_of`.
    fn attribute(&self, name: &str, as_of: Timestamp) -> Reading;
    /// The values of the identifiers of a type.
    fn identifiers(&self, kind: &str) -> Vec<Value>;
    /// Whether any contact point of `channel` carries a grant for `purpose` at `as_of`.
    fn reachable(&self, channel: &str, purpose: &str, as_of: Timestamp) -> Answer;
}

/// What a rule may refer to; the rest is refused when the rule is read.
pub trait Names {
    /// Whether such an attribute is defined.
    fn has_attribute(&self, name: &str) -> bool;
}

impl Rule {
    /// Whether the rule holds at `as_of`, and the first instant at which that may change by itself.
    ///
    /// The instant is the earliest of all conditions', so that it is safe even where other conditions hide a turn.
    #[must_use]
    pub fn evaluate(&self, view: &dyn View, as_of: Timestamp) -> Answer {
        match self {
            Self::All(rules) => rules.iter().fold(true.into(), |so_far: Answer, rule| {
                let next = rule.evaluate(view, as_of);
                Answer {
                    holds: so_far.holds && next.holds,
                    valid_until: earlier(so_far.valid_until, next.valid_until),
                }
            }),
            Self::Any(rules) => rules.iter().fold(false.into(), |so_far: Answer, rule| {
                let next = rule.evaluate(view, as_of);
                Answer {
                    holds: so_far.holds || next.holds,
                    valid_until: earlier(so_far.valid_until, next.valid_until),
                }
            }),
            Self::Not(rule) => {
                let answer = rule.evaluate(view, as_of);
                Answer { holds: !answer.holds, ..answer }
            }
            Self::Trait(name, op, value) => holds(*op, view.trait_value(name).as_ref(), value, as_of),
            Self::Attribute(name, op, value) => {
                let reading = view.attribute(name, as_of);
                let answer = holds(*op, reading.value.as_ref(), value, as_of);
                Answer { valid_until: earlier(answer.valid_until, reading.valid_until), ..answer }
            }
            Self::Identifier(kind, op, value) => {
                let values = view.identifiers(kind);
                if values.is_empty() {
                    return holds(*op, None, value, as_of);
                }
                values.iter().fold(false.into(), |so_far: Answer, one| {
                    let next = holds(*op, Some(one), value, as_of);
                    Answer {
                        holds: so_far.holds || next.holds,
                        valid_until: earlier(so_far.valid_until, next.valid_until),
                    }
                })
            }
            Self::Reachable { channel, purpose } => view.reachable(channel, purpose, as_of),
        }
    }

    /// Calls `visit` with every condition, outermost first.
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Rule)) {
        visit(self);
        match self {
            Self::All(rules) | Self::Any(rules) => rules.iter().for_each(|rule| rule.walk(visit)),
            Self::Not(rule) => rule.walk(visit),
            _ => {}
        }
    }

    /// Reads a rule as clients write it.
    ///
    /// # Errors
    /// Every problem, with pointers into the rule.
    pub fn read(rule: &Value, names: &dyn Names) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader { names, problems: Vec::new(), conditions: 0 };
        let rule = reader.rule(rule, "", 1);
        match rule {
            Some(rule) if reader.problems.is_empty() => Ok(rule),
            _ => Err(reader.problems),
        }
    }

    /// Writes the rule as clients do.
    #[must_use]
    pub fn write(&self) -> Value {
        let object = |members: Vec<(&str, Value)>| {
            Value::Object(
                members.into_iter().map(|(name, value)| (CompactString::from(name), value)).collect(),
            )
        };
        let compare = |what: &str, name: &CompactString, op: &Op, value: &Value| {
            let op_name =
                crate::condition::OPS.iter().find(|(_, known)| known == op).expect("in the table").0;
            let mut members = vec![(what, Value::Text(name.clone())), ("op", op_name.into())];
            if !matches!(op, Op::Exists | Op::NotExists) {
                members.push(("value", value.clone()));
            }
            object(members)
        };
        match self {
            Self::All(rules) => object(vec![("all", Value::List(rules.iter().map(Self::write).collect()))]),
            Self::Any(rules) => object(vec![("any", Value::List(rules.iter().map(Self::write).collect()))]),
            Self::Not(rule) => object(vec![("not", rule.write())]),
            Self::Trait(name, op, value) => compare("trait", name, op, value),
            Self::Attribute(name, op, value) => compare("attribute", name, op, value),
            Self::Identifier(kind, op, value) => compare("identifier", kind, op, value),
            Self::Reachable { channel, purpose } => object(vec![(
                "reachable",
                object(vec![
                    ("channel", Value::Text(channel.clone())),
                    ("purpose", Value::Text(purpose.clone())),
                ]),
            )]),
        }
    }
}

/// The earlier of two instants, where None is never.
#[must_use]
pub fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

struct Reader<'a> {
    names: &'a dyn Names,
    problems: Vec<Problem>,
    conditions: usize,
}

const FORMS: [&str; 7] = ["all", "any", "not", "trait", "attribute", "identifier", "reachable"];

impl Reader<'_> {
    fn add(&mut self, pointer: impl Into<String>, code: Code, detail: impl Into<String>) -> Option<Rule> {
        self.problems.push(Problem::new(pointer, code, detail));
        None
    }

    fn rule(&mut self, rule: &Value, place: &str, depth: usize) -> Option<Rule> {
        if depth > RULE_DEPTH_MAX {
            return self.add(place, Code::TooLong, format!("is nested deeper than {RULE_DEPTH_MAX}"));
        }
        self.conditions += 1;
        if self.conditions > RULE_CONDITIONS_MAX {
            if self.conditions == RULE_CONDITIONS_MAX + 1 {
                self.add("", Code::TooLong, format!("has more than {RULE_CONDITIONS_MAX} conditions"));
            }
            return None;
        }
        let Some(object) = rule.as_object() else {
            return self.add(place, Code::WrongType, "a rule is a JSON object");
        };
        let forms: Vec<_> = FORMS.into_iter().filter(|form| object.get(form).is_some()).collect();
        let [form] = forms[..] else {
            return self.add(place, Code::Invalid, format!("must have exactly one of {}", FORMS.join(", ")));
        };
        let inner = object.get(form).expect("it was just found");
        let inside = format!("{place}/{form}");
        match form {
            "all" | "any" => {
                unknown(object, &[form], place, &mut self.problems);
                let Value::List(items) = inner else {
                    return self.add(inside, Code::WrongType, "must be an array of rules");
                };
                let rules: Vec<_> = items
                    .iter()
                    .enumerate()
                    .map(|(n, rule)| self.rule(rule, &format!("{inside}/{n}"), depth + 1))
                    .collect();
                let rules = rules.into_iter().collect::<Option<Vec<_>>>()?;
                Some(if form == "all" { Rule::All(rules) } else { Rule::Any(rules) })
            }
            "not" => {
                unknown(object, &[form], place, &mut self.problems);
                self.rule(inner, &inside, depth + 1).map(|rule| Rule::Not(Box::new(rule)))
            }
            "reachable" => {
                unknown(object, &[form], place, &mut self.problems);
                self.reachable(inner, &inside)
            }
            _ => self.comparison(form, object, place),
        }
    }

    fn comparison(&mut self, form: &'static str, object: &Object, place: &str) -> Option<Rule> {
        unknown(object, &[form, "op", "value"], place, &mut self.problems);
        let inside = format!("{place}/{form}");
        let name = object.get(form).and_then(Value::as_text).filter(|name| check_name(name).is_ok());
        let comparison = Op::read(object, place, &mut self.problems);
        let Some(name) = name.map(CompactString::from) else {
            return self.add(inside, Code::WrongType, format!("must be the name of the {form}"));
        };
        if form == "attribute" && !self.names.has_attribute(&name) {
            return self.add(inside, Code::NotFound, "is not a defined attribute");
        }
        let (op, value) = comparison?;
        Some(match form {
            "trait" => Rule::Trait(name, op, value),
            "attribute" => Rule::Attribute(name, op, value),
            _ => Rule::Identifier(name, op, value),
        })
    }

    fn reachable(&mut self, value: &Value, place: &str) -> Option<Rule> {
        let Some(object) = value.as_object() else {
            return self.add(place, Code::WrongType, "must be {\"channel\", \"purpose\"}");
        };
        unknown(object, &["channel", "purpose"], place, &mut self.problems);
        let mut name = |field: &str| {
            let name = object.get(field).and_then(Value::as_text).filter(|name| check_name(name).is_ok());
            if name.is_none() {
                self.problems.push(Problem::new(
                    format!("{place}/{field}"),
                    Code::Required,
                    "must be a name",
                ));
            }
            name.map(CompactString::from)
        };
        let (channel, purpose) = (name("channel"), name("purpose"));
        Some(Rule::Reachable { channel: channel?, purpose: purpose? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::condition::DAY_MS;
    use crate::json;

    struct Maria;
    impl View for Maria {
        fn trait_value(&self, name: &str) -> Option<Value> {
            match name {
                "city" => Some("Riga".into()),
                "born" => Some("1970-01-01T00:00:00Z".into()),
                _ => None,
            }
        }
        fn attribute(&self, _: &str, _: Timestamp) -> Reading {
            Reading { value: Some("500.00".into()), valid_until: Some(Timestamp(77)) }
        }
        fn identifiers(&self, kind: &str) -> Vec<Value> {
            if kind == "email" { vec!["a@x.eu".into(), "b@y.eu".into()] } else { Vec::new() }
        }
        fn reachable(&self, channel: &str, _: &str, _: Timestamp) -> Answer {
            Answer { holds: channel == "email", valid_until: Some(Timestamp(99)) }
        }
    }
    impl Names for Maria {
        fn has_attribute(&self, name: &str) -> bool {
            name == "total_spend"
        }
    }

    fn read(text: &str) -> Result<Rule, Vec<Problem>> {
        Rule::read(&json::parse(text.as_bytes(), json::Options::default()).unwrap(), &Maria)
    }

    #[test]
    fn rules_hold_as_they_read() {
        for (text, want) in [
            (r#"{"all": []}"#, true),
            (r#"{"any": []}"#, false),
            (r#"{"trait": "city", "op": "eq", "value": "Riga"}"#, true),
            (r#"{"not": {"trait": "country", "op": "eq", "value": "LV"}}"#, true),
            (r#"{"attribute": "total_spend", "op": "gte", "value": "500"}"#, true),
            (r#"{"identifier": "email", "op": "ends_with", "value": "@y.eu"}"#, true),
            (r#"{"identifier": "phone", "op": "exists"}"#, false),
            (r#"{"reachable": {"channel": "sms", "purpose": "marketing"}}"#, false),
            (
                r#"{"any": [{"trait": "x", "op": "exists"}, {"reachable": {"channel": "email", "purpose": "m"}}]}"#,
                true,
            ),
        ] {
            let rule = read(text).unwrap();
            assert_eq!(rule.evaluate(&Maria, Timestamp(0)).holds, want, "{text}");
            assert_eq!(Rule::read(&rule.write(), &Maria), Ok(rule), "{text}");
        }
    }

    #[test]
    fn the_next_turn_is_the_earliest_of_all_conditions() {
        let rule = read(
            r#"{"all": [{"reachable": {"channel": "email", "purpose": "m"}},
                        {"attribute": "total_spend", "op": "gt", "value": 1},
                        {"trait": "born", "op": "within_last", "value": {"days": 1}}]}"#,
        );
        assert_eq!(rule.unwrap().evaluate(&Maria, Timestamp(0)).valid_until, Some(Timestamp(77)));
        let window = read(r#"{"trait": "born", "op": "within_last", "value": {"days": 1}}"#).unwrap();
        assert_eq!(window.evaluate(&Maria, Timestamp(5)).valid_until, Some(Timestamp(DAY_MS)));
    }

    #[test]
    fn problems_point_into_the_rule() {
        let problems = read(
            r#"{"all": [{"attribute": "nope", "op": "gt", "value": 1}, {"trait": "city", "op": "like", "value": "x"},
                        {"trait": "a", "op": "in", "value": 3}, {}, {"reachable": {"channel": "email", "why": 1}}], "x": 1}"#,
        )
        .unwrap_err();
        let places: Vec<_> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
        assert_eq!(
            places,
            [
                "/x",
                "/all/0/attribute",
                "/all/1/op",
                "/all/2/value",
                "/all/3",
                "/all/4/reachable/why",
                "/all/4/reachable/purpose"
            ]
        );
    }

    #[test]
    fn size_limits_hold_at_n_and_n_plus_1() {
        let many = |n: usize| format!(r#"{{"all": [{}]}}"#, vec![r#"{"all": []}"#; n].join(","));
        assert!(read(&many(RULE_CONDITIONS_MAX - 1)).is_ok());
        assert!(read(&many(RULE_CONDITIONS_MAX)).is_err());
        let deep = |n: usize| format!("{}{{\"all\": []}}{}", r#"{"not": "#.repeat(n - 1), "}".repeat(n - 1));
        assert!(read(&deep(RULE_DEPTH_MAX)).is_ok());
        assert!(read(&deep(RULE_DEPTH_MAX + 1)).is_err());
    }
}
