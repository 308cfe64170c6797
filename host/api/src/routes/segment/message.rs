//! From a Segment message to an event of ours: a pure function.
//!
//! | of the message | becomes |
//! | --- | --- |
//! | `messageId` | the id; a made one without it |
//! | `type`, and for `track` its `event` | the type |
//! | `timestamp`, `sentAt` | the time, corrected for a sender's clock that is wrong |
//! | `userId`, `anonymousId`, `context.externalIds` | identifiers; null and empty ones are nobody |
//! | e-mail and telephone in `traits` of `identify`, or in `context.traits` | identifiers; with `identify` contact points too |
//! | `traits` (or `context.traits`) of `identify` | traits |
//! | `previousId` of `alias` | an identifier beside `userId`: whatever kind of id it was; none when it is the same id |
//! | `properties`, `name`, `category`, `groupId`, a group's `traits` | properties |
//! | the rest (`context`, `integrations`, …) | fields beside, kept for plugins |
//!
//! What is repeated when a client sends again must not differ: the digest is made of the message without what belongs
//! to its delivery.

use cdp_domain::event::check_name;
use cdp_domain::identifier::{Normaliser, check_kind};
use cdp_domain::limits::IDENTIFIERS_MAX;
use cdp_domain::problem::{Code, Problem};
use cdp_domain::time::Timestamp;
use cdp_domain::value::{Number, Object, Value};
use cdp_engine::accept::Incoming;
use compact_str::{CompactString, format_compact};
use smallvec::SmallVec;

use super::places::{Place, Places, Traits};

/// Which call a message is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Who somebody is.
    Identify,
    /// What somebody did.
    Track,
    /// A page.
    Page,
    /// A screen.
    Screen,
    /// A group.
    Group,
    /// Two ids of one person.
    Alias,
}

impl Kind {
    /// All of them.
    const ALL: [Self; 6] = [Self::Identify, Self::Track, Self::Page, Self::Screen, Self::Group, Self::Alias];

    /// The word in a message's `type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Identify => "identify",
            Self::Track => "track",
            Self::Page => "page",
            Self::Screen => "screen",
            Self::Group => "group",
            Self::Alias => "alias",
        }
    }
}

/// Milliseconds between sending and receiving that are taken for the way, not for a clock that is wrong: a time that
/// is right stays as it is to the millisecond, however long the network took.
pub const CLOCK_SKEW_IGNORED_MS: i64 = 10_000;

/// What is known of a message's delivery.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    /// When it came.
    pub received: Timestamp,
    /// When its batch was sent, by the sender's clock.
    pub batch_sent_at: Option<Timestamp>,
    /// Its bytes as sent; 0 when not known.
    pub bytes: usize,
    /// `context` and `integrations` of its batch: what a message does not say itself.
    pub batch: Option<&'a Object>,
}

/// Items of `context.externalIds` that are looked at: more identifiers than an event may have are told as such.
const EXTERNAL_IDS_MAX: usize = IDENTIFIERS_MAX + 1;

/// What a batch may say for all of its messages.
const OF_BATCH: [&str; 2] = ["context", "integrations"];

/// What belongs to a message's delivery and differs when it is sent again.
const OF_DELIVERY: [&str; 5] = ["sentAt", "writeKey", "_metadata", "receivedAt", "retryCount"];

/// The event that a message stands for.
///
/// # Errors
/// The message's id where it has one, and what is wrong with it.
pub fn to_event(
    message: Value,
    sent: Sent<'_>,
) -> Result<(Incoming, Places), (Option<CompactString>, Vec<Problem>)> {
    let Value::Object(mut message) = message else {
        return Err((None, vec![Problem::new("", Code::WrongType, "a message is an object")]));
    };
    let sent_at = time(message.get("sentAt")).or(sent.batch_sent_at);
    for name in OF_DELIVERY {
        message.remove(name);
    }
    let digest_of = Value::Object(message.clone());
    if let Some(batch) = sent.batch {
        inherit(&mut message, batch);
    }
    let given = message.remove("messageId");
    let odd_id = given.as_ref().is_some_and(is_no_id);
    let id = text(given);
    let mut mapping = Mapping {
        message,
        problems: Vec::new(),
        identifiers: Vec::new(),
        places: SmallVec::new(),
        channels: Vec::new(),
        traits_from: Traits::Own,
    };
    if odd_id {
        mapping.problem("/messageId", Code::WrongType, "must be a string");
    }
    let kind = mapping.kind();
    let event = mapping.event(kind, id.clone(), sent, sent_at);
    match (kind, event) {
        (Some(kind), Some(event)) if mapping.problems.is_empty() => {
            let places = Places { kind, identifiers: mapping.places, traits: mapping.traits_from };
            let event = Value::Object(event);
            Ok((Incoming { value: event, bytes: sent.bytes, digest_of: Some(digest_of) }, places))
        }
        _ => Err((id, mapping.problems)),
    }
}

