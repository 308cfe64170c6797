//! Events that transformers make of others: beside an order, say, one for each of its lines.
//!
//! Such an event has no record. It stands at the place of the one that was accepted and has its source and identifiers,
//! hence its fragment, its key and its erasure. As what a transformer changes, it is made anew from what was accepted by the
//! transformers of that place whenever the past is read, so nothing of it is stored but what folds keep and where it stands
//! on the timeline. It goes through the transformers behind the one that made it, and may be dropped there; where one fails
//! on it, the accepted event is kept out with all of its own, and is tried again with them. To take it back, the accepted
//! event is taken back. In all else it is an event like others, with a time of its own; contact points and decisions of
//! consent it has none.

use cdp_domain::event::{Event, born_id};
use cdp_domain::ids::Position;
use cdp_domain::limits::{NEW_EVENTS_BYTES_MAX, NEW_EVENTS_MAX};
use cdp_domain::value::{Object, Value};
use cdp_runtime::NewEvent;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// Where an event of state stands: its record, and its number among what was made of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Position", into = "Position")]
pub(crate) struct Place {
    pub(crate) position: Position,
    /// 0 for the accepted event itself.
    pub(crate) nth: u8,
}

/// Bits of a place that are the position's: 64 PiB of one tenant's journal.
const POSITION_BITS: u32 = 56;

impl From<Place> for Position {
    /// The place in eight bytes, the number in the highest; that of an accepted event is its position.
    fn from(place: Place) -> Self {
        Self(u64::from(place.nth) << POSITION_BITS | place.position.0)
    }
}

impl From<Position> for Place {
    fn from(packed: Position) -> Self {
        let position = Position(packed.0 & ((1 << POSITION_BITS) - 1));
        Self { position, nth: (packed.0 >> POSITION_BITS) as u8 }
    }
}

/// An event that was made of another.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Born {
    /// Its number, from 1, among all that were made of the accepted event.
    pub(crate) nth: u8,
    pub(crate) event: Event,
}

/// What transformers made of an accepted event so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Brood {
    /// Without those that a later transformer dropped.
    pub(crate) events: Vec<Born>,
    /// How many were made, with those.
    made: usize,
    /// Bytes of their documents.
    bytes: usize,
}

impl Brood {
    /// Takes one more in.
    ///
    /// # Errors
    /// A sentence, when it is no valid event or there are too many.
    pub(crate) fn bear(&mut self, accepted: &Event, new: NewEvent) -> Result<(), String> {
        self.made += 1;
        self.bytes += new.bytes;
        let nth = u8::try_from(self.made).ok().filter(|_| self.made <= NEW_EVENTS_MAX);
        let Some(nth) = nth else {
            return Err(format!("more than {NEW_EVENTS_MAX} events were made of it"));
        };
        if self.bytes > NEW_EVENTS_BYTES_MAX {
            return Err(format!("the events made of it have more than {NEW_EVENTS_BYTES_MAX} bytes"));
        }
        let event = accepted.bear(nth, new.kind, new.time, new.document).map_err(|problems| {
            let first = problems.first().map_or_else(String::new, ToString::to_string);
            format!("the {nth}. event made of it is not valid: {first}")
        })?;
        self.events.push(Born { nth, event });
        Ok(())
    }

    /// What is left of one, when the accepted event is gone by its age.
    pub(crate) fn left(events: Vec<Born>) -> Self {
        Self { events, ..Self::default() }
    }

    pub(crate) fn find(&self, nth: u8) -> Option<&Born> {
        self.events.iter().find(|born| born.nth == nth)
    }
}

/// An event that was made of another, in the form in which events are sent.
pub(crate) fn as_sent(event: &Event) -> Value {
    let text = |text: &CompactString| Value::Text(text.clone());
    let identifiers = event.identifiers.iter().map(|one| {
        Value::Object(
            [("type".into(), text(&one.kind)), ("value".into(), text(&one.value))].into_iter().collect(),
        )
    });
    let mut fields: Vec<(CompactString, Value)> = vec![
        ("id".into(), text(&event.id)),
        ("source".into(), text(&event.source)),
        ("type".into(), text(&event.kind)),
        ("time".into(), Value::Text(event.time.to_string().into())),
        ("identifiers".into(), Value::List(identifiers.collect())),
        ("properties".into(), Value::Object(event.properties.clone())),
    ];
    if event.traits != Object::default() {
        fields.push(("traits".into(), Value::Object(event.traits.clone())));
    }
    fields.extend(event.extra.iter().map(|(name, value)| (name.clone(), value.clone())));
    Value::Object(fields.into_iter().collect())
}

