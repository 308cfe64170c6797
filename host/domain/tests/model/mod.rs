//! The reference model: what attributes and rules mean, written slowly and plainly over a list of events.
//!
//! It works on definitions as clients write them and knows nothing of folds, states, windows that expire or compiled
//! rules. Everything is looked up anew in all events, every time.

#![allow(dead_code, reason = "each test that includes the model uses a part of it")]

use std::collections::BTreeMap;

use cdp_domain::event::Event;
use cdp_domain::time::Timestamp;
use cdp_domain::value::{Number, Value};
use rust_decimal::prelude::*;

/// One person, as of an instant: only events that happened by then and were not taken back.
pub(crate) struct Person<'a> {
    pub(crate) events: Vec<&'a Event>,
    pub(crate) as_of: i64,
    pub(crate) zone: &'a str,
    pub(crate) attributes: &'a BTreeMap<String, Value>,
    pub(crate) segments: &'a BTreeMap<String, Value>,
    /// Values of the operand of each ranking among all people at that instant; by the ranking's JSON.
    pub(crate) rankings: &'a BTreeMap<String, Vec<Value>>,
    /// Whether a channel and purpose may be used.
    pub(crate) reachable: &'a dyn Fn(&str, &str) -> bool,
}

fn get<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    value.as_object()?.get(name).filter(|value| **value != Value::Null)
}

fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    get(value, name)?.as_text()
}

fn items(value: &Value) -> &[Value] {
    if let Value::List(items) = value { items } else { &[] }
}

fn whole(value: &Value) -> i64 {
    value.as_decimal().unwrap().to_i64().unwrap()
}

fn decimal(number: Decimal) -> Value {
    Value::Text(number.normalize().to_string().into())
}

impl<'a> Person<'a> {
    pub(crate) fn new(mut events: Vec<&'a Event>, as_of: i64, zone: &'a str, world: &'a World) -> Self {
        events.retain(|event| event.time.0 <= as_of && event.kind != "$void");
        events.sort_by(|a, b| (a.time, &a.source, &a.id).cmp(&(b.time, &b.source, &b.id)));
        Self {
            events,
            as_of,
            zone,
            attributes: &world.attributes,
            segments: &world.segments,
            rankings: &world.rankings,
            reachable: &|_, _| false,
        }
    }

    /// Whether an instant lies in a window that ends now.
    fn inside(&self, at: i64, window: Option<&Value>) -> bool {
        let Some(window) = window else { return true };
        let (unit, n) = window.as_object().unwrap().iter().next().unwrap();
        let n = whole(n);
        match unit.as_str() {
            "days" => self.as_of - at < n * 86_400_000,
            "hours" => self.as_of - at < n * 3_600_000,
            "minutes" => self.as_of - at < n * 60_000,
            _ => {
                let day =
                    |at: i64| jiff::Timestamp::from_millisecond(at).unwrap().in_tz(self.zone).unwrap().date();
                let since = day(self.as_of).checked_sub(jiff::Span::new().days(n - 1)).unwrap();
                day(at) >= since
            }
        }
    }

    /// The events that an attribute, a condition or a step is about.
    fn matching(&self, of: &Value) -> Vec<&'a Event> {
        let wanted: Vec<&str> = match get(of, "event").unwrap() {
            Value::List(names) => names.iter().filter_map(Value::as_text).collect(),
            name => vec![name.as_text().unwrap()],
        };
        let between: Vec<i64> = get(of, "between")
            .map(|ends| {
                items(ends).iter().map(|end| Timestamp::parse(end.as_text().unwrap()).unwrap().0).collect()
            })
            .unwrap_or_default();
        let holds = |event: &Event| {
            (wanted == ["*"] || wanted.contains(&event.kind.as_str()))
                && (between.is_empty() || (between[0] <= event.time.0 && event.time.0 < between[1]))
                && get(of, "where").is_none_or(|conditions| {
                    items(conditions).iter().all(|condition| {
                        compares(
                            event.property(text(condition, "property").unwrap()),
                            condition,
                            event.time.0,
                        )
                    })
                })
        };
        self.events.iter().copied().filter(|event| holds(event)).collect()
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<Value> {
        self.definition(self.attributes.get(name)?)
    }

