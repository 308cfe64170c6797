//! A rule while it is edited: a tree whose conditions have the fields of a form, made from the rule's JSON and written
//! back to it. What has no fields here is kept as JSON, so that nothing is lost by opening a rule.

use cdp_domain::condition::OPS;
use cdp_domain::json;
use cdp_domain::time::{Timestamp, Zone};
use cdp_domain::value::{Number, Object, Value};

use super::super::show;

/// A condition, turned round or not.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cond {
    pub(crate) not: bool,
    pub(crate) draft: Draft,
}

/// What a condition says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Draft {
    /// All of, or any of.
    Group { any: bool, inner: Vec<Cond> },
    /// A fact compares so: `attribute`, `trait` or `identifier`.
    Fact { of: &'static str, name: String, op: String, value: String, raw: Option<Value> },
    /// They may be reached.
    Reachable { channel: String, purpose: String },
    /// They are in a segment.
    Segment(String),
    /// They did something.
    Did(Did),
    /// As JSON.
    Raw(String),
}

/// Something that was done.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Did {
    pub(crate) event: String,
    pub(crate) op: String,
    pub(crate) times: String,
    /// `ever`, `last` or `between`.
    pub(crate) when: String,
    pub(crate) number: String,
    pub(crate) unit: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) wheres: Vec<Where>,
}

/// A condition on the event.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Where {
    pub(crate) property: String,
    pub(crate) op: String,
    pub(crate) value: String,
}

/// The kinds of facts.
pub(crate) const FACTS: [&str; 3] = ["attribute", "trait", "identifier"];
/// The units of windows.
pub(crate) const UNITS: [&str; 4] = ["days", "hours", "minutes", "calendar_days"];

impl Cond {
    /// A group of all of these.
    pub(crate) fn group(inner: Vec<Cond>) -> Self {
        Self { not: false, draft: Draft::Group { any: false, inner } }
    }

    /// The draft of a rule: always a group, so that there is something to add to.
    pub(crate) fn of_rule(rule: &Value, zone: &Zone) -> Self {
        match Self::of(rule, zone) {
            group @ Self { not: false, draft: Draft::Group { .. } } => group,
            one => Self::group(vec![one]),
        }
    }

    fn of(rule: &Value, zone: &Zone) -> Self {
        let known = rule.as_object().and_then(|object| Self::read(object, zone));
        known.unwrap_or_else(|| Self { not: false, draft: Draft::Raw(show::pretty(rule)) })
    }

    /// None for what has no fields.
    fn read(object: &Object, zone: &Zone) -> Option<Self> {
        let plain = |draft| Some(Self { not: false, draft });
        let fact = FACTS.into_iter().find(|form| object.get(form).is_some());
        if let Some(of) = fact {
            let (name, op) = (object.get(of)?.as_text()?, object.get("op")?.as_text()?);
            let raw = object.get("value").cloned();
            let value = raw.as_ref().map_or(Some(String::new()), value_text)?;
            return plain(Draft::Fact { of, name: name.to_owned(), op: op.to_owned(), value, raw });
        }
        let (form, inner) = object.iter().next().filter(|_| object.len() == 1)?;
        match (form.as_str(), inner) {
            ("all" | "any", Value::List(items)) => {
                let inner = items.iter().map(|item| Self::of(item, zone)).collect();
                plain(Draft::Group { any: form == "any", inner })
            }
            ("not", inner) => {
                let inner = Self::of(inner, zone);
                (!inner.not).then_some(Self { not: true, ..inner })
            }
            ("reachable", Value::Object(both)) if both.len() == 2 => plain(Draft::Reachable {
                channel: both.get("channel")?.as_text()?.to_owned(),
                purpose: both.get("purpose")?.as_text()?.to_owned(),
            }),
            ("segment", Value::Text(name)) => plain(Draft::Segment(name.to_string())),
            ("did", Value::Object(did)) => plain(Draft::Did(Did::read(did, zone)?)),
            _ => None,
        }
    }

