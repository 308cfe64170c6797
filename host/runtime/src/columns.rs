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

    /// The columns of these rows, whose types are all wanted: of as many as take at most `bytes_max`, roughly, and of one at
    /// least. One row after the other, for an event is in many places of memory.
    pub(crate) fn batch<'r>(
        &self,
        rows: impl ExactSizeIterator<Item = &'r Row<'r>>,
        grants: &Grants,
        bytes_max: usize,
    ) -> Batch {
        let count = rows.len();
        let mut fields: Vec<Filling<'_>> =
            self.reads.iter().map(|read| Filling::new(read, grants.reads(&read.pointer), count)).collect();
        let fixed = fields.len() * CELL_BYTES + ROW_BYTES;
        let mut types = Types { known: &self.event_types, found: Vec::new(), last: 0 };
        let (mut numbers, mut occurred_at, mut received_at) =
            (Vec::with_capacity(count), Vec::with_capacity(count), Vec::with_capacity(count));
        let mut bytes = 0_usize;
        for (at, row) in rows.enumerate() {
            let texts = fields.iter_mut().map(|field| field.put(row.event, at)).sum::<usize>();
            bytes = bytes.saturating_add(fixed + texts);
            if bytes > bytes_max && at > 0 {
                fields.iter_mut().for_each(Filling::take_back);
                break;
            }
            numbers.push(types.number(&row.event.kind));
            occurred_at.push(row.event.time.0);
            received_at.push(row.received_at.0);
        }
        Batch {
            rows: u32::try_from(numbers.len()).expect("a run has at most ROWS_MAX rows"),
            event_type: numbers,
            types: types.found,
            occurred_at,
            received_at,
            fields: fields.into_iter().map(|field| field.column).collect(),
        }
    }
}

/// The types of a batch, in order of appearance where the plugin declared none.
struct Types<'p> {
    known: &'p [String],
    found: Vec<String>,
    last: usize,
}

impl Types<'_> {
    fn number(&mut self, kind: &str) -> u32 {
        // It is wanted, and there is only one.
        if self.known.len() == 1 {
            return 0;
        }
        let known = if self.known.is_empty() { &self.found } else { self.known };
        // Neighbours are mostly of one type.
        if known.get(self.last).is_none_or(|at| at != kind) {
            self.last = known.iter().position(|at| at == kind).unwrap_or_else(|| {
                self.found.push(kind.to_owned());
                self.found.len() - 1
            });
        }
        u32::try_from(self.last).expect("fewer types than rows")
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

/// A column that is being filled, a cell at a time.
struct Filling<'p> {
    read: &'p Read,
    granted: bool,
    /// Where the field was in the event before.
    near: usize,
    column: Column,
}

impl<'p> Filling<'p> {
    fn new(read: &'p Read, granted: bool, rows: usize) -> Self {
        let cells = match read.kind {
            Kind::Text | Kind::Decimal | Kind::Json => {
                Cells::Texts(TextList { ends: Vec::with_capacity(rows), data: Vec::with_capacity(rows * 12) })
            }
            Kind::Integer => Cells::Integers(Vec::with_capacity(rows)),
            Kind::Number => Cells::Numbers(Vec::with_capacity(rows)),
            Kind::Boolean => Cells::Booleans(Vec::with_capacity(rows)),
        };
        Self { read, granted, near: 0, column: Column { presence: Vec::new(), cells } }
    }

    /// The cell of the next event, which has this position; gives the bytes of its text, if it has one.
    fn put(&mut self, event: &Event, at: usize) -> usize {
        let Column { presence, cells } = &mut self.column;
        let found = if self.granted { self.read.find(event, &mut self.near) } else { None };
        let state = match &found {
            None => Presence::Absent,
            Some(Found::Text(text)) => self.read.text(text, cells),
            Some(Found::Value(value)) => self.read.value(value, cells),
        };
        if state != Presence::Present {
            presence.resize(at, Presence::Present);
            cells.skip();
        }
        if state != Presence::Present || !presence.is_empty() {
            presence.push(state);
        }
        let Cells::Texts(list) = cells else { return 0 };
        let start = list.ends.last().copied().unwrap_or(0);
        list.ends.push(u32::try_from(list.data.len()).unwrap_or(u32::MAX));
        list.data.len() - start as usize
    }

