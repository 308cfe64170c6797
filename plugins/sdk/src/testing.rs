//! The host's part, played natively: a plugin is unit-tested without a server and without WebAssembly.
//!
//! Log lines and tables belong to the thread that runs the test.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::adapter;
use crate::bindings::cdp::plugin::types::{Batch, Cells, Column, Failure, TextList};
use crate::bindings_transform::exports::cdp::plugin::transform::{self, Outcome};
use crate::log::Level;
use crate::{Deriver, Descriptor, Field, Kind, Presence, Transformer};

mod derived;

pub use derived::{Derived, derive};

/// A value in an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// A string; also a decimal, as digits, and JSON, as text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// Null.
    Null,
    /// Something of another kind than the plugin declared.
    Mistyped,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Cell {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}

impl From<f64> for Cell {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Cell {
    fn from(boolean: bool) -> Self {
        Self::Boolean(boolean)
    }
}

/// An event as a test describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct TestRow {
    event_type: String,
    occurred_at: i64,
    received_at: i64,
    cells: BTreeMap<String, Cell>,
}

impl TestRow {
    /// An event of a type, at 2025-01-01T00:00:00Z, received a second later, without fields.
    #[must_use]
    pub fn new(event_type: &str) -> Self {
        let occurred_at = 1_735_689_600_000;
        let received_at = occurred_at + 1_000;
        Self { event_type: event_type.to_owned(), occurred_at, received_at, cells: BTreeMap::new() }
    }

    /// The same event at another time, in milliseconds since 1970.
    #[must_use]
    pub fn at(mut self, occurred_at: i64) -> Self {
        self.occurred_at = occurred_at;
        self.received_at = occurred_at + 1_000;
        self
    }

    /// The same event with a field at a JSON pointer. A value of another kind than declared arrives as mistyped.
    #[must_use]
    pub fn with(mut self, pointer: &str, cell: impl Into<Cell>) -> Self {
        self.cells.insert(pointer.to_owned(), cell.into());
        self
    }
}

/// What a plugin decided about a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It stays.
    Kept {
        /// Pointer and new value, in the order of the declared writes; None removes.
        changes: Vec<(String, Option<Cell>)>,
        /// Type, time and document of each new event.
        children: Vec<(String, i64, String)>,
    },
    /// It goes no further.
    Dropped(String),
    /// To the dead letters.
    Rejected(String),
    /// Try again.
    Retry(Option<u32>),
    /// The configuration is wrong.
    Misconfigured(String),
}

impl Answer {
    /// A row that is kept with these values set, and bears nothing.
    #[must_use]
    pub fn kept<C: Into<Cell>, const N: usize>(changes: [(&str, C); N]) -> Self {
        let changes = changes.into_iter().map(|(at, cell)| (at.to_owned(), Some(cell.into()))).collect();
        Self::Kept { changes, children: Vec::new() }
    }

    /// A row that is kept as it is.
    #[must_use]
    pub fn untouched() -> Self {
        Self::Kept { changes: Vec::new(), children: Vec::new() }
    }
}

/// Runs a plugin over rows, as one batch and again each row alone.
///
/// Rows of types that the plugin does not want are kept untouched, as the host does.
///
/// # Panics
/// When the answers depend on how the rows were cut into batches.
#[must_use]
pub fn run<T: Transformer>(config: &str, rows: &[TestRow]) -> Vec<Answer> {
    let wanted: Vec<&TestRow> = rows.iter().filter(|row| wants::<T>(row)).collect();
    let mut judged = run_batch::<T>(config, &wanted).into_iter();
    let answers: Vec<Answer> = rows
        .iter()
        .map(|row| if wants::<T>(row) { judged.next().expect("one each") } else { Answer::untouched() })
        .collect();
    for (row, answer) in rows.iter().zip(&answers).filter(|(row, _)| wants::<T>(row)) {
        let alone = run_batch::<T>(config, &[row]);
        assert_eq!(&alone[0], answer, "the answer for {row:?} is another when it comes alone");
    }
    answers
}

