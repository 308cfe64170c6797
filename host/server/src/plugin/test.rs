//! `cdp plugin test`: fixtures, and that the answers depend on nothing but the events and the configuration.

use std::path::{Path, PathBuf};

use cdp_domain::time::Timestamp;
use cdp_runtime::{
    Applied, Call, Derivation, Deriver, Failed, Grants, Group, Limits, Plugin, Reading, Row, Transformer,
    shown,
};
use serde_json::{Map, Value, json};

use super::connect;
use super::events::is_same;
use super::fixture::{self, Fixture};
use super::tools::Policy;
use super::{Shown, load};
use crate::{Failure, exit};

/// What to check.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cdp plugin test
  cdp plugin test --no-build
  cdp plugin test build/order-totals.wasm --fixture tests/two-orders.json -o json")]
pub(crate) struct Args {
    /// A project, which is built first, or a component.
    #[arg(default_value = ".")]
    plugin: PathBuf,
    /// Fixtures [default: tests/*.json of the project].
    #[arg(long = "fixture", value_name = "FILE")]
    fixtures: Vec<PathBuf>,
    /// Take what was built before.
    #[arg(long)]
    no_build: bool,
    /// Fetch no compiler.
    #[arg(long, env = "CDP_OFFLINE")]
    offline: bool,
    #[command(flatten)]
    shown: Shown,
}

/// One thing that was checked.
#[derive(Debug)]
struct Check {
    name: String,
    /// What is wrong, if anything is.
    problem: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let policy = Policy { offline: args.offline, talks: args.shown.is_for_people() };
    let (path, project) = load::component(&args.plugin, args.no_build, policy)?;
    let fixtures = match (&project, args.fixtures.as_slice()) {
        (Some(project), []) => fixture::paths(&project.dir),
        (_, named) => named.to_vec(),
    };
    let runtime = load::runtime()?;
    let plugin = load::prepare(&runtime, &super::read(&path)?)?;
    let mut checks = Vec::new();
    if fixtures.is_empty() {
        let problem = "there is none: put events and what is to come of them into tests/NAME.json".to_owned();
        checks.push(Check { name: "fixtures".to_owned(), problem: Some(problem) });
    }
    for path in &fixtures {
        judge(&plugin, path, &mut checks)?;
    }
    let failed = checks.iter().filter(|check| check.problem.is_some()).count();
    let shape =
        |check: &Check| json!({"name": check.name, "ok": check.problem.is_none(), "problem": check.problem});
    let document = json!({"component": path, "digest": plugin.inspection().digest.to_string(),
        "failed": failed, "checks": checks.iter().map(shape).collect::<Vec<_>>()});
    args.shown.print(&document, || {
        let line = |check: &Check| match &check.problem {
            None => format!("ok      {}", check.name),
            Some(problem) => format!("FAILED  {}: {problem}", check.name),
        };
        let mut lines: Vec<String> = checks.iter().map(line).collect();
        lines.push(format!("{} checks, {failed} failed", checks.len()));
        lines
    })?;
    match failed {
        0 => Ok(()),
        n => Err(Failure::new(exit::CHECKS_FAILED, format!("{n} of {} checks failed", checks.len()))),
    }
}

fn judge(plugin: &Plugin, path: &Path, checks: &mut Vec<Check>) -> Result<(), Failure> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut note = |what: &str, outcome: Result<(), String>| {
        checks.push(Check { name: format!("{name}: {what}"), problem: outcome.err() });
    };
    let accepted = |config: &str, note: &mut Note<'_>| match plugin.check_config(config) {
        Ok(Ok(())) => true,
        Ok(Err(problems)) => {
            note("configuration", Err(problems.join("; ")));
            false
        }
        Err(fault) => {
            note("configuration", Err(format!("the plugin {fault}")));
            false
        }
    };
    match plugin {
        Plugin::Transformer(_) | Plugin::Deriver(_) => {
            let fixture = Fixture::open(path)?;
            if accepted(&fixture.config, &mut note) {
                match plugin {
                    Plugin::Transformer(transformer) => transforms(transformer, &fixture, &mut note),
                    Plugin::Deriver(deriver) => derivations(deriver, &fixture, &mut note),
                    _ => {}
                }
            }
        }
        Plugin::Planner(_) | Plugin::Session(_) => {
            let fixture = connect::Fixture::open(path)?;
            if accepted(&fixture.config(), &mut note) {
                match plugin {
                    Plugin::Planner(planner) => connect::plans(planner, &fixture, &mut note),
                    Plugin::Session(session) => connect::sends(session, &fixture, &mut note),
                    _ => {}
                }
            }
        }
    }
    Ok(())
}

