//! A total order of values, for ties: by type, then numbers by size and strings by bytes.

use std::cmp::Ordering;

use crate::json;
use crate::value::Value;

/// Compares two values: null, booleans, numbers, strings, arrays, objects, in this order.
#[must_use]
pub fn order(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Number(x), Value::Number(y)) => match (x.to_decimal(), y.to_decimal()) {
            (Some(x), Some(y)) => x.cmp(&y),
            // Numbers beyond the exact ones come after them, by their digits.
            (x, y) => y
                .is_some()
                .cmp(&x.is_some())
                .then_with(|| x.is_some().cmp(&y.is_some()))
                .then_with(|| json::to_string(a).cmp(&json::to_string(b))),
        },
        _ if rank(a) == rank(b) => json::to_string(a).cmp(&json::to_string(b)),
        _ => rank(a).cmp(&rank(b)),
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::Text(_) => 3,
        Value::List(_) => 4,
        Value::Object(_) => 5,
    }
}
