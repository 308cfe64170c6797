//! What a plugin says it is and needs, checked before anybody relies on it.

use std::collections::BTreeSet;

use cdp_domain::limits;
use serde::{Deserialize, Serialize};

use crate::bindings;
use crate::connector;
use crate::inspect::World;

/// Kind of a declared field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A string.
    Text,
    /// A whole number of 64 bits.
    Integer,
    /// A number, rounded to the nearest double.
    Number,
    /// True or false.
    Boolean,
    /// An exact number, also when it is written as a string.
    Decimal,
    /// Anything, as JSON text.
    Json,
}

/// A field of an event that a plugin reads or writes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Field {
    /// A JSON pointer into the event.
    pub pointer: String,
    /// What the plugin takes it for.
    pub kind: Kind,
}

/// What a plugin says it is and needs; everything in it obeys the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// 1 to 64 of `a-z`, `0-9` and `-`.
    pub name: String,
    /// A semantic version.
    pub version: String,
    /// A sentence for people, at most 1,000 bytes.
    pub summary: String,
    /// Event types it wants, each once; empty means all.
    pub event_types: Vec<String>,
    /// Fields it sees, each pointer once, at most 64.
    pub reads: Vec<Field>,
    /// Fields it may set or remove, each pointer once, at most 64; a deriver has none.
    pub writes: Vec<Field>,
    /// JSON Schema of its configuration as text; empty when there is none.
    pub config_schema: String,
    /// Names of secrets it refers to; a transformer and a deriver have none.
    pub secrets: Vec<String>,
    /// Hosts it wants to reach; a transformer and a deriver have none.
    pub hosts: Vec<String>,
    /// Lookup tables it wants to read.
    pub tables: Vec<String>,
}

/// One thing that a plugin asks of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request {
    /// To see a field.
    Read(Field),
    /// To set or remove a field.
    Write(Field),
    /// To have a secret inserted into its requests.
    Secret {
        /// The secret's name.
        name: String,
    },
    /// To reach a host.
    Host {
        /// `https://host[:port]`.
        url: String,
    },
    /// To read a lookup table.
    Table {
        /// The table's name.
        name: String,
    },
}

const FIELDS_MAX: usize = 64;
const EVENT_TYPES_MAX: usize = 256;
const TABLES_MAX: usize = 16;
const SECRETS_MAX: usize = 16;
const HOSTS_MAX: usize = 16;
const POINTER_BYTES_MAX: usize = 512;
const SUMMARY_BYTES_MAX: usize = 1000;
const SCHEMA_BYTES_MAX: usize = 64 << 10;