    /// Takes the last cell out again, as if it had never been put in.
    fn take_back(&mut self) {
        let presence = &mut self.column.presence;
        presence.pop();
        if presence.iter().all(|&state| state == Presence::Present) {
            presence.clear();
        }
        match &mut self.column.cells {
            Cells::Texts(list) => {
                list.ends.pop();
                list.data.truncate(list.ends.last().copied().unwrap_or(0) as usize);
            }
            Cells::Integers(list) => _ = list.pop(),
            Cells::Numbers(list) => _ = list.pop(),
            Cells::Booleans(list) => _ = list.pop(),
        }
    }
}

impl Read {
    /// `near` is for the next event of a batch.
    #[inline]
    fn find<'e>(&self, event: &'e Event, near: &mut usize) -> Option<Found<'e>> {
        let value = |value: &'e Value| Found::Value(Cow::Borrowed(value));
        match &self.place {
            Place::Property(name) => event.properties.get_near(name, near).map(value),
            Place::Trait(name) => event.traits.get_near(name, near).map(value),
            Place::Id => Some(Found::Text(&event.id)),
            Place::Source => Some(Found::Text(&event.source)),
            Place::Type => Some(Found::Text(&event.kind)),
            Place::Identifier(kind) => {
                event.identifiers.iter().find(|i| i.kind == *kind).map(|i| Found::Text(&i.value))
            }
            Place::Elsewhere => event.field(&self.pointer).map(Found::Value),
        }
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
    use cdp_domain::time::Timestamp;
    use cdp_domain::value::Object;

    use crate::descriptor::Field;

    const FIELDS: [(&str, Kind); 6] = [
        ("/properties/text", Kind::Text),
        ("/properties/integer", Kind::Integer),
        ("/properties/number", Kind::Number),
        ("/properties/boolean", Kind::Boolean),
        ("/properties/decimal", Kind::Decimal),
        ("/properties/json/inner", Kind::Json),
    ];

    const EVENTS: [(&str, &str); 6] = [
        ("a", r#"{"text":"x","integer":7,"number":0.5,"boolean":true,"decimal":64.20,"json":{"inner":[1]}}"#),
        (
            "a",
            r#"{"text":"longer than most","integer":-1,"number":2,"boolean":false,"decimal":"0.5","json":{"inner":{}}}"#,
        ),
        ("a", "{}"),
        (
            "b",
            r#"{"text":null,"integer":null,"number":null,"boolean":null,"decimal":null,"json":{"inner":null}}"#,
        ),
        ("b", r#"{"text":1,"integer":"1","number":"x","boolean":0,"decimal":"x","json":{"inner":"é"}}"#),
        ("c", r#"{"json":{"inner":[[],"a rather long text, so that it needs a run of its own"]},"text":""}"#),
    ];

    fn plan(event_types: &[&str]) -> Plan {
        let field = |(pointer, kind): (&str, Kind)| Field { pointer: pointer.to_owned(), kind };
        Plan::new(&Descriptor {
            name: "test".to_owned(),
            version: "1.0.0".to_owned(),
            summary: String::new(),
            event_types: event_types.iter().map(|&kind| kind.to_owned()).collect(),
            reads: FIELDS.into_iter().map(field).collect(),
            writes: Vec::new(),
            config_schema: String::new(),
            secrets: Vec::new(),
            hosts: Vec::new(),
            tables: Vec::new(),
        })
    }

    fn events() -> Vec<Event> {
        let event = |(at, (kind, properties)): (i64, &(&str, &str))| Event {
            id: "e".into(),
            source: "shop".into(),
            kind: (*kind).into(),
            time: Timestamp(at),
            identifiers: smallvec::SmallVec::new(),
            properties: match json::parse(properties.as_bytes(), json::Options::default()).unwrap() {
                Value::Object(object) => object,
                other => panic!("{other:?}"),
            },
            traits: Object::default(),
            channels: Vec::new(),
            verified: Vec::new(),
            consents: Vec::new(),
            extra: Object::default(),
        };
        (0..).zip(&EVENTS).map(event).collect()
    }

    /// What a field of an event looks like in a column, told without columns: presence, and the value as text.
    fn seen(event: &Event, pointer: &str, kind: Kind) -> (Presence, String) {
        let absent = |presence| (presence, String::new());
        let Some(value) = event.field(pointer) else { return absent(Presence::Absent) };
        let text = match (value.as_ref(), kind) {
            (Value::Null, _) => return absent(Presence::Null),
            (value, Kind::Json) => json::to_string(value),
            (Value::Text(text), Kind::Text) => text.to_string(),
            (Value::Text(text), Kind::Decimal) => match Number::parse(text) {
                Some(number) => number.to_string(),
                None => return absent(Presence::Mistyped),
            },
            (Value::Number(Number::Int(whole)), Kind::Integer) => whole.to_string(),
            (Value::Number(number), Kind::Number) => number.to_f64().to_string(),
            (Value::Number(number), Kind::Decimal) => number.to_string(),
            (Value::Bool(truth), Kind::Boolean) => truth.to_string(),
            _ => return absent(Presence::Mistyped),
        };
        (Presence::Present, text)
    }

    fn cell(column: &Column, at: usize) -> (Presence, String) {
        let presence = if column.presence.is_empty() { Presence::Present } else { column.presence[at] };
        let text = match &column.cells {
            Cells::Texts(list) => {
                let start = if at == 0 { 0 } else { list.ends[at - 1] as usize };
                String::from_utf8(list.data[start..list.ends[at] as usize].to_vec()).unwrap()
            }
            Cells::Integers(list) => list[at].to_string(),
            Cells::Numbers(list) => list[at].to_string(),
            Cells::Booleans(list) => list[at].to_string(),
        };
        (presence, if presence == Presence::Present { text } else { String::new() })
    }

    fn bytes(event: &Event) -> usize {
        let varying = |kind| matches!(kind, Kind::Text | Kind::Decimal | Kind::Json);
        let texts = FIELDS.iter().filter(|(_, kind)| varying(*kind));
        let texts = texts.map(|(pointer, kind)| seen(event, pointer, *kind).1.len()).sum::<usize>();
        FIELDS.len() * CELL_BYTES + ROW_BYTES + texts
    }

    /// Every sequence of up to three events, and every bound that makes a difference.
    #[test]
    fn a_batch_has_the_cells_of_as_many_events_as_fit() {
        let events = events();
        let plans = [plan(&[]), plan(&["c", "a", "b"])];
        let count = events.len();
        let sequences = (1..=3).flat_map(|length| {
            (0..count.pow(length))
                .map(move |n| (0..length).map(|at| n / count.pow(at) % count).collect::<Vec<_>>())
        });
        for sequence in sequences {
            let rows: Vec<Row<'_>> =
                sequence.iter().map(|&at| Row { event: &events[at], received_at: Timestamp(9) }).collect();
            let mut sums = vec![0];
            sums.extend(rows.iter().scan(0, |sum, row| {
                *sum += bytes(row.event);
                Some(*sum)
            }));
            for (plan, bound) in plans.iter().flat_map(|plan| {
                sums.iter().flat_map(|&sum| [sum, sum.saturating_sub(1)]).map(move |bound| (plan, bound))
            }) {
                let batch = plan.batch(rows.iter(), &Grants::all(), bound);
                let fitting = sums.iter().skip(1).filter(|&&sum| sum <= bound).count().max(1);
                assert_eq!(batch.rows as usize, fitting, "{sequence:?} within {bound}");
                assert_eq!(
                    batch,
                    plan.batch(rows[..fitting].iter(), &Grants::all(), usize::MAX),
                    "{sequence:?}"
                );
                for (at, row) in rows[..fitting].iter().enumerate() {
                    let kind = batch.event_type[at] as usize;
                    let kinds = if plan.event_types.is_empty() { &batch.types } else { &plan.event_types };
                    assert_eq!(kinds[kind], row.event.kind.as_str());
                    assert_eq!((batch.occurred_at[at], batch.received_at[at]), (row.event.time.0, 9));
                    for ((pointer, kind), column) in FIELDS.iter().zip(&batch.fields) {
                        assert_eq!(
                            cell(column, at),
                            seen(row.event, pointer, *kind),
                            "{sequence:?} {pointer}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_field_that_was_not_granted_is_absent_everywhere() {
        let events = events();
        let rows: Vec<Row<'_>> =
            events.iter().map(|event| Row { event, received_at: Timestamp(9) }).collect();
        let batch = plan(&[]).batch(rows.iter(), &Grants::of([]), usize::MAX);
        for column in &batch.fields {
            assert!((0..rows.len()).all(|at| cell(column, at) == (Presence::Absent, String::new())));
        }
    }

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
