use super::*;
use cdp_domain::json;

const RECEIVED: Timestamp = Timestamp(1_800_000_000_000);

fn read(text: &str) -> Value {
    json::parse(text.as_bytes(), json::Options { nan_as_null: true, ..Default::default() }).unwrap()
}

fn sent(text: &str, batch_sent_at: Option<&str>) -> Incoming {
    let batch_sent_at = batch_sent_at.map(|at| Timestamp::parse(at).unwrap());
    to_event(read(text), Sent { received: RECEIVED, batch_sent_at, bytes: 0 }).unwrap()
}

fn event(text: &str) -> Value {
    sent(text, None).value
}

fn identifiers(event: &Value) -> Vec<String> {
    let Some(Value::List(items)) = event.pointer("/identifiers") else { panic!("no identifiers") };
    let text = |item: &Value, place: &str| item.pointer(place).unwrap().as_text().unwrap().to_owned();
    items.iter().map(|item| format!("{}={}", text(item, "/type"), text(item, "/value"))).collect()
}

#[test]
fn a_track_call_is_an_event_of_its_name() {
    let event = event(
        r#"{"type":"track","event":"Order Completed","userId":12345,"anonymousId":null,"messageId":"m1",
            "timestamp":"2024-03-01T09:05:00.000+00:00","properties":{"revenue":15.3},"context":{"ip":"::1"},"integrations":{}}"#,
    );
    assert_eq!(event.pointer("/id").unwrap(), &Value::from("m1"));
    assert_eq!(event.pointer("/type").unwrap(), &Value::from("Order Completed"));
    assert_eq!(event.pointer("/time").unwrap(), &Value::from("2024-03-01T09:05:00.000Z"));
    assert_eq!(identifiers(&event), ["user_id=12345"]);
    assert_eq!(json::to_string(event.pointer("/properties").unwrap()), r#"{"revenue":15.3}"#);
    assert_eq!(event.pointer("/context/ip").unwrap(), &Value::from("::1"));
}

#[test]
fn traits_of_identify_are_traits_identifiers_and_contact_points() {
    let event = event(
        r#"{"type":"identify","userId":"u1","messageId":"m","traits":{"email":"Ada@Example.com","phone":"+44 20 7946 0018",
            "city":"Paris","$odd":1},"context":{"externalIds":[{"id":"g","type":"android.idfa","collection":"users"},
            {"id":"x","type":"other","collection":"accounts"}]}}"#,
    );
    let wanted = ["user_id=u1", "android.idfa=g", "email=Ada@Example.com", "phone=+44 20 7946 0018"];
    assert_eq!(identifiers(&event), wanted);
    assert_eq!(event.pointer("/channels/1/channel").unwrap(), &Value::from("sms"));
    assert_eq!(event.pointer("/traits/city").unwrap(), &Value::from("Paris"));
    assert_eq!(
        (event.pointer("/traits/$odd"), event.pointer("/other_traits/$odd")),
        (None, Some(&Value::from(1)))
    );
}

#[test]
fn an_address_that_is_none_stays_a_trait_and_identifies_nobody() {
    let event = event(
        r#"{"type":"identify","userId":"u1","messageId":"m","traits":{"email":"nobody","phone":null}}"#,
    );
    assert_eq!(identifiers(&event), ["user_id=u1"]);
    assert_eq!(event.pointer("/traits/email").unwrap(), &Value::from("nobody"));
    assert_eq!((event.pointer("/traits/phone"), event.pointer("/channels")), (Some(&Value::Null), None));
}

#[test]
fn an_alias_names_both_ids() {
    let event = event(r#"{"type":"alias","userId":"u1","previousId":"a2","messageId":"m"}"#);
    assert_eq!(identifiers(&event), ["user_id=u1", "user_id=a2", "anonymous_id=a2"]);
    let lone = to_event(
        read(r#"{"type":"alias","userId":"u1"}"#),
        Sent { received: RECEIVED, batch_sent_at: None, bytes: 0 },
    );
    assert_eq!(lone.unwrap_err().1[0].pointer, "/previousId");
}

#[test]
fn a_groups_traits_are_not_the_persons() {
    let event = event(
        r#"{"type":"group","userId":"u1","groupId":"g1","messageId":"m","traits":{"name":"Ltd","email":"g@example.com"}}"#,
    );
    assert_eq!(
        json::to_string(event.pointer("/properties").unwrap()),
        r#"{"groupId":"g1","traits":{"email":"g@example.com","name":"Ltd"}}"#
    );
    assert_eq!((event.pointer("/traits"), identifiers(&event)), (None, vec!["user_id=u1".to_owned()]));
}

#[test]
fn pages_keep_their_name_among_the_properties() {
    let event = event(
        r#"{"type":"page","anonymousId":"a","name":"Home","category":"Shop","messageId":"m","properties":{"name":"own","path":"/"}}"#,
    );
    assert_eq!(
        json::to_string(event.pointer("/properties").unwrap()),
        r#"{"category":"Shop","name":"own","path":"/"}"#
    );
}

#[test]
fn the_senders_clock_is_corrected() {
    let text =
        r#"{"type":"track","event":"e","userId":"u","messageId":"m","timestamp":"2030-01-01T00:00:00Z"}"#;
    let event = sent(text, Some("2030-01-01T00:00:10Z")).value;
    assert_eq!(event.pointer("/time").unwrap(), &printed(Timestamp(RECEIVED.0 - 10_000)));
    assert_eq!(event.pointer("/original_time").unwrap(), &Value::from("2030-01-01T00:00:00.000Z"));
}

#[test]
fn a_message_sent_again_has_the_same_digest_whenever_it_is_sent() {
    let with = |more: &str| format!(r#"{{"type":"track","event":"e","userId":"u","messageId":"m"{more}}}"#);
    let first = sent(&with(r#","sentAt":"2030-01-01T00:00:00Z","_metadata":{"retryCount":0}"#), None);
    let again = sent(
        &with(r#","sentAt":"2030-01-02T00:00:00Z","_metadata":{"retryCount":3}"#),
        Some("2031-01-01T00:00:00Z"),
    );
    assert_eq!(first.digest_of, again.digest_of);
    assert_ne!(first.digest_of, sent(&with(r#","properties":{"a":1}"#), None).digest_of);
}

#[test]
fn what_cannot_be_mapped_is_told_with_its_place() {
    for (text, place) in [
        (r#"{"type":"track","userId":"u","messageId":"m"}"#, "/event"),
        (r#"{"type":"dance","userId":"u","messageId":"m"}"#, "/type"),
        (r#"{"type":"page","userId":"u","messageId":"m","timestamp":"soon"}"#, "/timestamp"),
        (r#"{"type":"identify","userId":"u","messageId":"m","traits":[]}"#, "/traits"),
        (r#"{"type":"page","userId":"u","messageId":"m","properties":7}"#, "/properties"),
    ] {
        let (id, problems) =
            to_event(read(text), Sent { received: RECEIVED, batch_sent_at: None, bytes: 0 }).unwrap_err();
        assert_eq!((id.as_deref(), problems[0].pointer.as_str()), (Some("m"), place));
    }
}
