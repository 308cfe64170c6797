//! Derivations: what crosses the boundary when all goes well, and what comes of each misdeed.
#![expect(clippy::unwrap_used, reason = "this whole target is tests")]

mod support;

use std::sync::Arc;

use cdp_domain::event::Event;
use cdp_domain::json;
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_runtime::{
    BindError, Derivation, Deriver, Error, Failed, Failure, Fault, Folded, Grants, Group, Kind, Limits, Row,
    World,
};
use support::{event, events, guest, runtime};

const DAY_MS: i64 = 86_400_000;

fn misfold() -> Arc<Deriver> {
    runtime().prepare_deriver(&guest("misfold")).unwrap()
}

fn bound(config: &str) -> Derivation {
    misfold().bind(config, Grants::all(), Limits::default()).unwrap()
}

fn rows(events: &[Event]) -> Vec<Row<'_>> {
    events.iter().map(|event| Row { event, received_at: Timestamp(1_735_689_601_234) }).collect()
}

/// Folds events onto nothing, as one group.
fn fold(derivation: &Derivation, events: &[Event]) -> Result<Folded, Failed> {
    derivation.fold(&[Group { state: &[], rows: &rows(events) }]).items.remove(0)
}

fn read(derivation: &Derivation, state: &[u8]) -> Vec<Option<String>> {
    let reading = derivation.read(Timestamp(1_735_700_000_000), &[state]).items.remove(0).unwrap();
    let text = |value: Value| value.as_text().map_or_else(|| json::to_string(&value), str::to_owned);
    reading.values.into_iter().map(|value| value.map(text)).collect()
}

fn some(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| Some((*text).to_owned())).collect()
}

