//! Events to columns: what a plugin declared and was granted, and nothing else.

use std::borrow::Cow;
use std::io::Write as _;

use cdp_domain::event::Event;
use cdp_domain::json;
use cdp_domain::value::{Number, Value};
use compact_str::CompactString;

use crate::bindings::{Batch, Cells, Column, Presence, TextList};
use crate::descriptor::{Descriptor, Kind};
use crate::grants::Grants;
use crate::transformer::Row;

/// What a cell takes besides its text.
const CELL_BYTES: usize = 8;
/// What a row takes besides its cells: its type and two times.
const ROW_BYTES: usize = 20;

/// Bytes of a value as JSON text, roughly.
fn size_of_value(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len() + 2,
        Value::List(items) => items.iter().map(|item| size_of_value(item) + 1).sum::<usize>() + 2,
        Value::Object(object) => {
            object.iter().map(|(name, value)| name.len() + size_of_value(value) + 4).sum::<usize>() + 2
        }
        Value::Number(_) | Value::Bool(_) | Value::Null => 8,
    }
}

/// How to fill the columns of one plugin; made once, used for each batch.
#[derive(Debug)]
pub(crate) struct Plan {
    event_types: Vec<String>,
    reads: Vec<Read>,
}

#[derive(Debug)]
struct Read {
    pointer: String,
    place: Place,
    kind: Kind,
}

/// Where a pointer leads. The common places are found without taking the pointer apart for each event.
#[derive(Debug)]
enum Place {
    Id,
    Source,
    Type,
    Identifier(CompactString),
    Property(CompactString),
    Trait(CompactString),
    Elsewhere,
}

impl Plan {
    pub(crate) fn new(descriptor: &Descriptor) -> Self {
        let reads = descriptor
            .reads
            .iter()
            .map(|field| Read {
                place: Place::of(&field.pointer),
                pointer: field.pointer.clone(),
                kind: field.kind,
            })
            .collect();
        Self { event_types: descriptor.event_types.clone(), reads }
    }

    /// Whether the plugin wants events of this type.
    pub(crate) fn wants(&self, kind: &str) -> bool {
        self.event_types.is_empty() || self.event_types.iter().any(|wanted| wanted == kind)
    }