impl Descriptor {
    /// Everything the plugin asks for, in a stable order.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        let mut all = Vec::new();
        all.extend(self.reads.iter().cloned().map(Request::Read));
        all.extend(self.writes.iter().cloned().map(Request::Write));
        all.extend(self.secrets.iter().map(|name| Request::Secret { name: name.clone() }));
        all.extend(self.hosts.iter().map(|url| Request::Host { url: url.clone() }));
        all.extend(self.tables.iter().map(|name| Request::Table { name: name.clone() }));
        all
    }

    /// Takes a guest's answer, if it obeys the contract for its world.
    pub(crate) fn of(world: World, raw: bindings::Descriptor) -> Result<Self, Vec<String>> {
        let descriptor = Self {
            name: raw.name,
            version: raw.version,
            summary: raw.summary,
            event_types: raw.event_types,
            reads: raw.reads.into_iter().map(Field::from).collect(),
            writes: raw.writes.into_iter().map(Field::from).collect(),
            config_schema: raw.config_schema,
            secrets: raw.secrets,
            hosts: raw.hosts,
            tables: raw.tables,
        };
        let problems = descriptor.problems(world);
        if problems.is_empty() { Ok(descriptor) } else { Err(problems) }
    }

    /// What of it the contract does not allow.
    pub(crate) fn problems(&self, world: World) -> Vec<String> {
        let mut out = Vec::new();
        let mut check = |ok: bool, problem: String| {
            if !ok {
                out.push(problem);
            }
        };
        check(is_slug(&self.name), "name has 1 to 64 of a-z, 0-9 and -".into());
        check(is_semantic(&self.version), "version is not a semantic version such as 1.2.0".into());
        check(
            self.summary.len() <= SUMMARY_BYTES_MAX,
            format!("summary has more than {SUMMARY_BYTES_MAX} bytes"),
        );
        for (what, count, max) in [
            ("event-types", self.event_types.len(), EVENT_TYPES_MAX),
            ("reads", self.reads.len(), FIELDS_MAX),
            ("writes", self.writes.len(), FIELDS_MAX),
            ("tables", self.tables.len(), TABLES_MAX),
        ] {
            check(count <= max, format!("{what} has {count} items, {max} are allowed"));
        }
        for kind in &self.event_types {
            check(
                is_name(kind, limits::EVENT_TYPE_BYTES_MAX),
                format!("event-types: {} is no event type", quoted(kind)),
            );
        }
        for name in &self.tables {
            check(
                is_name(name, limits::NAME_BYTES_MAX),
                format!("tables: {} is no name of a table", quoted(name)),
            );
        }
        for field in &self.reads {
            check(
                is_pointer(&field.pointer),
                format!("reads: {} is no JSON pointer into an event", quoted(&field.pointer)),
            );
        }
        for field in &self.writes {
            check(
                is_writable(&field.pointer),
                format!(
                    "writes: {} may not be written, only /properties/… and /traits/NAME may",
                    quoted(&field.pointer)
                ),
            );
        }
        for (what, twice) in [
            ("event-types", twice(self.event_types.iter())),
            ("reads", twice(self.reads.iter().map(|field| &field.pointer))),
            ("writes", twice(self.writes.iter().map(|field| &field.pointer))),
            ("tables", twice(self.tables.iter())),
        ] {
            if let Some(name) = twice {
                check(false, format!("{what}: {} stands twice", quoted(name)));
            }
        }
        let schema = &self.config_schema;
        check(
            schema.len() <= SCHEMA_BYTES_MAX,
            format!("config-schema has more than {SCHEMA_BYTES_MAX} bytes"),
        );
        check(
            schema.is_empty() || is_json_object(schema),
            "config-schema is neither empty nor a JSON object".into(),
        );
        let world_name = world.name();
        if matches!(world, World::Transformer | World::Deriver) {
            check(self.secrets.is_empty(), format!("a {world_name} has no use for secrets"));
            check(self.hosts.is_empty(), format!("a {world_name} reaches no hosts"));
        }
        if matches!(world, World::ConnectorPlan | World::ConnectorIo) {
            let events = [&self.event_types.is_empty(), &self.reads.is_empty(), &self.writes.is_empty()];
            check(
                events.into_iter().all(|empty| *empty) && self.tables.is_empty(),
                format!("a {world_name} sees no events and no tables, only what is mapped for it"),
            );
            for (what, count, max) in
                [("secrets", self.secrets.len(), SECRETS_MAX), ("hosts", self.hosts.len(), HOSTS_MAX)]
            {
                check(count <= max, format!("{what} has {count} items, {max} are allowed"));
            }
            for name in &self.secrets {
                check(is_slug(name), format!("secrets: {} is not 1 to 64 of a-z, 0-9 and -", quoted(name)));
            }
            for host in &self.hosts {
                check(
                    connector::origin(host).as_ref() == Ok(host),
                    format!("hosts: {} is not https://host[:port] in lower case", quoted(host)),
                );
            }
            for (what, twice) in
                [("secrets", twice(self.secrets.iter())), ("hosts", twice(self.hosts.iter()))]
            {
                if let Some(name) = twice {
                    check(false, format!("{what}: {} stands twice", quoted(name)));
                }
            }
        }
        if world == World::Deriver {
            check(
                self.writes.is_empty(),
                "a deriver writes no fields; its outputs stand in its shape".into(),
            );
        }
        out
    }
}

fn is_slug(name: &str) -> bool {
    let slug = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(slug)
}

fn twice<'a>(names: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    let mut seen = BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}

fn is_json_object(text: &str) -> bool {
    let parsed = cdp_domain::json::parse(text.as_bytes(), cdp_domain::json::Options::default());
    parsed.is_ok_and(|value| value.as_object().is_some())
}

pub(crate) fn is_name(text: &str, bytes_max: usize) -> bool {
    !text.is_empty() && text.len() <= bytes_max && !text.chars().any(char::is_control)
}

fn is_pointer(pointer: &str) -> bool {
    let escaped =
        |token: &str| token.split('~').skip(1).all(|rest| rest.starts_with('0') || rest.starts_with('1'));
    is_name(pointer, POINTER_BYTES_MAX)
        && pointer.len() > 1
        && pointer.starts_with('/')
        && pointer.split('/').all(escaped)
}