    /// The rule that this says.
    ///
    /// # Errors
    /// Places of the draft and what is wrong there.
    pub(crate) fn rule(&self, at: &str, zone: &Zone) -> Result<Value, Vec<(String, String)>> {
        let wrong = |detail: &str| Err(vec![(at.to_owned(), detail.to_owned())]);
        let plain = match &self.draft {
            Draft::Group { any, inner } => {
                let (mut items, mut problems) = (Vec::new(), Vec::new());
                for (n, one) in inner.iter().enumerate() {
                    match one.rule(&format!("{at}.{n}"), zone) {
                        Ok(rule) => items.push(rule),
                        Err(found) => problems.extend(found),
                    }
                }
                if !problems.is_empty() {
                    return Err(problems);
                }
                show::object([(if *any { "any" } else { "all" }, Value::List(items))])
            }
            Draft::Fact { of, name, op, value, raw } => {
                if name.trim().is_empty() {
                    return wrong(&format!("name the {of}"));
                }
                let mut members = vec![(*of, Value::from(name.trim())), ("op", Value::from(op.as_str()))];
                if takes_value(op) {
                    let same = raw.as_ref().filter(|raw| value_text(raw).as_deref() == Some(value.as_str()));
                    members.push((
                        "value",
                        match same {
                            Some(raw) if fits(op, raw) => raw.clone(),
                            _ => value_of(op, value, *of != "attribute"),
                        },
                    ));
                }
                show::object(members)
            }
            Draft::Reachable { channel, purpose } if channel.trim().is_empty() || purpose.is_empty() => {
                return wrong("name the channel and the purpose");
            }
            Draft::Reachable { channel, purpose } => show::object([(
                "reachable",
                show::object([
                    ("channel", Value::from(channel.trim())),
                    ("purpose", Value::from(purpose.as_str())),
                ]),
            )]),
            Draft::Segment(name) if name.is_empty() => return wrong("choose a segment"),
            Draft::Segment(name) => show::object([("segment", Value::from(name.as_str()))]),
            Draft::Did(did) => match did.rule(zone) {
                Ok(rule) => rule,
                Err(detail) => return wrong(&detail),
            },
            Draft::Raw(text) => match show::read(text) {
                Ok(rule) => rule,
                Err(failure) => return wrong(&failure.detail),
            },
        };
        Ok(if self.not { show::object([("not", plain)]) } else { plain })
    }
}

/// Whether an operator takes a value.
pub(crate) fn takes_value(op: &str) -> bool {
    !matches!(op, "exists" | "not_exists")
}

/// Whether a value has the form that an operator takes.
fn fits(op: &str, value: &Value) -> bool {
    match op {
        "between" | "in" | "not_in" => matches!(value, Value::List(_)),
        "within_last" | "within_next" => matches!(value, Value::Object(_)),
        _ => !matches!(value, Value::List(_) | Value::Object(_)),
    }
}

/// A value as it stands in a field; None for one that a field cannot hold.
fn value_text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.to_string()),
        Value::Number(_) | Value::Bool(_) => Some(json::to_string(value)),
        Value::List(items) => {
            let parts: Option<Vec<_>> = items.iter().map(value_text).collect();
            let parts = parts.filter(|parts| parts.iter().all(|part| !part.contains(',')))?;
            Some(parts.join(", "))
        }
        Value::Object(object) => {
            let (unit, number) = object.iter().next().filter(|_| object.len() == 1)?;
            let known = UNITS.contains(&unit.as_str());
            known.then(|| format!("{} {}", show::value(number), unit.replace('_', " ")))
        }
        Value::Null => None,
    }
}

/// What a field says, in the form that an operator takes.
fn value_of(op: &str, text: &str, exact: bool) -> Value {
    let text = text.trim();
    let list = |exact: bool| Value::List(text.split(',').map(|part| scalar(part.trim(), exact)).collect());
    match op {
        "between" => list(false),
        "in" | "not_in" => list(exact),
        "within_last" | "within_next" => window(text).unwrap_or_else(|| Value::from(text)),
        "gt" | "gte" | "lt" | "lte" => scalar(text, false),
        "starts_with" | "ends_with" | "matches" | "before" | "after" => Value::from(text),
        _ => scalar(text, exact),
    }
}

/// A text, a truth, or a number; where it is to be compared exactly, a number stays a text: both are equal to a number,
/// and only the text to a text.
fn scalar(text: &str, exact: bool) -> Value {
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => {
            let number = Number::parse(text).filter(|_| !exact).map(Value::Number);
            number.filter(|number| json::to_string(number) == text).unwrap_or_else(|| Value::from(text))
        }
    }
}

/// A window such as `30 days`.
fn window(text: &str) -> Option<Value> {
    let (number, unit) = text.split_once(' ')?;
    let unit = unit.trim().replace(' ', "_");
    let plural = if unit.ends_with('s') { unit } else { format!("{unit}s") };
    let unit = UNITS.into_iter().find(|known| *known == plural)?;
    let number: i64 = number.parse().ok()?;
    Some(show::object([(unit, Value::from(number))]))
}

