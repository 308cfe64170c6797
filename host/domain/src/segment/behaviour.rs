//! Conditions on events: `did` and `sequence`.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::attribute::{read_events, read_pointer, write_events};
use crate::condition::{Op, Test, object, read_list, unknown, write_list};
use crate::fold::{How, Keep, PERIODS_MAX, Pattern, Printed, Read, STEPS_MAX, Source, Spec};
use crate::problem::{Code, Problem};
use crate::time::Timestamp;
use crate::value::{Number, Object, Value};
use crate::window::{WINDOW_DAYS_MAX, Window};

/// Something was done so often, or in a certain manner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Did {
    /// Which events.
    pub source: Source,
    /// How.
    pub shape: Shape,
}

/// In which manner something was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// So often, in a window or ever.
    Count(Option<Window>, Test),
    /// See [`Pattern`].
    Pattern(Pattern),
}

/// Things were done one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// The steps, with the window that each must lie in.
    pub steps: Vec<(Source, Option<Window>)>,
    /// A property that must be equal: a JSON pointer into `properties`.
    pub same: Option<CompactString>,
    /// The last step came less than so many milliseconds after the first.
    pub within_ms: Option<i64>,
}

/// The fields that say in which manner; at most one stands in a condition.
const MANNERS: [&str; 5] = ["count", "first_time", "stopped", "restarted", "regularly"];

impl Did {
    /// The fold that answers it.
    #[must_use]
    pub fn spec(&self) -> Spec {
        let keep = match &self.shape {
            Shape::Count(None, _) => Keep::Count,
            Shape::Count(Some(window), _) => Keep::Series(None, window.horizon_ms()),
            Shape::Pattern(Pattern::FirstTime(_)) => Keep::FirstAt,
            Shape::Pattern(pattern) => Keep::Series(None, horizon_ms(pattern)),
        };
        Spec::new(self.source.clone(), keep)
    }

    /// How often, as it is read of a fold whose horizon is this.
    pub(super) fn count(window: Option<Window>, horizon_ms: i64) -> Read {
        Read { how: How::Count, window, horizon_ms, printed: Printed::Plain }
    }

    pub(super) fn read(value: &Value, place: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        let Some(fields) = value.as_object() else {
            problems.push(Problem::new(
                place,
                Code::WrongType,
                "must be an object with the event that was done",
            ));
            return None;
        };
        let known = ["event", "where", "between", "within"];
        unknown(fields, &[&known[..], &MANNERS].concat(), place, problems);
        let source = read_source(fields, place, problems);
        let within = match fields.get("within") {
            None => None,
            Some(window) => Some(Window::read(window, &format!("{place}/within"), problems)?),
        };
        if within.is_some() && fields.get("between").is_some() {
            let detail = "does not go with within: a condition has one stretch of time";
            problems.push(Problem::new(format!("{place}/between"), Code::Invalid, detail));
        }
        let manners: Vec<_> = MANNERS.into_iter().filter(|manner| fields.get(manner).is_some()).collect();
        if manners.len() > 1 {
            let detail = format!("must have at most one of {}", MANNERS.join(", "));
            problems.push(Problem::new(place, Code::Invalid, detail));
            return None;
        }
        let shape = read_shape(manners.first().copied().unwrap_or("count"), fields, within, place, problems);
        Some(Self { source: source?, shape: shape? })
    }

    pub(super) fn write(&self) -> Value {
        let mut members = write_source(&self.source);
        let number = |n: u32| Value::from(i64::from(n));
        match &self.shape {
            Shape::Count(window, test) => {
                members.push(("count", object(test.write())));
                members.extend(window.map(|window| ("within", window.write())));
            }
            Shape::Pattern(pattern) => match pattern {
                Pattern::FirstTime(window) => {
                    members.push(("first_time", true.into()));
                    members.push(("within", window.write()));
                }
                Pattern::Stopped { quiet, before } => {
                    let inner = object(vec![("for", quiet.write()), ("within", before.write())]);
                    members.push(("stopped", inner));
                }
                Pattern::Restarted { recent, gap_ms } => {
                    let gap = Window::Rolling(*gap_ms).write();
                    members.push(("restarted", object(vec![("after", gap), ("within", recent.write())])));
                }
                Pattern::Regularly { period_ms, periods, at_least } => {
                    let inner = object(vec![
                        ("periods", number(*periods)),
                        ("of", Window::Rolling(*period_ms).write()),
                        ("at_least", number(*at_least)),
                    ]);
                    members.push(("regularly", inner));
                }
                Pattern::Sequence { .. } => {}
            },
        }
        object(members)
    }
}