/// Lets a plugin judge a configuration; each string is one problem.
///
/// # Errors
/// The plugin's problems.
pub fn check_config<T: Transformer>(config: &str) -> Result<(), Vec<String>> {
    T::configure(config).map(|_| ()).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// Lets a deriver judge a configuration; each string is one problem.
///
/// # Errors
/// The plugin's problems.
pub fn check_deriver_config<T: Deriver>(config: &str) -> Result<(), Vec<String>> {
    T::configure(config).map(|_| ()).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// Takes the lines that were logged on this thread since the last time.
#[must_use]
pub fn logged() -> Vec<(Level, String)> {
    LOG.take()
}

/// Serves a table on this thread from now on.
pub fn serve_table(name: &str, entries: &[(&str, &str)]) {
    let entries = entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    TABLES.with_borrow_mut(|tables| tables.insert(name.to_owned(), entries));
}

type Table = BTreeMap<String, String>;

thread_local! {
    static LOG: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
    static TABLES: RefCell<BTreeMap<String, Table>> = const { RefCell::new(BTreeMap::new()) };
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn note(level: Level, message: &str) {
    LOG.with_borrow_mut(|log| log.push((level, message.to_owned())));
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn look_up(table: &str, keys: &TextList) -> Result<(Vec<Presence>, TextList), String> {
    TABLES.with_borrow(|tables| {
        let table = tables.get(table).ok_or_else(|| format!("there is no table {table}"))?;
        let mut presence = Vec::new();
        let mut values = TextList { ends: Vec::new(), data: Vec::new() };
        for key in items(keys) {
            let value = table.get(key);
            presence.push(if value.is_some() { Presence::Present } else { Presence::Absent });
            values.data.extend_from_slice(value.map_or("", String::as_str).as_bytes());
            values.ends.push(u32::try_from(values.data.len()).expect("a small table"));
        }
        Ok((presence, values))
    })
}

fn wants<T: Transformer>(row: &TestRow) -> bool {
    is_wanted(&T::DESCRIPTOR, row)
}

fn is_wanted(descriptor: &Descriptor, row: &TestRow) -> bool {
    let types = descriptor.event_types;
    types.is_empty() || types.contains(&row.event_type.as_str())
}

fn run_batch<T: Transformer>(config: &str, rows: &[&TestRow]) -> Vec<Answer> {
    let descriptor = T::DESCRIPTOR;
    answers(adapter::apply::<T>(config, &batch(&descriptor, rows)), rows.len(), descriptor.writes)
}

fn batch(descriptor: &Descriptor, rows: &[&TestRow]) -> Batch {
    let mut types: Vec<String> = descriptor.event_types.iter().map(ToString::to_string).collect();
    let mut event_type = Vec::new();
    for row in rows {
        let at = types.iter().position(|known| *known == row.event_type).unwrap_or_else(|| {
            types.push(row.event_type.clone());
            types.len() - 1
        });
        event_type.push(u32::try_from(at).expect("few types"));
    }
    Batch {
        rows: u32::try_from(rows.len()).expect("few rows"),
        event_type,
        types: if descriptor.event_types.is_empty() { types } else { Vec::new() },
        occurred_at: rows.iter().map(|row| row.occurred_at).collect(),
        received_at: rows.iter().map(|row| row.received_at).collect(),
        fields: descriptor.reads.iter().map(|field| column(field, rows)).collect(),
    }
}

fn column(field: &Field, rows: &[&TestRow]) -> Column {
    let mut texts = TextList { ends: Vec::new(), data: Vec::new() };
    let (mut integers, mut numbers, mut booleans) = (Vec::new(), Vec::new(), Vec::new());
    let mut presence = Vec::new();
    for row in rows {
        let cell = row.cells.get(field.pointer);
        let (mut text, mut integer, mut number, mut boolean) = ("", 0, 0.0, false);
        presence.push(match (cell, field.kind) {
            (None, _) => Presence::Absent,
            (Some(Cell::Null), _) => Presence::Null,
            (Some(Cell::Text(value)), Kind::Text | Kind::Decimal | Kind::Json) => {
                text = value;
                Presence::Present
            }
            (Some(Cell::Integer(value)), Kind::Integer) => {
                integer = *value;
                Presence::Present
            }
            (Some(Cell::Number(value)), Kind::Number) => {
                number = *value;
                Presence::Present
            }
            (Some(Cell::Boolean(value)), Kind::Boolean) => {
                boolean = *value;
                Presence::Present
            }
            _ => Presence::Mistyped,
        });
        texts.data.extend_from_slice(text.as_bytes());
        texts.ends.push(u32::try_from(texts.data.len()).expect("small texts"));
        integers.push(integer);
        numbers.push(number);
        booleans.push(boolean);
    }
    if presence.iter().all(|&presence| presence == Presence::Present) {
        presence.clear();
    }
    let cells = match field.kind {
        Kind::Text | Kind::Decimal | Kind::Json => Cells::Texts(texts),
        Kind::Integer => Cells::Integers(integers),
        Kind::Number => Cells::Numbers(numbers),
        Kind::Boolean => Cells::Booleans(booleans),
    };
    Column { presence, cells }
}

fn answers(outcome: Outcome, rows: usize, writes: &[Field]) -> Vec<Answer> {
    let mut out: Vec<Answer> = (0..rows)
        .map(|row| match outcome.decisions.get(row) {
            Some(transform::Decision::Drop) => Answer::Dropped(String::new()),
            Some(transform::Decision::Fail) => Answer::Rejected(String::new()),
            _ => Answer::untouched(),
        })
        .collect();
    for (row, reason) in outcome.reasons {
        out[row as usize] = Answer::Dropped(reason);
    }
    for (row, failure) in outcome.failures {
        out[row as usize] = match failure {
            Failure::Rejected(why) => Answer::Rejected(why),
            Failure::Transient(ms) => Answer::Retry(ms),
            Failure::Misconfigured(why) => Answer::Misconfigured(why),
        };
    }
    for assignment in outcome.assignments {
        assert!(
            writes.iter().any(|field| field.pointer == assignment.pointer),
            "only declared fields are set"
        );
        for (at, &row) in assignment.rows.iter().enumerate() {
            let cell = cell(&assignment.values, at);
            if let Answer::Kept { changes, .. } = &mut out[row as usize] {
                changes.push((assignment.pointer.clone(), cell));
            }
        }
    }
    for event in outcome.new_events {
        if let Answer::Kept { children, .. } = &mut out[event.row as usize] {
            children.push((event.event_type, event.occurred_at, event.document));
        }
    }
    out
}

fn cell(column: &Column, at: usize) -> Option<Cell> {
    match column.presence.get(at) {
        Some(Presence::Absent) => None,
        Some(Presence::Null) => Some(Cell::Null),
        Some(Presence::Mistyped) => Some(Cell::Mistyped),
        Some(Presence::Present) | None => Some(match &column.cells {
            Cells::Texts(list) => Cell::Text(items(list)[at].to_owned()),
            Cells::Integers(list) => Cell::Integer(list[at]),
            Cells::Numbers(list) => Cell::Number(list[at]),
            Cells::Booleans(list) => Cell::Boolean(list[at]),
        }),
    }
}

fn items(list: &TextList) -> Vec<&str> {
    let mut start = 0;
    let item = |&end: &u32| {
        let item = std::str::from_utf8(&list.data[start..end as usize]).expect("texts are UTF-8");
        start = end as usize;
        item
    };
    list.ends.iter().map(item).collect()
}
