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
    #[inline]
    pub fn set_text(&mut self, write: usize, text: &str) {
        self.cell(write, Kind::Text).put_text(text);
    }

    /// Sets a field of kind `decimal`: plain notation without an exponent, such as `64.2`.
    #[inline]
    pub fn set_decimal(&mut self, write: usize, digits: &str) {
        self.cell(write, Kind::Decimal).put_text(digits);
    }

    /// Sets a field of kind `json`, given as JSON text.
    #[inline]
    pub fn set_json(&mut self, write: usize, json: &str) {
        self.cell(write, Kind::Json).put_text(json);
    }

    /// Sets a field of kind `integer`.
    #[inline]
    pub fn set_integer(&mut self, write: usize, integer: i64) {
        match &mut self.cell(write, Kind::Integer).cells {
            Cells::Integers(list) => list.push(integer),
            _ => unreachable!("made for the kind"),
        }
    }

    /// Sets a field of kind `number`, which must be finite.
    #[inline]
    pub fn set_number(&mut self, write: usize, number: f64) {
        match &mut self.cell(write, Kind::Number).cells {
            Cells::Numbers(list) => list.push(number),
            _ => unreachable!("made for the kind"),
        }
    }

    /// Sets a field of kind `boolean`.
    #[inline]
    pub fn set_boolean(&mut self, write: usize, boolean: bool) {
        match &mut self.cell(write, Kind::Boolean).cells {
            Cells::Booleans(list) => list.push(boolean),
            _ => unreachable!("made for the kind"),
        }
    }

    /// Sets a field to JSON null, whatever its kind.
    pub fn set_null(&mut self, write: usize) {
        self.writers[write].without(self.row, Presence::Null);
    }

    /// Removes a field.
    pub fn remove(&mut self, write: usize) {
        self.writers[write].without(self.row, Presence::Absent);
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

    #[inline]
    fn cell(&mut self, write: usize, kind: Kind) -> &mut Writer {
        let writer = &mut self.writers[write];
        if writer.field.kind != kind {
            unfit(&writer.field);
        }
        writer.open(self.row);
        writer
    }
}

/// Kept out of the setters, which are a few instructions without it.
#[cold]
#[inline(never)]
fn unfit(field: &Field) -> ! {
    panic!("{} is declared as {:?}", field.pointer, field.kind);
}

/// The column of one declared write.
pub(crate) struct Writer {
    field: Field,
    rows: Vec<u32>,
    /// Empty while all are present.
    presence: Vec<Presence>,
    cells: Cells,
}

impl Writer {
    /// With room for so many rows.
    pub(crate) fn new(field: Field, rows: usize) -> Self {
        let cells = match field.kind {
            Kind::Text | Kind::Decimal | Kind::Json => Cells::Texts(TextList {
                ends: Vec::with_capacity(rows),
                data: Vec::with_capacity(rows * TEXT_BYTES),
            }),
            Kind::Integer => Cells::Integers(Vec::with_capacity(rows)),
            Kind::Number => Cells::Numbers(Vec::with_capacity(rows)),
            Kind::Boolean => Cells::Booleans(Vec::with_capacity(rows)),
        };
        Self { field, rows: Vec::with_capacity(rows), presence: Vec::new(), cells }
    }

    /// The assignment, if anything was set.
    pub(crate) fn finish(self) -> Option<Assignment> {
        if self.rows.is_empty() {
            return None;
        }
        let values = Column { presence: self.presence, cells: self.cells };
        Some(Assignment { pointer: self.field.pointer.to_owned(), rows: self.rows, values })
    }

    /// The column with a cell for each of so many rows; those that were not set are absent.
    pub(crate) fn finish_all(self, rows: u32) -> Column {
        if self.rows.len() == rows as usize {
            return Column { presence: self.presence, cells: self.cells };
        }
        let (mut full, mut set) = (Self::new(self.field, rows as usize), 0);
        for row in 0..rows {
            if self.rows.get(set) != Some(&row) {
                full.without(row, Presence::Absent);
                continue;
            }
            match self.presence.get(set).copied().unwrap_or(Presence::Present) {
                Presence::Present => {
                    full.open(row);
                    full.copy(&self.cells, set);
                }
                missing => full.without(row, missing),
            }
            set += 1;
        }
        Column { presence: full.presence, cells: full.cells }
    }

    fn copy(&mut self, from: &Cells, at: usize) {
        match (&mut self.cells, from) {
            (Cells::Texts(to), Cells::Texts(from)) => {
                let start = if at == 0 { 0 } else { from.ends[at - 1] as usize };
                to.data.extend_from_slice(&from.data[start..from.ends[at] as usize]);
                to.ends.push(end(&to.data));
            }
            (Cells::Integers(to), Cells::Integers(from)) => to.push(from[at]),
            (Cells::Numbers(to), Cells::Numbers(from)) => to.push(from[at]),
            (Cells::Booleans(to), Cells::Booleans(from)) => to.push(from[at]),
            _ => unreachable!("both are of the declared kind"),
        }
    }

