//! Guards: what of an event is stored only where a purpose's consent stands.
//!
//! A guard names a property of one event type, or of all, or a trait, and what happens to it when consent is missing: it
//! is removed, or replaced by a keyed digest that still tells equal values from others. What is guarded is taken out
//! before the event is written anywhere. A trait is guarded wherever an event may carry it: plain, in `$set_once`, `$add`
//! and `$append`, and where analytics SDKs repeat it.

use std::borrow::Cow;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::json;
use crate::problem::step;
use crate::value::{Object, Value};

/// What happens to a guarded value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is left out.
    Remove,
    /// A keyed digest stands in its place.
    Hash,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 2] = [Self::Remove, Self::Hash];

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Remove => "remove",
            Self::Hash => "hash",
        }
    }
}

/// Where a guarded value stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// A JSON pointer into `properties`, of events of one type or of all. Lists on the way are walked through.
    Property {
        /// The event type; None means every type.
        event: Option<CompactString>,
        /// The pointer, such as `/health/note`.
        pointer: String,
    },
    /// The name of a trait.
    Trait(CompactString),
}

/// A guarded value and what happens to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// Where it stands.
    pub place: Place,
    /// What happens to it when consent is missing.
    pub action: Action,
}

/// Where traits may stand in an event: pointers to objects whose members are traits.
const TRAITS: [&[&str]; 6] = [
    &["traits"],
    &["traits", "$set_once"],
    &["traits", "$add"],
    &["traits", "$append"],
    &["context", "traits"],
    &["other_traits"],
];

impl Guard {
    /// The values that it guards in an event, by their pointers; empty for most.
    #[must_use]
    pub fn found(&self, event: &Object) -> Vec<String> {
        let mut found = Vec::new();
        self.visit(&mut event.clone(), &mut |pointer, _| {
            found.push(pointer.to_owned());
            None
        });
        found
    }

    /// Takes out what it guards, or puts a digest in its place; the pointers come back.
    pub fn take_out(&self, event: &mut Object, digest: &dyn Fn(&[u8]) -> CompactString) -> Vec<String> {
        let mut taken = Vec::new();
        self.visit(event, &mut |pointer, value| {
            taken.push(pointer.to_owned());
            Some(match self.action {
                Action::Remove => None,
                Action::Hash => Some(Value::Text(match value {
                    Value::Text(text) => digest(text.as_bytes()),
                    other => digest(json::to_string(other).as_bytes()),
                })),
            })
        });
        taken
    }

    /// Visits every value that it guards. What `visit` gives takes its place: None leaves it.
    fn visit(&self, event: &mut Object, visit: &mut dyn FnMut(&str, &Value) -> Option<Option<Value>>) {
        match &self.place {
            Place::Property { event: kind, pointer } => {
                let is_of = |kind: &CompactString| event.get("type").and_then(Value::as_text) == Some(kind);
                if kind.as_ref().is_some_and(|kind| !is_of(kind)) {
                    return;
                }
                let tokens: Vec<Cow<'_, str>> = pointer.split('/').skip(1).map(unescape).collect();
                within_member(event, "properties", "", &tokens, visit);
            }
            Place::Trait(name) => {
                for path in TRAITS {
                    let (first, rest) = path.split_first().expect("a path has a first step");
                    let mut tokens: Vec<Cow<'_, str>> =
                        rest.iter().map(|part| Cow::Borrowed(*part)).collect();
                    tokens.push(Cow::Borrowed(name.as_str()));
                    within_member(event, first, "", &tokens, visit);
                }
            }
        }
    }
}

