//! Reads a small request object field by field: every problem at once, and no field that means nothing.

use cdp_domain::problem::{Code, Problem, step};
use cdp_domain::time::Timestamp;
use cdp_domain::value::{Object, Value};

use crate::error::{Answer, Failure};

/// What is left of a request object, and what was wrong with it so far.
#[derive(Debug)]
pub struct Fields {
    rest: Object,
    problems: Vec<Problem>,
}

impl Fields {
    /// Begins with a body.
    #[must_use]
    pub fn of(body: Value) -> Self {
        match body {
            Value::Object(rest) => Self { rest, problems: Vec::new() },
            other => {
                let detail = format!("must be an object, not {}", other.type_name());
                Self { rest: Object::default(), problems: vec![Problem::new("", Code::WrongType, detail)] }
            }
        }
    }

    /// Takes a field out; null counts as absent.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.rest.remove(name).filter(|value| *value != Value::Null)
    }

    /// Takes a text out that must be there.
    pub fn text(&mut self, name: &str) -> String {
        match self.take(name) {
            Some(value) => self.as_text(name, value).unwrap_or_default(),
            None => {
                self.add(name, Code::Required, "is required");
                String::new()
            }
        }
    }

    /// Takes a text out where there is one.
    pub fn optional_text(&mut self, name: &str) -> Option<String> {
        let value = self.take(name)?;
        self.as_text(name, value)
    }

    /// Takes a time out where there is one.
    pub fn optional_time(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.optional_text(name)?;
        Timestamp::parse(&text).map_err(|detail| self.add(name, Code::Invalid, &detail)).ok()
    }

    /// Takes a list of texts out that must be there and hold at least one.
    pub fn texts(&mut self, name: &str) -> Vec<String> {
        match self.take(name) {
            Some(Value::List(items)) if !items.is_empty() => {
                let texts: Vec<_> =
                    items.iter().filter_map(|item| item.as_text().map(str::to_owned)).collect();
                if texts.len() < items.len() {
                    self.add(name, Code::WrongType, "must hold strings only");
                }
                texts
            }
            Some(_) => {
                self.add(name, Code::WrongType, "must be an array with at least one string");
                Vec::new()
            }
            None => {
                self.add(name, Code::Required, "is required");
                Vec::new()
            }
        }
    }

    fn as_text(&mut self, name: &str, value: Value) -> Option<String> {
        match value {
            Value::Text(text) => Some(text.into()),
            other => {
                self.add(name, Code::WrongType, &format!("must be a string, not {}", other.type_name()));
                None
            }
        }
    }

    /// Notes a problem with a field.
    pub fn add(&mut self, name: &str, code: Code, detail: &str) {
        self.problems.push(Problem::new(step(name), code, detail));
    }

    /// Notes a problem at a place further in.
    pub fn add_at(&mut self, pointer: String, code: Code, detail: &str) {
        self.problems.push(Problem::new(pointer, code, detail));
    }

    /// Notes problems that were found elsewhere.
    pub fn extend(&mut self, problems: impl IntoIterator<Item = Problem>) {
        self.problems.extend(problems);
    }

    /// Ends reading.
    ///
    /// # Errors
    /// 422 with every problem; a field that was not taken is one.
    pub fn finish(mut self) -> Answer<()> {
        for (name, _) in std::mem::take(&mut self.rest) {
            self.add(&name, Code::Unknown, "is not a field here");
        }
        if self.problems.is_empty() { Ok(()) } else { Err(Failure::invalid(self.problems)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdp_domain::json;

    #[test]
    fn every_problem_is_told_at_once_with_its_place() {
        let body = br#"{"slug": 7, "expires_at": "soon", "a/b": 1, "scopes": []}"#;
        let mut fields = Fields::of(json::parse(body, json::Options::default()).unwrap());
        let (_, _) = (fields.text("slug"), fields.text("name"));
        let (_, _) = (fields.optional_time("expires_at"), fields.texts("scopes"));
        let failure = fields.finish().unwrap_err();
        let places: Vec<_> =
            failure.errors.iter().map(|problem| (problem.pointer.as_str(), problem.code)).collect();
        assert_eq!(
            places,
            [
                ("/slug", Code::WrongType),
                ("/name", Code::Required),
                ("/expires_at", Code::Invalid),
                ("/scopes", Code::WrongType),
                ("/a~1b", Code::Unknown),
            ]
        );
    }
}