/// Takes what came of one thing that was checked.
pub(super) type Note<'a> = dyn FnMut(&str, Result<(), String>) + 'a;

fn transforms(plugin: &Transformer, fixture: &Fixture, note: &mut Note<'_>) {
    let rows = fixture.events.rows();
    let all = answers(&apply(plugin, &fixture.config, &rows));
    note("outcomes", same_rows(&fixture.expect, &all));
    note("the same again", unchanged(&all, &answers(&apply(plugin, &fixture.config, &rows))));
    let alone: Vec<Value> =
        rows.iter().flat_map(|&row| answers(&apply(plugin, &fixture.config, &[row]))).collect();
    note("the same one by one", unchanged(&all, &alone));
    let backwards: Vec<Row<'_>> = rows.iter().rev().copied().collect();
    let mut turned = answers(&apply(plugin, &fixture.config, &backwards));
    turned.reverse();
    note("the same in another order", unchanged(&all, &turned));
}

fn apply(plugin: &Transformer, config: &str, rows: &[Row<'_>]) -> Applied {
    plugin.apply(&Call { config, grants: &Grants::all(), limits: Limits::default(), rows })
}

/// What came of each row, in the form of a fixture.
pub(super) fn answers(applied: &Applied) -> Vec<Value> {
    let rows = applied.rows.iter().map(|row| match row {
        Ok(outcome) => outcome.shown(),
        Err(fault) => json!({"fault": format!("the plugin {fault}")}),
    });
    rows.collect()
}

fn same_rows(expected: &Value, actual: &[Value]) -> Result<(), String> {
    let Some(expected) = expected.as_array() else {
        return Err("/expect is to be a list with one outcome an event".to_owned());
    };
    if expected.len() != actual.len() {
        return Err(format!("/expect has {} outcomes for {} events", expected.len(), actual.len()));
    }
    match expected.iter().zip(actual).enumerate().find(|(_, (expected, actual))| !is_same(expected, actual)) {
        None => Ok(()),
        Some((at, (expected, actual))) => Err(format!("event {at}: expected {expected}, got {actual}")),
    }
}

fn unchanged(first: &[Value], second: &[Value]) -> Result<(), String> {
    match first.iter().zip(second).position(|(first, second)| first != second) {
        None => Ok(()),
        Some(at) => Err(format!("event {at}: {} at first, then {}", first[at], second[at])),
    }
}

fn derivations(plugin: &std::sync::Arc<Deriver>, fixture: &Fixture, note: &mut Note<'_>) {
    let bound = match plugin.bind(&fixture.config, Grants::all(), Limits::default()) {
        Ok(bound) => bound,
        Err(error) => return note("shape", Err(error.to_string())),
    };
    let rows = fixture.events.canonical();
    let now = fixture.now.unwrap_or_else(|| fixture.events.last_at());
    let read = |state: Result<Vec<u8>, String>| state.and_then(|state| reading(&bound, &state, now));
    let whole = fold(&bound, &[], &rows);
    let values = match read(whole.clone()) {
        Ok(values) => values,
        Err(why) => return note("values", Err(why)),
    };
    let expected =
        json!({"values": fixture.expect, "valid_until": fixture.valid_until.map(|at| at.to_string())});
    note("values", agree("expected", &expected, &values));
    let again = fold(&bound, &[], &rows);
    note(
        "the same again",
        if again == whole { Ok(()) } else { Err("the states have other bytes".to_owned()) },
    );
    let step_by_step = rows.iter().try_fold(Vec::new(), |state, &row| fold(&bound, &state, &[row]));
    let mut law = |name: &str, other: Result<Vec<u8>, String>| {
        let outcome = read(other).and_then(|other| agree("all at once gives", &values, &other));
        note(name, outcome);
    };
    law("the same one by one", step_by_step);
    let laws = bound.shape().laws;
    if laws.commutative {
        let backwards: Vec<Row<'_>> = rows.iter().rev().copied().collect();
        law("commutative: the same in another order", fold(&bound, &[], &backwards));
    }
    if laws.mergeable {
        for cut in 0..=rows.len() {
            let (left, right) = rows.split_at(cut);
            let joined = fold(&bound, &[], left)
                .and_then(|left| Ok((left, fold(&bound, &[], right)?)))
                .and_then(|(left, right)| combine(&bound, &left, &right));
            law(&format!("mergeable: the same when joined after {cut} of {}", rows.len()), joined);
        }
    }
    if laws.idempotent {
        let twice: Vec<Row<'_>> = rows.iter().flat_map(|&row| [row, row]).collect();
        law("idempotent: the same when each event comes twice", fold(&bound, &[], &twice));
    }
    if let (Some((last, before)), true) = (rows.split_last(), plugin.retracts()) {
        let taken_out = whole.and_then(|state| retract(&bound, &state, &[*last]));
        let without = read(fold(&bound, &[], before));
        let outcome = read(taken_out).and_then(|left| agree("without the event it is", &without?, &left));
        note("retraction: the same as if the last event had never been", outcome);
    }
}

fn one<T>(mut answers: cdp_runtime::Answers<T>) -> Result<T, String> {
    match answers.items.pop() {
        Some(Ok(answer)) => Ok(answer),
        Some(Err(why)) => Err(format!("the plugin {why}")),
        None => Err("there is no answer".to_owned()),
    }
}

/// Folds rows onto a state; a row that is left out is a problem.
pub(super) fn fold(bound: &Derivation, state: &[u8], rows: &[Row<'_>]) -> Result<Vec<u8>, String> {
    let folded = one(bound.fold(&[Group { state, rows }]))?;
    match folded.skipped.first() {
        None => Ok(folded.state),
        Some(skipped) => Err(format!("event {} could not be folded: {}", skipped.row, skipped.why)),
    }
}

fn retract(bound: &Derivation, state: &[u8], rows: &[Row<'_>]) -> Result<Vec<u8>, String> {
    let answers = bound.retract(&[Group { state, rows }]).ok_or("the plugin takes nothing out")?;
    one(answers).map(|folded| folded.state)
}

fn combine(bound: &Derivation, left: &[u8], right: &[u8]) -> Result<Vec<u8>, String> {
    one(bound.combine(&[(left, right)]))
}

/// What a state reads, as `{values, valid_until}`.
fn reading(bound: &Derivation, state: &[u8], now: Timestamp) -> Result<Value, String> {
    readings(bound, &[state], now).pop().unwrap_or_else(|| Err("there is no answer".to_owned()))
}

/// What each state reads.
pub(super) fn readings(bound: &Derivation, states: &[&[u8]], now: Timestamp) -> Vec<Result<Value, String>> {
    let shape = |read: Result<Reading, _>| {
        let Reading { values, valid_until } = read.map_err(|why: Failed| format!("the plugin {why}"))?;
        let named = bound.shape().outputs.iter().zip(values);
        let named: Map<String, Value> =
            named.filter_map(|(output, value)| Some((output.name.clone(), shown(&value?)))).collect();
        Ok(json!({"values": named, "valid_until": valid_until.map(|at| at.to_string())}))
    };
    bound.read(now, states).items.into_iter().map(shape).collect()
}

fn agree(what: &str, expected: &Value, actual: &Value) -> Result<(), String> {
    if is_same(expected, actual) { Ok(()) } else { Err(format!("{what} {expected}, got {actual}")) }
}
