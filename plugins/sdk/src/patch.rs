//! What a plugin decides about a row, gathered into the columns of the answer.

use crate::bindings::cdp::plugin::types::{Cells, Column, TextList};
use crate::bindings_transform::exports::cdp::plugin::transform::{Assignment, NewEvent};
use crate::{Field, Kind, Presence};

/// What becomes of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It stays, with what the patch says.
    Keep,
    /// It goes no further, for this reason.
    Drop(String),
    /// It will never work: to the dead letters, with this reason.
    Reject(String),
    /// Try again, not before so many milliseconds.
    Retry(Option<u32>),
    /// The configuration is wrong: the host stops calling the plugin and tells its owner.
    Misconfigured(String),
}

/// Takes what is to be changed on one row; fields are named by their position in `writes`. Of two writes to one field
/// the later stays.
///
/// # Panics
/// The setters panic when a position is beyond `writes` or the setter does not fit the declared kind: a mistake in the
/// plugin, which its first test shows.
pub struct Patch<'a> {
    pub(crate) row: u32,
    pub(crate) writers: &'a mut [Writer],
    pub(crate) children: &'a mut Vec<NewEvent>,
}

impl Patch<'_> {
    /// Sets a field of kind `text`.
    pub fn set_text(&mut self, write: usize, text: &str) {
        self.cell(write, Kind::Text, Presence::Present).texts().extend_from_slice(text.as_bytes());
        self.writers[write].end();
    }

    /// Sets a field of kind `decimal`: plain notation without an exponent, such as `64.2`.
    pub fn set_decimal(&mut self, write: usize, digits: &str) {
        self.cell(write, Kind::Decimal, Presence::Present).texts().extend_from_slice(digits.as_bytes());
        self.writers[write].end();
    }

    /// Sets a field of kind `json`, given as JSON text.
    pub fn set_json(&mut self, write: usize, json: &str) {
        self.cell(write, Kind::Json, Presence::Present).texts().extend_from_slice(json.as_bytes());
        self.writers[write].end();
    }

    /// Sets a field of kind `integer`.
    pub fn set_integer(&mut self, write: usize, integer: i64) {
        match &mut self.cell(write, Kind::Integer, Presence::Present).cells {
            Cells::Integers(list) => list.push(integer),
            _ => unreachable!("made for the kind"),
        }
    }

    /// Sets a field of kind `number`, which must be finite.
    pub fn set_number(&mut self, write: usize, number: f64) {
        match &mut self.cell(write, Kind::Number, Presence::Present).cells {
            Cells::Numbers(list) => list.push(number),
            _ => unreachable!("made for the kind"),
        }
    }

    /// Sets a field of kind `boolean`.
    pub fn set_boolean(&mut self, write: usize, boolean: bool) {
        match &mut self.cell(write, Kind::Boolean, Presence::Present).cells {
            Cells::Booleans(list) => list.push(boolean),
            _ => unreachable!("made for the kind"),
        }
    }

    /// Sets a field to JSON null, whatever its kind.
    pub fn set_null(&mut self, write: usize) {
        let kind = self.writers[write].field.kind;
        self.cell(write, kind, Presence::Null).skip();
    }

    /// Removes a field.
    pub fn remove(&mut self, write: usize) {
        let kind = self.writers[write].field.kind;
        self.cell(write, kind, Presence::Absent).skip();
    }

    /// Bears a new event of the same person. `document` is a JSON object with `properties` and `traits`, both optional.
    pub fn bear(&mut self, event_type: &str, occurred_at: i64, document: &str) {
        self.children.push(NewEvent {
            row: self.row,
            event_type: event_type.to_owned(),
            occurred_at,
            document: document.to_owned(),
        });
    }

    fn cell(&mut self, write: usize, kind: Kind, presence: Presence) -> &mut Writer {
        let writer = &mut self.writers[write];
        assert!(writer.field.kind == kind, "{} is declared as {:?}", writer.field.pointer, writer.field.kind);
        writer.open(self.row, presence);
        writer
    }
}

