//! From a row to the event that is sent.

use cdp_domain::consent::IMPORT;
use cdp_domain::event::{Defaults, Event};
use cdp_domain::identity::Rules;
use cdp_domain::json;
use cdp_domain::limits::EVENT_BYTES_MAX;
use cdp_domain::problem::{Code, Problem};
use cdp_domain::time::Timestamp;
use cdp_domain::value::{Object, Value};

use super::input::{Content, Place, Row};
use super::mapping::Mapping;
use super::report::{Reason, Refused};
use super::{Kind, Ready};

/// The beginning of ids that are made here.
const MADE_ID: &str = "imp_";
/// What an imported profile is as an event.
const PROFILE_EVENT: &str = "profile_imported";

/// Makes events out of rows.
pub(super) struct Shaper<'a> {
    pub(super) kind: Kind,
    pub(super) source: &'a str,
    /// Of rows that have none.
    pub(super) time: Option<Timestamp>,
    pub(super) mapping: &'a Mapping,
}

/// A row as the event that it becomes.
pub(super) struct Shaped {
    place: Place,
    event: Value,
    made_id: bool,
}

impl Shaped {
    /// As it is sent.
    pub(super) fn ready(self) -> Result<Ready, Refused> {
        let (place, text) = (self.place, json::to_string(&self.event));
        if text.len() > EVENT_BYTES_MAX {
            let detail = format!("is longer than {EVENT_BYTES_MAX} bytes as an event");
            return Err(Refused::of(place, Problem::new("", Code::TooLong, detail)));
        }
        Ok(Ready { place, text, made_id: self.made_id })
    }
}

impl Shaper<'_> {
    /// The event of a row.
    pub(super) fn shape(&self, row: Row) -> Result<Shaped, Refused> {
        let place = row.place;
        let whole = |reasons| Refused { place, reasons };
        let mut event = match row.content {
            Content::Json(Value::Object(event)) => event,
            Content::Json(other) => {
                let detail = format!("must be a JSON object, not {}", other.type_name());
                return Err(Refused::of(place, Problem::new("", Code::WrongType, detail)));
            }
            Content::Cells(cells) => self.mapping.object(&cells).map_err(whole)?,
        };
        self.mapping.complete(&mut event).map_err(whole)?;
        if self.kind == Kind::Profiles {
            self.check_profile(place, &event)?;
        }
        let own_time = says(&event, "time");
        self.mark_consents(&mut event, own_time);
        if !says(&event, "source") {
            event.insert("source", self.source.into());
        }
        if self.kind == Kind::Profiles && !says(&event, "type") {
            event.insert("type", PROFILE_EVENT.into());
        }
        let made_id = !says(&event, "id");
        if made_id {
            // Made before the time of the whole file is put in: the same file as of another time is the same rows.
            let id = id_of(&event);
            event.insert("id", id.as_str().into());
        }
        if let Some(time) = self.time.filter(|_| !own_time) {
            event.insert("time", time.to_string().as_str().into());
        }
        Ok(Shaped { place, event: Value::Object(event), made_id })
    }

    /// Whether the server would take it, as far as that needs no server: the usual rules, not the tenant's own.
    pub(super) fn check(&self, shaped: Shaped) -> Result<(), Refused> {
        let rules = Rules::default();
        let defaults = Defaults { source: self.source, time: Timestamp(0), rules: &rules };
        Event::from_value(shaped.event.clone(), defaults).map_err(|problems| {
            let reasons = problems.into_iter().map(Reason::of).collect();
            let mut refused = Refused { place: shaped.place, reasons };
            self.name_columns_of(&mut refused, &shaped.event);
            refused
        })?;
        shaped.ready().map(drop)
    }

    /// Adds the columns that reasons come from.
    pub(super) fn name_columns(&self, refused: &mut Refused, event: &str) {
        if let Ok(event) = json::parse(event.as_bytes(), json::Options::default()) {
            self.name_columns_of(refused, &event);
        }
    }

    fn name_columns_of(&self, refused: &mut Refused, event: &Value) {
        let Some(event) = event.as_object() else { return };
        for reason in &mut refused.reasons {
            reason.column = reason.column.take().or_else(|| self.mapping.column(&reason.pointer, event));
        }
    }

    fn check_profile(&self, place: Place, profile: &Object) -> Result<(), Refused> {
        let problem = |name: &str, detail: &str| {
            Refused::of(place, Problem::new(format!("/{name}"), Code::Unknown, detail))
        };
        match profile.get("properties") {
            None | Some(Value::Null) => Ok(()),
            Some(_) => {
                Err(problem("properties", "belong to events; what is known about a person are traits"))
            }
        }
    }

    /// Marks every consent as imported, and dates it where the row says when: an event's own time is when it was decided.
    fn mark_consents(&self, event: &mut Object, own_time: bool) {
        let time = event.get("time").cloned().filter(|_| own_time && self.kind == Kind::Events);
        let Some(Value::List(consents)) = event.get("consents") else { return };
        let mut consents = consents.clone();
        for consent in &mut consents {
            let Value::Object(consent) = consent else { continue };
            if !says(consent, "time")
                && let Some(time) = &time
            {
                consent.insert("time", time.clone());
            }
            // A file's word for an undated grant is worth what an import's word is worth.
            if !says(consent, "method") || !says(consent, "time") {
                consent.insert("method", IMPORT.into());
            }
        }
        event.insert("consents", Value::List(consents));
    }
}