impl Did {
    /// None for manners that have no fields.
    fn read(object: &Object, zone: &Zone) -> Option<Self> {
        const KNOWN: [&str; 5] = ["event", "where", "count", "within", "between"];
        if object.iter().any(|(name, _)| !KNOWN.contains(&name.as_str())) {
            return None;
        }
        let mut did = Self {
            event: object.get("event")?.as_text()?.to_owned(),
            op: "gte".to_owned(),
            times: "1".to_owned(),
            when: "ever".to_owned(),
            number: "30".to_owned(),
            unit: "days".to_owned(),
            ..Self::default()
        };
        if let Some(count) = object.get("count") {
            let count = count.as_object()?;
            did.op = count.get("op")?.as_text()?.to_owned();
            did.times = count.get("value").and_then(value_text)?;
        }
        if let Some(within) = object.get("within") {
            let (unit, number) = within.as_object()?.iter().next()?;
            did.when = "last".to_owned();
            (did.unit, did.number) = (unit.to_string(), show::value(number));
        }
        if let Some(between) = object.get("between") {
            let Value::List(ends) = between else { return None };
            let [from, to] = &ends[..] else { return None };
            did.when = "between".to_owned();
            (did.from, did.to) = (day(from, zone)?, day(to, zone)?);
        }
        for condition in match object.get("where") {
            None => &[][..],
            Some(Value::List(all)) => all,
            Some(_) => return None,
        } {
            let condition = condition.as_object()?;
            let value = condition.get("value").map_or(Some(String::new()), value_text)?;
            did.wheres.push(Where {
                property: condition.get("property")?.as_text()?.to_owned(),
                op: condition.get("op")?.as_text()?.to_owned(),
                value,
            });
        }
        Some(did)
    }

    fn rule(&self, zone: &Zone) -> Result<Value, String> {
        if self.event.trim().is_empty() {
            return Err("name the event".to_owned());
        }
        let mut members = vec![("event", Value::from(self.event.trim()))];
        if !self.wheres.is_empty() {
            let wheres = self.wheres.iter().map(|one| {
                let property = one.property.trim();
                let property =
                    if property.starts_with('/') { property.to_owned() } else { format!("/{property}") };
                let mut members =
                    vec![("property", Value::from(property.as_str())), ("op", Value::from(one.op.as_str()))];
                if takes_value(&one.op) {
                    members.push(("value", value_of(&one.op, &one.value, true)));
                }
                show::object(members)
            });
            members.push(("where", Value::List(wheres.collect())));
        }
        let times: i64 =
            self.times.trim().parse().map_err(|_| "how often must be a whole number".to_owned())?;
        if (self.op.as_str(), times) != ("gte", 1) {
            let count = show::object([("op", Value::from(self.op.as_str())), ("value", Value::from(times))]);
            members.push(("count", count));
        }
        match self.when.as_str() {
            "last" => {
                let number: i64 =
                    self.number.trim().parse().map_err(|_| "the time must be a whole number".to_owned())?;
                let unit = UNITS.into_iter().find(|unit| *unit == self.unit).unwrap_or("days");
                members.push(("within", show::object([(unit, Value::from(number))])));
            }
            "between" => {
                let end = |text: &str| zone.day(text).map(|at| Value::from(at.to_string().as_str()));
                let ends = end(&self.from).zip(end(&self.to));
                let (from, to) = ends.ok_or("both days must be given, such as 2026-11-23")?;
                members.push(("between", Value::List(vec![from, to])));
            }
            _ => {}
        }
        Ok(show::object([("did", show::object(members))]))
    }
}

/// The day that begins at an instant; None when none does.
fn day(value: &Value, zone: &Zone) -> Option<String> {
    let at = Timestamp::parse(value.as_text()?).ok()?;
    let text = zone.show(at, "%Y-%m-%d");
    (zone.day(&text) == Some(at)).then_some(text)
}

/// Operators that there are, with their words.
pub(crate) const OP_WORDS: [(&str, &str); 20] = [
    ("eq", "is"),
    ("ne", "is not"),
    ("gt", "is more than"),
    ("gte", "is at least"),
    ("lt", "is less than"),
    ("lte", "is at most"),
    ("between", "is between"),
    ("in", "is one of"),
    ("not_in", "is none of"),
    ("contains", "contains"),
    ("not_contains", "does not contain"),
    ("starts_with", "begins with"),
    ("ends_with", "ends with"),
    ("matches", "matches"),
    ("exists", "is known"),
    ("not_exists", "is not known"),
    ("before", "is before"),
    ("after", "is after"),
    ("within_last", "is within the last"),
    ("within_next", "is within the next"),
];