/// For how long a series must be kept to answer a pattern.
fn horizon_ms(pattern: &Pattern) -> i64 {
    match pattern {
        Pattern::Stopped { before, .. } => before.horizon_ms(),
        Pattern::Restarted { recent, gap_ms } => recent.horizon_ms() + gap_ms,
        Pattern::Regularly { period_ms, periods, .. } => period_ms * i64::from(*periods),
        Pattern::FirstTime(_) | Pattern::Sequence { .. } => 0,
    }
}

fn read_shape(
    manner: &str,
    fields: &Object,
    within: Option<Window>,
    place: &str,
    problems: &mut Vec<Problem>,
) -> Option<Shape> {
    let inside = format!("{place}/{manner}");
    let refuse = |problems: &mut Vec<Problem>, field: &str, code: Code, detail: &str| {
        problems.push(Problem::new(format!("{place}/{field}"), code, detail));
        None
    };
    if !matches!(manner, "count" | "first_time") && within.is_some() {
        return refuse(
            problems,
            "within",
            Code::Invalid,
            "has no meaning here: the stretches of time stand inside",
        );
    }
    match manner {
        "count" => match fields.get("count") {
            None => Some(Shape::Count(within, Test::new(Op::Gte, Value::from(1)))),
            Some(count) => read_count(count, &inside, problems).map(|test| Shape::Count(within, test)),
        },
        "first_time" => {
            if fields.get("first_time") != Some(&Value::Bool(true)) {
                return refuse(problems, "first_time", Code::Invalid, "can only be true");
            }
            if fields.get("between").is_some() {
                return refuse(problems, "between", Code::Invalid, "has no meaning here: say within");
            }
            let Some(window) = within else {
                return refuse(problems, "within", Code::Required, "is required beside first_time");
            };
            Some(Shape::Pattern(Pattern::FirstTime(window)))
        }
        _ => {
            let Some(inner) = fields.get(manner).and_then(Value::as_object) else {
                problems.push(Problem::new(inside, Code::WrongType, "must be an object"));
                return None;
            };
            read_pattern(manner, inner, &inside, problems).map(Shape::Pattern)
        }
    }
}

fn read_pattern(manner: &str, inner: &Object, place: &str, problems: &mut Vec<Problem>) -> Option<Pattern> {
    let window = |field: &str, problems: &mut Vec<Problem>| {
        Window::read(inner.get(field).unwrap_or(&Value::Null), &format!("{place}/{field}"), problems)
    };
    let rolling = |field: &str, problems: &mut Vec<Problem>| {
        Window::read_rolling(inner.get(field).unwrap_or(&Value::Null), &format!("{place}/{field}"), problems)
    };
    match manner {
        "stopped" => {
            unknown(inner, &["for", "within"], place, problems);
            let (quiet, before) = (window("for", problems), window("within", problems));
            if quiet?.horizon_ms() >= before?.horizon_ms() {
                let detail = "must be longer than `for`";
                problems.push(Problem::new(format!("{place}/within"), Code::Invalid, detail));
                return None;
            }
            Some(Pattern::Stopped { quiet: quiet?, before: before? })
        }
        "restarted" => {
            unknown(inner, &["after", "within"], place, problems);
            let (gap, recent) = (rolling("after", problems), window("within", problems));
            Some(Pattern::Restarted { recent: recent?, gap_ms: gap? })
        }
        _ => {
            unknown(inner, &["periods", "of", "at_least"], place, problems);
            let period_ms = rolling("of", problems);
            let mut whole = |field: &str, most: u32| match inner.get(field) {
                Some(Value::Number(Number::Int(n))) if (1..=i64::from(most)).contains(n) => Some(*n as u32),
                _ => {
                    let detail = format!("must be a whole number from 1 to {most}");
                    problems.push(Problem::new(format!("{place}/{field}"), Code::Invalid, detail));
                    None
                }
            };
            let periods = whole("periods", PERIODS_MAX);
            let at_least = whole("at_least", periods.unwrap_or(PERIODS_MAX));
            let (period_ms, periods) = (period_ms?, periods?);
            if period_ms.saturating_mul(i64::from(periods)) > WINDOW_DAYS_MAX * crate::condition::DAY_MS {
                let detail = format!("the periods span more than {WINDOW_DAYS_MAX} days");
                problems.push(Problem::new(format!("{place}/of"), Code::TooLong, detail));
                return None;
            }
            Some(Pattern::Regularly { period_ms, periods, at_least: at_least? })
        }
    }
}

