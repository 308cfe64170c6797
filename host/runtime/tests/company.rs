//! What comes of a row does not depend on how rows are cut, nor on the instance it meets.

#![expect(clippy::unwrap_used, reason = "this whole target is tests")]

mod support;

use std::time::Duration;

use cdp_domain::event::Event;
use cdp_runtime::{CacheUse, Digest, Fault, Limits, Options, RowOutcome, Runtime, Transformer};
use support::{apply, event, events, guest};

/// Judges rows in parts of these sizes, in turn, asking again for what was given up on.
fn judge(plugin: &Transformer, rows: &[Event], sizes: &[usize]) -> Vec<Result<RowOutcome, Fault>> {
    let (mut out, mut rest, mut sizes) = (Vec::new(), rows, sizes.iter().cycle());
    while !rest.is_empty() {
        let (part, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
        let mut judged = apply(plugin, "spin", part).rows;
        for (at, row) in judged.iter_mut().enumerate() {
            while *row == Err(Fault::Abandoned) {
                *row = apply(plugin, "spin", &part[at..=at]).rows.remove(0);
            }
        }
        out.extend(judged);
        rest = later;
    }
    out
}

/// `CDP_COMPANY_ROWS` rows, or 96: most light, some so heavy that few fit into a run, some too heavy even alone.
fn uneven() -> Vec<Event> {
    let count = std::env::var("CDP_COMPANY_ROWS").ok().and_then(|text| text.parse().ok()).unwrap_or(96);
    let weight = |n: usize| match n % 23 {
        7 => 3_000,
        11 | 12 => 700,
        _ => n % 5,
    };
    (0..count).map(|n| event(&format!("e{n}"), &format!(r#"{{"count":{}}}"#, weight(n)))).collect()
}

#[test]
fn however_rows_are_cut_the_same_comes_of_each() {
    let limits = Limits { fuel: 5_000_000, ..support::limits() };
    let prepare = || {
        let options = Options { limits, ..Options::default() };
        Runtime::new(options).unwrap().prepare(&guest("misbehave")).unwrap()
    };
    let rows = uneven();
    let alone = judge(&prepare(), &rows, &[1]);
    let failed = alone.iter().filter(|row| row.is_err()).count();
    assert!(failed > 0 && failed < rows.len() / 2, "{failed} of {} fail alone", rows.len());
    for sizes in [&[usize::MAX][..], &[7], &[1, 50, 3, 20], &[33, 2]] {
        assert_eq!(judge(&prepare(), &rows, sizes), alone, "in parts of {sizes:?}");
    }
}

#[test]
fn a_run_is_closed_before_it_has_too_many_bytes() {
    let options = Options { limits: Limits { input_bytes: 1000, ..support::limits() }, ..Options::default() };
    let plugin = Runtime::new(options).unwrap().prepare(&guest("misbehave")).unwrap();
    let small = apply(&plugin, "ok", &events(100));
    assert!((7..20).contains(&small.usage.runs), "{:?}", small.usage);
    let text = format!(r#"{{"items":"{}"}}"#, "x".repeat(900));
    let large: Vec<_> = (0..4).map(|n| event(&format!("e{n}"), &text)).collect();
    let applied = apply(&plugin, "ok", &large);
    assert_eq!(applied.usage.runs, 4, "a row that is too large for company makes a run by itself");
    assert!(applied.rows.iter().all(Result::is_ok));
}

#[test]
fn instances_that_are_dear_to_start_are_kept() {
    let plugin = support::runtime().prepare(&cdp_hostile::dear()).unwrap();
    assert!(plugin.keeps_instances());
    let mut runs = 0;
    for _ in 0..200 {
        let applied = apply(&plugin, "", &events(3));
        assert!(applied.rows.iter().all(Result::is_ok));
        runs += applied.usage.runs;
    }
    assert!((200 + 8..260).contains(&runs), "{runs}: the first are compared, then every 16th");
    assert!(!plugin.has_hidden_state());
    let cheap = support::runtime().prepare(&cdp_hostile::harmless()).unwrap();
    let runs: u32 = (0..50).map(|_| apply(&cheap, "", &events(3)).usage.runs).sum();
    assert_eq!(runs, 50);
}

#[test]
fn what_remembers_is_found_out_and_gets_fresh_instances() {
    let plugin = support::runtime().prepare(&cdp_hostile::remembering()).unwrap();
    assert!(plugin.keeps_instances());
    for call in 0..20 {
        let rows = apply(&plugin, "", &events(3)).rows;
        assert_eq!(rows, vec![Ok(RowOutcome::untouched()); 3], "call {call}");
    }
    assert!(plugin.has_hidden_state() && !plugin.keeps_instances());
}

#[test]
fn an_idle_plugin_gives_its_code_up_and_comes_back_from_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let component = guest("country_code");
    let path = dir.path().join("component");
    std::fs::write(&path, &component).unwrap();
    let options = Options { cache_dir: Some(dir.path().join("compiled")), ..Options::default() };
    let runtime = Runtime::new(options).unwrap();
    let plugin = runtime.prepare_file(&path, Digest::of(&component)).unwrap();
    let second = runtime.prepare_file(&path, Digest::of(&component)).unwrap();
    assert_eq!((plugin.cache_use(), second.cache_use()), (CacheUse::Stored, CacheUse::Shared));
    let rows = [event("a", r#"{"country":"France"}"#)];
    let before = apply(&plugin, "", &rows).rows;
    assert_eq!(runtime.rest(Duration::from_secs(3600)), 0);
    assert_eq!((runtime.rest(Duration::ZERO), runtime.loaded()), (2, 0));
    assert_eq!(apply(&plugin, "", &rows).rows, before);
    assert_eq!((plugin.is_loaded(), second.is_loaded()), (true, false));
}

#[test]
fn a_stored_component_that_was_exchanged_is_not_run() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("component");
    std::fs::write(&path, guest("misbehave")).unwrap();
    let found = Runtime::new(Options::default()).unwrap().prepare_file(&path, Digest::of(b"another"));
    assert!(matches!(found, Err(cdp_runtime::Error::Source(_))), "{found:?}");
}
