//! One misbehaving guest per test: what it tries, and the fault that comes of it.

mod support;

use cdp_runtime::{Fault, Limits, Options, RowOutcome, Runtime};
use support::{alone, apply, events, guest, misbehave, set};

fn contract(word: &str, sentence: &str) {
    match alone(&misbehave(), word) {
        Err(Fault::Contract(why)) => assert!(why.contains(sentence), "{word}: {why}"),
        other => panic!("{word}: {other:?}"),
    }
}

fn trapped(word: &str, sentence: &str) {
    match alone(&misbehave(), word) {
        Err(Fault::Trapped(why)) => assert!(why.contains(sentence), "{word}: {why}"),
        other => panic!("{word}: {other:?}"),
    }
}

#[test]
fn an_endless_loop_runs_out_of_fuel() {
    assert_eq!(alone(&misbehave(), "loop"), Err(Fault::Fuel));
}

#[test]
fn calling_the_host_forever_runs_out_of_fuel() {
    assert_eq!(alone(&misbehave(), "log-forever"), Err(Fault::Fuel));
}

#[test]
fn memory_is_bounded_at_once_and_in_steps() {
    assert_eq!(alone(&misbehave(), "grow"), Err(Fault::Memory));
    let applied = apply(&misbehave(), "grow-in-steps", &events(1));
    assert_eq!(applied.rows, [Err(Fault::Memory)]);
    assert!(applied.usage.memory_bytes_peak <= 16 << 20, "{:?}", applied.usage);
    assert!(applied.usage.memory_bytes_peak >= 12 << 20, "{:?}", applied.usage);
}

#[test]
fn a_panic_traps_and_its_words_are_in_the_log() {
    trapped("trap", "unreachable");
    let applied = apply(&misbehave(), "trap", &events(1));
    assert!(applied.log.iter().any(|line| line.message.contains("asked to trap")), "{:?}", applied.log);
}

#[test]
fn recursion_and_exit_trap() {
    assert!(matches!(alone(&misbehave(), "recurse"), Err(Fault::Trapped(_))));
    trapped("exit", "exit");
}

#[test]
fn a_sleep_takes_no_time() {
    let started = std::time::Instant::now();
    alone(&misbehave(), "sleep").unwrap();
    assert!(started.elapsed().as_secs() < 60);
}

#[test]
fn a_huge_answer_and_a_huge_line_are_refused() {
    let options =
        Options { limits: Limits { memory_bytes: 128 << 20, ..Limits::default() }, ..Options::default() };
    let plugin = Runtime::new(options).unwrap().prepare(&guest("misbehave")).unwrap();
    assert_eq!(alone(&plugin, "huge-output"), Err(Fault::Output));
    assert_eq!(alone(&plugin, "log-much"), Err(Fault::Output));
}

#[test]
fn a_log_is_bounded_and_counted() {
    let applied = apply(&misbehave(), "log-flood", &events(1));
    assert!(applied.rows[0].is_ok());
    assert_eq!(applied.log.len(), 100);
    assert_eq!(applied.log_lines_dropped, 9_900);
}

#[test]
fn what_is_printed_goes_to_the_log() {
    let log = apply(&misbehave(), "print", &events(1)).log;
    let messages: Vec<_> = log.iter().map(|line| line.message.as_str()).collect();
    assert_eq!(messages, ["to standard output", "to standard error"]);
}

#[test]
fn answers_of_the_wrong_shape_break_the_contract() {
    contract("too-few-rows", "decisions has 2 items for 1 rows");
    contract("out-of-range", "row 8 of 1 rows");
    contract("unsorted-rows", "not strictly ascending");
    contract("backward-ends", "end");
    contract("wrong-cells", "another shape");
    contract("mistyped", "mistyped");
    contract("fail-without-reason", "failures has 0 items for 1 failed rows");
    contract("reason-for-kept", "row 0 is not dropped");
}

