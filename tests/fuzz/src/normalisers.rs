//! Normal forms of identifiers.

use cdp_domain::event::{Defaults, Event};
use cdp_domain::identifier::{Normaliser, email, phone};
use cdp_domain::identity::Rules;
use cdp_domain::limits::IDENTIFIER_BYTES_MAX;
use cdp_domain::time::Timestamp;
use cdp_domain::value::{Object, Value};

/// Any text as a value of each kind of identifier:
///
/// - nothing panics;
/// - a normal form is its own normal form (`normalise(normalise(x)) = normalise(x)`), and within the bounds;
/// - white space around an address or number changes nothing;
/// - an event with the value is accepted exactly when the normaliser takes it, and has the normal form.
///
/// # Panics
/// When one of these does not hold.
pub fn normalisers(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for (kind, normaliser) in
        [("email", Normaliser::Email), ("phone", Normaliser::Phone), ("opaque", Normaliser::Opaque)]
    {
        let form = normaliser.normalise(text);
        if let Ok(form) = &form {
            assert_eq!(
                normaliser.normalise(form).as_ref(),
                Ok(form),
                "{kind}: the normal form of a normal form"
            );
            match normaliser {
                Normaliser::Email => {
                    assert!(form.len() <= email::ADDRESS_BYTES_MAX && form.contains('@'), "{form}")
                }
                Normaliser::Phone => assert!(phone::is_e164(form), "{form}"),
                Normaliser::Opaque => assert_eq!(form, text),
            }
        }
        let padded = format!(" {text}\t");
        if normaliser != Normaliser::Opaque && padded.len() <= IDENTIFIER_BYTES_MAX && !text.is_empty() {
            assert_eq!(normaliser.normalise(&padded).ok(), form.as_ref().ok().cloned(), "{kind}: padded");
        }
        let event = Event::from_value(
            event_of(kind, text),
            Defaults { source: "s", time: Timestamp(0), rules: &Rules::default() },
        );
        let found = event.ok().map(|event| event.identifiers[0].value.clone());
        assert_eq!(found, form.ok(), "{kind}: an event's identifier is the normal form");
    }
    if let Some((region, number)) = text.split_at_checked(2)
        && let Ok(region) = phone::Region::parse(region)
        && let Ok(form) = phone::normalise(number.trim(), Some(region))
    {
        assert!(phone::is_e164(&form), "{form}");
        assert_eq!(
            Normaliser::Phone.normalise(&form),
            Ok(form),
            "a number dialled at home is one from abroad"
        );
    }
}

fn event_of(kind: &str, text: &str) -> Value {
    let object = |members: Vec<(&str, Value)>| {
        Value::Object(members.into_iter().map(|(name, value)| (name.into(), value)).collect::<Object>())
    };
    let identifier = object(vec![("type", kind.into()), ("value", text.into())]);
    object(vec![("id", "1".into()), ("type", "x".into()), ("identifiers", Value::List(vec![identifier]))])
}
