use super::*;
use cdp_domain::json;

const RECEIVED: Timestamp = Timestamp(1_800_000_000_000);

fn read(text: &str) -> Value {
    json::parse(text.as_bytes(), json::Options { nan_as_null: true, ..Default::default() }).unwrap()
}

const ALONE: Sent<'static> = Sent { received: RECEIVED, batch_sent_at: None, bytes: 0, batch: None };

fn sent(text: &str, batch_sent_at: Option<&str>) -> Incoming {
    let batch_sent_at = batch_sent_at.map(|at| Timestamp::parse(at).unwrap());
    to_event(read(text), Sent { batch_sent_at, ..ALONE }).unwrap().0
}

fn refused(text: &str) -> (Option<CompactString>, Vec<Problem>) {
    to_event(read(text), ALONE).map(|(event, _)| event.value).unwrap_err()
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
    let own = event_of_alias_to_itself();
    assert_eq!(identifiers(&own), ["user_id=u1"], "an id that is its own alias says nothing new");
    assert_eq!(refused(r#"{"type":"alias","userId":"u1"}"#).1[0].pointer, "/previousId");
}

fn event_of_alias_to_itself() -> Value {
    event(r#"{"type":"alias","userId":"u1","previousId":"u1","messageId":"m"}"#)
}

#[test]
fn ids_that_are_null_or_blank_are_nobody_and_ids_of_another_type_are_refused() {
    let event = event(r#"{"type":"page","userId":"","anonymousId":"a","messageId":null}"#);
    assert_eq!(identifiers(&event), ["anonymous_id=a"]);
    assert!(event.pointer("/id").unwrap().as_text().unwrap().starts_with("auto-"));
    for (text, place) in [
        (r#"{"type":"page","userId":null,"anonymousId":" "}"#, "/userId"),
        (r#"{"type":"page","userId":["u"]}"#, "/userId"),
        (r#"{"type":"page","userId":"u","anonymousId":true}"#, "/anonymousId"),
        (r#"{"type":"page","userId":"u","messageId":{}}"#, "/messageId"),
        (r#"{"type":"group","userId":"u"}"#, "/groupId"),
    ] {
        assert_eq!(refused(text).1[0].pointer, place, "{text}");
    }
}

#[test]
fn external_ids_that_are_no_addresses_identify_nobody() {
    let event = event(
        r#"{"type":"page","anonymousId":"a","messageId":"m","context":{"externalIds":[
            {"id":"123-456-7890","type":"phone"},{"id":"x","type":"e mail"},{"id":7,"type":"card"},{"type":"card"},8]}}"#,
    );
    assert_eq!(identifiers(&event), ["anonymous_id=a", "card=7"]);
}

#[test]
fn what_the_batch_says_for_all_does_not_change_what_identifies_a_message() {
    let text = r#"{"type":"page","anonymousId":"a","messageId":"m","context":{"ip":"::2"}}"#;
    let Value::Object(batch) = read(r#"{"context":{"ip":"::1","locale":"lv"},"integrations":{"All":false}}"#)
    else {
        unreachable!()
    };
    let (made, _) = to_event(read(text), Sent { batch: Some(&batch), ..ALONE }).unwrap();
    assert_eq!(json::to_string(made.value.pointer("/context").unwrap()), r#"{"ip":"::2","locale":"lv"}"#);
    assert_eq!(made.value.pointer("/integrations/All"), Some(&Value::from(false)));
    assert_eq!(made.digest_of, sent(text, None).digest_of);
}

#[test]
fn the_old_name_of_the_type_is_understood() {
    let event = event(r#"{"action":"track","event":"e","userId":"u","messageId":"m"}"#);
    assert_eq!(event.pointer("/type").unwrap(), &Value::from("e"));
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
    let skew = RECEIVED.0 - Timestamp::parse("2030-01-01T00:00:10Z").unwrap().0;
    assert_eq!(event.pointer("/clock_skew_ms").unwrap(), &Value::from(skew));
}

#[test]
fn a_clock_is_wrong_from_10_seconds_on_and_less_is_the_way() {
    let text = |at: &str| format!(r#"{{"type":"page","userId":"u","messageId":"m","timestamp":"{at}"}}"#);
    let at = "2026-01-01T00:00:00.000Z";
    for (sent_before_ms, skew) in [(0, 0), (10_000, 0), (10_001, 10_001), (-10_000, 0), (-10_001, -10_001)] {
        let sent_at = Timestamp(RECEIVED.0 - sent_before_ms).to_string();
        let event = sent(&text(at), Some(&sent_at)).value;
        assert_eq!(event.pointer("/clock_skew_ms").unwrap(), &Value::from(skew));
        let corrected = printed(Timestamp(Timestamp::parse(at).unwrap().0 + skew));
        assert_eq!(event.pointer("/time").unwrap(), &corrected, "{sent_before_ms}");
    }
    let without = sent(&text(at), None).value;
    assert_eq!((without.pointer("/time"), without.pointer("/clock_skew_ms")), (Some(&Value::from(at)), None));
    let beyond = sent(&text("9999-12-30T21:00:00Z"), Some("2020-01-01T00:00:00Z")).value;
    assert_eq!(beyond.pointer("/clock_skew_ms").unwrap(), &Value::from(0), "no time is made that cannot be");
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
        let (id, problems) = refused(text);
        assert_eq!((id.as_deref(), problems[0].pointer.as_str()), (Some("m"), place));
    }
}

#[test]
fn a_clock_counts_as_right_up_to_the_limit() {
    let off = |ms: i64| skew_ms(RECEIVED, Timestamp(RECEIVED.0 - ms));
    for sign in [1, -1] {
        assert_eq!(off(sign * CLOCK_SKEW_IGNORED_MS), 0);
        assert_eq!(off(sign * (CLOCK_SKEW_IGNORED_MS + 1)), sign * (CLOCK_SKEW_IGNORED_MS + 1));
    }
}
