//! What crosses the boundary when all goes well.

mod support;

use std::sync::Arc;

use cdp_domain::value::Value;
use cdp_runtime::{Failure, Field, Grants, Kind, Request, RowOutcome, Tables};
use support::{alone, apply, apply_granted, event, events, guest, misbehave, object, runtime, set};

#[test]
fn country_names_get_their_codes() {
    let plugin = runtime().prepare(&guest("country_code")).unwrap();
    assert_eq!(plugin.descriptor().name, "country-code");
    let mut both = event("c", r#"{"country":"Unspecified"}"#);
    both.traits = object(r#"{"country":"France"}"#);
    let rows = [event("a", r#"{"country":"EIRE"}"#), event("b", "{}"), both];
    let applied = apply(&plugin, "", &rows);
    let answers: Vec<_> = applied.rows.iter().map(|row| set(row.as_ref().unwrap())).collect();
    let code = |pointer: &str, code: &str| (pointer.to_owned(), Some(code.to_owned()));
    assert_eq!(answers[0], [code("/properties/country_code", "IE")]);
    assert_eq!(answers[1], []);
    assert_eq!(answers[2], [code("/traits/country_code", "FR")]);
    assert_eq!(applied.usage.runs, 1);
}

#[test]
fn a_configuration_reaches_the_plugin() {
    let plugin = runtime().prepare(&guest("country_code")).unwrap();
    assert_eq!(plugin.check_config(r#"{"unknown":"reject"}"#), Ok(Ok(())));
    assert!(plugin.check_config(r#"{"unknown":1}"#).unwrap().is_err());
    let rows = [event("a", r#"{"country":"Atlantis"}"#)];
    let applied = apply(&plugin, r#"{"unknown":"reject"}"#, &rows);
    assert!(matches!(&applied.rows[0], Ok(RowOutcome::Fail(Failure::Rejected(_)))), "{applied:?}");
}

#[test]
fn values_of_every_kind_come_back_as_they_went() {
    let full = r#"{"total":64.20,"count":-7,"weight":0.1,"gift":true,"items":[{"sku":"a","n":1e400}]}"#;
    let text = r#"{"total":"64.20","count":7.0,"weight":3,"gift":null,"items":"x"}"#;
    let wrong = r#"{"total":"much","count":7.5,"weight":"heavy","gift":"yes"}"#;
    let rows = [event("a", full), event("b", text), event("c", wrong)];
    let applied = apply(&misbehave(), "echo", &rows);
    let values = |at: usize| -> Vec<Option<String>> {
        set(applied.rows[at].as_ref().unwrap()).into_iter().map(|(_, value)| value).collect()
    };
    let some = |texts: [&str; 5]| texts.map(|text| Some(text.to_owned())).to_vec();
    assert_eq!(values(0), some(["64.2", "-7", "0.1", "true", r#"[{"n":1e400,"sku":"a"}]"#]));
    assert_eq!(values(1), some(["64.2", "7", "3", "null", "x"]));
    assert_eq!(values(2), [None, None, None, None, None]);
    let RowOutcome::Keep { assignments, .. } = applied.rows[0].as_ref().unwrap() else { panic!() };
    assert_eq!(assignments[3].1, Some(Value::from(true)));
}

#[test]
fn every_decision_and_failure_arrives() {
    let plugin = misbehave();
    assert_eq!(alone(&plugin, "drop"), Ok(RowOutcome::Drop { reason: "asked to".into() }));
    assert_eq!(alone(&plugin, "reject"), Ok(RowOutcome::Fail(Failure::Rejected("asked to".into()))));
    assert_eq!(alone(&plugin, "retry"), Ok(RowOutcome::Fail(Failure::Transient(Some(250)))));
    assert_eq!(
        alone(&plugin, "misconfigured"),
        Ok(RowOutcome::Fail(Failure::Misconfigured("asked to".into())))
    );
}

#[test]
fn children_are_numbered_in_their_order() {
    let Ok(RowOutcome::Keep { children, .. }) = alone(&misbehave(), "bear") else { panic!() };
    assert_eq!(
        children.iter().map(|child| (child.index, child.time.0)).collect::<Vec<_>>(),
        [(0, 0), (1, 1)]
    );
    assert_eq!(children[0].kind, "born");
    assert!(children[0].document.pointer("/properties/n").is_some());
}

#[test]
fn what_is_not_granted_is_absent_and_left_out() {
    let field = |pointer: &str| Field { pointer: pointer.into(), kind: Kind::Text };
    let rows = [event("a", r#"{"total":1,"count":1,"weight":1,"gift":true,"items":1}"#)];
    let plugin = misbehave();
    let write = Request::Write(field("/properties/copy"));
    let grants = Grants::of([Request::Read(field("/properties/count")), write]);
    let applied = apply_granted(&plugin, "presences", &rows, &grants);
    let seen = set(applied.rows[0].as_ref().unwrap())[0].1.clone().unwrap();
    assert_eq!(seen.matches("Absent").count(), 5, "{seen}");
    let applied = apply_granted(&plugin, "ok", &rows, &Grants::of([]));
    assert_eq!(applied.rows[0], Ok(RowOutcome::untouched()));
}

#[test]
fn requests_name_everything_that_is_asked_for() {
    let requests = misbehave().requests();
    assert_eq!(requests.len(), 6 + 6 + 1);
    assert_eq!(requests.last(), Some(&Request::Table { name: "vat".into() }));
}

struct Vat;

impl Tables for Vat {
    fn get(&self, table: &str, key: &str) -> Option<Option<String>> {
        (table == "vat" || table == "salaries").then(|| (key == "DE").then(|| "19".to_owned()))
    }
}

#[test]
fn declared_tables_are_served_and_others_do_not_exist() {
    let plugin = misbehave();
    let grants = Grants::all().with_tables(Arc::new(Vat));
    let look = |config: &str, grants: &Grants| {
        set(apply_granted(&plugin, config, &events(1), grants).rows[0].as_ref().unwrap())[0]
            .1
            .clone()
            .unwrap()
    };
    assert_eq!(look("look-up", &grants), r#"Ok([Some("19"), None])"#);
    assert!(look("look-up-elsewhere", &grants).starts_with("Err"), "only declared tables are served");
    assert!(look("look-up", &Grants::all()).starts_with("Err"));
    let write = Request::Write(Field { pointer: "/properties/copy".into(), kind: Kind::Text });
    let partly = Grants::of([write]).with_tables(Arc::new(Vat));
    assert!(look("look-up", &partly).starts_with("Err"), "only granted tables are served");
}

#[test]
fn more_rows_than_one_run_takes_keep_their_order() {
    let events = events(2_500);
    let applied = apply(&misbehave(), "ok", &events);
    assert_eq!(applied.usage.runs, 3);
    for (event, row) in events.iter().zip(&applied.rows) {
        assert_eq!(set(row.as_ref().unwrap())[0].1.as_deref(), Some(event.id.as_str()));
    }
}

#[test]
fn no_rows_cost_nothing() {
    let applied = apply(&misbehave(), "ok", &[]);
    assert_eq!((applied.rows.len(), applied.usage.runs), (0, 0));
}
