//! Evaluating a formula.

use super::formula::Formula;
use crate::condition::{Answer, Op, Test, earlier};
use crate::expr::{self, Expr, ceil_units};
use crate::fold::{At, Read, State};
use crate::time::Timestamp;
use crate::value::Value;

/// Turns of a reading that are followed to see whether the answer turns; where it does not by then, a timer looks again.
const TURNS_MAX: usize = 24;

/// What a rule may ask of a profile.
pub trait View: expr::Source {
    /// Whether any contact point of `channel` carries a grant for `purpose` at `as_of`.
    fn reachable(&self, channel: &str, purpose: &str, as_of: Timestamp) -> Answer;
}

impl Formula {
    /// Whether the rule holds at an instant, and the first later instant at which that may turn by itself.
    ///
    /// What is false in an `all` must turn before it can: only then the instant is the latest of those, and so for `any`.
    #[must_use]
    pub fn evaluate(&self, view: &dyn View, at: At<'_>) -> Answer {
        match self {
            Self::All(parts) => together(parts.iter().map(|part| part.evaluate(view, at)), true),
            Self::Any(parts) => together(parts.iter().map(|part| part.evaluate(view, at)), false),
            Self::Not(part) => {
                let answer = part.evaluate(view, at);
                Answer { holds: !answer.holds, ..answer }
            }
            Self::Segment(_, part) => part.evaluate(view, at),
            _ => self.leaf(view, at),
        }
    }

    /// The answer of a condition that has no parts.
    pub(super) fn leaf(&self, view: &dyn View, at: At<'_>) -> Answer {
        match self {
            Self::Compare(expr, test) => compare(expr, test, view, at),
            Self::Identifier(kind, test) => {
                let values = view.identifiers(kind);
                if values.is_empty() {
                    return test.holds(None, at.as_of);
                }
                let answers = values.iter().map(|value| test.holds(Some(value), at.as_of));
                together(answers, false)
            }
            Self::Reachable { channel, purpose } => view.reachable(channel, purpose, at.as_of),
            Self::Pattern(fold, horizon_ms, pattern) => {
                let mut answer = Answer::from(false);
                view_state(view, *fold, &mut |state| {
                    answer = settle(at, &|at| pattern.answer(state, *horizon_ms, at));
                });
                answer
            }
            Self::All(_) | Self::Any(_) | Self::Not(_) | Self::Segment(..) => self.evaluate(view, at),
        }
    }
}

fn view_state(view: &dyn View, fold: u32, read: &mut dyn FnMut(&crate::fold::State)) {
    view.with_state(fold, read);
}

/// All of several, or any: `all` says which.
fn together(answers: impl Iterator<Item = Answer>, all: bool) -> Answer {
    // While nothing decides: the first turn of any. Once something decides: all that decide must turn first.
    let mut decided: Option<Option<Timestamp>> = None;
    let mut undecided = None;
    for answer in answers {
        if answer.holds == all {
            undecided = earlier(undecided, answer.valid_until);
        } else {
            decided = Some(match decided {
                None => answer.valid_until,
                Some(so_far) => so_far.zip(answer.valid_until).map(|(a, b)| a.max(b)),
            });
        }
    }
    match decided {
        Some(valid_until) => Answer { holds: !all, valid_until },
        None => Answer { holds: all, valid_until: undecided },
    }
}

fn compare(expr: &Expr, test: &Test, view: &dyn View, at: At<'_>) -> Answer {
    if let Expr::Read(fold, read) = expr {
        let mut answer = Answer::from(false);
        view.with_state(*fold, &mut |state| {
            answer = match read.since(state).filter(|_| read.window.is_none()) {
                Some((since, unit)) if !matches!(test.op, Op::Exists | Op::NotExists) => {
                    let now = answer_of(read, state, test, at);
                    let valid_until = elapsed_turn(since, unit.ms(), test, at.as_of, now.holds);
                    Answer { valid_until, ..now }
                }
                _ if read.window.is_none() => answer_of(read, state, test, at),
                _ => settle(at, &|at| answer_of(read, state, test, at)),
            };
        });
        return answer;
    }
    settle(at, &|at| {
        let reading = expr.read(view, at);
        let answer = test.holds(reading.value.as_ref(), at.as_of);
        Answer { valid_until: earlier(answer.valid_until, reading.valid_until), ..answer }
    })
}

/// The answer of a comparison with what is read of a state.
fn answer_of(read: &Read, state: &State, test: &Test, at: At<'_>) -> Answer {
    if let Some((units, valid_until)) = read.units(state, at)
        && let Some(holds) = test.holds_units(units)
    {
        return Answer { holds, valid_until };
    }
    let reading = read.read(state, at);
    let answer = test.holds(reading.value.as_ref(), at.as_of);
    Answer { valid_until: earlier(answer.valid_until, reading.valid_until), ..answer }
}

/// When a comparison of the units elapsed since an instant turns: at one of the numbers that it compares with.
fn elapsed_turn(
    since: Timestamp,
    unit_ms: i64,
    test: &Test,
    as_of: Timestamp,
    holds: bool,
) -> Option<Timestamp> {
    let mut first = None;
    for number in test.thresholds() {
        let Some(at) = ceil_units(number) else { continue };
        for units in [at, at.saturating_add(1)] {
            let turn = Timestamp(since.0.saturating_add(units.max(0).saturating_mul(unit_ms)));
            let value = Value::from(units.max(0));
            if turn > as_of && test.holds(Some(&value), turn).holds != holds {
                first = earlier(first, Some(turn));
            }
        }
    }
    first
}

/// Follows the turns of a reading until the answer turns.
fn settle(at: At<'_>, probe: &dyn Fn(At<'_>) -> Answer) -> Answer {
    let now = probe(at);
    let mut next = now.valid_until;
    for _ in 0..TURNS_MAX {
        let Some(turn) = next else { break };
        let then = probe(at.moved(turn));
        if then.holds != now.holds {
            break;
        }
        next = then.valid_until;
    }
    Answer { valid_until: next, ..now }
}
