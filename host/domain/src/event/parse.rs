//! From JSON to a validated event, with every problem at once.

use compact_str::CompactString;
use smallvec::SmallVec;

use super::Event;
use crate::consent::{ContactPoint, Decision, Status};
use crate::identifier::{Identifier, Normaliser, Pinned, check_kind};
use crate::identity::Rules;
use crate::limits as max;
use crate::problem::{Code, Problem, step};
use crate::time::Timestamp;
use crate::traits;
use crate::value::{Object, Value};

/// What an event is given where it does not say.
#[derive(Debug, Clone, Copy)]
pub struct Defaults<'a> {
    /// Used when `source` is absent: the API key's.
    pub source: &'a str,
    /// Used when `time` is absent: the time of receipt.
    pub time: Timestamp,
    /// Which identifier types are normalised how.
    pub rules: &'a Rules,
}

impl Event {
    /// Validates one event of the native form.
    ///
    /// # Errors
    /// Every problem, with pointers relative to the event.
    pub fn from_value(value: Value, defaults: Defaults<'_>) -> Result<Self, Vec<Problem>> {
        Self::from_stored(value, defaults, None)
    }

    /// Reads an event that was accepted before; the normal forms that were found then hold.
    ///
    /// # Errors
    /// As for [`from_value`](Self::from_value): an earlier release may have accepted what this one does not.
    pub fn from_stored(
        value: Value,
        defaults: Defaults<'_>,
        pinned: Option<&Pinned>,
    ) -> Result<Self, Vec<Problem>> {
        let Value::Object(fields) = value else {
            return Err(vec![Problem::new("", Code::WrongType, "an event is a JSON object")]);
        };
        let mut parser = Parser { problems: Vec::new(), pinned };
        let mut raw = Raw::default();
        let mut extra = Vec::new();
        for (name, value) in fields {
            match name.as_str() {
                "id" => raw.id = parser.id(value),
                "source" => raw.source = parser.optional_text("/source", value, max::SOURCE_BYTES_MAX),
                "type" => raw.kind = parser.text("/type", value, max::EVENT_TYPE_BYTES_MAX),
                "time" => raw.time = parser.time("/time", &value),
                "identifiers" => raw.identifiers = parser.identifiers(value, defaults.rules),
                "properties" => raw.properties = parser.object("/properties", value),
                "traits" => raw.traits = parser.traits(value),
                "channels" => {
                    raw.channels = parser.list("/channels", value, max::CHANNELS_MAX, Parser::contact)
                }
                "consents" => {
                    raw.consents = parser.list("/consents", value, max::CONSENTS_MAX, Parser::decision)
                }
                _ => extra.push((name, value)),
            }
        }
        for (field, seen) in [("/id", raw.id.is_some()), ("/type", raw.kind.is_some())] {
            if !seen && !parser.problems.iter().any(|problem| problem.pointer == field) {
                parser.add(field, Code::Required, "is required");
            }
        }
        if raw.kind.as_deref() == Some(super::EXPIRED) {
            parser.add("/type", Code::Invalid, "is a type of our own");
        }
        let is_void = raw.kind.as_deref() == Some(super::VOID);
        if is_void {
            let names: Vec<_> = extra.iter().map(|(name, value)| (name.as_str(), value)).collect();
            parser.void(&names, &raw.properties);
        }
        if raw.identifiers.is_empty()
            && !is_void
            && !parser.problems.iter().any(|p| p.pointer.starts_with("/identifiers"))
        {
            parser.add(
                "/identifiers",
                Code::Required,
                "at least one identifier is required, or nobody could be meant",
            );
        }
        match (raw.id, raw.kind) {
            (Some(id), Some(kind)) if parser.problems.is_empty() => {
                let said = raw.channels.iter();
                let verified =
                    said.filter_map(|(point, verified)| Some((point.clone(), (*verified)?))).collect();
                let mut channels: Vec<_> = raw.channels.into_iter().map(|(point, _)| point).collect();
                channels.extend(raw.consents.iter().map(|decision| decision.contact.clone()));
                channels.sort();
                channels.dedup();
                Ok(Self {
                    id,
                    kind,
                    source: raw.source.unwrap_or_else(|| defaults.source.into()),
                    time: raw.time.unwrap_or(defaults.time),
                    identifiers: raw.identifiers,
                    properties: raw.properties,
                    traits: raw.traits,
                    channels,
                    verified,
                    consents: raw.consents,
                    extra: Object::new(extra).expect("they come from an object"),
                })
            }
            _ => Err(parser.problems),
        }
    }
}

