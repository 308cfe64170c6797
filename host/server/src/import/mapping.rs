//! Which column goes where, in the words of exports.
//!
//! | path | becomes |
//! | --- | --- |
//! | `id`, `type`, `time`, `source` | the event's own |
//! | `identifier.TYPE` | an identifier |
//! | `property.NAME`, `property.NAME.NAME` | a property, or one inside an object |
//! | `trait.NAME` | a trait |
//! | `channel.CHANNEL` | a contact point |
//! | `consent.CHANNEL.PURPOSE` | a decision about that contact point: `granted`, `denied` or `withdrawn` |
//! | `consent_time.CHANNEL.PURPOSE` | when it was decided |
//!
//! A property or trait is text unless a type stands behind: `:number`, `:bool`, `:json`.
//! An empty cell says nothing.

use std::path::Path;

use cdp_domain::json;
use cdp_domain::problem::{Code, Problem, step};
use cdp_domain::value::{Number, Object, Value};
use compact_str::CompactString;
use serde::Deserialize;

use super::report::Reason;
use crate::{Failure, exit};

/// Columns and constants with where they go.
#[derive(Debug, Default)]
pub(super) struct Mapping {
    /// By the place of the column.
    columns: Vec<(usize, String, Target)>,
    constants: Vec<(Target, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    place: Place,
    kind: CellKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// `id`, `type`, `time`, `source`.
    Own(&'static str),
    Identifier(String),
    Property(Vec<String>),
    Trait(String),
    Channel(String),
    Consent {
        channel: String,
        purpose: String,
    },
    ConsentTime {
        channel: String,
        purpose: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CellKind {
    Text,
    Number,
    Bool,
    Json,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    columns: toml::Table,
    #[serde(default)]
    set: toml::Table,
}

impl Mapping {
    /// Reads what the command line and the mapping file say. `columns` are those of a CSV file.
    ///
    /// # Errors
    /// A path that means nothing, a column that is not there, a CSV file without a mapping.
    pub(super) fn of(
        maps: &[String],
        sets: &[String],
        file: Option<&Path>,
        columns: Option<&[String]>,
    ) -> Result<Self, Failure> {
        let mut pairs = Vec::new();
        let mut constants = Vec::new();
        if let Some(path) = file {
            let doing = format!("read the mapping in {}", path.display());
            let failed = |error: &(dyn std::error::Error + 'static)| {
                Failure::because(exit::CONFIGURATION, &doing, error)
            };
            let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
            let table: Table = toml::from_str(&text).map_err(|error| failed(&error))?;
            for (column, path) in table.columns {
                pairs.push((column, text_of(path, &doing)?));
            }
            for (path, value) in table.set {
                constants.push((path, text_of(value, &doing)?));
            }
        }
        for text in maps {
            // A column's name may hold a =, a path does not.
            let (column, path) = text.rsplit_once('=').ok_or_else(|| without_equals("--map", text))?;
            pairs.push((column.trim().to_owned(), path.trim().to_owned()));
        }
        for text in sets {
            let (path, value) = text.split_once('=').ok_or_else(|| without_equals("--set", text))?;
            constants.push((path.trim().to_owned(), value.to_owned()));
        }
        Self::checked(pairs, constants, columns)
    }

    fn checked(
        pairs: Vec<(String, String)>,
        constants: Vec<(String, String)>,
        columns: Option<&[String]>,
    ) -> Result<Self, Failure> {
        let usage = |sentence: String| Failure::new(exit::USAGE, sentence);
        let target =
            |path: &str| Target::parse(path).map_err(|detail| usage(format!("the path {path:?} {detail}")));
        let mut out = Self::default();
        for (path, value) in constants {
            out.constants.push((target(&path)?, value));
        }
        let Some(columns) = columns else {
            return if pairs.is_empty() {
                Ok(out)
            } else {
                Err(usage(
                    "only columns of CSV are mapped; a line of NDJSON says itself what it is".to_owned(),
                ))
            };
        };
        if pairs.is_empty() {
            let sentence =
                format!("a CSV file needs --map or --mapping; its columns are {}", columns.join(", "));
            return Err(usage(sentence));
        }
        for (column, path) in pairs {
            let target = target(&path)?;
            let place = columns.iter().position(|name| *name == column).ok_or_else(|| {
                usage(format!("there is no column {column:?}; the columns are {}", columns.join(", ")))
            })?;
            if out.columns.iter().any(|(_, _, known)| known.place == target.place)
                && !matches!(target.place, Place::Identifier(_) | Place::Channel(_))
            {
                return Err(usage(format!("two columns go to {path:?}")));
            }
            out.columns.push((place, column, target));
        }
        Ok(out)
    }

    /// A record as an event in the making; what a cell does not allow stands in the reasons.
    pub(super) fn object(&self, cells: &csv::StringRecord) -> Result<Object, Vec<Reason>> {
        let mut made = Made::default();
        for (at, column, target) in &self.columns {
            let cell = cells.get(*at).unwrap_or_default().trim();
            if !cell.is_empty() {
                made.put(target, cell, Some(column));
            }
        }
        made.finish()
    }

    /// Adds the constants to an event, where it says nothing itself.
    pub(super) fn complete(&self, event: &mut Object) -> Result<(), Vec<Reason>> {
        if self.constants.is_empty() {
            return Ok(());
        }
        let mut made = Made::default();
        for (target, value) in &self.constants {
            made.put(target, value, None);
        }
        for (name, value) in made.finish()? {
            match (event.get(&name).cloned(), value) {
                (None | Some(Value::Null), value) => {
                    event.insert(&name, value);
                }
                (Some(Value::Object(mut known)), Value::Object(more)) => {
                    for (name, value) in more {
                        if known.get(&name).is_none() {
                            known.insert(&name, value);
                        }
                    }
                    event.insert(&name, Value::Object(known));
                }
                (Some(Value::List(mut known)), Value::List(more)) => {
                    known.extend(more);
                    event.insert(&name, Value::List(known));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The column behind a place of the event, as far as one column is behind it.
    pub(super) fn column(&self, pointer: &str, event: &Object) -> Option<String> {
        let mut steps = pointer.strip_prefix('/')?.split('/');
        let (head, second) = (steps.next()?, steps.next());
        let of = |list: &str, n: usize, name: &str| -> Option<CompactString> {
            let Value::List(items) = event.get(list)? else { return None };
            items.get(n)?.as_object()?.get(name)?.as_text().map(CompactString::from)
        };
        let n = || second?.parse::<usize>().ok();
        let place = match head {
            "id" | "type" | "time" | "source" => {
                return self.find(|place| matches!(place, Place::Own(own) if *own == head));
            }
            "identifiers" => {
                let kind = of("identifiers", n()?, "type")?;
                Place::Identifier(kind.to_string())
            }
            "channels" => Place::Channel(of("channels", n()?, "channel")?.to_string()),
            "consents" => {
                let n = n()?;
                let channel = of("consents", n, "channel")?.to_string();
                let purpose = of("consents", n, "purpose")?.to_string();
                match steps.next() {
                    Some("time") => Place::ConsentTime { channel, purpose },
                    Some("address") => Place::Channel(channel),
                    _ => Place::Consent { channel, purpose },
                }
            }
            "traits" => Place::Trait(second?.replace("~1", "/").replace("~0", "~")),
            "properties" => {
                return self.find(
                    |place| matches!(place, Place::Property(path) if Some(path[0].as_str()) == second),
                );
            }
            _ => return None,
        };
        self.find(|known| *known == place)
    }

    fn find(&self, wanted: impl Fn(&Place) -> bool) -> Option<String> {
        self.columns.iter().find(|(_, _, target)| wanted(&target.place)).map(|(_, column, _)| column.clone())
    }
}

fn text_of(value: toml::Value, doing: &str) -> Result<String, Failure> {
    match value {
        toml::Value::String(text) => Ok(text),
        other => Err(Failure::new(
            exit::CONFIGURATION,
            format!("could not {doing}: a {} stands where a string must", other.type_str()),
        )),
    }
}

fn without_equals(what: &str, text: &str) -> Failure {
    Failure::new(exit::USAGE, format!("{what} {text:?} has no ="))
}

impl Target {
    fn parse(path: &str) -> Result<Self, String> {
        let (path, kind) = match path.rsplit_once(':') {
            None => (path, CellKind::Text),
            Some((path, "number")) => (path, CellKind::Number),
            Some((path, "bool")) => (path, CellKind::Bool),
            Some((path, "json")) => (path, CellKind::Json),
            Some((path, "text")) => (path, CellKind::Text),
            Some((_, other)) => {
                return Err(format!("has no type {other:?}: number, bool, json and text are"));
            }
        };
        let place = Place::parse(path)?;
        if kind != CellKind::Text && !matches!(place, Place::Property(_) | Place::Trait(_)) {
            return Err("is always text: only properties and traits have types".to_owned());
        }
        Ok(Self { place, kind })
    }
}

impl Place {
    fn parse(path: &str) -> Result<Self, String> {
        let two = |rest: &str| -> Result<(String, String), String> {
            match rest.split_once('.') {
                Some((channel, purpose)) if !channel.is_empty() && !purpose.is_empty() => {
                    Ok((channel.to_owned(), purpose.to_owned()))
                }
                _ => Err("needs a channel and a purpose, such as consent.email.marketing".to_owned()),
            }
        };
        let (head, rest) = path.split_once('.').unwrap_or((path, ""));
        match (head, rest) {
            ("id", "") => Ok(Self::Own("id")),
            ("type", "") => Ok(Self::Own("type")),
            ("time", "") => Ok(Self::Own("time")),
            ("source", "") => Ok(Self::Own("source")),
            ("identifier" | "property" | "trait" | "channel", "") => Err("lacks a name behind the dot".to_owned()),
            ("identifier", kind) => Ok(Self::Identifier(kind.to_owned())),
            ("property", names) if names.split('.').all(|name| !name.is_empty()) => {
                Ok(Self::Property(names.split('.').map(str::to_owned).collect()))
            }
            ("trait", name) => Ok(Self::Trait(name.to_owned())),
            ("channel", channel) => Ok(Self::Channel(channel.to_owned())),
            ("consent", rest) => two(rest).map(|(channel, purpose)| Self::Consent { channel, purpose }),
            ("consent_time", rest) => two(rest).map(|(channel, purpose)| Self::ConsentTime { channel, purpose }),
            _ => Err("means nothing: id, type, time, source, identifier.TYPE, property.NAME, trait.NAME, channel.CHANNEL, \
                      consent.CHANNEL.PURPOSE and consent_time.CHANNEL.PURPOSE do"
                .to_owned()),
        }
    }
}

/// An event in the making.
#[derive(Default)]
struct Made {
    event: Object,
    identifiers: Vec<Value>,
    channels: Vec<(String, CompactString)>,
    /// Channel, purpose, status, time, column.
    consents: Vec<Decision>,
    reasons: Vec<Reason>,
}

struct Decision {
    channel: String,
    purpose: String,
    status: Option<CompactString>,
    time: Option<CompactString>,
    column: Option<String>,
}

impl Made {
    fn put(&mut self, target: &Target, cell: &str, column: Option<&String>) {
        match &target.place {
            Place::Own(name) => {
                self.event.insert(name, cell.into());
            }
            Place::Identifier(kind) => {
                self.identifiers.push(object([("type", kind.as_str().into()), ("value", cell.into())]));
            }
            Place::Channel(channel) => self.channels.push((channel.clone(), cell.into())),
            Place::Consent { channel, purpose } => {
                let decision = self.decision(channel, purpose, column);
                decision.status = Some(cell.into());
            }
            Place::ConsentTime { channel, purpose } => {
                self.decision(channel, purpose, None).time = Some(cell.into());
            }
            Place::Trait(name) => {
                if let Some(value) = self.value(target.kind, cell, &format!("/traits{}", step(name)), column)
                {
                    insert_at(&mut self.event, "traits", std::slice::from_ref(name), value);
                }
            }
            Place::Property(names) => {
                let pointer = names.iter().fold("/properties".to_owned(), |at, name| at + &step(name));
                let Some(value) = self.value(target.kind, cell, &pointer, column) else { return };
                if !insert_at(&mut self.event, "properties", names, value) {
                    let problem =
                        Problem::new(pointer, Code::Invalid, "leads through a value that is no object");
                    self.reasons.push(Reason { column: column.cloned(), ..Reason::of(problem) });
                }
            }
        }
    }

    fn decision(&mut self, channel: &str, purpose: &str, column: Option<&String>) -> &mut Decision {
        let known =
            self.consents.iter().position(|known| known.channel == channel && known.purpose == purpose);
        let at = known.unwrap_or_else(|| {
            let (channel, purpose) = (channel.to_owned(), purpose.to_owned());
            self.consents.push(Decision { channel, purpose, status: None, time: None, column: None });
            self.consents.len() - 1
        });
        let decision = &mut self.consents[at];
        decision.column = decision.column.take().or_else(|| column.cloned());
        decision
    }

    fn value(&mut self, kind: CellKind, cell: &str, pointer: &str, column: Option<&String>) -> Option<Value> {
        let value = match kind {
            CellKind::Text => Some(Value::from(cell)),
            CellKind::Number => Number::parse(cell).map(Value::Number),
            CellKind::Bool => match cell.to_ascii_lowercase().as_str() {
                "true" | "yes" | "1" => Some(Value::from(true)),
                "false" | "no" | "0" => Some(Value::from(false)),
                _ => None,
            },
            CellKind::Json => json::parse(cell.as_bytes(), json::Options::default()).ok(),
        };
        if value.is_none() {
            let wanted = match kind {
                CellKind::Number => "a number, such as 12.50",
                CellKind::Bool => "true or false, yes or no, 1 or 0",
                _ => "JSON",
            };
            let problem = Problem::new(pointer, Code::Invalid, format!("must be {wanted}"));
            self.reasons.push(Reason { column: column.cloned(), ..Reason::of(problem) });
        }
        value
    }

    fn finish(mut self) -> Result<Object, Vec<Reason>> {
        let mut consents = Vec::new();
        for decision in std::mem::take(&mut self.consents) {
            // A time alone decides nothing: the cell with the decision is empty.
            let Some(status) = decision.status else { continue };
            let Some((_, address)) = self.channels.iter().find(|(channel, _)| *channel == decision.channel)
            else {
                let detail = format!(
                    "is a decision about {0}, and the row has no address in channel.{0}",
                    decision.channel
                );
                let problem = Problem::new("/consents", Code::Required, detail);
                self.reasons.push(Reason { column: decision.column, ..Reason::of(problem) });
                continue;
            };
            let mut consent = vec![
                ("channel", decision.channel.as_str().into()),
                ("address", address.as_str().into()),
                ("purpose", decision.purpose.as_str().into()),
                ("status", Value::from(status.to_ascii_lowercase().as_str())),
            ];
            consent.extend(decision.time.map(|time| ("time", Value::from(time.as_str()))));
            consents.push(object(consent));
        }
        if !self.reasons.is_empty() {
            return Err(self.reasons);
        }
        let channels = self.channels.iter().map(|(channel, address)| {
            object([("channel", channel.as_str().into()), ("address", address.as_str().into())])
        });
        let channels: Vec<Value> = channels.collect();
        for (name, items) in
            [("identifiers", self.identifiers), ("channels", channels), ("consents", consents)]
        {
            if !items.is_empty() {
                self.event.insert(name, Value::List(items));
            }
        }
        Ok(self.event)
    }
}

fn object<'a>(members: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::Object(members.into_iter().map(|(name, value)| (CompactString::from(name), value)).collect())
}

/// Puts a value at a path of names; false when something that is no object is in the way.
fn insert_at(event: &mut Object, head: &str, names: &[String], value: Value) -> bool {
    let Some((name, rest)) = names.split_first() else {
        event.insert(head, value);
        return true;
    };
    let mut inner = match event.remove(head) {
        None => Object::default(),
        Some(Value::Object(inner)) => inner,
        Some(other) => {
            event.insert(head, other);
            return false;
        }
    };
    let done = insert_at(&mut inner, name, rest, value);
    event.insert(head, Value::Object(inner));
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(maps: &[&str], cells: &[&str]) -> Result<String, Vec<Reason>> {
        let maps: Vec<String> = maps.iter().map(|&map| map.to_owned()).collect();
        let columns: Vec<String> = ('a'..).take(cells.len()).map(String::from).collect();
        let mapping = Mapping::of(&maps, &[], None, Some(&columns)).unwrap();
        let event = mapping.object(&csv::StringRecord::from(cells.to_vec()))?;
        Ok(json::to_string(&Value::Object(event)))
    }

    #[test]
    fn cells_go_where_the_mapping_says_and_keep_every_digit() {
        let maps = [
            "a=id",
            "b=identifier.email",
            "c=property.cart.total:number",
            "d=trait.vip:bool",
            "e=channel.email",
            "f=consent.email.marketing",
            "g=consent_time.email.marketing",
            "h=trait.note",
        ];
        let event =
            made(&maps, &["7", "a@b.eu", "12.500", "yes", "a@b.eu", "Granted", "2026-01-01", ""]).unwrap();
        for part in [
            r#""id":"7""#,
            r#""identifiers":[{"type":"email","value":"a@b.eu"}]"#,
            r#""properties":{"cart":{"total":12.5"#,
            r#""traits":{"vip":true}"#,
            r#""status":"granted""#,
            r#""time":"2026-01-01""#,
        ] {
            assert!(event.contains(part), "{part} in {event}");
        }
    }

    #[test]
    fn what_a_cell_does_not_allow_names_its_column() {
        let reasons =
            made(&["a=property.total:number", "b=consent.sms.news"], &["twelve", "granted"]).unwrap_err();
        let told: Vec<_> = reasons.iter().map(|r| (r.pointer.as_str(), r.column.as_deref())).collect();
        assert_eq!(told, [("/properties/total", Some("a")), ("/consents", Some("b"))]);
    }

    #[test]
    fn a_mapping_that_means_nothing_is_refused_before_a_row_is_read() {
        let columns = ["a".to_owned(), "b".to_owned()];
        for bad in
            ["a", "a=", "a=city", "a=trait.", "a=consent.email", "a=id:number", "z=id", "a=trait.x:date"]
        {
            let refused = Mapping::of(&[bad.to_owned()], &[], None, Some(&columns));
            assert!(refused.is_err(), "{bad}");
        }
        let twice = ["a=id".to_owned(), "b=id".to_owned()];
        assert!(Mapping::of(&twice, &[], None, Some(&columns)).is_err());
        assert!(Mapping::of(&[], &[], None, Some(&columns)).is_err(), "CSV without a mapping");
        assert!(Mapping::of(&twice[..1], &[], None, None).is_err(), "NDJSON with one");
    }
}
