//! From a Segment message to an event of ours: a pure function.
//!
//! | of the message | becomes |
//! | --- | --- |
//! | `messageId` | the id; a made one without it |
//! | `type`, and for `track` its `event` | the type |
//! | `timestamp`, `sentAt` | the time, corrected for the sender's clock |
//! | `userId`, `anonymousId`, `context.externalIds` | identifiers; null and empty ones are nobody |
//! | e-mail and telephone in `traits` of `identify`, or in `context.traits` | identifiers; with `identify` contact points too |
//! | `traits` (or `context.traits`) of `identify` | traits |
//! | `previousId` of `alias` | an identifier beside `userId`: whatever kind of id it was |
//! | `properties`, `name`, `category`, `groupId`, a group's `traits` | properties |
//! | the rest (`context`, `integrations`, …) | fields beside, kept for plugins |
//!
//! What is repeated when a client sends again must not differ: the digest is made of the message without what belongs
//! to its delivery.

use cdp_domain::event::check_name;
use cdp_domain::identifier::{Normaliser, check_kind};
use cdp_domain::problem::{Code, Problem};
use cdp_domain::time::Timestamp;
use cdp_domain::value::{Number, Object, Value};
use cdp_engine::accept::Incoming;
use compact_str::{CompactString, format_compact};

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

/// What is known of a message's delivery.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// When it came.
    pub received: Timestamp,
    /// When its batch was sent, by the sender's clock.
    pub batch_sent_at: Option<Timestamp>,
    /// Its bytes as sent; 0 when not known.
    pub bytes: usize,
}

/// What belongs to a message's delivery and differs when it is sent again.
const OF_DELIVERY: [&str; 5] = ["sentAt", "writeKey", "_metadata", "receivedAt", "retryCount"];

/// The event that a message stands for.
///
/// # Errors
/// The message's id where it has one, and what is wrong with it.
pub fn to_event(message: Value, sent: Sent) -> Result<Incoming, (Option<CompactString>, Vec<Problem>)> {
    let Value::Object(mut message) = message else {
        return Err((None, vec![Problem::new("", Code::WrongType, "a message is an object")]));
    };
    let sent_at = time(message.get("sentAt")).or(sent.batch_sent_at);
    for name in OF_DELIVERY {
        message.remove(name);
    }
    let digest_of = Value::Object(message.clone());
    let id = text(message.remove("messageId"));
    let mut mapping =
        Mapping { message, problems: Vec::new(), identifiers: Vec::new(), channels: Vec::new() };
    let kind = mapping.kind();
    let event = mapping.event(kind, id.clone(), sent, sent_at);
    match event {
        Some(event) if mapping.problems.is_empty() => {
            Ok(Incoming { value: Value::Object(event), bytes: sent.bytes, digest_of: Some(digest_of) })
        }
        _ => Err((id, mapping.problems)),
    }
}

struct Mapping {
    message: Object,
    problems: Vec<Problem>,
    identifiers: Vec<Value>,
    channels: Vec<Value>,
}

