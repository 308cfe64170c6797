//! A guest's answer, believed only after every rule of the contract was checked.

use std::sync::Arc;

use cdp_domain::json;
use cdp_domain::limits::{EVENT_BYTES_MAX, EVENT_DEPTH_MAX, EVENT_TYPE_BYTES_MAX};
use cdp_domain::time::Timestamp;
use cdp_domain::value::{Number, Object, Value};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::bindings::{self, Assignment, Cells, Column, Decision, Outcome, Presence, TextList};
use crate::descriptor::{Descriptor, Kind, is_name, quoted};
use crate::error::Fault;

/// What a transformer decided about one event.
#[derive(Debug, Clone, PartialEq)]
pub enum RowOutcome {
    /// It stays.
    Keep {
        /// What to set (or with None to remove), in this order; every pointer is one the plugin declared and was granted.
        assignments: Vec<(Arc<str>, Option<Value>)>,
        /// Events born from it, in the guest's order.
        children: Vec<NewEvent>,
    },
    /// It goes no further.
    Drop {
        /// Why, in the plugin's words; may be empty, at most 512 bytes.
        reason: String,
    },
    /// It could not be judged.
    Fail(Failure),
}

impl RowOutcome {
    /// The event stays as it is.
    #[must_use]
    pub fn untouched() -> Self {
        Self::Keep { assignments: Vec::new(), children: Vec::new() }
    }
}

/// A failure that the plugin itself reports; each case has one consequence. Texts have at most 512 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// This event will never work: to the dead letters, with this reason.
    #[error("rejected: {0}")]
    Rejected(String),
    /// Try again, not before so many milliseconds if it says so.
    #[error("asks to try again later")]
    Transient(Option<u32>),
    /// The configuration is wrong: stop calling this plugin and tell its owner.
    #[error("its configuration is wrong: {0}")]
    Misconfigured(String),
}

impl From<bindings::Failure> for Failure {
    fn from(failure: bindings::Failure) -> Self {
        match failure {
            bindings::Failure::Rejected(why) => Self::Rejected(short(why)),
            bindings::Failure::Transient(ms) => Self::Transient(ms),
            bindings::Failure::Misconfigured(why) => Self::Misconfigured(short(why)),
        }
    }
}

/// An event born from another. Its source and identifiers are the parent's, its id is to be derived from the parent's.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// The event type, a valid one.
    pub kind: CompactString,
    /// When it happened.
    pub time: Timestamp,
    /// An object with the members `properties` and `traits`, both objects and both optional.
    pub document: Value,
    /// Its position among the parent's new events, from 0.
    pub index: u32,
    /// Bytes of the document, as the plugin wrote it; at most [`EVENT_BYTES_MAX`].
    pub bytes: usize,
}

/// Bytes of a reason that are kept.
const REASON_BYTES_MAX: usize = 512;

/// What answers are checked against; made once per plugin.
#[derive(Debug)]
pub(crate) struct Judge {
    writes: Vec<(Arc<str>, Kind)>,
}

/// What a sentence about a broken contract is made of.
type Checked<T> = Result<T, String>;

impl Judge {
    pub(crate) fn new(descriptor: &Descriptor) -> Self {
        let writes =
            descriptor.writes.iter().map(|field| (Arc::from(field.pointer.as_str()), field.kind)).collect();
        Self { writes }
    }

    /// Takes an answer for so many rows apart; `granted` says which writes count.
    ///
    /// # Errors
    /// [`Fault::Contract`] with the first rule that is broken.
    pub(crate) fn rows(
        &self,
        outcome: Outcome,
        rows: usize,
        children_max: usize,
        granted: impl Fn(&str) -> bool,
    ) -> Result<Vec<RowOutcome>, Fault> {
        self.checked(outcome, rows, children_max, granted).map_err(Fault::Contract)
    }

    fn checked(
        &self,
        outcome: Outcome,
        rows: usize,
        children_max: usize,
        granted: impl Fn(&str) -> bool,
    ) -> Checked<Vec<RowOutcome>> {
        let mut out = decide(outcome.decisions, rows)?;
        for (row, reason) in outcome.reasons {
            match out.get_mut(row as usize) {
                None => return Err(out_of_range("reasons", row, rows)),
                Some(RowOutcome::Drop { reason: known }) if known.is_empty() => *known = short(reason),
                Some(RowOutcome::Drop { .. }) => return Err(format!("reasons: row {row} stands twice")),
                Some(_) => return Err(format!("reasons: row {row} is not dropped")),
            }
        }
        fail(outcome.failures, &mut out)?;
        let most = outcome.assignments.len().min(self.writes.len());
        for assignment in outcome.assignments {
            self.assign(assignment, most, &mut out, &granted)?;
        }
        for event in outcome.new_events {
            bear(event, children_max, &mut out)?;
        }
        Ok(out)
    }