/// Goes on in a member of an object; when nothing is left of the way the member itself is visited.
fn within_member(
    object: &mut Object,
    name: &str,
    at: &str,
    rest: &[Cow<'_, str>],
    visit: &mut dyn FnMut(&str, &Value) -> Option<Option<Value>>,
) {
    let Some(mut value) = object.remove(name) else { return };
    let at = format!("{at}{}", step(name));
    if rest.is_empty() {
        match visit(&at, &value) {
            None => drop(object.insert(name, value)),
            Some(Some(other)) => drop(object.insert(name, other)),
            Some(None) => {}
        }
        return;
    }
    within(&mut value, &at, rest, visit);
    object.insert(name, value);
}

fn within(
    value: &mut Value,
    at: &str,
    rest: &[Cow<'_, str>],
    visit: &mut dyn FnMut(&str, &Value) -> Option<Option<Value>>,
) {
    match value {
        Value::Object(object) => {
            let (name, rest) = rest.split_first().expect("something is left of the way");
            within_member(object, name, at, rest, visit);
        }
        Value::List(items) => {
            for (n, item) in items.iter_mut().enumerate() {
                within(item, &format!("{at}/{n}"), rest, visit);
            }
        }
        _ => {}
    }
}

fn unescape(token: &str) -> Cow<'_, str> {
    if token.contains('~') {
        Cow::Owned(token.replace("~1", "/").replace("~0", "~"))
    } else {
        Cow::Borrowed(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> Object {
        match json::parse(text.as_bytes(), json::Options::default()).unwrap() {
            Value::Object(event) => event,
            _ => panic!("an event is an object"),
        }
    }

    fn digest(bytes: &[u8]) -> CompactString {
        compact_str::format_compact!("#{}", bytes.len())
    }

    fn property(event: Option<&str>, pointer: &str, action: Action) -> Guard {
        let event = event.map(CompactString::from);
        Guard { place: Place::Property { event, pointer: pointer.to_owned() }, action }
    }

    fn taken(guard: &Guard, text: &str) -> (String, Vec<String>) {
        let mut object = event(text);
        assert_eq!(guard.found(&object), guard.clone().take_out(&mut object.clone(), &digest));
        let taken = guard.take_out(&mut object, &digest);
        (json::to_string(&Value::Object(object)), taken)
    }

    #[test]
    fn a_property_is_removed_or_hashed_wherever_its_pointer_leads() {
        let text = r#"{"type":"visit","properties":{"a":{"b":"secret","c":1},"l":[{"b":1},{"b":2},3]}}"#;
        let (left, at) = taken(&property(Some("visit"), "/a/b", Action::Remove), text);
        let wanted = r#"{"type":"visit","properties":{"a":{"c":1},"l":[{"b":1},{"b":2},3]}}"#;
        assert_eq!(event(&left), event(wanted));
        assert_eq!(at, ["/properties/a/b"]);
        let (left, at) = taken(&property(None, "/a", Action::Hash), text);
        assert!(left.contains(r#""a":"#) && !left.contains("secret") && left.contains("#"), "{left}");
        assert_eq!(at, ["/properties/a"]);
        let (left, at) = taken(&property(None, "/l/b", Action::Remove), text);
        assert!(left.contains(r#""l":[{},{},3]"#), "{left}");
        assert_eq!(at, ["/properties/l/0/b", "/properties/l/1/b"]);
        for guard in [property(Some("order"), "/a/b", Action::Remove), property(None, "/x/y", Action::Remove)]
        {
            assert!(taken(&guard, text).1.is_empty());
        }
    }

    #[test]
    fn a_trait_is_guarded_in_every_form() {
        let guard = Guard { place: Place::Trait("income".into()), action: Action::Remove };
        let text = r#"{"traits":{"income":"s","city":"R","$set_once":{"income":"s"},"$add":{"income":7},"$append":{"income":"s"}},
            "context":{"traits":{"income":"s"}},"other_traits":{"income":{"s":1}}}"#;
        let (left, at) = taken(&guard, text);
        assert!(!left.contains("income") && left.contains("city"), "{left}");
        assert_eq!(at.len(), 6, "{at:?}");
        let unset = r#"{"traits":{"$unset":["income"]}}"#;
        assert!(taken(&guard, unset).1.is_empty(), "taking a trait back tells nothing");
    }
}