#[test]
fn the_first_derivation_knows_a_customer() {
    let plugin = runtime().prepare_deriver(&guest("rfm")).unwrap();
    assert_eq!(plugin.inspection().world, World::Deriver);
    assert!(!plugin.retracts() && !plugin.migrates());
    assert_eq!(plugin.check_config(r#"{"purchases":"purchase"}"#), Ok(Ok(())));
    let rfm = plugin.bind("", Grants::all(), Limits::default()).unwrap();
    let names: Vec<_> = rfm.shape().outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(names, ["recency_days", "frequency", "monetary", "score"]);
    assert_eq!(rfm.shape().outputs[2].kind, Kind::Decimal);
    assert!(rfm.shape().laws.commutative && rfm.shape().laws.mergeable);
    let events = [event("a", r#"{"total":"64.20"}"#), event("b", r#"{"revenue":0.1}"#), event("c", "{}")];
    let folded = fold(&rfm, &events).unwrap();
    assert_eq!(folded.skipped, []);
    assert_eq!(read(&rfm, &folded.state), some(&["0", "3", "64.3", "522"]));
    let until = rfm.read(Timestamp(1_735_700_000_000), &[&folded.state]).items.remove(0).unwrap().valid_until;
    assert_eq!(until, Some(Timestamp(1_735_689_600_000 + DAY_MS)));
}

#[test]
fn what_is_not_granted_is_not_folded() {
    let plugin = runtime().prepare_deriver(&guest("rfm")).unwrap();
    let rfm = plugin.bind("", Grants::of([]), Limits::default()).unwrap();
    let folded = fold(&rfm, &[event("a", r#"{"total":"64.20"}"#)]).unwrap();
    assert_eq!(read(&rfm, &folded.state)[2].as_deref(), Some("0"));
}

#[test]
fn many_groups_go_in_one_run_and_keep_their_states_apart() {
    let honest = bound("honest");
    let all = events(900);
    let rows = rows(&all);
    let groups: Vec<Group<'_>> = rows.chunks(3).map(|rows| Group { state: &[], rows }).collect();
    let answers = honest.fold(&groups);
    assert_eq!(answers.usage.runs, 1);
    let states: Vec<Vec<u8>> = answers.items.into_iter().map(|item| item.unwrap().state).collect();
    assert_eq!(read(&honest, &states[0]), some(&["3", "e2"]));
    assert_eq!(read(&honest, &states[299]), some(&["3", "e899"]));
    let pairs: Vec<(&[u8], &[u8])> =
        states.chunks(2).map(|two| (two[0].as_slice(), two[1].as_slice())).collect();
    let joined = honest.combine(&pairs);
    assert_eq!(joined.usage.runs, 1);
    assert_eq!(read(&honest, joined.items[0].as_ref().unwrap()), some(&["6", "e5"]));
}

#[test]
fn more_rows_than_one_run_takes_go_on_where_they_ended() {
    let honest = bound("honest");
    let all = events(2_500);
    let answers = honest.fold(&[
        Group { state: &[], rows: &rows(&all[..2_000]) },
        Group { state: &[], rows: &rows(&all[2_000..]) },
        Group { state: &[], rows: &[] },
    ]);
    assert_eq!(answers.usage.runs, 3);
    let states: Vec<_> = answers.items.into_iter().map(|item| item.unwrap().state).collect();
    assert_eq!(read(&honest, &states[0])[0].as_deref(), Some("2000"));
    assert_eq!(read(&honest, &states[1])[0].as_deref(), Some("500"));
    assert!(states[2].is_empty(), "no rows, no call, no state");
}

#[test]
fn rows_of_other_types_are_passed_over() {
    let mut other = event("b", "{}");
    other.kind = "unheard-of".into();
    let honest = bound("honest");
    let folded = fold(&honest, &[event("a", "{}"), other.clone(), event("c", "{}")]).unwrap();
    assert_eq!(read(&honest, &folded.state), some(&["2", "c"]));
    assert_eq!(honest.fold(&[Group { state: b"kept", rows: &rows(&[other]) }]).usage.runs, 0);
}

#[test]
fn what_was_folded_can_be_taken_out_again() {
    let honest = bound("honest");
    let all = events(3);
    let folded = fold(&honest, &all).unwrap();
    let back = honest.retract(&[Group { state: &folded.state, rows: &rows(&all[..1]) }]).unwrap();
    assert_eq!(read(&honest, &back.items[0].as_ref().unwrap().state)[0].as_deref(), Some("2"));
    let failing = bound("trap:e0");
    let back = failing.retract(&[Group { state: &folded.state, rows: &rows(&all) }]).unwrap();
    assert!(back.items[0].is_err(), "a group is taken out whole or not at all");
    assert!(runtime().prepare_deriver(&guest("rfm")).unwrap().retracts() == honest.migrate(7, &[]).is_none());
    assert_eq!(honest.migrate(0, &[&folded.state]).unwrap().items, [Ok(folded.state.clone())]);
    assert!(matches!(
        &honest.migrate(7, &[b"old"]).unwrap().items[0],
        Err(Failed::Said(Failure::Rejected(_)))
    ));
}

#[test]
fn a_poison_row_costs_itself_and_nobody_else() {
    let all = events(256);
    let rows = rows(&all);
    for (word, code) in
        [("trap", "trapped"), ("loop", "fuel"), ("reject", "rejected"), ("state-too-large", "contract")]
    {
        let derivation = bound(&format!("{word}:e77"));
        let groups: Vec<Group<'_>> = rows.chunks(16).map(|rows| Group { state: &[], rows }).collect();
        for (at, item) in derivation.fold(&groups).items.into_iter().enumerate() {
            let folded = item.unwrap();
            let count = read(&derivation, &folded.state)[0].clone().unwrap();
            if at == 4 {
                assert_eq!(
                    (folded.skipped.len(), folded.skipped[0].row, folded.skipped[0].why.code()),
                    (1, 13, code)
                );
                assert_eq!(count, "15", "{word}");
            } else {
                assert_eq!((folded.skipped.len(), count.as_str()), (0, "16"), "{word}, group {at}");
            }
        }
    }
}

#[test]
fn a_wrong_configuration_is_everybodys_and_is_not_searched_for() {
    let all = events(64);
    let rows = rows(&all);
    let groups: Vec<Group<'_>> = rows.chunks(2).map(|rows| Group { state: &[], rows }).collect();
    for (word, code) in [("misconfigured:e7", "misconfigured"), ("retry:e7", "transient")] {
        let answers = bound(word).fold(&groups);
        assert_eq!(answers.usage.runs, 1);
        assert!(answers.items.iter().all(|item| item.as_ref().is_err_and(|failed| failed.code() == code)));
    }
}

#[test]
fn a_deriver_that_always_fails_is_given_up() {
    let all = events(256);
    let rows = rows(&all);
    let groups: Vec<Group<'_>> = rows.chunks(1).map(|rows| Group { state: &[], rows }).collect();
    let answers = bound("trap").fold(&groups);
    let given_up = answers.items.iter().filter(|item| **item == Err(Failed::Fault(Fault::Abandoned))).count();
    assert_eq!(given_up, 256 - 32);
}

#[test]
fn states_that_break_the_contract_are_not_kept() {
    for (word, sentence) in [
        ("too-few-states", "states has 0 items for 1"),
        ("backward-ends", "states: end 0"),
        ("state-too-large", "has 65 bytes, the shape says at most 64"),
    ] {
        let folded = fold(&bound(word), &events(1)).unwrap();
        assert!(folded.state.is_empty());
        assert!(folded.skipped[0].why.to_string().contains(sentence), "{word}: {:?}", folded.skipped);
    }
}

#[test]
fn readings_that_break_the_contract_are_not_believed() {
    let state = fold(&bound("honest"), &events(1)).unwrap().state;
    for (word, sentence) in [
        ("read-traps", "trapped"),
        ("read-nothing", "output count: 0 values for 1 rows"),
        ("read-past", "not after as-of"),
        ("read-few-ends", "valid-until has 0 items for 1 states"),
        ("read-mistyped", "may not be mistyped"),
        ("read-large", "more than 1024 bytes"),
    ] {
        let failed = bound(word).read(Timestamp(0), &[&state]).items.remove(0).unwrap_err();
        assert!(failed.to_string().contains(sentence), "{word}: {failed}");
    }
    let absent = bound("read-absent").read(Timestamp(0), &[&state]).items.remove(0).unwrap();
    assert_eq!(absent.values, [None, None]);
}

#[test]
fn a_failing_state_is_found_among_good_ones() {
    let derivation = bound("combine-traps");
    let answers = derivation.combine(&[(&[], &[]), (&[], &[])]);
    assert_eq!(answers.items.iter().filter(|item| item.is_err()).count(), 2);
    assert_eq!(answers.usage.runs, 3);
}

#[test]
fn shapes_are_judged() {
    let bind = |config: &str| misfold().bind(config, Grants::all(), Limits::default()).unwrap_err();
    assert!(matches!(bind("trap-in-shape"), BindError::Fault(Fault::Trapped(_))));
    for (word, sentence) in [
        ("no-outputs", "outputs has 0 items"),
        ("same-outputs", "stands twice"),
        ("huge-state", "max-state-bytes is 1048576"),
    ] {
        assert!(bind(word).to_string().contains(sentence), "{word}: {}", bind(word));
    }
    let small = Limits { state_bytes: 63, ..Limits::default() };
    assert!(misfold().bind("honest", Grants::all(), small).is_err(), "the smaller limit holds");
    let enough = Limits { state_bytes: 64, ..Limits::default() };
    assert!(misfold().bind("honest", Grants::all(), enough).is_ok());
}

#[test]
fn nothing_is_remembered_between_runs_and_worlds_are_not_mixed_up() {
    let derivation = bound("read-varies");
    let state = fold(&derivation, &events(1)).unwrap().state;
    assert_eq!(read(&derivation, &state), read(&derivation, &state));
    let wrong = runtime().prepare(&guest("rfm")).unwrap_err();
    assert!(matches!(wrong, Error::World { found: "deriver", wanted: "transformer" }), "{wrong}");
    assert!(matches!(runtime().prepare_deriver(&guest("misbehave")), Err(Error::World { .. })));
}

fn laws(config: &str) -> Vec<(String, Option<bool>)> {
    let tested = bound(config).test_laws();
    assert_eq!(tested, bound(config).test_laws(), "the same plugin is always judged alike");
    tested.laws.into_iter().map(|law| (law.law, law.holds)).collect()
}

fn broken(config: &str) -> Vec<String> {
    laws(config).into_iter().filter(|(_, holds)| *holds == Some(false)).map(|(law, _)| law).collect()
}

#[test]
fn laws_that_hold_are_found_to_hold() {
    let rfm = runtime().prepare_deriver(&guest("rfm")).unwrap();
    let tested = rfm.bind("", Grants::all(), Limits::default()).unwrap().test_laws();
    for law in ["deterministic", "steps", "commutative", "mergeable"] {
        assert!(tested.holds(law), "{law}: {tested:#?}");
    }
    assert!(!tested.holds("idempotent") && !tested.holds("retract"), "neither is promised");
    assert_eq!(tested.nondeterministic(), None);
}

#[test]
fn a_promise_that_is_broken_is_found() {
    // It promises everything; an honest count is no set and forgets what it took out only by number.
    assert_eq!(broken("honest"), ["idempotent", "retract"]);
    assert_eq!(broken("combine-forgets"), ["mergeable", "idempotent", "retract"]);
    assert!(broken("order-matters").contains(&"commutative".to_owned()));
    assert!(broken("cuts-matter").contains(&"steps".to_owned()));
    assert!(broken("combine-traps").contains(&"mergeable".to_owned()));
    assert!(broken("retract-forgets").contains(&"retract".to_owned()));
    assert!(broken("says-it-forgets").contains(&"lookback".to_owned()));
}

#[test]
fn what_can_be_taken_out_and_what_grows_too_old_is_found() {
    let holds = |config: &str, law: &str| bound(config).test_laws().holds(law);
    assert!(holds("counts", "retract") && !holds("honest", "retract"));
    assert!(holds("forgets", "lookback") && !holds("honest", "lookback"));
}

/// The same plugin with another version of its states.
fn newer() -> Arc<Deriver> {
    let mut bytes = guest("misfold");
    let mark = b"STATE-VERSION=";
    let at = bytes.windows(mark.len()).position(|window| window == mark).unwrap() + mark.len();
    bytes[at] = b'2';
    runtime().prepare_deriver(&bytes).unwrap()
}

#[test]
fn states_are_taken_over_where_that_gives_the_bytes_of_folding_anew() {
    let bind =
        |deriver: Arc<Deriver>, config: &str| deriver.bind(config, Grants::all(), Limits::default()).unwrap();
    let carried = |config: &str| bind(newer(), config).carries_over(&bind(misfold(), config));
    assert_eq!(bind(newer(), "honest").shape().state_version, 2);
    assert_eq!(carried("honest"), Ok(()));
    assert_eq!(carried("counts"), Ok(()));
    let why = carried("migrate-forgets").unwrap_err();
    assert!(why.contains("differ from those folded anew"), "{why}");
    let back = bind(misfold(), "honest").carries_over(&bind(newer(), "honest")).unwrap_err();
    assert!(back.contains("no state of version 2"), "{back}");
    let rfm = bind(runtime().prepare_deriver(&guest("rfm")).unwrap(), "");
    assert!(rfm.carries_over(&rfm).unwrap_err().contains("takes over no older states"));
}

#[test]
fn what_is_not_promised_is_not_relied_on() {
    let plain: Vec<_> =
        laws("plain").into_iter().filter(|(_, holds)| holds.is_none()).map(|(law, _)| law).collect();
    assert_eq!(plain, ["commutative", "mergeable", "idempotent", "lookback"]);
}

#[test]
fn what_answers_by_the_company_is_refused() {
    let tested = bound("company-matters").test_laws();
    let why = tested.nondeterministic().unwrap();
    assert!(why.contains("in other company"), "{why}");
    assert!(tested.laws[1..].iter().all(|law| law.holds.is_none()), "it says nothing about laws");
}