    pub(crate) fn definition(&self, of: &Value) -> Option<Value> {
        if let Some(expr) = get(of, "expr") {
            return self.expr(expr);
        }
        let kind = text(of, "kind").unwrap();
        let window = get(of, "window");
        let mut events = self.matching(of);
        events.retain(|event| self.inside(event.time.0, window));
        match get(of, "currency").and_then(Value::as_text) {
            Some("each") => {
                let mut codes: Vec<String> = events.iter().filter_map(|event| code(event, of)).collect();
                codes.sort();
                codes.dedup();
                codes.retain(|one| events.iter().any(|event| amount(event, of, Some(one)).is_some()));
                if codes.is_empty() && kind != "sum" {
                    return None;
                }
                let each = codes
                    .iter()
                    .filter_map(|one| Some((one.as_str().into(), number_of(kind, &events, of, Some(one))?)));
                Some(Value::Object(each.collect()))
            }
            Some(one) => number_of(kind, &events, of, Some(one)),
            None => self.plain(kind, &events, of),
        }
    }

    fn plain(&self, kind: &str, events: &[&Event], of: &Value) -> Option<Value> {
        let property = text(of, "property");
        let with: Vec<(&Event, Value)> = events
            .iter()
            .filter_map(|event| match property {
                Some(pointer) => {
                    Some((*event, event.property(pointer).filter(|value| **value != Value::Null)?.clone()))
                }
                None => Some((*event, Value::Text(event.time.to_string().into()))),
            })
            .collect();
        let seconds = match text(of, "unit") {
            Some("minutes") => 60,
            Some("hours") => 3600,
            Some("days") => 86_400,
            _ => 1,
        };
        let elapsed = |event: &&Event| Value::from((self.as_of - event.time.0).max(0) / 1000 / seconds);
        match kind {
            "count" => Some(Value::from(events.len() as i64)),
            "first" => with.first().map(|(_, value)| value.clone()),
            "last" => with.last().map(|(_, value)| value.clone()),
            "time_since_first" => events.first().map(elapsed),
            "time_since_last" => events.last().map(elapsed),
            "distinct_count" | "unique_list" => {
                let mut seen: Vec<(i64, Value)> = Vec::new();
                for (event, value) in &with {
                    seen.retain(|(_, known)| known != value);
                    seen.push((event.time.0, value.clone()));
                }
                if seen.is_empty() {
                    return None;
                }
                if kind == "distinct_count" {
                    return Some(Value::from(seen.len() as i64));
                }
                seen.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| by_size(&a.1, &b.1)));
                Some(Value::List(seen.into_iter().map(|(_, value)| value).collect()))
            }
            "most_frequent" => {
                let mut weights: Vec<(Value, Decimal)> = Vec::new();
                for (event, value) in &with {
                    let weight = match text(of, "weight") {
                        None => Decimal::ONE,
                        Some(pointer) => match event.property(pointer).and_then(Value::as_decimal) {
                            Some(weight) => weight,
                            None => continue,
                        },
                    };
                    match weights.iter_mut().find(|(known, _)| known == value) {
                        Some(known) => known.1 += weight,
                        None => weights.push((value.clone(), weight)),
                    }
                }
                weights.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| by_size(&a.0, &b.0)));
                weights.into_iter().next().map(|(value, _)| value)
            }
            _ => number_of(kind, events, of, None),
        }
    }

    fn expr(&self, expr: &Value) -> Option<Value> {
        let Value::Object(object) = expr else { return Some(expr.clone()) };
        let (name, inner) = object.iter().next().unwrap();
        match name.as_str() {
            "attribute" => return self.attribute(inner.as_text().unwrap()),
            "trait" => return self.trait_value(inner.as_text().unwrap()),
            "rank" | "percentile_rank" => {
                let of = if name == "rank" { get(inner, "of").unwrap() } else { inner };
                let buckets = if name == "rank" { whole(get(inner, "buckets").unwrap()) } else { 100 };
                let value = self.expr(of)?;
                let all = self.rankings.get(&cdp_domain::json::to_string(of))?;
                let smaller =
                    all.iter().filter(|other| by_size(&plain(other), &plain(&value)).is_lt()).count() as i64;
                let bucket = 1 + buckets * smaller / all.len() as i64;
                return Some(Value::from(if name == "rank" { bucket } else { bucket - 1 }));
            }
            _ => {}
        }
        let list = if let Value::List(list) = inner { list.clone() } else { vec![inner.clone()] };
        let values: Vec<Option<Value>> = list.iter().map(|one| self.expr(one)).collect();
        let number = |n: usize| values[n].as_ref().and_then(Value::as_decimal);
        let all_numbers = || (0..values.len()).map(number).collect::<Option<Vec<Decimal>>>();
        let truth = |n: usize| if let Some(Value::Bool(truth)) = values[n] { Some(truth) } else { None };
        match name.as_str() {
            "add" => all_numbers().map(|all| decimal(all.iter().sum())),
            "mul" => all_numbers().map(|all| decimal(all.iter().product())),
            "sub" => Some(decimal(number(0)? - number(1)?)),
            "div" => Some(decimal(number(0)?.checked_div(number(1)?)?)),
            "floor" => Some(decimal(number(0)?.floor())),
            "round" => Some(decimal(
                number(0)?
                    .round_dp_with_strategy(number(1)?.to_u32()?, RoundingStrategy::MidpointNearestEven),
            )),
            "min" | "max" => {
                let all = values.into_iter().collect::<Option<Vec<_>>>()?;
                let mut best = all[0].clone();
                for one in &all[1..] {
                    let order = cmp(one, &best)?;
                    if (name == "min" && order.is_lt()) || (name == "max" && order.is_gt()) {
                        best = one.clone();
                    }
                }
                Some(best)
            }
            "coalesce" => values.into_iter().flatten().next(),
            "if" => {
                if truth(0) == Some(true) {
                    values[1].clone()
                } else {
                    values.get(2).cloned().flatten()
                }
            }
            "not" => truth(0).map(|truth| Value::Bool(!truth)),
            "and" | "or" => {
                let all: Vec<_> = (0..values.len()).map(truth).collect();
                let strong = name == "or";
                if all.contains(&Some(strong)) {
                    Some(Value::Bool(strong))
                } else if all.contains(&None) {
                    None
                } else {
                    Some(Value::Bool(!strong))
                }
            }
            op => {
                let (a, b) = (values[0].as_ref()?, values[1].as_ref()?);
                Some(Value::Bool(match op {
                    "eq" => same(a, b)?,
                    "ne" => !same(a, b)?,
                    "gt" => cmp(a, b)?.is_gt(),
                    "gte" => cmp(a, b)?.is_ge(),
                    "lt" => cmp(a, b)?.is_lt(),
                    _ => cmp(a, b)?.is_le(),
                }))
            }
        }
    }

    fn trait_value(&self, name: &str) -> Option<Value> {
        let last = self.events.iter().rev().find_map(|event| event.traits.get(name))?;
        (*last != Value::Null).then(|| last.clone())
    }

    pub(crate) fn rule(&self, rule: &Value) -> bool {
        let object = rule.as_object().unwrap();
        if let Some(parts) = object.get("all") {
            return items(parts).iter().all(|part| self.rule(part));
        }
        if let Some(parts) = object.get("any") {
            return items(parts).iter().any(|part| self.rule(part));
        }
        if let Some(part) = object.get("not") {
            return !self.rule(part);
        }
        if let Some(name) = text(rule, "trait") {
            return compares(self.trait_value(name).as_ref(), rule, self.as_of);
        }
        if let Some(name) = text(rule, "attribute") {
            return compares(self.attribute(name).as_ref(), rule, self.as_of);
        }
        if let Some(kind) = text(rule, "identifier") {
            let mut values: Vec<Value> = self
                .events
                .iter()
                .flat_map(|event| event.identifiers.iter().filter(|one| one.kind == kind))
                .map(|one| Value::Text(one.value.clone()))
                .collect();
            values.dedup();
            if values.is_empty() {
                return compares(None, rule, self.as_of);
            }
            return values.iter().any(|value| compares(Some(value), rule, self.as_of));
        }
        if let Some(name) = text(rule, "segment") {
            return self.rule(&self.segments[name]);
        }
        if let Some(way) = object.get("reachable") {
            return (self.reachable)(text(way, "channel").unwrap(), text(way, "purpose").unwrap());
        }
        if let Some(did) = object.get("did") {
            return self.did(did);
        }
        self.sequence(object.get("sequence").unwrap())
    }

    fn did(&self, did: &Value) -> bool {
        let times: Vec<i64> = self.matching(did).iter().map(|event| event.time.0).collect();
        let length = |window: &Value| {
            let (unit, n) = window.as_object().unwrap().iter().next().unwrap();
            whole(n)
                * if unit == "days" {
                    86_400_000
                } else if unit == "hours" {
                    3_600_000
                } else {
                    60_000
                }
        };
        if get(did, "first_time").is_some() {
            return times.first().is_some_and(|first| self.inside(*first, get(did, "within")));
        }
        if let Some(stopped) = get(did, "stopped") {
            return times.iter().any(|at| self.inside(*at, get(stopped, "within")))
                && !times.iter().any(|at| self.inside(*at, get(stopped, "for")));
        }
        if let Some(restarted) = get(did, "restarted") {
            let gap = length(get(restarted, "after").unwrap());
            return (1..times.len())
                .any(|n| times[n] - times[n - 1] >= gap && self.inside(times[n], get(restarted, "within")));
        }
        if let Some(regularly) = get(did, "regularly") {
            let period = length(get(regularly, "of").unwrap());
            let met = (0..whole(get(regularly, "periods").unwrap())).filter(|n| {
                times.iter().any(|at| self.as_of - (n + 1) * period < *at && *at <= self.as_of - n * period)
            });
            return met.count() as i64 >= whole(get(regularly, "at_least").unwrap());
        }
        let count = times.iter().filter(|at| self.inside(**at, get(did, "within"))).count() as i64;
        match get(did, "count") {
            Some(test) => compares(Some(&Value::from(count)), test, self.as_of),
            None => count >= 1,
        }
    }

    fn sequence(&self, sequence: &Value) -> bool {
        let steps: Vec<Vec<&Event>> = items(get(sequence, "steps").unwrap())
            .iter()
            .map(|step| {
                let mut events = self.matching(step);
                events.retain(|event| self.inside(event.time.0, get(step, "within")));
                events
            })
            .collect();
        let limit = get(sequence, "within").map(|window| {
            let (unit, n) = window.as_object().unwrap().iter().next().unwrap();
            whole(n)
                * if unit == "days" {
                    86_400_000
                } else if unit == "hours" {
                    3_600_000
                } else {
                    60_000
                }
        });
        let key = |event: &Event| match text(sequence, "same") {
            None => Some(Value::Null),
            Some(pointer) => event.property(pointer).filter(|value| **value != Value::Null).cloned(),
        };
        // Every way to choose one event per step.
        fn choose<'e>(
            steps: &[Vec<&'e Event>],
            chosen: &mut Vec<&'e Event>,
            good: &dyn Fn(&[&Event]) -> bool,
        ) -> bool {
            let Some(next) = steps.get(chosen.len()) else { return true };
            for event in next {
                chosen.push(event);
                if good(chosen) && choose(steps, chosen, good) {
                    return true;
                }
                chosen.pop();
            }
            false
        }
        let place = |event: &Event| (event.time, event.source.clone(), event.id.clone());
        let good = |chosen: &[&Event]| {
            chosen.windows(2).all(|pair| place(pair[0]) < place(pair[1]))
                && chosen.iter().all(|event| key(event).is_some() && key(event) == key(chosen[0]))
                && limit.is_none_or(|limit| chosen[chosen.len() - 1].time.0 - chosen[0].time.0 < limit)
        };
        choose(&steps, &mut Vec::new(), &good)
    }
}