/// The column of one declared write.
pub(crate) struct Writer {
    field: Field,
    rows: Vec<u32>,
    presence: Vec<Presence>,
    cells: Cells,
}

impl Writer {
    pub(crate) fn new(field: Field) -> Self {
        let cells = match field.kind {
            Kind::Text | Kind::Decimal | Kind::Json => {
                Cells::Texts(TextList { ends: Vec::new(), data: Vec::new() })
            }
            Kind::Integer => Cells::Integers(Vec::new()),
            Kind::Number => Cells::Numbers(Vec::new()),
            Kind::Boolean => Cells::Booleans(Vec::new()),
        };
        Self { field, rows: Vec::new(), presence: Vec::new(), cells }
    }

    /// The assignment, if anything was set.
    pub(crate) fn finish(self) -> Option<Assignment> {
        if self.rows.is_empty() {
            return None;
        }
        let all = self.presence.iter().all(|&presence| presence == Presence::Present);
        let presence = if all { Vec::new() } else { self.presence };
        let values = Column { presence, cells: self.cells };
        Some(Assignment { pointer: self.field.pointer.to_owned(), rows: self.rows, values })
    }

    /// The column with a cell for each of so many rows; those that were not set are absent.
    pub(crate) fn finish_all(self, rows: u32) -> Column {
        if self.rows.len() == rows as usize {
            return Column { presence: self.presence, cells: self.cells };
        }
        let (mut full, mut set) = (Self::new(self.field), 0);
        for row in 0..rows {
            let given = self.rows.get(set) == Some(&row);
            full.open(row, if given { self.presence[set] } else { Presence::Absent });
            if given {
                full.copy(&self.cells, set);
                set += 1;
            } else {
                full.skip();
            }
        }
        Column { presence: full.presence, cells: full.cells }
    }

    fn copy(&mut self, from: &Cells, at: usize) {
        match (&mut self.cells, from) {
            (Cells::Texts(to), Cells::Texts(from)) => {
                let start = if at == 0 { 0 } else { from.ends[at - 1] as usize };
                to.data.extend_from_slice(&from.data[start..from.ends[at] as usize]);
                self.end();
            }
            (Cells::Integers(to), Cells::Integers(from)) => to.push(from[at]),
            (Cells::Numbers(to), Cells::Numbers(from)) => to.push(from[at]),
            (Cells::Booleans(to), Cells::Booleans(from)) => to.push(from[at]),
            _ => unreachable!("both are of the declared kind"),
        }
    }

    /// Starts a cell for a row; takes an earlier one of the same row back.
    fn open(&mut self, row: u32, presence: Presence) {
        if self.rows.last() == Some(&row) {
            self.presence.pop();
            match &mut self.cells {
                Cells::Texts(list) => {
                    list.ends.pop();
                    list.data.truncate(list.ends.last().copied().unwrap_or(0) as usize);
                }
                Cells::Integers(list) => _ = list.pop(),
                Cells::Numbers(list) => _ = list.pop(),
                Cells::Booleans(list) => _ = list.pop(),
            }
        } else {
            self.rows.push(row);
        }
        self.presence.push(presence);
    }

    fn texts(&mut self) -> &mut Vec<u8> {
        match &mut self.cells {
            Cells::Texts(list) => &mut list.data,
            _ => unreachable!("made for the kind"),
        }
    }

    fn end(&mut self) {
        if let Cells::Texts(list) = &mut self.cells {
            list.ends.push(u32::try_from(list.data.len()).expect("less than 4 GiB"));
        }
    }

    fn skip(&mut self) {
        match &mut self.cells {
            Cells::Texts(_) => self.end(),
            Cells::Integers(list) => list.push(0),
            Cells::Numbers(list) => list.push(0.0),
            Cells::Booleans(list) => list.push(false),
        }
    }
}