    /// Bytes that the fields of each of these rows take in columns, roughly, in their order.
    pub(crate) fn bytes<'r>(
        &'r self,
        rows: impl Iterator<Item = &'r Row<'r>>,
    ) -> impl Iterator<Item = usize> {
        let size = |found: Found<'_>| match found {
            Found::Text(text) => text.len(),
            Found::Value(value) => size_of_value(&value),
        };
        // What has a size of its own is not looked for.
        let fixed = self.reads.len() * CELL_BYTES + ROW_BYTES;
        let varying: Vec<&Read> = self.reads.iter().filter(|read| read.kind.varies()).collect();
        let mut near = vec![0; varying.len()];
        rows.map(move |row| {
            let fields = varying.iter().zip(&mut near);
            fixed + fields.map(|(read, near)| read.find(row.event, near).map_or(0, size)).sum::<usize>()
        })
    }

    /// The columns of these rows, whose types are all wanted.
    pub(crate) fn batch(&self, rows: &[&Row<'_>], grants: &Grants) -> Batch {
        let (event_type, types) = self.types(rows);
        Batch {
            rows: u32::try_from(rows.len()).expect("a run has at most ROWS_MAX rows"),
            event_type,
            types,
            occurred_at: rows.iter().map(|row| row.event.time.0).collect(),
            received_at: rows.iter().map(|row| row.received_at.0).collect(),
            fields: self.reads.iter().map(|read| read.column(rows, grants.reads(&read.pointer))).collect(),
        }
    }

    fn types(&self, rows: &[&Row<'_>]) -> (Vec<u32>, Vec<String>) {
        let mut found: Vec<String> = Vec::new();
        let mut numbers = Vec::with_capacity(rows.len());
        let mut last = 0;
        for row in rows {
            let kind = row.event.kind.as_str();
            let known = if self.event_types.is_empty() { &found } else { &self.event_types };
            // Neighbours are mostly of one type.
            if known.get(last).is_none_or(|at| at != kind) {
                last = known.iter().position(|at| at == kind).unwrap_or_else(|| {
                    found.push(kind.to_owned());
                    found.len() - 1
                });
            }
            numbers.push(u32::try_from(last).expect("fewer types than rows"));
        }
        (numbers, found)
    }
}

impl Place {
    fn of(pointer: &str) -> Self {
        let plain = |name: &str| (!name.contains(['/', '~'])).then(|| CompactString::from(name));
        match pointer {
            "/id" => return Self::Id,
            "/source" => return Self::Source,
            "/type" => return Self::Type,
            _ => {}
        }
        if let Some(name) = pointer.strip_prefix("/properties/").and_then(plain) {
            return Self::Property(name);
        }
        if let Some(name) = pointer.strip_prefix("/traits/").and_then(plain) {
            return Self::Trait(name);
        }
        match pointer.strip_prefix("/identifiers/").and_then(plain) {
            Some(kind) => Self::Identifier(kind),
            None => Self::Elsewhere,
        }
    }
}

/// What stands in an event at some place, without a copy where possible.
enum Found<'e> {
    Text(&'e str),
    Value(Cow<'e, Value>),
}

impl Read {
    /// `near` is for the next event of a batch.
    fn find<'e>(&self, event: &'e Event, near: &mut usize) -> Option<Found<'e>> {
        let value = |value: &'e Value| Found::Value(Cow::Borrowed(value));
        match &self.place {
            Place::Id => Some(Found::Text(&event.id)),
            Place::Source => Some(Found::Text(&event.source)),
            Place::Type => Some(Found::Text(&event.kind)),
            Place::Identifier(kind) => {
                event.identifiers.iter().find(|i| i.kind == *kind).map(|i| Found::Text(&i.value))
            }
            Place::Property(name) => event.properties.get_near(name, near).map(value),
            Place::Trait(name) => event.traits.get_near(name, near).map(value),
            Place::Elsewhere => event.field(&self.pointer).map(Found::Value),
        }
    }

    fn column(&self, rows: &[&Row<'_>], granted: bool) -> Column {
        let mut cells = match self.kind {
            Kind::Text | Kind::Decimal | Kind::Json => Cells::Texts(TextList {
                ends: Vec::with_capacity(rows.len()),
                data: Vec::with_capacity(rows.len() * 12),
            }),
            Kind::Integer => Cells::Integers(Vec::with_capacity(rows.len())),
            Kind::Number => Cells::Numbers(Vec::with_capacity(rows.len())),
            Kind::Boolean => Cells::Booleans(Vec::with_capacity(rows.len())),
        };
        let (mut presence, mut near) = (Vec::new(), 0);
        for (at, row) in rows.iter().enumerate() {
            let found = if granted { self.find(row.event, &mut near) } else { None };
            let state = match &found {
                None => Presence::Absent,
                Some(Found::Text(text)) => self.text(text, &mut cells),
                Some(Found::Value(value)) => self.value(value, &mut cells),
            };
            if state != Presence::Present {
                if presence.is_empty() {
                    presence = vec![Presence::Present; rows.len()];
                }
                presence[at] = state;
                cells.skip();
            }
            if let Cells::Texts(list) = &mut cells {
                list.ends.push(u32::try_from(list.data.len()).unwrap_or(u32::MAX));
            }
        }
        Column { presence, cells }
    }

    fn text(&self, text: &str, cells: &mut Cells) -> Presence {
        let Cells::Texts(list) = cells else { return Presence::Mistyped };
        match self.kind {
            Kind::Text => list.data.extend_from_slice(text.as_bytes()),
            Kind::Json => list.data.extend_from_slice(json::to_string(&Value::from(text)).as_bytes()),
            _ if is_plain(text) => list.data.extend_from_slice(text.as_bytes()),
            _ => match Number::parse(text) {
                Some(number) => return decimal(&number, list),
                None => return Presence::Mistyped,
            },
        }
        Presence::Present
    }

    fn value(&self, value: &Value, cells: &mut Cells) -> Presence {
        match (value, cells) {
            (Value::Null, _) => return Presence::Null,
            (value, Cells::Texts(list)) if self.kind == Kind::Json => {
                list.data.extend_from_slice(json::to_string(value).as_bytes());
            }
            (Value::Text(text), cells) => return self.text(text, cells),
            (Value::Number(number), Cells::Texts(list)) if self.kind == Kind::Decimal => {
                return decimal(number, list);
            }
            (Value::Number(Number::Int(whole)), Cells::Integers(list)) => list.push(*whole),
            (Value::Number(number), Cells::Numbers(list)) => {
                let number = number.to_f64();
                if !number.is_finite() {
                    return Presence::Mistyped;
                }
                list.push(number);
            }
            (Value::Bool(truth), Cells::Booleans(list)) => list.push(*truth),
            _ => return Presence::Mistyped,
        }
        Presence::Present
    }
}

/// Digits of a text that is taken for a decimal as it stands, at most: far from where numbers change their form.
const PLAIN_BYTES_MAX: usize = 18;

/// Whether a text is what the number it spells looks like in plain notation. Money mostly does, and is then not taken apart.
fn is_plain(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) =
        digits.split_once('.').map_or((digits, None), |(whole, rest)| (whole, Some(rest)));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= PLAIN_BYTES_MAX
        && all_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(|fraction| all_digits(fraction) && !fraction.ends_with('0'))
        && text != "-0"
}

/// Plain notation; what has none of sensible length is no decimal.
fn decimal(number: &Number, list: &mut TextList) -> Presence {
    if let Number::Int(_) | Number::Decimal(_) = number {
        write!(list.data, "{number}").expect("a vector takes what it is given");
        return Presence::Present;
    }
    let text = number.plain();
    if text.contains('e') {
        return Presence::Mistyped;
    }
    list.data.extend_from_slice(text.as_bytes());
    Presence::Present
}

impl Kind {
    /// Whether values of this kind take more or fewer bytes.
    fn varies(self) -> bool {
        match self {
            Self::Text | Self::Decimal | Self::Json => true,
            Self::Integer | Self::Number | Self::Boolean => false,
        }
    }
}

impl Cells {
    /// Keeps positions in step for a cell without a value. Texts keep step by their ends.
    fn skip(&mut self) {
        match self {
            Self::Texts(_) => {}
            Self::Integers(list) => list.push(0),
            Self::Numbers(list) => list.push(0.0),
            Self::Booleans(list) => list.push(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_as_it_stands_only_when_its_number_looks_the_same() {
        let spellings = [
            "0",
            "-0",
            "00",
            "0.0",
            "0.5",
            "-0.5",
            "5.",
            ".5",
            "64.2",
            "64.20",
            "-64.2",
            "007",
            "1e3",
            "+1",
            "",
            "-",
            "1.2.3",
            "1 ",
            "99999999999999999",
            "-9999999999999999",
            "0.00000000000001",
            "123456789012345678",
            "999999999999999999999",
        ];
        for text in spellings {
            let plain = Number::parse(text).map(|number| number.plain().to_string());
            assert!(!is_plain(text) || plain.as_deref() == Some(text), "{text}: {plain:?}");
        }
        assert!(["0", "64.2", "-0.5", "1000"].into_iter().all(is_plain));
    }
}