    fn assign(
        &self,
        assignment: Assignment,
        most: usize,
        out: &mut [RowOutcome],
        granted: &impl Fn(&str) -> bool,
    ) -> Checked<()> {
        let Some((pointer, kind)) = self.writes.iter().find(|(known, _)| **known == *assignment.pointer)
        else {
            return Err(format!(
                "assignments: {} is not among the declared writes",
                quoted(&assignment.pointer)
            ));
        };
        let what = || format!("assignments to {pointer}");
        let rows = &assignment.rows;
        if !rows.is_sorted_by(|a, b| a < b) {
            return Err(format!("{}: rows are not strictly ascending", what()));
        }
        if let Some(&last) = rows.last().filter(|&&row| row as usize >= out.len()) {
            return Err(out_of_range(&what(), last, out.len()));
        }
        let granted = granted(pointer);
        let cells =
            Reader::new(&assignment.values, *kind, rows.len()).map_err(|why| format!("{}: {why}", what()))?;
        for (at, &row) in rows.iter().enumerate() {
            let value = cells.value(at).map_err(|why| format!("{}, row {row}: {why}", what()))?;
            if let RowOutcome::Keep { assignments, .. } = &mut out[row as usize]
                && granted
            {
                if assignments.is_empty() {
                    assignments.reserve_exact(most);
                }
                assignments.push((Arc::clone(pointer), value));
            }
        }
        Ok(())
    }
}

fn decide(decisions: Vec<Decision>, rows: usize) -> Checked<Vec<RowOutcome>> {
    if decisions.is_empty() {
        return Ok((0..rows).map(|_| RowOutcome::untouched()).collect());
    }
    if decisions.len() != rows {
        return Err(format!("decisions has {} items for {rows} rows", decisions.len()));
    }
    let outcome = |decision| match decision {
        Decision::Keep => RowOutcome::untouched(),
        Decision::Drop => RowOutcome::Drop { reason: String::new() },
        Decision::Fail => RowOutcome::Fail(UNSAID),
    };
    Ok(decisions.into_iter().map(outcome).collect())
}

/// Stands for a failure until the guest's own is found.
const UNSAID: Failure = Failure::Rejected(String::new());

fn fail(failures: Vec<(u32, bindings::Failure)>, out: &mut [RowOutcome]) -> Checked<()> {
    let failed = out.iter().filter(|row| matches!(row, RowOutcome::Fail(_))).count();
    let count = failures.len();
    let rows = out.len();
    let mut seen = vec![false; if count == 0 { 0 } else { rows }];
    for (row, failure) in failures {
        match out.get_mut(row as usize) {
            None => return Err(out_of_range("failures", row, rows)),
            Some(RowOutcome::Fail(_)) if seen[row as usize] => {
                return Err(format!("failures: row {row} stands twice"));
            }
            Some(RowOutcome::Fail(known)) => {
                seen[row as usize] = true;
                *known = failure.into();
            }
            Some(_) => return Err(format!("failures: row {row} does not fail")),
        }
    }
    if count != failed {
        return Err(format!("failures has {count} items for {failed} failed rows"));
    }
    Ok(())
}

fn bear(event: bindings::NewEvent, children_max: usize, out: &mut [RowOutcome]) -> Checked<()> {
    let (row, rows) = (event.row, out.len());
    let Some(parent) = out.get_mut(row as usize) else { return Err(out_of_range("new-events", row, rows)) };
    if !is_name(&event.event_type, EVENT_TYPE_BYTES_MAX) {
        return Err(format!("new-events of row {row}: {} is no event type", quoted(&event.event_type)));
    }
    let time = Timestamp(event.occurred_at);
    if !(Timestamp::MIN..=Timestamp::MAX).contains(&time) {
        return Err(format!("new-events of row {row}: occurred-at {} is out of range", time.0));
    }
    let bytes = event.document.len();
    if bytes > EVENT_BYTES_MAX {
        return Err(format!("new-events of row {row}: a document has more than {EVENT_BYTES_MAX} bytes"));
    }
    let document = document(&event.document).map_err(|why| format!("new-events of row {row}: {why}"))?;
    if let RowOutcome::Keep { children, .. } = parent {
        if children.len() >= children_max {
            return Err(format!("new-events of row {row}: more than {children_max}"));
        }
        let index = u32::try_from(children.len()).expect("children_max is far below");
        children.push(NewEvent { kind: event.event_type.into(), time, document, index, bytes });
    }
    Ok(())
}