    /// Starts a cell for a row, which is present; takes an earlier one of the same row back.
    #[inline]
    fn open(&mut self, row: u32) {
        if self.rows.last() == Some(&row) {
            self.take_back();
        }
        self.rows.push(row);
        if !self.presence.is_empty() {
            self.presence.push(Presence::Present);
        }
    }

    #[cold]
    #[inline(never)]
    fn take_back(&mut self) {
        self.rows.pop();
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
    }

    #[inline]
    fn put_text(&mut self, text: &str) {
        let Cells::Texts(list) = &mut self.cells else { unreachable!("made for the kind") };
        list.data.extend_from_slice(text.as_bytes());
        list.ends.push(end(&list.data));
    }

    /// A cell for a row, without a value.
    fn without(&mut self, row: u32, presence: Presence) {
        self.open(row);
        self.presence.resize(self.rows.len(), Presence::Present);
        *self.presence.last_mut().expect("of this row") = presence;
        match &mut self.cells {
            Cells::Texts(list) => list.ends.push(end(&list.data)),
            Cells::Integers(list) => list.push(0),
            Cells::Numbers(list) => list.push(0.0),
            Cells::Booleans(list) => list.push(false),
        }
    }
}

/// Bytes of a text, about: room for more is made when it is needed.
const TEXT_BYTES: usize = 8;

#[inline]
fn end(data: &[u8]) -> u32 {
    u32::try_from(data.len()).expect("less than 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: Field = crate::field("/properties/text", Kind::Text);
    const WHOLE: Field = crate::field("/properties/whole", Kind::Integer);

    /// Rows 0, 2, 3 and 5 of six: a value, null, a value that takes another back, nothing.
    fn written() -> [Writer; 2] {
        let mut writers = [Writer::new(TEXT, 6), Writer::new(WHOLE, 6)];
        let mut children = Vec::new();
        let mut patch = |row: u32, what: fn(&mut Patch<'_>)| {
            what(&mut Patch { row, writers: &mut writers, children: &mut children });
        };
        patch(0, |it| {
            it.set_text(0, "first");
            it.set_integer(1, 1);
        });
        patch(2, |it| {
            it.set_null(0);
            it.set_null(1);
        });
        patch(3, |it| {
            it.set_text(0, "taken back");
            it.remove(0);
            it.set_text(0, "é");
            it.set_null(1);
            it.set_integer(1, 3);
        });
        patch(5, |it| {
            it.remove(0);
            it.remove(1);
        });
        writers
    }

    fn shown(column: &Column, rows: usize) -> Vec<String> {
        let presence = |at: usize| column.presence.get(at).copied().unwrap_or(Presence::Present);
        let value = |at: usize| match &column.cells {
            Cells::Texts(list) => {
                let start = if at == 0 { 0 } else { list.ends[at - 1] as usize };
                String::from_utf8(list.data[start..list.ends[at] as usize].to_vec()).unwrap()
            }
            Cells::Integers(list) => list[at].to_string(),
            other => panic!("{other:?}"),
        };
        assert!(column.presence.is_empty() || column.presence.len() == rows);
        (0..rows)
            .map(|at| match presence(at) {
                Presence::Present => value(at),
                missing => format!("{missing:?}"),
            })
            .collect()
    }

    #[test]
    fn of_two_writes_to_a_field_the_later_stays_whatever_either_was() {
        let [text, whole] = written().map(|writer| writer.finish().unwrap());
        assert_eq!((&text.rows, &whole.rows), (&vec![0, 2, 3, 5], &vec![0, 2, 3, 5]));
        assert_eq!(shown(&text.values, 4), ["first", "Presence::Null", "é", "Presence::Absent"]);
        assert_eq!(shown(&whole.values, 4), ["1", "Presence::Null", "3", "Presence::Absent"]);
    }

    #[test]
    fn a_full_column_is_absent_where_nothing_was_set() {
        let [text, whole] = written().map(|writer| writer.finish_all(6));
        let missing = ["Presence::Absent", "Presence::Null", "Presence::Absent"];
        assert_eq!(shown(&text, 6), ["first", missing[0], missing[1], "é", missing[2], missing[0]]);
        assert_eq!(shown(&whole, 6), ["1", missing[0], missing[1], "3", missing[2], missing[0]]);
    }

    #[test]
    fn where_all_are_present_nothing_is_said_of_it() {
        let mut writers = [Writer::new(WHOLE, 2)];
        for row in 0..2 {
            Patch { row, writers: &mut writers, children: &mut Vec::new() }.set_integer(0, 7);
        }
        let [whole] = writers.map(|writer| writer.finish_all(2));
        assert!(whole.presence.is_empty());
        assert_eq!(shown(&whole, 2), ["7", "7"]);
    }

    #[test]
    #[should_panic(expected = "/properties/text is declared as Kind::Text")]
    fn a_setter_that_does_not_fit_the_kind_is_a_mistake_in_the_plugin() {
        Patch { row: 0, writers: &mut [Writer::new(TEXT, 1)], children: &mut Vec::new() }.set_integer(0, 1);
    }
}
