//! What people may ask for: that they are forgotten, and that they are given what is held about them.

pub mod access;
pub mod erasures;
pub mod opendsr;
pub mod restrictions;
pub mod retention;
pub mod suppressions;

use cdp_domain::problem::{Code as Wrong, Problem};
use cdp_domain::value::Value;
use utoipa::ToSchema;

use crate::error::Answer;
use crate::fields::Fields;

/// A namespace and a value in it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the request")]
pub struct PersonIdentifier {
    /// Such as `email`.
    #[schema(rename = "type")]
    kind: String,
    /// In any spelling.
    value: String,
}

/// Takes `identifier` out of a request; its problems join the request's.
fn identifier(fields: &mut Fields) -> (String, String) {
    let Some(identifier) = fields.take("identifier") else {
        fields.add("identifier", Wrong::Required, "is required");
        return Default::default();
    };
    let mut inner = Fields::of(identifier);
    let kind = inner.text("type");
    let value = match inner.take("value") {
        Some(Value::Text(text)) => text.into(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => {
            inner.add("value", Wrong::WrongType, "must be a string");
            String::new()
        }
        None => {
            inner.add("value", Wrong::Required, "is required");
            String::new()
        }
    };
    if let Err(failure) = inner.finish() {
        fields.extend(failure.errors.into_iter().map(|problem: Problem| problem.under("/identifier")));
    }
    (kind, value)
}

/// Reads a request that names a person and nothing else.
fn only_identifier(body: Value) -> Answer<(String, String)> {
    let mut fields = Fields::of(body);
    let named = identifier(&mut fields);
    fields.finish()?;
    Ok(named)
}
