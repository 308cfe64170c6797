//! Readings, believed only after every rule of the contract was checked.

use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use serde::{Deserialize, Serialize};

use super::Output;
use crate::bindings::{Cells, Readings};
use crate::outcome::Reader;

/// Bytes of one value that is text, a decimal or JSON, at most.
pub const VALUE_BYTES_MAX: usize = 1024;

/// What a state reads at an instant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// One for each output, same order; None where there is no value.
    pub values: Vec<Option<Value>>,
    /// When the values may change without a new event, after the instant of the reading; None means never.
    pub valid_until: Option<Timestamp>,
}

/// Takes an answer for so many states apart.
///
/// # Errors
/// The first rule that is broken, as a sentence.
pub(super) fn checked(
    raw: &Readings,
    outputs: &[Output],
    rows: usize,
    as_of: Timestamp,
) -> Result<Vec<Reading>, String> {
    if raw.values.len() != outputs.len() {
        return Err(format!("values has {} columns for {} outputs", raw.values.len(), outputs.len()));
    }
    if raw.valid_until.len() != rows {
        return Err(format!("valid-until has {} items for {rows} states", raw.valid_until.len()));
    }
    let mut out = Vec::with_capacity(rows);
    for (at, until) in raw.valid_until.iter().enumerate() {
        let valid_until = until.map(Timestamp);
        if let Some(until) = valid_until
            && (until <= as_of || until > Timestamp::MAX)
        {
            return Err(format!(
                "valid-until of state {at} is {}, which is not after as-of {}",
                until.0, as_of.0
            ));
        }
        out.push(Reading { values: Vec::with_capacity(outputs.len()), valid_until });
    }
    for (column, output) in raw.values.iter().zip(outputs) {
        let name = &output.name;
        let cells = Reader::new(column, output.kind, rows).map_err(|why| format!("output {name}: {why}"))?;
        if let Cells::Texts(list) = &column.cells {
            let starts = std::iter::once(0).chain(list.ends.iter().copied());
            if let Some(at) =
                list.ends.iter().zip(starts).position(|(end, start)| (end - start) as usize > VALUE_BYTES_MAX)
            {
                return Err(format!("output {name}, state {at}: more than {VALUE_BYTES_MAX} bytes"));
            }
        }
        for (at, reading) in out.iter_mut().enumerate() {
            let value = cells.value(at).map_err(|why| format!("output {name}, state {at}: {why}"))?;
            reading.values.push(value.filter(|value| *value != Value::Null));
        }
    }
    Ok(out)
}