/// What is defined, and what is known of everybody together.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) attributes: BTreeMap<String, Value>,
    pub(crate) segments: BTreeMap<String, Value>,
    pub(crate) rankings: BTreeMap<String, Vec<Value>>,
}

fn code(event: &Event, of: &Value) -> Option<String> {
    let pointer = text(of, "currency_property").unwrap_or("/currency");
    let code = event.property(pointer)?.as_text()?;
    (code.len() == 3 && code.chars().all(|c| c.is_ascii_uppercase())).then(|| code.to_owned())
}

fn amount(event: &Event, of: &Value, currency: Option<&str>) -> Option<Decimal> {
    let number = event.property(text(of, "property")?)?.as_decimal()?;
    let Some(currency) = currency else { return Some(number) };
    if code(event, of)? != currency {
        return None;
    }
    if get(of, "minor_units") != Some(&Value::Bool(true)) {
        return Some(number);
    }
    number.fract().is_zero().then(|| number / Decimal::from(10_i64.pow(places(currency) as u32)))
}

fn places(currency: &str) -> usize {
    match currency {
        "JPY" => 0,
        "KWD" => 3,
        _ => 2,
    }
}

fn number_of(kind: &str, events: &[&Event], of: &Value, currency: Option<&str>) -> Option<Value> {
    let numbers: Vec<Decimal> = events.iter().filter_map(|event| amount(event, of, currency)).collect();
    let print = |number: Decimal| {
        let number = number.normalize();
        let shown = currency.map_or(0, places).max(number.scale() as usize);
        Value::Text(format!("{number:.shown$}").into())
    };
    match kind {
        "sum" => Some(print(numbers.iter().sum())),
        "min" => numbers.iter().min().copied().map(print),
        "max" => numbers.iter().max().copied().map(print),
        _ => {
            let sum: Decimal = numbers.iter().sum();
            let mean = sum.checked_div(Decimal::from(numbers.len()))?;
            Some(decimal(mean.round_dp_with_strategy(6, RoundingStrategy::MidpointNearestEven)))
        }
    }
}

