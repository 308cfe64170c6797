//! Which operators fit which type of value: a condition that can never hold is refused when it is written.

use crate::condition::{Op, Test};
use crate::expr::Type;
use crate::time::Timestamp;
use crate::value::Value;

/// What of a test does not fit values of this type: the field (`op` or `value`), and why.
pub(super) fn misfit(kind: Type, test: &Test) -> Option<(&'static str, String)> {
    let op = test.op;
    if matches!(op, Op::Exists | Op::NotExists) {
        return None;
    }
    let ordering = matches!(
        op,
        Op::Eq | Op::Ne | Op::Gt | Op::Gte | Op::Lt | Op::Lte | Op::Between | Op::In | Op::NotIn
    );
    let (what, fits) = match kind {
        Type::Any => return None,
        Type::Number => ("a number", ordering),
        Type::Time => {
            ("a time", ordering || matches!(op, Op::Before | Op::After | Op::WithinLast | Op::WithinNext))
        }
        Type::Boolean => ("true or false", matches!(op, Op::Eq | Op::Ne | Op::In | Op::NotIn)),
        Type::List => ("a list", matches!(op, Op::Contains | Op::NotContains | Op::Eq | Op::Ne)),
        Type::Amounts => {
            let detail =
                "does not fit: the attribute is an amount per currency; define one with a single currency";
            return Some(("op", detail.to_owned()));
        }
    };
    if !fits {
        return Some(("op", format!("does not fit: the attribute is {what}")));
    }
    let suits = |value: &Value| match kind {
        Type::Number => value.as_decimal().is_some(),
        Type::Time => value.as_text().is_some_and(|text| Timestamp::parse(text).is_ok()),
        Type::Boolean => matches!(value, Value::Bool(_)),
        _ => true,
    };
    let right = match (&test.value, op) {
        (_, Op::WithinLast | Op::WithinNext) => true,
        (Value::List(items), Op::Between | Op::In | Op::NotIn) => items.iter().all(suits),
        (value, _) => suits(value),
    };
    (!right).then(|| ("value", format!("must be {what}, as the attribute is")))
}
