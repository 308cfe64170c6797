//! The whole table of hostile guests: each comes to what it must, and the next one finds the runtime as it was.

mod support;

use cdp_hostile::{Component, Expected, Hostile, corpus};
use cdp_runtime::{Error, Fault, Options, Refusal, RowOutcome, Runtime};
use support::{apply, events, guest, limits, misbehave};

#[test]
fn every_hostile_guest_comes_to_what_it_must() {
    let runtime = Runtime::new(Options { limits: limits(), ..Options::default() }).unwrap();
    let good = misbehave();
    let mut wrong = Vec::new();
    for hostile in corpus() {
        let found = comes_to(&runtime, &hostile);
        if found != hostile.expected {
            wrong.push(format!("{}: {found:?} instead of {:?}", hostile.name, hostile.expected));
        }
        let rows = apply(&good, "ok", &events(2)).rows;
        assert!(rows.iter().all(|row| matches!(row, Ok(RowOutcome::Keep { .. }))), "after {}", hostile.name);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What comes of a hostile guest, in the words of the table.
fn comes_to(runtime: &Runtime, hostile: &Hostile) -> Expected {
    let bytes = match &hostile.component {
        Component::Bytes(bytes) => bytes.clone(),
        Component::Misbehave => guest("misbehave"),
    };
    if let Err(refusals) = runtime.inspect(&bytes) {
        let codes: Vec<_> = refusals.iter().map(Refusal::code).collect();
        return match &hostile.expected {
            Expected::Refused(code) if codes.contains(&code.as_str()) => hostile.expected.clone(),
            _ => Expected::Refused(codes.join(" ")),
        };
    }
    let plugin = match runtime.prepare(&bytes) {
        Ok(plugin) => plugin,
        Err(Error::Compile(_)) => return Expected::Unfit("compile".into()),
        Err(Error::Link(_)) => return Expected::Unfit("link".into()),
        Err(Error::Descriptor(_)) => return Expected::Unfit("descriptor".into()),
        Err(Error::Describe(fault)) => return Expected::Unfit(format!("describe:{}", fault.code())),
        Err(other) => panic!("{}: {other:?}", hostile.name),
    };
    let config = hostile.config.strip_prefix(r#"{"do":""#).and_then(|rest| rest.strip_suffix(r#""}"#));
    let rows = apply(&plugin, config.unwrap_or(&hostile.config), &events(12)).rows;
    // What was given up on is asked again, one by one, as the pipeline does.
    let rows: Vec<_> = rows
        .into_iter()
        .enumerate()
        .map(|(at, row)| match row {
            Err(Fault::Abandoned) => {
                apply(&plugin, config.unwrap_or(&hostile.config), &events(12)[at..=at]).rows.remove(0)
            }
            judged => judged,
        })
        .collect();
    let codes: Vec<_> = rows.iter().map(|row| row.as_ref().err().map(Fault::code)).collect();
    match codes[..] {
        [None, None, None, None, None, None, None, Some(code), None, None, None, None] => {
            Expected::Poison(code.to_owned())
        }
        [Some(first), ..] if codes.iter().all(|code| *code == Some(first)) => {
            Expected::Fault(first.to_owned())
        }
        _ if codes.iter().all(Option::is_none) => Expected::Harmless,
        _ => panic!("{}: {rows:?}", hostile.name),
    }
}