impl Event {
    /// The `nth` event that plugins make of this one: of the same source and person, with a type, a time and a document of
    /// its own, judged by the rules for what is sent. Its field `born_of` names this one.
    ///
    /// # Errors
    /// Every problem, with pointers relative to the new event.
    pub fn bear(
        &self,
        nth: u8,
        kind: CompactString,
        time: Timestamp,
        document: Value,
    ) -> Result<Self, Vec<Problem>> {
        let Value::Object(fields) = document else {
            return Err(vec![Problem::new("", Code::WrongType, "an event is a JSON object")]);
        };
        let mut parser = Parser { problems: Vec::new(), pinned: None };
        let kind = parser.text("/type", Value::Text(kind), max::EVENT_TYPE_BYTES_MAX);
        if kind.as_deref() == Some(super::VOID) {
            parser.add("/type", Code::Invalid, "takes another event back, which only who sends events may");
        }
        let (mut properties, mut traits) = (Object::default(), Object::default());
        for (name, value) in fields {
            match name.as_str() {
                "properties" => properties = parser.object("/properties", value),
                "traits" => traits = parser.traits(value),
                _ => parser.add(step(&name), Code::Unknown, "is not a field of a new event"),
            }
        }
        let Some(kind) = kind.filter(|_| parser.problems.is_empty()) else { return Err(parser.problems) };
        let born_of = ("born_of".into(), Value::Text(self.id.clone()));
        Ok(Self {
            id: super::born_id(&self.id, nth),
            source: self.source.clone(),
            kind,
            time,
            identifiers: self.identifiers.clone(),
            properties,
            traits,
            channels: Vec::new(),
            verified: Vec::new(),
            consents: Vec::new(),
            extra: Object::new(vec![born_of]).expect("one name"),
        })
    }
}

/// Checks the name of a trait, attribute, segment, purpose or channel.
///
/// # Errors
/// One sentence for the client.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > max::NAME_BYTES_MAX {
        return Err(format!("a name has 1 to {} bytes", max::NAME_BYTES_MAX));
    }
    if name.chars().any(char::is_control) {
        return Err("a name has no control characters".to_owned());
    }
    Ok(())
}

#[derive(Default)]
struct Raw {
    id: Option<CompactString>,
    source: Option<CompactString>,
    kind: Option<CompactString>,
    time: Option<Timestamp>,
    identifiers: SmallVec<[Identifier; 2]>,
    properties: Object,
    traits: Object,
    channels: Vec<(ContactPoint, Option<bool>)>,
    consents: Vec<Decision>,
}

struct Parser<'a> {
    problems: Vec<Problem>,
    pinned: Option<&'a Pinned>,
}

