//! Values into what leaves: hashing per field, the key of a row, and the hash by which a changed row is known.

use cdp_domain::hex;
use cdp_domain::json;
use cdp_domain::value::Value;
use sha2::{Digest as _, Sha256};

use crate::format::json_object;
use crate::plan::{Field, Plan};

/// A row as it leaves: values in the order of the fields, where asked for as hashes.
pub(crate) fn project(plan: &Plan, mut values: Vec<Option<Value>>) -> Vec<Option<Value>> {
    for (field, value) in plan.fields.iter().zip(&mut values) {
        if field.hash {
            *value = value.take().and_then(|value| hashed(&value));
        }
    }
    values
}

/// SHA-256 in lower-case hex of the value without spaces around it and in lower case, as advertising platforms take it;
/// an e-mail address or a telephone number is normalised already. Nothing where there is nothing: an empty text has no hash.
fn hashed(value: &Value) -> Option<Value> {
    let text = match value {
        Value::Null => return None,
        Value::Text(text) => text.trim().to_lowercase(),
        Value::Number(number) => number.plain().to_string(),
        other => json::to_string(other),
    };
    (!text.is_empty()).then(|| Value::Text(hex::encode(&Sha256::digest(text.as_bytes())).into()))
}

/// The identifying values of a row as JSON, as they are sent again when the row is to be removed; None when the key is
/// missing.
pub(crate) fn identity(plan: &Plan, values: &[Option<Value>]) -> Option<String> {
    let missing =
        |at: &usize| values[*at].as_ref().is_none_or(|value| *value == Value::Null || *value == "".into());
    if plan.key.iter().any(missing) {
        return None;
    }
    Some(some_as_json(plan, values, Field::identifies))
}

/// The key of a row: the digest of the values that tell it from others.
pub(crate) fn key(plan: &Plan, values: &[Option<Value>]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    let mut text = String::new();
    for at in &plan.key {
        text.clear();
        json::write(values[*at].as_ref().unwrap_or(&Value::Null), &mut text);
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    first(&hasher)
}

/// The hash of a whole row, with its names: equal rows are sent once.
pub(crate) fn row_hash(plan: &Plan, values: &[Option<Value>]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(some_as_json(plan, values, |_| true).as_bytes());
    first(&hasher)
}

fn some_as_json(plan: &Plan, values: &[Option<Value>], which: impl Fn(&Field) -> bool) -> String {
    let (names, values): (Vec<_>, Vec<_>) = plan
        .fields
        .iter()
        .zip(values)
        .filter(|(field, _)| which(field))
        .map(|(field, value)| (field.name.as_str(), value.clone()))
        .unzip();
    let mut text = String::new();
    json_object(None, names.into_iter(), &values, &mut text);
    text
}

/// The row that tells a receiver to remove what was sent: the identifying values as they were sent, the others missing.
pub(crate) fn removal(plan: &Plan, identity: &str) -> Vec<Option<Value>> {
    let sent = json::parse(identity.as_bytes(), json::Options::default()).ok();
    let object = sent.as_ref().and_then(Value::as_object);
    let value = |field: &Field| object?.get(&field.name).filter(|value| **value != Value::Null).cloned();
    plan.fields.iter().map(value).collect()
}

fn first(hasher: &blake3::Hasher) -> [u8; 16] {
    hasher.finalize().as_bytes()[..16].try_into().expect("a digest is longer")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Kind;
    use cdp_engine::exports::Source;

    fn plan() -> Plan {
        let field = |name: &str, source, hash| Field {
            name: name.to_owned(),
            from: String::new(),
            source,
            hash,
            kind: Kind::Text,
        };
        let fields = vec![
            field("mail", Source::Channel("email".into()), true),
            field("city", Source::Trait("city".into()), false),
            field("id", Source::ProfileId, false),
        ];
        Plan { fields, key: vec![0], ..Plan::example() }
    }

    #[test]
    fn hashes_are_those_of_the_advertising_platforms() {
        let hash = |text: &str| hashed(&text.into()).and_then(|value| value.as_text().map(str::to_owned));
        let want = "973dfe463ec85785f5f95af5ba3906eedb2d931c24e69824a89ea65dba4e813b";
        for text in ["test@example.com", " Test@Example.com ", "TEST@EXAMPLE.COM\n"] {
            assert_eq!(hash(text).as_deref(), Some(want));
        }
        assert_eq!((hash(""), hash("  "), hashed(&Value::Null)), (None, None, None));
    }

    #[test]
    fn a_row_that_is_to_go_is_named_as_it_was_sent() {
        let plan = plan();
        let values = project(&plan, vec![Some("a@x.eu".into()), Some("Riga".into()), Some("prf_1".into())]);
        let identity = identity(&plan, &values).unwrap();
        assert!(!identity.contains("a@x.eu") && !identity.contains("Riga"));
        let removal = removal(&plan, &identity);
        assert_eq!(removal, vec![values[0].clone(), None, values[2].clone()]);
        assert_eq!(key(&plan, &removal), key(&plan, &values));
        assert_ne!(row_hash(&plan, &removal), row_hash(&plan, &values));
    }

    #[test]
    fn a_row_without_its_key_has_no_identity() {
        let plan = plan();
        let values = |mail: Option<Value>| project(&plan, vec![mail, None, Some("prf_1".into())]);
        assert!(identity(&plan, &values(None)).is_none());
        assert!(identity(&plan, &values(Some("".into()))).is_none());
        assert!(identity(&plan, &values(Some("a@x.eu".into()))).is_some());
    }
}
