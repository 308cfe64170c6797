//! What a plugin is and needs.

use crate::Kind;
use crate::bindings::exports::cdp::plugin::metadata;

/// A field of an event by its JSON pointer, and the kind of value expected or set there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Such as `/properties/total`, `/identifiers/email`, `/traits/city` or `/id`.
    pub pointer: &'static str,
    /// What it is taken for.
    pub kind: Kind,
}

/// A field.
#[must_use]
pub const fn field(pointer: &'static str, kind: Kind) -> Field {
    Field { pointer, kind }
}

/// What a plugin is and needs. Write what matters and take the rest from [`Descriptor::EMPTY`].
#[derive(Debug, Clone, Copy)]
pub struct Descriptor {
    /// 1 to 64 of `a-z`, `0-9` and `-`.
    pub name: &'static str,
    /// A semantic version.
    pub version: &'static str,
    /// A sentence for people.
    pub summary: &'static str,
    /// Event types wanted; empty means all.
    pub event_types: &'static [&'static str],
    /// What it sees of an event.
    pub reads: &'static [Field],
    /// What it may set or remove: `/properties/…` or `/traits/NAME`.
    pub writes: &'static [Field],
    /// JSON Schema of the configuration; empty when there is none.
    pub config_schema: &'static str,
    /// Lookup tables it wants to read.
    pub tables: &'static [&'static str],
    /// Of connectors: secrets that requests name.
    pub secrets: &'static [&'static str],
    /// Of connectors: where requests go, such as `https://api.example.com`.
    pub hosts: &'static [&'static str],
}

impl Descriptor {
    /// Nothing at all; not valid without a name and a version.
    pub const EMPTY: Self = Self {
        name: "",
        version: "",
        summary: "",
        event_types: &[],
        reads: &[],
        writes: &[],
        config_schema: "",
        tables: &[],
        secrets: &[],
        hosts: &[],
    };
}

impl From<Descriptor> for metadata::Descriptor {
    fn from(descriptor: Descriptor) -> Self {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        let fields = |fields: &[Field]| {
            fields
                .iter()
                .map(|field| metadata::Field { pointer: field.pointer.to_owned(), kind: field.kind })
                .collect()
        };
        Self {
            name: descriptor.name.to_owned(),
            version: descriptor.version.to_owned(),
            summary: descriptor.summary.to_owned(),
            event_types: texts(descriptor.event_types),
            reads: fields(descriptor.reads),
            writes: fields(descriptor.writes),
            config_schema: descriptor.config_schema.to_owned(),
            secrets: texts(descriptor.secrets),
            hosts: texts(descriptor.hosts),
            tables: texts(descriptor.tables),
        }
    }
}