#[test]
fn values_that_are_not_what_they_claim_break_the_contract() {
    contract("not-utf-8", "not UTF-8");
    contract("not-a-number", "not finite");
    contract("not-a-decimal", "is no decimal");
    contract("not-json", "not acceptable JSON");
}

#[test]
fn what_was_not_declared_cannot_be_written() {
    contract("forbidden-pointer", "not among the declared writes");
    contract("undeclared-pointer", "not among the declared writes");
}

#[test]
fn new_events_are_checked() {
    contract("deep-document", "nested deeper");
    contract("forged-document", "only properties and traits");
    contract("far-future", "out of range");
    contract("nameless-child", "no event type");
    contract("many-children", "more than 64");
    contract("child-of-nobody", "row 1 of 1 rows");
}

#[test]
fn only_the_poison_row_pays() {
    for (word, code) in [("trap", "trapped"), ("loop", "fuel"), ("grow", "memory"), ("not-json", "contract")]
    {
        let applied = apply(&misbehave(), &format!("{word}:e77"), &events(256));
        for (at, row) in applied.rows.iter().enumerate() {
            match row {
                Ok(outcome) => {
                    assert_ne!(at, 77);
                    assert_eq!(set(outcome), [("/properties/copy".into(), Some(format!("e{at}")))]);
                }
                Err(fault) => {
                    assert_eq!((at, fault.code()), (77, code), "{word}");
                    assert!(fault.is_final());
                }
            }
        }
        assert_eq!(applied.usage.runs, 17, "{word}: halves of 256 down to one");
    }
}

#[test]
fn a_plugin_that_always_fails_is_given_up() {
    let applied = apply(&misbehave(), "trap", &events(256));
    let abandoned = applied.rows.iter().filter(|row| **row == Err(Fault::Abandoned)).count();
    assert_eq!(abandoned, 256 - 32);
    let applied = apply(&misbehave(), "loop", &events(256));
    let most = support::limits().fuel * 17;
    assert!(applied.usage.fuel <= most, "16 runs, and the one that goes over: {:?}", applied.usage);
    assert!(applied.rows.iter().all(Result::is_err));
    assert!(applied.rows.contains(&Err(Fault::Fuel)), "each call judges a row at least");
}

#[test]
fn a_plugin_that_was_given_up_is_asked_row_by_row() {
    let plugin = misbehave();
    let rows = events(64);
    apply(&plugin, "loop", &rows);
    let again = apply(&plugin, "loop", &rows[..8]);
    assert_eq!(again.rows, vec![Err(Fault::Fuel); 8]);
    assert_eq!(again.usage.runs, 8, "no run is wasted on company that will fail");
}

#[test]
fn nothing_is_remembered_between_calls() {
    let plugin = misbehave();
    for _ in 0..3 {
        let outcome = alone(&plugin, "count-calls").unwrap();
        assert_eq!(set(&outcome), [("/properties/copy".into(), Some("1".into()))]);
    }
}

#[test]
fn the_world_around_a_guest_is_inert_and_the_same_each_time() {
    let seen: Vec<_> = (0..2).map(|_| set(&alone(&misbehave(), "look-around").unwrap())).collect();
    assert_eq!(seen[0], seen[1]);
    let text = seen[0][0].1.clone().unwrap();
    assert!(text.starts_with("wall 0; slept 5; args []; vars 0;"), "{text}");
    assert!(text.contains("file true"), "{text}");
}

#[test]
fn the_plugin_judges_configurations() {
    let plugin = misbehave();
    assert_eq!(plugin.check_config("ok"), Ok(Ok(())));
    assert_eq!(plugin.check_config(""), Ok(Err(vec![": is empty".into()])));
    assert!(matches!(plugin.check_config("trap"), Err(Fault::Trapped(_))));
}

#[test]
fn many_threads_share_a_plugin() {
    let plugin = misbehave();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    assert!(matches!(alone(&plugin, "ok"), Ok(RowOutcome::Keep { .. })));
                }
            });
        }
    });
}
