//! Rules as clients write them.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::behaviour::{Did, Sequence};
use super::types::misfit;
use crate::condition::{Test, object, unknown};
use crate::event::check_name;
use crate::expr::Type;
use crate::limits::{RULE_CONDITIONS_MAX, RULE_DEPTH_MAX};
use crate::problem::{Code, Problem};
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
    Trait(CompactString, Test),
    /// A derived attribute compares so.
    Attribute(CompactString, Test),
    /// The profile has an identifier of this type, or one that compares so.
    Identifier(CompactString, Test),
    /// A contact point of the channel carries a grant for the purpose.
    Reachable {
        /// The channel.
        channel: CompactString,
        /// The purpose.
        purpose: CompactString,
    },
    /// Something was done so often, or in a certain manner.
    Did(Did),
    /// Things were done one after the other.
    Sequence(Sequence),
    /// Another segment's rule holds.
    Segment(CompactString),
}

/// What a rule may refer to; the rest is refused when the rule is read.
pub trait Names {
    /// What an attribute's value is; None when it is not defined.
    fn attribute(&self, name: &str) -> Option<Type>;
    /// Whether such a segment is defined.
    fn has_segment(&self, name: &str) -> bool;
    /// Why a segment must not be referred to here, such as that it refers to this one.
    fn forbids_segment(&self, _name: &str) -> Option<String> {
        None
    }
}

impl Rule {
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
        let compare = |form: &'static str, name: &CompactString, test: &Test| {
            let mut members = vec![(form, Value::Text(name.clone()))];
            members.extend(test.write());
            object(members)
        };
        match self {
            Self::All(rules) => object(vec![("all", Value::List(rules.iter().map(Self::write).collect()))]),
            Self::Any(rules) => object(vec![("any", Value::List(rules.iter().map(Self::write).collect()))]),
            Self::Not(rule) => object(vec![("not", rule.write())]),
            Self::Trait(name, test) => compare("trait", name, test),
            Self::Attribute(name, test) => compare("attribute", name, test),
            Self::Identifier(kind, test) => compare("identifier", kind, test),
            Self::Reachable { channel, purpose } => object(vec![(
                "reachable",
                object(vec![
                    ("channel", Value::Text(channel.clone())),
                    ("purpose", Value::Text(purpose.clone())),
                ]),
            )]),
            Self::Did(did) => object(vec![("did", did.write())]),
            Self::Sequence(sequence) => object(vec![("sequence", sequence.write())]),
            Self::Segment(name) => object(vec![("segment", Value::Text(name.clone()))]),
        }
    }
}

struct Reader<'a> {
    names: &'a dyn Names,
    problems: Vec<Problem>,
    conditions: usize,
}

const FORMS: [&str; 10] =
    ["all", "any", "not", "trait", "attribute", "identifier", "reachable", "did", "sequence", "segment"];

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
        if !matches!(form, "trait" | "attribute" | "identifier") {
            unknown(object, &[form], place, &mut self.problems);
        }
        match form {
            "all" | "any" => {
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
            "not" => self.rule(inner, &inside, depth + 1).map(|rule| Rule::Not(Box::new(rule))),
            "reachable" => self.reachable(inner, &inside),
            "did" => Did::read(inner, &inside, &mut self.problems).map(Rule::Did),
            "sequence" => Sequence::read(inner, &inside, &mut self.problems).map(Rule::Sequence),
            "segment" => self.segment(inner, inside),
            _ => self.comparison(form, object, place),
        }
    }

    fn segment(&mut self, inner: &Value, inside: String) -> Option<Rule> {
        let Some(name) = inner.as_text().filter(|name| check_name(name).is_ok()) else {
            return self.add(inside, Code::WrongType, "must be the name of a segment");
        };
        if !self.names.has_segment(name) {
            return self.add(inside, Code::NotFound, "is not a defined segment");
        }
        if let Some(reason) = self.names.forbids_segment(name) {
            return self.add(inside, Code::Invalid, reason);
        }
        Some(Rule::Segment(name.into()))
    }

    fn comparison(&mut self, form: &'static str, object: &Object, place: &str) -> Option<Rule> {
        unknown(object, &[form, "op", "value"], place, &mut self.problems);
        let inside = format!("{place}/{form}");
        let name = object.get(form).and_then(Value::as_text).filter(|name| check_name(name).is_ok());
        let test = Test::read(object, place, &mut self.problems);
        let Some(name) = name.map(CompactString::from) else {
            return self.add(inside, Code::WrongType, format!("must be the name of the {form}"));
        };
        if form == "attribute" {
            let Some(kind) = self.names.attribute(&name) else {
                return self.add(inside, Code::NotFound, "is not a defined attribute");
            };
            if let Some((field, detail)) = test.as_ref().and_then(|test| misfit(kind, test)) {
                return self.add(format!("{place}/{field}"), Code::WrongType, detail);
            }
        }
        let test = test?;
        Some(match form {
            "trait" => Rule::Trait(name, test),
            "attribute" => Rule::Attribute(name, test),
            _ => Rule::Identifier(name, test),
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