fn document(text: &str) -> Checked<Value> {
    let options = json::Options { depth_max: EVENT_DEPTH_MAX, ..json::Options::default() };
    let value = json::parse(text.as_bytes(), options)
        .map_err(|error| format!("document is not acceptable JSON: {error}"))?;
    let Some(object) = value.as_object() else { return Err("document is no object".to_owned()) };
    for (name, member) in object.iter() {
        if !matches!(name.as_str(), "properties" | "traits") {
            return Err(format!("document has a member {}, only properties and traits may be", quoted(name)));
        }
        if member.as_object().map(Object::len).is_none() {
            return Err(format!("document: {name} is {}, not an object", member.type_name()));
        }
    }
    Ok(value)
}

fn out_of_range(what: &str, row: u32, rows: usize) -> String {
    format!("{what}: row {row} of {rows} rows")
}

pub(crate) fn short(mut reason: String) -> String {
    if reason.len() > REASON_BYTES_MAX {
        let mut end = REASON_BYTES_MAX;
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        reason.truncate(end);
    }
    reason
}

/// The items of a text list.
///
/// # Errors
/// A sentence, when ends and data do not fit together or an item is no UTF-8.
pub(crate) fn texts<'l>(list: &'l TextList, what: &str) -> Result<Vec<&'l str>, String> {
    let mut start = 0;
    let mut out = Vec::with_capacity(list.ends.len());
    for (at, &end) in list.ends.iter().enumerate() {
        let end = end as usize;
        let Some(item) = list.data.get(start..end) else {
            return Err(format!("{what}: end {at} is {end}, after {start}, of {} bytes", list.data.len()));
        };
        out.push(std::str::from_utf8(item).map_err(|_| format!("{what}: item {at} is not UTF-8"))?);
        start = end;
    }
    if start != list.data.len() {
        return Err(format!("{what}: the last end is {start} of {} bytes", list.data.len()));
    }
    Ok(out)
}

/// The cells of a guest's column, as values of the declared kind.
pub(crate) struct Reader<'c> {
    presence: &'c [Presence],
    kind: Kind,
    items: Items<'c>,
}

enum Items<'c> {
    Texts(Vec<&'c str>),
    Integers(&'c [i64]),
    Numbers(&'c [f64]),
    Booleans(&'c [bool]),
}

impl<'c> Reader<'c> {
    pub(crate) fn new(column: &'c Column, kind: Kind, rows: usize) -> Checked<Self> {
        let items = match (&column.cells, kind) {
            (Cells::Texts(list), Kind::Text | Kind::Decimal | Kind::Json) => {
                Items::Texts(texts(list, "values")?)
            }
            (Cells::Integers(list), Kind::Integer) => Items::Integers(list),
            (Cells::Numbers(list), Kind::Number) => Items::Numbers(list),
            (Cells::Booleans(list), Kind::Boolean) => Items::Booleans(list),
            _ => return Err("values have another shape than the declared kind".to_owned()),
        };
        let count = match &items {
            Items::Texts(list) => list.len(),
            Items::Integers(list) => list.len(),
            Items::Numbers(list) => list.len(),
            Items::Booleans(list) => list.len(),
        };
        if count != rows {
            return Err(format!("{count} values for {rows} rows"));
        }
        if !column.presence.is_empty() && column.presence.len() != rows {
            return Err(format!("{} presences for {rows} rows", column.presence.len()));
        }
        Ok(Self { presence: &column.presence, kind, items })
    }

    pub(crate) fn value(&self, at: usize) -> Checked<Option<Value>> {
        match self.presence.get(at).unwrap_or(&Presence::Present) {
            Presence::Absent => return Ok(None),
            Presence::Null => return Ok(Some(Value::Null)),
            Presence::Mistyped => return Err("an answer may not be mistyped".to_owned()),
            Presence::Present => {}
        }
        Ok(Some(match &self.items {
            Items::Texts(list) => self.text(list[at])?,
            Items::Integers(list) => Value::from(list[at]),
            Items::Booleans(list) => Value::from(list[at]),
            Items::Numbers(list) => {
                let number = list[at];
                if !number.is_finite() {
                    return Err("a number is not finite".to_owned());
                }
                // The shortest text that reads back as the same double.
                Value::Number(Number::parse(&number.to_string()).ok_or("a number has no JSON form")?)
            }
        }))
    }

    fn text(&self, text: &str) -> Checked<Value> {
        match self.kind {
            Kind::Decimal => match Number::parse(text).filter(|_| !text.contains(['e', 'E'])) {
                Some(number) => Ok(Value::Number(number)),
                None => Err(format!("{} is no decimal", quoted(text))),
            },
            Kind::Json => json::parse(text.as_bytes(), json::Options::default())
                .map_err(|error| format!("a value is not acceptable JSON: {error}")),
            _ => Ok(Value::from(text)),
        }
    }
}