/// What the batch says for all of its messages, and this one does not say itself.
fn inherit(message: &mut Object, batch: &Object) {
    for name in OF_BATCH {
        let Some(Value::Object(common)) = batch.get(name) else { continue };
        match message.remove(name) {
            None | Some(Value::Null) => drop(message.insert(name, Value::Object(common.clone()))),
            Some(Value::Object(mut own)) => {
                for (member, value) in
                    common.iter().filter(|(member, _)| own.get(member).is_none()).collect::<Vec<_>>()
                {
                    own.insert(member, value.clone());
                }
                message.insert(name, Value::Object(own));
            }
            Some(other) => drop(message.insert(name, other)),
        }
    }
}

struct Mapping {
    message: Object,
    problems: Vec<Problem>,
    identifiers: Vec<Value>,
    /// Where the identifiers stood, in the same order.
    places: SmallVec<[Place; 4]>,
    channels: Vec<Value>,
    traits_from: Traits,
}

impl Mapping {
    fn problem(&mut self, pointer: &str, code: Code, detail: &str) {
        self.problems.push(Problem::new(pointer, code, detail));
    }

    fn kind(&mut self) -> Option<Kind> {
        // `action` is what old libraries call it.
        let action = self.message.remove("action");
        let word = text(self.message.remove("type").or(action));
        let kind =
            word.as_ref().and_then(|word| Kind::ALL.into_iter().find(|kind| kind.name() == word.as_str()));
        if kind.is_none() {
            let detail = "must be identify, track, page, screen, group or alias";
            self.problems.push(Problem::new("/type", Code::Invalid, detail));
        }
        kind
    }

    fn event(
        &mut self,
        kind: Option<Kind>,
        id: Option<CompactString>,
        sent: Sent<'_>,
        sent_at: Option<Timestamp>,
    ) -> Option<Object> {
        let kind = kind?;
        let mut event = Object::default();
        let id = id.unwrap_or_else(|| format_compact!("auto-{}", uuid::Uuid::now_v7().simple()));
        event.insert("id", Value::Text(id));
        event.insert("type", Value::Text(self.event_type(kind)));
        self.time(&mut event, sent.received, sent_at);
        let user = self.identifier("userId", "user_id", Place::UserId);
        self.identifier("anonymousId", "anonymous_id", Place::AnonymousId);
        match kind {
            Kind::Alias => self.alias(user),
            Kind::Group if self.message.get("groupId").cloned().and_then(|id| text(Some(id))).is_none() => {
                self.problem("/groupId", Code::Required, "is required");
            }
            _ => {}
        }
        self.external_ids();
        let traits = self.traits(kind, &mut event);
        if self.identifiers.is_empty() && self.problems.is_empty() {
            self.problem("/userId", Code::Required, "userId or anonymousId is required");
        }
        self.properties(kind, traits, &mut event);
        event.insert("identifiers", Value::List(std::mem::take(&mut self.identifiers)));
        if !self.channels.is_empty() {
            event.insert("channels", Value::List(std::mem::take(&mut self.channels)));
        }
        // What has no meaning here is kept beside, unless it would get one that it does not have.
        for (name, value) in std::mem::take(&mut self.message) {
            let meant = matches!(name.as_str(), "source" | "time" | "identifiers" | "channels" | "consents");
            if event.get(&name).is_none() && !meant {
                event.insert(&name, value);
            }
        }
        Some(event)
    }

