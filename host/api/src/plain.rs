//! Exact values as JSON: numbers keep every digit on their way out.

use cdp_domain::time::Timestamp;
use cdp_domain::value::{Number, Value};
use serde::ser::{Error as _, SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// Writes a value as the JSON it came from. The derived form of [`Value`] is for storage and never for clients.
#[derive(Debug, Clone, Copy)]
pub struct Plain<'a>(pub &'a Value);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => to.serialize_unit(),
            Value::Bool(truth) => to.serialize_bool(*truth),
            Value::Number(Number::Int(whole)) => to.serialize_i64(*whole),
            Value::Number(number) => {
                RawValue::from_string(number.to_string()).map_err(S::Error::custom)?.serialize(to)
            }
            Value::Text(text) => to.serialize_str(text),
            Value::List(items) => {
                let mut list = to.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(&Plain(item)))?;
                list.end()
            }
            Value::Object(object) => {
                let mut map = to.serialize_map(Some(object.len()))?;
                object
                    .iter()
                    .try_for_each(|(name, member)| map.serialize_entry(name.as_str(), &Plain(member)))?;
                map.end()
            }
        }
    }
}

/// For `#[serde(serialize_with = "plain::value")]`.
pub fn value<S: Serializer>(value: &Value, to: S) -> Result<S::Ok, S::Error> {
    Plain(value).serialize(to)
}

/// For `#[serde(serialize_with = "plain::printed")]`: ids, positions and times as their text.
pub fn printed<T: std::fmt::Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

/// For `#[serde(serialize_with = "plain::maybe")]`: the same where there may be none.
pub fn maybe<T: std::fmt::Display, S: Serializer>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => to.collect_str(value),
        None => to.serialize_none(),
    }
}

/// A time as RFC 3339.
#[must_use]
pub fn time(at: Timestamp) -> String {
    at.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdp_domain::json;

    #[test]
    fn what_was_read_is_written_digit_for_digit() {
        let text = r#"{"a":[null,true,64.25,12345678901234567890123456789012345],"b":{"c":"x\"y"},"d":-7}"#;
        let value = json::parse(text.as_bytes(), json::Options::default()).unwrap();
        assert_eq!(serde_json::to_string(&Plain(&value)).unwrap(), text);
    }
}