impl Parser<'_> {
    fn normal(&self, normaliser: Normaliser, raw: &str) -> Result<CompactString, String> {
        let pinned = if normaliser == Normaliser::Phone { self.pinned } else { None };
        match pinned.and_then(|pinned| pinned.form(raw)) {
            Some(form) => Ok(form.clone()),
            None => normaliser.normalise(raw),
        }
    }

    fn add(&mut self, pointer: impl Into<String>, code: Code, detail: impl Into<String>) {
        self.problems.push(Problem::new(pointer, code, detail));
    }

    fn mistyped<T: Default>(&mut self, pointer: impl Into<String>, wanted: &str, value: &Value) -> T {
        self.add(pointer, Code::WrongType, format!("must be {wanted}, not {}", value.type_name()));
        T::default()
    }

    fn text(&mut self, pointer: &str, value: Value, bytes_max: usize) -> Option<CompactString> {
        let Value::Text(text) = value else { return self.mistyped(pointer, "a string", &value) };
        if text.is_empty() {
            self.add(pointer, Code::Invalid, "must not be empty");
        } else if text.len() > bytes_max {
            self.add(pointer, Code::TooLong, format!("is longer than {bytes_max} bytes"));
        } else if text.chars().any(char::is_control) {
            self.add(pointer, Code::Invalid, "must not contain control characters");
        } else {
            return Some(text);
        }
        None
    }

    fn id(&mut self, value: Value) -> Option<CompactString> {
        let id = self.text("/id", value, max::EVENT_ID_BYTES_MAX)?;
        if super::born_of(&id).is_some() {
            let detail = "must not end in .$ and a number: such ids are given to events that plugins make";
            self.add("/id", Code::Invalid, detail);
        }
        Some(id)
    }

    /// A void says what it takes back.
    fn void(&mut self, extra: &[(&str, &Value)], properties: &Object) {
        for (field, bytes_max, required) in
            [("voids", max::EVENT_ID_BYTES_MAX, true), ("voids_source", max::SOURCE_BYTES_MAX, false)]
        {
            let stands = extra.iter().find(|(name, _)| *name == field).map(|(_, value)| *value);
            match stands.or_else(|| properties.get(field)) {
                Some(value) => {
                    let named = self.text(&format!("/{field}"), value.clone(), bytes_max);
                    if required && named.is_some_and(|id| super::born_of(&id).is_some()) {
                        let detail = "is an event that a plugin made: take back the one that it was made of";
                        self.add("/voids", Code::Invalid, detail);
                    }
                }
                None if required => {
                    self.add("/voids", Code::Required, "must be the id of the event that is taken back");
                }
                None => {}
            }
        }
    }

    fn optional_text(&mut self, pointer: &str, value: Value, bytes_max: usize) -> Option<CompactString> {
        if value == Value::Null { None } else { self.text(pointer, value, bytes_max) }
    }

    fn time(&mut self, pointer: &str, value: &Value) -> Option<Timestamp> {
        match value {
            Value::Null => None,
            Value::Text(text) => match Timestamp::parse(text) {
                Ok(time) => Some(time),
                Err(detail) => {
                    self.add(pointer, Code::Invalid, detail);
                    None
                }
            },
            other => self.mistyped(pointer, "an RFC 3339 string", other),
        }
    }

    fn object(&mut self, pointer: &str, value: Value) -> Object {
        match value {
            Value::Object(object) => object,
            Value::Null => Object::default(),
            other => self.mistyped(pointer, "an object", &other),
        }
    }

    fn list<T>(
        &mut self,
        pointer: &str,
        value: Value,
        items_max: usize,
        mut read: impl FnMut(&mut Self, &str, Object) -> Option<T>,
    ) -> Vec<T> {
        let items = match value {
            Value::List(items) => items,
            Value::Null => return Vec::new(),
            other => return self.mistyped(pointer, "an array", &other),
        };
        if items.len() > items_max {
            self.add(pointer, Code::TooLong, format!("has more than {items_max} items"));
            return Vec::new();
        }
        let mut out = Vec::with_capacity(items.len());
        for (n, item) in items.into_iter().enumerate() {
            let place = || format!("{pointer}/{n}");
            match item {
                Value::Object(object) => out.extend(read(self, &place(), object)),
                other => self.mistyped(place(), "an object", &other),
            }
        }
        out
    }

    fn identifiers(&mut self, value: Value, rules: &Rules) -> SmallVec<[Identifier; 2]> {
        let items = self.list("/identifiers", value, max::IDENTIFIERS_MAX, |parser, place, mut object| {
            let kind = object.remove("type").unwrap_or_default();
            let value = object.remove("value").unwrap_or_default();
            parser.unknown(place, &object);
            let Value::Text(kind) = kind else {
                return parser.mistyped(format!("{place}/type"), "a string", &kind);
            };
            if let Err(detail) = check_kind(&kind) {
                parser.add(format!("{place}/type"), Code::Invalid, detail);
            }
            let value = match value {
                Value::Text(text) => text,
                Value::Number(number) => compact_str::format_compact!("{number}"),
                other => return parser.mistyped(format!("{place}/value"), "a string", &other),
            };
            match parser.normal(rules.normaliser(&kind), &value) {
                Ok(value) => Some(Identifier { kind, value }),
                Err(detail) => {
                    parser.add(format!("{place}/value"), Code::Invalid, detail);
                    None
                }
            }
        });
        let mut items: SmallVec<[Identifier; 2]> = items.into();
        items.sort_unstable();
        items.dedup();
        items
    }

    fn traits(&mut self, value: Value) -> Object {
        let object = self.object("/traits", value);
        if object.len() > max::TRAITS_MAX {
            self.add("/traits", Code::TooLong, format!("has more than {} traits", max::TRAITS_MAX));
        }
        self.problems.extend(traits::check(&object).into_iter().map(|problem| problem.under("/traits")));
        object
    }

    fn contact(&mut self, place: &str, mut object: Object) -> Option<(ContactPoint, Option<bool>)> {
        let contact = self.take_contact(place, &mut object);
        let verified = match object.remove("verified") {
            None | Some(Value::Null) => None,
            Some(Value::Bool(verified)) => Some(verified),
            Some(other) => self.mistyped(format!("{place}/verified"), "true or false", &other),
        };
        self.unknown(place, &object);
        Some((contact?, verified))
    }

    fn take_contact(&mut self, place: &str, object: &mut Object) -> Option<ContactPoint> {
        let channel = self.text(
            &format!("{place}/channel"),
            object.remove("channel").unwrap_or_default(),
            max::IDENTIFIER_TYPE_BYTES_MAX,
        );
        let pointer = format!("{place}/address");
        let address =
            self.text(&pointer, object.remove("address").unwrap_or_default(), max::IDENTIFIER_BYTES_MAX)?;
        let channel = channel?;
        match self.normal(Normaliser::usual_for(&channel), &address) {
            Ok(address) => Some(ContactPoint { channel, address }),
            Err(detail) => {
                self.add(pointer, Code::Invalid, detail);
                None
            }
        }
    }

    fn decision(&mut self, place: &str, mut object: Object) -> Option<Decision> {
        let contact = self.take_contact(place, &mut object);
        let mut take = |name: &str| (format!("{place}/{name}"), object.remove(name).unwrap_or_default());
        let (purpose, status) = (take("purpose"), take("status"));
        let (at, expires_at) = (take("time"), take("expires_at"));
        let (method, policy_version) = (take("method"), take("policy_version"));
        let (proof, actor) = (take("evidence"), take("actor"));
        self.unknown(place, &object);
        let purpose = self.text(&purpose.0, purpose.1, max::NAME_BYTES_MAX);
        let status = match status.1.as_text() {
            Some("granted") => Some(Status::Granted),
            Some("denied") => Some(Status::Denied),
            Some("withdrawn") => Some(Status::Withdrawn),
            _ => {
                self.add(status.0, Code::Invalid, "must be granted, denied or withdrawn");
                None
            }
        };
        let before = self.problems.len();
        let (at, expires_at) = (self.time(&at.0, &at.1), self.time(&expires_at.0, &expires_at.1));
        let method = self.optional_text(&method.0, method.1, max::NAME_BYTES_MAX);
        let policy_version = self.optional_text(&policy_version.0, policy_version.1, max::NAME_BYTES_MAX);
        let proof = self.optional_text(&proof.0, proof.1, max::CONSENT_EVIDENCE_BYTES_MAX);
        let actor = self.optional_text(&actor.0, actor.1, max::NAME_BYTES_MAX);
        if self.problems.len() > before {
            return None;
        }
        Some(Decision {
            contact: contact?,
            purpose: purpose?,
            status: status?,
            at,
            expires_at,
            method,
            policy_version,
            proof,
            actor,
        })
    }

    /// Inside identifiers, channels and consents every field has a meaning: one that has none is a mistake.
    fn unknown(&mut self, place: &str, rest: &Object) {
        for (name, _) in rest.iter() {
            self.add(format!("{place}{}", step(name)), Code::Unknown, "is not a field here");
        }
    }
}