/// Operators for how often.
pub(crate) const COUNT_WORDS: [(&str, &str); 6] = [
    ("gte", "at least"),
    ("eq", "exactly"),
    ("lte", "at most"),
    ("gt", "more than"),
    ("lt", "less than"),
    ("ne", "not"),
];

const _: () = assert!(OP_WORDS.len() == OPS.len());

#[cfg(test)]
mod tests {
    use super::*;

    fn round(text: &str) -> Value {
        let zone = Zone::named("Europe/London").unwrap();
        Cond::of(&show::read(text).unwrap(), &zone).rule("r", &zone).unwrap()
    }

    #[test]
    fn every_operator_has_its_words() {
        assert!(OPS.iter().all(|(name, _)| OP_WORDS.iter().any(|(known, _)| known == name)));
    }

    #[test]
    fn a_rule_that_is_opened_and_saved_stays_as_it_is() {
        for text in [
            r#"{"all":[]}"#,
            r#"{"attribute":"total_spend","op":"gte","value":"1000"}"#,
            r#"{"attribute":"order_count","op":"eq","value":1}"#,
            r#"{"trait":"country_code","op":"exists"}"#,
            r#"{"trait":"city","op":"in","value":["Riga","Tartu"]}"#,
            r#"{"trait":"city","op":"in","value":["Riga, old town"]}"#,
            r#"{"trait":"since","op":"within_last","value":{"days":30}}"#,
            r#"{"any":[{"not":{"segment":"vip"}},{"reachable":{"channel":"email","purpose":"marketing"}}]}"#,
            r#"{"not":{"all":[{"identifier":"email","op":"ends_with","value":"@example.com"}]}}"#,
            r#"{"not":{"not":{"segment":"vip"}}}"#,
            r#"{"did":{"event":"Order","where":[{"property":"/revenue","op":"gte","value":500}],"count":{"op":"eq","value":0},"within":{"days":30}}}"#,
            r#"{"did":{"event":"Order","between":["2011-09-09T23:00:00.000Z","2011-12-10T00:00:00.000Z"]}}"#,
            r#"{"did":{"event":"Order","between":["2011-09-09T12:00:00Z","2011-12-10T00:00:00Z"]}}"#,
            r#"{"did":{"event":"Order","stopped":{"for":{"days":30},"within":{"days":90}}}}"#,
            r#"{"sequence":{"steps":[{"event":"a"},{"event":"b"}]}}"#,
            r#"{"unheard":"of"}"#,
        ] {
            assert_eq!(round(text), show::read(text).unwrap(), "{text}");
        }
    }

    #[test]
    fn what_is_typed_becomes_what_the_operator_takes() {
        for (op, text, exact, wanted) in [
            ("gte", "500", true, "500"),
            ("gte", "500.00", false, r#""500.00""#),
            ("eq", "01234", true, r#""01234""#),
            ("eq", "7", true, r#""7""#),
            ("eq", "7", false, "7"),
            ("eq", "true", true, "true"),
            ("between", "1, 2", true, "[1,2]"),
            ("in", "a,b", true, r#"["a","b"]"#),
            ("within_last", "1 day", true, r#"{"days":1}"#),
            ("within_last", "2 calendar days", true, r#"{"calendar_days":2}"#),
            ("within_last", "soon", true, r#""soon""#),
            ("starts_with", "12", false, r#""12""#),
        ] {
            assert_eq!(json::to_string(&value_of(op, text, exact)), wanted, "{op} {text}");
        }
    }

    #[test]
    fn what_is_missing_is_told_at_its_place() {
        let zone = Zone::Utc;
        let empty = |of| Cond {
            not: false,
            draft: Draft::Fact { of, name: " ".into(), op: "eq".into(), value: String::new(), raw: None },
        };
        let did = Cond {
            not: false,
            draft: Draft::Did(Did { event: "x".into(), times: "often".into(), ..Did::default() }),
        };
        let raw = Cond { not: true, draft: Draft::Raw("{".into()) };
        let root = Cond::group(vec![empty("trait"), Cond::group(vec![did]), raw]);
        let places: Vec<_> = root.rule("r", &zone).unwrap_err().into_iter().map(|(at, _)| at).collect();
        assert_eq!(places, ["r.0", "r.1.0", "r.2"]);
    }
}