    fn event_type(&mut self, kind: Kind) -> CompactString {
        if kind != Kind::Track {
            return kind.name().into();
        }
        text(self.message.remove("event")).unwrap_or_else(|| {
            self.problems.push(Problem::new(
                "/event",
                Code::Required,
                "the name of what was done is required",
            ));
            CompactString::default()
        })
    }

    /// `received − (sentAt − timestamp)`: what the sender's clock shows wrong is wrong in both of its times. What the
    /// clock was taken to be wrong by stays in the event, so the correction is fixed when it is accepted.
    fn time(&mut self, event: &mut Object, received: Timestamp, sent_at: Option<Timestamp>) {
        let original = self.message.remove("originalTimestamp").filter(|value| *value != Value::Null);
        let stated = self.message.remove("timestamp").filter(|value| *value != Value::Null).or(original);
        let Some(stated) = stated else { return };
        let Some(at) = time(Some(&stated)) else {
            let detail = "is not an RFC 3339 time such as 2026-11-23T11:58:00Z";
            return self.problem("/timestamp", Code::Invalid, detail);
        };
        let skew = sent_at.map_or(0, |sent_at| skew_ms(received, sent_at));
        let corrected = Timestamp(at.0.saturating_add(skew));
        let within = corrected >= Timestamp::MIN && corrected <= Timestamp::MAX;
        event.insert("time", printed(if within { corrected } else { at }));
        if let Some(sent_at) = sent_at {
            event.insert("original_time", printed(at));
            event.insert("sent_at", printed(sent_at));
            event.insert("clock_skew_ms", Value::from(if within { skew } else { 0 }));
        }
    }

    fn identifier(&mut self, name: &str, kind: &str, place: Place) -> Option<CompactString> {
        let value = self.message.remove(name)?;
        if is_no_id(&value) {
            let detail = format!("must be a string, not {}", value.type_name());
            self.problem(&format!("/{name}"), Code::WrongType, &detail);
        }
        let value = text(Some(value))?;
        self.identify(kind, &value, place);
        Some(value)
    }

    fn identify(&mut self, kind: &str, value: &str, place: Place) {
        let identifier = pair("type", kind, "value", value);
        if !self.identifiers.contains(&identifier) {
            self.identifiers.push(identifier);
            self.places.push(place);
        }
    }

    /// What was there before may have been an id of either kind: both lead to the person. An id that is its own alias
    /// says nothing new.
    fn alias(&mut self, user: Option<CompactString>) {
        let previous = text(self.message.remove("previousId"));
        for (given, place) in [(previous.is_some(), "/previousId"), (user.is_some(), "/userId")] {
            if !given {
                self.problem(place, Code::Required, "is required");
            }
        }
        if let Some(previous) = previous.filter(|previous| Some(previous) != user.as_ref()) {
            self.identify("user_id", &previous, Place::PreviousId);
            self.identify("anonymous_id", &previous, Place::PreviousId);
        }
    }

    fn external_ids(&mut self) {
        let Some(Value::List(ids)) =
            self.message.get("context").and_then(|context| context.pointer("/externalIds"))
        else {
            return;
        };
        let known = ids.iter().take(EXTERNAL_IDS_MAX).enumerate().filter_map(|(n, id)| {
            let about = id.pointer("/collection").and_then(Value::as_text).unwrap_or("users");
            let kind = id.pointer("/type").and_then(Value::as_text)?;
            let value = text(id.pointer("/id").cloned())?;
            let place = Place::ExternalId(u16::try_from(n).ok()?);
            (about == "users" && check_kind(kind).is_ok() && can_be(kind, &value))
                .then(|| (CompactString::from(kind), value, place))
        });
        for (kind, value, place) in known.collect::<Vec<_>>() {
            self.identify(&kind, &value, place);
        }
    }