fn says(object: &Object, name: &str) -> bool {
    !matches!(object.get(name), None | Some(Value::Null))
}

/// An id from what the row says: the same content is the same event.
fn id_of(event: &Object) -> String {
    let text = json::to_string(&Value::Object(event.clone()));
    format!("{MADE_ID}{}", &blake3::hash(text.as_bytes()).to_hex()[..32])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(kind: Kind, time: Option<i64>, text: &str) -> Result<String, Refused> {
        let mapping = Mapping::default();
        let shaper = Shaper { kind, source: "file", time: time.map(Timestamp), mapping: &mapping };
        let value = json::parse(text.as_bytes(), json::Options::default()).unwrap();
        let row = Row { place: Place { row: 1, line: 1 }, content: Content::Json(value) };
        let text = json::to_string(&shaper.shape(row)?.event);
        let value = json::parse(text.as_bytes(), json::Options::default()).unwrap();
        let again = Row { place: Place { row: 1, line: 1 }, content: Content::Json(value) };
        shaper.check(shaper.shape(again)?)?;
        Ok(text)
    }

    const PROFILE: &str = r#"{"identifiers":[{"type":"email","value":"a@b.eu"}],"traits":{"city":"Riga"},"consents":[{"channel":"email","address":"a@b.eu","purpose":"news","status":"granted","method":"web-form"}]}"#;

    fn id(event: &str) -> String {
        let value = json::parse(event.as_bytes(), json::Options::default()).unwrap();
        value.pointer("/id").and_then(Value::as_text).unwrap().to_owned()
    }

    #[test]
    fn the_id_comes_from_what_the_row_says_and_not_from_when_it_is_imported() {
        let (one, two) = (
            shape(Kind::Profiles, Some(1), PROFILE).unwrap(),
            shape(Kind::Profiles, Some(2), PROFILE).unwrap(),
        );
        assert_eq!(id(&one), id(&two));
        assert_ne!(one, two);
        let other = shape(Kind::Profiles, Some(1), &PROFILE.replace("Riga", "Liepāja")).unwrap();
        assert_ne!(id(&one), id(&other));
        let spelt = PROFILE.replace(r#""traits":{"city":"Riga"},"#, "");
        let moved = spelt.replacen('{', r#"{ "traits" : {"city":"Riga"},"#, 1);
        assert_eq!(
            id(&one),
            id(&shape(Kind::Profiles, Some(1), &moved).unwrap()),
            "spelling does not matter"
        );
    }

    #[test]
    fn an_undated_consent_of_a_profile_is_an_imports_whatever_it_calls_itself() {
        let event = shape(Kind::Profiles, Some(5), PROFILE).unwrap();
        assert!(event.contains(r#""method":"import""#) && !event.contains("web-form"), "{event}");
        let dated = PROFILE.replace(r#""granted""#, r#""granted","time":"2026-01-01T00:00:00Z""#);
        let event = shape(Kind::Profiles, Some(5), &dated).unwrap();
        assert!(event.contains("web-form"), "{event}");
    }

    #[test]
    fn an_events_consent_was_decided_when_the_event_happened() {
        let text = PROFILE.replacen('{', r#"{"type":"signed_up","time":"2026-02-02T00:00:00Z","#, 1);
        let event = shape(Kind::Events, None, &text).unwrap();
        assert_eq!(event.matches("2026-02-02T00:00:00Z").count(), 2, "{event}");
        assert!(event.contains("web-form"), "{event}");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let refused =
            shape(Kind::Events, None, r#"{"identifiers":[{"type":"email","value":"nobody"}]}"#).unwrap_err();
        let pointers: Vec<_> = refused.reasons.iter().map(|reason| reason.pointer.as_str()).collect();
        assert_eq!(pointers, ["/identifiers/0/value", "/type"]);
        let refused = shape(Kind::Profiles, Some(1), r#"{"identifiers":[],"properties":{}}"#).unwrap_err();
        assert_eq!(refused.reasons[0].pointer, "/properties");
    }
}
