//! Events: something that happened, at a time, to somebody. Validated once, here; what was not validated cannot be stored.

use std::borrow::Cow;

use compact_str::CompactString;
use smallvec::SmallVec;

use crate::consent::{ContactPoint, Decision};
use crate::identifier::Identifier;
use crate::stamp::Stamp;
use crate::time::Timestamp;
use crate::value::{Object, Value};

mod born;
mod parse;

pub use born::{accepted_id, born_id, born_of};
pub use parse::{Defaults, check_name};

/// The type of an event that takes another one back: see [`Event::voids`].
pub const VOID: &str = "$void";

/// The type of what is left of an event that is gone by its age. Nobody can send one.
pub const EXPIRED: &str = "$expired";

/// A validated event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Identity within its source, by which redelivery is recognised.
    pub id: CompactString,
    /// Who reported it.
    pub source: CompactString,
    /// The event type, such as `purchase`.
    pub kind: CompactString,
    /// When it happened; the time of receipt when the sender did not say.
    pub time: Timestamp,
    /// Normalised, sorted, each once; at least one, save in a void.
    pub identifiers: SmallVec<[Identifier; 2]>,
    /// What the sender says about the event.
    pub properties: Object,
    /// Writes to traits, still with their operators (`$add`, …).
    pub traits: Object,
    /// Contact points the person uses; includes those of `consents`.
    pub channels: Vec<ContactPoint>,
    /// Contact points of which the sender says that they were verified, or are not.
    pub verified: Vec<(ContactPoint, bool)>,
    /// Consent decisions.
    pub consents: Vec<Decision>,
    /// Fields that this contract does not know; kept, and visible to plugins.
    pub extra: Object,
}

/// A pointer that a plugin may not write, or a value that does not fit there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer} {reason}")]
pub struct NotAssignable {
    /// The pointer.
    pub pointer: String,
    /// Why.
    pub reason: &'static str,
}

impl Event {
    /// The event's place in canonical order.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        Stamp::new(self.time, self.source.clone(), self.id.clone())
    }

    /// The source and id of the event that this one takes back, if it is of the type [`VOID`].
    ///
    /// They stand beside the other fields, as `voids` and `voids_source`, or under the same names in `properties`.
    /// Where no source is named it is the event's own.
    #[must_use]
    pub fn voids(&self) -> Option<(&str, &str)> {
        if self.kind != VOID {
            return None;
        }
        let text =
            |name: &str| self.extra.get(name).or_else(|| self.properties.get(name)).and_then(Value::as_text);
        Some((text("voids_source").unwrap_or(&self.source), text("voids")?))
    }

    /// The value at a JSON pointer into `properties`.
    #[must_use]
    pub fn property(&self, pointer: &str) -> Option<&Value> {
        within(&self.properties, pointer.strip_prefix('/')?)
    }

    /// The value at a JSON pointer into the event as API.md writes it; `/identifiers/TYPE` is the first value of a type.
    #[must_use]
    pub fn field(&self, pointer: &str) -> Option<Cow<'_, Value>> {
        let rest = pointer.strip_prefix('/')?;
        let (head, tail) = rest.split_once('/').map_or((rest, None), |(head, tail)| (head, Some(tail)));
        let text = |text: &CompactString| Some(Cow::Owned(Value::Text(text.clone())));
        match (head, tail) {
            ("id", None) => text(&self.id),
            ("source", None) => text(&self.source),
            ("type", None) => text(&self.kind),
            ("time", None) => Some(Cow::Owned(Value::Text(self.time.to_string().into()))),
            ("identifiers", Some(kind)) => {
                self.identifiers.iter().find(|i| i.kind == kind).and_then(|i| text(&i.value))
            }
            ("properties", None) => Some(Cow::Owned(Value::Object(self.properties.clone()))),
            ("properties", Some(path)) => within(&self.properties, path).map(Cow::Borrowed),
            ("traits", Some(path)) => within(&self.traits, path).map(Cow::Borrowed),
            (_, None) => self.extra.get(head).map(Cow::Borrowed),
            (_, Some(_)) => within(&self.extra, rest).map(Cow::Borrowed),
        }
    }

    /// Sets (or with None removes) what stands at `/properties/NAME…` or `/traits/NAME`.
    ///
    /// Identity, time, type, identifiers, channels and consent are not assignable: a transform cannot forge them.
    ///
    /// # Errors
    /// When the pointer leads elsewhere, or through something that is no object.
    pub fn assign(&mut self, pointer: &str, value: Option<Value>) -> Result<(), NotAssignable> {
        let refuse = |reason| Err(NotAssignable { pointer: pointer.to_owned(), reason });
        if let Some(path) = pointer.strip_prefix("/properties/") {
            return if set_within(&mut self.properties, path, value) {
                Ok(())
            } else {
                refuse("leads through a value that is no object")
            };
        }
        match pointer.strip_prefix("/traits/") {
            Some(name) if !name.contains('/') && check_name(name).is_ok() && !name.starts_with('$') => {
                match value {
                    Some(value) => self.traits.insert(name, value),
                    None => self.traits.remove(name),
                };
                Ok(())
            }
            Some(_) => refuse("is not the name of a trait"),
            None => refuse("may not be written: only properties and traits may"),
        }
    }
}

fn within<'a>(object: &'a Object, path: &str) -> Option<&'a Value> {
    match path.split_once('/') {
        None if !path.contains('~') => object.get(path),
        None => object.get(&unescape(path)),
        Some((head, tail)) => {
            let at = if head.contains('~') { object.get(&unescape(head)) } else { object.get(head) }?;
            tail.split('/').try_fold(at, |at, token| match at {
                Value::Object(object) => object.get(&unescape(token)),
                Value::List(items) => items.get(token.parse::<usize>().ok()?),
                _ => None,
            })
        }
    }
}

fn unescape(token: &str) -> Cow<'_, str> {
    if token.contains('~') {
        Cow::Owned(token.replace("~1", "/").replace("~0", "~"))
    } else {
        Cow::Borrowed(token)
    }
}

fn set_within(object: &mut Object, path: &str, value: Option<Value>) -> bool {
    let Some((head, tail)) = path.split_once('/') else {
        match value {
            Some(value) => object.insert(&unescape(path), value),
            None => object.remove(&unescape(path)),
        };
        return true;
    };
    let head = unescape(head);
    let mut inner = match object.remove(&head) {
        Some(Value::Object(inner)) => inner,
        Some(other) => {
            object.insert(&head, other);
            return false;
        }
        None if value.is_none() => return true,
        None => Object::default(),
    };
    let done = set_within(&mut inner, tail, value);
    object.insert(&head, Value::Object(inner));
    done
}