    /// Takes the traits out. Those of `identify` are written to the profile; those of a group are given back.
    fn traits(&mut self, kind: Kind, event: &mut Object) -> Option<Value> {
        let own = self.message.remove("traits").filter(|value| *value != Value::Null);
        let of_context = self.message.get("context").and_then(|context| context.pointer("/traits")).cloned();
        if kind != Kind::Identify {
            if let Some(Value::Object(traits)) = &of_context {
                self.contacts(traits, None);
            }
            return own;
        }
        self.traits_from = if own.is_some() { Traits::Own } else { Traits::OfContext };
        match own.or(of_context) {
            Some(Value::Object(traits)) => {
                self.contacts(&traits, Some(self.traits_from));
                let (kept, unusable): (Vec<_>, Vec<_>) = traits
                    .into_iter()
                    .partition(|(name, _)| !name.starts_with('$') && check_name(name).is_ok());
                event.insert("traits", Value::Object(kept.into_iter().collect()));
                if !unusable.is_empty() {
                    event.insert("other_traits", Value::Object(unusable.into_iter().collect()));
                }
            }
            Some(other) => {
                let detail = format!("must be an object, not {}", other.type_name());
                self.problems.push(Problem::new("/traits", Code::WrongType, detail));
            }
            None => {}
        }
        None
    }

    /// An address that cannot be one stays a trait and identifies nobody: it must not cost the whole message.
    /// Those of `identify`, which says where its traits stand, are contact points too.
    fn contacts(&mut self, traits: &Object, of_identify: Option<Traits>) {
        for (name, channel) in [("email", "email"), ("phone", "sms")] {
            let Some(address) = traits.get(name).and_then(Value::as_text) else { continue };
            if !can_be(name, address) {
                continue;
            }
            self.identify(name, address, Place::Trait(name, of_identify.unwrap_or(Traits::OfContext)));
            if of_identify.is_some() {
                self.channels.push(pair("channel", channel, "address", address));
            }
        }
    }

    fn properties(&mut self, kind: Kind, traits: Option<Value>, event: &mut Object) {
        let mut properties = match self.message.remove("properties") {
            Some(Value::Object(properties)) => properties,
            None | Some(Value::Null) => Object::default(),
            Some(other) => {
                let detail = format!("must be an object, not {}", other.type_name());
                self.problems.push(Problem::new("/properties", Code::WrongType, detail));
                return;
            }
        };
        let moved: &[&str] = match kind {
            Kind::Page | Kind::Screen => &["name", "category"],
            Kind::Group => &["groupId"],
            Kind::Identify | Kind::Track | Kind::Alias => &[],
        };
        for name in moved {
            let value = self.message.remove(name).filter(|value| *value != Value::Null);
            if let Some(value) = value.filter(|_| properties.get(name).is_none()) {
                properties.insert(name, value);
            }
        }
        if let Some(traits) = traits {
            properties.insert("traits", traits);
        }
        event.insert("properties", Value::Object(properties));
    }
}

/// Whether an address is one; any value of another type is what it is.
fn can_be(kind: &str, value: &str) -> bool {
    match Normaliser::usual_for(kind) {
        Normaliser::Opaque => true,
        address => address.normalise(value).is_ok(),
    }
}

/// Whether a value can be nobody's id: null and a blank text mean that there is none.
fn is_no_id(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::List(_) | Value::Object(_))
}

fn pair(first: &str, one: &str, second: &str, two: &str) -> Value {
    Value::Object(Object::from_iter([(first.into(), one.into()), (second.into(), two.into())]))
}

fn printed(at: Timestamp) -> Value {
    Value::Text(format_compact!("{at}"))
}

/// How far a sender's clock is behind; 0 when the difference can be the way that the message took.
fn skew_ms(received: Timestamp, sent_at: Timestamp) -> i64 {
    let skew = received.0.saturating_sub(sent_at.0);
    if skew.abs() <= CLOCK_SKEW_IGNORED_MS { 0 } else { skew }
}

/// A text that says something; numbers count as their digits.
fn text(value: Option<Value>) -> Option<CompactString> {
    match value? {
        Value::Text(text) if !text.trim().is_empty() => Some(text),
        Value::Number(number) => Some(format_compact!("{number}")),
        _ => None,
    }
}

/// A time as SDKs write it: RFC 3339, without a zone too (then UTC), or milliseconds since 1970.
#[must_use]
pub fn time(value: Option<&Value>) -> Option<Timestamp> {
    match value? {
        Value::Text(text) => Timestamp::parse(text).or_else(|_| Timestamp::parse(&format!("{text}Z"))).ok(),
        Value::Number(Number::Int(ms)) if *ms > 100_000_000_000 => {
            Some(Timestamp(*ms)).filter(|at| *at <= Timestamp::MAX)
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
