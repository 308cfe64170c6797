//! Answers of guests as documents, in the form that fixtures have.

use cdp_domain::json;
use cdp_domain::value::{Number, Value};
use serde_json::{Map, Value as Document};

use crate::outcome::{Failure, RowOutcome};

/// A value as a document; an exact number that is not whole stands as text, as it does on the wire.
#[must_use]
pub fn shown(value: &Value) -> Document {
    match value {
        Value::Number(number @ (Number::Big(_) | Number::Decimal(_))) => number.plain().as_str().into(),
        other => serde_json::from_str(&json::to_string(other)).unwrap_or_default(),
    }
}

impl RowOutcome {
    /// What a transformer decided about an event: `{set, remove, events}` without what is empty, or `{drop}`, `{reject}`,
    /// `{retry}` or `{misconfigured}`.
    #[must_use]
    pub fn shown(&self) -> Document {
        let one = |name: &str, value: Document| Document::from(Map::from_iter([(name.to_owned(), value)]));
        let (assignments, children) = match self {
            Self::Drop { reason } => return one("drop", reason.as_str().into()),
            Self::Fail(Failure::Rejected(why)) => return one("reject", why.as_str().into()),
            Self::Fail(Failure::Transient(ms)) => return one("retry", (*ms).into()),
            Self::Fail(Failure::Misconfigured(why)) => return one("misconfigured", why.as_str().into()),
            Self::Keep { assignments, children } => (assignments, children),
        };
        let (mut set, mut removed) = (Map::new(), Vec::new());
        for (pointer, value) in assignments {
            match value {
                Some(value) => drop(set.insert(pointer.to_string(), shown(value))),
                None => removed.push(Document::from(pointer.to_string())),
            }
        }
        let born = children.iter().map(|child| {
            let mut event = shown(&child.document);
            event["type"] = child.kind.as_str().into();
            event["time"] = child.time.to_string().into();
            event
        });
        let born: Vec<Document> = born.collect();
        let mut out = Map::new();
        if !set.is_empty() {
            out.insert("set".to_owned(), set.into());
        }
        if !removed.is_empty() {
            out.insert("remove".to_owned(), removed.into());
        }
        if !born.is_empty() {
            out.insert("events".to_owned(), born.into());
        }
        out.into()
    }
}