fn same(a: &Value, b: &Value) -> Option<bool> {
    match (a, b) {
        (Value::Number(_), _) | (_, Value::Number(_)) => Some(a.as_decimal()? == b.as_decimal()?),
        (Value::Text(a), Value::Text(b)) => Some(a == b),
        (Value::Bool(a), Value::Bool(b)) => Some(a == b),
        (Value::List(a), Value::List(b)) => Some(a == b),
        (Value::Object(a), Value::Object(b)) => Some(a == b),
        _ => None,
    }
}

fn cmp(a: &Value, b: &Value) -> Option<std::cmp::Ordering> {
    if let (Some(a), Some(b)) = (a.as_decimal(), b.as_decimal()) {
        return Some(a.cmp(&b));
    }
    Some(a.as_text()?.cmp(b.as_text()?))
}

fn plain(value: &Value) -> Value {
    value.as_decimal().map_or_else(|| value.clone(), |number| Value::Number(Number::from(number)))
}

/// Null, booleans, numbers, strings, arrays, objects; each by its size or its bytes.
fn by_size(a: &Value, b: &Value) -> std::cmp::Ordering {
    let rank = |value: &Value| match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::Text(_) => 3,
        Value::List(_) => 4,
        Value::Object(_) => 5,
    };
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x.to_decimal().cmp(&y.to_decimal()),
        (Value::Text(x), Value::Text(y)) => x.cmp(y),
        (Value::Bool(x), Value::Bool(y)) => x.cmp(y),
        _ => rank(a).cmp(&rank(b)),
    }
}

