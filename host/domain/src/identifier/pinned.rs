//! Normal forms that rest on tables which change, kept as they were found when an event was accepted.
//!
//! An event is stored as it was sent, and read again at every rebuild. Numbering plans grow and are corrected between
//! two readings; then a number could become another identifier, or none, and a person fall apart without anybody having
//! decided so. So what was found is stored behind the event, with the release of the plans that it was found by, and holds
//! for that event for ever. Numbers received from then on go by the new plans.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::{Normaliser, phone};
use crate::identity::Rules;
use crate::value::{Object, Value};

/// The forms of one event's telephone numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    /// The release of the numbering plans: [`phone::METADATA`] of the server that accepted the event.
    pub metadata: CompactString,
    /// As sent, and normal; each once.
    pub phones: Vec<(CompactString, CompactString)>,
}

impl Pinned {
    /// What is to be kept of an event that is about to be accepted; None when it has no telephone number.
    #[must_use]
    pub fn of(event: &Object, rules: &Rules) -> Option<Self> {
        let mut phones = Vec::new();
        let mut look = |list: &str, kind: &str, value: &str, normaliser: &dyn Fn(&str) -> Normaliser| {
            let Some(Value::List(items)) = event.get(list) else { return };
            for item in items {
                let Some(object) = item.as_object() else { continue };
                let of = |name| object.get(name).and_then(Value::as_text);
                let (Some(kind), Some(raw)) = (of(kind), of(value)) else { continue };
                if normaliser(kind) != Normaliser::Phone || phones.iter().any(|(known, _)| known == raw) {
                    continue;
                }
                if let Ok(form) = Normaliser::Phone.normalise(raw) {
                    phones.push((CompactString::from(raw), form));
                }
            }
        };
        look("identifiers", "type", "value", &|kind| rules.normaliser(kind));
        look("channels", "channel", "address", &Normaliser::usual_for);
        look("consents", "channel", "address", &Normaliser::usual_for);
        (!phones.is_empty()).then(|| Self { metadata: phone::METADATA.into(), phones })
    }

    /// The form that was found for what was sent.
    #[must_use]
    pub fn form(&self, raw: &str) -> Option<&CompactString> {
        self.phones.iter().find(|(known, _)| known == raw).map(|(_, form)| form)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Defaults, Event};
    use crate::json;
    use crate::time::Timestamp;

    fn event(identifiers: &str, rest: &str) -> Value {
        let text = format!(r#"{{"id":"1","type":"x","identifiers":{identifiers}{rest}}}"#);
        json::parse(text.as_bytes(), json::Options::default()).unwrap()
    }

    #[test]
    fn every_number_of_an_event_is_pinned_once_and_nothing_else() {
        let value = event(
            r#"[{"type":"phone","value":"+44 20 7946 0018"},{"type":"user_id","value":"+44 20 7946 0018"}]"#,
            r#","channels":[{"channel":"sms","address":"+44 20 7946 0018"},{"channel":"email","address":"a@b.eu"}],
               "consents":[{"channel":"whatsapp","address":"+371 20000000","purpose":"p","status":"granted"}]"#,
        );
        let rules = Rules::default();
        let pinned = Pinned::of(value.as_object().unwrap(), &rules).unwrap();
        assert_eq!(pinned.metadata, phone::METADATA);
        let forms: Vec<_> = pinned.phones.iter().map(|(raw, form)| (raw.as_str(), form.as_str())).collect();
        assert_eq!(forms, [("+44 20 7946 0018", "+442079460018"), ("+371 20000000", "+37120000000")]);
        let none = event(r#"[{"type":"email","value":"a@b.eu"}]"#, "");
        assert_eq!(Pinned::of(none.as_object().unwrap(), &rules), None);
    }

    #[test]
    fn what_was_found_holds_whatever_the_plans_say_later() {
        let raw = "+1 000 000 0000";
        let value = event(r#"[{"type":"phone","value":"+1 000 000 0000"}]"#, "");
        let rules = Rules::default();
        let defaults = Defaults { source: "s", time: Timestamp(0), rules: &rules };
        assert!(Event::from_value(value.clone(), defaults).is_err(), "these plans do not know it");
        let pinned = Pinned { metadata: "8.0".into(), phones: vec![(raw.into(), "+10000000000".into())] };
        let event = Event::from_stored(value, defaults, Some(&pinned)).unwrap();
        assert_eq!(event.identifiers[0].value, "+10000000000");
    }
}
