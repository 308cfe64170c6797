//! What is known of an event only when it is accepted, and stands behind it in its journal record.
//!
//! Nearly every event has nothing of it, and then its record holds nothing of it either. What stands there is fixed:
//! applying the record again, on a rebuild or in a replay, finds the same.

use cdp_domain::identifier::Pinned;
use cdp_domain::problem::Problem;
use cdp_domain::value::Value;
use serde::{Deserialize, Serialize};

use crate::consent::Guarded;
use crate::error::{Refused, Result};

/// Format of what stands behind an event.
const VERSION: u8 = 2;
/// The format before there were guards.
const VERSION_1: u8 = 1;

/// What acceptance found out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Acceptance {
    /// What the schema of the event's type said, where it said anything.
    pub(crate) checked: Option<Checked>,
    /// The normal forms of its telephone numbers, by the numbering plans of that day.
    pub(crate) pinned: Option<Pinned>,
    /// What was taken out because a purpose's consent was missing.
    pub(crate) guarded: Vec<Guarded>,
}

/// The same in the first format.
#[derive(Deserialize)]
struct First {
    checked: Option<Checked>,
    pinned: Option<Pinned>,
}

impl From<First> for Acceptance {
    fn from(First { checked, pinned }: First) -> Self {
        Self { checked, pinned, guarded: Vec::new() }
    }
}

/// What a schema said about an event that does not conform to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The version of the schema.
    pub version: u32,
    /// Pointers to the values that were left out.
    pub omitted: Vec<String>,
    /// Why the event was kept out of state; empty when it was not.
    pub quarantined: Vec<Problem>,
}

impl Acceptance {
    /// Appends it to an encoded event; nothing when there is nothing.
    pub(crate) fn append_to(&self, payload: Vec<u8>) -> Vec<u8> {
        if *self == Self::default() {
            return payload;
        }
        let mut payload = payload;
        payload.push(VERSION);
        postcard::to_extend(self, payload).expect("encoding into memory")
    }
}

/// An event's record, opened: the event as sent, less what was left out, and what acceptance found out.
pub(crate) fn read(payload: &[u8]) -> Result<(Value, Option<Box<Acceptance>>)> {
    let (value, rest) = postcard::take_from_bytes(payload).map_err(Refused::internal)?;
    let acceptance = match rest {
        [] => None,
        [VERSION_1, rest @ ..] => {
            Some(Box::new(postcard::from_bytes::<First>(rest).map_err(Refused::internal)?.into()))
        }
        [VERSION, rest @ ..] => Some(postcard::from_bytes(rest).map_err(Refused::internal)?),
        _ => return Err(Refused::internal("a record holds more than this release can read")),
    };
    Ok((value, acceptance))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdp_domain::problem::Code;

    #[test]
    fn what_stands_behind_an_event_is_read_back_and_nothing_stands_behind_most() {
        let event = Value::from("the event");
        let payload = crate::rows::encode(&event);
        assert_eq!(read(&payload).unwrap(), (event.clone(), None));
        let problem = Problem::new("/properties/x", Code::WrongType, "must be a number");
        let checked =
            Checked { version: 3, omitted: vec!["/properties/y".into()], quarantined: vec![problem] };
        let pinned = Pinned { metadata: "9.0.42".into(), phones: vec![("+371 2".into(), "+3712".into())] };
        let taken = Guarded { purpose: "care".into(), pointer: "/properties/note".into(), hashed: false };
        let acceptance = Acceptance { checked: Some(checked), pinned: Some(pinned), guarded: vec![taken] };
        let mut first = payload.clone();
        first.push(VERSION_1);
        let first = postcard::to_extend(&(&acceptance.checked, &acceptance.pinned), first).unwrap();
        let without = Acceptance { guarded: Vec::new(), ..acceptance.clone() };
        assert_eq!(read(&first).unwrap(), (event.clone(), Some(Box::new(without))), "the first format");
        let payload = acceptance.append_to(payload);
        assert_eq!(read(&payload).unwrap(), (event, Some(Box::new(acceptance))));
        let mut newer = crate::rows::encode(&Value::Null);
        newer.push(VERSION + 1);
        assert!(read(&newer).is_err());
    }
}
