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
    /// Without those of `consents`: a stub has to fit where the event stood, so nothing is in it twice.
    channels: Vec<ContactPoint>,
    /// By the number among all contact points, sorted.
    verified: Vec<(u16, bool)>,
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
        let decided = |point: &ContactPoint| event.consents.iter().any(|one| one.contact == *point);
        let numbered = |(point, verified): &(ContactPoint, bool)| {
            let at = event.channels.iter().position(|one| one == point)?;
            Some((u16::try_from(at).ok()?, *verified))
        };
        let eldest = born.map(|born| (born.event.stamp(), born.nth)).min().filter(|(born, _)| *born < stamp);
        Self {
            stamp,
            identifiers: event.identifiers.clone(),
            origin: pending.origin,
            channels: event.channels.iter().filter(|point| !decided(point)).cloned().collect(),
            verified: event.verified.iter().filter_map(numbered).collect(),
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
        let mut channels = channels;
        channels.extend(consents.iter().map(|one| one.contact.clone()));
        channels.sort();
        channels.dedup();
        let verified = verified
            .into_iter()
            .filter_map(|(at, verified)| Some((channels.get(usize::from(at))?.clone(), verified)))
            .collect();
        let event = Event { channels, verified, consents, ..bare(&stamp) };
        let eldest = eldest.iter().map(|(nth, stamp)| Born { nth: *nth, event: bare(stamp) });
        Ok(Left { event, origin, brood: Brood::left(eldest.collect()) })
    }
}

#[cfg(test)]
mod tests {
    use cdp_domain::event::Defaults;
    use cdp_domain::identity::Rules;
    use cdp_domain::ids::{FragmentId, Position};
    use cdp_domain::json;
    use cdp_domain::time::Timestamp;
    use cdp_store::seal::{SEAL_BYTES, fits};

    use super::*;

    fn pending(text: &str) -> (Pending, usize) {
        let value = json::parse(text.as_bytes(), json::Options::default()).unwrap();
        let room = encode(&value).len() + SEAL_BYTES;
        let defaults = Defaults { source: "app", time: Timestamp(7), rules: &Rules::default() };
        let event = Event::from_value(value, defaults).unwrap();
        let (fragment, origin) = (FragmentId([1; 16]), Origin::default());
        let (position, received_at) = (Position(8), Timestamp(9));
        let (acceptance, brood, nth) = (None, Brood::default(), 0);
        (Pending { position, received_at, fragment, origin, event, acceptance, brood, nth }, room)
    }

    #[test]
    fn a_stub_fits_where_the_event_stood_and_says_of_whom_it_was() {
        let long = format!("{}@{}.example.com", "a".repeat(60), "b".repeat(60));
        let who = r#""identifiers": [{"type": "user_id", "value": "u"}]"#;
        let head = r#""id": "1", "source": "app", "type": "v", "time": "2026-01-01T00:00:00Z""#;
        for more in [
            String::new(),
            format!(r#", "channels": [{{"channel": "email", "address": "{long}", "verified": true}}]"#),
            format!(
                r#", "consents": [{{"channel": "email", "address": "{long}", "purpose": "p", "status": "granted"}},
                {{"channel": "email", "address": "{long}", "purpose": "q", "status": "withdrawn"}}],
                "channels": [{{"channel": "email", "address": "{long}", "verified": false}},
                {{"channel": "email", "address": "a@b.example", "verified": true}}]"#
            ),
        ] {
            let (pending, room) = pending(&format!("{{{head}, {who}{more}}}"));
            let stub = Stub::of(&pending, std::iter::empty());
            assert!(fits(&stub.write(), room), "{} bytes into {room}: {more}", stub.write().len());
            let left = Stub::read(&stub.write()).unwrap();
            let event = &pending.event;
            assert_eq!((&left.event.channels, &left.event.verified), (&event.channels, &event.verified));
            assert_eq!((&left.event.consents, left.event.stamp()), (&event.consents, event.stamp()));
            assert_eq!((left.event.kind.as_str(), &left.event.identifiers), (EXPIRED, &event.identifiers));
            assert!(left.brood.events.is_empty());
        }
    }

    #[test]
    fn the_eldest_that_was_made_of_an_event_is_left_where_it_is_earlier() {
        let text = |id: &str, time: &str| {
            format!(
                r#"{{"id": "{id}", "source": "app", "type": "v", "time": "{time}", "identifiers": [{{"type": "user_id", "value": "u"}}]}}"#
            )
        };
        let accepted = pending(&text("1", "2026-01-02T00:00:00Z")).0;
        let born = |nth: u8, time: &str| Pending { nth, ..pending(&text("made", time)).0 };
        let later = [born(1, "2026-01-03T00:00:00Z")];
        assert_eq!(Stub::of(&accepted, later.iter()).places(Position(8)).count(), 1);
        let earlier = [born(1, "2026-01-03T00:00:00Z"), born(2, "2026-01-01T00:00:00Z")];
        let stub = Stub::of(&accepted, earlier.iter());
        let nths: Vec<_> = stub.places(Position(8)).map(|place| place.nth).collect();
        assert_eq!(nths, [0, 2]);
        let left = Stub::read(&stub.write()).unwrap();
        assert_eq!(left.brood.events[0].event.stamp(), earlier[1].event.stamp());
    }
}