fn is_writable(pointer: &str) -> bool {
    let tail = |root: &str| pointer.strip_prefix(root).filter(|tail| !tail.is_empty());
    let property = tail("/properties/").is_some();
    let named = tail("/traits/").is_some_and(|name| {
        !name.contains(['/', '~']) && !name.starts_with('$') && is_name(name, limits::NAME_BYTES_MAX)
    });
    is_pointer(pointer) && (property || named)
}

fn is_semantic(version: &str) -> bool {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let number = |part: &str| {
        !part.is_empty()
            && part.len() <= 9
            && part.bytes().all(|b| b.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
    };
    version.len() <= 64
        && version.bytes().all(|b| b.is_ascii_alphanumeric() || b"-+.".contains(&b))
        && core.split('.').count() == 3
        && core.split('.').all(number)
}

/// A guest's text in a message: short and on one line.
pub(crate) fn quoted(text: &str) -> String {
    let short: String = text.chars().take(80).collect();
    format!("{short:?}")
}

impl From<bindings::exports::cdp::plugin::metadata::Field> for Field {
    fn from(field: bindings::exports::cdp::plugin::metadata::Field) -> Self {
        Self { pointer: field.pointer, kind: field.kind.into() }
    }
}

impl From<bindings::Kind> for Kind {
    fn from(kind: bindings::Kind) -> Self {
        match kind {
            bindings::Kind::Text => Self::Text,
            bindings::Kind::Integer => Self::Integer,
            bindings::Kind::Number => Self::Number,
            bindings::Kind::Boolean => Self::Boolean,
            bindings::Kind::Decimal => Self::Decimal,
            bindings::Kind::Json => Self::Json,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Descriptor {
        let field = |pointer: &str| Field { pointer: pointer.into(), kind: Kind::Text };
        Descriptor {
            name: "country-code".into(),
            version: "1.0.0-rc.1".into(),
            summary: String::new(),
            event_types: vec!["purchase".into()],
            reads: vec![field("/properties/country"), field("/identifiers/email"), field("/id")],
            writes: vec![field("/properties/a/b~1c"), field("/traits/country_code")],
            config_schema: r#"{"type":"object"}"#.into(),
            secrets: vec![],
            hosts: vec![],
            tables: vec!["vat".into()],
        }
    }

    #[test]
    fn a_good_descriptor_has_no_problems() {
        assert_eq!(good().problems(World::Transformer), Vec::<String>::new());
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let mut bad = good();
        bad.name = "Country Code".into();
        bad.version = "1.0".into();
        bad.writes[0].pointer = "/id".into();
        bad.writes[1].pointer = "/traits/$add".into();
        bad.reads[1].pointer = "properties".into();
        bad.reads[2].pointer = "/a~2".into();
        bad.event_types.push("purchase".into());
        bad.config_schema = "[]".into();
        bad.hosts.push("https://example.com".into());
        assert_eq!(bad.problems(World::Transformer).len(), 9, "{:#?}", bad.problems(World::Transformer));
    }

    #[test]
    fn a_connector_sees_no_events_and_names_plain_hosts() {
        let mut connector = Descriptor {
            event_types: vec![],
            reads: vec![],
            writes: vec![],
            tables: vec![],
            secrets: vec!["token".into()],
            hosts: vec!["https://api.example.com:8443".into()],
            ..good()
        };
        assert_eq!(connector.problems(World::ConnectorPlan), Vec::<String>::new());
        assert_eq!(connector.problems(World::Transformer).len(), 2);
        for host in ["http://api.example.com", "https://API.example.com", "https://a/b", "api.example.com"] {
            connector.hosts = vec![host.into()];
            assert_eq!(connector.problems(World::ConnectorIo).len(), 1, "{host}");
        }
        connector.reads = good().reads;
        assert_eq!(connector.problems(World::ConnectorIo).len(), 2);
    }

    #[test]
    fn a_deriver_writes_nothing() {
        let mut deriver = good();
        assert_eq!(deriver.problems(World::Deriver).len(), 1);
        deriver.writes.clear();
        assert_eq!(deriver.problems(World::Deriver), Vec::<String>::new());
    }

    #[test]
    fn requests_read_back_from_json() {
        let requests = good().requests();
        let text = serde_json::to_string(&requests).unwrap();
        assert!(text.contains(r#"{"type":"read","pointer":"/properties/country","kind":"text"}"#), "{text}");
        assert_eq!(serde_json::from_str::<Vec<Request>>(&text).unwrap(), requests);
    }
}
