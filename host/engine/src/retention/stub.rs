//! What is left of an event that was redacted and that somebody's identity or consent rests on.

use cdp_domain::consent::{ContactPoint, Decision};
use cdp_domain::event::{EXPIRED, Event, born_id};
use cdp_domain::identifier::Identifier;
use cdp_domain::identity::Origin;
use cdp_domain::ids::Position;
use cdp_domain::stamp::Stamp;
use cdp_domain::value::{Object, Value};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::born::{Born, Brood, Place};
use crate::error::Result;
use crate::feed::Pending;
use crate::rows::{decode, encode};

/// When, from where, by whom, and what it said about where they may be reached; not what happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stub {
    stamp: Stamp,
    identifiers: SmallVec<[Identifier; 2]>,
    origin: Origin,
    channels: Vec<ContactPoint>,
    verified: Vec<(ContactPoint, bool)>,
    consents: Vec<Decision>,
    /// The earliest of those that were made of it, where that is earlier than itself, with its number.
    eldest: Option<(u8, Stamp)>,
}

/// A stub as it takes the place of the event that was.
pub(crate) struct Left {
    /// Of the type [`EXPIRED`].
    pub(crate) event: Event,
    pub(crate) origin: Origin,
    /// One of that type too, or none.
    pub(crate) brood: Brood,
}

impl Stub {
    /// Of an event as it left the transformers, and of what they made of it.
    pub(crate) fn of<'a>(pending: &Pending, born: impl Iterator<Item = &'a Pending>) -> Self {
        let event = &pending.event;
        let stamp = event.stamp();
        let eldest = born.map(|born| (born.event.stamp(), born.nth)).min().filter(|(born, _)| *born < stamp);
        Self {
            stamp,
            identifiers: event.identifiers.clone(),
            origin: pending.origin,
            channels: event.channels.clone(),
            verified: event.verified.clone(),
            consents: event.consents.clone(),
            eldest: eldest.map(|(stamp, nth)| (nth, stamp)),
        }
    }

    /// Whether more than the identity of its fragment rests on an event.
    pub(crate) fn says_where(event: &Event) -> bool {
        !event.channels.is_empty() || !event.verified.is_empty() || !event.consents.is_empty()
    }

    /// Which places of a record it stands for.
    pub(crate) fn places(&self, position: Position) -> impl Iterator<Item = Place> {
        let eldest = self.eldest.as_ref().map(|(nth, _)| *nth);
        [Some(0), eldest].into_iter().flatten().map(move |nth| Place { position, nth })
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        encode(self)
    }

    /// What readers see in place of the event, in the form of one.
    pub(crate) fn show(bytes: &[u8]) -> Result<Value> {
        let Self { stamp, identifiers, .. } = decode(bytes)?;
        let text = |text: &str| Value::Text(text.into());
        let object = |fields: Vec<(&str, Value)>| {
            let fields = fields.into_iter().map(|(name, value)| (CompactString::from(name), value)).collect();
            Value::Object(Object::new(fields).expect("the names are different"))
        };
        let identifiers = identifiers
            .into_iter()
            .map(|one| object(vec![("type", text(&one.kind)), ("value", text(&one.value))]))
            .collect();
        Ok(object(vec![
            ("id", text(stamp.id())),
            ("source", text(stamp.source())),
            ("type", text(EXPIRED)),
            ("time", text(&stamp.time().to_string())),
            ("identifiers", Value::List(identifiers)),
        ]))
    }

    /// What readers see in place of an event of which nothing is left.
    pub(crate) fn show_nothing() -> Value {
        Value::Object([("type".into(), Value::Text(EXPIRED.into()))].into_iter().collect())
    }

    /// Whether readers see this in place of an event.
    pub(crate) fn is_shown(event: &Value) -> bool {
        let kind = event.as_object().and_then(|event| event.get("type"));
        kind.and_then(Value::as_text) == Some(EXPIRED)
    }

    /// What readers see in place of an event that was made of one, of which they see `accepted`.
    pub(crate) fn show_born(accepted: Value, nth: u8) -> Value {
        let Value::Object(mut event) = accepted else { return accepted };
        let id = event.get("id").and_then(Value::as_text).map(|id| born_id(id, nth));
        if let Some(id) = id {
            event.insert("id", Value::Text(id));
        }
        Value::Object(event)
    }

    /// What takes the place of the event that was.
    pub(crate) fn read(bytes: &[u8]) -> Result<Left> {
        let Self { stamp, identifiers, origin, channels, verified, consents, eldest } = decode(bytes)?;
        let bare = |stamp: &Stamp| Event {
            id: stamp.id().into(),
            source: stamp.source().into(),
            kind: EXPIRED.into(),
            time: stamp.time(),
            identifiers: identifiers.clone(),
            properties: Object::default(),
            traits: Object::default(),
            channels: Vec::new(),
            verified: Vec::new(),
            consents: Vec::new(),
            extra: Object::default(),
        };
        let event = Event { channels, verified, consents, ..bare(&stamp) };
        let eldest = eldest.iter().map(|(nth, stamp)| Born { nth: *nth, event: bare(stamp) });
        Ok(Left { event, origin, brood: Brood::left(eldest.collect()) })
    }
}