/// What stands for an event that cannot be made again, because a transformer cannot be loaded.
pub(crate) fn not_made_again(accepted: &Value, nth: u8) -> Value {
    let member =
        |name: &str| accepted.as_object().and_then(|event| event.get(name)).cloned().unwrap_or_default();
    let id = member("id");
    let text = |text: &str| Value::Text(text.into());
    let fields = [
        ("id".into(), Value::Text(born_id(id.as_text().unwrap_or_default(), nth))),
        ("source".into(), member("source")),
        ("born_of".into(), id),
        (
            "unavailable".into(),
            text("the transformer that made it of another event cannot be run at present"),
        ),
    ];
    Value::Object(fields.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdp_domain::identifier::Identifier;
    use cdp_domain::json;
    use cdp_domain::time::Timestamp;

    fn accepted() -> Event {
        Event {
            id: "order-1".into(),
            source: "shop".into(),
            kind: "order".into(),
            time: Timestamp(5),
            identifiers: [Identifier { kind: "user_id".into(), value: "7".into() }].into_iter().collect(),
            properties: Object::default(),
            traits: Object::default(),
            channels: Vec::new(),
            verified: Vec::new(),
            consents: Vec::new(),
            extra: Object::default(),
        }
    }

    fn new(kind: &str, document: &str, bytes: usize) -> NewEvent {
        let document = json::parse(document.as_bytes(), json::Options::default()).unwrap();
        NewEvent { kind: kind.into(), time: Timestamp(9), document, index: 0, bytes }
    }

    #[test]
    fn a_place_fits_eight_bytes_and_that_of_an_accepted_event_is_its_position() {
        for (position, nth) in [(0, 0), (8, 0), ((1 << 56) - 1, 0), (8, 1), ((1 << 56) - 1, 255)] {
            let place = Place { position: Position(position), nth };
            assert_eq!(Place::from(Position::from(place)), place);
            assert!(nth > 0 || Position::from(place) == Position(position));
        }
    }

    #[test]
    fn a_new_event_has_the_source_and_the_identifiers_of_its_own_and_says_of_which_it_was_made() {
        let (mut brood, parent) = (Brood::default(), accepted());
        brood.bear(&parent, new("line", r#"{"properties":{"sku":"a"}}"#, 30)).unwrap();
        brood.bear(&parent, new("line", "{}", 2)).unwrap();
        let shown: Vec<_> = brood.events.iter().map(|born| json::to_string(&as_sent(&born.event))).collect();
        assert_eq!(
            shown[0],
            r#"{"born_of":"order-1","id":"order-1.$1","identifiers":[{"type":"user_id","value":"7"}],"properties":{"sku":"a"},"source":"shop","time":"1970-01-01T00:00:00.009Z","type":"line"}"#
        );
        assert!(shown[1].contains(r#""id":"order-1.$2""#), "{}", shown[1]);
        assert!(brood.find(2).is_some() && brood.find(3).is_none());
    }

    #[test]
    fn so_many_are_made_of_one_and_no_more() {
        let (mut brood, parent) = (Brood::default(), accepted());
        for _ in 0..NEW_EVENTS_MAX {
            brood.bear(&parent, new("line", "{}", 2)).unwrap();
        }
        // Dropping some makes no room: what is numbered stays numbered.
        brood.events.clear();
        assert!(brood.bear(&parent, new("line", "{}", 2)).unwrap_err().contains("more than 64"));
        let mut brood = Brood::default();
        brood.bear(&parent, new("line", "{}", NEW_EVENTS_BYTES_MAX - 1)).unwrap();
        brood.bear(&parent, new("line", "{}", 1)).unwrap();
        assert!(brood.bear(&parent, new("line", "{}", 1)).unwrap_err().contains("bytes"));
    }

    #[test]
    fn a_new_event_is_judged_as_one_that_is_sent() {
        let parent = accepted();
        let why =
            |kind: &str, document: &str| Brood::default().bear(&parent, new(kind, document, 9)).unwrap_err();
        assert!(why("$void", r#"{"properties":{"voids":"x"}}"#).contains("/type"));
        assert!(why("line", r#"{"identifiers":[]}"#).contains("/identifiers"));
        assert!(why("line", r#"{"traits":{"$bad":1}}"#).contains("/traits"));
        let many: String = (0..257).map(|n| format!("\"t{n}\":1,")).collect();
        assert!(why("line", &format!("{{\"traits\":{{{}}}}}", many.trim_end_matches(','))).contains("256"));
    }
}