/// Whether a value compares with what `test` (`op` and `value`) asks for.
pub(crate) fn compares(left: Option<&Value>, test: &Value, as_of: i64) -> bool {
    let op = text(test, "op").unwrap();
    let left = left.filter(|left| **left != Value::Null);
    let Some(left) = left else { return op == "not_exists" };
    let null = Value::Null;
    let right = get(test, "value").unwrap_or(&null);
    let order = cmp(left, right);
    let time = |value: &Value| value.as_text().and_then(|text| Timestamp::parse(text).ok()).map(|at| at.0);
    let length = || {
        let (unit, n) = right.as_object().unwrap().iter().next().unwrap();
        whole(n) * if unit == "days" { 86_400_000 } else { 3_600_000 }
    };
    match op {
        "exists" => true,
        "not_exists" => false,
        "eq" => same(left, right) == Some(true),
        "ne" => same(left, right) == Some(false),
        "gt" => order.is_some_and(|order| order.is_gt()),
        "gte" => order.is_some_and(|order| order.is_ge()),
        "lt" => order.is_some_and(|order| order.is_lt()),
        "lte" => order.is_some_and(|order| order.is_le()),
        "between" => {
            cmp(left, &items(right)[0]).is_some_and(|order| order.is_ge())
                && cmp(left, &items(right)[1]).is_some_and(|order| order.is_le())
        }
        "in" => items(right).iter().any(|one| same(left, one) == Some(true)),
        "not_in" => {
            !items(right).iter().any(|one| same(left, one) == Some(true))
                && items(right).iter().any(|one| same(left, one) == Some(false))
        }
        "contains" | "not_contains" => {
            let found = match (left, right) {
                (Value::Text(text), Value::Text(part)) => text.contains(part.as_str()),
                (Value::List(list), one) => list.iter().any(|other| same(other, one) == Some(true)),
                _ => return false,
            };
            found == (op == "contains")
        }
        "starts_with" | "ends_with" => match (left.as_text(), right.as_text()) {
            (Some(text), Some(part)) if op == "starts_with" => text.starts_with(part),
            (Some(text), Some(part)) => text.ends_with(part),
            _ => false,
        },
        "before" => time(left).zip(time(right)).is_some_and(|(a, b)| a < b),
        "after" => time(left).zip(time(right)).is_some_and(|(a, b)| a > b),
        "within_last" => time(left).is_some_and(|at| at <= as_of && as_of - at < length()),
        "within_next" => time(left).is_some_and(|at| at >= as_of && at - as_of < length()),
        other => panic!("the model does not know {other}"),
    }
}
