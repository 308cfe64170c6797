//! The catalogue as clients see it.

use cdp_domain::time::Timestamp;
use cdp_domain::value::{Object, Value};
use compact_str::CompactString;

use super::observe::{JSON_TYPES, Names, Row};
use super::schema::Schema;
use crate::error::{Refused, Result};
use crate::tenant::Tenant;

/// All types in figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overview {
    /// Types that are listed.
    pub types: usize,
    /// Events of all types.
    pub events: u64,
    /// Of them, those whose type is not listed, because as many types as may be were there before it.
    pub unlisted_events: u64,
}

/// An event type.
#[derive(Debug, Clone, PartialEq)]
pub struct TypeView {
    /// Its name.
    pub kind: CompactString,
    /// Events of it that were accepted.
    pub volume: u64,
    /// The time of the earliest; None before the first came.
    pub first_seen: Option<Timestamp>,
    /// The time of the latest.
    pub last_seen: Option<Timestamp>,
    /// When the newest was received.
    pub last_received: Option<Timestamp>,
    /// Its properties, by name.
    pub properties: Vec<Field>,
    /// There are others, which are not listed.
    pub more_properties: bool,
    /// The traits that it writes, by name.
    pub traits: Vec<Field>,
    /// There are others, which are not listed.
    pub more_traits: bool,
    /// What it should carry.
    pub schema: Option<Schema>,
}

/// A property or trait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: CompactString,
    /// The JSON types of its values.
    pub types: Vec<&'static str>,
}

fn fields(names: &Names) -> Vec<Field> {
    let types = |bits: u8| JSON_TYPES.iter().enumerate().filter(move |(n, _)| bits & 1 << n != 0);
    let field = |(name, bits): &(CompactString, u8)| Field {
        name: name.clone(),
        types: types(*bits).map(|(_, word)| *word).collect(),
    };
    names.listed.iter().map(field).collect()
}

fn view(row: &Row, schema: Option<&Schema>) -> TypeView {
    TypeView {
        kind: row.kind.clone(),
        volume: row.volume,
        first_seen: Some(row.first_seen),
        last_seen: Some(row.last_seen),
        last_received: Some(row.last_received),
        properties: fields(&row.properties),
        more_properties: row.properties.more,
        traits: fields(&row.traits),
        more_traits: row.traits.more,
        schema: schema.cloned(),
    }
}

fn unseen(kind: &str, schema: &Schema) -> TypeView {
    TypeView {
        kind: kind.into(),
        volume: 0,
        first_seen: None,
        last_seen: None,
        last_received: None,
        properties: Vec::new(),
        more_properties: false,
        traits: Vec::new(),
        more_traits: false,
        schema: Some(schema.clone()),
    }
}

impl Tenant {
    /// All types in figures.
    #[must_use]
    pub fn catalogue(&self) -> Overview {
        let catalogue = self.core.catalogue.lock();
        let listed: u64 = catalogue.rows().map(|row| row.volume).sum();
        let unlisted_events = catalogue.unlisted();
        Overview { types: catalogue.rows().count(), events: listed + unlisted_events, unlisted_events }
    }

    /// Every type that is listed or has a schema, in no order.
    #[must_use]
    pub fn event_types(&self) -> Vec<TypeView> {
        let config = self.config();
        let catalogue = self.core.catalogue.lock();
        let seen = catalogue.rows().map(|row| view(row, config.schemas.get(&row.kind)));
        let others = config.schemas.iter().filter(|(kind, _)| catalogue.find(kind).is_none());
        seen.chain(others.map(|(kind, schema)| unseen(kind, schema))).collect()
    }

    /// One type, and the newest event of it as sent; None where it was erased.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; the journal's.
    pub fn event_type(&self, kind: &str) -> Result<(TypeView, Option<Value>)> {
        let config = self.config();
        let schema = config.schemas.get(kind);
        let row = self.core.catalogue.lock().find(kind).cloned();
        match (row, schema) {
            (Some(row), schema) => {
                let sample = match self.held(&[row.sample]) {
                    Ok(held) => held.into_iter().next().map(|(event, _)| event),
                    Err(Refused::NotFound(_)) => None,
                    Err(Refused::Internal(cause)) if is_gone(&*cause) => None,
                    Err(error) => return Err(error),
                };
                Ok((view(&row, schema), sample))
            }
            (None, Some(schema)) => Ok((unseen(kind, schema), None)),
            (None, None) => Err(Refused::NotFound("event type")),
        }
    }
}

/// The event was erased, or its part of the journal was removed.
fn is_gone(cause: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    use cdp_store::Error as E;
    matches!(cause.downcast_ref(), Some(E::KeyDestroyed | E::NotARecord { .. }))
}

/// The value with every scalar replaced by the name of its JSON type: its shape, without what it says.
#[must_use]
pub fn shape(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let members = object.iter().map(|(name, member)| (name.clone(), shape(member)));
            Value::Object(members.collect::<Object>())
        }
        Value::List(items) => Value::List(items.iter().map(shape).collect()),
        Value::Null => Value::Text("null".into()),
        Value::Bool(_) => Value::Text("boolean".into()),
        Value::Number(_) => Value::Text("number".into()),
        Value::Text(_) => Value::Text("string".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdp_domain::json;

    #[test]
    fn a_shape_says_nothing_but_names_and_types() {
        let text = r#"{"a":[1,"x",null],"b":{"c":true}}"#;
        let value = json::parse(text.as_bytes(), json::Options::default()).unwrap();
        let wanted = r#"{"a":["number","string","null"],"b":{"c":"boolean"}}"#;
        assert_eq!(json::to_string(&shape(&value)), wanted);
    }
}