fn read_count(value: &Value, place: &str, problems: &mut Vec<Problem>) -> Option<Test> {
    let Some(fields) = value.as_object() else {
        problems.push(Problem::new(place, Code::WrongType, "must be {\"op\", \"value\"}"));
        return None;
    };
    unknown(fields, &["op", "value"], place, problems);
    let test = Test::read(fields, place, problems)?;
    if let Some((field, _)) = super::types::misfit(crate::expr::Type::Number, &test) {
        let detail = if field == "op" { "does not compare numbers" } else { "must be a number" };
        problems.push(Problem::new(format!("{place}/{field}"), Code::WrongType, detail));
        return None;
    }
    Some(test)
}

fn read_source(fields: &Object, place: &str, problems: &mut Vec<Problem>) -> Option<Source> {
    let events = read_events(fields.get("event"), &format!("{place}/event"), problems);
    let filter = fields
        .get("where")
        .map_or_else(Vec::new, |list| read_list(list, &format!("{place}/where"), problems));
    let (mut from, mut until) = (None, None);
    if let Some(between) = fields.get("between") {
        let time = |value: &Value| Timestamp::parse(value.as_text()?).ok();
        match between {
            Value::List(ends) if ends.len() == 2 => {
                (from, until) = (time(&ends[0]), time(&ends[1]));
            }
            _ => {}
        }
        if from.is_none() || until.is_none() || from > until {
            let detail = "must be an array of two RFC 3339 times, the first inclusive, the second exclusive";
            problems.push(Problem::new(format!("{place}/between"), Code::Invalid, detail));
        }
    }
    Some(Source { events: events?, filter, from, until })
}

fn write_source(source: &Source) -> Vec<(&'static str, Value)> {
    let mut members = vec![("event", write_events(source))];
    if !source.filter.is_empty() {
        members.push(("where", write_list(&source.filter)));
    }
    if let (Some(from), Some(until)) = (source.from, source.until) {
        let text = |at: Timestamp| Value::Text(at.to_string().into());
        members.push(("between", Value::List(vec![text(from), text(until)])));
    }
    members
}

impl Sequence {
    /// The fold that answers it.
    #[must_use]
    pub fn spec(&self) -> Spec {
        let sources = self.steps.iter().map(|(source, _)| source.clone()).collect();
        Spec { sources, keep: Keep::Steps(self.same.clone()) }
    }

    /// The pattern that is looked for.
    pub(super) fn pattern(&self) -> Pattern {
        let windows = self.steps.iter().map(|(_, window)| *window).collect();
        Pattern::Sequence { within_ms: self.within_ms, windows }
    }

    pub(super) fn read(value: &Value, place: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        let Some(fields) = value.as_object() else {
            problems.push(Problem::new(place, Code::WrongType, "must be {\"steps\", \"same\", \"within\"}"));
            return None;
        };
        unknown(fields, &["steps", "same", "within"], place, problems);
        let same = read_pointer(fields, "same", place, problems);
        let within_ms = match fields.get("within") {
            None => None,
            Some(window) => Some(Window::read_rolling(window, &format!("{place}/within"), problems)?),
        };
        let items = match fields.get("steps") {
            Some(Value::List(items)) if (2..=STEPS_MAX).contains(&items.len()) => items,
            _ => {
                let detail = format!("must be an array of 2 to {STEPS_MAX} steps");
                problems.push(Problem::new(format!("{place}/steps"), Code::Invalid, detail));
                return None;
            }
        };
        let steps: Vec<_> = items
            .iter()
            .enumerate()
            .map(|(n, item)| {
                let place = format!("{place}/steps/{n}");
                let Some(fields) = item.as_object() else {
                    problems.push(Problem::new(
                        place,
                        Code::WrongType,
                        "must be an object with the event of the step",
                    ));
                    return None;
                };
                unknown(fields, &["event", "where", "within", "between"], &place, problems);
                let window = match fields.get("within") {
                    None => None,
                    Some(window) => Some(Window::read(window, &format!("{place}/within"), problems)?),
                };
                Some((read_source(fields, &place, problems)?, window))
            })
            .collect();
        Some(Self { steps: steps.into_iter().collect::<Option<_>>()?, same, within_ms })
    }

    pub(super) fn write(&self) -> Value {
        let steps = self.steps.iter().map(|(source, window)| {
            let mut members = write_source(source);
            members.extend(window.map(|window| ("within", window.write())));
            object(members)
        });
        let mut members = vec![("steps", Value::List(steps.collect()))];
        members.extend(self.same.clone().map(|same| ("same", Value::Text(same))));
        members.extend(self.within_ms.map(|ms| ("within", Window::Rolling(ms).write())));
        object(members)
    }
}