impl Mapping {
    fn kind(&mut self) -> Option<Kind> {
        let word = text(self.message.remove("type"));
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
        sent: Sent,
        sent_at: Option<Timestamp>,
    ) -> Option<Object> {
        let kind = kind?;
        let mut event = Object::default();
        let id = id.unwrap_or_else(|| format_compact!("auto-{}", uuid::Uuid::now_v7().simple()));
        event.insert("id", Value::Text(id));
        event.insert("type", Value::Text(self.event_type(kind)));
        self.time(&mut event, sent.received, sent_at);
        let user = self.identifier("userId", "user_id");
        self.identifier("anonymousId", "anonymous_id");
        if kind == Kind::Alias {
            self.alias(user);
        }
        self.external_ids();
        let traits = self.traits(kind, &mut event);
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

    /// `received − (sentAt − timestamp)`: what the sender's clock shows wrong is wrong in both of its times.
    fn time(&mut self, event: &mut Object, received: Timestamp, sent_at: Option<Timestamp>) {
        let original = self.message.remove("originalTimestamp").filter(|value| *value != Value::Null);
        let stated = self.message.remove("timestamp").filter(|value| *value != Value::Null).or(original);
        let Some(stated) = stated else { return };
        let Some(at) = time(Some(&stated)) else {
            self.problems.push(Problem::new(
                "/timestamp",
                Code::Invalid,
                "is not an RFC 3339 time such as 2026-11-23T11:58:00Z",
            ));
            return;
        };
        let corrected = sent_at
            .map_or(at, |sent_at| Timestamp(received.0.saturating_sub(sent_at.0.saturating_sub(at.0))));
        let within = corrected >= Timestamp::MIN && corrected <= Timestamp::MAX;
        event.insert("time", printed(if within { corrected } else { at }));
        if let Some(sent_at) = sent_at {
            event.insert("original_time", printed(at));
            event.insert("sent_at", printed(sent_at));
        }
    }

    /// Takes an id out; null, empty and blank ones are nobody.
    fn identifier(&mut self, name: &str, kind: &str) -> Option<CompactString> {
        let value = text(self.message.remove(name))?;
        self.identify(kind, &value);
        Some(value)
    }

    fn identify(&mut self, kind: &str, value: &str) {
        let identifier = pair("type", kind, "value", value);
        if !self.identifiers.contains(&identifier) {
            self.identifiers.push(identifier);
        }
    }

    /// What was there before may have been an id of either kind: both lead to the person.
    fn alias(&mut self, user: Option<CompactString>) {
        let previous = text(self.message.remove("previousId"));
        for (given, place) in [(previous.is_some(), "/previousId"), (user.is_some(), "/userId")] {
            if !given {
                self.problems.push(Problem::new(place, Code::Required, "is required"));
            }
        }
        if let Some(previous) = previous {
            self.identify("user_id", &previous);
            self.identify("anonymous_id", &previous);
        }
    }

    fn external_ids(&mut self) {
        let Some(Value::List(ids)) =
            self.message.get("context").and_then(|context| context.pointer("/externalIds"))
        else {
            return;
        };
        let known = ids.iter().filter_map(|id| {
            let about = id.pointer("/collection").and_then(Value::as_text).unwrap_or("users");
            let kind = id.pointer("/type").and_then(Value::as_text)?;
            let value = text(id.pointer("/id").cloned())?;
            (about == "users" && check_kind(kind).is_ok()).then(|| (CompactString::from(kind), value))
        });
        for (kind, value) in known.collect::<Vec<_>>() {
            self.identify(&kind, &value);
        }
    }

    /// Takes the traits out. Those of `identify` are written to the profile; those of a group are given back.
    fn traits(&mut self, kind: Kind, event: &mut Object) -> Option<Value> {
        let own = self.message.remove("traits").filter(|value| *value != Value::Null);
        let of_context = self.message.get("context").and_then(|context| context.pointer("/traits")).cloned();
        if kind != Kind::Identify {
            if let Some(Value::Object(traits)) = &of_context {
                self.contacts(traits, false);
            }
            return own;
        }
        match own.or(of_context) {
            Some(Value::Object(traits)) => {
                self.contacts(&traits, true);
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
    fn contacts(&mut self, traits: &Object, channels: bool) {
        for (name, channel, normaliser) in
            [("email", "email", Normaliser::Email), ("phone", "sms", Normaliser::Phone)]
        {
            let Some(address) = traits.get(name).and_then(Value::as_text) else { continue };
            if normaliser.normalise(address).is_err() {
                continue;
            }
            self.identify(name, address);
            if channels {
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

fn pair(first: &str, one: &str, second: &str, two: &str) -> Value {
    Value::Object(Object::from_iter([(first.into(), one.into()), (second.into(), two.into())]))
}

fn printed(at: Timestamp) -> Value {
    Value::Text(format_compact!("{at}"))
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
