//! The host's part for derivers.

use std::collections::BTreeMap;

use super::{Cell, TestRow, batch, cell, is_wanted};
use crate::bindings::cdp::plugin::types::{BytesList, Failure};
use crate::deriver_adapter::{combine, each_row, read};
use crate::{Deriver, Laws};

/// What a deriver gives for some events at an instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Derived {
    /// The outputs that have a value, by name.
    pub values: BTreeMap<&'static str, Cell>,
    /// When they may change without a new event.
    pub valid_until: Option<i64>,
}

impl Derived {
    /// The value of an output.
    #[must_use]
    pub fn get(&self, output: &str) -> Option<&Cell> {
        self.values.get(output)
    }
}

/// Folds rows and reads the result at `as_of`: all rows at once, and again one by one, backwards where the plugin says
/// that order does not matter, in two halves where it says that halves can be joined, and each row twice where it says
/// that this does not matter.
///
/// Rows of types that the plugin does not want are passed over, as the host does.
///
/// # Errors
/// What the plugin says against a row or the configuration.
///
/// # Panics
/// When one of these ways gives other values: a promise of [`Laws`] that does not hold.
pub fn derive<T: Deriver>(config: &str, rows: &[TestRow], as_of: i64) -> Result<Derived, String> {
    let rows: Vec<&TestRow> = rows.iter().filter(|row| is_wanted(&T::DESCRIPTOR, row)).collect();
    let values = |state: Vec<u8>| values::<T>(config, &state, as_of);
    let whole = values(fold::<T>(config, Vec::new(), &rows)?)?;
    let mut state = Vec::new();
    for &row in &rows {
        state = fold::<T>(config, state, &[row])?;
    }
    assert_eq!(values(state)?, whole, "the values are others when the rows come one by one");
    let Laws { commutative, mergeable, idempotent } = T::SHAPE.laws;
    if commutative {
        let backwards: Vec<_> = rows.iter().rev().copied().collect();
        let state = fold::<T>(config, Vec::new(), &backwards)?;
        assert_eq!(values(state)?, whole, "the order of rows matters, though the plugin says it does not");
    }
    if mergeable {
        let (left, right) = rows.split_at(rows.len() / 2);
        let (left, right) = (fold::<T>(config, Vec::new(), left)?, fold::<T>(config, Vec::new(), right)?);
        let joined = one(combine::<T>(config, &list(left), &list(right)))?;
        assert_eq!(values(joined)?, whole, "two halves joined give other values than the whole");
    }
    if idempotent {
        let twice: Vec<_> = rows.iter().flat_map(|&row| [row, row]).collect();
        let state = fold::<T>(config, Vec::new(), &twice)?;
        assert_eq!(
            values(state)?,
            whole,
            "a row that comes twice counts twice, though the plugin says it does not"
        );
    }
    Ok(whole)
}

fn fold<T: Deriver>(config: &str, state: Vec<u8>, rows: &[&TestRow]) -> Result<Vec<u8>, String> {
    let ends = [u32::try_from(rows.len()).expect("few rows")];
    let state = one(each_row::<T>(config, &list(state), &ends, &batch(&T::DESCRIPTOR, rows), T::fold))?;
    let most = T::SHAPE.max_state_bytes as usize;
    assert!(state.len() <= most, "a state has {} bytes, the shape says at most {most}", state.len());
    Ok(state)
}

fn values<T: Deriver>(config: &str, state: &[u8], as_of: i64) -> Result<Derived, String> {
    let readings = read::<T>(config, as_of, &list(state.to_vec())).map_err(sentence)?;
    let outputs = T::SHAPE.outputs.iter().zip(&readings.values);
    let values = outputs.filter_map(|(output, column)| Some((output.name, cell(column, 0)?))).collect();
    let valid_until = readings.valid_until[0];
    assert!(valid_until.is_none_or(|until| until > as_of), "values end at {valid_until:?}, read at {as_of}");
    Ok(Derived { values, valid_until })
}

fn list(item: Vec<u8>) -> BytesList {
    BytesList { ends: vec![u32::try_from(item.len()).expect("a small state")], data: item }
}

fn one(list: Result<BytesList, Failure>) -> Result<Vec<u8>, String> {
    list.map(|list| list.data).map_err(sentence)
}

fn sentence(failure: Failure) -> String {
    match failure {
        Failure::Rejected(why) | Failure::Misconfigured(why) => why,
        Failure::Transient(_) => "try again".to_owned(),
    }
}
